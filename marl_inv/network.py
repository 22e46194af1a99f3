"""The transfer network: a networkx MultiDiGraph for people, and the same as tensors for the simulator.

In the graph every node has `kind` (`supplier` or `warehouse`) and the fields of `places.Supplier` or `places.Warehouse`, and a
warehouse also `mean_demand` and `sd_demand` (a list over products); every edge, keyed by the lane's name, has the fields of
`places.Lane`; the graph has `products`, `pools`, `lanes` (their names, in order), the fields of `objective.Rules`, `interruptible` (names
that outages may hit) and `longest_delay`. What is absent takes the schema's default.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import networkx
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from marl_inv.common.documents import Document
from marl_inv.common.errors import InputError
from marl_inv.common.records import validate
from marl_inv.incidence import Incidence
from marl_inv.scenario import Scenario
from marl_inv.scenario.fields import Between, per_product
from marl_inv.scenario.objective import Rules
from marl_inv.scenario.places import Lane, Pool, Product, RandomLeadTime, Supplier, Warehouse

UNLIMITED = 1e30
"""Volume that stands for no limit: finite, because infinity makes gradients NaN."""


def unlimited(volume: Any) -> Any:
    """Whether a volume, or each of an array's or a tensor's, stands for no limit, also where an outage leaves a tenth of it."""
    return volume > UNLIMITED / 10


def network_graph(scenario: Scenario, mean_demand: Float[np.ndarray, "K N"], sd_demand: Float[np.ndarray, "K N"]) -> networkx.MultiDiGraph:
    """The scenario's network with the moments of its customers' demand per period."""
    graph = networkx.MultiDiGraph(
        products=[product.model_dump() for product in scenario.product_list],
        pools=[pool.model_dump() for pool in scenario.pools],
        lanes=[lane.name for lane in scenario.lanes],
        interruptible=scenario.interruptible,
        longest_delay=scenario.longest_delay,
        ending=scenario.ending,
        **{key: value for key, value in scenario.model_dump().items() if key in Rules.model_fields},
    )
    for supplier in scenario.suppliers:
        graph.add_node(supplier.name, kind="supplier", **supplier.model_dump(exclude={"name"}))
    for index, warehouse in enumerate(scenario.warehouses):
        moments = {"mean_demand": mean_demand[:, index].tolist(), "sd_demand": sd_demand[:, index].tolist()}
        graph.add_node(warehouse.name, kind="warehouse", **moments, **warehouse.model_dump(exclude={"name", "demand"}))
    for lane in scenario.lanes:
        graph.add_edge(lane.origin, lane.destination, key=lane.name, **lane.model_dump(exclude={"name", "origin", "destination"}))
    return graph


@dataclass(frozen=True)
class SharedLimit:
    """A capacity per period that groups of lanes share, in volume over all products. Lanes of the last group are unlimited."""

    names: tuple[str, ...]
    """Of the lane, pool or supplier that each group but the last is of."""
    group: Int[Tensor, " E"]
    reactive_group: Int[Tensor, " X"]
    capacity: Float[Tensor, "G 1"]
    outage: Int[Tensor, " G"] | None
    """Row of `Chance.available` that the capacity is multiplied by; None where no outage can hit."""

    def now(self, available: Float[Tensor, "M B"] | None) -> Float[Tensor, "G _"]:
        return self.capacity if self.outage is None or available is None else self.capacity * available.index_select(0, self.outage)


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
    """Per unit: the holding it ends, and the shortage, lost sale and missed fill rate it prevents, less its transport and its part of a full
    vehicle. (Not `shipment_cost`, which no unit has a part of.)"""
    waves: tuple[Wave, ...]
    """Moves that save something. Those of a wave share no surplus and no shortage, and a limit only if they save the same; they come after
    all moves that save more and share one of these with them."""
    limited: bool
    """Whether any is under a SharedLimit."""


@dataclass(frozen=True)
class TransferNetwork:
    """The network as the simulator needs it. Replenishment lanes come first, then transfers, each in the scenario's order.

    `lanes` are those that take requests; W counts them and the X reactive ones, V those of both between warehouses. A rate that is zero everywhere
    is None, and so is whatever else a network does not have, so that it costs no time.
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
    """Periods from a request to its arrival when the origin has stock: order delay and lead time."""
    arrivals_by_lead_time: dict[int, Incidence]
    """What the lanes of each lead time bring to every warehouse; without meaning where lead times are random."""
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
    """order_delay x E + lane: where a request stands among what origins hear in 0, 1, 2.. periods; None without delays."""
    longest_order_delay: int
    owes: Float[Tensor, "E 1"] | None
    """1 where the origin owes what it does not ship."""
    limits: tuple[SharedLimit, ...]
    stock_rules: tuple[StockRule, ...]
    lane_order: Int[Tensor, " E"] | None
    """Where every lane stands after replenishments and the lanes of each stock rule are put one after the other; None if in place."""
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
    """Volume that counts as a shipment: what is less is float noise, next to what usually passes at either end."""
    transfer_price: Float[Tensor, "K V 1"] | None
    """Of lanes between warehouses."""
    unit_cost: Float[Tensor, "K E"]
    """What moving one unit costs besides its procurement: transport, holding in transit, its part of a full vehicle."""
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
    """The lane that order-up-to policies ask on: named by the warehouse, or cheapest landed; -1 where no supplier is reached."""
    throughput: Float[Tensor, "K N"]
    """Mean units per period that pass through when everyone asks on the source lane: own demand and that of those it feeds."""
    throughput_sd: Float[Tensor, "K N"]
    size: Float[Tensor, "K N"]
    """Typical units per period, above 0: what quantities are scaled by."""
    component: Int[Tensor, " N"] | None
    """Which part of the network a warehouse is in, of those that no lane, supplier or pool joins; None where it is one."""

    def __repr__(self) -> str:
        counts = {"warehouse": self.warehouses, "supplier": self.suppliers, "lane": self.lanes, "product": self.products}
        told = (f"{len(names)} {thing}{'s' * (len(names) != 1)}" for thing, names in counts.items())
        return f"TransferNetwork({', '.join(told)})"

    @property
    def lane_origin(self) -> list[str]:
        return [self.suppliers[s] for s in self.supplier.tolist()] + [self.warehouses[o] for o in self.origin.tolist()]

    @property
    def interruptible(self) -> bool:
        """Whether an outage may hit any lane, pool or supplier."""
        return any(limit.outage is not None for limit in self.limits)

    def mean(self, values: Float[Tensor, "*R N *C"], dim: int = -1) -> Float[Tensor, "*R _ *C"]:
        """Over the warehouses along `dim`: one value, or of each its own component's."""
        if self.component is None:
            return values.mean(dim, keepdim=True)
        shape = [1] * values.dim()
        shape[dim] = len(self.component)
        members = torch.bincount(self.component).to(values)[self.component].view(shape)
        return torch.zeros_like(values).index_add(dim, self.component, values).index_select(dim, self.component) / members

    @property
    def counted_price(self) -> Float[Tensor, "K N 1"] | None:
        """Revenue per unit as it counts in the reward."""
        return None if self.price is None or not self.weights["revenue"] else self.price * self.weights["revenue"]

    @cached_property
    def _inbound(self) -> list[list[int]]:
        lanes: list[list[int]] = [[] for _ in self.warehouses]
        for lane, destination in enumerate(self.destination.tolist()):
            lanes[destination].append(lane)
        return lanes

    def inbound(self, warehouse: int) -> list[int]:
        """The lanes on which a warehouse asks, in lane order."""
        return self._inbound[warehouse]


