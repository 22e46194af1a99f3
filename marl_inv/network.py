"""The transfer network: a networkx MultiDiGraph for people, and the same as tensors for the simulator.

In the graph every node has `kind` (`supplier` or `warehouse`) and the fields of `scenario.Supplier` or `scenario.Warehouse`, and a
warehouse also `mean_demand` and `sd_demand` (a list over products); every edge, keyed by the lane's name, has the fields of
`scenario.Lane`; the graph has `products`, `pools`, `objective` and `lanes` (their names, in order). What is absent takes the
scenario's default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import networkx
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from marl_inv.reading import Document, InputError, validate
from marl_inv.scenario import Scenario
from marl_inv.schema import Lane, Pool, Product, Supplier, Warehouse, per_product

UNLIMITED = 1e30
"""Volume that stands for no limit: finite, because infinity makes gradients NaN."""


def to_graph(scenario: Scenario, mean_demand: Float[np.ndarray, "K N"], sd_demand: Float[np.ndarray, "K N"]) -> networkx.MultiDiGraph:
    """The scenario's network with the moments of its customers' demand per period."""
    graph = networkx.MultiDiGraph(
        products=[product.model_dump() for product in scenario.product_list],
        pools=[pool.model_dump() for pool in scenario.pools],
        objective=scenario.objective,
        lanes=[lane.name for lane in scenario.lanes],
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

    group: Int[Tensor, " E"]
    capacity: Float[Tensor, "G 1"]


@dataclass(frozen=True)
class TransferNetwork:
    """The network as the simulator needs it. Replenishment lanes come first, then transfers, each in the scenario's order.

    A rate that is zero everywhere is None, so that what a network does not use costs no time.
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
    arrival_slot: Int[Tensor, " E"]
    """lead_time x N + destination: where a shipment stands among what is due in 0, 1, 2.. periods."""
    longest_lead_time: int
    instant: Float[Tensor, "E 1"] | None
    """1 where the lead time is 0; None when no lane is."""
    limits: tuple[SharedLimit, ...]
    volume: Float[Tensor, "K 1 1"]
    storage: Float[Tensor, "N 1"] | None
    backordered: Float[Tensor, "N 1"]
    """1 where unmet demand is backordered, 0 where it is lost."""
    any_lost: bool
    any_backordered: bool
    initial_stock: Float[Tensor, "K N 1"]
    holding_cost: Float[Tensor, "K N 1"] | None
    shortage_cost: Float[Tensor, "K N 1"] | None
    overflow_cost: Float[Tensor, "K N 1"] | None
    price: Float[Tensor, "K N 1"] | None
    procurement_cost: Float[Tensor, "K R 1"] | None
    transport_cost: Float[Tensor, "K E 1"] | None
    max_promotion: Float[Tensor, "N 1"] | None
    uplift: Float[Tensor, "N 1"]
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

    @property
    def lane_origin(self) -> list[str]:
        return [self.suppliers[s] for s in self.supplier.tolist()] + [self.warehouses[o] for o in self.origin.tolist()]

    def inbound(self, warehouse: int) -> list[int]:
        """The lanes on which a warehouse asks, in lane order."""
        return [lane for lane, destination in enumerate(self.destination.tolist()) if destination == warehouse]

    @classmethod
    def from_graph(
        cls, graph: networkx.MultiDiGraph, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> TransferNetwork:
        """Read the attributes that the module's docstring lists; unknown ones are ignored. Raises InputError for a graph that cannot be."""
        return _from_graph(graph, torch.device(device), dtype)


def _fields(record: type, attributes: dict[str, Any], **given: Any) -> Any:
    """A record of the attributes that it knows."""
    known = {key: value for key, value in attributes.items() if key in record.model_fields} | given
    return validate(record, Document(f"graph: {record.__name__.lower()} {known.get('name')}", known))


def _lane_name(origin: str, destination: str, key: str | int) -> str:
    """The edge's key; networkx numbers edges that were given none."""
    return key if isinstance(key, str) else f"{origin}->{destination}"


def _from_graph(graph: networkx.MultiDiGraph, device: torch.device, dtype: torch.dtype) -> TransferNetwork:
    products = [_fields(Product, product) for product in graph.graph.get("products", [{"name": "product"}])]
    pools = [_fields(Pool, pool) for pool in graph.graph.get("pools", [])]
    suppliers = [_fields(Supplier, data, name=name) for name, data in graph.nodes(data=True) if data.get("kind") == "supplier"]
    warehouses = [
        _fields(Warehouse, data, name=name) for name, data in graph.nodes(data=True) if data.get("kind", "warehouse") == "warehouse"
    ]
    row = {warehouse.name: index for index, warehouse in enumerate(warehouses)}
    source = {supplier.name: index for index, supplier in enumerate(suppliers)}
    edges = graph.edges(data=True, keys=True)
    lanes = [_fields(Lane, data, name=_lane_name(u, v, key), origin=u, destination=v) for u, v, key, data in edges]
    order = {name: position for position, name in enumerate(graph.graph.get("lanes", []))}
    lanes.sort(key=lambda lane: order.get(lane.name, len(order)))
    if bad := [lane.name for lane in lanes if lane.destination not in row]:
        raise InputError(f"graph: lane {bad[0]} does not lead into a warehouse; suppliers only ship")
    names = [lane.name for lane in lanes]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"graph: {len(twice)} lanes are named {twice[0]}; key every edge by a name of its own")
    lanes = [lane for lane in lanes if lane.origin in source] + [lane for lane in lanes if lane.origin in row]
    replenishments = sum(lane.origin in source for lane in lanes)
    K, N, E = len(products), len(warehouses), len(lanes)

    def number(values: Any) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)

    def index(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=device)

    def rate(records: list[Any], key: str) -> Tensor:
        return number([per_product(getattr(record, key), K) for record in records]).reshape(-1, K).T.unsqueeze(-1).contiguous()

    def used(rates: Tensor) -> Tensor | None:
        return rates if bool(rates.any()) else None

    volume = number([product.volume for product in products]).reshape(K, 1, 1)
    lead_times = [lane.lead_time for lane in lanes]
    destinations = [row[lane.destination] for lane in lanes]
    promotions = [warehouse.promotion for warehouse in warehouses]
    backordered = [float(warehouse.unmet_demand == "backordered") for warehouse in warehouses]
    storage = [UNLIMITED if warehouse.storage is None else warehouse.storage for warehouse in warehouses]
    mean_demand = np.array([graph.nodes[w.name].get("mean_demand", [0.0] * K) for w in warehouses], dtype=float).reshape(N, K).T
    sd_demand = np.array([graph.nodes[w.name].get("sd_demand", [0.0] * K) for w in warehouses], dtype=float).reshape(N, K).T
    sources = _source_lanes(lanes, warehouses, list(source))
    throughput = _pass_upstream(mean_demand, sources, lanes, row)
    throughput_sd = np.sqrt(_pass_upstream(sd_demand**2, sources, lanes, row))
    size = _size(throughput, mean_demand, lanes, row)
    return TransferNetwork(
        graph=graph,
        products=tuple(product.name for product in products),
        warehouses=tuple(row),
        suppliers=tuple(source),
        lanes=tuple(lane.name for lane in lanes),
        replenishments=replenishments,
        supplier=index([source[lane.origin] for lane in lanes[:replenishments]]),
        origin=index([row[lane.origin] for lane in lanes[replenishments:]]),
        destination=index(destinations),
        lead_time=index(lead_times),
        arrival_slot=index([lead * N + destination for lead, destination in zip(lead_times, destinations, strict=True)]),
        longest_lead_time=max(lead_times, default=0),
        instant=used(number([[float(lead == 0)] for lead in lead_times]).reshape(E, 1)),
        limits=tuple(_limits(lanes, pools, suppliers, dtype, device)),
        volume=volume,
        storage=number(storage).reshape(N, 1) if min(storage) < UNLIMITED else None,
        backordered=number(backordered).reshape(N, 1),
        any_lost=min(backordered) == 0,
        any_backordered=max(backordered) == 1,
        initial_stock=rate(warehouses, "initial_stock"),
        holding_cost=used(rate(warehouses, "holding_cost")),
        shortage_cost=used(rate(warehouses, "shortage_cost")),
        overflow_cost=used(rate(warehouses, "overflow_cost")),
        price=used(rate(warehouses, "price")) if graph.graph.get("objective", "cost") == "profit" else None,
        procurement_cost=used(rate(lanes[:replenishments], "procurement_cost")),
        transport_cost=used(rate(lanes, "transport_cost")),
        max_promotion=used(number([[p.max_level if p else 0.0] for p in promotions])),
        uplift=number([[p.uplift if p else 0.0] for p in promotions]),
        promotion_cost=number([[p.cost if p else 0.0] for p in promotions]),
        max_request=_max_request(lanes, number(size), volume, destinations),
        mean_demand=number(mean_demand),
        sd_demand=number(sd_demand),
        source_lane=index([-1 if lane is None else lanes.index(lane) for lane in sources]),
        throughput=number(throughput),
        throughput_sd=number(throughput_sd),
        size=number(size),
    )


