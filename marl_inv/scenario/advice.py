"""What `marl-inv check` tells a scenario's author besides mistakes: what is allowed, and probably not meant.

Everything is reckoned on mean demand, by simple formulas, without playing a period.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import networkx
import numpy as np
from jaxtyping import Float

from marl_inv.common.documents import Document
from marl_inv.scenario.demand import Empirical, ParametricDemand
from marl_inv.scenario.fields import Between, per_product
from marl_inv.scenario.places import Lane, Warehouse
from marl_inv.scenario.scenario import Scenario

MOST_LANES_REASONED = 5_000
"""Flow through a larger network takes long to reckon; only reachability is looked at there."""


@dataclass(frozen=True)
class Advice:
    place: str
    """`file:line:column`."""
    topic: str
    """What kind of thing it is about; advice on one topic is alike."""
    sentence: str
    warning: bool = True
    """Otherwise a note: perfectly sensible, and worth knowing."""

    def __str__(self) -> str:
        return f"{self.place}: {'warning' if self.warning else 'note'}: {self.sentence}"


def advise(
    scenario: Scenario, document: Document, file_means: Mapping[str, Sequence[float]] | None = None
) -> list[Advice]:
    """Everything worth telling, in the order of the topics. `file_means` are the mean demands of warehouses
    whose demand is read from a file."""
    view = _View(scenario, document, file_means or {})
    topics = (
        unreachable,
        idle,
        capacities,
        units,
        storage,
        worth,
        transshipment,
        promotions,
        timing,
        calendar,
        unused,
    )
    passed = [Advice(place, "passed over", remark, warning=False) for place, remark in document.remarks]
    return passed + [advice for topic in topics for advice in topic(view)]


def most_alike(advice: Sequence[Advice], most: int = 5) -> Iterator[str]:
    """Lines to print: of each topic the first few, and how many more there are."""
    topics: dict[tuple[str, bool], list[Advice]] = defaultdict(list)
    for entry in advice:
        topics[entry.topic, entry.warning].append(entry)
    for alike in topics.values():
        yield from map(str, alike[:most])
        if len(alike) > most:
            yield f"... and {len(alike) - most} more like this"


class _View:
    """A scenario as arrays over products, warehouses (N) and lanes (E)."""

    def __init__(
        self, scenario: Scenario, document: Document, file_means: Mapping[str, Sequence[float]]
    ) -> None:
        self.scenario, self.document = scenario, document
        self.products = scenario.product_list
        self.K, self.N = len(self.products), len(scenario.warehouses)
        self.volume = np.array([product.volume for product in self.products])
        self.row = {warehouse.name: index for index, warehouse in enumerate(scenario.warehouses)}
        self.suppliers = {supplier.name for supplier in scenario.suppliers}
        self.inbound: dict[str, list[tuple[int, Lane]]] = defaultdict(list)
        self.outbound: dict[str, list[tuple[int, Lane]]] = defaultdict(list)
        for index, lane in enumerate(scenario.lanes):
            self.inbound[lane.destination].append((index, lane))
            self.outbound[lane.origin].append((index, lane))
        self.weights = scenario.reward_weights
        self.factor = _regime_factor(scenario)
        self.mean = np.zeros((self.K, self.N))
        """Mean demand per period: (K, N)."""
        self.known = np.ones(self.N, bool)
        for index, warehouse in enumerate(scenario.warehouses):
            demand = scenario.demand_of(warehouse)
            if isinstance(demand, Empirical):
                self.mean[:, index] = file_means.get(warehouse.name, 0.0)
                self.known[index] = warehouse.name in file_means
            elif demand is not None:
                self.mean[:, index] = rough_mean(demand, self.K, scenario.horizon) * self.factor

    def place(self, *path: str | int) -> str:
        return self.document.place(path)

    def rates(self, records: Sequence[object], key: str) -> Float[np.ndarray, "K X"]:
        return (
            np.array([per_product(getattr(record, key), self.K) for record in records], dtype=float)
            .reshape(-1, self.K)
            .T
        )

    @cached_property
    def landed(self) -> Float[np.ndarray, "K N"]:
        """What a unit costs by the cheapest way from a supplier, as the reward counts it; infinite where
        there is none."""
        lanes = [lane for lane in self.scenario.lanes if not lane.reactive]
        cost = (
            self.weights["procurement"] * self.rates(lanes, "procurement_cost")
            + self.weights["transport"] * self.rates(lanes, "transport_cost")
            + self.weights["in_transit"]
            * self.rates(lanes, "in_transit_cost")
            * np.array([lane.mean_lead_time for lane in lanes])
        )
        destination = np.array([self.row[lane.destination] for lane in lanes], dtype=int)
        origin = np.array([self.row.get(lane.origin, self.N) for lane in lanes], dtype=int)
        landed = np.full((self.K, self.N + 1), np.inf)
        landed[:, -1] = 0  # every supplier
        for _ in range(self.N):
            nearer = landed.copy()
            np.minimum.at(nearer.T, destination, (landed[:, origin] + cost).T)
            if np.array_equal(nearer, landed):
                break
            landed = nearer
        return landed[:, :-1]


def rough_mean(demand: ParametricDemand, products: int, horizon: int) -> Float[np.ndarray, " K"]:
    """Mean units per period over an episode, without what events and promotions do."""
    return demand.mean_units(products) * demand.growth(np.arange(horizon)).mean()


def _regime_factor(scenario: Scenario) -> float:
    """The mean of the regimes' factors in the long run."""
    if scenario.regimes is None:
        return 1.0
    factors, chain = np.array(scenario.regimes.factors), scenario.regimes.transition
    return float(
        factors.mean() if chain is None else (np.linalg.matrix_power(np.array(chain), 1024) @ factors).mean()
    )