def _fields(record: type, attributes: dict[str, Any], **given: Any) -> Any:
    """A record of the attributes that it knows."""
    names = record.model_fields
    known = {key: value for key, value in attributes.items() if key in names} | given
    return validate(record, Document(f"graph: {record.__name__.lower()} {known.get('name')}", known))


def _lane_name(origin: str, destination: str, key: str | int) -> str:
    """The edge's key; networkx numbers edges that were given none."""
    return key if isinstance(key, str) else f"{origin}->{destination}"


@dataclass
class _Users:
    """The waves that use a surplus, a shortage or a limit."""

    saved: float = 0.0
    equals: set[int] = field(default_factory=set)
    """Those with moves that save this."""
    first: int = 0
    """The first one after all that save more."""

    def first_after_better(self, saved: float) -> int:
        """For moves in order of what they save."""
        if saved != self.saved:
            self.first = max(self.equals, default=self.first - 1) + 1
            self.saved, self.equals = saved, set()
        return self.first


class _Builder:
    """A graph's records in the simulator's order, and the tensors made of them."""

    def __init__(self, graph: networkx.MultiDiGraph, device: torch.device, dtype: torch.dtype) -> None:
        self.graph, self.device, self.dtype = graph, device, dtype
        about = graph.graph
        self.products = [_fields(Product, product) for product in about.get("products", [{"name": "product"}])]
        self.pools = [_fields(Pool, pool) for pool in about.get("pools", [])]
        self.rules: Rules = _fields(Rules, about)
        nodes = graph.nodes(data=True)
        self.suppliers = [_fields(Supplier, data, name=name) for name, data in nodes if data.get("kind") == "supplier"]
        self.warehouses = [_fields(Warehouse, data, name=name) for name, data in nodes if data.get("kind", "warehouse") == "warehouse"]
        self.row = {warehouse.name: index for index, warehouse in enumerate(self.warehouses)}
        self.source = {supplier.name: index for index, supplier in enumerate(self.suppliers)}
        self._sort_lanes()
        self.N, self.E, self.K = len(self.warehouses), len(self.lanes), len(self.products)
        self.place = {lane.name: index for index, lane in enumerate(self.lanes)}

    def _sort_lanes(self) -> None:
        edges = self.graph.edges(data=True, keys=True)
        lanes = [_fields(Lane, data, name=_lane_name(u, v, key), origin=u, destination=v) for u, v, key, data in edges]
        order = {name: position for position, name in enumerate(self.graph.graph.get("lanes", []))}
        lanes.sort(key=lambda lane: order.get(lane.name, len(order)))
        if bad := [lane.name for lane in lanes if lane.destination not in self.row]:
            raise InputError(f"graph: lane {bad[0]} does not lead into a warehouse; suppliers only ship")
        if twice := [(name, count) for name, count in Counter(lane.name for lane in lanes).items() if count > 1]:
            raise InputError(f"graph: {twice[0][1]} lanes are named {twice[0][0]}; key every edge by a name of its own")
        self.reactive = [lane for lane in lanes if lane.reactive]
        asking = [lane for lane in lanes if not lane.reactive]
        supplied = [lane for lane in asking if lane.origin in self.source]
        self.lanes = supplied + [lane for lane in asking if lane.origin in self.row]
        self.ways = self.lanes + self.reactive
        self.replenishments = len(supplied)

    def number(self, values: Any) -> Tensor:
        return torch.tensor(values, dtype=self.dtype, device=self.device)

    def index(self, values: list[int] | list[list[int]]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self.device)

    def rate(self, records: list[Any], key: str) -> Tensor:
        """A per-product field of some records: (K, records, 1)."""
        rows = [per_product(getattr(record, key), self.K) for record in records]
        return self.number(rows).reshape(-1, self.K).T.unsqueeze(-1).contiguous()

    def column(self, values: list[float]) -> Tensor:
        return self.number(values).reshape(-1, 1)

    def used(self, rates: Tensor) -> Tensor | None:
        return rates if bool(rates.any()) else None

    def network(self) -> TransferNetwork:
        lanes, warehouses, rules, graph = self.lanes, self.warehouses, self.rules, self.graph
        delay = graph.graph.get("longest_delay", 0)
        lead_times = [round(lane.mean_lead_time) for lane in lanes]
        quickest = [min(lane.lead_time.values) if isinstance(lane.lead_time, RandomLeadTime) else lane.lead_time for lane in lanes]
        destinations = [self.row[lane.destination] for lane in lanes]
        promotions = [warehouse.promotion for warehouse in warehouses]
        backordered = [float(warehouse.unmet_demand == "backordered") for warehouse in warehouses]
        storage = [UNLIMITED if warehouse.storage is None else warehouse.storage for warehouse in warehouses]
        mean_demand, sd_demand = self._moments("mean_demand"), self._moments("sd_demand")
        unit_cost = _unit_cost(lanes, self.products)
        sources = _source_lanes(lanes, warehouses, list(self.source), unit_cost)
        throughput = _pass_upstream(mean_demand, sources, self.row)
        throughput_sd = np.sqrt(_pass_upstream(sd_demand**2, sources, self.row))
        size = _size(throughput, mean_demand, lanes, self.row)
        volume = self.number([product.volume for product in self.products]).reshape(self.K, 1, 1)
        arrivals = Incidence.of(destinations, self.N, volume)
        stock_rules, lane_order = self._stock_rules()
        limits = tuple(self._limits())
        return TransferNetwork(
            graph=graph,
            products=tuple(product.name for product in self.products),
            warehouses=tuple(self.row),
            suppliers=tuple(self.source),
            lanes=tuple(lane.name for lane in lanes),
            replenishments=self.replenishments,
            supplier=self.index([self.source[lane.origin] for lane in lanes[: self.replenishments]]),
            origin=self.index([self.row[lane.origin] for lane in lanes[self.replenishments :]]),
            destination=self.index(destinations),
            lead_time=self.index(lead_times),
            response_time=self.index([lead + lane.order_delay for lead, lane in zip(lead_times, lanes, strict=True)]),
            arrivals_by_lead_time=self._by_lead_time(lead_times, destinations, volume),
            departures=Incidence.of([self.row[lane.origin] for lane in lanes[self.replenishments :]], self.N, volume),
            arrivals=arrivals,
            way_arrivals=Incidence.of([self.row[way.destination] for way in self.ways], self.N, volume) if self.reactive else arrivals,
            supply_arrivals=Incidence.of(destinations[: self.replenishments], self.N, volume),
            longest_lead_time=max((lane.longest for lane in lanes), default=0) + (delay if lanes else 0),
            instant=self.column([float(lead == 0) for lead in lead_times]) if 0 in quickest else None,
            order_slot=self.index([lane.order_delay * self.E + index for index, lane in enumerate(lanes)])
            if any(lane.order_delay for lane in lanes)
            else None,
            longest_order_delay=max((lane.order_delay for lane in lanes), default=0),
            owes=self.used(self.column([float(lane.unfilled == "owed") for lane in lanes])),
            limits=limits,
            stock_rules=stock_rules,
            lane_order=lane_order,
            full_shipment=self._full_shipment(),
            reactive=self._reactive(limits),
            integer=rules.quantities == "integer",
            volume=volume,
            storage=self.column(storage) if min(storage) < UNLIMITED else None,
            keeps_overflow=self.used(self.column([float(w.storage is not None and w.overflow == "kept") for w in warehouses])),
            backordered=self.column(backordered),
            any_lost=min(backordered) == 0,
            any_backordered=max(backordered) == 1,
            max_reserve=None
            if all(w.max_reserve is None for w in warehouses)
            else self.number([per_product(w.max_reserve or 0.0, self.K) for w in warehouses]).T.contiguous(),
            initial_stock=self._initial_stock(),
            initial_pipeline=self._initial_pipeline(delay),
            initial_orders=self._initial_orders(),
            rules=rules,
            weights=rules.reward_weights,
            holding_cost=self.used(self.rate(warehouses, "holding_cost")),
            shortage_cost=self.used(self.rate(warehouses, "shortage_cost")),
            overflow_cost=self.used(self.rate(warehouses, "overflow_cost")),
            price=self.used(self.rate(warehouses, "price")),
            salvage_value=self.used(self.rate(warehouses, "salvage_value")) if graph.graph.get("ending") == "finite" else None,
            procurement_cost=self.used(self.rate(lanes[: self.replenishments], "procurement_cost")),
            transport_cost=self.used(self.rate(self.ways, "transport_cost")),
            in_transit_cost=self.used(self.rate(lanes, "in_transit_cost")),
            shipment_cost=self.used(self.column([way.shipment_cost for way in self.ways])),
            vehicle_cost=self.used(self.column([way.vehicle_cost for way in self.ways])),
            vehicle_capacity=self.column([way.vehicle_capacity or UNLIMITED for way in self.ways]),
            least_load=self._least_load(size),
            transfer_price=self.used(self.rate(self.ways[self.replenishments :], "transfer_price")),
            unit_cost=self.number(unit_cost),
            way_destination=self.index([self.row[way.destination] for way in self.ways]),
            way_origin=self.index([self.row[way.origin] for way in self.ways[self.replenishments :]]),
            max_promotion=self.used(self.column([p.max_level if p and p.decided else 0.0 for p in promotions])),
            promotes=any(p is not None for p in promotions),
            uplift=self.column([p.uplift if p else 0.0 for p in promotions]),
            dip=self.used(self.column([p.dip if p else 0.0 for p in promotions])),
            recovery=self.column([p.recovery if p else 0.0 for p in promotions]),
            promotion_cost=self.column([p.cost if p else 0.0 for p in promotions]),
            max_request=_max_request(lanes, self.number(size), volume, destinations),
            mean_demand=self.number(mean_demand),
            sd_demand=self.number(sd_demand),
            source_lane=self.index([-1 if lane is None else self.place[lane.name] for lane in sources]),
            throughput=self.number(throughput),
            throughput_sd=self.number(throughput_sd),
            size=self.number(size),
            component=self._components(),
        )

    def _components(self) -> Tensor | None:
        links = networkx.Graph((way.origin, way.destination) for way in self.ways)
        links.add_nodes_from(self.row)
        place = {way.name: way.destination for way in self.ways}
        links.add_edges_from(((pool.name, "pool"), place[lane]) for pool in self.pools for lane in pool.lanes)
        parts = [part for part in networkx.connected_components(links) if part & self.row.keys()]
        number = {name: index for index, part in enumerate(parts) for name in part}
        return self.index([number[name] for name in self.row]) if len(parts) > 1 else None

    def _by_lead_time(self, lead_times: list[int], destinations: list[int], like: Tensor) -> dict[int, Incidence]:
        groups: dict[int, list[int]] = defaultdict(list)
        for lane, lead_time in enumerate(lead_times):
            groups[lead_time].append(lane)
        return {lead: Incidence.of([destinations[lane] for lane in lanes], self.N, like, lanes, self.E) for lead, lanes in groups.items()}

    def _moments(self, key: str) -> Float[np.ndarray, "K N"]:
        nodes = self.graph.nodes
        return np.array([nodes[w.name].get(key, [0.0] * self.K) for w in self.warehouses], dtype=float).reshape(self.N, self.K).T

    def _least_load(self, size: Float[np.ndarray, "K N"]) -> Tensor:
        usual = (size * np.array([[product.volume] for product in self.products])).max(0)
        ends = [[self.row[name] for name in (way.origin, way.destination) if name in self.row] for way in self.ways]
        return self.column([64 * torch.finfo(self.dtype).eps * usual[places].max() for places in ends])

    def _initial_stock(self) -> Tensor:
        """Given, or the middle of what it is drawn from."""
        rows = []
        for warehouse in self.warehouses:
            given = warehouse.initial_stock
            low, high = (given.low, given.high) if isinstance(given, Between) else (given, given)
            rows.append([(a + b) / 2 for a, b in zip(per_product(low, self.K), per_product(high, self.K), strict=True)])
        return self.number(rows).T.unsqueeze(-1).contiguous()

    def _initial_pipeline(self, delay: int) -> Tensor | None:
        rows = max((lane.longest for lane in self.lanes), default=0) + delay
        pipeline = torch.zeros(self.K, rows, self.N, 1, dtype=self.dtype, device=self.device)
        for lane in self.lanes:
            if any(units := per_product(lane.initial_shipments, self.K)):
                pipeline[:, : round(lane.mean_lead_time), self.row[lane.destination]] += self.number(units).reshape(-1, 1, 1)
        return self.used(pipeline)

    def _initial_orders(self) -> Tensor | None:
        rows = max((lane.order_delay for lane in self.lanes), default=0)
        orders = torch.zeros(self.K, rows, self.E, 1, dtype=self.dtype, device=self.device)
        for index, lane in enumerate(self.lanes):
            if any(units := per_product(lane.initial_orders, self.K)):
                orders[:, : lane.order_delay, index] = self.number(units).reshape(-1, 1, 1)
        return self.used(orders)

    def _limits(self) -> list[SharedLimit]:
        """Lanes' own capacities, then each pool, then the suppliers' limits; each as groups of lanes under one capacity."""
        outages = {name: row for row, name in enumerate(self.graph.graph.get("interruptible", []))}

        def limit(name: str, capacity: float | None) -> tuple[str, float] | None:
            return None if capacity is None and name not in outages else (name, UNLIMITED if capacity is None else capacity)

        grouped = [{lane.name: limit(lane.name, lane.capacity) for lane in self.ways}]
        grouped += [dict.fromkeys(pool.lanes, limit(pool.name, pool.capacity)) for pool in self.pools]
        output = {supplier.name: limit(supplier.name, supplier.capacity) for supplier in self.suppliers}
        grouped += [{lane.name: output[lane.origin] for lane in self.lanes[: self.replenishments]}]
        limits = []
        for groups in ({lane: group for lane, group in groups.items() if group} for groups in grouped):
            if not groups:
                continue
            capacity = dict(groups.values())
            order = {name: position for position, name in enumerate(capacity)}
            group = [order[groups[way.name][0]] if way.name in groups else len(order) for way in self.ways]
            hit = [outages.get(name, len(outages)) for name in capacity] + [len(outages)]
            limits.append(
                SharedLimit(
                    tuple(capacity),
                    self.index(group[: self.E]),
                    self.index(group[self.E :]),
                    self.column([*capacity.values(), UNLIMITED]),
                    self.index(hit) if min(hit) < len(outages) else None,
                )
            )
        return limits

    def _rule_of(self, lane: Lane) -> str:
        return self.warehouses[self.row[lane.origin]].rationing or self.rules.rationing

    def _stock_rules(self) -> tuple[tuple[StockRule, ...], Tensor | None]:
        by_rule: dict[str, list[int]] = defaultdict(list)
        for index, lane in enumerate(self.lanes[self.replenishments :], start=self.replenishments):
            by_rule[self._rule_of(lane)].append(index)
        rules = [self._stock_rule(name, places) for name, places in sorted(by_rule.items())]
        if len(rules) < 2:
            return tuple(rules), None
        order = [*range(self.replenishments), *(place for _, places in sorted(by_rule.items()) for place in places)]
        return tuple(rules), self.index(np.argsort(order).tolist())

    def _stock_rule(self, name: str, places: list[int]) -> StockRule:
        lanes = [self.lanes[place] for place in places]
        origin = [self.row[lane.origin] for lane in lanes]
        departures = Incidence.of(origin, self.N, torch.empty(self.K, 1, 1, device=self.device))
        rule = StockRule(name, self.index(places), self.index(origin), departures)
        if name == "priority":
            levels = sorted({lane.priority for lane in lanes if lane.priority is not None})
            rounds = [[j for j, lane in enumerate(lanes) if lane.priority == level] for level in (*levels, None)]
            return replace(rule, rounds=tuple(self.index(lanes) for lanes in rounds if lanes))
        if name == "even":
            fans: dict[int, list[int]] = defaultdict(list)
            for j, place in enumerate(origin):
                fans[place].append(j)
            widest, fan_of = max(map(len, fans.values())), {place: row for row, place in enumerate(fans)}
            return replace(
                rule,
                fan_out=self.index([fan + [len(places)] * (widest - len(fan)) for fan in fans.values()]),
                fan_origin=self.index(list(fans)),
                fan=self.index([fan_of[place] for place in origin]),
            )
        return rule

    def _full_shipment(self) -> tuple[Tensor, Tensor, Tensor] | None:
        indexed = enumerate(self.lanes[self.replenishments :], start=self.replenishments)
        places = [index for index, lane in indexed if self._rule_of(lane) == "full_shipment"]
        if not places:
            return None
        origins = [self.row[self.lanes[place].origin] for place in places]
        ways = Counter(origins)
        return self.index(places), self.index(origins), self.column([1 / ways[origin] for origin in origins])

    def _reactive(self, limits: tuple[SharedLimit, ...]) -> ReactiveLanes | None:
        lanes, warehouses, rules, weights = self.reactive, self.warehouses, self.rules, self.rules.reward_weights
        if not lanes:
            return None
        origin, destination = ([self.row[getattr(lane, end)] for lane in lanes] for end in ("origin", "destination"))
        is_lost = self.column([float(warehouse.unmet_demand == "lost") for warehouse in warehouses])
        held = weights["holding"] * self.rate(warehouses, "holding_cost") * (rules.holding_on == "end")
        short = weights["shortage"] * self.rate(warehouses, "shortage_cost") + weights["shortfall"] * rules.service.price
        short = short + weights["revenue"] * self.rate(warehouses, "price") * is_lost
        vehicle = self.number([lane.vehicle_cost / (lane.vehicle_capacity or UNLIMITED) for lane in lanes]).reshape(-1, 1)
        volume = self.number([product.volume for product in self.products]).reshape(-1, 1, 1)
        moving = weights["transport"] * self.rate(lanes, "transport_cost") + weights["vehicle"] * vehicle * volume
        saving = held[:, origin] + short[:, destination] - moving
        groups = [limit.reactive_group.tolist() for limit in limits]
        shared = [[(at, group[x]) for at, group in enumerate(groups) if group[x] < len(limits[at].names)] for x in range(len(lanes))]
        return ReactiveLanes(
            tuple(lane.name for lane in lanes),
            self.index(origin),
            self.index(destination),
            saving,
            tuple(self._waves((saving / volume).squeeze(-1), origin, destination, shared)),
            any(shared),
        )

    def _waves(self, saving: Tensor, origin: list[int], destination: list[int], shared: list[list[tuple[int, int]]]) -> Iterator[Wave]:
        """`saving` is per volume (K, X), `shared` the limits that each lane is under."""
        savings, ways = [float(f"{saved:.6g}") for saved in saving.flatten().tolist()], len(origin)
        waves: dict[int, list[int]] = defaultdict(list)
        users: dict[tuple[int | str, ...], _Users] = defaultdict(_Users)
        for move in sorted((move for move, saved in enumerate(savings) if saved > 0), key=lambda move: -savings[move]):
            product, lane = divmod(move, ways)
            stocks = [users["from", product, origin[lane]], users["to", product, destination[lane]]]
            used = [*stocks, *(users[limit] for limit in shared[lane])]
            wave = max(each.first_after_better(savings[move]) for each in used)
            while any(wave in each.equals for each in stocks):
                wave += 1
            waves[wave].append(move)
            for each in used:
                each.equals.add(wave)
        for _, moves in sorted(waves.items()):
            products, lanes = zip(*(divmod(move, ways) for move in moves), strict=True)
            yield Wave(
                self.index(moves),
                self.index([product * self.N + origin[lane] for product, lane in zip(products, lanes, strict=True)]),
                self.index([product * self.N + destination[lane] for product, lane in zip(products, lanes, strict=True)]),
                self.index(list(lanes)),
                self.column([self.products[product].volume for product in products]),
            )


