"""The transfer network: a networkx MultiDiGraph for people, and the same as tensors for the simulator.

In the graph every node has `kind` (`supplier` or `warehouse`) and the fields of `places.Supplier` or
`places.Warehouse`, and a warehouse also `mean_demand`, `sd_demand` and `reach` (lists over products); every
edge, keyed by the lane's name, has the fields of `places.Lane`; the graph has `products`, `pools`, `lanes`
(their names, in order), the fields of `objective.Rules`, `ending`, `horizon`, `warm_up` and
`discount_factor`, `interruptible` (names that outages may hit) and `longest_delay`. What is absent takes the
schema's default.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx
import torch
from jaxtyping import Float, Int
from torch import Tensor

from marl_inv.network.incidence import Incidence
from marl_inv.scenario.objective import Rules

UNLIMITED = 1e30
"""Volume that stands for no limit: finite, because infinity makes gradients NaN."""


def unlimited(volume: Any) -> Any:
    """Whether a volume, or each of an array's or a tensor's, stands for no limit, also where an outage leaves
    a tenth of it."""
    return volume > UNLIMITED / 10


@dataclass(frozen=True)
class SharedLimit:
    """A capacity per period that groups of lanes share, in volume over all products. Lanes of the last group
    are unlimited."""

    names: tuple[str, ...]
    """Of the lane, pool, supplier or warehouse that each group but the last is of."""
    group: Int[Tensor, " E"]
    reactive_group: Int[Tensor, " X"]
    capacity: Float[Tensor, "G 1"]
    outage: Int[Tensor, " G"] | None
    """Row of `Chance.available` that the capacity is multiplied by; None where no outage can hit."""

    def now(self, available: Float[Tensor, "M B"] | None) -> Float[Tensor, "G _"]:
        return (
            self.capacity
            if self.outage is None or available is None
            else self.capacity * available.index_select(0, self.outage)
        )


@dataclass(frozen=True)
class StockRule:
    """The lanes whose origins share their stock by one rule."""

    name: str
    lanes: Int[Tensor, " J"]
    """Their places among all lanes."""
    origin: Int[Tensor, " J"]
    departures: Incidence
    rounds: tuple[Int[Tensor, " _"], ...] = ()
    """For `priority`: places in `lanes`, by priority."""
    fan_out: Int[Tensor, "O D"] | None = None
    """For `even`: places in `lanes` of every origin's lanes, filled up with J."""
    fan_origin: Int[Tensor, " O"] | None = None
    fan: Int[Tensor, " J"] | None = None
    """Row of `fan_out` that each lane is in."""


@dataclass(frozen=True)
class Wave:
    """Reactive moves that are made at once. A move is a product on a reactive lane."""

    move: Int[Tensor, " J"]
    """product x X + lane."""
    origin: Int[Tensor, " J"]
    """product x N + warehouse; and so the destination."""
    destination: Int[Tensor, " J"]
    lane: Int[Tensor, " J"]
    volume: Float[Tensor, "J 1"]


@dataclass(frozen=True)
class ReactiveLanes:
    """Lanes that move surplus to shortage after demand, by what moving a volume saves, the most first."""

    names: tuple[str, ...]
    origin: Int[Tensor, " X"]
    destination: Int[Tensor, " X"]
    saving: Float[Tensor, "K X 1"]
    """Per unit: the holding it ends, and the shortage, lost sale and missed fill rate it prevents, less its
    transport and its part of a full vehicle. (Not `shipment_cost`, which no unit has a part of.)"""
    waves: tuple[Wave, ...]
    """Moves that save something. Those of a wave share no surplus and no shortage, and a limit only if they
    save the same; they come after all moves that save more and share one of these with them."""
    limited: bool
    """Whether any is under a SharedLimit."""


