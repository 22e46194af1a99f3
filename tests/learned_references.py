"""Learned from tuned order-up-to, how close does an algorithm come to optima that are known? Prints a table.

    python tests/learned_references.py ../shared/references/instances.json pathwise lost_sales

Every policy is trained with the algorithm's default settings and seed 0, on episodes of 60 periods that begin
in the steady state. It and the optimal policy then play the same evaluation traces: the learned cost is the
optimal cost plus the paired difference. Of a cross-dock a bound is known and no optimal policy, so there the
learned cost is what the policy costs on those traces. Demand may be in whole units; what is learned may ask
for fractions, except for order levels, which are in whole units. `seven_stages` is no instance of the file:
its exact levels and cost come from Clark and Scarf's recursion.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import reference_scenarios as scenarios
from marl_inv.baselines import EchelonBaseStock
from marl_inv.baselines.bounds.optimum import solve
from marl_inv.baselines.tuning import reward_by_replication
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem
from marl_inv.evaluation.statistics import Interval
from marl_inv.learning.runs import training_settings
from marl_inv.learning.train import train

Case = tuple[str, Problem, Policy | None, float]
"""Name, problem, the optimal policy, and what it costs, or what nobody can go below."""

SEVEN_STAGES = {"echelon_h": [0.25] * 7, "L": [1] * 7, "p": 39, "demand": "poisson 5"}
"""As the chains of the file: downstream first, the first lead time with the period that demand comes in."""


def cases(entries: list[dict[str, Any]], chosen: str, whole: bool = False) -> Iterator[Case]:
    """`chosen` are parts of the names of instances, or of their families, separated by commas."""
    for entry in entries:
        params, policies = entry["params"], {policy["kind"]: policy for policy in entry["policies"]}
        if not any(part in f"{entry['family']} {entry['id']}" for part in chosen.split(",")):
            continue
        if entry["family"] == "lost_sales_single":
            made = shortened(scenarios.one_warehouse(params, "lost"), whole)
            yield entry["id"], made, solve(made).policy, policies["optimal"]["cost"]
        elif entry["family"] == "serial":
            listed = policies["echelon_base_stock"]
            made = shortened(scenarios.chain(params, listed["levels"])[0])
            yield entry["id"], made, at_levels(made, listed["levels"]), listed["cost"]
        elif entry["family"] == "order_plus_transshipment_mdp":
            made = shortened(scenarios.orders_and_transfers(params), whole)
            yield entry["id"], made, solve(made).policy, -entry["verified"][-1]["value"]
        elif entry["family"] == "owmr_transshipment_centre":
            yield (
                entry["id"],
                shortened(scenarios.cross_dock(params)),
                None,
                scenarios.cross_dock_bound(params),
            )
    if any(part in "serial seven_stages" for part in chosen.split(",")):
        levels, cost = scenarios.clark_scarf(SEVEN_STAGES)
        made = shortened(scenarios.chain(SEVEN_STAGES, levels)[0])
        yield "seven_stages", made, at_levels(made, levels), cost


def at_levels(made: Problem, levels: list[float]) -> EchelonBaseStock:
    policy = EchelonBaseStock.of(made)
    return replace(policy, levels=torch.tensor([levels]).to(policy.levels))


def shortened(made: Problem, whole: bool = False) -> Problem:
    changes = {"initial_state": "steady", "horizon": 60, "warm_up": 10} | (
        {"quantities": "integer"} if whole else {}
    )
    return Problem.of(made.scenario.model_copy(update=changes))


def costs(made: Problem, policies: list[Policy]) -> list[Tensor]:
    """Of every replication, per period, in the long run."""
    trace = made.trace("evaluate", 0, 4000, 500)
    with torch.no_grad():
        return [-reward_by_replication(made, policy, trace) for policy in policies]


def main(path: str, algorithm: str, instances: str, *settings: str) -> None:
    chosen = training_settings(settings, algorithm=algorithm)
    columns = [
        "instance",
        "known cost",
        "learned",
        "above it",
        "tuned order-up-to",
        "where learning began",
        "CPU-seconds",
    ]
    print(f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", sep="\n")
    gaps, began = [], time.process_time()
    for name, made, optimal, known in cases(
        json.loads(Path(path).read_text()), instances, chosen.head in ("levels", "values")
    ):
        start = time.process_time()
        trained = train(made, chosen)
        seconds = time.process_time() - start
        learned, *others = costs(
            made,
            [trained.policy, trained.baseline, trained.beginning, *([] if optimal is None else [optimal])],
        )
        reference = known if optimal is None else others[-1]
        gap, tuned, beginning = (
            Interval.of(each - reference, 100 / abs(known)) for each in (learned, *others[:2])
        )
        gaps.append(gap.mean)
        above = f"{gap.mean:+.2f} ± {gap.half_width:.2f}%"
        cost = known + gap.mean * abs(known) / 100
        print(
            f"| {name} | {known:.4f} | {cost:.4f} | {above} | {tuned.mean:+.2f}% | {beginning.mean:+.2f}% | "
            f"{seconds:.0f} |",
            flush=True,
        )
    middle = sorted(gaps)[len(gaps) // 2]
    print(
        f"\nMedian {middle:+.2f}%, worst {max(gaps):+.2f}%; {(time.process_time() - began) / 60:.0f} "
        "CPU-minutes in all."
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
