"""The command line: parses, calls one function, prints. What it calls is imported when it is called, so that help is quick."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from marl_inv import __version__
from marl_inv.common.errors import InputError, suggestion
from marl_inv.common.machine import keep_memory
from marl_inv.common.plugins import is_own
from marl_inv.learning.settings import ALGORITHM_NAMES, TrainSettings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Multi-agent reinforcement learning for multi-warehouse inventory allocation.",
)
WIDE = 120
"""Columns where there is no terminal to say how many it has."""

console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE)
ScenarioName = Annotated[str, typer.Argument(help="A scenario's bare name (see `marl-inv list`) or the path of a YAML file.")]
Settings = Annotated[list[str] | None, typer.Argument(help="Settings as key.path=value, e.g. horizon=50 warehouses.0.price=12")]
Seed = Annotated[int, typer.Option(help="Where all chance comes from.")]
POLICY_HELP = "A baseline, with tuned_ before it to tune it first; base+layer as in order_up_to+lp_balancing; rolling_lp or rolling_lp_32; optimal; a run folder; or module:Class of one's own."
AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code", help="Run code that a file or a run folder names, as module:name. What you name here yourself needs no leave."
    ),
]
Workers = Annotated[int, typer.Option(help="Cells computed side by side on this machine; a cluster decides itself.", min=1)]
EngineName = Annotated[str, typer.Option(help="Who computes: processes, or ray, which is an extra to install. The results are the same.")]
Address = Annotated[
    str | None,
    typer.Option(
        help="Of a Ray cluster (auto, HOST:PORT, ray://HOST:PORT) in place of a Ray of our own; its nodes must share the folder of cells."
    ),
]
Replications = Annotated[int, typer.Option(help="Evaluation episodes, the same for every policy.", min=2)]


@app.callback(invoke_without_command=True)
def version_told(version: Annotated[bool, typer.Option("--version", help="The version, and no more.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command; what a person got wrong is one message and exit code 2."""
    keep_memory()
    try:
        app()
    except InputError as error:
        Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"marl-inv: {error}", style="red")
        sys.exit(2)


@app.command("list")
def list_scenarios() -> None:
    """The scenarios that come with marl_inv."""
    from marl_inv.scenario import library, read_document, read_scenario

    table = Table("scenario", "warehouses", "lanes", "objective", "description", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].no_wrap = True
    for name in library():
        scenario = read_scenario(read_document(name))
        objective = scenario.objective + (", finite" if scenario.ending == "finite" else "")
        table.add_row(name, str(len(scenario.warehouses)), str(len(scenario.lanes)), objective, scenario.description)
    for column in table.columns[1:3]:
        column.justify = "right"
    console.print(table)


@app.command("policies")
def list_policies() -> None:
    """The classical policies, what each decides on, and the algorithms that train others."""
    from marl_inv.baselines import BASELINES, LAYERS

    table = Table("policy", "what it does", "decides on", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].no_wrap = True
    for name, policy in BASELINES.items():
        table.add_row(name, " ".join(str(policy.__doc__).partition("\n\n")[0].split()).rstrip("."), policy.knows)
    console.print(table)
    for line in (
        f"tuned_NAME tunes one first. {', '.join(LAYERS)} also lie over another, as in tuned_order_up_to+threshold_balancing.",
        "rolling_lp and rolling_lp_32 plan by linear programmes; optimal is exact, where the scenario is small.",
        f"marl-inv train --algorithm: {', '.join(ALGORITHM_NAMES)}; or module:build of one's own.",
    ):
        console.print(line, highlight=False)


@app.command()
def check(
    scenario: ScenarioName,
    settings: Settings = None,
    run: Annotated[bool, typer.Option("--run", help="Also play it: are units conserved, limits kept, seeds heeded?")] = False,
) -> None:
    """Is a scenario, and the data it names, as it should be? Mistakes end with exit code 2; warnings and notes are only told."""
    from marl_inv.chance.inspection import counted, inspect
    from marl_inv.scenario.advice import most_alike

    found = inspect(scenario, settings or [])
    console.print(f"[bold]{found.scenario.name}[/]: {found.scenario.description}")
    console.print(found.size)
    for note in found.notes:
        console.print(note)
    for line in most_alike(found.advice):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if run:
        _check_by_playing(found.scenario)
    warnings = counted(found.warnings, "warning")
    console.print(f"[yellow]The scenario can be played; {warnings}.[/]" if found.warnings else "[green]The scenario is in order.[/]")


def _check_by_playing(scenario: Any) -> None:
    from marl_inv.common.errors import CheckFailed
    from marl_inv.testing import check_scenario

    try:
        check_scenario(scenario)
    except CheckFailed as failure:
        Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"marl-inv: {failure}", style="red")
        raise typer.Exit(1) from failure
    console.print("Played: units are conserved, limits kept, rewards add up; the environment passes PettingZoo's tests and ours.")


