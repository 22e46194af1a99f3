"""Parametric demand of a group of warehouses: drawn directly, or read off at a rank in its distribution.

A factor multiplies the mean. Counts (Poisson, geometric, negative binomial) keep their number of failures r, so that the variance is
mean x factor + (mean x factor)^2 / r; all other demand is multiplied as it is. `P` is the periods drawn, `M` the warehouses of the group.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy import special
from scipy.stats import norm

from marl_inv.reading import InputError
from marl_inv.scenario import Scenario
from marl_inv.schema import (
    Demand,
    DiscreteUniform,
    Empirical,
    Gamma,
    Geometric,
    Known,
    NegativeBinomial,
    Normal,
    ParametricDemand,
    Poisson,
    per_product,
)

LARGEST_COUNT = 1e15
"""Units beyond it are refused where they are whole: floating point no longer tells neighbours apart."""

HARDLY_EVER = 1e-11
"""Where a distribution is written out, it is cut off at this probability to be exceeded."""

TABLE = 4
"""Entries of a table, for each number looked up in it, that take less time than to do without."""

Draw = Callable[[np.random.Generator], Num[np.ndarray, "P K M"]]


def growth(model: Demand, periods: Int[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
    """The factor that a model gives every period: trend times season, times the demand itself where that is known.

    Negative periods are the past: trend and season have been there before, and known demand was its first value.
    """
    if isinstance(model, Empirical):
        return np.ones(len(periods))
    factor, season = np.maximum(1 + model.trend * periods, 0), model.season
    if season is not None and season.factors is not None:
        factor = factor * np.array(season.factors)[periods % len(season.factors)]
    elif season is not None:
        factor = factor * (1 + season.amplitude * np.cos(2 * np.pi * (periods - season.peak) / season.period))
    if isinstance(model, Known):
        factor = factor * np.array(model.values)[periods.clip(0, len(model.values) - 1)]
    return factor


def cycle(model: Demand) -> int | None:
    """Periods after which growth repeats itself; None where it does not."""
    if isinstance(model, Empirical):
        return 1
    if model.trend or isinstance(model, Known):
        return None
    return 1 if model.season is None else model.season.period or len(model.season.factors)


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
    if isinstance(model, DiscreteUniform | Known):
        low, high = (factor, factor) if isinstance(model, Known) else (model.low, model.high)
        if low == int(low) and low >= 0 and (factor == 1 or isinstance(model, Known)):
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

    def drawing(self, growth: Float[np.ndarray, "P 1 1"]) -> Draw:
        mean = self.mean * growth
        _countable(self.model, mean.max())
        if isinstance(self.model, Poisson):
            return lambda luck: luck.poisson(mean)
        variance = self.variance + (growth - 1) * (self.variance - self.mean)
        success = np.where(self.mean > 0, self.mean / np.where(self.mean > 0, variance, 1), 1).clip(max=1)
        return lambda luck: luck.negative_binomial(self.failures, success)

    def ranked(self, rank: Float[np.ndarray, "P K M B"], factor: Float[np.ndarray, "P M C"]) -> Float[np.ndarray, "P K M B"]:
        """The smallest count whose distribution function reaches the rank."""
        steps = _Steps(self, factor, np.ones(rank.shape, dtype=bool))
        return steps.reaching(rank.ravel()).reshape(rank.shape).astype(float)

    def multiplied(
        self,
        demand: Float[np.ndarray, "P K M B"],
        growth: Float[np.ndarray, "P 1 1"],
        factor: Float[np.ndarray, "P M B"],
        spare: Float[np.ndarray, "P K M B"],
    ) -> Float[np.ndarray, "P K M B"]:
        """Where the factor is not 1, the count of the same rank; `spare`, uniform, picks one of the ranks that have the count drawn."""
        changed = np.broadcast_to((factor != 1)[:, None], demand.shape)
        drawn, before = demand[changed], _Steps(self, growth * np.ones_like(factor), changed)
        reached = before.reached(drawn)
        rank = reached - spare[changed] * (reached - before.reached(drawn - 1))
        result = demand.copy()
        result[changed] = _Steps(self, growth * factor, changed).reaching(rank)
        return result

    def reached(self, count: Num[np.ndarray, " Q"], mean: Float[np.ndarray, " Q"], failures: Float[np.ndarray, " Q"]) -> Any:
        """Probability of this count or a lower one."""
        if isinstance(self.model, Poisson):
            return special.pdtr(count, mean)
        return special.betainc(failures, count + 1.0, failures / (failures + mean))

    def hardly_exceeded(self, mean: Float[np.ndarray, " Q"], failures: Float[np.ndarray, " Q"]) -> Int[np.ndarray, " Q"]:
        """A count that has a probability below 1e-15 to be exceeded, as a Poisson count at a rate that hardly ever is."""
        if not isinstance(self.model, Poisson):
            mean = mean / failures * special.gammainccinv(failures, 1e-16)
        return np.ceil(mean + 9 * np.sqrt(mean) + 40).astype(np.int64)


class _Steps:
    """The distribution functions that the chosen cells of an array of counts have, and their inverse.

    There are as many functions as means, often few: then they are tabulated, which gives the same numbers sooner.
    """

    def __init__(self, counts: Counts, factor: Float[np.ndarray, "P M C"], chosen: Bool[np.ndarray, "P K M B"]) -> None:
        factors, which = np.unique(factor, return_inverse=True)
        (mean, failures), place = np.unique(np.stack([counts.mean.ravel(), counts.failures.ravel()]), axis=1, return_inverse=True)
        rows = place.reshape(*counts.mean.shape, 1) * len(factors) + which.reshape(factor.shape)[:, None]
        row = np.broadcast_to(rows, chosen.shape)[chosen]
        mean, failures = np.outer(mean, factors).ravel(), np.repeat(failures, len(factors))
        _countable(counts.model, mean.max())
        highest = counts.hardly_exceeded(mean, failures)
        self.highest = highest[row]
        if (highest + 1).sum() <= TABLE * len(row):
            first = np.cumsum(highest + 1) - highest - 1
            of_row = np.repeat(np.arange(len(first)), highest + 1)
            table = counts.reached(np.arange(len(of_row)) - first[of_row], mean[of_row], failures[of_row])
            start = first[row]
            self._reached = lambda count: table[start + count]
        else:
            self._reached = lambda count: counts.reached(count, mean[row], failures[row])

    def reached(self, count: Num[np.ndarray, " cells"]) -> Float[np.ndarray, " cells"]:
        """Probability of this count or a lower one."""
        return np.where(count < 0, 0, self._reached(np.minimum(count, self.highest).astype(np.int64).clip(min=0)))

    def reaching(self, rank: Float[np.ndarray, " cells"]) -> Int[np.ndarray, " cells"]:
        """The smallest count whose distribution function is the rank or more, by bisection."""
        low, high = np.zeros_like(self.highest), self.highest
        while (low < high).any():
            middle = (low + high) // 2
            enough = self._reached(middle) >= rank
            low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
        return high


class Measures:
    """Demand that is multiplied as it is: normal, gamma, discrete uniform, and known, which is 1 times its growth."""

    poisson_variance = 0.0

    def __init__(self, models: list[Any], products: int) -> None:
        self.model = model = models[0]
        if isinstance(model, Normal | Gamma):
            self.mean, sd = _rates(models, "mean", products), _rates(models, "sd", products)
            self.variance = sd**2
        else:
            low, high = (1, 1) if isinstance(model, Known) else (model.low, model.high)
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
            self._shape = np.where(varied, self.mean / np.where(varied, sd, 1), 1) ** 2
            self._scale, self._fixed = np.where(varied, self.mean / self._shape, 0), np.where(varied, 0, self.mean)

    def drawing(self, growth: Float[np.ndarray, "P 1 1"]) -> Draw:
        model, shape = self.model, (len(growth), *self.mean.shape)
        if isinstance(model, Normal):
            mean, sd = self._mean * growth, self._sd * growth
            return lambda luck: self._cut(luck.normal(mean, sd))
        if isinstance(model, Gamma):
            return lambda luck: (luck.standard_gamma(self._shape, shape) * self._scale + self._fixed) * growth
        if isinstance(model, Known):
            return lambda luck: np.ones(shape) * growth
        return lambda luck: luck.integers(model.low, model.high, shape, endpoint=True) * growth

    def ranked(self, rank: Float[np.ndarray, "P K M B"], factor: Float[np.ndarray, "P M C"]) -> Float[np.ndarray, "P K M B"]:
        return self._quantile(rank) * factor[:, None]

    def multiplied(
        self, demand: Float[np.ndarray, "P K M B"], growth: Any, factor: Float[np.ndarray, "P M B"], spare: Any
    ) -> Float[np.ndarray, "P K M B"]:
        return demand * factor[:, None]

    def _quantile(self, rank: Float[np.ndarray, "P K M B"]) -> Float[np.ndarray, "P K M B"]:
        model = self.model
        if isinstance(model, Normal):
            return self._cut(self._mean[..., None] + self._sd[..., None] * special.ndtri(rank))
        if isinstance(model, Gamma):
            return special.gammaincinv(self._shape[..., None], rank) * self._scale[..., None] + self._fixed[..., None]
        return np.floor(model.low + rank * (model.high - model.low + 1)).clip(max=model.high)

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
