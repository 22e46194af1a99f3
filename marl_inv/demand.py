"""Parametric demand of a group of warehouses, read off at a rank in its distribution, which is a number between 0 and 1.

A factor multiplies the mean. Counts (Poisson, geometric, negative binomial) keep their number of failures r, so that the variance is
mean x factor + (mean x factor)^2 / r; all other demand is multiplied as it is. `P` is the periods drawn, `M` the warehouses of the group,
`V` those warehouses, or 1 where all have the same factor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy import special
from scipy.interpolate import CubicSpline
from scipy.stats import norm

from marl_inv.common.errors import InputError
from marl_inv.scenario import Scenario
from marl_inv.scenario.demand import DiscreteUniform, Gamma, Geometric, KnownDemand, NegativeBinomial, Normal, ParametricDemand, Poisson
from marl_inv.scenario.fields import per_product

LARGEST_COUNT = 1e15
"""Units beyond it are refused where they are whole: floating point no longer tells neighbours apart."""

HARDLY_EVER = 1e-11
"""Where a distribution is written out, it is cut off at this probability to be exceeded."""

LEAST_RANK, LAST_RANK = 2.0**-54, 1 - 2.0**-53
"""Normal and gamma demand is infinite or nothing at ranks of 0 and 1; uniform numbers are multiples of 2^-53."""

TABLE = 2**22
"""Probabilities that are tabulated for a group, at most."""

GUIDE, LONGEST_GUIDE = 2**18, 2**14
"""Ranks that are looked up beforehand: of all distributions together, and of one."""

AtRank = Callable[[Float[np.ndarray, "P K M B"], slice], Float[np.ndarray, "P K M B"]]
"""Demand at these ranks, in these of the periods."""


def parametric(models: list[ParametricDemand], products: int) -> Counts | Measures:
    """Demand of warehouses whose models differ in mean and sd only."""
    return (Counts if isinstance(models[0], Poisson | Geometric | NegativeBinomial) else Measures)(models, products)


def _rates(models: list[Any], key: str, products: int) -> Float[np.ndarray, "K M"]:
    return np.array([per_product(getattr(model, key), products) for model in models], dtype=float).T


def _countable(model: ParametricDemand, units: float | int) -> None:
    if units > LARGEST_COUNT:
        raise InputError(f"demand of kind {model.kind} has up to {units:.3g} units; give at most 1e15, or kind normal or gamma")


def masses(model: ParametricDemand, factor: float) -> Float[np.ndarray, " D"] | None:
    """Probability of 0, 1, 2.. units in a period of this growth, up to what is hardly ever exceeded; None for demand that is not in whole units."""
    if isinstance(model, Poisson | Geometric | NegativeBinomial):
        counts = Counts([model], 1)
        mean, failures = counts.mean[0] * factor, counts.failures[0]
        units = np.arange(int(counts.hardly_exceeded(mean, failures)[0]) + 1)
        reached = counts.reached(units, np.broadcast_to(mean, units.shape), np.broadcast_to(failures, units.shape))
        return np.diff(reached[: 1 + np.searchsorted(reached, 1 - HARDLY_EVER)], prepend=0.0)
    if isinstance(model, DiscreteUniform | KnownDemand):
        low, high = (factor, factor) if isinstance(model, KnownDemand) else (model.low, model.high)
        if low == int(low) and low >= 0 and (factor == 1 or isinstance(model, KnownDemand)):
            return np.where(np.arange(high + 1) >= low, 1 / (high - low + 1), 0.0)
    return None


class Counts:
    """Units that come one by one: r is infinite for Poisson demand, and 1 for geometric."""

    def __init__(self, models: list[Any], products: int) -> None:
        self.model = models[0]
        self.mean = self.poisson_variance = _rates(models, "mean", products)
        if isinstance(self.model, NegativeBinomial):
            some = self.mean > 0
            self.variance = np.where(some, _rates(models, "sd", products) ** 2, 0)
            self.failures = np.where(some, self.mean**2 / np.where(some, self.variance - self.mean, 1), 1)
        else:
            self.failures = np.full_like(self.mean, 1 if isinstance(self.model, Geometric) else np.inf)
            self.variance = self.mean + self.mean**2 / self.failures
        self._quantiles: _Quantiles | None = None

    def at_rank(self, factor: Float[np.ndarray, "P V C"]) -> AtRank:
        """The smallest count whose distribution function reaches the rank."""
        factors, which = np.unique(factor, return_inverse=True)
        if self._quantiles is None or not np.array_equal(self._quantiles.factors, factors):
            self._quantiles = _Quantiles(self, factors)
        quantiles, row = self._quantiles, self._quantiles.rows(which.reshape(factor.shape))
        return lambda rank, periods: quantiles.at(rank, row[periods])

    def reached(self, count: Num[np.ndarray, " Q"], mean: Float[np.ndarray, " Q"], failures: Float[np.ndarray, " Q"]) -> Any:
        """Probability of this count or a lower one."""
        if isinstance(self.model, Poisson):
            return special.pdtr(count, mean)
        return special.betainc(failures, count + 1.0, failures / (failures + mean))

    def hardly_below(self, mean: Float[np.ndarray, " Q"]) -> Int[np.ndarray, " Q"]:
        """A count that has a probability below 1e-16 not to be reached."""
        far = mean - 9 * np.sqrt(mean) if isinstance(self.model, Poisson) else 0 * mean
        return far.clip(min=0).astype(np.int64)

    def hardly_exceeded(self, mean: Float[np.ndarray, " Q"], failures: Float[np.ndarray, " Q"]) -> Int[np.ndarray, " Q"]:
        """A count that has a probability below 1e-15 to be exceeded, as a Poisson count at a rate that hardly ever is."""
        if not isinstance(self.model, Poisson):
            mean = mean / failures * special.gammainccinv(failures, 1e-16)
        return np.ceil(mean + 9 * np.sqrt(mean) + 40).astype(np.int64)


class _Quantiles:
    """The counts that reach a rank, for every mean that a group has: its own means times these factors.

    A guide has looked up ranks at equal distances. Between two of them there is one count most often; where there are several, bisection
    in a table of every `_step`-th probability tells them apart, and within a step the distribution function itself.
    """

    def __init__(self, counts: Counts, factors: Float[np.ndarray, " F"]) -> None:
        self.factors, self._counts = factors, counts
        pairs, place = np.unique(np.stack([counts.mean.ravel(), counts.failures.ravel()]), axis=1, return_inverse=True)
        self._place = place.reshape(*counts.mean.shape, 1) * len(factors)
        self._mean, self._failures = np.outer(pairs[0], factors).ravel(), np.repeat(pairs[1], len(factors))
        _countable(counts.model, self._mean.max())
        self._lowest = counts.hardly_below(self._mean)
        width = counts.hardly_exceeded(self._mean, self._failures) - self._lowest
        self._step = 1
        while (-(-width // self._step)).sum() > TABLE:
            self._step *= 2
        self._tabulate(-(-width // self._step) + 1)

    def _tabulate(self, lengths: Int[np.ndarray, " D"]) -> None:
        """`lengths` is how many probabilities every distribution has in the table."""
        distributions = len(lengths)
        self._first = np.cumsum(lengths) - lengths
        of = np.repeat(np.arange(distributions), lengths)
        count = self._lowest[of] + (np.arange(len(of)) - self._first[of]) * self._step
        self._table = self._counts.reached(count, self._mean[of], self._failures[of])
        self._table[self._first + lengths - 1] = 1
        self._guided = size = 2 ** int(np.log2(np.clip(GUIDE // distributions, 2, LONGEST_GUIDE)))
        passed = of * (size + 2) + (self._table * size).astype(np.int64) + 1
        passed = np.bincount(passed, minlength=distributions * (size + 2)).reshape(distributions, -1)
        self._position = passed.cumsum(1)[:, : size + 1]
        low, high = self._position[:, :-1], self._position[:, 1:]
        sure = (low == high) & ((self._step == 1) | (low == 0))
        self._guide = np.where(sure, self._lowest[:, None] + low * self._step, -1.0).ravel()

    def rows(self, factor: Int[np.ndarray, "P V C"]) -> Int[np.ndarray, "P K M C"]:
        """Where the guide to every cell's distribution begins. `factor` is its place among the factors."""
        return (self._place + factor[:, None]) * self._guided

    def at(self, rank: Float[np.ndarray, "P K M B"], row: Int[np.ndarray, "P K M C"]) -> Float[np.ndarray, "P K M B"]:
        place = (rank * self._guided).astype(np.int64)
        place += row
        count = self._guide.take(place)
        near = np.flatnonzero(count < 0)
        count.ravel()[near] = self._closer(rank.ravel()[near], *divmod(place.ravel()[near], self._guided))
        return count

    def _closer(
        self, rank: Float[np.ndarray, " Q"], distribution: Int[np.ndarray, " Q"], place: Int[np.ndarray, " Q"]
    ) -> Int[np.ndarray, " Q"]:
        first, low, high = self._first[distribution], self._position[distribution, place], self._position[distribution, place + 1]
        position = _bisection(low, high, lambda middle: self._table[first + middle] >= rank)
        mean, failures = self._mean[distribution], self._failures[distribution]
        high = self._lowest[distribution] + position * self._step
        low = np.where(position == 0, high, high - self._step + 1)
        return _bisection(low, high, lambda middle: self._counts.reached(middle, mean, failures) >= rank)


