"""Commands about policies: policies, simulate, tune, solve, compare."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from marl_inv.cli.arguments import (
    POLICY_HELP,
    AllowCode,
    Products,
    Replications,
    ScenarioName,
    Seed,
    Settings,
)
from marl_inv.cli.bench import one_thread
from marl_inv.cli.printing import console, progress_bar, say_notes
from marl_inv.learning.settings import ALGORITHM_NAMES


def list_policies() -> None:
    """The classical policies, what each decides on, and the algorithms that train others."""
    from marl_inv.baselines import BASELINES, LAYERS

    table = Table(
        "policy", "what it does", "decides on", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.columns[0].no_wrap = True
    for name, policy in BASELINES.items():
        table.add_row(
            name, " ".join(str(policy.__doc__).partition("\n\n")[0].split()).rstrip("."), policy.knows
        )
    console.print(table)
    for line in (
        f"tuned_NAME tunes one first. {', '.join(LAYERS)} also lie over another, as in "
        "tuned_order_up_to+threshold_balancing.",
        "rolling_lp and rolling_lp_32 plan by linear programmes; optimal is exact, where the scenario is "
        "small.",
        f"marl-inv train --algorithm: {', '.join(ALGORITHM_NAMES)}; or module:build of one's own.",
    ):
        console.print(line, highlight=False)


def simulate(
    scenario: ScenarioName,
    settings: Settings = None,
    policy: Annotated[str, typer.Option(help=POLICY_HELP)] = "order_up_to",
    replications: Replications = 512,
    seed: Seed = 0,
    lanes: Annotated[
        bool, typer.Option("--lanes", help="Also by lane: requested, shipped, refused and owed.")
    ] = False,
    products: Products = False,
    allow_code: AllowCode = False,
) -> None:
    """Play one policy and print what it earned, served and moved, by warehouse."""
    from marl_inv.episodes.problem import load_problem
    from marl_inv.evaluation.evaluate import evaluate
    from marl_inv.evaluation.tables import lane_table, product_table, warehouse_table
    from marl_inv.policies import policy_named

    one_thread()
    problem = load_problem(scenario, settings or [])
    say_notes(problem)
    [score] = evaluate(
        problem,
        [policy_named(policy, problem, seed, progress_bar, allow_code)],
        seed,
        replications,
        progress_bar,
    )
    console.print(warehouse_table(problem, score))
    if products:
        console.print(product_table(problem, [score]))
    if lanes:
        console.print(lane_table(problem, score))


def tune(
    scenario: ScenarioName,
    policy: Annotated[
        str,
        typer.Argument(help="A baseline that has something to tune: order_up_to, threshold_balancing, ..."),
    ],
    settings: Settings = None,
    seed: Seed = 0,
    effort: Annotated[float, typer.Option(help="Multiplies the length of the search.")] = 1.0,
    keep: Annotated[
        float | None,
        typer.Option(
            help="The cheapest that keeps this fill rate, e.g. 0.98, for every product wherever it has "
            "customers. Elsewhere it is named as in tuned_order_up_to@0.98."
        ),
    ] = None,
) -> None:
    """Find the best parameters of a classical policy; `compare` and `simulate` reuse what was found."""
    from marl_inv.episodes.problem import load_problem
    from marl_inv.evaluation.tables import parameter_table
    from marl_inv.policies import tuning_result

    one_thread()
    problem = load_problem(scenario, settings or [])
    say_notes(problem)
    console.print(parameter_table(problem, *tuning_result(problem, policy, seed, effort, progress_bar, keep)))


def solve(scenario: ScenarioName, settings: Settings = None) -> None:
    """The least cost (most profit) that any policy can reach, exactly, where a scenario is small: one
    product, one or two warehouses."""
    from marl_inv.baselines.bounds.optimum import solve as optimum
    from marl_inv.episodes.problem import load_problem

    one_thread()
    problem = load_problem(scenario, settings or [])
    begun = time.perf_counter()
    found, name, measured = (
        optimum(problem, progress=progress_bar),
        problem.scenario.name,
        problem.scenario.measured,
    )
    sign, best = (-1, "least") if measured == "cost" else (1, "most")
    low, high = sorted((sign * found.least, sign * found.most))
    console.print(
        f"{name}: {best} {measured} [bold]{sign * found.reward:.5f}[/] a period in whole units, between "
        f"{low:.6f} and {high:.6f}; {found.states:,} states, "
        f"{len(found.policy.requests):,} requests in each, {time.perf_counter() - begun:.1f} s"
    )
    console.print(
        f"Play it: marl-inv compare {scenario} optimal --no-train {' '.join(settings or [])}".rstrip(),
        highlight=False,
    )


def compare(
    scenario: ScenarioName,
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Run folders and policies to play, and settings as key.path=value."),
    ] = None,
    train: Annotated[
        bool, typer.Option(help="Train a policy for about a minute when no run folder is given.")
    ] = True,
    bound: Annotated[
        bool,
        typer.Option(
            "--bound",
            help="Also bounds: perfect information, a linear programme a replication, and complete pooling; "
            "and the gap to the tightest.",
        ),
    ] = False,
    replications: Replications = 512,
    seed: Seed = 0,
    products: Products = False,
    allow_code: AllowCode = False,
) -> None:
    """Tune order-up-to, train mappo for about a minute, and print who does best on the same traces."""
    from marl_inv.evaluation.tables import comparison_table, product_table
    from marl_inv.experiments.comparison import compare as compared

    folders = [argument for argument in runs or [] if "=" not in argument or Path(argument).exists()]
    settings = [argument for argument in runs or [] if argument not in folders]
    result = compared(scenario, folders, settings, train, seed, replications, progress_bar, bound, allow_code)
    say_notes(result.problem)
    console.print(comparison_table(result.problem, result.scores, result.reference, result.bounds))
    if products:
        console.print(product_table(result.problem, result.scores))