def _number(value: int | float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


# Topics, each a generator of advice


def unreachable(view: _View) -> Iterator[Advice]:
    """Customers that no supplier's goods can reach."""
    scenario = view.scenario
    if not view.suppliers:
        stock = sum(_most_stock(view, warehouse) for warehouse in scenario.warehouses)
        total = float(view.mean.sum()) * scenario.horizon
        sentence = (
            f"there are no suppliers: {_number(stock)} units of initial stock meet a mean demand of "
            f"{_number(total)} in {scenario.horizon} periods"
        )
        yield Advice(view.place("warehouses"), "suppliers", sentence, scenario.ending == "continuing")
        return
    ways = networkx.DiGraph((lane.origin, lane.destination) for lane in scenario.lanes)
    reached = {
        place for supplier in view.suppliers & set(ways) for place in networkx.descendants(ways, supplier)
    }
    for index, warehouse in enumerate(scenario.warehouses):
        if warehouse.name not in reached and (view.mean[:, index].any() or not view.known[index]):
            stock = _most_stock(view, warehouse)
            sentence = (
                f"no supplier can reach {warehouse.name}: no lanes lead from one to it, and it has "
                f"{_number(stock)} units of initial stock"
            )
            yield Advice(view.place("warehouses", index), "unreachable", sentence)


def _most_stock(view: _View, warehouse: Warehouse) -> int | float:
    given = warehouse.initial_stock
    return sum(max(n, 0) for n in per_product(given.high if isinstance(given, Between) else given, view.K))


def idle(view: _View) -> Iterator[Advice]:
    """Places that nothing passes through."""
    for index, supplier in enumerate(view.scenario.suppliers):
        if not view.outbound[supplier.name]:
            yield Advice(
                view.place("suppliers", index),
                "idle",
                f"no lane leaves {supplier.name}, so it supplies nobody",
            )
    for index, warehouse in enumerate(view.scenario.warehouses):
        if not warehouse.faces_demand and not view.outbound[warehouse.name]:
            sentence = (
                f"{warehouse.name} has no customers and no lane leaves it, so what it holds is of no use"
            )
            yield Advice(view.place("warehouses", index), "idle", sentence)


def capacities(view: _View) -> Iterator[Advice]:
    """Suppliers, lanes, pools and storage that mean demand cannot pass through."""
    scenario = view.scenario
    limited = any(entry.capacity for entry in (*scenario.suppliers, *scenario.lanes, *scenario.pools)) or any(
        warehouse.storage for warehouse in scenario.warehouses
    )
    if not limited or not view.suppliers or len(scenario.lanes) > MOST_LANES_REASONED or not view.known.all():
        return
    reachable = _flow(view, limits=False)[0]
    if not reachable:
        return
    most, narrow = _flow(view)
    if most < reachable * (1 - 1e-6):
        sentence = (
            f"of a mean demand of {_number(reachable)} a period (in volume) at most {_number(most)} "
            f"can be met, for {_listed(narrow)} {'limits' if len(narrow) == 1 else 'limit'} it"
        )
        yield Advice(_place_of(view, narrow[0]), "capacity", sentence)
    for index, pool in enumerate(scenario.pools):
        needed = most - _flow(view, closed=set(pool.lanes))[0]
        if needed > pool.capacity * (1 + 1e-6):
            sentence = (
                f"{_number(needed)} a period (in volume) have to take the lanes of {pool.name}, "
                f"which carries {_number(pool.capacity)}"
            )
            yield Advice(view.place("pools", index, "capacity"), "capacity", sentence)


def _flow(
    view: _View, limits: bool = True, closed: frozenset[str] | set[str] = frozenset()
) -> tuple[float, list[str]]:
    """The most mean demand that can be met in the long run, in volume per period, and what is narrowest on
    the way.

    Initial stock counts where an episode ends, spread over its periods.
    """
    scenario, graph = view.scenario, networkx.DiGraph()

    def way(
        origin: tuple[str, str] | str, destination: tuple[str, str] | str, capacity: float | None
    ) -> None:
        if capacity is None or not limits:
            graph.add_edge(origin, destination)
        else:
            graph.add_edge(origin, destination, capacity=capacity)

    for supplier in scenario.suppliers:
        way("source", ("supplier", supplier.name), supplier.capacity)
    for index, warehouse in enumerate(scenario.warehouses):
        room = warehouse.storage if warehouse.overflow == "discarded" else None
        way(("into", warehouse.name), ("in", warehouse.name), room)
        graph.add_edge(("in", warehouse.name), "sink", capacity=float(view.volume @ view.mean[:, index]))
        if scenario.ending == "finite" and (stock := _most_stock(view, warehouse)):
            graph.add_edge(
                "source", ("in", warehouse.name), capacity=stock * float(view.volume.max()) / scenario.horizon
            )
    for lane in scenario.lanes:
        if lane.name not in closed:
            origin = ("supplier" if lane.origin in view.suppliers else "in", lane.origin)
            way(origin, ("lane", lane.name), lane.capacity)
            way(("lane", lane.name), ("into", lane.destination), None)
    if "source" not in graph or "sink" not in graph:
        return 0.0, []
    most, (before, after) = networkx.minimum_cut(graph, "source", "sink")
    cut = [
        (one, other)
        for one in before
        for other in graph.successors(one)
        if other in after and other != "sink"
    ]
    narrow = [
        other[1] if other[0] != "in" else one[1]
        for one, other in cut
        if one != "source" or other[0] == "supplier"
    ]
    return float(most), sorted(narrow)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _place_of(view: _View, name: str) -> str:
    """Where the capacity (or storage) of a supplier, lane or warehouse is said."""
    for key, entries, field in (
        ("suppliers", view.scenario.suppliers, "capacity"),
        ("lanes", view.scenario.lanes, "capacity"),
    ):
        for index, entry in enumerate(entries):
            if entry.name == name:
                return view.place(key, index, field)
    return view.place("warehouses", view.row[name], "storage")


def units(view: _View) -> Iterator[Advice]:
    """Capacities that hold not one unit."""
    largest = max(view.products, key=lambda product: product.volume)
    limits = [
        *(
            ("suppliers", index, "capacity", entry.name, entry.capacity)
            for index, entry in enumerate(view.scenario.suppliers)
        ),
        *(
            ("lanes", index, "capacity", entry.name, entry.capacity)
            for index, entry in enumerate(view.scenario.lanes)
        ),
        *(
            ("lanes", index, "vehicle_capacity", entry.name, entry.vehicle_capacity)
            for index, entry in enumerate(view.scenario.lanes)
        ),
        *(
            ("pools", index, "capacity", entry.name, entry.capacity)
            for index, entry in enumerate(view.scenario.pools)
        ),
        *(
            ("warehouses", index, "storage", entry.name, entry.storage)
            for index, entry in enumerate(view.scenario.warehouses)
        ),
    ]
    for key, index, field, name, limit in limits:
        if (
            limit is not None
            and limit < largest.volume
            and (view.scenario.quantities == "integer" or field == "vehicle_capacity")
        ):
            sentence = (
                f"{name} has a {field} of {_number(limit)}, and one {largest.name} takes "
                f"{_number(largest.volume)}: it will never fit"
            )
            yield Advice(view.place(key, index, field), "unit", sentence)


def storage(view: _View) -> Iterator[Advice]:
    """Storage that what orders bring together may overflow."""
    for index, warehouse in enumerate(view.scenario.warehouses):
        moving = [lane.mean_lead_time for _, lane in view.inbound[warehouse.name] if not lane.reactive]
        demand = float(view.volume @ view.mean[:, index])
        if (
            warehouse.storage is not None
            and moving
            and demand <= warehouse.storage < demand * (min(moving) + 1)
        ):
            sentence = (
                f"{warehouse.name} can store {_number(warehouse.storage)}, less than its mean demand over "
                f"lead time + 1 ({_number(demand * (min(moving) + 1))}, "
                "in volume): orders that come together overflow"
            )
            yield Advice(view.place("warehouses", index, "storage"), "storage", sentence, warning=False)


def worth(view: _View) -> Iterator[Advice]:
    """Customers that are dearer to serve than to disappoint, in what the reward counts."""
    scenario, weights = view.scenario, view.weights
    if scenario.objective == "utility" or not view.suppliers:
        return
    landed = view.landed
    gain = weights["revenue"] * view.rates(scenario.warehouses, "price") + weights["shortage"] * view.rates(
        scenario.warehouses, "shortage_cost"
    )
    gain = gain + weights["shortfall"] * scenario.service.price
    for index, warehouse in enumerate(scenario.warehouses):
        asked = view.mean[:, index] > 0
        if not asked.any() or not np.isfinite(landed[:, index]).any():
            continue
        if not gain[asked, index].any():
            sentence = (
                f"{warehouse.name} gains nothing by serving its customers, so not to order is best; give a "
                "shortage_cost" + ("" if weights["revenue"] else ", or a price and objective: profit")
            )
            yield Advice(view.place("warehouses", index), "worth", sentence)
        elif (
            warehouse.unmet_demand == "lost"
            and (poor := np.flatnonzero(asked & (gain[:, index] < landed[:, index]))).size
        ):
            product = int(poor[0])
            which = f" {view.products[product].name}" if view.K > 1 else " a unit"
            sentence = (
                f"serving{which} at {warehouse.name} gains {_number(gain[product, index])} and costs "
                f"{_number(landed[product, index])} to buy and bring there, "
                "so not to order is "
                f"best{f', also of {len(poor) - 1} more products' if len(poor) > 1 else ''}"
            )
            yield Advice(
                view.place("warehouses", index, "price" if weights["revenue"] else "shortage_cost"),
                "worth",
                sentence,
            )


def transshipment(view: _View) -> Iterator[Advice]:
    """Reactive lanes on which no unit saves what it costs."""
    weights, warehouses = view.weights, view.scenario.warehouses
    if view.scenario.objective == "utility":
        return
    end = view.scenario.holding_on == "end"
    for index, lane in enumerate(view.scenario.lanes):
        if lane.reactive:
            origin, destination = warehouses[view.row[lane.origin]], warehouses[view.row[lane.destination]]
            holding = weights["holding"] * view.rates([origin], "holding_cost")[:, 0] * end
            sold = weights["shortage"] * view.rates([destination], "shortage_cost") + weights[
                "revenue"
            ] * view.rates([destination], "price")
            moved = weights["transport"] * view.rates([lane], "transport_cost")[:, 0]
            if (holding + sold[:, 0] <= moved).all():
                sentence = (
                    f"{lane.name} is reactive and never saves money: a unit moved costs "
                    f"{_number(moved.min())} and saves {_number((holding + sold[:, 0]).max())}"
                )
                yield Advice(view.place("lanes", index, "transport_cost"), "transshipment", sentence)


def promotions(view: _View) -> Iterator[Advice]:
    """Promotions that cost more than they can bring in."""
    if view.scenario.objective == "utility":
        return
    landed = view.landed if view.suppliers else np.zeros((view.K, view.N))
    for index, warehouse in enumerate(view.scenario.warehouses):
        promotion = warehouse.promotion
        if promotion is None or not promotion.decided or not view.known[index]:
            continue
        place = view.place("warehouses", index, "promotion")
        price = view.weights["revenue"] * view.rates([warehouse], "price")[:, 0]
        if not price.any():
            yield Advice(
                place,
                "promotion",
                f"{warehouse.name} may promote, and the reward counts no revenue, so promoting never pays",
            )
            continue
        more = (
            promotion.uplift
            * view.mean[:, index]
            * (price - np.where(np.isfinite(landed[:, index]), landed[:, index], 0))
        )
        cost = view.weights["promotion"] * promotion.cost
        if (more <= cost).all():
            sentence = (
                f"promoting at {warehouse.name} costs {_number(cost)} a level and sells for "
                f"{_number(more.max())} more at mean demand, so it never pays"
            )
            yield Advice(place, "promotion", sentence)


def timing(view: _View) -> Iterator[Advice]:
    """What happens too late to matter."""
    scenario = view.scenario
    for index, lane in enumerate(scenario.lanes):
        if lane.longest + lane.order_delay >= scenario.horizon:
            sentence = (
                f"{lane.name} takes {lane.longest + lane.order_delay} periods and the episode "
                f"{scenario.horizon}: what is asked for there comes too late"
            )
            yield Advice(view.place("lanes", index, "lead_time"), "timing", sentence)
    for index, event in enumerate(scenario.events):
        if not event.probability and min(event.at) >= scenario.horizon:
            yield Advice(
                view.place("events", index),
                "timing",
                f"this {event.kind} begins after the horizon of {scenario.horizon} periods",
            )
    for index, warehouse in enumerate(scenario.warehouses):
        planned = warehouse.promotion.planned if warehouse.promotion else None
        if planned is not None and planned.first >= scenario.horizon:
            sentence = (
                f"the first planned promotion of {warehouse.name} begins after the horizon of "
                f"{scenario.horizon} periods"
            )
            yield Advice(view.place("warehouses", index, "promotion", "planned"), "timing", sentence)
    if scenario.ending == "continuing" and not scenario.warm_up and scenario.initial_state == "given":
        empty = not any(_most_stock(view, warehouse) for warehouse in scenario.warehouses)
        coming = any(
            lane.initial_arrivals or any(per_product(lane.initial_shipments, 1)) for lane in scenario.lanes
        )
        if empty and not coming:
            sentence = (
                "episodes begin with empty warehouses and are scored from the first period; give "
                "initial_stock, warm_up or initial_state: steady"
            )
            yield Advice(view.place("warehouses"), "timing", sentence, warning=False)


def calendar(view: _View) -> Iterator[Advice]:
    """A season that nobody can see."""
    scenario = view.scenario
    changing = [
        index
        for index, warehouse in enumerate(scenario.warehouses)
        if isinstance(demand := scenario.demand_of(warehouse), ParametricDemand) and demand.cycle != 1
    ]
    if changing and scenario.forecast is None and scenario.ending == "continuing":
        sentence = (
            f"demand of {scenario.warehouses[changing[0]].name} changes with time, and agents see neither "
            "the period nor what is coming; give a forecast (seasonal_order_up_to knows the calendar)"
        )
        yield Advice(view.place("warehouses", changing[0]), "calendar", sentence, warning=False)


def unused(view: _View) -> Iterator[Advice]:
    """Settings that another setting makes idle."""
    scenario = view.scenario
    if not view.weights["revenue"]:
        for index, warehouse in enumerate(scenario.warehouses):
            if any(per_product(warehouse.price, 1)):
                sentence = (
                    f"{warehouse.name} has a price, and the objective {scenario.objective} counts no "
                    "revenue; give objective: profit"
                )
                yield Advice(view.place("warehouses", index, "price"), "unused", sentence)
    rules = {warehouse.name: warehouse.rationing or scenario.rationing for warehouse in scenario.warehouses}
    for index, lane in enumerate(scenario.lanes):
        if lane.priority is not None and rules.get(lane.origin) != "priority":
            sentence = (
                f"{lane.name} has a priority, which {lane.origin} does not ration by; give it "
                "rationing: priority"
            )
            yield Advice(view.place("lanes", index, "priority"), "unused", sentence)
    for index, warehouse in enumerate(scenario.warehouses):
        if warehouse.max_reserve is not None and not view.outbound[warehouse.name]:
            sentence = (
                f"{warehouse.name} may keep a reserve, and nobody can ask for its stock: no lane leaves it"
            )
            yield Advice(view.place("warehouses", index, "max_reserve"), "unused", sentence)
