"""Commands about experiments: run, report, leaderboard, search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marl_inv.cli.arguments import Address, AllowCode, EngineName, Workers
from marl_inv.cli.bench import one_thread
from marl_inv.cli.printing import console, progress_bar, say
from marl_inv.cli.training import going_on


def run(
    experiment: Annotated[
        Path, typer.Argument(help="A YAML file of scenarios, policies, and training seeds.")
    ],
    out: Annotated[Path | None, typer.Option(help="The folder of its cells; runs/NAME by default.")] = None,
    workers: Workers = 1,
    engine: EngineName = "processes",
    address: Address = None,
    allow_code: AllowCode = False,
) -> None:
    """A grid of scenarios x policies x training seeds to a table. Finished cells are kept: the same command
    goes on after a stop."""
    from marl_inv.experiments.results import grid_tables
    from marl_inv.experiments.run import run as run_grid

    with going_on():
        results = run_grid(experiment, out, workers, progress_bar, say, engine, address, allow_code)
    for table in grid_tables(results):
        console.print(table)
    console.print(f"the cells and table.md are in {results.folder}", soft_wrap=True)


def write_report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders that `marl-inv run` wrote; several are reported on together."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The folder of the report; the first run's by default.")
    ] = None,
) -> None:
    """A page that explains what an experiment found (report.html), the same as report.md, and its numbers as
    tables.csv, samples.csv (every seed and trace) and tables.tex."""
    from marl_inv.experiments.results import read_results
    from marl_inv.report import page

    one_thread()
    for path in page.write_report(read_results(runs), out, progress_bar):
        console.print(str(path), soft_wrap=True)


def write_leaderboard(
    folder: Annotated[
        Path, typer.Argument(help="Of experiments' folders with their tables.csv, and a README.md.")
    ] = Path("results"),
) -> None:
    """Write who does best on every scenario of a folder's experiments into its README.md."""
    from marl_inv.report import leaderboard

    console.print(str(leaderboard.write_leaderboard(folder)), soft_wrap=True)


def search(
    experiment: Annotated[
        Path,
        typer.Argument(
            help="An experiment, of which one policy says what to search: {lr: {low: 1e-4, high: 1e-2, log: "
            "true}, hidden: [32, 64]}."
        ),
    ],
    trials: Annotated[int, typer.Option(help="Settings to try; more of them go on from fewer.", min=1)] = 20,
    out: Annotated[Path | None, typer.Option(help="The folder of its cells; runs/NAME by default.")] = None,
    workers: Workers = 1,
    batch: Annotated[
        int,
        typer.Option(
            help="Trials chosen at once, not knowing of each other. What is found depends on it, not on "
            "--workers.",
            min=1,
        ),
    ] = 4,
    seed: Annotated[int, typer.Option(help="Of the choice of trials.", min=0)] = 0,
    engine: EngineName = "processes",
    address: Address = None,
    allow_code: AllowCode = False,
) -> None:
    """Find good settings of training, on validation traces, with Optuna. The same command goes on after a
    stop."""
    from marl_inv.experiments.search import search as search_for
    from marl_inv.experiments.search import search_table

    with going_on():
        found = search_for(
            experiment, trials, out, workers, batch, seed, progress_bar, say, engine, address, allow_code
        )
    console.print(search_table(found))
    console.print(
        f"use the best with\n  marl-inv train SCENARIO --settings {found.best}",
        soft_wrap=True,
    )
