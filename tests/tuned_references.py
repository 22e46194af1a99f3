"""Tuned from scratch, how close do classical policies come to the best costs that the literature lists?
Prints a table.

    python tests/tuned_references.py ../shared/references/instances.json

Every policy is made by `Class.of(problem)` and tuned by default with seeds 0, 1 and 2; the median counts. It
and the listed one then play the same evaluation traces: the tuned cost is the listed cost plus the paired
difference.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import reference_scenarios as scenarios
from marl_inv.baselines import (
    CappedDualIndex,
    CappedOrderUpTo,
    DualIndex,
    EchelonBaseStock,
    EqualFractile,
    OrderUpTo,
)
from marl_inv.baselines.tuning import reward_by_replication, tune
from marl_inv.episodes.problem import Problem
from marl_inv.evaluation.statistics import Interval

SEEDS = (0, 1, 2)
GOAL = 0.5
"""Percent above the listed cost, at most."""


@dataclass(frozen=True)
class Case:
    """A policy that an instance lists."""

    family: str
    name: str
    kind: str
    problem: Problem
    untuned: Any
    listed: Any
    cost: float


@dataclass(frozen=True)
class Row:
    case: Case
    gap: Interval
    """Of the median seed's cost over the listed one, in percent."""
    gaps: list[float]
    seconds: float
    """CPU time of one tuning, on average."""


def number(*values: float) -> Tensor:
    return torch.tensor([values])


PLAYED: dict[str, tuple[Any, Callable[..., dict[str, Tensor]]]] = {
    "base_stock": (OrderUpTo, lambda *levels: {"levels": number(*levels)}),
    "capped_base_stock": (CappedOrderUpTo, lambda level, cap: {"levels": number(level), "cap": number(cap)}),
    "echelon_base_stock": (EchelonBaseStock, lambda *levels: {"levels": number(*levels)}),
    "dual_index": (
        DualIndex,
        lambda quick, slow: {"expedited_level": number(quick), "regular_level": number(slow)},
    ),
    "capped_dual_index": (
        CappedDualIndex,
        lambda quick, slow, cap: {
            "expedited_level": number(quick),
            "regular_level": number(slow),
            "cap": number(cap),
        },
    ),
    "order_up_to_with_reactive_transshipment": (OrderUpTo, lambda *levels: {"levels": number(*levels)}),
    "order_up_to_with_equal_fractile_allocation": (EqualFractile, lambda level: {"levels": number(level)}),
}
"""The kinds that have something to tune, by the class that plays them and what the listed levels are called
there."""


def cases(entries: list[dict[str, Any]]) -> Iterator[Case]:
    for entry in entries:
        for policy in entry["policies"]:
            if policy["kind"] in PLAYED:
                kind, listed = PLAYED[policy["kind"]]
                problem = long_run(as_problem(entry, policy))
                untuned, values = kind.of(problem), listed(*policy["levels"])
                if (
                    kind is EqualFractile
                ):  # the level of the centre, which is everything; its shops take what they are given
                    values = {
                        "levels": untuned.levels.index_fill(1, torch.tensor(0), values["levels"].item())
                    }
                yield Case(
                    entry["family"],
                    entry["id"],
                    policy["kind"],
                    problem,
                    untuned,
                    replace(untuned, **values),
                    policy["cost"],
                )


def as_problem(entry: dict[str, Any], policy: dict[str, Any]) -> Problem:
    params = entry["params"]
    match entry["family"]:
        case "lost_sales_single":
            return scenarios.one_warehouse(params, "lost")
        case "backlog_single":
            return scenarios.one_warehouse(params, "backordered")
        case "serial":
            return scenarios.chain(params, [0.0] * len(policy["levels"]))[0]
        case "dual_sourcing":
            return scenarios.dual_sourcing(params, total=False)
        case "lateral_transshipment":
            return scenarios.reactive_transshipment(params)
        case "owmr_transshipment_centre":
            return scenarios.cross_dock(params)
    raise ValueError(entry["family"])


def long_run(made: Problem) -> Problem:
    """The costs listed are averages over the long run: episodes begin in the steady state, and their first
    periods are not scored."""
    return Problem.of(made.scenario.model_copy(update={"initial_state": "steady", "warm_up": 20}))


def tuned_from_scratch(case: Case, replications: int = 2000, horizon: int = 420) -> Row:
    """Played so long that the difference has a standard error of a few hundredths of a percent."""
    trace = case.problem.trace("evaluate", 0, replications, horizon)
    began = time.process_time()
    found = [tune(case.problem, case.untuned, seed) for seed in SEEDS]
    seconds = (time.process_time() - began) / len(SEEDS)
    with torch.no_grad():
        listed, *rewards = (
            reward_by_replication(case.problem, policy, trace) for policy in (case.listed, *found)
        )
    gaps = sorted(
        (Interval.of(listed - reward, 100 / case.cost) for reward in rewards), key=lambda gap: gap.mean
    )
    return Row(case, gaps[len(gaps) // 2], [gap.mean for gap in gaps], seconds)


def summary(rows: list[Row]) -> Iterator[str]:
    yield (
        "| family | policy | instances | largest gap, % | median gap, % | beyond 0.5% | CPU-seconds for "
        "one tuning |"
    )
    yield "|---|---|---|---|---|---|---|"
    for (family, kind), group in groupby(rows, key=lambda row: (row.case.family, row.case.kind)):
        members = list(group)
        gaps = sorted(row.gap.mean for row in members)
        missed = sum(gap > GOAL for gap in gaps)
        seconds = sum(row.seconds for row in members) / len(members)
        yield (
            f"| {family} | {kind} | {len(members)} | {gaps[-1]:+.2f} | {gaps[len(gaps) // 2]:+.2f} | "
            f"{missed} | {seconds:.1f} |"
        )


def details(rows: list[Row]) -> Iterator[str]:
    yield "| instance | policy | listed cost | tuned cost | gap, % | of three seeds, % | CPU-seconds |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        case, gaps = row.case, " ".join(f"{gap:+.2f}" for gap in row.gaps)
        gap, tuned = f"{row.gap.mean:+.2f} ± {row.gap.half_width:.2f}", case.cost * (1 + row.gap.mean / 100)
        yield (
            f"| {case.name} | {case.kind} | {case.cost:.4f} | {tuned:.4f} | {gap} | {gaps} | "
            f"{row.seconds:.1f} |"
        )


def main(path: str, only: str = "") -> None:
    """`only` is part of the names of the instances that are looked at, or of their kinds; all by default."""
    chosen = [
        case for case in cases(json.loads(Path(path).read_text())) if only in f"{case.name} {case.kind}"
    ]
    rows = []
    for case in sorted(chosen, key=lambda case: (case.family, case.kind)):
        rows.append(row := tuned_from_scratch(case))
        print(
            f"{case.name} {case.kind}: {row.gap.mean:+.2f}%, {row.seconds:.1f} s", file=sys.stderr, flush=True
        )
    print(
        *summary(rows),
        "",
        *details(rows),
        "",
        f"{time.process_time() / 60:.1f} CPU-minutes in all.",
        sep="\n",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
