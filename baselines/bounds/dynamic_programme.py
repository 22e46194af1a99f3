"""A scenario's periods as a dynamic programme over the states that stock can be in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marl_inv.baselines.bounds.perfect_information import shares
from marl_inv.baselines.newsvendor import newsvendor_levels
from marl_inv.chance.demand import masses
from marl_inv.common.errors import InputError
from marl_inv.common.progress import Progress
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View
from marl_inv.network import UNLIMITED, TransferNetwork
from marl_inv.scenario import Scenario
from marl_inv.scenario.demand import Demand
from marl_inv.scenario.places import Warehouse
from marl_inv.simulator import Chance, Decision, State, initial_state, ship, step

MOST_PAIRS = 50_000_000
"""Pairs of a state and a request, or of a state and the one after it, that are looked at, at most."""


BOUNDLESS = 2**40
"""Units: where there is no limit."""


SETTLED = 1_000
"""Periods after which a policy is taken to be in its long run."""


AT_ONCE = 1 << 20
"""As many of them are played in one batch."""


CLEAR = 1e-6
"""The optimal policy comes to the edge of the states looked at less often than this."""


Numbers = Int[np.ndarray, "..."]


class Box:
    """All vectors of whole numbers between two vectors, numbered in the order of `vectors`."""

    def __init__(self, lowest: Int[np.ndarray, " N"], highest: Int[np.ndarray, " N"]) -> None:
        self.lowest, self.highest = lowest, highest
        self.sizes = highest - lowest + 1
        self.count = int(np.prod(self.sizes, dtype=float))
        self._strides = np.append(np.cumprod(self.sizes[:0:-1])[::-1], 1)[: len(lowest)].astype(np.int64)

    @cached_property
    def vectors(self) -> Int[np.ndarray, "C N"]:
        return np.indices(tuple(self.sizes)).reshape(len(self.sizes), self.count).T + self.lowest

    def number(self, vectors: Int[np.ndarray, "C N"]) -> Int[np.ndarray, " C"]:
        """Of each vector; what lies outside counts as the nearest inside."""
        return (np.clip(vectors, self.lowest, self.highest) - self.lowest) @ self._strides

    def number_of(self, units: Float[Tensor, "N B"]) -> Int[Tensor, " B"]:
        """The same, on the device of the units."""
        lowest, highest, strides = (
            torch.from_numpy(part).to(units.device) for part in (self.lowest, self.highest, self._strides)
        )
        steps = torch.minimum(torch.maximum(units.round().long().T, lowest), highest) - lowest
        return (steps * strides).sum(-1)


@dataclass(frozen=True)
class Extent:
    """What is looked at: inventory levels, inventory positions that requests may lead to, and requests."""

    lowest: Int[np.ndarray, " N"]
    highest: Int[np.ndarray, " N"]
    position: Int[np.ndarray, " N"]
    request: Int[np.ndarray, " E"]


@dataclass(frozen=True)
class Optimum:
    """The reward per period of an optimal policy lies from `least` to `most`, as evaluation counts it."""

    least: float
    most: float
    states: int
    """That requests may lead to."""
    policy: Optimal

    def __repr__(self) -> str:
        return f"Optimum(reward {self.least:.6g} to {self.most:.6g} a period, {self.states:,} states)"

    @property
    def reward(self) -> float:
        return (self.least + self.most) / 2


@dataclass(frozen=True, eq=False)
class Optimal:
    """Plays the table of best requests; what lies outside it is taken for the nearest state inside."""

    levels: Box
    due: list[Box]
    """In 1, 2.. periods."""
    requests: Int[np.ndarray, "A E"]
    best: Int[np.ndarray, "T S"]
    """Row of `requests` by state, of every period, or the same in all."""
    name: str = "optimal"
    knows: str = "stock everywhere, demand distribution"

    def __repr__(self) -> str:
        return f"Optimal({self.best.shape[1]:,} states, {len(self.requests):,} requests)"

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        state = view.state
        number = self.levels.number_of(state.inventory_level[0])
        for row, box in enumerate(self.due):
            number = number * box.count + box.number_of(state.pipeline[0, row])
        best = torch.from_numpy(self.best[min(view.period, len(self.best) - 1)]).to(number.device)[number]
        requests = torch.from_numpy(self.requests).to(state.inventory_level)
        return Decision(requests[best].T.unsqueeze(0)), None


def is_average(scenario: Scenario) -> bool:
    return scenario.ending == "continuing" and scenario.discount_factor == 1


def growth(
    scenario: Scenario, warehouse: Warehouse, periods: Int[np.ndarray, " P"]
) -> Float[np.ndarray, " P"]:
    model = scenario.demand_of(warehouse)
    return np.ones(len(periods)) if model is None else model.growth(periods)


def first_extent(problem: Problem) -> Extent:
    """A first guess. Nothing has to be right about it: edges that the optimal policy comes to are moved."""
    network, opening = problem.network, initial_state(problem.network, 1)
    mean, sd = (part[0].numpy() for part in (network.throughput, network.throughput_sd))
    level = newsvendor_levels(problem)[0].numpy()
    starts = (opening.inventory_level + opening.in_transit)[0, :, 0].numpy()
    everything = starts.sum() if network.replenishments == 0 else 0.0
    position = np.ceil(np.maximum.reduce([1.1 * level + 1, starts, np.full_like(mean, everything)])).astype(
        np.int64
    )
    periods = np.array([_response(network, n) + 1 for n in range(len(mean))])
    waits = (network.backordered.numpy()[:, 0] > 0) & (network.mean_demand[0].numpy() > 0)
    lowest = -np.ceil(np.where(waits, 4 * sd * np.sqrt(periods) + 1, 0)).astype(np.int64)
    lowest = np.minimum(lowest, opening.inventory_level[0, :, 0].numpy().astype(np.int64))
    destination = network.destination.numpy()
    request = np.ceil(np.maximum(mean + 1.3 * sd, everything)[destination]).astype(np.int64)
    return _within_limits(problem, Extent(lowest, position, position, request))


def _response(network: TransferNetwork, warehouse: int) -> int:
    lane = int(network.source_lane[warehouse])
    return int(network.response_time[lane]) if lane >= 0 else 0


def _within_limits(problem: Problem, extent: Extent) -> Extent:
    """No request beyond its lane's capacity, no level beyond a storage that discards; there a position may be
    what it likes."""
    capacity, storage = _capacity(problem), _storage(problem)
    return replace(
        extent, highest=np.minimum(extent.position, storage), request=np.minimum(extent.request, capacity)
    )


def _capacity(problem: Problem) -> Numbers:
    lanes = {lane.name: lane for lane in problem.scenario.lanes}
    volume = problem.scenario.product_list[0].volume
    limits = [lanes[name].capacity for name in problem.network.lanes]
    return (
        np.array([UNLIMITED if limit is None else limit // volume for limit in limits])
        .clip(max=BOUNDLESS)
        .astype(np.int64)
    )


def _storage(problem: Problem) -> Numbers:
    network = problem.network
    if network.storage is None:
        return np.full(len(network.warehouses), BOUNDLESS)
    discards = (
        np.ones(len(network.warehouses))
        if network.keeps_overflow is None
        else 1 - network.keeps_overflow.numpy()[:, 0]
    )
    room = np.floor(network.storage.numpy()[:, 0] / problem.scenario.product_list[0].volume)
    return np.where(discards > 0, room, BOUNDLESS).clip(max=BOUNDLESS).astype(np.int64)


class DynamicProgramme:
    """The dynamic programme of an extent. `S` states before a decision, `W` after one, `A` requests, `X`
    inventory levels.

    Costs are minus rewards. After a decision a state is the level, then what is due in 1.. L periods; before
    one there is nothing due in L.
    """

    def __init__(self, problem: Problem, extent: Extent) -> None:
        self.problem, self.network, self.extent = problem, problem.network, extent
        self.L = max(1, self.network.longest_lead_time)
        self.levels = Box(extent.lowest, extent.highest)
        self.due = [
            Box(np.zeros_like(extent.lowest), self._most_due(periods)) for periods in range(1, self.L + 1)
        ]
        self.X, self.first = self.levels.count, self.due[0].count
        self.R = int(np.prod([box.count for box in self.due[1:]], dtype=float))
        requests = Box(np.zeros_like(extent.request), extent.request)
        size = max(self.X * requests.count, self.X * self.first * max(self.X, self.R), self.X * self.R)
        if size > MOST_PAIRS:
            raise InputError(
                f"{problem.scenario.name}: has {self.X * self.R:.1e} states and {requests.count:.1e} "
                "requests in each, too many to solve exactly; "
                "bound it by perfect information"
            )
        self.requests, self._met = requests.vectors, {}
        self._decide()
        self.nothing = self.after[:, :1] + self.moved_on
        self._check()

    def _most_due(self, periods: int) -> Numbers:
        """What may be due in so many periods, at each warehouse."""
        network, most = self.network, np.zeros_like(self.extent.lowest)
        far = network.lead_time.numpy() >= periods
        np.add.at(most, network.destination.numpy()[far], self.extent.request[far])
        pipeline = initial_state(network, 1).pipeline[0, periods - 1 :, :, 0].numpy()
        return most + (np.ceil(pipeline.max(0)).astype(np.int64) if len(pipeline) else 0)

    @cached_property
    def _strides(self) -> list[int]:
        """Of what is due in 1, 2.. periods, in the number of a state after a decision."""
        return [
            int(np.prod([box.count for box in self.due[row + 1 :]], dtype=float)) for row in range(self.L)
        ]

    @cached_property
    def moved_on(self) -> Int[np.ndarray, " R"]:
        """Of what is due before a decision, by number: its part in the number of the state after ordering
        nothing."""
        part = np.zeros(1, dtype=np.int64)
        for row in range(self.L - 1):
            here, there = self.due[row + 1], self.due[row]
            part = (part[:, None] + there.number(here.vectors) * self._strides[row]).ravel()
        return part

    def _state(self, levels: Int[np.ndarray, "B N"], due: Int[np.ndarray, "B N"] | None = None) -> State:
        """With these levels, and these units due next period."""
        level = torch.from_numpy(levels.T[None]).double()
        return State(level, () if due is None else (torch.from_numpy(due.T[None]).double(),))

    def _play(
        self, state: State, requests: Tensor | None = None, demand: Tensor | None = None, last: bool = False
    ) -> tuple[State, State, np.ndarray]:
        """The state after the decision and that after the period, and what the period cost."""
        level = state.inventory_level
        asked = level.new_zeros(1, len(self.network.lanes), level.shape[-1]) if requests is None else requests
        demanded = torch.zeros_like(level) if demand is None else demand.expand_as(level)
        later, flows, costs = step(self.network, state, Decision(asked), Chance(demanded, last=last))
        after, following, due = ship(self.network, state, flows.shipments, None)
        decided = State(after, (following, *due))
        return decided, later, -costs.reward.sum((0, 1)).numpy()

    def _decide(self) -> None:
        """What every request leads to at every level, and what it costs more than no request in the state
        that it leads to."""
        pairs, some = self.X * len(self.requests), torch.from_numpy(self.requests.T[None]).double()
        after, price = np.empty(pairs, dtype=np.int64), np.empty(pairs)
        for part in _parts(pairs, AT_ONCE):
            level, request = np.divmod(part, len(self.requests))
            decided, _, cost = self._play(self._state(self.levels.vectors[level]), some[..., request])
            _, _, later = self._play(decided)
            fits = (self.extent.highest >= _whole(decided.inventory_level[0]).T).all(1)
            after[part], price[part] = (
                self._number_after(decided),
                np.where(fits, cost - later, np.inf),
            )
        self.after, self.price = after.reshape(self.X, -1), price.reshape(self.X, -1)

    def _number_after(self, decided: State) -> Numbers:
        number = self.levels.number(_whole(decided.inventory_level[0]).T)
        for row, box in enumerate(self.due):
            arriving = (
                _whole(decided.pipeline[0, row]).T
                if row < decided.pipeline.shape[1]
                else np.zeros((len(number), len(box.sizes)), int)
            )
            number = number * box.count + box.number(arriving)
        return number

    def meet(
        self, period: int = 0, last: bool = False
    ) -> tuple[Float[np.ndarray, "Y 1"], Float[np.ndarray, "Y X"]]:
        """Expected cost, and the chance of every next level, by level and what is due next period, in a
        period's demand."""
        scenario = self.problem.scenario
        factors = tuple(
            float(growth(scenario, place, np.array([period]))[0]) for place in scenario.warehouses
        )
        if (factors, last) not in self._met:
            self._met[factors, last] = self._meet(factors, last)
        return self._met[factors, last]

    def _meet(
        self, factors: tuple[float, ...], last: bool
    ) -> tuple[Float[np.ndarray, "Y 1"], Float[np.ndarray, "Y X"]]:
        levels, due = np.repeat(self.levels.vectors, self.first, 0), np.tile(self.due[0].vectors, (self.X, 1))
        cost, chance = np.zeros(len(levels)), np.zeros((len(levels), self.X))
        demands, likely = self._demand(factors)
        batch = max(1, AT_ONCE // len(levels))
        for part in _parts(len(demands), batch):
            state = self._state(np.tile(levels, (len(part), 1)), np.tile(due, (len(part), 1)))
            demand = torch.from_numpy(np.repeat(demands[part], len(levels), 0).T[None]).double()
            _, later, paid = self._play(state, demand=demand, last=last)
            cost += likely[part] @ paid.reshape(len(part), -1)
            closing = self.levels.number(_whole(later.inventory_level[0]).T).reshape(len(part), -1)
            for one, level in zip(part, closing, strict=True):
                chance[np.arange(len(levels)), level] += likely[one]
        return cost[:, None], chance

    def _demand(self, factors: tuple[float, ...]) -> tuple[Int[np.ndarray, "D N"], Float[np.ndarray, " D"]]:
        """Every demand of a period that may come, and how likely it is."""
        scenario = self.problem.scenario
        each = [
            np.ones(1) if (model := scenario.demand_of(place)) is None else _masses(scenario, model, factor)
            for place, factor in zip(scenario.warehouses, factors, strict=True)
        ]
        likely = each[0]
        for other in each[1:]:
            likely = np.multiply.outer(likely, other)
        box = Box(np.zeros(len(each), dtype=np.int64), np.array([len(one) - 1 for one in each]))
        return box.vectors, likely.ravel()

    @cached_property
    def _positions(self) -> Int[np.ndarray, "W N"]:
        """Inventory position after a decision, without backorders of others."""
        each = []
        for n in range(len(self.extent.lowest)):
            position = self.levels.vectors[:, n].reshape(-1, *[1] * self.L)
            for row, box in enumerate(self.due):
                position = position + box.vectors[:, n].reshape(-1, *[1] * (self.L - 1 - row))
            each.append(position.ravel())
        return np.stack(each, 1)

    @cached_property
    def _beyond(self) -> Bool[np.ndarray, " W"]:
        """Of states after a decision: where an inventory position is beyond the extent. With a storage that
        discards it may be."""
        beyond = self._positions > self.extent.position
        return np.any(beyond[:, _storage(self.problem) == BOUNDLESS], axis=1)

    def improve(
        self,
        values: Float[np.ndarray, "X R"],
        cost: Float[np.ndarray, "Y 1"],
        chance: Float[np.ndarray, "Y X"],
        weight: float = 1.0,
    ) -> tuple[Float[np.ndarray, "X R"], Int[np.ndarray, "X R"]]:
        """Least cost of a period, times its weight, plus the expected `values` after it, and the request that
        reaches it. Nothing may always be asked for; requests that lead beyond the extent may not."""
        ahead, price = (weight * cost + chance @ values).ravel(), weight * self.price
        allowed = np.where(self._beyond, np.inf, ahead)
        best = ahead[self.nothing] + price[:, :1]
        chosen = np.zeros(best.shape, dtype=np.int32)
        for part in _parts(len(self.requests), max(1, AT_ONCE // best.size)):
            tried = allowed[self.after[:, None, part] + self.moved_on[:, None]] + price[:, None, part]
            row = tried.argmin(-1)
            least = np.take_along_axis(tried, row[..., None], -1)[..., 0]
            better = least < best
            best[better], chosen[better] = least[better], part[row[better]]
        return best, chosen

    def average(self, tolerance: float, progress: Progress, iterations: int = 5_000) -> Optimum:
        cost, chance = self.meet()
        values, matters = np.zeros((self.X, self.R)), ~self._beyond[self.nothing]
        low, high = -np.inf, np.inf
        for _ in progress(range(iterations), "solving"):
            improved, chosen = self.improve(values, cost, chance)
            change = (improved - values)[matters]
            low, high = float(change.min()), float(change.max())
            if high - low <= tolerance * max(1.0, abs(low)):
                return Optimum(-high, -low, int(matters.sum()), self._optimal(chosen[None]))
            values = improved - improved[matters][0]
        raise InputError(
            f"{self.problem.scenario.name}: the average cost is still between {low:g} and {high:g} after "
            f"{iterations} iterations; "
            "give `ending: finite`, or demand that varies more"
        )

    def horizon(self, progress: Progress) -> Optimum:
        """Backwards from the end, every period weighted as evaluation counts it."""
        periods = self.problem.scenario.horizon
        weights, values, tables = shares(self.problem, periods), np.zeros((self.X, self.R)), []
        for period in progress(range(periods - 1, -1, -1), "solving"):
            values, chosen = self.improve(
                values, *self.meet(period, period == periods - 1), float(weights[period])
            )
            tables.insert(0, chosen)
        least = -float(values.ravel()[self._opening()])
        return Optimum(
            least, least, int((~self._beyond[self.nothing]).sum()), self._optimal(np.stack(tables))
        )

    def _opening(self) -> int:
        """Number of the state that a season begins with."""
        opening = initial_state(self.network, 1)
        number = self.levels.number(_whole(opening.inventory_level[0]).T)
        for row, box in enumerate(self.due[1:]):
            number = number * box.count + box.number(_whole(opening.pipeline[0, row]).T)
        return int(number[0])

    def _optimal(self, best: Int[np.ndarray, "T X R"]) -> Optimal:
        return Optimal(self.levels, self.due[1:], self.requests, best.reshape(len(best), -1))

    def grown(self, policy: Optimal) -> Extent | None:
        """A wider extent, where the policy comes to an edge that is not the scenario's own; None where it
        stays clear of all."""
        extent, (levels, requests, after) = self.extent, self._frequencies(policy)
        low = (levels @ (self.levels.vectors == extent.lowest) > CLEAR) & (extent.lowest < 0)
        high = (after @ (self._positions >= extent.position) > CLEAR) & (_storage(self.problem) == BOUNDLESS)
        much = (requests @ (self.requests == extent.request) > CLEAR) & (
            extent.request < _capacity(self.problem)
        )
        if not (low.any() or high.any() or much.any()):
            return None
        wider = Extent(
            np.where(low, 1.4 * extent.lowest - 1, extent.lowest).astype(np.int64),
            extent.highest,
            np.where(high, 1.3 * extent.position + 1, extent.position).astype(np.int64),
            np.where(much, 1.4 * extent.request + 1, extent.request).astype(np.int64),
        )
        return _within_limits(self.problem, wider)

    def _frequencies(
        self, policy: Optimal
    ) -> tuple[Float[np.ndarray, " X"], Float[np.ndarray, " A"], Float[np.ndarray, " W"]]:
        """How often the policy meets each level, makes each request and comes to each state after a decision:
        in the long run, or over the horizon."""
        forever, horizon = is_average(self.problem.scenario), self.problem.scenario.horizon
        mass = np.zeros(self.X * self.R)
        mass[self._opening()] = 1.0
        seen = np.zeros(self.X), np.zeros(len(self.requests)), np.zeros(self.X * self.first * self.R)
        for period in range(SETTLED if forever else horizon):
            best = policy.best[0 if forever else period]
            decided = np.take_along_axis(self.after, best.reshape(self.X, self.R), 1) + self.moved_on
            after = np.bincount(decided.ravel(), mass, len(seen[2]))
            for total, now in zip(
                seen,
                (mass.reshape(self.X, -1).sum(1), np.bincount(best, mass, len(self.requests)), after),
                strict=True,
            ):
                total *= not forever
                total += now if forever else now / horizon
            _, chance = self.meet(period, period == horizon - 1 and not forever)
            mass, before = (chance.T @ after.reshape(self.X * self.first, self.R)).ravel(), mass
            if forever and np.abs(mass - before).sum() < CLEAR / 10:
                break
        return seen

    def _check(self, tries: int = 500) -> None:
        """The two parts of a period together are the period, on states, requests and demands picked at
        random."""
        luck = np.random.default_rng(0)
        pick = [luck.integers(count, size=tries) for count in (self.X, self.R, len(self.requests))]
        demand = torch.from_numpy(
            luck.integers(0, 1 + self.extent.highest.max(), (1, len(self.extent.lowest), tries))
        ).double()
        demand *= (self.network.mean_demand > 0).unsqueeze(-1)
        levels, due = self.levels.vectors[pick[0]], self._due_before(pick[1])
        level = torch.from_numpy(levels.T[None]).double()
        coming = tuple(units.unsqueeze(0) for units in torch.from_numpy(due).double())
        requests = torch.from_numpy(self.requests[pick[2]].T[None]).double()
        decided, later, cost = self._play(State(level, coming), requests, demand)
        _, in_parts, cost_of_demand = self._play(decided, demand=demand)
        number = self.after[pick[0], pick[2]] + self.moved_on[pick[1]]
        fits = np.isfinite(self.price[pick[0], pick[2]])
        as_told = self.price[pick[0], pick[2]] + cost_of_demand
        same = (number == self._number_after(decided)) & np.isclose(as_told, cost, rtol=1e-9, atol=1e-9)
        same &= (in_parts.inventory_level == later.inventory_level).numpy()[0].all(0)
        if not same[fits].all():
            raise InputError(
                f"{self.problem.scenario.name}: what is shipped, or what it costs, depends on more than "
                "inventory levels, which the exact solver "
                "does not know; bound it by perfect information"
            )

    def _due_before(self, number: Int[np.ndarray, " B"]) -> Int[np.ndarray, "_ N B"]:
        """What is due in 1, 2.. periods before a decision, by number."""
        due = np.zeros((self.L - 1, len(self.extent.lowest), len(number)), dtype=np.int64)
        for row, box in reversed(list(enumerate(self.due[1:]))):
            number, one = np.divmod(number, box.count)
            due[row] = box.vectors[one].T
        return due


def _parts(count: int, at_once: int) -> list[Int[np.ndarray, " P"]]:
    return np.array_split(np.arange(count), -(-count // at_once))


def _whole(units: Tensor) -> Numbers:
    return units.round().long().numpy()


def _masses(scenario: Scenario, model: Demand, factor: float) -> Float[np.ndarray, " D"]:
    found = masses(model, factor)
    if found is None:
        raise InputError(
            f"{scenario.name}: demand of kind {model.kind} is not in whole units; the exact solver needs "
            "kind poisson, or another count"
        )
    return found
