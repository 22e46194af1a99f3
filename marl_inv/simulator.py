"""One period of the whole network, for a whole batch of replications at once: ship, serve, receive, charge.

Shapes: `K` products, `N` warehouses, `E` lanes, `X` reactive lanes, `L` longest lead time, `D` longest order delay, `B` replications; the
batch comes last. Quantities are units, costs are money. `step` is a pure function: chance comes in as an argument, nothing is
mutated, and the result is differentiable in the decision wherever the model is piecewise linear. State keeps, and a period does, only what
the network has: what is absent is None and costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marl_inv.network import TransferNetwork
from marl_inv.rationing import NOTHING, add_up, noise, ration, rounded, whole
from marl_inv.scenario.objective import COST_PARTS, INCOME_PARTS
from marl_inv.transshipment import transship


@dataclass(frozen=True)
class State:
    """What decisions have led to: stock, goods on their way, and what has been asked for and not yet been sent."""

    inventory_level: Float[Tensor, "K N B"]
    """On hand minus customers' backorders."""
    due: tuple[Float[Tensor, "K N B"], ...] = ()
    """On their way to every warehouse: what arrives in time for the next period's demand, for that of the one after it, and so on."""
    orders: Float[Tensor, "K D E B"] | None = None
    """Requests on their way to the origin, which hears of row d in d periods; None without order delays."""
    owed: Float[Tensor, "K E B"] | None = None
    """Asked for and still owed by the origin of a lane; None where everything unfilled is forgotten."""
    dip: Float[Tensor, "K N B"] | None = None
    """Level of past promotions that still weighs on demand; None where none does."""

    def replication(self, number: int) -> State:
        """That replication alone: a batch of one."""
        alone = {name: value[..., number : number + 1] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, due=tuple(units[..., number : number + 1] for units in self.due), **alone)

    @property
    def on_hand(self) -> Float[Tensor, "K N B"]:
        return self.inventory_level.clamp(min=0)

    @property
    def backorders(self) -> Float[Tensor, "K N B"]:
        return (-self.inventory_level).clamp(min=0)

    @property
    def in_transit(self) -> Float[Tensor, "K N B"]:
        """Shipped to a warehouse and not there yet."""
        return reduce(torch.add, self.due) if self.due else none_of(self.inventory_level)

    @property
    def pipeline(self) -> Float[Tensor, "K L N B"]:
        """What is due, in one tensor: row l arrives l + 1 periods from now."""
        rows = [units.unsqueeze(1) for units in self.due]
        return torch.cat([self.inventory_level.unsqueeze(1)[:, :0], *rows], dim=1)


def on_order(network: TransferNetwork, state: State) -> Float[Tensor, "K N B"]:
    """What a warehouse has asked for and will get: in transit, owed to it, and requested where the origin has not heard of it yet."""
    coming = state.in_transit
    if state.owed is not None:
        coming = coming + network.arrivals(state.owed)
    if state.orders is not None:
        coming = coming + network.arrivals(add_up(state.orders, 1))
    return coming


def owed_to_others(network: TransferNetwork, state: State) -> Float[Tensor, "K N B"]:
    """What a warehouse owes to those whose requests it could not fill."""
    return none_of(state.inventory_level) if state.owed is None else network.departures(state.owed[:, network.replenishments :])


def inventory_position(network: TransferNetwork, state: State) -> Float[Tensor, "K N B"]:
    """On hand plus on order, minus what is owed to customers and to other warehouses."""
    position = state.inventory_level + on_order(network, state)
    return position if state.owed is None else position - owed_to_others(network, state)


@dataclass(frozen=True)
class Decision:
    """What every warehouse asks for, how hard it promotes and what it keeps back from others, all at the same time."""

    requests: Float[Tensor, "K E B"]
    promotion: Float[Tensor, "K N B"] | None = None
    """Promotion level; None is no promotion anywhere."""
    reserve: Float[Tensor, "K N B"] | None = None
    """Units that others' requests cannot reach; None is no reserve anywhere."""


