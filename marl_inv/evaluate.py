"""Every policy on the same traces; differences are paired, so that luck cancels out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

from marl_inv.metrics import Record, score
from marl_inv.policy import Policy
from marl_inv.problem import Problem
from marl_inv.progress import Progress, silently
from marl_inv.rollout import play
from marl_inv.trace import Stream


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

    @property
    def half_width(self) -> float:
        return self.high - self.mean

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


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
        return Interval.of(self.samples - other.samples, self._scale)

    def gain_in_percent_over(self, other: Score) -> Interval:
        """The same in percent of the other's reward; NaN where that is 0."""
        gain, base = self.gain_over(other), abs(other.reward.mean) / 100 or math.nan
        return Interval(gain.mean / base, gain.low / base, gain.high / base)

    @property
    def _scale(self) -> float:
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
    """Play every policy on the same replications of a stream and score the periods after the warm-up."""
    trace = problem.trace(stream, seed, replications)
    scores = []
    for policy in progress(policies, "evaluating"):
        with torch.no_grad():
            record = score(play(problem, policy, trace), problem.scenario.warm_up, problem.scenario.discount_factor)
        reward = record.per_period("reward")
        samples = reward.sum((1, 2)) if _over_products(record) else reward.sum((0, 1))
        scores.append(Score(policy.name, policy.knows, record, Interval.of(samples, _scale_of(record)), samples))
    return scores
