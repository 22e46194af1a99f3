"""A network's periods as a linear programme: what the perfect-information bound and rolling-horizon planning
solve with HiGHS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from marl_inv.chance.trace import Trace
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem
from marl_inv.network import UNLIMITED, TransferNetwork, unlimited
from marl_inv.simulator import State

Positions = np.ndarray
"""Column or row numbers, shaped like what they stand for."""


class Programme:
    """Columns with costs and bounds, and sparse rows, put together block by block."""

    def __init__(self) -> None:
        self.columns = 0
        self.upper: list[np.ndarray] = []
        self.paid: list[tuple[Positions, np.ndarray | float]] = []
        self.equal, self.at_most = Rows(), Rows()

    def variables(self, shape: tuple[int, ...], upper: np.ndarray | float = np.inf) -> Positions:
        """New columns, 0 or more."""
        block = self.columns + np.arange(np.prod(shape, dtype=int)).reshape(shape)
        self.columns += block.size
        self.upper.append(np.broadcast_to(upper, shape).ravel())
        return block

    def pay(self, block: Positions, cost: np.ndarray | float) -> None:
        """Add to what the variables of a block cost."""
        self.paid.append((block, cost))

    def solve(self) -> tuple[float, np.ndarray, np.ndarray]:
        """The least cost, the columns, and what one more unit on the right of each `at_most` row would
        save."""
        costs = np.zeros(self.columns)
        for block, cost in self.paid:
            np.add.at(costs, block.ravel(), np.broadcast_to(cost, block.shape).ravel())
        bounds = np.stack([np.zeros(self.columns), np.concatenate(self.upper)], axis=1)
        most, equal = self.at_most.matrix(self.columns), self.equal.matrix(self.columns)
        found = linprog(costs, *most, *equal, bounds=bounds, method="highs")
        if found.status != 0:
            raise ArithmeticError(f"perfect information: HiGHS found no optimum ({found.message})")
        return found.fun, found.x.clip(min=0), -found.ineqlin.marginals


class Rows:
    """Sparse rows of one kind."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []
        self.columns: list[np.ndarray] = []
        self.values: list[np.ndarray] = []
        self.right: list[np.ndarray] = []
        self.count = 0

    def add(self, right: np.ndarray) -> Positions:
        """New rows with their right-hand sides; returns their numbers."""
        numbers = self.count + np.arange(right.size).reshape(right.shape)
        self.count += right.size
        self.right.append(right.ravel())
        return numbers

    def put(self, rows: Positions, columns: Positions, value: np.ndarray | float = 1.0) -> None:
        rows, columns, values = np.broadcast_arrays(rows, columns, value)
        self.rows.append(rows.ravel())
        self.columns.append(columns.ravel())
        self.values.append(values.ravel().astype(float))

    def matrix(self, columns: int) -> tuple[csr_array | None, np.ndarray | None]:
        if not self.count:
            return None, None
        entries = np.concatenate(self.values), (np.concatenate(self.rows), np.concatenate(self.columns))
        return coo_array(entries, shape=(self.count, columns)).tocsr(), np.concatenate(self.right)


def check_linear(problem: Problem) -> None:
    """Raises InputError for what no linear programme bounds: the utility objective, negative weights, and
    decided promotions with a dip."""
    network, name = problem.network, problem.scenario.name
    if network.weights["utility"]:
        raise InputError(f"{name}: the utility objective is not linear; there is no linear programme for it")
    if min(network.weights.values()) < 0:
        raise InputError(f"{name}: has a negative weight; there is no linear programme for it")
    if network.max_promotion is not None and network.dip is not None:
        raise InputError(
            f"{name}: decides on promotions with a dip, which is not linear; there is no linear programme "
            "for it"
        )


def product_groups(network: TransferNetwork) -> list[list[int]]:
    """Products that share a capacity or a vehicle are planned together, others one by one."""
    together = (
        network.storage is not None
        or network.limits
        or network.shipment_cost is not None
        or network.vehicle_cost is not None
    )
    everything = list(range(len(network.products)))
    return [everything] if together else [[product] for product in everything]