@dataclass(frozen=True)
class Flows:
    """Units that moved in a period, and the inventory level before and after demand."""

    requests: Float[Tensor, "K E B"]
    asked: Float[Tensor, "K E B"]
    """What origins were asked for: the requests that they heard of, and what they owed from before."""
    shipments: Float[Tensor, "K E B"]
    owed: Float[Tensor, "K E B"] | None
    """What origins owe now; None where everything unfilled is forgotten."""
    transshipped: Float[Tensor, "K X B"] | None
    """Along reactive lanes, after demand; None without such lanes."""
    demand: Float[Tensor, "K N B"]
    promotion: Float[Tensor, "K N B"] | None
    """The level that acted on demand, decided or planned."""
    lost: Float[Tensor, "K N B"]
    receipts: Float[Tensor, "K N B"]
    """Arrived after demand, usable next period; before what was discarded was taken off."""
    overflow: Float[Tensor, "K N B"]
    """Beyond the storage at the end of the period, discarded or kept."""
    discarded: Float[Tensor, "K N B"]
    opening_level: Float[Tensor, "K N B"]
    level: Float[Tensor, "K N B"]
    """Inventory level after demand and before receipts: what holding and shortage are charged on."""
    closing_level: Float[Tensor, "K N B"]
    """After receipts: what the next period opens with."""

    @property
    def on_hand(self) -> Float[Tensor, "K N B"]:
        return self.level.clamp(min=0)

    @property
    def backorders(self) -> Float[Tensor, "K N B"]:
        return (-self.level).clamp(min=0)

    @property
    def refused(self) -> Float[Tensor, "K E B"]:
        """Asked for, not shipped and forgotten."""
        unfilled = (self.asked - self.shipments).clamp(min=0)
        return unfilled if self.owed is None else (unfilled - self.owed).clamp(min=0)

    @property
    def unmet(self) -> Float[Tensor, "K N B"]:
        """This period's demand that was not met from stock at once, lost or backordered."""
        return self.lost + torch.minimum(self.backorders, self.demand.clamp(min=0))

    @property
    def served(self) -> Float[Tensor, "K N B"]:
        """Units handed to customers from this period's start to the next one's, old backorders included."""
        return self.demand - self.lost + (-self.opening_level).clamp(min=0) - (-self.closing_level).clamp(min=0)


@dataclass(frozen=True)
class Costs:
    """A period's money, per product and per warehouse that caused it.

    The reward is the incomes (`objective.INCOME_PARTS`) less the costs (`objective.COST_PARTS`), each times its weight in
    `TransferNetwork.weights`; a part that the objective does not count has weight 0 and is here all the same.
    """

    holding: Float[Tensor, "K N B"]
    in_transit: Float[Tensor, "K N B"]
    shortage: Float[Tensor, "K N B"]
    procurement: Float[Tensor, "K N B"]
    transport: Float[Tensor, "K N B"]
    shipment: Float[Tensor, "K N B"]
    vehicle: Float[Tensor, "K N B"]
    overflow: Float[Tensor, "K N B"]
    promotion: Float[Tensor, "K N B"]
    transfer_payment: Float[Tensor, "K N B"]
    """Paid to other warehouses for units, less what they paid."""
    shortfall: Float[Tensor, "K N B"]
    revenue: Float[Tensor, "K N B"]
    salvage: Float[Tensor, "K N B"]
    utility: Float[Tensor, "K N B"]
    reward: Float[Tensor, "K N B"]


@dataclass(frozen=True)
class Chance:
    """What a period brings from outside."""

    demand: Float[Tensor, "K N B"]
    lead_time: Int[Tensor, "E B"] | None = None
    """Of what leaves now on every lane; None where all lead times are fixed."""
    available: Float[Tensor, "M B"] | None = None
    """Share of its capacity that each of `Scenario.interruptible` has now, then a row of ones; None without outages."""
    promotion: Float[Tensor, "N 1"] | None = None
    """Planned promotion level; None where none is planned."""
    last: bool = False
    """Whether it is the trace's last period."""


def initial_state(network: TransferNetwork, replications: int, stock: Float[Tensor, "K N B"] | None = None) -> State:
    """Starting stock (the network's unless it is given, as where it is drawn), and what is on its way before the first period."""
    level = (network.initial_stock if stock is None else stock).expand(-1, -1, replications).contiguous()
    due = (torch.zeros_like(level),) * max(0, network.longest_lead_time - 1)
    if network.initial_pipeline is not None:
        first, *later = (row.expand_as(level) for row in network.initial_pipeline.unbind(1))
        level, due = level + first, tuple(row.contiguous() for row in later)
    orders = owed = None
    if network.order_slot is not None:
        orders = level.new_zeros(len(level), network.longest_order_delay, len(network.lanes), replications)
        if network.initial_orders is not None:
            orders += network.initial_orders
    if network.owes is not None:
        owed = level.new_zeros(len(level), len(network.lanes), replications)
    return State(level, due, orders, owed, None if network.dip is None else torch.zeros_like(level))


def step(network: TransferNetwork, state: State, decision: Decision, chance: Chance) -> tuple[State, Flows, Costs]:
    """Play one period. Requests must be finite and not negative (env and rollout see to that)."""
    requests, reserve = (whole_units(network, units) for units in (decision.requests, decision.reserve))
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


