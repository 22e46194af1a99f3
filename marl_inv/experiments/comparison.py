"""Every policy that applies to a scenario, side by side on the same traces."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from marl_inv.baselines.balancing import lateral
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.baselines.seasonal import changes
from marl_inv.baselines.two_sources import quick_lanes
from marl_inv.common.errors import InputError
from marl_inv.common.printed import Printed
from marl_inv.common.progress import Progress, silently
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import AnyScenario, Problem, as_problem
from marl_inv.evaluation.evaluate import Score, evaluate, measured, told_apart
from marl_inv.evaluation.statistics import Interval
from marl_inv.evaluation.tables import comparison_table
from marl_inv.learning.runs import run_folder, run_training, split_settings, training_settings
from marl_inv.learning.settings import TrainSettings
from marl_inv.policies import AnyPolicy, as_policy, listed, policy_named

COMPARE_DECISIONS = 2_000_000
"""Length of the training that `compare` does by itself: about a minute on one core."""


REFERENCE = "tuned_order_up_to"
"""What learning begins from and is judged by in training, and experiments compare with unless told."""


@dataclass(frozen=True)
class Comparison(Printed):
    """Policies that met the same luck: `print` shows the table of the command line."""

    problem: Problem
    scores: list[Score]
    reference: Score
    """To which the others are compared: the tuned rule that does best on validation traces, unless another
    was named."""
    bounds: dict[str, Interval] = field(default_factory=dict)
    """The most that anybody can earn per period, where it was asked for: with perfect information on the same
    replications and, where it is proven, in the long run if all stock could be pooled."""
    runs: dict[str, str] = field(default_factory=dict)
    """The run folders, or policies of one's own, that stand behind names which several had, numbered."""
    kept: Path | None = None
    """The run folder of the policy that was trained here, where it was kept."""

    def __repr__(self) -> str:
        bounded = f", bounds {', '.join(self.bounds)}" if self.bounds else ""
        return (
            f"Comparison({self.problem.scenario.name}: "
            f"{', '.join(score.policy for score in self.scores)}{bounded})"
        )

    def tables(self) -> list[Table]:
        table = comparison_table(self.problem, self.scores, self.reference, self.bounds)
        if self.runs:
            told = "; ".join(f"{name} is {run}" for name, run in self.runs.items())
            table.caption = f"{table.caption} {told}."
        return [table]

    def records(self) -> list[dict[str, Any]]:
        """A row for every policy: money and units per period of the whole network, with all digits; gains are
        over `reference`, paired, positive where the policy is better. None where there is nothing to say."""
        return [self._row(score) for score in self.scores]

    def _row(self, score: Score) -> dict[str, Any]:
        scenario, result = self.problem.scenario, measured(self.problem.scenario, score.reward)
        gain = score.gain_over(self.reference)
        compared = {
            "gain": gain.mean,
            "gain_low": gain.low,
            "gain_high": gain.high,
            "gain_percent": score.gain_in_percent_over(self.reference).mean,
            "p_value": gain.p_value,
        }
        return {
            "scenario": scenario.name,
            "policy": score.policy,
            "run": self.runs.get(score.policy),
            "knows": score.knows,
            "traces": len(score.samples),
            "measured": scenario.measured,
            "mean": result.mean,
            "low": result.low,
            "high": result.high,
            "reference": self.reference.policy,
            **{key: None if score is self.reference else value for key, value in compared.items()},
            **score.means(),
        }


