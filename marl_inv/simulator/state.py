"""The records of a period: what there is, what is decided, what moves, what it costs, and what chance
brings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marl_inv.network import TransferNetwork
from marl_inv.simulator.rationing import add_up


@dataclass(frozen=True)
class State:
    """What decisions have led to: stock, goods on their way, and what has been asked for and not yet been
    sent."""

    inventory_level: Float[Tensor, "K N B"]
    """On hand minus customers' backorders."""
    due: tuple[Float[Tensor, "K N B"], ...] = ()
    """On their way to every warehouse: what arrives in time for the next period's demand, for that of the one
    after it, and so on."""
    orders: Float[Tensor, "K D E B"] | None = None
    """Requests on their way to the origin, which hears of row d in d periods; None without order delays."""
    owed: Float[Tensor, "K E B"] | None = None
    """Asked for and still owed by the origin of a lane; None where everything unfilled is forgotten."""
    dip: Float[Tensor, "K N B"] | None = None
    """Level of past promotions that still weighs on demand; None where none does."""

    def replication(self, number: int) -> State:
        """That replication alone: a batch of one."""
        alone = {
            name: value[..., number : number + 1]
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
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
    """What a warehouse has asked for and will get: in transit, owed to it, and requested where the origin has
    not heard of it yet."""
    coming = state.in_transit
    if state.owed is not None:
        coming = coming + network.arrivals(state.owed)
    if state.orders is not None:
        coming = coming + network.arrivals(add_up(state.orders, 1))
    return coming


def owed_to_others(network: TransferNetwork, state: State) -> Float[Tensor, "K N B"]:
    """What a warehouse owes to those whose requests it could not fill."""
    return (
        none_of(state.inventory_level)
        if state.owed is None
        else network.departures(state.owed[:, network.replenishments :])
    )


def inventory_position(network: TransferNetwork, state: State) -> Float[Tensor, "K N B"]:
    """On hand plus on order, minus what is owed to customers and to other warehouses."""
    position = state.inventory_level + on_order(network, state)
    return position if state.owed is None else position - owed_to_others(network, state)


@dataclass(frozen=True)
class Decision:
    """What every warehouse asks for, how hard it promotes and what it keeps back from others, all at the same
    time."""

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
        return (
            self.demand - self.lost + (-self.opening_level).clamp(min=0) - (-self.closing_level).clamp(min=0)
        )


@dataclass(frozen=True)
class Costs:
    """A period's money, per product and per warehouse that caused it.

    The reward is the incomes (`objective.INCOME_PARTS`) less the costs (`objective.COST_PARTS`), each times
    its weight in `TransferNetwork.weights`; a part that the objective does not count has weight 0 and is here
    all the same.
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
    """Share of its capacity that each of `Scenario.interruptible` has now, then a row of ones; None without
    outages."""
    promotion: Float[Tensor, "N 1"] | None = None
    """Planned promotion level; None where none is planned."""
    takes_requests: Bool[Tensor, "E 1"] | None = None
    """Whether each lane takes requests now; None where all do."""
    last: bool = False
    """Whether it is the trace's last period."""


def initial_state(
    network: TransferNetwork, replications: int, stock: Float[Tensor, "K N B"] | None = None
) -> State:
    """Starting stock (the network's unless it is given, as where it is drawn), and what is on its way before
    the first period."""
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


def none_of(units: Tensor) -> Tensor:
    """Zeros of the same shape that take no memory."""
    return units.new_zeros(()).expand_as(units)
