"""The complete-pooling bound: what a period costs at least in the long run, whoever decides, because stock
can do no better than be shared.

Let `L` be the shortest time from a supplier to customers, and S all units in the network after period t's
requests, less customers' backorders and those that slow lanes from suppliers will not bring in by t + L. At
the end of period t + L there is then, on hand and on its way between warehouses less backorders, S - D + lost
- discarded, where D is the demand of those L + 1 periods, which S knows nothing of. So a period costs at
least min over S of E[h (S - D)+ + p (D - S)+], which is a newsvendor's cost (Eppen 1979), with

- h the least holding rate of any warehouse that can hold stock, p the least shortage rate;
- a lost unit counted once in each of the L + 1 windows it may be in: p is (shortage + price - cheapest
supply) / (L + 1), as in the lost-sales
  bound of Janakiraman, Seshadri and Shanthikumar (2007), and a discarded one likewise;
- units on their way between warehouses charged h although they are not: moving them has to cost that much on
lanes that goods may
  travel in circles, and elsewhere what was charged in excess is taken off, once for every unit of
  demand (Little's law).

Where no lane is reactive stock has to be in place `l` periods before demand, `l` being the quickest lane to
customers: then only the demand of L - l periods is pooled, and after the best allocation that of l + 1
periods adds up as if all warehouses' were large together (Eppen and Schrage 1981; Federgruen and Zipkin
1984). Capacities, pools, outages, delays and fixed costs, which only make it dearer, are left out. A
cross-dock that suppliers feed holds nothing, and what leaves it is on time unless its lane is slower than the
quickest out of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import networkx
import numpy as np
from jaxtyping import Float
from scipy.signal import convolve
from scipy.stats import norm

from marl_inv.chance.demand import masses, mixing
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem
from marl_inv.scenario import Scenario
from marl_inv.scenario.demand import Demand, Normal
from marl_inv.scenario.events import Surge
from marl_inv.scenario.fields import per_product
from marl_inv.scenario.places import Lane, RandomLeadTime, Warehouse

SHARES = np.linspace(0, 1, 21)
"""Of the highest holding rate that is proven; the best bound among them is returned."""


def pooling_bound(problem: Problem) -> float:
    """The most that any policy can earn per period in the long run, as the objective counts it: minus a cost
    where that is measured.

    Raises InputError for a scenario that it is not proven for.
    """
    check_pooled(problem.scenario)
    return sum(
        _Pooled(problem.scenario, product).reward() for product in range(len(problem.scenario.product_list))
    )


def check_pooled(scenario: Scenario) -> None:
    facing = [
        model for warehouse in scenario.warehouses if (model := scenario.demand_of(warehouse)) is not None
    ]
    normal = [model.normal and model.may_be_negative for model in facing]
    steady = all(model.cycle == 1 for model in facing) and scenario.regimes is None
    refused = {
        "the utility objective": scenario.objective == "utility",
        "weights of its own": bool(scenario.weights),
        "a finite season": scenario.ending == "finite",
        "discounting": scenario.discount_factor < 1,
        "holding charged on opening stock": scenario.holding_on == "opening",
        "promotions": any(warehouse.promotion is not None for warehouse in scenario.warehouses),
        "demand that changes with time": not steady
        or any(isinstance(event, Surge) for event in scenario.events),
        "demand that is neither normal (not cut at zero) everywhere nor in whole units everywhere": not all(
            normal
        )
        and (
            any(normal) or any(masses(scenario_model, 1.0) is None for scenario_model in map(_scalar, facing))
        ),
        "correlated demand that is not normal": not all(normal) and mixing(scenario) is not None,
    }
    if reasons := [what for what, found in refused.items() if found]:
        raise InputError(
            f"{scenario.name}: has {reasons[0]}, for which no pooling bound is proven; compare with perfect "
            "information"
        )


def _scalar(model: Demand, product: int = 0) -> Demand:
    """The demand model of one product."""
    numbers = {key: getattr(model, key) for key in ("mean", "sd") if hasattr(model, key)}
    return model.model_copy(
        update={key: value[product] if isinstance(value, list) else value for key, value in numbers.items()}
    )


def _masses(model: Demand) -> Float[np.ndarray, " U"]:
    found = masses(model, 1.0)
    assert found is not None
    return found


def _lead_times(lane: Lane) -> list[int]:
    return lane.lead_time.values if isinstance(lane.lead_time, RandomLeadTime) else [lane.lead_time]


class _Pooled:
    """The bound of one product."""

    def __init__(self, scenario: Scenario, product: int) -> None:
        self.scenario, self.product = scenario, product
        self.warehouses = {warehouse.name: warehouse for warehouse in scenario.warehouses}
        self.supplied = [lane for lane in scenario.lanes if lane.origin not in self.warehouses]
        self.inner = [lane for lane in scenario.lanes if lane.origin in self.warehouses]
        self.facing = [warehouse for warehouse in scenario.warehouses if warehouse.faces_demand]
        self.docks = {name for name, warehouse in self.warehouses.items() if self._is_dock(warehouse)}
        self.revenue = scenario.objective == "profit"
        self.reach = self._reach()
        self.placed = (
            0
            if any(lane.reactive for lane in self.inner)
            else 1 + min(self.reach, *map(min, self._quickest()))
        )
        self.mean, self.variation = self._demand()

    def rate(self, value: float | list[float]) -> float:
        return per_product(value, len(self.scenario.product_list))[self.product]

    def _is_dock(self, warehouse: Warehouse) -> bool:
        """Whether all that comes in from suppliers leaves at once, whatever is asked."""
        leaving = [lane for lane in self.inner if lane.origin == warehouse.name]
        fed = [lane for lane in self.inner if lane.destination == warehouse.name]
        limited = {name for pool in self.scenario.pools for name in pool.lanes} | set(
            self.scenario.interruptible
        )
        free = all(
            lane.capacity is None
            and lane.name not in limited
            and not lane.reactive
            and min(_lead_times(lane)) > 0
            for lane in leaving
        )
        rule = warehouse.rationing or self.scenario.rationing
        free = free and warehouse.name not in limited
        passes = rule == "full_shipment" and not warehouse.faces_demand and warehouse.max_reserve is None
        return passes and bool(leaving) and not fed and free

    def _reach(self) -> int:
        """L: the shortest time from a supplier to customers."""
        ways = networkx.DiGraph()
        for lane in self.scenario.lanes:
            time = min(_lead_times(lane))
            if time < ways.get_edge_data(lane.origin, lane.destination, {"time": np.inf})["time"]:
                ways.add_edge(lane.origin, lane.destination, time=time)
        sources = {lane.origin for lane in self.supplied}
        times = networkx.multi_source_dijkstra_path_length(ways, sources, weight="time") if sources else {}
        reached = [times[warehouse.name] for warehouse in self.facing if warehouse.name in times]
        if not reached:
            raise InputError(
                f"{self.scenario.name}: no supplier reaches a customer; there is no long run to bound"
            )
        return int(min(reached))

    def _quickest(self) -> Iterable[list[int]]:
        names = {warehouse.name for warehouse in self.facing}
        return (_lead_times(lane) for lane in self.scenario.lanes if lane.destination in names)

    def _demand(self) -> tuple[Float[np.ndarray, " M"], float | Float[np.ndarray, " U"]]:
        """Mean by warehouse; and of the demand to be safe against, the standard deviation, or the probability
        of 0, 1, 2.. units."""
        facing = [self.scenario.demand_of(warehouse) for warehouse in self.facing]
        models = [_scalar(model, self.product) for model in facing if model is not None]
        normal = [model for model in models if isinstance(model, Normal)]
        pooled = self.reach + 1 - self.placed
        if normal:  # then all are: `check_pooled`
            sd = np.array([model.sd for model in normal])
            root = mixing(self.scenario)
            rows = [self.scenario.warehouses.index(warehouse) for warehouse in self.facing]
            correlation = np.eye(len(rows)) if root is None else (root @ root.T)[np.ix_(rows, rows)]
            variance = self.placed * sd.sum() ** 2 + pooled * sd @ correlation @ sd
            return np.array([model.mean for model in normal]), float(np.sqrt(variance))
        each = [_masses(model) for model in models]
        mean = np.array([float(mass @ np.arange(len(mass))) for mass in each])
        together = _sum(mass for mass in each for _ in range(pooled))
        return mean, convolve(together, _largest_together([_sum([mass] * self.placed) for mass in each]))

    def reward(self) -> float:
        prices = np.array([self.rate(warehouse.price) for warehouse in self.facing]) * self.revenue
        supply, short = self._supply_and_shortage()
        highest = min([self._holding(), self._on_circles(), *self._discarding(supply, 0.0)])
        costs = []
        for holding in SHARES * highest:
            excess = self._excess(holding)
            if holding <= min(self._discarding(supply, max(excess.values())), default=np.inf):
                charged = sum(
                    mean * excess[warehouse.name]
                    for mean, warehouse in zip(self.mean, self.facing, strict=True)
                )
                costs.append(newsvendor(holding, short, self.variation) - charged)
        return float(prices @ self.mean - supply * self.mean.sum() - max(costs))

    def _supply_and_shortage(self) -> tuple[float, float]:
        """What a unit costs at least to bring in, and to be short of in a period."""
        lanes = [(lane, min(_lead_times(lane))) for lane in self.supplied]
        supply = min(
            self.rate(lane.procurement_cost)
            + self.rate(lane.transport_cost)
            + time * self.rate(lane.in_transit_cost)
            for lane, time in lanes
        )
        lost = [warehouse.unmet_demand == "lost" for warehouse in self.facing]
        missed = [
            self.rate(warehouse.shortage_cost) + gone * self.revenue * self.rate(warehouse.price)
            for warehouse, gone in zip(self.facing, lost, strict=True)
        ]
        # Customers who wait at no cost need never be served.
        supply = min([supply, *(rate for rate, gone in zip(missed, lost, strict=True) if gone or not rate)])
        return supply, min(
            (rate - supply) / (self.reach + 1) if gone else rate
            for rate, gone in zip(missed, lost, strict=True)
        )

    def _holding(self) -> float:
        return min(
            self.rate(warehouse.holding_cost)
            for name, warehouse in self.warehouses.items()
            if name not in self.docks
        )

    def _discarding(self, supply: float, excess: float) -> list[float]:
        """What it costs a period to have got rid of a unit, by warehouse that does."""
        thrown = [
            warehouse
            for warehouse in self.warehouses.values()
            if warehouse.storage is not None and warehouse.overflow == "discarded"
        ]
        return [
            max(self.rate(warehouse.overflow_cost) + supply - excess, 0.0) / (self.reach + 1)
            for warehouse in thrown
        ]

    def _graph(self) -> networkx.DiGraph:
        graph = networkx.DiGraph((lane.origin, lane.destination) for lane in self.inner)
        graph.add_nodes_from(self.warehouses)
        return graph

    def _on_circles(self) -> float:
        """The holding rate that moving pays for, per period on the way, on every lane that leads in a
        circle."""
        places = {
            name: number
            for number, names in enumerate(networkx.strongly_connected_components(self._graph()))
            for name in names
        }
        rates = [
            self.rate(lane.transport_cost) / time + self.rate(lane.in_transit_cost)
            for lane in self.inner
            for time in _lead_times(lane)
            if time and places[lane.origin] == places[lane.destination]
        ]
        return min(rates, default=np.inf)

    def _excess(self, holding: float) -> dict[str, float]:
        """By warehouse, the most that a unit on its way there is charged in transit between warehouses beyond
        what moving it costs."""
        graph = networkx.condensation(self._graph())
        place, most = graph.graph["mapping"], dict.fromkeys(graph, 0.0)
        for at in networkx.topological_sort(graph):
            for lane in (
                lane for lane in self.inner if place[lane.origin] == at and place[lane.destination] != at
            ):
                onward = most[at] + self._undercharged(lane, holding)
                most[place[lane.destination]] = max(most[place[lane.destination]], onward)
        return {name: most[place[name]] for name in self.warehouses}

    def _undercharged(self, lane: Lane, holding: float) -> float:
        free = 0
        if lane.origin in self.docks:
            free = min(min(_lead_times(other)) for other in self.inner if other.origin == lane.origin)
        unpaid = (
            holding * (max(_lead_times(lane)) - free)
            - self.rate(lane.transport_cost)
            - min(_lead_times(lane)) * self.rate(lane.in_transit_cost)
        )
        return max(unpaid, 0.0)


def newsvendor(holding: float, short: float, variation: float | Float[np.ndarray, " U"]) -> float:
    """The least expected cost of a period: of normal demand by its standard deviation, of whole units by
    their probabilities."""
    if not holding or not short:
        return 0.0
    ratio = short / (short + holding)
    if not isinstance(variation, np.ndarray):
        return (holding + short) * float(norm.pdf(norm.ppf(ratio))) * variation
    units = np.arange(len(variation))
    level = min(int(np.searchsorted(variation.cumsum(), ratio)), len(units) - 1)
    return float(variation @ (holding * (level - units).clip(0) + short * (units - level).clip(0)))


def _sum(masses: Iterable[Float[np.ndarray, " _"]]) -> Float[np.ndarray, " U"]:
    """Of independent counts."""
    return reduce(convolve, masses, np.ones(1))


def _largest_together(masses: list[Float[np.ndarray, " _"]]) -> Float[np.ndarray, " U"]:
    """The sum of counts that all have the same rank."""
    reached = [mass.cumsum() for mass in masses]
    ranks = np.unique(np.concatenate(reached))
    ranks = ranks[ranks <= min(each[-1] for each in reached)]
    units = sum(np.searchsorted(each, ranks) for each in reached)
    return np.bincount(units, np.diff(ranks, prepend=0.0))
