"""Every policy on the same traces; differences are paired, so that luck cancels out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from marl_inv.chance.luck import Stream
from marl_inv.common.printed import Recorded
from marl_inv.common.progress import Progress, silently
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem, period_weights
from marl_inv.episodes.rollout import Moment, play
from marl_inv.evaluation.metrics import MONEY, Totals, score
from marl_inv.evaluation.periods import PeriodTable
from marl_inv.evaluation.statistics import Interval
from marl_inv.scenario import Scenario

TRACE_BYTES = 2**29
"""Of demand that is held at a time."""


@dataclass(frozen=True)
class Score(Recorded):
    """How one policy did on the evaluation traces."""

    policy: str
    knows: str
    record: Totals
    reward: Interval
    """Per period, of the whole network, as the objective counts it: profit, or minus the cost."""
    samples: Tensor
    """Reward per period of every replication; where there is only one, of every product (which share their
    luck in common)."""

    def __repr__(self) -> str:
        either = "" if math.isinf(self.reward.half_width) else f" ± {self.reward.half_width:,.4g}"
        return (
            f"Score({self.policy}: reward {self.reward.mean:,.6g}{either} a period, fill rate "
            f"{self.fill_rate:.3f})"
        )

    @property
    def fill_rate(self) -> float:
        return float(self.record.fill_rate.mean())

    def gain_over(self, other: Score) -> Interval:
        """Reward per period above another policy's on the same traces, paired."""
        over = Interval.of(self.samples - other.samples, self.scale)
        ours, theirs = self.record.rewards, other.record.rewards
        return over if ours is None or theirs is None else _counting_time(over, ours - theirs)

    def gain_in_percent_over(self, other: Score) -> Interval:
        """The same in percent of the other's reward; NaN where that is 0."""
        gain, base = self.gain_over(other), abs(other.reward.mean) / 100 or math.nan
        return Interval(gain.mean / base, gain.low / base, gain.high / base, gain.p_value)

    def means(self) -> dict[str, float]:
        """Of what else was measured on the whole network: shares, and per period money and units, added up by
        `Totals.added_by`."""
        record = self.record
        sums = {
            name: float(record.per_period(name).sum((0, 1)).mean())
            for name in ("on_hand", "demand", "unmet", *MONEY)
        }
        by, _ = record.added_by
        if by != "units":
            units = ("on_hand", "demand", "unmet")
            sums |= {name: float(record.added_up(name).sum(0).mean()) / record.weight for name in units}
        return {"fill_rate": self.fill_rate, "transferred": float(record.transferred.mean()), **sums}

    def records(self) -> list[dict[str, Any]]:
        """One row, with all digits: its reward, and units and money, per period of the whole network."""
        who = {"policy": self.policy, "knows": self.knows, self.units: len(self.samples)}
        reward = {"reward": self.reward.mean, "low": self.reward.low, "high": self.reward.high}
        return [who | reward | self.means()]

    @property
    def units(self) -> str:
        """What `samples` are of."""
        return "products" if _over_products(self.record) else "traces"

    @property
    def scale(self) -> float:
        """What the samples' mean is multiplied by to be the reward."""
        return _scale_of(self.record)


def measured(scenario: Scenario, reward: Interval) -> Interval:
    """A reward as tables tell it: profit, or what was paid."""
    return reward.times(-1.0) if scenario.measured == "cost" else reward


def _scale_of(record: Totals) -> float:
    """Products are samples of a sum, replications of a mean."""
    return float(len(record.network.products)) if _over_products(record) else 1.0


def _over_products(record: Totals) -> bool:
    return record.replications == 1


def evaluate(
    problem: Problem,
    policies: Sequence[Policy],
    seed: int = 0,
    replications: int = 512,
    progress: Progress = silently,
    stream: Stream = "evaluate",
    table: PeriodTable | None = None,
) -> list[Score]:
    """Play every policy on the same replications of a stream and score the periods after the warm-up.

    Replications that do not fit into TRACE_BYTES together are played one part after the other. All that
    happens goes into the `table`, where there is one.
    """
    parts = list(problem.in_parts(stream, replications, TRACE_BYTES))
    records: list[list[Totals]] = [[] for _ in policies]
    plays = progress([(number, part) for part in parts for number in range(len(policies))], "evaluating")
    for number, part in plays:
        if number == 0:
            trace = problem.trace(stream, seed, part)
        with torch.no_grad():
            moments: Iterable[Moment] = play(problem, policies[number], trace)
            if table is not None:
                moments = table.watch(moments, policies[number].name, part)
            records[number].append(score(moments, period_weights(problem.scenario, len(trace))))
    return [_scored(policy, Totals.of_parts(found)) for policy, found in zip(policies, records, strict=True)]


def _scored(policy: Policy, record: Totals) -> Score:
    reward = record.per_period("reward")
    samples = reward.sum((1, 2)) if _over_products(record) else reward.sum((0, 1))
    over = Interval.of(samples, _scale_of(record))
    if record.rewards is not None:
        over = _counting_time(over, record.rewards)
    return Score(policy.name, policy.knows, record, over, samples)


def _counting_time(over_products: Interval, series: Tensor) -> Interval:
    """The wider of an interval over products, which share their time, and one over time."""
    return over_products.at_least(Interval.over_time(series.sum(1)))


def told_apart(scores: list[Score], named: list[str]) -> tuple[list[Score], dict[str, str]]:
    """The scores, numbered where several policies have one name, and who stands behind these."""
    names, told = [each.policy for each in scores], list(scores)
    behind: dict[str, str] = {}
    for place, name in enumerate(names):
        if names.count(name) > 1:
            numbered = f"{name} {names[: place + 1].count(name)}"
            told[place], behind[numbered] = replace(told[place], policy=numbered), named[place]
    return told, behind