def _array(tensor: Tensor | None, like: tuple[int, ...]) -> np.ndarray:
    return np.zeros(like) if tensor is None else tensor.detach().double().cpu().numpy()


@dataclass(frozen=True)
class SamplePath:
    """What a programme is told: a state, and all that chance brings from then on. Of one replication."""

    state: State
    """A batch of one."""
    demand: Float[np.ndarray, "T K N"]
    """Before promotions."""
    lead_time: Int[np.ndarray, "T E"]
    available: Float[Tensor, "T M"] | None
    planned: Float[np.ndarray, "T N"]
    """Planned promotion levels."""
    weight: Float[np.ndarray, " T"]
    """How much each period counts in the result."""
    ends: bool = True
    """Whether the episode ends with the path, and not only the view of it."""
    lenient: bool = True
    """Whether whole demand that a decided promotion has changed may be rounded as the programme likes, so
    that its optimum is a bound."""

    @classmethod
    def of(
        cls,
        network: TransferNetwork,
        state: State,
        trace: Trace,
        replication: int,
        periods: range,
        weight: np.ndarray,
    ) -> SamplePath:
        """Some periods of a trace, from the state before the first of them."""
        first, end = periods.start, periods.stop
        fixed = network.lead_time.expand(len(periods), len(network.lanes))
        return cls(
            state.replication(replication),
            _array(trace.demand[trace.history + first : trace.history + end, ..., replication], ()),
            (fixed if trace.lead_time is None else trace.lead_time[first:end, :, replication]).cpu().numpy(),
            None if trace.available is None else trace.available[first:end, :, replication],
            np.zeros((len(periods), len(network.warehouses)))
            if trace.promotion is None
            else _array(trace.promotion[first:end, :, 0], ()),
            weight,
            end == len(trace),
        )


