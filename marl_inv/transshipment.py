"""Reactive transshipment: after demand, surplus moves along reactive lanes to where demand is short, if that saves money."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.network import TransferNetwork
from marl_inv.rationing import add_up, share


def transship(
    network: TransferNetwork,
    level: Float[Tensor, "K N B"],
    reserve: Float[Tensor, "K N B"] | None,
    shipments: Float[Tensor, "K E B"],
    available: Float[Tensor, "M B"] | None,
) -> Float[Tensor, "K X B"]:
    """Greedily, the lanes that save most per unit first. `level` is after demand; below 0 it is what is short.

    This is optimal where savings order the lanes as an optimal plan would: with one origin or one destination, and with rates that are the
    same everywhere; `best_transshipment` is optimal always.
    """
    lanes = network.reactive
    surplus = level.clamp(min=0) if reserve is None else (level.clamp(min=0) - reserve).clamp(min=0)
    short = (-level).clamp(min=0)
    room = [_left(network, limit, shipments, available) for limit in network.limits] if lanes.limited else []
    moved = level.new_zeros(level.shape[0], len(lanes.names), level.shape[-1])
    for wave in lanes.waves:
        origin, destination = lanes.origin[wave], lanes.destination[wave]
        units = torch.minimum(surplus.index_select(1, origin), short.index_select(1, destination))
        units = units * (lanes.saving.index_select(1, wave) > 0)
        for place, limit in enumerate(network.limits if room else ()):
            group = limit.reactive_group[wave]
            wanted = torch.zeros_like(room[place]).index_add(0, group, add_up(units * network.volume, 0))
            units = units * share(room[place], wanted).index_select(0, group)
            units = units.floor() if network.integer else units
            carried = torch.zeros_like(room[place]).index_add(0, group, add_up(units * network.volume, 0))
            room[place] = (room[place] - carried).clamp(min=0)
        moved = moved.index_copy(1, wave, units)
        surplus = surplus.index_add(1, origin, -units).clamp(min=0)
        short = short.index_add(1, destination, -units).clamp(min=0)
    return moved


def _left(network: TransferNetwork, limit: object, shipments: Tensor, available: Tensor | None) -> Tensor:
    """Capacity that the period's shipments have not used: (G, B)."""
    capacity = limit.now(available).expand(-1, shipments.shape[-1])
    used = torch.zeros_like(capacity).index_add(0, limit.group, add_up(shipments * network.volume, 0))
    return (capacity - used).clamp(min=0)


def best_transshipment(network: TransferNetwork, level: Float[Tensor, "K N B"], reserve: Float[Tensor, "K N B"] | None = None) -> Tensor:
    """The plan that saves most, by linear programming (HiGHS), product by product and without limits of lanes: (K, X, B), float64.

    For verification: it solves one programme for each product and replication.
    """
    from scipy.optimize import linprog  # takes long to import, and only verification needs it

    lanes = network.reactive
    origin, destination = lanes.origin.cpu().numpy(), lanes.destination.cpu().numpy()
    warehouses, ways = level.shape[1], np.arange(len(origin))
    leaving, entering = np.zeros((warehouses, len(ways))), np.zeros((warehouses, len(ways)))
    leaving[origin, ways], entering[destination, ways] = 1, 1
    levels = level.detach().double().cpu().numpy()
    kept = np.zeros_like(levels) if reserve is None else reserve.detach().double().cpu().numpy()
    plan = np.zeros((level.shape[0], len(ways), level.shape[-1]))
    for k, _, b in np.ndindex(level.shape[0], 1, level.shape[-1]):
        surplus = (np.maximum(levels[k, :, b], 0) - kept[k, :, b]).clip(0)
        saving = lanes.saving[k, :, 0].double().cpu().numpy()
        bounds = np.concatenate([surplus, np.maximum(-levels[k, :, b], 0)])
        solved = linprog(-saving, A_ub=np.concatenate([leaving, entering]), b_ub=bounds, bounds=(0, None), method="highs")
        plan[k, :, b] = solved.x
    return torch.from_numpy(plan)