def compare(
    scenario: AnyScenario,
    others: AnyPolicy | Iterable[AnyPolicy] = (),
    settings: Iterable[str] = (),
    train_one: bool = True,
    seed: int = 0,
    replications: int = 512,
    progress: Progress = silently,
    bound: bool = False,
    allow_code: bool = False,
    reference: str | None = None,
    runs: str | Path | None = None,
) -> Comparison:
    """Random, order-up-to, the tuned rules that apply to the scenario (`rules_for`), and others, on the same
    traces; compared to the rule that does best on validation traces.

    `others` are policies, run folders and names as `policy_named` knows them; without any, and unless
    `train_one` is false, a policy is trained first, for about a minute unless the settings say otherwise, and
    kept in a run folder of its own in `runs`, where that is given. Gains are over `reference`, if it is
    given, which is played too: a name, a run folder, or the algorithm that is trained here. Tuning and
    training never see evaluation traces. Code that a run folder names is run only if `allow_code`.
    """
    of_scenario, of_training = split_settings(settings)
    chosen = training_settings([f"decisions={COMPARE_DECISIONS}", *of_training], seed=seed)
    seed = chosen.seed
    torch.set_num_threads(chosen.threads)
    problem = as_problem(scenario, of_scenario, chosen.device)
    others = listed(others)
    trains, kept = train_one and not others, None
    if reference not in (None, chosen.algorithm if trains else None):
        others = [*others, *([] if reference in map(str, others) else [reference])]
    given = {
        str(other): policy_named(other, problem, seed, progress, allow_code)
        for other in others
        if isinstance(other, str | Path)
    }
    named = ["random", "order_up_to", *(rules := rules_for(problem))]
    named += [name for name in given if name not in named]
    policies = [given.get(name) or policy_named(name, problem, seed, progress) for name in named]
    own = [other for other in others if not isinstance(other, str | Path)]
    policies += [as_policy(other, problem) for other in own]
    named += [repr(other) for other in own]
    if reference is None:
        reference = _best(problem, dict(zip(named, policies, strict=True)), rules, seed, replications)
    if trains:
        baseline = policies[named.index(REFERENCE)]
        assert isinstance(baseline, OrderUpTo)
        trained, kept = _trained(problem, chosen, baseline, progress, runs)
        policies.append(trained)
        named.append(chosen.algorithm)
    scores, behind = told_apart(evaluate(problem, policies, seed, replications, progress), named)
    found = bounds(problem, seed, replications, progress) if bound else {}
    return Comparison(problem, scores, scores[named.index(reference)], found, behind, kept)


def _trained(
    problem: Problem,
    settings: TrainSettings,
    baseline: OrderUpTo,
    progress: Progress,
    runs: str | Path | None,
) -> tuple[Policy, Path | None]:
    """A policy, and the run folder in `runs` where it is kept."""
    if runs is None:
        from marl_inv.learning.train import train

        return train(problem, settings, progress=progress, baseline=baseline).policy, None
    place = run_folder(problem.scenario, settings, Path(runs))
    folder, trained = run_training(problem, settings, place, progress, baseline=baseline)
    return trained.policy, folder


def rules_for(problem: Problem) -> list[str]:
    """The classical rules that know what matters here, tuned: transfers where there are lateral lanes, two
    sources, warehouses that feed others, orders that cost something each, demand of which more is known than
    its mean, demand that has to be followed."""
    network = problem.network
    fixed = network.shipment_cost is not None or network.vehicle_cost is not None
    applies = {
        REFERENCE: True,
        "tuned_threshold_balancing": bool(lateral(network).any()),
        "tuned_dual_index": bool((quick_lanes(network) >= 0).any()) if network.lanes else False,
        "tuned_capped_dual_index": bool((quick_lanes(network) >= 0).any()) if network.lanes else False,
        "tuned_echelon_base_stock": bool((network.source_lane >= network.replenishments).any()),
        "tuned_reorder_point": fixed,
        "tuned_seasonal_order_up_to": changes(problem),
        "tuned_following_order_up_to": problem.demand.from_file and problem.scenario.history > 0,
    }
    return [name for name, does in applies.items() if does]


def _best(
    problem: Problem, policies: dict[str, Policy], rules: list[str], seed: int, replications: int
) -> str:
    """Which of the rules does best on validation traces."""
    if len(rules) == 1:
        return rules[0]
    scores = evaluate(problem, [policies[name] for name in rules], seed, replications, stream="validate")
    return max(zip(rules, scores, strict=True), key=lambda each: each[1].reward.mean)[0]


def bounds(
    problem: AnyScenario, seed: int = 0, replications: int = 512, progress: Progress = silently
) -> dict[str, Interval]:
    """What nobody can earn more than per period: with perfect information, on evaluation traces, and with all
    stock pooled, where that is proven."""
    from marl_inv.baselines.bounds.perfect_information import perfect_information
    from marl_inv.baselines.bounds.pooling import check_pooled, pooling_bound

    problem = as_problem(problem)
    plans = perfect_information(problem, problem.trace("evaluate", seed, replications), progress=progress)
    found = {"perfect information": Interval.of(torch.tensor([plan.reward for plan in plans]))}
    with suppress(InputError):
        check_pooled(problem.scenario)
        found["complete pooling"] = Interval.exactly(pooling_bound(problem))
    return found
