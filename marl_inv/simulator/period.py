"""One period of the whole network, for a whole batch of replications at once: ship, serve, receive, charge.

Shapes: `K` products, `N` warehouses, `E` lanes, `X` reactive lanes, `L` longest lead time, `D` longest order
delay, `B` replications; the batch comes last. Quantities are units, costs are money. `step` is a pure
function: chance comes in as an argument, nothing is mutated, and the result is differentiable in the decision
wherever the model is piecewise linear. State keeps, and a period does, only what the network has: what is
absent is None and costs nothing.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marl_inv.network import TransferNetwork
from marl_inv.simulator.costs import charge
from marl_inv.simulator.rationing import NOTHING, add_up, noise, ration, rounded, whole
from marl_inv.simulator.state import Chance, Costs, Decision, Flows, State, none_of
from marl_inv.simulator.transshipment import transship


def step(
    network: TransferNetwork, state: State, decision: Decision, chance: Chance
) -> tuple[State, Flows, Costs]:
    """Play one period. Requests must be finite and not negative (env and rollout see to that)."""
    requests = accept(network, decision.requests, chance.takes_requests)
    reserve = None if decision.reserve is None else whole_units(network, decision.reserve)
    asked, orders = hear(network, state, requests)
    shipments = ration(network, asked, state.inventory_level, reserve, chance.available, chance.lead_time)
    owed = owe(network, asked, shipments)
    level, coming, due = ship(network, state, shipments, chance.lead_time)
    demand, promotion, dip = promote(network, state, chance, decision.promotion)
    level, lost, transshipped = serve(network, level, demand, reserve, shipments, chance.available)
    closing, receipts, overflow, discarded = receive(network, level, coming)
    flows = Flows(
        requests=requests,
        asked=asked,
        shipments=shipments,
        owed=owed,
        transshipped=transshipped,
        demand=demand,
        promotion=promotion,
        lost=lost,
        receipts=receipts,
        overflow=overflow,
        discarded=discarded,
        opening_level=state.inventory_level,
        level=level,
        closing_level=closing,
    )
    return State(closing, due, orders, owed, dip), flows, charge(network, flows, chance)


def whole_units(network: TransferNetwork, units: Tensor) -> Tensor:
    """Rounded where quantities are integer; the gradient is that of the unrounded units."""
    return rounded(units, units.detach().round()) if network.integer else units


def accept(network: TransferNetwork, requests: Tensor, takes_requests: Tensor | None) -> Tensor:
    """What counts of the requests: whole units, whole packs, none below the lane's least and none where the
    lane takes none now. The gradient is that of the requests, where they are taken."""
    accepted = whole_units(network, requests)
    if network.pack_size is not None:
        packs = (requests.detach() / network.pack_size.clamp(min=NOTHING)).round()
        in_packs = torch.where(network.pack_size > 0, packs * network.pack_size, accepted.detach())
        accepted = rounded(requests, in_packs)
    if network.minimum_order is not None:
        least = network.minimum_order - noise(network.minimum_order)
        accepted = rounded(requests, accepted.detach() * (accepted.detach() >= least))
    return accepted if takes_requests is None else accepted * takes_requests


def hear(network: TransferNetwork, state: State, requests: Tensor) -> tuple[Tensor, Tensor | None]:
    """Requests reach the origin after the lane's order delay, and join what it owes. Returns what is asked
    now and what is on its way."""
    orders = None
    if state.orders is not None:
        assert network.order_slot is not None
        line = torch.cat([state.orders, torch.zeros_like(requests).unsqueeze(1)], dim=1)
        line.view(len(requests), -1, requests.shape[-1]).index_add_(1, network.order_slot, requests)
        requests, orders = line[:, 0], line[:, 1:]
    return requests if state.owed is None else requests + state.owed, orders


def owe(network: TransferNetwork, asked: Tensor, shipments: Tensor) -> Tensor | None:
    return None if network.owes is None else (asked - shipments).clamp(min=0) * network.owes


def ship(
    network: TransferNetwork, state: State, shipments: Tensor, lead_time: Tensor | None
) -> tuple[Tensor, Tensor, tuple[Float[Tensor, "K N B"], ...]]:
    """Take shipments from their origins; what has lead time 0 arrives now. Returns the level, what is due
    next period, and what is later."""
    level = state.inventory_level
    due: list[Tensor | None] = [None, *state.due]
    due += [None] * (1 + max(1, network.longest_lead_time) - len(due))
    if lead_time is not None:
        due = [*_at_random_times(network, due, shipments, lead_time)]
    else:
        for periods, arriving in network.arrivals_by_lead_time.items():
            due[periods] = arriving(shipments, onto=due[periods])
    if len(network.origin):
        outbound = network.departures(shipments[:, network.replenishments :])
        # Shipping takes stock down to 0 and never beyond, so that rounding leaves no phantom backorder.
        level = (
            torch.maximum(level - outbound, level.clamp(max=0))
            if network.any_backordered
            else (level - outbound).clamp(min=0)
        )
    now, following, *later = due
    nothing = none_of(level)
    following, *later = (nothing if units is None else units for units in (following, *later))
    return level if now is None else level + now, following, tuple(later)


def _at_random_times(
    network: TransferNetwork, due: list[Tensor | None], shipments: Tensor, lead_time: Int[Tensor, "E B"]
) -> tuple[Tensor, ...]:
    nothing = shipments.new_zeros(len(shipments), len(network.warehouses), shipments.shape[-1])
    rows = torch.stack([nothing if units is None else units for units in due], dim=1)
    slot = lead_time * nothing.shape[1] + network.destination.unsqueeze(-1)
    rows.view(len(rows), -1, rows.shape[-1]).scatter_add_(1, slot.expand_as(shipments), shipments)
    return rows.unbind(1)


def promote(
    network: TransferNetwork, state: State, chance: Chance, decided: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """A promotion multiplies the demand that would have come anyway, and past ones take from it. Returns
    demand, level and dip."""
    if not network.promotes:
        return chance.demand, None, None
    level = none_of(chance.demand) if decided is None or network.max_promotion is None else decided
    if chance.promotion is not None:
        level = torch.maximum(level, chance.promotion)
    demand, dip = chance.demand * (1 + network.uplift * level), None
    if state.dip is not None:
        assert network.dip is not None
        demand = demand * (1 - network.dip * state.dip).clamp(min=0)
        dip = network.recovery * state.dip + level
    return whole_units(network, demand), level, dip


def serve(
    network: TransferNetwork,
    level: Tensor,
    demand: Tensor,
    reserve: Tensor | None,
    shipments: Tensor,
    available: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Meet demand from stock, then from surplus elsewhere along reactive lanes; the rest is backordered, or
    lost.

    Returns the level after demand, the units lost and those transshipped.
    """
    after, transshipped = level - demand, None
    if network.reactive is not None:
        transshipped = transship(network, after, reserve, shipments, available)
        sent = torch.zeros_like(after).index_add(1, network.reactive.origin, transshipped)
        got = torch.zeros_like(after).index_add(1, network.reactive.destination, transshipped)
        # Surplus goes down to 0 and shortage up to 0, and neither beyond.
        after = torch.where(after > 0, (after - sent).clamp(min=0), (after + got).clamp(max=0))
    if not network.any_lost:
        return after, none_of(after), transshipped
    lost = (-after).clamp(min=0)
    if network.any_backordered:
        lost = lost * (1 - network.backordered)
    return after + lost, lost, transshipped


