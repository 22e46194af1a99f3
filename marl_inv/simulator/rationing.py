"""Requests to feasible shipments: whatever is asked, no limit is exceeded and no origin ships more than it
holds.

Every stage takes what the one before it allows and never raises it, on any lane, so that what has been kept
to once stays kept to. The exception is full shipment, which comes first: it replaces what is asked of a
cross-dock by all that it has.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marl_inv.network import SharedLimit, StockRule, TransferNetwork

NOTHING = 1e-9
"""Units below which a total of requests counts as none; keeps shares and their gradients finite at zero
requests."""


def ration(
    network: TransferNetwork,
    asked: Float[Tensor, "K E B"],
    level: Float[Tensor, "K N B"],
    reserve: Float[Tensor, "K N B"] | None = None,
    available: Float[Tensor, "M B"] | None = None,
    lead_time: Int[Tensor, "E B"] | None = None,
) -> Float[Tensor, "K E B"]:
    """Cut what is asked to lanes' capacities, then each pool, suppliers' limits, stock at the origin less its
    reserve, space on arrival."""
    shipments = asked if network.full_shipment is None else push_everything(network, asked, level)
    for limit in network.limits:
        shipments = within(network, limit, shipments, available)
    if network.stock_rules:
        shipments = share_stock(network, shipments, level, reserve)
    if network.instant is not None and network.storage is not None:
        shipments = fit_free_space(network, shipments, level, lead_time)
    return shipments


def share(available: Tensor, asked: Tensor) -> Tensor:
    """The share of what is asked that can be had, at most 1. Written so that its gradient is finite
    everywhere."""
    return available / torch.maximum(asked, available).clamp(min=NOTHING)


def add_up(units: Tensor, dim: int) -> Tensor:
    """Sum over a dimension, entry after entry: on a CPU torch's own sum chooses its order, and so its
    rounding, by the batch's size."""
    entries = units.shape[dim]
    if entries == 1:
        return units.squeeze(dim)
    if units.is_cuda:
        return units.sum(dim)
    total = units.new_zeros(*units.shape[:dim], 1, *units.shape[dim + 1 :])
    return total.index_add_(dim, torch.zeros(entries, dtype=torch.long, device=units.device), units).squeeze(
        dim
    )


def push_everything(network: TransferNetwork, asked: Tensor, level: Tensor) -> Tensor:
    """A cross-dock ships all it has: in proportion to what is asked, in equal parts if nobody asks."""
    assert network.full_shipment is not None
    lanes, origin, part = network.full_shipment
    wanted = asked.index_select(1, lanes)
    total = torch.zeros_like(level).index_add(1, origin, wanted).index_select(1, origin)
    shares = torch.where(total > NOTHING, wanted / total.clamp(min=NOTHING), part)
    pushed = shares * level.clamp(min=0).index_select(1, origin)
    return asked.index_copy(1, lanes, whole(pushed, origin, level.shape[1]) if network.integer else pushed)


def within(
    network: TransferNetwork, limit: SharedLimit, shipments: Tensor, available: Tensor | None
) -> Tensor:
    """Cut the lanes of every group in proportion to what they carry, so that together they keep to the
    capacity."""
    carried = add_up(shipments * network.volume, 0)
    capacity = limit.now(available)
    asked = carried.new_zeros(len(capacity), carried.shape[-1]).index_add(0, limit.group, carried)
    kept = shipments * share(capacity, asked).index_select(0, limit.group)
    return whole(kept, limit.group, len(capacity), network.volume) if network.integer else kept


def share_stock(network: TransferNetwork, shipments: Tensor, level: Tensor, reserve: Tensor | None) -> Tensor:
    """Each product on hand at an origin is shared among those who ask for it, by the origin's rule."""
    on_hand = level.clamp(min=0)
    free = on_hand if reserve is None else (on_hand - reserve).clamp(min=0)
    parts = [shipments[:, : network.replenishments]] if network.replenishments else []
    for rule in network.stock_rules:
        asked = (
            shipments.index_select(1, rule.lanes)
            if len(network.stock_rules) > 1
            else shipments[:, network.replenishments :]
        )
        granted = GRANT[rule.name](rule, asked, on_hand if rule.name == "full_shipment" else free)
        parts.append(whole(granted, rule.origin, level.shape[1]) if network.integer else granted)
    joined = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
    return joined if network.lane_order is None else joined.index_select(1, network.lane_order)


def in_proportion(rule: StockRule, asked: Tensor, stock: Tensor) -> Tensor:
    total = rule.departures(asked)
    return asked * rule.departures.at(share(stock, total))


def by_priority(rule: StockRule, asked: Tensor, stock: Tensor) -> Tensor:
    """Round after round, lanes of the next priority share what is left."""
    granted = torch.zeros_like(asked)
    for lanes in rule.rounds:
        origin, wanted = rule.origin[lanes], asked.index_select(1, lanes)
        total = torch.zeros_like(stock).index_add(1, origin, wanted)
        given = wanted * share(stock, total).index_select(1, origin)
        granted = granted.index_copy(1, lanes, given)
        stock = (stock - torch.minimum(total, stock)).clamp(min=0)
    return granted