@app.command()
def export(
    scenario: ScenarioName,
    to: Annotated[Path, typer.Argument(help="A .yaml, .json (node-link) or .graphml file, or a folder for CSV tables.")],
    settings: Settings = None,
) -> None:
    """Write a scenario in another format; generated networks are spelled out. What is written can be loaded again."""
    from marl_inv.scenario import load_scenario
    from marl_inv.scenario.export import write_scenario

    for path in write_scenario(load_scenario(scenario, settings or []), to):
        console.print(str(path), soft_wrap=True, highlight=False)


@app.command()
def simulate(
    scenario: ScenarioName,
    settings: Settings = None,
    policy: Annotated[str, typer.Option(help=POLICY_HELP)] = "order_up_to",
    replications: Replications = 512,
    seed: Seed = 0,
    lanes: Annotated[bool, typer.Option("--lanes", help="Also by lane: requested, shipped, refused and owed.")] = False,
    allow_code: AllowCode = False,
) -> None:
    """Play one policy and print what it earned, served and moved, by warehouse."""
    from marl_inv.episodes.problem import load_problem
    from marl_inv.evaluation.evaluate import evaluate
    from marl_inv.evaluation.tables import lane_table, warehouse_table
    from marl_inv.policies import policy_named

    _one_thread()
    problem = load_problem(scenario, settings or [])
    _say_notes(problem)
    [score] = evaluate(problem, [policy_named(policy, problem, seed, progress_bar, allow_code)], seed, replications, progress_bar)
    console.print(warehouse_table(problem, score))
    if lanes:
        console.print(lane_table(problem, score))


@app.command()
def tune(
    scenario: ScenarioName,
    policy: Annotated[str, typer.Argument(help="A baseline that has something to tune: order_up_to, threshold_balancing, ...")],
    settings: Settings = None,
    seed: Seed = 0,
    effort: Annotated[float, typer.Option(help="Multiplies the length of the search.")] = 1.0,
) -> None:
    """Find the best parameters of a classical policy; `compare` and `simulate` reuse what was found."""
    from marl_inv.episodes.problem import load_problem
    from marl_inv.evaluation.tables import parameter_table
    from marl_inv.policies import tuning_result

    _one_thread()
    problem = load_problem(scenario, settings or [])
    _say_notes(problem)
    console.print(parameter_table(problem, *tuning_result(problem, policy, seed, effort, progress_bar)))


@app.command()
def solve(scenario: ScenarioName, settings: Settings = None) -> None:
    """The least cost (most profit) that any policy can reach, exactly, where a scenario is small: one product, one or two warehouses."""
    from marl_inv.baselines.bounds.optimum import solve as optimum
    from marl_inv.episodes.problem import load_problem

    _one_thread()
    problem = load_problem(scenario, settings or [])
    begun = time.perf_counter()
    found, name, measured = optimum(problem, progress=progress_bar), problem.scenario.name, problem.scenario.measured
    sign, best = (-1, "least") if measured == "cost" else (1, "most")
    low, high = sorted((sign * found.least, sign * found.most))
    console.print(
        f"{name}: {best} {measured} [bold]{sign * found.reward:.5f}[/] a period in whole units, between {low:.6f} and {high:.6f}; {found.states:,} states, "
        f"{len(found.policy.requests):,} requests in each, {time.perf_counter() - begun:.1f} s"
    )
    console.print(f"Play it: marl-inv compare {scenario} optimal --no-train {' '.join(settings or [])}".rstrip(), highlight=False)


@app.command()
def render(
    scenario: ScenarioName,
    settings: Settings = None,
    out: Annotated[Path, typer.Option(help="A film (.gif), or a picture (.png, .svg, .pdf).")] = Path("episode.gif"),
    policy: Annotated[str, typer.Option(help="As for simulate.")] = "order_up_to",
    period: Annotated[int | None, typer.Option(help="The last one to play; the whole episode by default.")] = None,
    seed: Seed = 0,
    allow_code: AllowCode = False,
) -> None:
    """Draw an episode: the network's stock, flows and shortages, period by period in a film, or at the end in a picture."""
    from marl_inv.drawing import picture as drawing
    from marl_inv.episodes.problem import load_problem
    from marl_inv.policies import policy_named

    problem = load_problem(scenario, settings or [])
    _say_notes(problem)
    path = drawing.render(problem, policy_named(policy, problem, seed, progress_bar, allow_code), out, seed, period, progress_bar)
    console.print(f"{path}", soft_wrap=True, highlight=False)


