"""What customers ask for: the models of demand that a scenario may name, seasons, regimes and forecasts of
it.

`chance.demand` draws from them.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Discriminator, Field, Tag, model_validator

from marl_inv.common.records import Record
from marl_inv.scenario.fields import (
    LARGEST,
    LONGEST,
    Amount,
    Count,
    PerProduct,
    Share,
    Stretch,
    Whole,
    per_product,
)


class Season(Record):
    """Multiplies mean demand: a cosine of `amplitude` that is highest in period `peak`, or one factor for
    each period of the cycle."""

    period: Count | None = None
    """Periods from one peak to the next."""
    amplitude: Share = 0.0
    """Share of the mean that the cosine adds at its peak and takes away half a cycle later."""
    peak: float = 0.0
    """The period in which the cosine is highest."""
    factors: list[Amount] | None = Field(default=None, min_length=1)
    """A factor for every period of the cycle, beginning with period 0."""

    @model_validator(mode="after")
    def _one_way(self) -> Season:
        if (self.period is None) == (self.factors is None):
            raise ValueError(
                "needs either `period` (with `amplitude` and `peak`) or `factors`; give one of them"
            )
        return self


class DemandModel(Record):
    """What everybody may ask about demand of any kind; how it is drawn is in `demand`."""

    normal: ClassVar[bool] = False
    """Whether demand over several periods is taken for normal, whatever its mean and variance."""
    cannot_have: ClassVar[frozenset[str]] = frozenset()
    """Fields of a scenario that would have to act on it, and cannot."""

    @property
    def may_be_negative(self) -> bool:
        """Whether customers may return more than they buy."""
        return False

    @property
    def cycle(self) -> int | None:
        """Periods after which growth repeats itself; None where it does not."""
        return 1

    def growth(self, periods: Int[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
        """The factor that it has in every period; negative periods are the past."""
        return np.ones(len(periods))

    def fault(self, products: int) -> str | None:
        """What is wrong with its numbers, if anything: the end of a sentence about the warehouse that has
        it."""
        return None


class ParametricModel(DemandModel):
    """What parametric demand has in common: a mean that may change with time."""

    season: Season | None = None
    """How mean demand repeats itself; not at all when absent."""
    trend: float = Field(default=0.0, ge=-LARGEST, le=LARGEST)
    """Mean demand is multiplied by 1 + trend x period (at least 0)."""

    @property
    def cycle(self) -> int | None:
        if self.trend:
            return None
        return 1 if self.season is None else self.season.period or len(self.season.factors or ())

    def growth(self, periods: Int[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
        """Trend times season, which have been there before."""
        factor, season = np.maximum(1 + self.trend * periods, 0), self.season
        if season is not None and season.factors is not None:
            return factor * np.array(season.factors)[periods % len(season.factors)]
        if season is not None:
            assert season.period is not None
            return factor * (
                1 + season.amplitude * np.cos(2 * np.pi * (periods - season.peak) / season.period)
            )
        return factor

    def mean_units(self, products: int) -> Float[np.ndarray, " K"]:
        """Mean units per period where growth is 1."""
        mean = self.mean  # pyright: ignore[reportAttributeAccessIssue]  # of all kinds that say no other
        return np.array(per_product(mean, products), dtype=float)


class Poisson(ParametricModel):
    kind: Literal["poisson"]
    """Counts whose variance is their mean."""
    mean: PerProduct
    """Units per period."""


class Normal(ParametricModel):
    normal = True
    kind: Literal["normal"]
    """Normally distributed."""
    mean: PerProduct
    """Units per period, before anything is cut."""
    sd: PerProduct
    """Standard deviation, in units."""
    cut_at_zero: bool = True
    """Whether negative draws count as no demand; otherwise they are returns, which only backordered demand
    allows."""

    @property
    def may_be_negative(self) -> bool:
        return not self.cut_at_zero

    def mean_units(self, products: int) -> Float[np.ndarray, " K"]:
        mean = super().mean_units(products)
        if not self.cut_at_zero:
            return mean
        return np.array(
            [
                _cut_at_zero(centre, sd)
                for centre, sd in zip(mean, per_product(self.sd, products), strict=True)
            ]
        )


def _cut_at_zero(mean: float | int, sd: float | int) -> float:
    """E max(X, 0) of a normal X."""
    if sd == 0:
        return max(mean, 0)
    z = mean / sd
    return mean * (1 + math.erf(z / math.sqrt(2))) / 2 + sd * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


class NegativeBinomial(ParametricModel):
    kind: Literal["negative_binomial"]
    """Counts that vary more than Poisson."""
    mean: PerProduct
    """Units per period."""
    sd: PerProduct
    """Standard deviation; its square must exceed the mean."""

    def fault(self, products: int) -> str | None:
        pairs = zip(per_product(self.mean, products), per_product(self.sd, products), strict=True)
        if any(mean > 0 and sd**2 <= mean for mean, sd in pairs):
            return (
                f"has negative binomial demand with sd {self.sd} and mean {self.mean}; give an sd above "
                "the square root of the mean"
            )
        return None


class Geometric(ParametricModel):
    """On 0, 1, 2..: the number of failures before a success."""

    kind: Literal["geometric"]
    """Counts, of which 0 is the likeliest."""
    mean: PerProduct
    """Units per period."""


class Gamma(ParametricModel):
    kind: Literal["gamma"]
    """Above 0 and skewed: now and then much more than the mean."""
    mean: PerProduct
    """Units per period."""
    sd: PerProduct
    """Standard deviation, in units."""


class DiscreteUniform(ParametricModel):
    """Every whole number from `low` to `high`, both included, as likely as any other."""

    kind: Literal["discrete_uniform"]
    """Whole numbers, equally likely."""
    low: Whole = 0
    """The least demand, in units."""
    high: Whole
    """The most demand, in units."""

    @model_validator(mode="after")
    def _in_order(self) -> DiscreteUniform:
        if self.high < self.low:
            raise ValueError(f"has high {self.high} below low {self.low}; give a higher one")
        return self

    def mean_units(self, products: int) -> Float[np.ndarray, " K"]:
        return np.full(products, (self.low + self.high) / 2)


class KnownDemand(ParametricModel):
    """No chance: the demand of period 0, 1, 2..; the last value stays."""

    cannot_have = frozenset({"correlation"})
    kind: Literal["known"]
    """Listed period by period."""
    values: list[Amount] = Field(min_length=1)
    """Units in period 0, 1, 2.."""

    @property
    def cycle(self) -> None:
        return None

    def growth(self, periods: Int[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
        """Times the demand itself, of which there is 1 unit; before period 0 it was its first value."""
        return super().growth(periods) * np.array(self.values)[periods.clip(0, len(self.values) - 1)]

    def mean_units(self, products: int) -> Float[np.ndarray, " K"]:
        return np.ones(products)


SEPARATORS = (",", ";", "\t", "|")
"""What may part the columns of a CSV file."""


class Empirical(DemandModel):
    """Demand read from a CSV file, whose columns of numbers are found by their names: those of warehouses, of
    products or of periods, or the one of `demand_column`.

    What they do not say, other columns do, row by row; of products, warehouses and columns that are not the
    scenario's nothing is read.
    """

    cannot_have = frozenset({"correlation", "regimes"})
    kind: Literal["empirical"]
    """As it was, from a file."""
    path: str | None = None
    """The CSV file, seen from the working directory or else from the scenario's folder."""
    period_column: str = "period"
    """The column that says which period a row is of, by numbers or by ISO dates; rows come in any order, and
    periods between that have no row count as gaps."""
    product_column: str = "product"
    """The column that says which product a row is of; by default also the only one in which all products of
    the scenario stand, and none where there is one product."""
    warehouse_column: str | None = None
    """The column that says which warehouse a row is of, where there is no column for each; by default the
    only one in which all of them stand."""
    demand_column: str | None = None
    """The column of demand, where there is one for all; by default the only one that says nothing else."""
    separator: Literal[",", ";", "\t", "|"] | None = None
    """What parts the columns; by default what the header shows."""
    decimal: Literal[".", ","] | None = None
    """The decimal sign; by default what the numbers show, where they leave no doubt."""
    thousands: Literal[".", ","] | None = None
    """The sign that parts thousands; by default what the numbers show, where they leave no doubt."""
    train: Stretch
    """First period and end (not included) of the part for training and tuning: numbers, 0 for the earliest
    period of all demand files, or labels of the period column, such as dates: [2013-01-01, 2014-09-01]. An
    episode is a stretch of it."""
    evaluate: Stretch
    """The same for evaluation, which plays exactly this stretch; the history before it is read, not
    scored."""


