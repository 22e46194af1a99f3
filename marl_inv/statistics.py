"""What can be said of samples: intervals that count every source of chance, many comparisons at once, and many scenarios together.

`M` is scenarios, `S` and `Q` training seeds, `R` evaluation traces.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor


@dataclass(frozen=True)
class Interval:
    """A mean, its 95% confidence interval (Student's t over the samples), and how probable one so far from 0 would be if it were 0."""

    mean: float
    low: float
    high: float
    p_value: float = math.nan
    """Two-sided; NaN where there is no telling."""

    @classmethod
    def of(cls, samples: Tensor, scale: float = 1.0) -> Interval:
        """`samples`: (n,), independent; all are multiplied by `scale`. One sample has no interval: its ends are infinite."""
        samples = samples.double().flatten() * scale
        mean, n = float(samples.mean()), len(samples)
        return cls(mean, -math.inf, math.inf) if n == 1 else cls._student(mean, float(samples.std()) / math.sqrt(n), n - 1)

    @classmethod
    def exactly(cls, mean: float) -> Interval:
        """What is no estimate."""
        return cls._student(mean, 0.0, 1)

    @classmethod
    def _student(cls, mean: float, error: float, degrees: float | int) -> Interval:
        if error == 0:
            return cls(mean, mean, mean, float(mean == 0))
        half = float(stats.t.ppf(0.975, degrees)) * error
        return cls(mean, mean - half, mean + half, 2 * float(stats.t.sf(abs(mean) / error, degrees)))

    @classmethod
    def over_seeds(
        cls,
        ours: Float[Tensor, "S R"],
        theirs: Float[Tensor, "Q R"] | None = None,
        our_spread: Spread | None = None,
        their_spread: Spread | None = None,
    ) -> Interval:
        """Of a policy that was trained with S seeds and played on R traces, less another with Q seeds on the same traces, where there is one.

        Both chances count: the variance is the seeds' part over the number of seeds plus the traces' part over the number of traces, with the
        degrees of freedom of Satterthwaite (1946). A spread of seeds that is not known (one seed) is left out, so the interval is then of the
        traces alone.
        """
        each = [ours] if theirs is None else [ours, theirs]
        means = [samples.double().mean(0) for samples in each]
        difference = means[0] - (means[1] if theirs is not None else 0)
        seeds: dict[int, tuple[Spread, float]] = {}
        for samples, spread in zip(each, (our_spread, their_spread), strict=False):
            if spread is not None:
                seeds[id(spread)] = spread, seeds.get(id(spread), (spread, 0.0))[1] + 1 / len(samples)
        parts = [(float(difference.var()) / len(difference), len(difference) - 1)]
        parts += [(spread.variance * share, spread.degrees) for spread, share in seeds.values()]
        variance, mean = sum(part for part, _ in parts), float(difference.mean())
        degrees = variance**2 / sum(part**2 / free for part, free in parts) if variance else 1
        return cls._student(mean, math.sqrt(variance), degrees)

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


def holm(p_values: Sequence[float]) -> list[float]:
    """The same, corrected for their number (Holm 1979): those below 0.05 hold together with probability 95%. NaN counts for none and stays."""
    told = sorted((value, index) for index, value in enumerate(p_values) if not math.isnan(value))
    corrected, largest = list(p_values), 0.0
    for place, (value, index) in enumerate(told):
        largest = max(largest, min(1.0, (len(told) - place) * value))
        corrected[index] = largest
    return corrected


Scores = Sequence[Float[Tensor, " _"]]
"""What each seed scored, scenario by scenario, in a unit that can be averaged over scenarios; higher is better."""


def interquartile_mean(scores: Scores) -> float:
    """The mean of the middle half of all seeds and scenarios: less noise than the median, less reign of outliers than the mean.

    Scenarios weigh alike however many seeds each has, and what lies across a quartile counts with its part inside, so that it is the middle
    half for any number of scores; it is `scipy.stats.trim_mean` where that number is a multiple of 4.
    """
    values, order = torch.cat(list(scores)).double().sort()
    weights = torch.cat([torch.full((len(each),), 1 / (len(each) * len(scores)), dtype=torch.float64) for each in scores])[order]
    upto = weights.cumsum(0)
    inside = (upto.clamp(0.25, 0.75) - (upto - weights).clamp(0.25, 0.75)).clamp(min=0)
    return float((inside * values).sum() / inside.sum())


def performance_profile(scores: Scores, thresholds: Float[Tensor, " D"]) -> Float[Tensor, " D"]:
    """The share of seeds and scenarios that score above each threshold (Dolan and More 2002)."""
    return torch.stack([(each.double() > thresholds[:, None]).double().mean(1) for each in scores]).mean(0)


def probability_of_improvement(ours: Scores, theirs: Scores) -> float:
    """That a seed of ours scores above one of theirs, on a scenario at random; equal scores count half (Mann and Whitney 1947)."""
    chances = []
    for mine, other in zip(ours, theirs, strict=True):
        difference = mine.double()[:, None] - other.double()
        chances.append(float(((difference > 0).double() + 0.5 * (difference == 0)).mean()))
    return sum(chances) / len(chances)


def bootstrapped(statistic: Callable[..., float], *samples: Sequence[Float[Tensor, "_ _"]], draws: int = 2000, seed: int = 0) -> Interval:
    """A statistic of one or more policies' scores, with its 95% percentile interval: within every scenario seeds are drawn anew, and traces,
    which are the same for all policies. So a policy that needs no training has an interval too."""
    chance = np.random.default_rng(seed)
    drawn = [_drawn(alike, draws, chance) for alike in zip(*samples, strict=True)]
    found = [statistic(*([scenario[policy][draw] for scenario in drawn] for policy in range(len(samples)))) for draw in range(draws)]
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(statistic(*([each.double().mean(1) for each in policy] for policy in samples)), float(low), float(high))


def _drawn(alike: Sequence[Float[Tensor, "_ R"]], draws: int, chance: np.random.Generator) -> list[Float[Tensor, "D _"]]:
    """What seeds drawn anew score on traces drawn anew, of every policy on one scenario."""
    traces = alike[0].shape[1]
    weights = torch.from_numpy(chance.multinomial(traces, np.full(traces, 1 / traces), size=draws) / traces)
    found = []
    for policy in alike:
        seeds = torch.from_numpy(chance.integers(len(policy), size=(draws, len(policy))))
        found.append((weights @ policy.double().T).gather(1, seeds))
    return found