def network_from_graph(
    graph: networkx.MultiDiGraph, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> TransferNetwork:
    """Read the attributes that the module's docstring lists; unknown ones are ignored. Raises InputError for a graph that cannot be."""
    return _Builder(graph, torch.device(device), dtype).network()


def _unit_cost(lanes: list[Lane], products: list[Product]) -> Float[np.ndarray, "K E"]:
    cost, volume = np.zeros((len(products), len(lanes))), np.array([product.volume for product in products])
    for column, lane in enumerate(lanes):
        in_transit = np.array(per_product(lane.in_transit_cost, len(products))) * lane.mean_lead_time
        vehicle = lane.vehicle_cost * volume / lane.vehicle_capacity if lane.vehicle_capacity else 0.0
        cost[:, column] = np.array(per_product(lane.transport_cost, len(products))) + in_transit + vehicle
    return cost


def _source_lanes(
    lanes: list[Lane], warehouses: list[Warehouse], suppliers: list[str], unit_cost: Float[np.ndarray, "K E"]
) -> list[Lane | None]:
    """For every warehouse the lane it names, or the last one of the cheapest (then quickest, then first) way from a supplier; or None."""
    ways = networkx.DiGraph()
    for lane, moving in zip(lanes, unit_cost.T, strict=True):
        cost = float(np.mean(lane.procurement_cost) + moving.mean()) + 1e-6 * (lane.mean_lead_time + 1)
        if not ways.has_edge(lane.origin, lane.destination) or cost < ways[lane.origin][lane.destination]["cost"]:
            ways.add_edge(lane.origin, lane.destination, cost=cost, lane=lane)
    starts = [supplier for supplier in suppliers if supplier in ways]
    paths = networkx.multi_source_dijkstra_path(ways, starts, weight="cost") if starts else {}
    named = {lane.name: lane for lane in lanes}
    chosen: list[Lane | None] = []
    for warehouse in warehouses:
        path = paths.get(warehouse.name)
        chosen.append(named[warehouse.source_lane] if warehouse.source_lane else ways[path[-2]][path[-1]]["lane"] if path else None)
    return chosen


def _pass_upstream(demand: np.ndarray, sources: list[Lane | None], row: dict[str, int]) -> np.ndarray:
    """Every warehouse's own demand plus that of all who are fed through it along source lanes."""
    total = demand.copy()
    for start in range(demand.shape[1]):
        visited, lane = {start}, sources[start]
        while lane is not None and lane.origin in row and row[lane.origin] not in visited:
            total[:, row[lane.origin]] += demand[:, start]
            visited.add(row[lane.origin])
            lane = sources[row[lane.origin]]
    return total


def _size(throughput: np.ndarray, demand: np.ndarray, lanes: list[Lane], row: dict[str, int]) -> np.ndarray:
    """Throughput; for a warehouse that is nobody's source, an equal share of the demand of those it could serve; 1 where that is 0."""
    transfers = [(row[lane.origin], row[lane.destination]) for lane in lanes if lane.origin in row]
    ways_in = np.bincount([destination for _, destination in transfers], minlength=demand.shape[1])
    share = np.zeros_like(demand)
    for origin, destination in transfers:
        share[:, origin] += demand[:, destination] / ways_in[destination]
    size = np.where(throughput > 0, throughput, share)
    return np.where(size > 0, size, 1.0)


def _max_request(lanes: list[Lane], size: Tensor, volume: Tensor, destinations: list[int]) -> Tensor:
    """What the lane says, or its capacity, or 4 x the demand over its lead time and the period of review."""
    columns = []
    for lane, destination in zip(lanes, destinations, strict=True):
        if lane.max_request is not None:
            columns.append(torch.full_like(size[:, 0], lane.max_request))
        elif lane.capacity is not None:
            columns.append(lane.capacity / volume[:, 0, 0])
        else:
            columns.append(4 * (lane.mean_lead_time + 1) * size[:, destination])
    return torch.stack(columns, dim=1) if columns else size.new_zeros(len(size), 0)
