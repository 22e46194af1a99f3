"""Exact optima of small instances by dynamic programming: certified optimal costs and the policies that reach them.

An instance is a record that knows how to `improve` values: one step of dynamic programming over all its states at once, which returns
the new values and the orders that achieve them, indexed by state. `optimum` iterates it for the long-run average.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats
from scipy.stats import rv_discrete

Orders = Int[np.ndarray, "E ..."]
"""What to ask for on each lane in each state."""


class Instance(Protocol):
    """States are an array's indices; costs are to be least."""

    @property
    def states(self) -> Bool[np.ndarray, "*S"]:
        """Where the array holds a state that matters: a closed set of them."""

    def improve(self, values: Float[np.ndarray, "*S"]) -> tuple[Float[np.ndarray, "*S"], Orders]:
        """Least cost of a period plus the expected `values` of the state it leads to, and the orders that reach it."""


@dataclass(frozen=True, eq=False)
class Optimum:
    """The least average cost per period lies from `least` to `most`."""

    least: float
    most: float
    orders: Orders

    @property
    def cost(self) -> float:
        return (self.least + self.most) / 2


def optimum(instance: Instance, tolerance: float = 1e-6, iterations: int = 10_000) -> Optimum:
    """Relative value iteration: the least and the largest change of any state bracket the optimal average cost (Odoni 1969)."""
    states = instance.states
    values = np.zeros(states.shape)
    for _ in range(iterations):
        improved, orders = instance.improve(values)
        change = (improved - values)[states]
        values = improved - improved[states][0]
        if np.ptp(change) < tolerance:
            return Optimum(float(change.min()), float(change.max()), orders)
    raise RuntimeError(f"the average cost is still between {change.min()} and {change.max()} after {iterations} iterations")


def probabilities(demand: rv_discrete, largest: int) -> Float[np.ndarray, " D"]:
    """Of demand 0, 1.. and, last, of `largest` or more."""
    below = demand.cdf(np.arange(largest))
    return np.diff(below, prepend=0.0, append=1.0)


def what_is_left(demand: rv_discrete, most: int) -> Float[np.ndarray, "S S"]:
    """Row y, column s: the probability that demand leaves s of a stock of y, when what it cannot have is lost."""
    chance = probabilities(demand, most + 1)
    left = np.zeros((most + 1, most + 1))
    for stock in range(most + 1):
        left[stock, 1 : stock + 1] = chance[:stock][::-1]
        left[stock, 0] = 1 - chance[:stock].sum()
    return left


@dataclass(frozen=True)
class LostSales:
    """One warehouse, one supplier, lost sales (Zipkin 2008): order, then demand; holding and shortage on what demand leaves.

    A state is the stock, then the orders due in 1, 2.. L - 1 periods. The orders due in l periods or later, l = 0.. L, are never more than
    the newsvendor quantile of demand over the L + 1 - l periods they are for (Zipkin's bounds), which makes the states few.
    """

    demand: rv_discrete
    lead_time: int
    holding: float
    shortage: float

    @cached_property
    def bounds(self) -> list[int]:
        """Most stock and orders together, most orders due in 1 period or later, in 2.."""
        ratio = self.shortage / (self.shortage + self.holding)
        longest = int(self.demand.mean() * (self.lead_time + 1) * 20)
        chance = probabilities(self.demand, longest)
        total, quantiles = np.ones(1), []
        for _ in range(self.lead_time + 1):
            total = np.convolve(total, chance)[: longest + 1]
            quantiles.append(int(np.searchsorted(total.cumsum(), ratio)))
        return quantiles[::-1]

    @cached_property
    def _admitted(self) -> Bool[np.ndarray, "... Q"]:
        """Whether stock, orders and a new order together keep to the bounds; the last axis is the new order."""
        most, largest = self.bounds[0], self.bounds[-1]
        axes = np.indices((most + 1,) + (largest + 1,) * self.lead_time, sparse=True)
        admitted, later = np.ones(1, dtype=bool), 0
        for bound, axis in zip(self.bounds[::-1], axes[::-1], strict=True):
            later = later + axis
            admitted = admitted & (later <= bound)
        return admitted

    @property
    def states(self) -> Bool[np.ndarray, "*S"]:
        return self._admitted[..., 0]

    @cached_property
    def _left(self) -> Float[np.ndarray, "S S"]:
        return what_is_left(self.demand, self.bounds[0])

    @cached_property
    def _period(self) -> Float[np.ndarray, " S"]:
        """Expected cost of a period by the stock that demand meets."""
        stock = np.arange(self.bounds[0] + 1)
        on_hand = self._left @ stock
        return self.holding * on_hand + self.shortage * (self.demand.mean() - stock + on_hand)

    @cached_property
    def _forbidden(self) -> Float[np.ndarray, "... Q"]:
        """Infinite for orders beyond the bounds, but for ordering nothing."""
        forbidden = np.where(self._admitted, 0.0, np.inf)
        forbidden[..., 0] = 0
        return forbidden

    def improve(self, values: Float[np.ndarray, "*S"]) -> tuple[Float[np.ndarray, "*S"], Orders]:
        most, largest = self.bounds[0], self.bounds[-1]
        later = values.reshape(most + 1, -1)
        arrivals = [self._left @ later[np.minimum(np.arange(most + 1) + due, most)] for due in range(largest + 1)]
        ahead = np.stack(arrivals, 1).reshape(self._admitted.shape) + self._forbidden
        period = self._period.reshape(-1, *[1] * (values.ndim - 1))
        return period + ahead.min(-1), ahead.argmin(-1)[None]


