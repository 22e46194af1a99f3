"""Demand in whole units, read off at ranks: Poisson, negative binomial, geometric, uniform, at any mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy import special

from marl_inv.common.errors import InputError
from marl_inv.scenario.demand import Geometric, NegativeBinomial, ParametricDemand, Poisson
from marl_inv.scenario.fields import per_product

LARGEST_COUNT = 1e15
"""Units beyond it are refused where they are whole: floating point no longer tells neighbours apart."""


TABLE = 2**20
"""Probabilities that are tabulated for a group, at most."""


GUIDE, LONGEST_GUIDE = 2**18, 2**14
"""Ranks that are looked up beforehand: of all distributions together, and of one."""


AtRank = Callable[[Float[np.ndarray, "P K M B"], slice], Float[np.ndarray, "P K M B"]]
"""Demand at these ranks, in these of the periods."""


def rates(models: list[Any], key: str, products: int) -> Float[np.ndarray, "K M"]:
    return np.array([per_product(getattr(model, key), products) for model in models], dtype=float).T


def countable(model: ParametricDemand, units: float | int) -> None:
    if units > LARGEST_COUNT:
        raise InputError(
            f"demand of kind {model.kind} has up to {units:.3g} units; give at most 1e15, or kind normal or "
            "gamma"
        )


class Counts:
    """Units that come one by one: r is infinite for Poisson demand, and 1 for geometric."""

    def __init__(self, models: list[Any], products: int) -> None:
        self.model = models[0]
        self.mean = self.poisson_variance = rates(models, "mean", products)
        if isinstance(self.model, NegativeBinomial):
            some = self.mean > 0
            self.variance = np.where(some, rates(models, "sd", products) ** 2, 0)
            self.failures = np.where(some, self.mean**2 / np.where(some, self.variance - self.mean, 1), 1)
        else:
            self.failures = np.full_like(self.mean, 1 if isinstance(self.model, Geometric) else np.inf)
            self.variance = self.mean + self.mean**2 / self.failures
        self._quantiles: Quantiles | None = None

    def at_rank(self, factor: Float[np.ndarray, "P V C"]) -> AtRank:
        """The smallest count whose distribution function reaches the rank."""
        quantiles, row = self.quantiles(factor)
        return lambda rank, periods: quantiles.at(rank, row[periods])

    def quantiles(self, factor: Float[np.ndarray, "P V C"]) -> tuple[Quantiles, Int[np.ndarray, "P K M C"]]:
        """Where counts are looked up, and from where on for every cell."""
        factors, which = np.unique(factor, return_inverse=True)
        if self._quantiles is None or not np.array_equal(self._quantiles.factors, factors):
            self._quantiles = Quantiles(self, factors)
        return self._quantiles, self._quantiles.rows(which.reshape(factor.shape))

    def reached(
        self, count: Num[np.ndarray, " Q"], mean: Float[np.ndarray, " Q"], failures: Float[np.ndarray, " Q"]
    ) -> Any:
        """Probability of this count or a lower one."""
        if isinstance(self.model, Poisson):
            return special.pdtr(count, mean)
        return special.betainc(failures, count + 1.0, failures / (failures + mean))

    def hardly_below(self, mean: Float[np.ndarray, " Q"]) -> Int[np.ndarray, " Q"]:
        """A count that has a probability below 1e-16 not to be reached."""
        far = mean - 9 * np.sqrt(mean) if isinstance(self.model, Poisson) else 0 * mean
        return far.clip(min=0).astype(np.int64)

    def hardly_exceeded(
        self, mean: Float[np.ndarray, " Q"], failures: Float[np.ndarray, " Q"]
    ) -> Int[np.ndarray, " Q"]:
        """A count that has a probability below 1e-15 to be exceeded, as a Poisson count at a rate that hardly
        ever is."""
        if not isinstance(self.model, Poisson):
            mean = mean / failures * special.gammainccinv(failures, 1e-16)
        return np.ceil(mean + 9 * np.sqrt(mean) + 40).astype(np.int64)


class Quantiles:
    """The counts that reach a rank, for every mean that a group has: its own means times these factors.

    A guide has looked up ranks at equal distances. Between two of them there is one count most often; where
    there are several, bisection in a table of every `_step`-th probability tells them apart, and within a
    step the distribution function itself.
    """

    def __init__(self, counts: Counts, factors: Float[np.ndarray, " F"]) -> None:
        self.factors, self._counts = factors, counts
        pairs, place = np.unique(
            np.stack([counts.mean.ravel(), counts.failures.ravel()]), axis=1, return_inverse=True
        )
        self._place = place.reshape(*counts.mean.shape, 1) * len(factors)
        self._mean, self._failures = np.outer(pairs[0], factors).ravel(), np.repeat(pairs[1], len(factors))
        countable(counts.model, self._mean.max())
        self.lowest = counts.hardly_below(self._mean)
        width = counts.hardly_exceeded(self._mean, self._failures) - self.lowest
        self.step = 1
        while (-(-width // self.step)).sum() > TABLE:
            self.step *= 2
        self._tabulate(-(-width // self.step) + 1)

    def _tabulate(self, lengths: Int[np.ndarray, " D"]) -> None:
        """`lengths` is how many probabilities every distribution has in the table."""
        distributions = len(lengths)
        self.first = np.cumsum(lengths) - lengths
        of = np.repeat(np.arange(distributions), lengths)
        count = self.lowest[of] + (np.arange(len(of)) - self.first[of]) * self.step
        self.table = self._counts.reached(count, self._mean[of], self._failures[of])
        self.table[self.first + lengths - 1] = 1
        self.guided = size = 2 ** int(np.log2(np.clip(GUIDE // distributions, 2, LONGEST_GUIDE)))
        passed = of * (size + 2) + (self.table * size).astype(np.int64) + 1
        passed = np.bincount(passed, minlength=distributions * (size + 2)).reshape(distributions, -1)
        self.position = passed.cumsum(1)[:, : size + 1]
        low, high = self.position[:, :-1], self.position[:, 1:]
        sure = (low == high) & ((self.step == 1) | (low == 0))
        self._guide = np.where(sure, self.lowest[:, None] + low * self.step, -1.0).ravel()

    def rows(self, factor: Int[np.ndarray, "P V C"]) -> Int[np.ndarray, "P K M C"]:
        """Where the guide to every cell's distribution begins. `factor` is its place among the factors."""
        return (self._place + factor[:, None]) * self.guided

    def at(
        self, rank: Float[np.ndarray, "P K M B"], row: Int[np.ndarray, "P K M C"]
    ) -> Float[np.ndarray, "P K M B"]:
        place = (rank * self.guided).astype(np.int64)
        place += row
        count = self._guide.take(place)
        near = np.flatnonzero(count < 0)
        count.ravel()[near] = self._closer(rank.ravel()[near], *divmod(place.ravel()[near], self.guided))
        return count

    def _closer(
        self, rank: Float[np.ndarray, " Q"], distribution: Int[np.ndarray, " Q"], place: Int[np.ndarray, " Q"]
    ) -> Int[np.ndarray, " Q"]:
        first, low, high = (
            self.first[distribution],
            self.position[distribution, place],
            self.position[distribution, place + 1],
        )
        position = _bisection(low, high, lambda middle: self.table[first + middle] >= rank)
        mean, failures = self._mean[distribution], self._failures[distribution]
        high = self.lowest[distribution] + position * self.step
        low = np.where(position == 0, high, high - self.step + 1)
        return _bisection(low, high, lambda middle: self._counts.reached(middle, mean, failures) >= rank)


def _bisection(
    low: Int[np.ndarray, " Q"],
    high: Int[np.ndarray, " Q"],
    enough: Callable[[Int[np.ndarray, " Q"]], Bool[np.ndarray, " Q"]],
) -> Int[np.ndarray, " Q"]:
    """The least whole number that is enough, where `high` is."""
    while (low < high).any():
        middle = (low + high) // 2
        found = enough(middle)
        low, high = np.where(found, low, middle + 1), np.where(found, middle, high)
    return high
