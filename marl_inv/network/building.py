"""From a graph's records in the simulator's order to the tensors of a TransferNetwork."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import networkx
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from marl_inv.common.documents import Document
from marl_inv.common.errors import InputError
from marl_inv.common.records import validate
from marl_inv.network.incidence import Incidence
from marl_inv.network.sourcing import pass_upstream, request_limits, source_lanes, unit_costs, usual_size
from marl_inv.network.transfer_network import (
    UNLIMITED,
    ReactiveLanes,
    SharedLimit,
    StockRule,
    TransferNetwork,
    Wave,
)
from marl_inv.scenario.fields import Between, per_product
from marl_inv.scenario.objective import Rules
from marl_inv.scenario.places import Lane, Pool, Product, RandomLeadTime, Supplier, Warehouse


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
        self.products = [
            _fields(Product, product) for product in about.get("products", [{"name": "product"}])
        ]
        self.pools = [_fields(Pool, pool) for pool in about.get("pools", [])]
        self.rules: Rules = _fields(Rules, about)
        nodes = graph.nodes(data=True)
        self.suppliers = [
            _fields(Supplier, data, name=name) for name, data in nodes if data.get("kind") == "supplier"
        ]
        self.warehouses = [
            _fields(Warehouse, data, name=name)
            for name, data in nodes
            if data.get("kind", "warehouse") == "warehouse"
        ]
        self.row = {warehouse.name: index for index, warehouse in enumerate(self.warehouses)}
        self.source = {supplier.name: index for index, supplier in enumerate(self.suppliers)}
        self._sort_lanes()
        self.N, self.E, self.K = len(self.warehouses), len(self.lanes), len(self.products)
        self.place = {lane.name: index for index, lane in enumerate(self.lanes)}

    def _sort_lanes(self) -> None:
        edges = self.graph.edges(data=True, keys=True)
        lanes = [
            _fields(Lane, data, name=_lane_name(u, v, key), origin=u, destination=v)
            for u, v, key, data in edges
        ]
        order = {name: position for position, name in enumerate(self.graph.graph.get("lanes", []))}
        lanes.sort(key=lambda lane: order.get(lane.name, len(order)))
        if bad := [lane.name for lane in lanes if lane.destination not in self.row]:
            raise InputError(f"graph: lane {bad[0]} does not lead into a warehouse; suppliers only ship")
        if twice := [
            (name, count) for name, count in Counter(lane.name for lane in lanes).items() if count > 1
        ]:
            raise InputError(
                f"graph: {twice[0][1]} lanes are named {twice[0][0]}; key every edge by a name of its own"
            )
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
        quickest = [
            min(lane.lead_time.values) if isinstance(lane.lead_time, RandomLeadTime) else lane.lead_time
            for lane in lanes
        ]
        destinations = [self.row[lane.destination] for lane in lanes]
        promotions = [warehouse.promotion for warehouse in warehouses]
        backordered = [float(warehouse.unmet_demand == "backordered") for warehouse in warehouses]
        storage = [UNLIMITED if warehouse.storage is None else warehouse.storage for warehouse in warehouses]
        mean_demand, sd_demand = self._moments("mean_demand"), self._moments("sd_demand")
        unit_cost = unit_costs(lanes, self.products)
        sources = source_lanes(lanes, warehouses, list(self.source), unit_cost)
        throughput = pass_upstream(mean_demand, sources, self.row)
        throughput_sd = np.sqrt(pass_upstream(sd_demand**2, sources, self.row))
        size = usual_size(throughput, mean_demand, lanes, self.row)
        reach = np.maximum(size, pass_upstream(self._moments("reach"), sources, self.row))
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
            response_time=self.index(
                [
                    lead + lane.order_delay + lane.review_period - 1
                    for lead, lane in zip(lead_times, lanes, strict=True)
                ]
            ),
            minimum_order=self.used(self.rate(lanes, "minimum_order")),
            pack_size=self.used(self.rate(lanes, "pack_size")),
            review=self._review(),
            arrivals_by_lead_time=self._by_lead_time(lead_times, destinations, volume),
            departures=Incidence.of(
                [self.row[lane.origin] for lane in lanes[self.replenishments :]], self.N, volume
            ),
            arrivals=arrivals,
            way_arrivals=Incidence.of([self.row[way.destination] for way in self.ways], self.N, volume)
            if self.reactive
            else arrivals,
            supply_arrivals=Incidence.of(destinations[: self.replenishments], self.N, volume),
            longest_lead_time=self._longest(delay),
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
            keeps_overflow=self.used(
                self.column([float(w.storage is not None and w.overflow == "kept") for w in warehouses])
            ),
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
            salvage_value=self.used(self.rate(warehouses, "salvage_value"))
            if graph.graph.get("ending") == "finite"
            else None,
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
            max_promotion=self.used(
                self.column([p.max_level if p and p.decided else 0.0 for p in promotions])
            ),
            promotes=any(p is not None for p in promotions),
            uplift=self.column([p.uplift if p else 0.0 for p in promotions]),
            dip=self.used(self.column([p.dip if p else 0.0 for p in promotions])),
            recovery=self.column([p.recovery if p else 0.0 for p in promotions]),
            promotion_cost=self.column([p.cost if p else 0.0 for p in promotions]),
            max_request=request_limits(lanes, self.number(reach), volume, destinations),
            mean_demand=self.number(mean_demand),
            sd_demand=self.number(sd_demand),
            source_lane=self.index([-1 if lane is None else self.place[lane.name] for lane in sources]),
            throughput=self.number(throughput),
            throughput_sd=self.number(throughput_sd),
            size=self.number(size),
            reach=self.number(reach),
            component=self._components(),
        )

    def _review(self) -> Int[Tensor, "2 E"] | None:
        rows = [[lane.review_period for lane in self.lanes], [lane.first_review for lane in self.lanes]]
        return self.index(rows) if any(lane.review_period > 1 for lane in self.lanes) else None

    def _components(self) -> Tensor | None:
        links = networkx.Graph((way.origin, way.destination) for way in self.ways)
        links.add_nodes_from(self.row)
        place = {way.name: way.destination for way in self.ways}
        links.add_edges_from(((pool.name, "pool"), place[lane]) for pool in self.pools for lane in pool.lanes)
        parts = [part for part in networkx.connected_components(links) if part & self.row.keys()]
        number = {name: index for index, part in enumerate(parts) for name in part}
        return self.index([number[name] for name in self.row]) if len(parts) > 1 else None

    def _by_lead_time(
        self, lead_times: list[int], destinations: list[int], like: Tensor
    ) -> dict[int, Incidence]:
        groups: dict[int, list[int]] = defaultdict(list)
        for lane, lead_time in enumerate(lead_times):
            groups[lead_time].append(lane)
        return {
            lead: Incidence.of([destinations[lane] for lane in lanes], self.N, like, lanes, self.E)
            for lead, lanes in groups.items()
        }

    def _moments(self, key: str) -> Float[np.ndarray, "K N"]:
        nodes = self.graph.nodes
        return (
            np.array([nodes[w.name].get(key, [0.0] * self.K) for w in self.warehouses], dtype=float)
            .reshape(self.N, self.K)
            .T
        )

    def _least_load(self, size: Float[np.ndarray, "K N"]) -> Tensor:
        usual = (size * np.array([[product.volume] for product in self.products])).max(0)
        ends = [
            [self.row[name] for name in (way.origin, way.destination) if name in self.row]
            for way in self.ways
        ]
        return self.column([64 * torch.finfo(self.dtype).eps * usual[places].max() for places in ends])

    def _initial_stock(self) -> Tensor:
        """Given, or the middle of what it is drawn from."""
        rows = []
        for warehouse in self.warehouses:
            given = warehouse.initial_stock
            low, high = (given.low, given.high) if isinstance(given, Between) else (given, given)
            rows.append(
                [
                    (a + b) / 2
                    for a, b in zip(per_product(low, self.K), per_product(high, self.K), strict=True)
                ]
            )
        return self.number(rows).T.unsqueeze(-1).contiguous()

    def _longest(self, delay: int) -> int:
        """Of what leaves now, and of what is on its way when an episode begins."""
        later = [arrival.period + 1 for lane in self.lanes for arrival in lane.initial_arrivals]
        return max([delay * bool(self.lanes), *(lane.longest + delay for lane in self.lanes), *later])

    def _initial_pipeline(self, delay: int) -> Tensor | None:
        pipeline = torch.zeros(self.K, self._longest(delay), self.N, 1, dtype=self.dtype, device=self.device)
        for lane in self.lanes:
            if any(units := per_product(lane.initial_shipments, self.K)):
                pipeline[:, : round(lane.mean_lead_time), self.row[lane.destination]] += self.number(
                    units
                ).reshape(-1, 1, 1)
            for arrival in lane.initial_arrivals:
                units = self.number(per_product(arrival.units, self.K)).reshape(-1, 1)
                pipeline[:, arrival.period, self.row[lane.destination]] += units
        return self.used(pipeline)

    def _initial_orders(self) -> Tensor | None:
        rows = max((lane.order_delay for lane in self.lanes), default=0)
        orders = torch.zeros(self.K, rows, self.E, 1, dtype=self.dtype, device=self.device)
        for index, lane in enumerate(self.lanes):
            if any(units := per_product(lane.initial_orders, self.K)):
                orders[:, : lane.order_delay, index] = self.number(units).reshape(-1, 1, 1)
        return self.used(orders)

    def _limits(self) -> list[SharedLimit]:
        """Lanes' own capacities, then each pool, then the suppliers' limits, then outages of warehouses; each
        as groups of lanes under one capacity."""
        outages = {name: row for row, name in enumerate(self.graph.graph.get("interruptible", []))}

        def limit(name: str, capacity: float | None) -> tuple[str, float] | None:
            return (
                None
                if capacity is None and name not in outages
                else (name, UNLIMITED if capacity is None else capacity)
            )

        grouped = [{lane.name: limit(lane.name, lane.capacity) for lane in self.ways}]
        grouped += [dict.fromkeys(pool.lanes, limit(pool.name, pool.capacity)) for pool in self.pools]
        output = {supplier.name: limit(supplier.name, supplier.capacity) for supplier in self.suppliers}
        grouped += [{lane.name: output[lane.origin] for lane in self.lanes[: self.replenishments]}]
        closed = {warehouse.name: limit(warehouse.name, None) for warehouse in self.warehouses}
        grouped += [{way.name: closed[way.origin] for way in self.ways[self.replenishments :]}]
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
        order = [
            *range(self.replenishments),
            *(place for _, places in sorted(by_rule.items()) for place in places),
        ]
        return tuple(rules), self.index(np.argsort(order).tolist())

    def _stock_rule(self, name: str, places: list[int]) -> StockRule:
        lanes = [self.lanes[place] for place in places]
        origin = [self.row[lane.origin] for lane in lanes]
        departures = Incidence.of(origin, self.N, torch.empty(self.K, 1, 1, device=self.device))
        rule = StockRule(name, self.index(places), self.index(origin), departures)
        if name == "priority":
            levels = sorted({lane.priority for lane in lanes if lane.priority is not None})
            rounds = [
                [j for j, lane in enumerate(lanes) if lane.priority == level] for level in (*levels, None)
            ]
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
        lanes, warehouses, rules, weights = (
            self.reactive,
            self.warehouses,
            self.rules,
            self.rules.reward_weights,
        )
        if not lanes:
            return None
        origin, destination = (
            [self.row[getattr(lane, end)] for lane in lanes] for end in ("origin", "destination")
        )
        is_lost = self.column([float(warehouse.unmet_demand == "lost") for warehouse in warehouses])
        held = weights["holding"] * self.rate(warehouses, "holding_cost") * (rules.holding_on == "end")
        short = (
            weights["shortage"] * self.rate(warehouses, "shortage_cost")
            + weights["shortfall"] * rules.service.price
        )
        short = short + weights["revenue"] * self.rate(warehouses, "price") * is_lost
        vehicle = self.number(
            [lane.vehicle_cost / (lane.vehicle_capacity or UNLIMITED) for lane in lanes]
        ).reshape(-1, 1)
        volume = self.number([product.volume for product in self.products]).reshape(-1, 1, 1)
        moving = (
            weights["transport"] * self.rate(lanes, "transport_cost") + weights["vehicle"] * vehicle * volume
        )
        saving = held[:, origin] + short[:, destination] - moving
        groups = [limit.reactive_group.tolist() for limit in limits]
        shared = [
            [(at, group[x]) for at, group in enumerate(groups) if group[x] < len(limits[at].names)]
            for x in range(len(lanes))
        ]
        return ReactiveLanes(
            tuple(lane.name for lane in lanes),
            self.index(origin),
            self.index(destination),
            saving,
            tuple(self._waves((saving / volume).squeeze(-1), origin, destination, shared)),
            any(shared),
        )

    def _waves(
        self, saving: Tensor, origin: list[int], destination: list[int], shared: list[list[tuple[int, int]]]
    ) -> Iterator[Wave]:
        """`saving` is per volume (K, X), `shared` the limits that each lane is under."""
        savings, ways = [float(f"{saved:.6g}") for saved in saving.flatten().tolist()], len(origin)
        waves: dict[int, list[int]] = defaultdict(list)
        users: dict[tuple[int | str, ...], _Users] = defaultdict(_Users)
        for move in sorted(
            (move for move, saved in enumerate(savings) if saved > 0), key=lambda move: -savings[move]
        ):
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
                self.index(
                    [product * self.N + origin[lane] for product, lane in zip(products, lanes, strict=True)]
                ),
                self.index(
                    [
                        product * self.N + destination[lane]
                        for product, lane in zip(products, lanes, strict=True)
                    ]
                ),
                self.index(list(lanes)),
                self.column([self.products[product].volume for product in products]),
            )


def network_from_graph(
    graph: networkx.MultiDiGraph, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> TransferNetwork:
    """Read the attributes that the module's docstring lists; unknown ones are ignored. Raises InputError for
    a graph that cannot be."""
    return _Builder(graph, torch.device(device), dtype).network()