ParametricDemand = Poisson | Normal | NegativeBinomial | Geometric | Gamma | DiscreteUniform | KnownDemand


Demand = Annotated[ParametricDemand | Empirical, Field(discriminator="kind")]


class Regimes(Record):
    """Hidden states of the world, as a Markov chain: each multiplies mean demand by its factor."""

    factors: list[Amount] = Field(min_length=2)
    """What each regime multiplies mean demand by."""
    stay: Share = 0.9
    """Probability to remain in a regime for another period; the others are equally likely next."""
    transition: list[list[Share]] | None = None
    """Probabilities from (row) to (column), instead of `stay`."""
    shared: bool = True
    """Whether all warehouses are in one regime, or each in its own."""

    @model_validator(mode="after")
    def _is_a_chain(self) -> Regimes:
        size = len(self.factors)
        if self.transition is not None:
            if [len(row) for row in self.transition] != [size] * size:
                raise ValueError(
                    f"has a transition that is not {size} x {size}; give a row and a column for each factor"
                )
            if any(abs(sum(row) - 1) > 1e-6 for row in self.transition):
                raise ValueError("has a transition with a row that does not add up to 1; give probabilities")
        return self


Explained = Annotated[float, Field(ge=0, lt=1)]


class TruthPlusNoise(Record):
    """Demand as it will be plus an independent error. Such a forecast knows more than one that is made of
    what is known: its revisions do not build on one another. For one that is honest see `Evolution`."""

    kind: Literal["truth_plus_noise"] = "truth_plus_noise"
    """Demand to come, with noise."""
    horizon: Annotated[int, Field(gt=0, le=LONGEST)]
    """Periods ahead, the present one included."""
    error: Amount = 0.0
    """Standard deviation of the error one period ahead, as a share of the warehouse's mean demand; it grows
    with the root of the periods ahead. Forecasts are cut at 0 where demand is."""