def evenly(rule: StockRule, asked: Tensor, stock: Tensor) -> Tensor:
    """Max-min: everyone gets what they ask for, up to a level that is the same for all who ask for more.

    What is granted below a level w, the sum of min(asked, w), is the least of (the i smallest requests + w
    for each of the others) over i; so the level that uses up the stock is the largest of (stock - the i
    smallest) / (number of others).
    """
    assert rule.fan_origin is not None
    assert rule.fan is not None
    nobody = torch.zeros_like(asked[:, :1])
    requests = torch.cat([asked, nobody], dim=1)[:, rule.fan_out].sort(dim=2).values
    smaller = torch.cat([torch.zeros_like(requests[:, :, :1]), requests[:, :, :-1].cumsum(dim=2)], dim=2)
    others = torch.arange(requests.shape[2], 0, -1, device=asked.device).unsqueeze(-1)
    held = stock.index_select(1, rule.fan_origin).unsqueeze(2)
    level = ((held - smaller) / others).amax(dim=2).clamp(min=0)
    return torch.minimum(asked, level.index_select(1, rule.fan))


GRANT = {
    "proportional": in_proportion,
    "full_shipment": in_proportion,
    "priority": by_priority,
    "even": evenly,
}


def fit_free_space(
    network: TransferNetwork, shipments: Tensor, level: Tensor, lead_time: Tensor | None
) -> Tensor:
    """Lanes of lead time 0 share the space that was free at their destination when the period began; what
    fills backorders takes none."""
    assert network.storage is not None
    assert network.instant is not None
    instant = network.instant if lead_time is None else (lead_time == 0).to(shipments)
    destination, warehouses = network.destination, level.shape[1]
    free = (network.storage - add_up(level.clamp(min=0) * network.volume, 0)).clamp(min=0)
    filling = None
    if network.any_backordered:
        wanted = share((-level).clamp(min=0), network.arrivals(shipments * instant))
        filling = shipments * instant * wanted.index_select(1, destination)
        filling = whole(filling, destination, warehouses) if network.integer else filling
        shipments = shipments - filling
    stored = add_up(network.arrivals(shipments * instant) * network.volume, 0)
    kept = shipments * (share(free, stored).index_select(0, destination) * instant + (1 - instant))
    kept = whole(kept, destination, warehouses, network.volume) if network.integer else kept
    return kept if filling is None else filling + kept


def whole(
    units: Float[Tensor, "K E B"], group: Int[Tensor, " E"], groups: int, volume: Tensor | None = None
) -> Float[Tensor, "K E B"]:
    """Whole units: floors, and of what a group of lanes lacks to its own whole total, one more each to the
    largest remainders.

    Every product of a group keeps to its own total, or, where a volume is given, all products together to the
    group's total volume. No lane gets more than its ceiling. The gradient is that of the unrounded units.
    """
    products, lanes, batch = units.shape
    exact = units.detach().reshape(products * lanes, batch)
    if volume is None:
        group = (group + groups * torch.arange(products, device=group.device).unsqueeze(1)).flatten()
        groups, size = groups * products, torch.ones_like(exact[:, :1])
    else:
        group, size = group.repeat(products), volume.expand(-1, lanes, -1).reshape(-1, 1)
    return rounded(units, _largest_remainders(exact, group, groups, size).view_as(units))


def rounded(units: Tensor, whole_units: Tensor) -> Tensor:
    """Exactly the whole units, with the gradient of the units that they come from."""
    return whole_units + (units - units.detach())


def _largest_remainders(
    exact: Float[Tensor, "M B"], group: Int[Tensor, " M"], groups: int, size: Float[Tensor, "M 1"]
) -> Tensor:
    """Floors, and one more to those with the largest remainders (of equal ones the first), as long as it fits
    into their group's total."""
    floors = floor(exact)
    total, taken = (
        exact.new_zeros(groups, exact.shape[-1]).index_add(0, group, units * size)
        for units in (exact, floors)
    )
    room = (total - taken + noise(total)).index_select(0, group)
    remainder = exact - floors
    wants = (remainder > noise(exact)) & (size <= room)
    order = (2.0 * group.unsqueeze(1) - remainder.double()).argsort(dim=0, stable=True)
    used = (size * wants).double().gather(0, order).cumsum(0)
    in_order, members = (
        group.sort().values,
        group.new_zeros(groups).index_add(0, group, torch.ones_like(group)),
    )
    before = torch.cat([used.new_zeros(1, used.shape[1]), used]).index_select(0, members.cumsum(0) - members)
    fits = used - before.index_select(0, in_order) <= room.gather(0, order)
    return floors + (wants & torch.empty_like(fits).scatter(0, order, fits))


def noise(units: Tensor) -> Tensor:
    """What a quantity may be off a whole number and still be meant: float noise, and always less than
    half."""
    return (16 * torch.finfo(units.dtype).eps * (1 + units)).clamp(max=0.49)


def floor(units: Tensor) -> Tensor:
    """Whole units at or below, where float noise below a whole number counts as that number."""
    return (units + noise(units)).floor()