@dataclass(frozen=True)
class DualSourcing:
    """A regular source of lead time L >= 2 and an expedited one that delivers at once; backorders, demand of at most `most`.

    A state is the inventory level that the regular order due now is in, counted from -`most` up, then the regular orders due in 1, 2.. L - 1
    periods. Expediting a unit that is missing is cheaper than backordering it, so the level that meets demand is never negative; and more
    than all possible demand until a regular order ordered now arrives is never in the pipeline. Orders: regular, expedited.
    """

    most: int
    lead_time: int
    regular_cost: float
    expedited_cost: float
    holding: float
    backorder: float

    @property
    def _levels(self) -> Int[np.ndarray, " I"]:
        return np.arange(-self.most, self.most * (self.lead_time + 1) + 1)

    @property
    def states(self) -> Bool[np.ndarray, "*S"]:
        return np.ones((len(self._levels),) + (self.most + 1,) * (self.lead_time - 1), dtype=bool)

    @cached_property
    def _period(self) -> Float[np.ndarray, " I"]:
        """Expected cost of a period by the level that meets demand, with what was paid to expedite up to it from zero."""
        after = self._levels[:, None] - np.arange(self.most + 1)
        cost = (self.holding * after.clip(0) + self.backorder * (-after).clip(0)).mean(1) + self.expedited_cost * self._levels
        return np.where(self._levels < 0, np.inf, cost)

    def improve(self, values: Float[np.ndarray, "*S"]) -> tuple[Float[np.ndarray, "*S"], Orders]:
        levels, size = self._levels, self.most + 1
        later = values.reshape(len(levels), -1)
        rows = np.arange(len(levels))[:, None] - np.arange(size)
        arrivals = [later[(rows + due).clip(0, len(levels) - 1)].mean(1) for due in range(size)]
        ahead = np.stack(arrivals, 1).reshape(*values.shape, size) + self.regular_cost * np.arange(size)
        column = (-1, *[1] * (values.ndim - 1))
        regular, by_level = ahead.argmin(-1), ahead.min(-1) + self._period.reshape(column)
        best = np.minimum.accumulate(by_level[::-1])[::-1]  # of this level and all that expediting can reach from it
        row = np.arange(len(levels)).reshape(column)
        raised = np.minimum.accumulate(np.where(by_level == best, row, len(levels))[::-1])[::-1]
        return best - self.expedited_cost * levels.reshape(column), np.stack([np.take_along_axis(regular, raised, 0), raised - row])


