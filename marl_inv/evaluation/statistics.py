"""What can be said of samples: intervals that count every source of chance, many comparisons at once, and
many scenarios together.

`M` is scenarios, `S` and `Q` training seeds, `R` evaluation traces.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import brentq
from scipy.special import stdtrit
from torch import Tensor


@dataclass(frozen=True)
class Interval:
    """A mean, its 95% confidence interval (Student's t over the samples), and how probable one so far from 0
    would be if it were 0."""

    mean: float
    low: float
    high: float
    p_value: float = math.nan
    """Two-sided; NaN where there is no telling."""

    @classmethod
    def of(cls, samples: Tensor, scale: float = 1.0) -> Interval:
        """`samples`: (n,), independent; all are multiplied by `scale`. One sample has no interval: its ends
        are infinite."""
        samples = samples.double().flatten() * scale
        mean, n = float(samples.mean()), len(samples)
        return (
            cls(mean, -math.inf, math.inf)
            if n == 1
            else cls._of_sources(mean, [(float(samples.var()) / n, n - 1)])
        )

    @classmethod
    def over_time(cls, series: Float[Tensor, " T"]) -> Interval:
        """Of the mean of what successive periods earned, which are not independent: by the circular block
        bootstrap (Politis and Romano 1992), whose variance is known without drawing, with blocks of T^(1/3)
        periods and as many degrees of freedom as there are blocks, less one. Infinite for fewer than three
        blocks."""
        series = series.double()
        length = math.ceil(len(series) ** (1 / 3))
        blocks = len(series) // length
        mean = float(series.mean())
        if blocks < 3:
            return cls(mean, -math.inf, math.inf)
        sums = torch.cat([series, series[: length - 1]]).unfold(0, length, 1).mean(-1)
        return cls._of_sources(mean, [(float(sums.var(correction=0)) / blocks, blocks - 1)])

    def at_least(self, other: Interval) -> Interval:
        """Around the same mean, as wide as the wider of two that are told; infinite if neither is."""
        told = [each for each in (self, other) if math.isfinite(each.half_width)]
        widest = max(told or [self], key=lambda each: each.half_width)
        low, high = self.mean - widest.half_width, self.mean + widest.half_width
        return self if widest is self else replace(self, low=low, high=high, p_value=widest.p_value)

    @classmethod
    def exactly(cls, mean: float) -> Interval:
        """What is no estimate."""
        return cls(mean, mean, mean, float(mean == 0))

    @classmethod
    def _of_sources(cls, mean: float, sources: Sequence[tuple[float, int]]) -> Interval:
        """Around a mean to whose chance every source adds (its variance, the degrees of freedom that is known
        with).

        The half-width is the root of the sum of the squares that each source would have alone. Degrees after
        Satterthwaite (1946) are too many where a source that few seeds tell of is most of the variance: of
        two seeds one difference in eight would be a false alarm.
        """
        known = [(math.sqrt(variance), degrees) for variance, degrees in sources if variance > 0]

        def half(p_value: float) -> float:
            return math.hypot(*(-float(stdtrit(degrees, p_value / 2)) * error for error, degrees in known))

        if not known:
            return cls(mean, mean, mean, float(mean == 0))
        width = half(0.05)
        return cls(mean, mean - width, mean + width, _solved(half, abs(mean)))

    @classmethod
    def over_seeds(
        cls,
        ours: Float[Tensor, "S R"],
        theirs: Float[Tensor, "Q R"] | None = None,
        our_spread: Spread | None = None,
        their_spread: Spread | None = None,
    ) -> Interval:
        """Of a policy that was trained with S seeds and played on R traces, less another with Q seeds on the
        same traces, where there is one.

        Both chances count: the seeds' part is the variance between seeds over their number, the traces' part
        that between traces over theirs, less what seeds do differently from trace to trace, which is in the
        seeds' part already. A spread of seeds that is not known (one seed) is left out, so the interval is
        then of the traces alone. One trace has no interval: its ends are infinite.
        """
        each = [ours] if theirs is None else [ours, theirs]
        means = [samples.double().mean(0) for samples in each]
        difference = means[0] - (means[1] if theirs is not None else 0)
        traces, mean = len(difference), float(difference.mean())
        if traces == 1:
            return cls(mean, -math.inf, math.inf)
        known = [
            (spread, samples)
            for spread, samples in zip((our_spread, their_spread), each, strict=False)
            if spread is not None
        ]
        counted = sum(_interaction(samples) / len(samples) for samples in each if len(samples) > 1)
        sources = [(max(0.0, float(difference.var()) - counted) / traces, traces - 1)]
        return cls._of_sources(
            mean, sources + [(spread.variance / len(samples), spread.degrees) for spread, samples in known]
        )

    @property
    def half_width(self) -> float:
        return self.high - self.mean

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    @property
    def significant(self) -> bool:
        """At 5%, as the p-value says, which may have been corrected for other comparisons."""
        return self.p_value < 0.05

    def times(self, factor: float) -> Interval:
        """In another unit; a negative factor swaps the ends."""
        low, high = sorted((factor * self.low, factor * self.high))
        return replace(self, mean=factor * self.mean, low=low, high=high)


LOG_P = (-460.0, -1e-6)
"""p-values whose logarithms are below are told as 0, those above as 1."""


def _solved(half: Callable[[float], float], distance: float) -> float:
    """The p-value whose interval just reaches so far; `half` falls with it."""
    least, most = LOG_P
    if half(math.exp(least)) <= distance:
        return 0.0
    if half(math.exp(most)) >= distance:
        return 1.0
    found = brentq(lambda log: math.log(half(math.exp(log)) / distance), least, most)
    return math.exp(found)  # pyright: ignore[reportArgumentType]  # brentq gives more only where asked


def _interaction(samples: Float[Tensor, "S R"]) -> float:
    """How much seeds differ from trace to trace beyond what seed and trace explain: the mean square of what
    is left."""
    values = samples.double()
    left = values - values.mean(0) - values.mean(1, keepdim=True) + values.mean()
    return float(left.square().sum()) / ((len(values) - 1) * (values.shape[1] - 1))


@dataclass(frozen=True)
class Spread:
    """How much the means over traces differ between training seeds."""

    variance: float
    degrees: int
    """Of freedom."""

    @classmethod
    def of(cls, trained: Sequence[Float[Tensor, "_ R"]]) -> Spread:
        """Of policies that are taken to be spread alike, each trained with two seeds or more."""
        means = [samples.double().mean(1) for samples in trained]
        degrees = sum(len(each) - 1 for each in means)
        return cls(sum(float((each - each.mean()).square().sum()) for each in means) / degrees, degrees)

    def at_least(self, own: Spread) -> Spread:
        """For one of them, whose own spread may be larger than that of all."""
        return self if own.variance <= self.variance else replace(self, variance=own.variance)


def holm(p_values: Sequence[float]) -> list[float]:
    """The same, corrected for their number (Holm 1979): those below 0.05 hold together with probability 95%.
    NaN counts for none and stays."""
    told = sorted((value, index) for index, value in enumerate(p_values) if not math.isnan(value))
    corrected, largest = list(p_values), 0.0
    for place, (value, index) in enumerate(told):
        largest = max(largest, min(1.0, (len(told) - place) * value))
        corrected[index] = largest
    return corrected


Scores = Sequence[Float[Tensor, " _"]]
"""What each seed scored, scenario by scenario, in a unit that can be averaged over scenarios; higher is
better."""


def interquartile_mean(scores: Scores) -> float:
    """The mean of the middle half of all seeds and scenarios: less noise than the median, less reign of
    outliers than the mean.

    Scenarios weigh alike however many seeds each has, and what lies across a quartile counts with its part
    inside, so that it is the middle half for any number of scores; it is `scipy.stats.trim_mean` where that
    number is a multiple of 4.
    """
    values, order = torch.cat(list(scores)).double().sort()
    weights = torch.cat(
        [torch.full((len(each),), 1 / (len(each) * len(scores)), dtype=torch.float64) for each in scores]
    )[order]
    upto = weights.cumsum(0)
    inside = (upto.clamp(0.25, 0.75) - (upto - weights).clamp(0.25, 0.75)).clamp(min=0)
    return float((inside * values).sum() / inside.sum())


def performance_profile(scores: Scores, thresholds: Float[Tensor, " D"]) -> Float[Tensor, " D"]:
    """The share of seeds and scenarios that score above each threshold (Dolan and More 2002)."""
    return torch.stack([(each.double() > thresholds[:, None]).double().mean(1) for each in scores]).mean(0)


def probability_of_improvement(ours: Scores, theirs: Scores) -> float:
    """That a seed of ours scores above one of theirs, on a scenario at random; equal scores count half (Mann
    and Whitney 1947)."""
    chances = []
    for mine, other in zip(ours, theirs, strict=True):
        difference = mine.double()[:, None] - other.double()
        chances.append(float(((difference > 0).double() + 0.5 * (difference == 0)).mean()))
    return sum(chances) / len(chances)


def bootstrapped(
    statistic: Callable[..., float],
    *samples: Sequence[Float[Tensor, "_ _"]],
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """A statistic of one or more policies' scores, with its 95% percentile interval: seeds and traces are
    drawn anew, traces alike for all policies and scenarios, and a policy's seeds alike for its scenarios,
    since luck of one number is alike everywhere."""
    traces = Redrawn(np.random.default_rng(seed), draws)
    policies = [Redrawn(np.random.default_rng((seed, 1 + place)), draws) for place in range(len(samples))]
    drawn = [
        [
            (traces.weights(each.shape[1]) @ each.double().T).gather(1, seeds.numbers(len(each)))
            for each in policy
        ]
        for policy, seeds in zip(samples, policies, strict=True)
    ]
    found = [
        statistic(*([scenario[draw] for scenario in policy] for policy in drawn)) for draw in range(draws)
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(
        statistic(*([each.double().mean(1) for each in policy] for policy in samples)),
        float(low),
        float(high),
    )


class Redrawn:
    """So many draws with replacement from a number of things, the same draws each time that there are as
    many."""

    def __init__(self, chance: np.random.Generator, draws: int) -> None:
        self.chance, self.draws = chance, draws
        self._numbers: dict[int, Tensor] = {}
        self._weights: dict[int, Tensor] = {}

    def numbers(self, things: int) -> Int[Tensor, "D _"]:
        """Which thing is drawn in each place."""
        if things not in self._numbers:
            self._numbers[things] = torch.from_numpy(self.chance.integers(things, size=(self.draws, things)))
        return self._numbers[things]

    def weights(self, things: int) -> Float[Tensor, "D _"]:
        """How much of a mean each is, by how often it is drawn."""
        if things not in self._weights:
            counts = self.chance.multinomial(things, np.full(things, 1 / things), size=self.draws)
            self._weights[things] = torch.from_numpy(counts / things)
        return self._weights[things]