def receive(
    network: TransferNetwork, level: Tensor, receipts: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Take in what is due next period; it fills backorders first. What storage cannot hold overflows, in
    proportion.

    Returns the level that the next period opens with, receipts, what is beyond the storage, and what of it is
    discarded.
    """
    closing = level + receipts
    if network.storage is None:
        return closing, receipts, none_of(level), none_of(level)
    on_hand, held = level.clamp(min=0), closing.clamp(min=0)
    put_away = held - on_hand
    arrived = add_up(put_away * network.volume, 0)
    excess = (arrived - (network.storage - add_up(on_hand * network.volume, 0))).clamp(min=0)
    discarded = put_away * (excess / arrived.clamp(min=NOTHING)).clamp(max=1)
    if network.integer:
        each = torch.arange(level.shape[1], device=level.device)
        discarded = put_away - whole(put_away - discarded, each, level.shape[1], network.volume)
    if network.keeps_overflow is None:
        return closing - discarded, receipts, discarded, discarded
    discarded = discarded * (1 - network.keeps_overflow)
    volume = add_up(held * network.volume, 0)
    kept = held * ((volume - network.storage).clamp(min=0) / volume.clamp(min=NOTHING))
    return closing - discarded, receipts, discarded + kept * network.keeps_overflow, discarded