@dataclass(frozen=True)
class TransferNetwork:
    """The network as the simulator needs it. Replenishment lanes come first, then transfers, each in the
    scenario's order.

    `lanes` are those that take requests; W counts them and the X reactive ones, V those of both between
    warehouses. A rate that is zero everywhere is None, and so is whatever else a network does not have, so
    that it costs no time.
    """

    graph: networkx.MultiDiGraph
    products: tuple[str, ...]
    warehouses: tuple[str, ...]
    suppliers: tuple[str, ...]
    lanes: tuple[str, ...]
    replenishments: int
    """How many of the lanes come from suppliers."""
    destination: Int[Tensor, " E"]
    supplier: Int[Tensor, " R"]
    """Supplier that each replenishment lane leaves."""
    origin: Int[Tensor, " E-R"]
    """Warehouse that each transfer lane leaves."""
    lead_time: Int[Tensor, " E"]
    """Whole periods; the mean, rounded, where it is random."""
    response_time: Int[Tensor, " E"]
    """Periods from a need to what is asked for it, when the origin has stock: until the lane takes requests
    (at most), order delay and lead time."""
    minimum_order: Float[Tensor, "K E 1"] | None
    """Units below which a request counts as none."""
    pack_size: Float[Tensor, "K E 1"] | None
    """Units in a pack; 0 where any quantity may be asked for."""
    review: Int[Tensor, "2 E"] | None
    """Periods from one in which a lane takes requests to the next, and the first such period; None where all
    lanes take requests in every period."""
    arrivals_by_lead_time: dict[int, Incidence]
    """What the lanes of each lead time bring to every warehouse; without meaning where lead times are
    random."""
    departures: Incidence
    """From transfer lanes to their origins."""
    arrivals: Incidence
    """From lanes to their destinations."""
    way_arrivals: Incidence
    """From lanes and reactive lanes to their destinations."""
    supply_arrivals: Incidence
    """From replenishment lanes to their destinations."""
    longest_lead_time: int
    instant: Float[Tensor, "E 1"] | None
    """1 where the lead time is 0; None when no lane's ever is."""
    order_slot: Int[Tensor, " E"] | None
    """order_delay x E + lane: where a request stands among what origins hear in 0, 1, 2.. periods; None
    without delays."""
    longest_order_delay: int
    owes: Float[Tensor, "E 1"] | None
    """1 where the origin owes what it does not ship."""
    limits: tuple[SharedLimit, ...]
    stock_rules: tuple[StockRule, ...]
    lane_order: Int[Tensor, " E"] | None
    """Where every lane stands after replenishments and the lanes of each stock rule are put one after the
    other; None if in place."""
    full_shipment: tuple[Int[Tensor, " J"], Int[Tensor, " J"], Float[Tensor, "J 1"]] | None
    """Lanes out of cross-docks, their origins, and the share of each if nobody asks."""
    reactive: ReactiveLanes | None
    integer: bool
    volume: Float[Tensor, "K 1 1"]
    storage: Float[Tensor, "N 1"] | None
    keeps_overflow: Float[Tensor, "N 1"] | None
    """1 where units beyond the storage are kept; None where all are discarded."""
    backordered: Float[Tensor, "N 1"]
    """1 where unmet demand is backordered, 0 where it is lost."""
    any_lost: bool
    any_backordered: bool
    max_reserve: Float[Tensor, "K N"] | None
    initial_stock: Float[Tensor, "K N 1"]
    initial_pipeline: Float[Tensor, "K L N 1"] | None
    """What arrives for the first period, the one after it, and so on."""
    initial_orders: Float[Tensor, "K D E 1"] | None
    rules: Rules
    weights: dict[str, float]
    """How every part of money counts in the reward."""
    holding_cost: Float[Tensor, "K N 1"] | None
    shortage_cost: Float[Tensor, "K N 1"] | None
    overflow_cost: Float[Tensor, "K N 1"] | None
    price: Float[Tensor, "K N 1"] | None
    salvage_value: Float[Tensor, "K N 1"] | None
    procurement_cost: Float[Tensor, "K R 1"] | None
    transport_cost: Float[Tensor, "K W 1"] | None
    in_transit_cost: Float[Tensor, "K E 1"] | None
    """Per unit and period of lead time."""
    shipment_cost: Float[Tensor, "W 1"] | None
    vehicle_cost: Float[Tensor, "W 1"] | None
    vehicle_capacity: Float[Tensor, "W 1"]
    least_load: Float[Tensor, "W 1"]
    """Volume that counts as a shipment: what is less is float noise, next to what usually passes at either
    end."""
    transfer_price: Float[Tensor, "K V 1"] | None
    """Of lanes between warehouses."""
    unit_cost: Float[Tensor, "K E"]
    """What moving one unit costs besides its procurement: transport, holding in transit, its part of a full
    vehicle."""
    way_destination: Int[Tensor, " W"]
    """Of lanes and reactive lanes."""
    way_origin: Int[Tensor, " V"]
    max_promotion: Float[Tensor, "N 1"] | None
    """What warehouses may decide; None where none decides."""
    promotes: bool
    """Whether any warehouse has promotions, decided or planned."""
    uplift: Float[Tensor, "N 1"]
    dip: Float[Tensor, "N 1"] | None
    recovery: Float[Tensor, "N 1"]
    promotion_cost: Float[Tensor, "N 1"]
    max_request: Float[Tensor, "K E"]
    mean_demand: Float[Tensor, "K N"]
    sd_demand: Float[Tensor, "K N"]
    source_lane: Int[Tensor, " N"]
    """The lane that order-up-to policies ask on: named by the warehouse, or cheapest landed; -1 where no
    supplier is reached."""
    throughput: Float[Tensor, "K N"]
    """Mean units per period that pass through when everyone asks on the source lane: own demand and that of
    those it feeds."""
    throughput_sd: Float[Tensor, "K N"]
    size: Float[Tensor, "K N"]
    """Typical units per period, above 0: what quantities are scaled by."""
    reach: Float[Tensor, "K N"]
    """`size`, or what passes through while data is evaluated where that is of another scale: what requests
    may come to."""
    component: Int[Tensor, " N"] | None
    """Which part of the network a warehouse is in, of those that no lane, supplier or pool joins; None where
    it is one."""

    def __repr__(self) -> str:
        counts = {
            "warehouse": self.warehouses,
            "supplier": self.suppliers,
            "lane": self.lanes,
            "product": self.products,
        }
        told = (f"{len(names)} {thing}{'s' * (len(names) != 1)}" for thing, names in counts.items())
        return f"TransferNetwork({', '.join(told)})"

    @property
    def lane_origin(self) -> list[str]:
        return [self.suppliers[s] for s in self.supplier.tolist()] + [
            self.warehouses[o] for o in self.origin.tolist()
        ]

    @property
    def interruptible(self) -> bool:
        """Whether an outage may hit any lane, pool, supplier or warehouse."""
        return any(limit.outage is not None for limit in self.limits)

    def mean(self, values: Float[Tensor, ...], dim: int = -1) -> Float[Tensor, ...]:
        """Over the warehouses along `dim`: one value, or of each its own component's."""
        if self.component is None:
            return values.mean(dim, keepdim=True)
        shape = [1] * values.dim()
        shape[dim] = len(self.component)
        members = torch.bincount(self.component).to(values)[self.component].view(shape)
        return (
            torch.zeros_like(values).index_add(dim, self.component, values).index_select(dim, self.component)
            / members
        )

    def until_review(self, period: int) -> Int[Tensor, " E"]:
        """Periods until each lane takes requests; 0 where it does now."""
        assert self.review is not None
        every, first = self.review
        return (first - period).remainder(every)

    @property
    def counted_price(self) -> Float[Tensor, "K N 1"] | None:
        """Revenue per unit as it counts in the reward."""
        return (
            None
            if self.price is None or not self.weights["revenue"]
            else self.price * self.weights["revenue"]
        )

    @property
    def counted(self) -> dict[str, float]:
        """`weights`, or 1 for every part where none counts that stock serves, as under `utility`."""
        serving = ("holding", "shortage", "shortfall", "revenue")
        if any(self.weights[part] for part in serving):
            return self.weights
        return dict.fromkeys(self.weights, 1.0) | {"shortfall": 0.0, "revenue": 0.0}

    @cached_property
    def waits(self) -> Int[Tensor, " E"]:
        """1 on lanes that deliver at once to a warehouse which feeds others: only a period later can it ship
        on what arrives."""
        sources = self.source_lane[self.source_lane >= self.replenishments]
        feeds = torch.zeros_like(self.source_lane).index_fill(
            0, self.origin[sources - self.replenishments], 1
        )
        return feeds[self.destination] * (self.lead_time == 0)

    @property
    def passed_on(self) -> tuple[Float[Tensor, "K N"], Float[Tensor, "K N"]]:
        """Mean and variance of the part of `throughput` that goes to other warehouses."""
        variance = self.throughput_sd**2 - self.sd_demand**2
        return self.throughput - self.mean_demand, variance.clamp(min=0)

    def lead_time_demand(self, lanes: Int[Tensor, " N"]) -> tuple[Float[Tensor, "K N"], Float[Tensor, "K N"]]:
        """Mean and standard deviation of what passes through every warehouse from a request on its lane of
        these until what that brings is used, the period of review included."""
        if not self.lanes:
            return torch.zeros_like(self.throughput), torch.zeros_like(self.throughput)
        lanes = lanes.clamp(min=0)
        periods, waits = (self.response_time[lanes] + 1).to(self.size), self.waits[lanes]
        mean, variance = self.passed_on
        longer = (self.throughput_sd**2 * periods + variance * waits).sqrt()
        return (
            self.throughput * periods + mean * waits,
            torch.where(waits > 0, longer, self.throughput_sd * periods.sqrt()),
        )

    @cached_property
    def _inbound(self) -> list[list[int]]:
        lanes: list[list[int]] = [[] for _ in self.warehouses]
        for lane, destination in enumerate(self.destination.tolist()):
            lanes[destination].append(lane)
        return lanes

    def inbound(self, warehouse: int) -> list[int]:
        """The lanes on which a warehouse asks, in lane order."""
        return self._inbound[warehouse]
