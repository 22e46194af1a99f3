"""Reactive transshipment: after demand, surplus moves along reactive lanes to where demand is short, if that
saves money."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.network import SharedLimit, TransferNetwork, Wave
from marl_inv.simulator.rationing import add_up, share, whole


def transship(
    network: TransferNetwork,
    level: Float[Tensor, "K N B"],
    reserve: Float[Tensor, "K N B"] | None,
    shipments: Float[Tensor, "K E B"],
    available: Float[Tensor, "M B"] | None,
) -> Float[Tensor, "K X B"]:
    """Greedily, what saves most per volume first. `level` is after demand; below 0 it is what is short.

    Without limits this is optimal with one origin or one destination, and on a complete network where savings
    are the same.
    """
    assert network.reactive is not None
    surplus = level.clamp(min=0) if reserve is None else (level.clamp(min=0) - reserve).clamp(min=0)
    surplus, short = surplus.flatten(0, 1), (-level).clamp(min=0).flatten(0, 1)
    limits = network.limits if network.reactive.limited else ()
    room = [_left(network, limit, shipments, available) for limit in limits]
    ways = len(network.reactive.names)
    moved = level.new_zeros(level.shape[0] * ways, level.shape[-1])
    for wave in network.reactive.waves:
        units = torch.minimum(surplus.index_select(0, wave.origin), short.index_select(0, wave.destination))
        for place, limit in enumerate(limits):
            group = limit.reactive_group.index_select(0, wave.lane)
            units = units * share(room[place], _volume(units, wave, group, room[place])).index_select(
                0, group
            )
            if network.integer:
                units = whole(
                    units.unsqueeze(0), group, len(limit.capacity), wave.volume.unsqueeze(0)
                ).squeeze(0)
        for place, limit in enumerate(limits):
            group = limit.reactive_group.index_select(0, wave.lane)
            room[place] = (room[place] - _volume(units, wave, group, room[place])).clamp(min=0)
        moved = moved.index_copy(0, wave.move, units)
        surplus = surplus.index_add(0, wave.origin, -units).clamp(min=0)
        short = short.index_add(0, wave.destination, -units).clamp(min=0)
    return moved.unflatten(0, (-1, ways))


def _volume(units: Tensor, wave: Wave, group: Tensor, like: Tensor) -> Tensor:
    """What the moves of a wave take of every group's room: (G, B)."""
    return torch.zeros_like(like).index_add(0, group, units * wave.volume)


def _left(
    network: TransferNetwork, limit: SharedLimit, shipments: Tensor, available: Tensor | None
) -> Tensor:
    """Capacity that the period's shipments have not used: (G, B)."""
    capacity = limit.now(available).expand(-1, shipments.shape[-1])
    used = torch.zeros_like(capacity).index_add(0, limit.group, add_up(shipments * network.volume, 0))
    return (capacity - used).clamp(min=0)
