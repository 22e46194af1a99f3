"""One period of the whole network, for a whole batch of replications at once: ship, serve, receive, charge.

Shapes: `K` products, `N` warehouses, `E` lanes, `L` longest lead time, `B` replications; the batch comes last. Quantities are units,
costs are money. `step` is a pure function: chance comes in as an argument, nothing is mutated, and the result is
differentiable in the decision wherever the model is piecewise linear.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.network import TransferNetwork
from marl_inv.rationing import add_up, ration


@dataclass(frozen=True)
class State:
    """What decisions have led to: stock, and goods on their way."""

    inventory_level: Float[Tensor, "K N B"]
    """On hand minus backorders."""
    pipeline: Float[Tensor, "K L N B"]
    """Due at their destination: row l arrives in time for the period after next l, that is l + 1 periods from now."""

    @property
    def on_hand(self) -> Float[Tensor, "K N B"]:
        return self.inventory_level.clamp(min=0)

    @property
    def backorders(self) -> Float[Tensor, "K N B"]:
        return (-self.inventory_level).clamp(min=0)

    @property
    def on_order(self) -> Float[Tensor, "K N B"]:
        return add_up(self.pipeline, 1)

    @property
    def inventory_position(self) -> Float[Tensor, "K N B"]:
        """On hand minus backorders plus on order."""
        return self.inventory_level + self.on_order


@dataclass(frozen=True)
class Decision:
    """What every warehouse asks for and how hard it promotes, all at the same time."""

    requests: Float[Tensor, "K E B"]
    promotion: Float[Tensor, "K N B"] | None = None
    """Promotion level; None is no promotion anywhere."""


@dataclass(frozen=True)
class Flows:
    """Units that moved in a period, and the inventory level before and after demand."""

    requests: Float[Tensor, "K E B"]
    shipments: Float[Tensor, "K E B"]
    demand: Float[Tensor, "K N B"]
    lost: Float[Tensor, "K N B"]
    receipts: Float[Tensor, "K N B"]
    """Arrived after demand, usable next period; before what overflowed was taken off."""
    overflow: Float[Tensor, "K N B"]
    opening_level: Float[Tensor, "K N B"]
    level: Float[Tensor, "K N B"]
    """Inventory level after demand and before receipts: what holding and shortage are charged on."""

    @property
    def on_hand(self) -> Float[Tensor, "K N B"]:
        return self.level.clamp(min=0)

    @property
    def backorders(self) -> Float[Tensor, "K N B"]:
        return (-self.level).clamp(min=0)

    @property
    def unmet(self) -> Float[Tensor, "K N B"]:
        """This period's demand that was not met from stock at once, lost or backordered."""
        return self.lost + torch.minimum(self.backorders, self.demand.clamp(min=0))

    @property
    def served(self) -> Float[Tensor, "K N B"]:
        """Units handed to customers from this period's start to the next one's, old backorders included."""
        closing_level = self.level + self.receipts - self.overflow
        return self.demand - self.lost + (-self.opening_level).clamp(min=0) - (-closing_level).clamp(min=0)


@dataclass(frozen=True)
class Costs:
    """A period's money, per product and per warehouse that caused it. `total` is the sum of all but revenue."""

    holding: Float[Tensor, "K N B"]
    shortage: Float[Tensor, "K N B"]
    procurement: Float[Tensor, "K N B"]
    transport: Float[Tensor, "K N B"]
    promotion: Float[Tensor, "K N B"]
    overflow: Float[Tensor, "K N B"]
    revenue: Float[Tensor, "K N B"]
    total: Float[Tensor, "K N B"]

    @property
    def profit(self) -> Float[Tensor, "K N B"]:
        """Revenue less all costs; minus the cost when the objective is cost, which counts no revenue."""
        return self.revenue - self.total


COST_PARTS = tuple(field.name for field in fields(Costs) if field.name not in ("revenue", "total"))


@dataclass(frozen=True)
class Chance:
    """What a period brings from outside."""

    demand: Float[Tensor, "K N B"]


def initial_state(network: TransferNetwork, replications: int) -> State:
    """Starting stock and nothing on the way."""
    stock = network.initial_stock.expand(-1, -1, replications).contiguous()
    products, warehouses, _ = stock.shape
    return State(stock, stock.new_zeros(products, network.longest_lead_time, warehouses, replications))