class Evolution(Record):
    """The mean of the coming demand, given what has become known of it: unbiased, and revised by what is new
    alone, as forecasts in the martingale model of Heath and Jackson (1994) are."""

    kind: Literal["evolution"]
    """Honest: a mean, given what is known."""
    horizon: Annotated[int, Field(gt=0, le=LONGEST)]
    """Periods ahead, the present one included."""
    explained: Explained | list[Explained] = 0.5
    """Share of the variance of demand that the forecast of the present period explains; of a later period it
    is this share to the power of the periods ahead, or as a list says, which falls or stays."""

    @model_validator(mode="after")
    def _falls(self) -> Evolution:
        if isinstance(self.explained, list):
            if len(self.explained) != self.horizon:
                raise ValueError(
                    f"has {len(self.explained)} numbers in explained and a horizon of {self.horizon}; give "
                    "one for each period"
                )
            if any(later > sooner for sooner, later in pairwise(self.explained)):
                raise ValueError("has an explained that rises; what is further ahead cannot be known better")
        return self

    @property
    def by_lead(self) -> list[float]:
        """For the present period, the next one, and so on."""
        if isinstance(self.explained, list):
            return self.explained
        return [self.explained ** (ahead + 1) for ahead in range(self.horizon)]


Forecast = Annotated[
    Annotated[TruthPlusNoise, Tag("truth_plus_noise")] | Annotated[Evolution, Tag("evolution")],
    Discriminator(
        lambda told: (
            told.get("kind", "truth_plus_noise")
            if isinstance(told, dict)
            else getattr(told, "kind", "truth_plus_noise")
        )
    ),
]
"""What agents are told of the coming demand, in advance."""