def whole_units(network: TransferNetwork, units: Tensor | None) -> Tensor | None:
    """Rounded where quantities are integer; the gradient is that of the unrounded units."""
    return rounded(units, units.detach().round()) if network.integer and units is not None else units


def hear(network: TransferNetwork, state: State, requests: Tensor) -> tuple[Tensor, Tensor | None]:
    """Requests reach the origin after the lane's order delay, and join what it owes. Returns what is asked now and what is on its way."""
    orders = None
    if state.orders is not None:
        line = torch.cat([state.orders, torch.zeros_like(requests).unsqueeze(1)], dim=1)
        line.view(len(requests), -1, requests.shape[-1]).index_add_(1, network.order_slot, requests)
        requests, orders = line[:, 0], line[:, 1:]
    return requests if state.owed is None else requests + state.owed, orders


def owe(network: TransferNetwork, asked: Tensor, shipments: Tensor) -> Tensor | None:
    return None if network.owes is None else (asked - shipments).clamp(min=0) * network.owes


def ship(
    network: TransferNetwork, state: State, shipments: Tensor, lead_time: Tensor | None
) -> tuple[Tensor, Tensor, tuple[Float[Tensor, "K N B"], ...]]:
    """Take shipments from their origins; what has lead time 0 arrives now. Returns the level, what is due next period, and what is later."""
    level = state.inventory_level
    due: list[Tensor | None] = [None, *state.due]
    due += [None] * (1 + max(1, network.longest_lead_time) - len(due))
    if lead_time is not None:
        due = _at_random_times(network, due, shipments, lead_time)
    else:
        for periods, arriving in network.arrivals_by_lead_time.items():
            due[periods] = arriving(shipments, onto=due[periods])
    if len(network.origin):
        outbound = network.departures(shipments[:, network.replenishments :])
        # Shipping takes stock down to 0 and never beyond, so that rounding leaves no phantom backorder.
        level = torch.maximum(level - outbound, level.clamp(max=0)) if network.any_backordered else (level - outbound).clamp(min=0)
    now, following, *later = due
    nothing = none_of(level)
    following, *later = (nothing if units is None else units for units in (following, *later))
    return level if now is None else level + now, following, tuple(later)


def _at_random_times(network: TransferNetwork, due: list[Tensor | None], shipments: Tensor, lead_time: Int[Tensor, "E B"]) -> list[Tensor]:
    nothing = shipments.new_zeros(len(shipments), len(network.warehouses), shipments.shape[-1])
    rows = torch.stack([nothing if units is None else units for units in due], dim=1)
    slot = lead_time * nothing.shape[1] + network.destination.unsqueeze(-1)
    rows.view(len(rows), -1, rows.shape[-1]).scatter_add_(1, slot.expand_as(shipments), shipments)
    return list(rows.unbind(1))


