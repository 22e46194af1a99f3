"""Policies under shocks that nobody reckoned with: all on the same luck, each size of each shock by
itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from rich.table import Table

from marl_inv.chance.shocks import on_their_own
from marl_inv.common.printed import Printed
from marl_inv.common.progress import Progress, silently
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem
from marl_inv.evaluation.evaluate import Score, evaluate, measured, told_apart
from marl_inv.evaluation.tables import headed_table, plus_minus
from marl_inv.scenario.shocks import Shock

NOMINAL = "as it is"

TAIL = 0.05
"""The share of replications that is the tail."""


@dataclass(frozen=True)
class Stress(Printed):
    """What every policy earns under every shock; `scores[label]` is in the order of the policies."""

    problem: Problem
    shocks: Sequence[Shock]
    scores: dict[str, list[Score]]
    runs: dict[str, str] = field(default_factory=dict)
    """The run folders, or policies of one's own, that stand behind names which several had, numbered."""

    @property
    def reference(self) -> int:
        """The first policy, which the others are compared with."""
        return 0

    def gain_in_percent(self, label: str, policy: int) -> float:
        """Over the reference, on the same traces."""
        scores = self.scores[label]
        return scores[policy].gain_in_percent_over(scores[self.reference]).mean

    def worst_gain_in_percent(self, policy: int) -> tuple[str, float]:
        """Under which shock a policy does worst against the reference, and how it does there."""
        gains = {label: self.gain_in_percent(label, policy) for label in self.scores}
        worst = min(gains, key=lambda label: gains[label])
        return worst, gains[worst]

    def radius(self, shock: Shock, policy: int) -> str:
        """The largest size, counted from the smallest on, up to which a policy is no worse than the
        reference: `x0.6`, `all` of them, or `none`. Falls and rises are counted apart."""
        told = []
        for sizes in _by_direction(shock):
            held = list(takewhile(lambda label: self.gain_in_percent(label, policy) >= 0, sizes))
            told.append(held[-1].rpartition(" ")[2] if held else "none")
            if len(held) == len(sizes):
                told[-1] = "all" if len(_by_direction(shock)) == 1 else f"all to {told[-1]}"
        return ", ".join(told)

    def records(self) -> list[dict[str, Any]]:
        scenario = self.problem.scenario
        return [
            {
                "shock": label,
                "policy": score.policy,
                scenario.measured: measured(scenario, score.reward).mean,
                f"{scenario.measured}_tail": self._tail(score),
                "gain_percent": self.gain_in_percent(label, number),
            }
            for label, scores in self.scores.items()
            for number, score in enumerate(scores)
        ]

    def tables(self) -> list[Table]:
        names = [score.policy for score in self.scores[NOMINAL]]
        first, others = names[self.reference], names[1:]
        scenario = self.problem.scenario
        sign = -1 if scenario.measured == "cost" else 1
        means = headed_table(
            f"{scenario.name} under shocks",
            "shock",
            [f"{first}: {scenario.measured}", *(f"{name}: gain %" for name in others)],
            f"Per period, whole network, all policies as made for the scenario as it is. Gain: over {first}, "
            "paired, positive is better; n.s.: not told from 0. Shocks begin when a third of the episode is "
            f"over. {'; '.join(f'{name} is {run}' for name, run in self.runs.items())}",
        )
        tails = headed_table(
            "The worst twentieth",
            "shock",
            [f"{first}: {scenario.measured}", *(f"{name}: gain %" for name in others)],
            f"Mean of the worst {TAIL:.0%} of replications, of each policy its own.",
        )
        for label, scores in self.scores.items():
            base = scores[self.reference]
            gains = [score.gain_in_percent_over(base) for score in scores[1:]]
            told = [f"{gain.mean:+z,.1f}{'' if gain.excludes_zero else ' n.s.'}" for gain in gains]
            means.add_row(label, plus_minus(measured(scenario, base.reward)), *told)
            worst = score_tail(base)
            tails.add_row(
                label,
                f"{sign * worst:,.1f}",
                *(f"{100 * (score_tail(score) - worst) / (abs(worst) or 1):+z,.1f}" for score in scores[1:]),
            )
        if not others:
            return [means, tails]
        radii = headed_table(
            "How far each withstands",
            "shock",
            others,
            f"The largest size up to which it is no worse than {first}.",
        )
        for shock in self.shocks:
            radii.add_row(shock.name, *(self.radius(shock, number) for number in range(1, len(names))))
        return [means, tails, radii]

    def _tail(self, score: Score) -> float:
        return score_tail(score) * (-1 if self.problem.scenario.measured == "cost" else 1)


def score_tail(score: Score) -> float:
    """Mean reward per period of the worst replications (conditional value at risk)."""
    worst = score.samples.sort().values
    return float(worst[: max(1, round(TAIL * len(worst)))].mean())


def _by_direction(shock: Shock) -> list[list[str]]:
    """The labels of a shock's sizes, the smallest first; falls apart from rises."""
    sizes = list(zip(shock.factors, shock.labels, strict=True))
    if shock.shape == "noise":
        return [[label for _, label in sorted(sizes)]]
    falls = [label for factor, label in sorted(sizes, reverse=True) if factor < 1]
    rises = [label for factor, label in sorted(sizes) if factor >= 1]
    return [labels for labels in (falls, rises) if labels]


def under_shocks(
    problem: Problem,
    policies: Sequence[Policy],
    shocks: Sequence[Shock],
    seed: int = 0,
    replications: int = 512,
    progress: Progress = silently,
    named: Sequence[str] | None = None,
) -> Stress:
    """Play policies, which were made for the problem as it is, with each shock and without; replication i has
    the same luck in all of it. `named` is what stands behind each of them, as a run folder."""
    cases = {NOMINAL: None} | on_their_own(shocks)
    scores, runs = {}, {}
    for label, case in progress(list(cases.items()), "under shocks"):
        found = evaluate(problem.under(case), policies, seed, replications)
        scores[label], runs = told_apart(found, list(named or [policy.name for policy in policies]))
    return Stress(problem, shocks, scores, runs)
