"""Every policy on the same traces; differences are paired, so that luck cancels out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from marl_inv.metrics import Record, score
from marl_inv.policy import Policy
from marl_inv.problem import Problem
from marl_inv.progress import Progress, silently
from marl_inv.rollout import play
from marl_inv.trace import Stream

TRACE_BYTES = 2**29
"""Of demand that is held at a time."""


@dataclass(frozen=True)
class Interval:
    """A mean and its 95% confidence interval (Student's t over the samples)."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Tensor, scale: float = 1.0) -> Interval:
        """`samples`: (n,), independent; all are multiplied by `scale`. One sample has no interval: its ends are infinite."""
        samples = samples.double().flatten() * scale
        mean, n = float(samples.mean()), len(samples)
        half = float(stats.t.ppf(0.975, n - 1) * samples.std() / math.sqrt(n)) if n > 1 else math.inf
        return cls(mean, mean - half, mean + half)

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
        if variance == 0:
            return cls(mean, mean, mean)
        degrees = variance**2 / sum(part**2 / free for part, free in parts)
        half = float(stats.t.ppf(0.975, degrees)) * math.sqrt(variance)
        return cls(mean, mean - half, mean + half)

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


@dataclass(frozen=True)
class Score:
    """How one policy did on the evaluation traces."""

    policy: str
    knows: str
    record: Record
    reward: Interval
    """Per period, of the whole network, as the objective counts it: profit, or minus the cost."""
    samples: Tensor
    """Reward per period of every replication; where there is only one, of every product (which share their luck in common)."""

    @property
    def fill_rate(self) -> float:
        return float(self.record.fill_rate.mean())

    def gain_over(self, other: Score) -> Interval:
        """Reward per period above another policy's on the same traces, paired."""
        return Interval.of(self.samples - other.samples, self.scale)

    def gain_in_percent_over(self, other: Score) -> Interval:
        """The same in percent of the other's reward; NaN where that is 0."""
        gain, base = self.gain_over(other), abs(other.reward.mean) / 100 or math.nan
        return Interval(gain.mean / base, gain.low / base, gain.high / base)

    @property
    def scale(self) -> float:
        """What the samples' mean is multiplied by to be the reward."""
        return _scale_of(self.record)


def _scale_of(record: Record) -> float:
    """Products are samples of a sum, replications of a mean."""
    return float(len(record.network.products)) if _over_products(record) else 1.0


def _over_products(record: Record) -> bool:
    return record.replications == 1


def evaluate(
    problem: Problem,
    policies: Sequence[Policy],
    seed: int = 0,
    replications: int = 512,
    progress: Progress = silently,
    stream: Stream = "evaluate",
) -> list[Score]:
    """Play every policy on the same replications of a stream and score the periods after the warm-up.

    Replications that do not fit into TRACE_BYTES together are played one part after the other.
    """
    parts = list(problem.in_parts(stream, replications, TRACE_BYTES))
    records: list[list[Record]] = [[] for _ in policies]
    plays = progress([(number, part) for part in parts for number in range(len(policies))], "evaluating")
    for number, part in plays:
        if number == 0:
            trace = problem.trace(stream, seed, part)
        with torch.no_grad():
            moments = play(problem, policies[number], trace)
            records[number].append(score(moments, problem.scenario.warm_up, problem.scenario.discount_factor))
    return [_scored(policy, Record.of_parts(found)) for policy, found in zip(policies, records, strict=True)]


def _scored(policy: Policy, record: Record) -> Score:
    reward = record.per_period("reward")
    samples = reward.sum((1, 2)) if _over_products(record) else reward.sum((0, 1))
    return Score(policy.name, policy.knows, record, Interval.of(samples, _scale_of(record)), samples)