def _bisection(
    low: Int[np.ndarray, " Q"], high: Int[np.ndarray, " Q"], enough: Callable[[Int[np.ndarray, " Q"]], Bool[np.ndarray, " Q"]]
) -> Int[np.ndarray, " Q"]:
    """The least whole number that is enough, where `high` is."""
    while (low < high).any():
        middle = (low + high) // 2
        found = enough(middle)
        low, high = np.where(found, low, middle + 1), np.where(found, middle, high)
    return high


class _GammaQuantiles:
    """Quantiles of gamma distributions of scale 1, by a cubic spline of their logarithm over the normal quantile of the rank.

    It takes a tenth of the time of SciPy's function and is within 1e-8 of it, relatively, for an sd of up to ten times the mean; of more
    than 2,048 distributions the splines are coarser, and within 1e-4.
    """

    EDGE = 8.5
    """The ranks between 2^-54 and 1 - 2^-53 have normal quantiles of less than this."""

    def __init__(self, shape: Float[np.ndarray, "K M"]) -> None:
        shapes, place = np.unique(shape, return_inverse=True)
        pieces = int(np.clip(2**21 // len(shapes), 128, 1024))
        self._place, self._width = place.reshape(*shape.shape, 1) * pieces, 2 * self.EDGE / pieces
        knots = np.linspace(-self.EDGE, self.EDGE, pieces + 1)
        below, above, shapes = special.ndtr(knots), special.ndtr(-knots), shapes[:, None]
        quantile = np.where(knots < 0, special.gammaincinv(shapes, below), special.gammainccinv(shapes, above))
        underflow = quantile < 1e-300
        near_zero = (np.log(below) + special.gammaln(shapes + 1)) / shapes
        logarithm = np.where(underflow, near_zero, np.log(np.where(underflow, 1, quantile)))
        self._pieces = CubicSpline(knots, logarithm, axis=1).c.swapaxes(1, 2).reshape(4, -1)

    def at(self, rank: Float[np.ndarray, "P K M B"]) -> Float[np.ndarray, "P K M B"]:
        along = special.ndtri(np.clip(rank, LEAST_RANK, LAST_RANK)) + self.EDGE
        piece = (along / self._width).astype(np.int64)
        along -= piece * self._width
        piece += self._place
        cubic, square, slope, level = (part.take(piece) for part in self._pieces)
        return np.exp(((cubic * along + square) * along + slope) * along + level)


class Measures:
    """Demand that is multiplied as it is: normal, gamma, discrete uniform, and known, which is 1 times its growth."""

    poisson_variance = 0.0

    def __init__(self, models: list[Any], products: int) -> None:
        self.model = model = models[0]
        if isinstance(model, Normal | Gamma):
            self.mean, sd = _rates(models, "mean", products), _rates(models, "sd", products)
            self.variance = sd**2
        else:
            self._low, self._high = low, high = (1, 1) if isinstance(model, KnownDemand) else (model.low, model.high)
            _countable(model, high)
            shape = (products, len(models))
            self.mean, self.variance = np.full(shape, (low + high) / 2), np.full(shape, ((high - low + 1.0) ** 2 - 1) / 12)
        if isinstance(model, Normal):
            self._mean, self._sd = self.mean, sd
            if model.cut_at_zero:
                self.mean, self.variance = _moments_cut_at_zero(self._mean, sd)
        if isinstance(model, Gamma):
            varied = (self.mean > 0) & (sd > 0)
            self.variance = np.where(varied, self.variance, 0)
            shape = np.where(varied, self.mean / np.where(varied, sd, 1), 1) ** 2
            self._gamma = _GammaQuantiles(shape)
            self._scale, self._fixed = np.where(varied, self.mean / shape, 0), np.where(varied, 0, self.mean)

    def at_rank(self, factor: Float[np.ndarray, "P V C"]) -> AtRank:
        return lambda rank, periods: self._quantile(rank) * factor[periods, None]

    def _quantile(self, rank: Float[np.ndarray, "P K M B"]) -> Float[np.ndarray, "P K M B"]:
        model = self.model
        if isinstance(model, Normal):
            return self._cut(self._mean[..., None] + self._sd[..., None] * special.ndtri(rank.clip(LEAST_RANK, LAST_RANK)))
        if isinstance(model, Gamma):
            return self._gamma.at(rank) * self._scale[..., None] + self._fixed[..., None]
        return np.floor(self._low + rank * (self._high - self._low + 1)).clip(max=self._high)

    def _cut(self, demand: np.ndarray) -> np.ndarray:
        return np.maximum(demand, 0) if self.model.cut_at_zero else demand


def _moments_cut_at_zero(mean: Float[np.ndarray, "K M"], sd: Float[np.ndarray, "K M"]) -> tuple[Any, Any]:
    """Mean and variance of max(X, 0) for normal X."""
    z = mean / np.maximum(sd, 1e-12)
    density, below = norm.pdf(z), norm.cdf(z)
    first = mean * below + sd * density
    second = (mean**2 + sd**2) * below + mean * sd * density
    return first, np.maximum(second - first**2, 0)


def mixing(scenario: Scenario) -> Float[np.ndarray, "N N"] | None:
    """What turns independent normal numbers into correlated ones; None where they may stay as they are."""
    given, size = scenario.correlation, len(scenario.warehouses)
    if given is None:
        return None
    matrix = np.array(given) if isinstance(given, list) else given + (1 - given) * np.eye(size)
    if np.array_equal(matrix, np.eye(size)):
        return None
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(values.clip(min=0)) @ vectors.T