def step(network: TransferNetwork, state: State, decision: Decision, chance: Chance) -> tuple[State, Flows, Costs]:
    """Play one period. Requests must be finite and not negative (env and rollout see to that)."""
    shipments = ration(network, decision.requests, state.on_hand)
    level, due = ship(network, state, shipments)
    demand = promote(network, chance.demand, decision.promotion)
    level, lost = serve(network, level, demand)
    closing, receipts, overflow = receive(network, level, due)
    flows = Flows(decision.requests, shipments, demand, lost, receipts, overflow, state.inventory_level, level)
    return State(closing, due[:, 2:]), flows, charge(network, flows, decision.promotion)


def ship(network: TransferNetwork, state: State, shipments: Tensor) -> tuple[Tensor, Float[Tensor, "K {network.longest_lead_time}+2 N B"]]:
    """Take shipments from their origins; what has lead time 0 arrives now. Returns the level and what is due in 0, 1, 2.. periods."""
    level = state.inventory_level
    nothing = torch.zeros_like(level).unsqueeze(1)
    due = torch.cat([nothing, state.pipeline, nothing], dim=1)
    due.view(level.shape[0], -1, level.shape[-1]).index_add_(1, network.arrival_slot, shipments)
    if len(network.origin):
        outbound = torch.zeros_like(level).index_add(1, network.origin, shipments[:, network.replenishments :])
        # Shipping takes stock down to 0 and never beyond, so that rounding leaves no phantom backorder.
        level = torch.maximum(level - outbound, level.clamp(max=0)) if network.any_backordered else (level - outbound).clamp(min=0)
    if network.instant is not None:
        level = level + due[:, 0]
    return level, due


def promote(network: TransferNetwork, demand: Tensor, promotion: Tensor | None) -> Tensor:
    """A promotion multiplies the demand that would have come anyway."""
    if promotion is None or network.max_promotion is None:
        return demand
    return demand * (1 + network.uplift * promotion)


def serve(network: TransferNetwork, level: Tensor, demand: Tensor) -> tuple[Tensor, Tensor]:
    """Meet demand from stock; the rest is backordered, or lost. Returns the level after demand and the units lost."""
    after = level - demand
    if not network.any_lost:
        return after, none_of(after)
    lost = (-after).clamp(min=0)
    if network.any_backordered:
        lost = lost * (1 - network.backordered)
    return after + lost, lost


def receive(network: TransferNetwork, level: Tensor, due: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Take in what is due next period; it fills backorders first, and what storage cannot hold overflows, in proportion."""
    receipts = due[:, 1]
    closing = level + receipts
    if network.storage is None:
        return closing, receipts, none_of(level)
    on_hand = level.clamp(min=0)
    put_away = closing.clamp(min=0) - on_hand
    arrived = add_up(put_away * network.volume, 0)
    excess = (arrived - (network.storage - add_up(on_hand * network.volume, 0))).clamp(min=0)
    overflow = put_away * (excess / arrived.clamp(min=1e-9)).clamp(max=1)
    return closing - overflow, receipts, overflow


def charge(network: TransferNetwork, flows: Flows, promotion: Tensor | None) -> Costs:
    """Price the period. A cost belongs to the warehouse that caused it: a lane's to the destination that asked."""
    parts: dict[str, Tensor] = {}
    if network.holding_cost is not None:
        parts["holding"] = network.holding_cost * flows.on_hand
    if network.shortage_cost is not None:
        parts["shortage"] = network.shortage_cost * (flows.lost + flows.backorders if network.any_backordered else flows.lost)
    if network.procurement_cost is not None:
        paid = network.procurement_cost * flows.shipments[:, : network.replenishments]
        parts["procurement"] = torch.zeros_like(flows.demand).index_add(1, network.destination[: network.replenishments], paid)
    if network.transport_cost is not None:
        parts["transport"] = torch.zeros_like(flows.demand).index_add(1, network.destination, network.transport_cost * flows.shipments)
    if promotion is not None and network.max_promotion is not None:
        parts["promotion"] = network.promotion_cost * promotion
    if network.overflow_cost is not None:
        parts["overflow"] = network.overflow_cost * flows.overflow
    nothing = none_of(flows.demand)
    total = reduce(torch.add, parts.values()) if parts else nothing
    revenue = nothing if network.price is None else network.price * flows.served
    return Costs(**{name: parts.get(name, nothing) for name in COST_PARTS}, revenue=revenue, total=total)


def none_of(units: Tensor) -> Tensor:
    """Zeros of the same shape that take no memory."""
    return units.new_zeros(()).expand_as(units)
