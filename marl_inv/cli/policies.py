"""Commands about policies: policies, simulate, tune, solve, compare."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from marl_inv.cli.arguments import (
    POLICY_HELP,
    AllowCode,
    CsvFile,
    JsonFile,
    Products,
    Replications,
    ScenarioName,
    Seed,
    Settings,
)
from marl_inv.cli.bench import one_thread
from marl_inv.cli.printing import console, progress_bar, say, say_notes, say_written, write_rows
from marl_inv.common.files import check_writable, is_there
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
        console.print(line)


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
    out: Annotated[
        Path | None,
        typer.Option(
            help="Also write what happened in every period, product by product, at every warehouse and on "
            "every lane: a .csv file, or .parquet (with pyarrow)."
        ),
    ] = None,
    csv_file: CsvFile = None,
    json_file: JsonFile = None,
    allow_code: AllowCode = False,
) -> None:
    """Play one policy and print what it earned, served and moved, by warehouse."""
    from marl_inv.episodes.problem import load_problem
    from marl_inv.evaluation.evaluate import evaluate
    from marl_inv.evaluation.periods import period_table
    from marl_inv.evaluation.tables import lane_table, place_records, product_table, warehouse_table
    from marl_inv.policies import policy_named

    check_writable(out, csv_file, json_file)
    one_thread()
    problem = load_problem(scenario, settings or [])
    say_notes(problem)
    with nullcontext() if out is None else period_table(out) as table:
        chosen = policy_named(policy, problem, seed, progress_bar, allow_code)
        [score] = evaluate(problem, [chosen], seed, replications, progress_bar, table=table)
    console.print(warehouse_table(problem, score))
    if products:
        console.print(product_table(problem, [score]))
    if lanes:
        console.print(lane_table(problem, score))
    say_written(out)
    write_rows(place_records(problem, score), csv_file, json_file)


def stress(
    scenario: ScenarioName,
    policies: Annotated[
        list[str],
        typer.Argument(help=f"Policies to play, the first to compare with, and settings. {POLICY_HELP}"),
    ],
    shocks: Annotated[
        str, typer.Option(help="A library of shocks, by name (market, unseen) or by the path of a YAML file.")
    ] = "market",
    replications: Replications = 512,
    seed: Seed = 0,
    allow_code: AllowCode = False,
) -> None:
    """Play policies under shocks to demand that nobody reckoned with, rules as tuned without them."""
    from marl_inv.api import stress as stressed

    one_thread()
    names = [argument for argument in policies if "=" not in argument or Path(argument).exists()]
    settings = [argument for argument in policies if argument not in names]
    result = stressed(scenario, names, shocks, seed, replications, progress_bar, settings, allow_code)
    say_notes(result.problem)
    for table in result.tables():
        console.print(table)


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
        f"{name}: {best} {measured} {sign * found.reward:.5f} a period in whole units, between "
        f"{low:.6f} and {high:.6f}; {found.states:,} states, "
        f"{len(found.policy.requests):,} requests in each, {time.perf_counter() - begun:.1f} s"
    )
    console.print(
        f"Play it: marl-inv compare {scenario} optimal --no-train {' '.join(settings or [])}".rstrip(),
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
    reference: Annotated[
        str | None,
        typer.Option(
            help="Whom gains are over, paired: a policy, a run, or the one trained here; else the tuned rule "
            "that does best on validation traces."
        ),
    ] = None,
    runs_folder: Annotated[
        Path, typer.Option("--runs", help="Where a policy that is trained here is kept, as a run.")
    ] = Path("runs"),
    csv_file: CsvFile = None,
    json_file: JsonFile = None,
    replications: Replications = 512,
    seed: Seed = 0,
    products: Products = False,
    allow_code: AllowCode = False,
) -> None:
    """Print who does best on the same traces: classical policies, tuned where that is said, and the runs and
    policies that are named. Where none is named, mappo is trained first, for about a minute (decisions=...
    says how long, --no-train not at all), and kept in runs/."""
    from marl_inv.evaluation.tables import product_table
    from marl_inv.experiments.comparison import compare as compared
    from marl_inv.learning.runs import split_settings

    folders = [argument for argument in runs or [] if "=" not in argument or is_there(argument)]
    settings = [argument for argument in runs or [] if argument not in folders]
    check_writable(csv_file, json_file)
    result = compared(
        *(scenario, folders, settings, train, seed, replications, progress_bar, bound, allow_code),
        reference,
        runs_folder,
    )
    say_notes(result.problem)
    for table in result.tables():
        console.print(table)
    if products:
        console.print(product_table(result.problem, result.scores))
    if result.kept is not None:
        of_scenario, _ = split_settings(settings)
        say(
            f"the policy trained here is kept in {result.kept}; play it again with\n  marl-inv compare "
            f"{' '.join([scenario, str(result.kept), *of_scenario])}"
        )
    write_rows(result.records(), csv_file, json_file)
