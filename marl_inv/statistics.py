"""What can be said of samples: intervals that count every source of chance, many comparisons at once, and many scenarios together.

`M` is scenarios, `S` and `Q` training seeds, `R` evaluation traces.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


Scores = Sequence[Float[Tensor, " S"]]
"""What each seed scored, scenario by scenario, in a unit that can be averaged over scenarios; higher is better."""


def interquartile_mean(scores: Scores) -> float:
    """The mean of the middle half of all seeds and scenarios: less noise than the median, less reign of outliers than the mean."""
    return float(stats.trim_mean(torch.cat(list(scores)).double().numpy(), 0.25))


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


def bootstrapped(statistic: Callable[..., float], *scores: Scores, draws: int = 2000, seed: int = 0) -> Interval:
    """A statistic of one or more policies' scores, with its 95% percentile interval over seeds drawn anew within every scenario."""
    chance = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        anew = [[each[torch.from_numpy(chance.integers(len(each), size=len(each)))] for each in policy] for policy in scores]
        found.append(statistic(*anew))
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(statistic(*scores), float(low), float(high))