class Model:
    """The programme of some products on one path: variables, rows and costs. Arrays are (T, K, N) or (T, K,
    E), of float64.

    Several models may share a programme.
    """

    def __init__(
        self, network: TransferNetwork, path: SamplePath, products: list[int], programme: Programme
    ) -> None:
        self.network, self.products, self.path, self.programme = network, products, path, programme
        self.T, self.K, self.N, self.E = (
            len(path.demand),
            len(products),
            len(network.warehouses),
            len(network.lanes),
        )
        self.X = 0 if network.reactive is None else len(network.reactive.names)
        self.level, self.pipeline = (
            _array(path.state.inventory_level[products, ..., 0], ()),
            _array(path.state.pipeline[products, ..., 0], ()),
        )
        self.orders = None if path.state.orders is None else _array(path.state.orders[products, ..., 0], ())
        self.demand, self.lead_time = path.demand[:, products], path.lead_time
        self.volume = self.rate(network.volume)[:, 0]
        self.origin, self.destination = network.origin.cpu().numpy(), network.destination.cpu().numpy()
        self.backordered = network.backordered.cpu().numpy()[:, 0] > 0
        self.weight, self.constant = path.weight[:, None, None], 0.0
        self._plan_promotions()
        self._variables()
        self._serve()
        self._receive()
        self.limits = self._limits()
        self._pay()

    def rate(self, rates: Tensor | None, columns: int | None = None) -> np.ndarray:
        """Rates of these products: (K, columns)."""
        shape = (len(self.network.products), self.N if columns is None else columns, 1)
        return np.broadcast_to(_array(rates, shape), (shape[0], *_array(rates, shape).shape[1:]))[
            self.products, :, 0
        ]

    def _plan_promotions(self) -> None:
        """Demand under the planned promotions, and what one more level of a decided one adds to it."""
        network, unplanned, planned = self.network, self.demand, self.path.planned[:, None]
        uplift, recovery = network.uplift.cpu().numpy()[:, 0], network.recovery.cpu().numpy()[:, 0]
        dip = _array(network.dip, (self.N, 1))[:, 0]
        past = (
            np.zeros((self.K, self.N))
            if self.path.state.dip is None
            else _array(self.path.state.dip[self.products, ..., 0], ())
        )
        left = np.ones((self.T, self.K, self.N))
        for period in range(self.T):
            left[period] = np.maximum(1 - dip * past, 0)
            past = recovery * past + planned[period]
        self.planned = planned
        self.demand = unplanned * (1 + uplift * planned) * left
        most = (
            np.zeros(self.N) if network.max_promotion is None else network.max_promotion.cpu().numpy()[:, 0]
        )
        self.most_extra = np.maximum(most - planned, 0)
        self.per_level = unplanned * uplift
        self.rounded = np.zeros((self.T, self.K, self.N), dtype=bool)
        if network.integer:
            self.rounded = (self.per_level * self.most_extra > 0) & self.path.lenient
            self.demand = np.where(self.rounded, self.demand - 0.5, self.demand.round())

    def _variables(self) -> None:
        new, network, each = self.programme.variables, self.network, (self.T, self.K, self.N)
        self.shipped = new((self.T, self.K, self.E), self._hearable())
        self.moved = new((self.T, self.K, self.X))
        self.opening = new((self.T + 1, self.K, self.N))
        self.waiting = new((self.T + 1, self.K, self.N), np.where(self.backordered, np.inf, 0.0))
        self.held = new(each)
        self.short = new(each)
        self.extra = new(each, np.broadcast_to(self.most_extra, each))
        self.rounding = new(each, self.rounded.astype(float))
        stored = (
            np.zeros(self.N, dtype=bool)
            if network.storage is None
            else ~unlimited(network.storage.cpu().numpy()[:, 0])
        )
        self.keeps = stored & (_array(network.keeps_overflow, (self.N, 1))[:, 0] > 0)
        self.discarded = new(each, np.where(stored & ~self.keeps, np.inf, 0.0))
        self.rented = new((self.T, self.N), np.where(self.keeps, np.inf, 0.0))
        self.stored = stored

    def _hearable(self) -> np.ndarray:
        """A lane with an order delay ships at first what was ordered before the episode, at most."""
        upper = np.full((self.T, self.K, self.E), np.inf)
        if self.orders is not None:
            assert self.network.order_slot is not None
            delay = (self.network.order_slot // self.E).cpu().numpy()
            owes = _array(self.network.owes, (self.E, 1))[:, 0] > 0
            for lane, periods in enumerate(delay.tolist()):
                heard = self.orders[:, :periods, lane].T
                upper[:periods, :, lane] = (heard.cumsum(0) if owes[lane] else heard)[: self.T]
        return upper

    def _serve(self) -> None:
        """Opening stock - shipped + arriving at once + transshipped - demand = held - short; nobody ships
        more than there is."""
        rows, network, supplied = self.programme.equal, self.network, self.network.replenishments
        at = rows.add(self.demand)
        rows.put(at, self.opening[:-1])
        rows.put(at, self.waiting[:-1], -1.0)
        rows.put(at, self.held, -1.0)
        rows.put(at, self.short)
        self._promote(rows, at)
        rows.put(at[:, :, self.origin], self.shipped[:, :, supplied:], -1.0)
        rows.put(at[:, :, self.destination], self.shipped, (self.lead_time == 0)[:, None].astype(float))
        rows.put(rows.add(self.level.clip(0)), self.opening[0])
        rows.put(rows.add((-self.level).clip(0)), self.waiting[0])
        stock = self.programme.at_most
        holds = stock.add(np.zeros((self.T, self.K, self.N)))
        stock.put(holds, self.opening[:-1], -1.0)
        stock.put(holds[:, :, self.origin], self.shipped[:, :, supplied:])
        customers = stock.add(self.demand.clip(0))
        stock.put(customers, self.short)
        stock.put(customers, self.waiting[:-1], -1.0)
        self._promote(stock, customers)
        still = stock.add(np.zeros((self.T, self.K, self.N)))
        stock.put(still, self.waiting[1:])
        stock.put(still, self.short, -1.0)
        if network.reactive is not None:
            origin, destination = (
                network.reactive.origin.cpu().numpy(),
                network.reactive.destination.cpu().numpy(),
            )
            rows.put(at[:, :, origin], self.moved, -1.0)
            rows.put(at[:, :, destination], self.moved)
            wanted = stock.add(self.demand.clip(0))
            stock.put(wanted[:, :, destination], self.moved)
            stock.put(wanted, self.waiting[:-1], -1.0)
            self._promote(stock, wanted)
        if network.full_shipment is not None and not network.limits and self.X == 0:
            self._ship_everything(rows)

    def _promote(self, rows: Rows, at: Positions) -> None:
        """Add to the demand on the right of some rows what decided promotions add to it, and up to a unit
        where that is rounded."""
        rows.put(at, self.extra, -self.per_level)
        rows.put(at[self.rounded], self.rounding[self.rounded], -1.0)

    def _ship_everything(self, rows: Rows) -> None:
        assert self.network.full_shipment is not None
        lanes, origins, _ = (tensor.cpu().numpy() for tensor in self.network.full_shipment)
        docks = np.unique(origins)
        gone = rows.add(np.zeros((self.T, self.K, len(docks))))
        rows.put(gone, self.opening[:-1][:, :, docks], -1.0)
        rows.put(gone[:, :, np.searchsorted(docks, origins)], self.shipped[:, :, lanes])

    def _receive(self) -> None:
        """The next opening is what is held, still waited for and due, less what is discarded; storage bounds
        it."""
        rows = self.programme.equal
        due = np.zeros((self.T, self.K, self.N))
        depth = min(self.T, self.pipeline.shape[1])
        due[:depth] = self.pipeline[:, :depth].transpose(1, 0, 2)
        at = rows.add(due)
        rows.put(at, self.opening[1:])
        rows.put(at, self.waiting[1:], -1.0)
        rows.put(at, self.held, -1.0)
        rows.put(at, self.short, self.backordered.astype(float))
        rows.put(at, self.discarded)
        arrival = np.arange(self.T)[:, None] + self.lead_time - 1
        period, lane = np.nonzero((self.lead_time > 0) & (arrival < self.T))
        rows.put(at[arrival[period, lane], :, self.destination[lane]], self.shipped[period, :, lane], -1.0)
        if self.stored.any():
            self._store()

    def _store(self) -> None:
        rows, returned = self.programme.at_most, (self.demand < 0).any((0, 1))
        kept_to = np.flatnonzero(self.stored & ~returned)
        assert self.network.storage is not None
        storage = self.network.storage.double().cpu().numpy()[kept_to, 0]
        within = rows.add(np.broadcast_to(storage, (self.T, len(kept_to))).copy())
        rows.put(within[:, None], self.opening[1:][:, :, kept_to], self.volume[:, None])
        rows.put(within, self.rented[:, kept_to], -1.0)
        self._fit_free_space(np.flatnonzero(self.stored & ~returned & ~self.keeps))

    def _fit_free_space(self, places: np.ndarray) -> None:
        """What arrives at once fits beside what is there already, where it does not fill backorders."""
        lanes = np.flatnonzero(np.isin(self.destination, places) & (self.lead_time == 0).any(0))
        if not len(lanes):
            return
        assert self.network.storage is not None
        rows, room = self.programme.at_most, np.empty((self.T, len(places)))
        room[:] = self.network.storage.double().cpu().numpy()[places, 0]
        room[0] = np.maximum(room[0], (self.level[:, places].clip(0) * self.volume[:, None]).sum(0))
        free = rows.add(room)
        rows.put(free[:, None], self.opening[:-1][:, :, places], self.volume[:, None])
        rows.put(free[:, None], self.waiting[:-1][:, :, places], -self.volume[:, None])
        at = free[:, None, np.searchsorted(places, self.destination[lanes])]
        rows.put(at, self.shipped[:, :, lanes], self.volume[:, None] * (self.lead_time == 0)[:, None, lanes])

    def _limits(self) -> dict[str, Positions]:
        """Rows of every lane, pool and supplier with a capacity, by name."""
        rows, named = self.programme.at_most, {}
        for limit in self.network.limits:
            now = (
                limit.now(None if self.path.available is None else self.path.available.T)
                .double()
                .cpu()
                .numpy()
            )
            capacity = np.broadcast_to(now, (len(now), self.T))
            group, reactive_group = limit.group.cpu().numpy(), limit.reactive_group.cpu().numpy()
            for number, name in enumerate(limit.names):
                if unlimited(capacity[number].min()):
                    continue
                at = rows.add(np.minimum(capacity[number], UNLIMITED))
                rows.put(at[:, None, None], self.shipped[:, :, group == number], self.volume[:, None])
                rows.put(at[:, None, None], self.moved[:, :, reactive_group == number], self.volume[:, None])
                named[name] = at
        return named

    def _pay(self) -> None:
        network, pay, weigh = self.network, self.programme.pay, self.network.weights
        weight, supplied = self.weight, self.network.replenishments
        holding = weigh["holding"] * self.rate(network.holding_cost)
        pay(self.opening[:-1] if network.rules.holding_on == "opening" else self.held, weight * holding)
        pay(self.short, weight * weigh["shortage"] * self.rate(network.shortage_cost))
        pay(
            self.shipped[:, :, :supplied],
            weight * weigh["procurement"] * self.rate(network.procurement_cost, supplied),
        )
        transport = weigh["transport"] * self.rate(network.transport_cost, self.E + self.X)
        pay(self.shipped, weight * transport[:, : self.E])
        pay(self.moved, weight * transport[:, self.E :])
        in_transit = weigh["in_transit"] * self.rate(network.in_transit_cost, self.E)
        pay(self.shipped, weight * in_transit * self.lead_time[:, None])
        vehicle = (
            _array(network.vehicle_cost, (self.E + self.X, 1))
            / network.vehicle_capacity.double().cpu().numpy()
        )
        per_unit = weigh["vehicle"] * vehicle[:, 0] * self.volume[:, None]
        pay(self.shipped, weight * per_unit[:, : self.E])
        pay(self.moved, weight * per_unit[:, self.E :])
        overflow = weigh["overflow"] * self.rate(network.overflow_cost)
        pay(self.discarded, weight * overflow)
        pay(self.rented, weight[:, 0] * (overflow / self.volume[:, None]).min(0))
        promotion = weigh["promotion"] * network.promotion_cost.double().cpu().numpy()[:, 0]
        pay(self.extra, weight * promotion)
        self.constant -= float((weight * promotion * self.planned).sum()) * self.K
        self._earn(weight)
        self._miss(weight)

    def _earn(self, weight: np.ndarray) -> None:
        """Revenue of demand that is not lost and, where it is backordered, does not wait; salvage of what is
        left at the end."""
        price = self.network.weights["revenue"] * self.rate(self.network.price)
        self.constant += float((weight * price * self.demand).sum())
        pay, waits = self.programme.pay, weight * price * self.backordered
        pay(self.extra, -weight * price * self.per_level)
        pay(self.rounding, -weight * price * self.rounded)
        pay(self.short, weight * price * ~self.backordered)
        pay(self.waiting[:-1], -waits)
        pay(self.waiting[1:], waits)
        if self.network.salvage_value is not None and self.path.ends:
            pay(
                self.opening[-1],
                -weight[-1] * self.network.weights["salvage"] * self.rate(self.network.salvage_value),
            )

    def _miss(self, weight: np.ndarray) -> None:
        """The fill-rate floor, where demand is lost; backorders of before would have to be told from new
        ones, so there it is left out."""
        rule = self.network.rules.service
        if not self.network.weights["shortfall"]:
            return
        lost = np.flatnonzero(~self.backordered)
        missing = self.programme.variables((self.T, self.K, len(lost)))
        rows = self.programme.at_most
        at = rows.add((1 - rule.fill_rate) * self.demand[:, :, lost].clip(0))
        rows.put(at, self.short[:, :, lost])
        rows.put(at, missing, -1.0)
        rows.put(at, self.extra[:, :, lost], -(1 - rule.fill_rate) * self.per_level[:, :, lost])
        rows.put(at, self.rounding[:, :, lost], -(1 - rule.fill_rate) * self.rounded[:, :, lost])
        self.programme.pay(missing, weight * self.network.weights["shortfall"] * rule.price)
