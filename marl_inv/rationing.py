"""Requests to feasible shipments: whatever is asked, no limit is exceeded and no origin ships more than it holds."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.network import SharedLimit, TransferNetwork

NOTHING = 1e-9
"""Units below which a total of requests counts as none; keeps shares and their gradients finite at zero requests."""


def ration(network: TransferNetwork, requests: Float[Tensor, "K E B"], on_hand: Float[Tensor, "K N B"]) -> Float[Tensor, "K E B"]:
    """Cut requests in proportion: to lanes' capacities, then each pool, suppliers' limits, stock at the origin, space on arrival."""
    shipments = requests
    for limit in network.limits:
        shipments = within(limit, network.volume, shipments)
    if len(network.origin):
        shipments = share_stock(network, shipments, on_hand)
    if network.instant is not None and network.storage is not None:
        shipments = fit_free_space(network, shipments, on_hand)
    return shipments


def share(available: Tensor, asked: Tensor) -> Tensor:
    """The share of what is asked that can be had, at most 1. Written so that its gradient is finite everywhere."""
    return available / torch.maximum(asked, available).clamp(min=NOTHING)


def add_up(units: Tensor, dim: int) -> Tensor:
    """Sum over a dimension, entry after entry: on a CPU torch's own sum chooses its order, and so its rounding, by the batch's size."""
    entries = units.shape[dim]
    if entries == 1:
        return units.squeeze(dim)
    if units.is_cuda:
        return units.sum(dim)
    total = units.new_zeros(*units.shape[:dim], 1, *units.shape[dim + 1 :])
    return total.index_add_(dim, torch.zeros(entries, dtype=torch.long, device=units.device), units).squeeze(dim)


def within(limit: SharedLimit, volume: Tensor, shipments: Tensor) -> Tensor:
    """Cut the lanes of every group in proportion to what they carry, so that together they keep to the capacity."""
    carried = add_up(shipments * volume, 0)
    asked = carried.new_zeros(len(limit.capacity), carried.shape[-1]).index_add(0, limit.group, carried)
    return shipments * share(limit.capacity, asked).index_select(0, limit.group)


def share_stock(network: TransferNetwork, shipments: Tensor, on_hand: Tensor) -> Tensor:
    """Each product on hand at an origin is shared among those who ask for it, in proportion to what they ask."""
    replenishments, transfers = shipments.split([network.replenishments, len(network.origin)], dim=1)
    asked = torch.zeros_like(on_hand).index_add(1, network.origin, transfers)
    transfers = transfers * share(on_hand, asked).index_select(1, network.origin)
    return torch.cat([replenishments, transfers], dim=1) if network.replenishments else transfers


def fit_free_space(network: TransferNetwork, shipments: Tensor, on_hand: Tensor) -> Tensor:
    """Lanes of lead time 0 share the space that was free at their destination when the period began."""
    free = (network.storage - add_up(on_hand * network.volume, 0)).clamp(min=0)
    arriving = add_up(shipments * network.volume, 0) * network.instant
    fitting = share(free, torch.zeros_like(free).index_add(0, network.destination, arriving)).index_select(0, network.destination)
    return shipments * (fitting * network.instant + (1 - network.instant))