def promote(network: TransferNetwork, state: State, chance: Chance, decided: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """A promotion multiplies the demand that would have come anyway, and past ones take from it. Returns demand, level and dip."""
    if not network.promotes:
        return chance.demand, None, None
    level = none_of(chance.demand) if decided is None or network.max_promotion is None else decided
    if chance.promotion is not None:
        level = torch.maximum(level, chance.promotion)
    demand, dip = chance.demand * (1 + network.uplift * level), None
    if state.dip is not None:
        demand = demand * (1 - network.dip * state.dip).clamp(min=0)
        dip = network.recovery * state.dip + level
    return whole_units(network, demand), level, dip


def serve(
    network: TransferNetwork, level: Tensor, demand: Tensor, reserve: Tensor | None, shipments: Tensor, available: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Meet demand from stock, then from surplus elsewhere along reactive lanes; the rest is backordered, or lost.

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


def receive(network: TransferNetwork, level: Tensor, receipts: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Take in what is due next period; it fills backorders first. What storage cannot hold overflows, in proportion.

    Returns the level that the next period opens with, receipts, what is beyond the storage, and what of it is discarded.
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


def charge(network: TransferNetwork, flows: Flows, chance: Chance) -> Costs:
    """Price the period. A cost belongs to the warehouse that caused it: a lane's to the destination that asked."""
    nothing = none_of(flows.demand)
    parts = _stock_costs(network, flows) | _lane_costs(network, flows, chance) | _incomes(network, flows, chance)
    counted = [(parts[name], -network.weights[name]) for name in COST_PARTS if name in parts and network.weights[name]]
    counted += [(parts[name], network.weights[name]) for name in INCOME_PARTS if name in parts and network.weights[name]]
    reward = reduce(_add_weighted, counted, None)
    return Costs(**{name: parts.get(name, nothing) for name in (*COST_PARTS, *INCOME_PARTS)}, reward=nothing if reward is None else reward)


def _add_weighted(total: Tensor | None, counted: tuple[Tensor, float]) -> Tensor:
    part, weight = counted
    if total is None:
        return part if weight == 1 else -part if weight == -1 else part * weight
    return torch.add(total, part, alpha=weight)


def _stock_costs(network: TransferNetwork, flows: Flows) -> dict[str, Tensor]:
    parts: dict[str, Tensor] = {}
    if network.holding_cost is not None:
        held = flows.opening_level.clamp(min=0) if network.rules.holding_on == "opening" else flows.on_hand
        parts["holding"] = network.holding_cost * held
    if network.shortage_cost is not None:
        short = flows.lost + flows.backorders if network.any_backordered else flows.lost
        if flows.owed is not None:
            short = short + network.departures(flows.owed[:, network.replenishments :])
        parts["shortage"] = network.shortage_cost * short
    if network.overflow_cost is not None:
        parts["overflow"] = network.overflow_cost * flows.overflow
    if flows.promotion is not None:
        parts["promotion"] = network.promotion_cost * flows.promotion
    if network.rules.objective == "service" or network.weights["shortfall"]:
        allowed = (1 - network.rules.service.fill_rate) * flows.demand.clamp(min=0)
        parts["shortfall"] = network.rules.service.price * (flows.unmet - allowed).clamp(min=0)
    return parts


def _lane_costs(network: TransferNetwork, flows: Flows, chance: Chance) -> dict[str, Tensor]:
    """What moving units costs, to their destination."""
    parts: dict[str, Tensor] = {}
    moved = flows.shipments if flows.transshipped is None else torch.cat([flows.shipments, flows.transshipped], dim=1)
    supplied = network.replenishments
    if network.procurement_cost is not None:
        parts["procurement"] = network.supply_arrivals(network.procurement_cost * flows.shipments[:, :supplied])
    if network.transport_cost is not None:
        parts["transport"] = network.way_arrivals(network.transport_cost * moved)
    if network.in_transit_cost is not None:
        periods = network.lead_time.unsqueeze(-1) if chance.lead_time is None else chance.lead_time
        parts["in_transit"] = network.arrivals(network.in_transit_cost * periods * flows.shipments)
    if network.shipment_cost is not None or network.vehicle_cost is not None:
        loads = moved * network.volume
        load = add_up(loads, 0)
        shares, used = loads / load.clamp(min=NOTHING), load > network.least_load
        if network.shipment_cost is not None:
            parts["shipment"] = network.way_arrivals(network.shipment_cost * used * shares)
        if network.vehicle_cost is not None:
            full = loads / network.vehicle_capacity
            parts["vehicle"] = network.way_arrivals(
                network.vehicle_cost * rounded(full, (vehicles(network, load) * used * shares).detach())
            )
    if network.transfer_price is not None:
        paid = network.transfer_price * moved[:, supplied:]
        received = torch.zeros_like(flows.demand).index_add(1, network.way_origin, paid)
        spent = torch.zeros_like(flows.demand).index_add(1, network.way_destination[supplied:], paid)
        parts["transfer_payment"] = spent - received
    return parts


def vehicles(network: TransferNetwork, load: Float[Tensor, "W B"]) -> Float[Tensor, "W B"]:
    """Whole vehicles that a load takes, at least one; the cost's gradient is that of load over capacity."""
    exact = load / network.vehicle_capacity
    return (exact - noise(exact)).ceil().clamp(min=1)


def _incomes(network: TransferNetwork, flows: Flows, chance: Chance) -> dict[str, Tensor]:
    parts: dict[str, Tensor] = {}
    if network.price is not None:
        parts["revenue"] = network.price * flows.served
    if network.salvage_value is not None and chance.last:
        parts["salvage"] = network.salvage_value * flows.closing_level.clamp(min=0)
    if network.weights["utility"]:
        parts["utility"] = _utility(network, flows)
    return parts


def _utility(network: TransferNetwork, flows: Flows) -> Tensor:
    rule = network.rules.utility
    replenishment = network.arrivals(flows.shipments)
    value = replenishment.log1p() if rule.log == "log1p" else replenishment.clamp(min=rule.least).log()
    return value - rule.stock_weight * flows.on_hand


def none_of(units: Tensor) -> Tensor:
    """Zeros of the same shape that take no memory."""
    return units.new_zeros(()).expand_as(units)