@dataclass(frozen=True)
class OrderAndTransfer:
    """Two warehouses that order, and move stock between each other, for the next period; lost sales, storage for `storage` units.

    A period: holding on the opening stock, what is transferred leaves, demand, then orders and transfer arrive. A state is the two
    stocks. Orders: of warehouse 0, of warehouse 1, transfer from 0 to 1, transfer from 1 to 0.
    """

    demand: tuple[rv_discrete, rv_discrete]
    storage: int
    largest_transfer: int
    order_cost: float
    transfer_cost: float
    holding: float
    shortage: float
    price: float

    @property
    def states(self) -> Bool[np.ndarray, "S S"]:
        return np.ones((self.storage + 1, self.storage + 1), dtype=bool)

    @cached_property
    def _left(self) -> list[Float[np.ndarray, "S S"]]:
        return [what_is_left(demand, self.storage) for demand in self.demand]

    def _next(self, warehouse: int) -> Float[np.ndarray, "S A S"]:
        """From the stock that meets demand, and what arrives after it, to the next stock."""
        stock, arriving = self.storage + 1, self.storage + self.largest_transfer + 1
        chance = np.zeros((stock, arriving, stock))
        for due in range(arriving):
            for left in range(stock):
                chance[:, due, min(left + due, self.storage)] += self._left[warehouse][:, left]
        return chance

    @cached_property
    def _moves(self) -> tuple[Float[np.ndarray, "S A S"], Float[np.ndarray, "S A S"]]:
        return self._next(0), self._next(1)

    @cached_property
    def _period(self) -> Float[np.ndarray, "S 1 S 1"]:
        """Expected shortage less revenue, by the stocks that meet demand."""
        stock = np.arange(self.storage + 1)
        costs = []
        for left, demand in zip(self._left, self.demand, strict=True):
            sales = stock - left @ stock
            costs.append(self.shortage * (demand.mean() - sales) - self.price * sales)
        return np.add.outer(*costs)[:, None, :, None]

    def improve(self, values: Float[np.ndarray, "S S"]) -> tuple[Float[np.ndarray, "S S"], Orders]:
        size = self.storage + 1
        ahead = np.einsum("yas,st,zbt->yazb", self._moves[0], values, self._moves[1], optimize=True) + self._period
        stock = np.arange(size)
        paid = self.order_cost * np.add.outer(stock, stock)
        best, chosen = np.full((size, size), np.inf), np.zeros((3, size, size), dtype=int)
        for moved in range(-self.largest_transfer, self.largest_transfer + 1):
            there, back = max(moved, 0), max(-moved, 0)
            ordered = ahead[: size - there, back : back + size, : size - back, there : there + size].transpose(0, 2, 1, 3) + paid
            ordered = ordered.reshape(size - there, size - back, -1)
            orders = np.stack([*np.divmod(ordered.argmin(-1), size), np.full(ordered.shape[:2], moved)])
            take_better(best, chosen, np.s_[there:, back:], ordered.min(-1) + self.transfer_cost * abs(moved), orders)
        return best + self.holding * np.add.outer(stock, stock), np.concatenate([chosen[:2], both_ways(chosen[2])])


@dataclass(frozen=True)
class TransferSeason:
    """Two warehouses that share a stock for a few periods, without replenishment: transfer at once, demand, lost sales.

    A state is the two stocks. Orders: transfer from 0 to 1, from 1 to 0.
    """

    demand: tuple[rv_discrete, rv_discrete]
    stock: int
    """Of both together."""
    transfer_cost: float
    holding: tuple[float, float]
    price: tuple[float, float]

    @cached_property
    def _left(self) -> list[Float[np.ndarray, "S S"]]:
        return [what_is_left(demand, self.stock) for demand in self.demand]

    def met(self, values: Float[np.ndarray, "S S"]) -> Float[np.ndarray, "S S"]:
        """Cost of a period without a transfer, plus the expected `values` of the stock it leaves."""
        stock = np.arange(self.stock + 1)
        costs = []
        for left, holding, price in zip(self._left, self.holding, self.price, strict=True):
            over = left @ stock
            costs.append(holding * over - price * (stock - over))
        return np.add.outer(*costs) + self._left[0] @ values @ self._left[1].T

    def improve(self, values: Float[np.ndarray, "S S"]) -> tuple[Float[np.ndarray, "S S"], Orders]:
        met, size = self.met(values), self.stock + 1
        best, chosen = np.full((size, size), np.inf), np.zeros((1, size, size), dtype=int)
        for moved in range(-self.stock, self.stock + 1):
            there, back = max(moved, 0), max(-moved, 0)
            before, after = np.s_[there : size - back, back : size - there], np.s_[back : size - there, there : size - back]
            take_better(best, chosen, before, met[after] + self.transfer_cost * abs(moved), np.full((1, 1, 1), moved))
        return best, both_ways(chosen[0])

    def solve(self, periods: int) -> tuple[Float[np.ndarray, "S S"], Float[np.ndarray, "S S"], Int[np.ndarray, "2 T S S"]]:
        """Least expected cost of the season, expected cost without transfers, and the transfers of every period."""
        least = alone = np.zeros((self.stock + 1, self.stock + 1))
        orders = []
        for _ in range(periods):
            least, last = self.improve(least)
            alone = self.met(alone)
            orders.insert(0, last)
        return least, alone, np.stack(orders, 1)


def take_better(
    best: Float[np.ndarray, "S S"], chosen: Orders, where: tuple[slice, slice], cost: Float[np.ndarray, "X Y"], orders: Orders
) -> None:
    """In a part of the states, write in place what costs less than the best so far, and the orders that do."""
    better = cost < best[where]
    best[where] = np.where(better, cost, best[where])
    chosen[:, *where] = np.where(better, orders, chosen[:, *where])


def both_ways(moved: Int[np.ndarray, "S S"]) -> Int[np.ndarray, "2 S S"]:
    """Transfers from 0 to 1 and from 1 to 0."""
    return np.stack([moved.clip(0), (-moved).clip(0)])


def geometric(mean: float) -> rv_discrete:
    """On 0, 1, 2.."""
    return stats.geom(1 / (1 + mean), loc=-1)
