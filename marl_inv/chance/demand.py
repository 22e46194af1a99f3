"""Parametric demand of a group of warehouses, read off at a rank in its distribution, which is a number
between 0 and 1.

A factor multiplies the mean. Counts (Poisson, geometric, negative binomial) keep their number of failures r,
so that the variance is mean x factor + (mean x factor)^2 / r; all other demand is multiplied as it is. `P` is
the periods drawn, `M` the warehouses of the group, `V` those warehouses, or 1 where all have the same factor.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from marl_inv.chance.counts import Counts
from marl_inv.chance.measures import Measures
from marl_inv.common.errors import InputError
from marl_inv.scenario import Scenario
from marl_inv.scenario.demand import (
    Demand,
    DiscreteUniform,
    Geometric,
    KnownDemand,
    NegativeBinomial,
    ParametricDemand,
    Poisson,
)

HARDLY_EVER = 1e-11
"""Where a distribution is written out, it is cut off at this probability to be exceeded."""


def parametric(models: list[ParametricDemand], products: int) -> Counts | Measures:
    """Demand of warehouses whose models differ in mean and sd only."""
    return (Counts if isinstance(models[0], Poisson | Geometric | NegativeBinomial) else Measures)(
        models, products
    )


MOST_MASSES = 30_000


def masses(model: Demand, factor: float) -> Float[np.ndarray, " D"] | None:
    """Probability of 0, 1, 2.. units in a period of this growth, up to what is hardly ever exceeded; None for
    demand that is not in whole units. Raises InputError for more than MOST_MASSES."""
    if isinstance(model, Poisson | Geometric | NegativeBinomial):
        counts = Counts([model], 1)
        mean, failures = counts.mean[0] * factor, counts.failures[0]
        most = int(counts.hardly_exceeded(mean, failures)[0])
        _check_few(most)
        units = np.arange(most + 1)
        reached = counts.reached(
            units, np.broadcast_to(mean, units.shape), np.broadcast_to(failures, units.shape)
        )
        return np.diff(reached[: 1 + np.searchsorted(reached, 1 - HARDLY_EVER)], prepend=0.0)
    if isinstance(model, DiscreteUniform | KnownDemand):
        low, high = (factor, factor) if isinstance(model, KnownDemand) else (model.low, model.high)
        _check_few(high)
        if low == int(low) and low >= 0 and (factor == 1 or isinstance(model, KnownDemand)):
            return np.where(np.arange(high + 1) >= low, 1 / (high - low + 1), 0.0)
    return None


def _check_few(units: int | float) -> None:
    if units > MOST_MASSES:
        raise InputError(
            f"demand: may be {units:,.0f} units in a period, too many to list their probabilities; at most "
            f"{MOST_MASSES:,} can be, so count in larger units"
        )


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