def _limits(lanes: list[Lane], pools: list[Pool], suppliers: list[Supplier], dtype: torch.dtype, device: torch.device) -> list[SharedLimit]:
    """Lanes' own capacities, then each pool, then the suppliers' limits; each as groups of lanes under one capacity."""
    grouped = [{lane.name: (lane.name, lane.capacity) for lane in lanes if lane.capacity is not None}]
    grouped += [dict.fromkeys(pool.lanes, (pool.name, pool.capacity)) for pool in pools]
    limit = {supplier.name: supplier.capacity for supplier in suppliers if supplier.capacity is not None}
    grouped += [{lane.name: (lane.origin, limit[lane.origin]) for lane in lanes if lane.origin in limit}]
    limits = []
    for groups in filter(None, grouped):
        capacity = dict(groups.values())
        order = {name: position for position, name in enumerate(capacity)}
        group = [order[groups[lane.name][0]] if lane.name in groups else len(order) for lane in lanes]
        volumes = [*capacity.values(), UNLIMITED]
        limits.append(SharedLimit(torch.tensor(group, device=device), torch.tensor(volumes, dtype=dtype, device=device).unsqueeze(-1)))
    return limits


def _source_lanes(lanes: list[Lane], warehouses: list[Warehouse], suppliers: list[str]) -> list[Lane | None]:
    """For every warehouse the lane it names, or the last one of the cheapest (then quickest, then first) way from a supplier; or None."""
    ways = networkx.DiGraph()
    for lane in lanes:
        cost = float(np.mean(lane.procurement_cost) + np.mean(lane.transport_cost)) + 1e-6 * (lane.lead_time + 1)
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


def _pass_upstream(demand: np.ndarray, sources: list[Lane | None], lanes: list[Lane], row: dict[str, int]) -> np.ndarray:
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
            columns.append(4 * (lane.lead_time + 1) * size[:, destination])
    return torch.stack(columns, dim=1) if columns else size.new_zeros(len(size), 0)
