"""Learned from tuned order-up-to, how close does an algorithm come to optima that are known? Prints a table.

    python tests/learned_references.py ../shared/references/instances.json pathwise lost_sales

Every policy is trained with the algorithm's default settings and seed 0, on episodes of 60 periods that begin in the steady state. It and the
optimal policy then play the same evaluation traces: the learned cost is the optimal cost plus the paired difference. Demand is in whole
units; what is learned may ask for fractions.
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
from marl_inv.baselines import EchelonBaseStock
from marl_inv.baselines.optimum import Optimal
from marl_inv.baselines.tuning import reward_by_replication
from torch import Tensor

import reference_scenarios as scenarios
from marl_inv.evaluate import Interval
from marl_inv.experiment import training_settings
from marl_inv.learning.train import train
from marl_inv.policy import Policy
from marl_inv.problem import Problem

Case = tuple[str, Problem, Policy, float]
"""Name, problem, optimal policy and its cost."""


def cases(entries: list[dict[str, Any]], chosen: str) -> Iterator[Case]:
    """`chosen` are parts of the names of instances, or of their families, separated by commas."""
    for entry in entries:
        params, policies = entry["params"], {policy["kind"]: policy for policy in entry["policies"]}
        if not any(part in f"{entry['family']} {entry['id']}" for part in chosen.split(",")):
            continue
        if entry["family"] == "lost_sales_single":
            made = shortened(scenarios.one_warehouse(params, "lost"))
            yield entry["id"], made, Optimal.of(made), policies["optimal"]["cost"]
        elif entry["family"] == "serial":
            listed = policies["echelon_base_stock"]
            made = shortened(scenarios.chain(params, listed["levels"])[0])
            policy = EchelonBaseStock.of(made)
            yield entry["id"], made, replace(policy, levels=torch.tensor([listed["levels"]]).to(policy.levels)), listed["cost"]
        elif entry["family"] == "order_plus_transshipment_mdp":
            made = shortened(scenarios.orders_and_transfers(params))
            yield entry["id"], made, Optimal.of(made), -entry["verified"][-1]["value"]


def shortened(made: Problem) -> Problem:
    return Problem.of(made.scenario.model_copy(update={"initial_state": "steady", "horizon": 60, "warm_up": 10}))


def costs(made: Problem, policies: list[Policy]) -> list[Tensor]:
    """Of every replication, per period, in the long run."""
    trace = made.trace("evaluate", 0, 4000, 500)
    with torch.no_grad():
        return [-reward_by_replication(made, policy, trace) for policy in policies]


def main(path: str, algorithm: str, instances: str, *settings: str) -> None:
    chosen = training_settings(settings, algorithm=algorithm)
    print(
        "| instance | optimal cost | learned | above the optimum | tuned order-up-to | CPU-seconds |", "|---|---|---|---|---|---|", sep="\n"
    )
    gaps, began = [], time.process_time()
    for name, made, optimal, cost in cases(json.loads(Path(path).read_text()), instances):
        start = time.process_time()
        trained = train(made, chosen)
        seconds = time.process_time() - start
        best, learned, tuned = costs(made, [optimal, trained.policy, trained.baseline])
        gap, behind = (Interval.of(each - best, 100 / abs(cost)) for each in (learned, tuned))
        gaps.append(gap.mean)
        above = f"{gap.mean:+.2f} ± {gap.half_width:.2f}%"
        print(
            f"| {name} | {cost:.4f} | {cost + gap.mean * abs(cost) / 100:.4f} | {above} | {behind.mean:+.2f}% | {seconds:.0f} |", flush=True
        )
    middle = sorted(gaps)[len(gaps) // 2]
    print(f"\nMedian {middle:+.2f}%, worst {max(gaps):+.2f}%; {(time.process_time() - began) / 60:.0f} CPU-minutes in all.")


if __name__ == "__main__":
    main(*sys.argv[1:])