def _training_settings() -> str:
    """Every training setting with its default and what it does, for the end of `train --help`."""
    lines = [f"{name}={field.default}: {field.description}" for name, field in TrainSettings.model_fields.items()]
    return "Training settings, as key=value or in a --settings file:\n\n" + "\n\n".join(lines)


@app.command(epilog=_training_settings())
def train(
    scenario: ScenarioName,
    settings: Settings = None,
    algorithm: Annotated[
        str | None, typer.Option(help="mappo, ippo, reinforce, pathwise, iql, vdn or qmix; or module:build of one's own.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="graph or mlp; or module:Class of one's own.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam, adamw or rmsprop.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...")] = None,
    seed: Annotated[int | None, typer.Option(help="Where all chance comes from.")] = None,
    file: Annotated[Path | None, typer.Option("--settings", help="A YAML file of training settings.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; runs/SCENARIO-ALGORITHM-SEED-TIME by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out where it was stopped, to the same policy.")] = False,
    allow_code: AllowCode = False,
) -> None:
    """Train a policy; every training setting listed below can be given as key=value. The same command with --resume goes on after a stop."""
    from marl_inv.learning.runs import run_training, split_settings, training_settings
    from marl_inv.scenario import load_scenario

    of_scenario, of_training = split_settings(settings or [])
    options = {"algorithm": algorithm, "model": model, "optimizer": optimizer, "device": device, "seed": seed}
    chosen = training_settings(of_training, file, allow_code=allow_code, **options)
    loaded = load_scenario(scenario, of_scenario)
    begun = time.perf_counter()
    folder, trained = run_training(loaded, chosen, out, progress_bar, resume, _say)
    console.print(
        f"trained {chosen.algorithm} in {time.perf_counter() - begun:.0f} s: {trained.percent_over_baseline:+.1f}% over tuned order-up-to on validation traces"
    )
    console.print(
        f"the run is in {folder}; look at it with\n  tensorboard --logdir {folder}\nfirst of all on http://localhost:6006/#custom_scalars, and score it on evaluation traces with\n  marl-inv compare {scenario} {folder} {' '.join(of_scenario)}{' --allow-code' * is_own(chosen.model)}",
        soft_wrap=True,
        highlight=False,
    )


@app.command()
def compare(
    scenario: ScenarioName,
    runs: Annotated[list[str] | None, typer.Argument(help="Run folders and policies to play, and settings as key.path=value.")] = None,
    train: Annotated[bool, typer.Option(help="Train a policy for about a minute when no run folder is given.")] = True,
    bound: Annotated[
        bool,
        typer.Option(
            "--bound",
            help="Also bounds: perfect information, a linear programme a replication, and complete pooling; and the gap to the tightest.",
        ),
    ] = False,
    replications: Replications = 512,
    seed: Seed = 0,
    allow_code: AllowCode = False,
) -> None:
    """Tune order-up-to, train mappo for about a minute, and print who does best on the same traces."""
    from marl_inv.evaluation.tables import comparison_table
    from marl_inv.experiments.comparison import compare as compared

    folders = [argument for argument in runs or [] if "=" not in argument or Path(argument).exists()]
    settings = [argument for argument in runs or [] if argument not in folders]
    result = compared(scenario, folders, settings, train, seed, replications, progress_bar, bound, allow_code)
    _say_notes(result.problem)
    console.print(comparison_table(result.problem, result.scores, result.reference, result.bounds))


@app.command()
def run(
    experiment: Annotated[Path, typer.Argument(help="A YAML file of scenarios, policies, and training seeds.")],
    out: Annotated[Path | None, typer.Option(help="The folder of its cells; runs/NAME by default.")] = None,
    workers: Workers = 1,
    engine: EngineName = "processes",
    address: Address = None,
    allow_code: AllowCode = False,
) -> None:
    """A grid of scenarios x policies x training seeds to a table. Finished cells are kept: the same command goes on after a stop."""
    from marl_inv.experiments.results import grid_tables
    from marl_inv.experiments.run import run as run_grid

    with _going_on():
        results = run_grid(experiment, out, workers, progress_bar, _say, engine, address, allow_code)
    for table in grid_tables(results):
        console.print(table)
    console.print(f"the cells and table.md are in {results.folder}", soft_wrap=True, highlight=False)


@app.command("report")
def write_report(
    runs: Annotated[list[Path], typer.Argument(help="Folders that `marl-inv run` wrote; several are reported on together.")],
    out: Annotated[Path | None, typer.Option(help="The folder of the report; the first run's by default.")] = None,
) -> None:
    """A page that explains what an experiment found (report.html), the same as report.md, and its numbers as tables.csv, samples.csv (every seed and trace) and tables.tex."""
    from marl_inv.experiments.results import read_results
    from marl_inv.report import page

    _one_thread()
    for path in page.write_report(read_results(runs), out, progress_bar):
        console.print(str(path), soft_wrap=True, highlight=False)


@app.command("leaderboard")
def write_leaderboard(
    folder: Annotated[Path, typer.Argument(help="Of experiments' folders with their tables.csv, and a README.md.")] = Path("results"),
) -> None:
    """Write who does best on every scenario of a folder's experiments into its README.md."""
    from marl_inv.report import leaderboard

    console.print(str(leaderboard.write_leaderboard(folder)), soft_wrap=True, highlight=False)


@app.command()
def search(
    experiment: Annotated[
        Path,
        typer.Argument(
            help="An experiment, of which one policy says what to search: {lr: {low: 1e-4, high: 1e-2, log: true}, hidden: [32, 64]}."
        ),
    ],
    trials: Annotated[int, typer.Option(help="Settings to try; more of them go on from fewer.", min=1)] = 20,
    out: Annotated[Path | None, typer.Option(help="The folder of its cells; runs/NAME by default.")] = None,
    workers: Workers = 1,
    batch: Annotated[
        int, typer.Option(help="Trials chosen at once, not knowing of each other. What is found depends on it, not on --workers.", min=1)
    ] = 4,
    seed: Annotated[int, typer.Option(help="Of the choice of trials.", min=0)] = 0,
    engine: EngineName = "processes",
    address: Address = None,
    allow_code: AllowCode = False,
) -> None:
    """Find good settings of training, on validation traces, with Optuna. The same command goes on after a stop."""
    from marl_inv.experiments.search import search as search_for
    from marl_inv.experiments.search import search_table

    with _going_on():
        found = search_for(experiment, trials, out, workers, batch, seed, progress_bar, _say, engine, address, allow_code)
    console.print(search_table(found))
    console.print(f"use the best with\n  marl-inv train SCENARIO --settings {found.best}", soft_wrap=True, highlight=False)


@app.command()
def bench(
    groups: Annotated[
        list[str] | None, typer.Argument(help="machine, simulator, scaling, traces, environment, peers, ppo, pathwise, planning.")
    ] = None,
    json_lines: Annotated[bool, typer.Option("--json", help="A line of JSON for every figure, in place of the table.")] = False,
) -> None:
    """Speed on one thread: every part one waits for, next to what the machine allows, plain torch and Tianshou's stock multi-agent route."""
    import json
    import platform

    import torch

    from marl_inv.bench.speed import GROUPS, REPEATS, figures

    for group in groups or []:
        if group not in GROUPS:
            raise InputError(f"bench: {group} is no group{suggestion(group, GROUPS)}")
    about = {"machine": platform.machine(), "python": platform.python_version(), "torch": torch.__version__, "threads": 1}
    table = Table("", "workload", "rate", "unit", "beside", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[2].justify = "right"
    last = None
    for group, figure in progress_bar(figures(groups or []), "measuring"):
        if json_lines:
            print(json.dumps({"group": group, **vars(figure), **about}), flush=True)
        table.add_row("" if group == last else group, figure.what, f"{figure.rate:,.4g}", figure.unit, figure.note)
        last = group
    if not json_lines:
        console.print(table)
        told = ", ".join(f"{key} {value}" for key, value in about.items())
        console.print(f"{told}; medians of {REPEATS} runs; million/s: of warehouse-steps unless said", highlight=False)


def _one_thread() -> None:
    """Small tensors gain nothing from more threads, and lose much beside another busy process."""
    import torch

    torch.set_num_threads(1)


@contextmanager
def _going_on() -> Iterator[None]:
    """Whoever stops an experiment is told that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; the same command goes on from here")
        raise SystemExit(130) from None


def _say(line: str) -> None:
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def _say_notes(problem: Any) -> None:
    for note in problem.demand.notes:
        console.print(note, highlight=False)


def progress_bar(loop: Iterable[Any], title: str) -> Iterator[Any]:
    """A bar on the terminal, if it is one, with the time left where the length is known, which goes when the loop ends; elsewhere a line once in a
    while, so that a batch job's log shows where it is."""
    terminal = Console(stderr=True)
    if not terminal.is_interactive:
        yield from _told_at_times(loop, title, terminal)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal, transient=True) as bars:
        yield from bars.track(loop, description=title)


TOLD_EVERY = 60.0
"""Seconds between lines about progress, where there is no terminal."""


def _told_at_times(loop: Iterable[Any], title: str, where: Console) -> Iterator[Any]:
    length, told = len(loop) if isinstance(loop, Sized) else 0, time.monotonic()
    for done, each in enumerate(loop):
        if time.monotonic() - told > TOLD_EVERY:
            where.print(f"{title}: {done}{f' of {length}' * bool(length)}", highlight=False)
            told = time.monotonic()
        yield each


if __name__ == "__main__":
    main()
