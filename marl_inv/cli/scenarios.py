"""Commands about a scenario: list, check, export, render."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from marl_inv.cli.arguments import AllowCode, ScenarioName, Seed, Settings
from marl_inv.cli.printing import complain, console, progress_bar, say, say_notes
from marl_inv.common.text import visible


def list_scenarios() -> None:
    """The scenarios that come with marl_inv."""
    from marl_inv.scenario import library, read_document, read_scenario

    table = Table(
        "scenario",
        "warehouses",
        "lanes",
        "objective",
        "description",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.columns[0].no_wrap = True
    for name in library():
        scenario = read_scenario(read_document(name))
        objective = scenario.objective + (", finite" if scenario.ending == "finite" else "")
        table.add_row(
            name, str(len(scenario.warehouses)), str(len(scenario.lanes)), objective, scenario.description
        )
    for column in table.columns[1:3]:
        column.justify = "right"
    console.print(table)


def check(
    scenario: ScenarioName,
    settings: Settings = None,
    run: Annotated[
        bool, typer.Option("--run", help="Also play it: are units conserved, limits kept, seeds heeded?")
    ] = False,
) -> None:
    """Is a scenario, and the data it names, as it should be? Mistakes end with exit code 2; warnings and
    notes are only told."""
    from marl_inv.chance.inspection import counted, inspect
    from marl_inv.scenario.advice import most_alike

    found = inspect(scenario, settings or [])
    console.print(
        Text.assemble((visible(found.scenario.name), "bold"), f": {visible(found.scenario.description)}")
    )
    console.print(found.size)
    for note in found.notes:
        console.print(note)
    for line in most_alike(found.advice):
        say(line)
    if run:
        _check_by_playing(found.scenario)
    warnings = counted(found.warnings, "warning")
    console.print(
        f"The scenario can be played; {warnings}." if found.warnings else "The scenario is in order.",
        style="yellow" if found.warnings else "green",
    )


def _check_by_playing(scenario: Any) -> None:
    from marl_inv.common.errors import CheckFailed
    from marl_inv.testing import check_scenario

    try:
        check_scenario(scenario)
    except CheckFailed as failure:
        complain(str(failure))
        raise typer.Exit(1) from failure
    console.print(
        "Played: units are conserved, limits kept, rewards add up; the environment passes PettingZoo's "
        "tests and ours."
    )


def export(
    scenario: ScenarioName,
    to: Annotated[
        Path, typer.Argument(help="A .yaml, .json (node-link) or .graphml file, or a folder for CSV tables.")
    ],
    settings: Settings = None,
) -> None:
    """Write a scenario in another format; generated networks are spelled out. What is written can be loaded
    again."""
    from marl_inv.scenario import load_scenario
    from marl_inv.scenario.export import write_scenario

    for path in write_scenario(load_scenario(scenario, settings or []), to):
        console.print(str(path), soft_wrap=True)


def render(
    scenario: ScenarioName,
    settings: Settings = None,
    out: Annotated[Path, typer.Option(help="A film (.gif), or a picture (.png, .svg, .pdf).")] = Path(
        "episode.gif"
    ),
    policy: Annotated[str, typer.Option(help="As for simulate.")] = "order_up_to",
    period: Annotated[
        int | None, typer.Option(help="The last one to play; the whole episode by default.")
    ] = None,
    seed: Seed = 0,
    allow_code: AllowCode = False,
) -> None:
    """Draw an episode: the network's stock, flows and shortages, period by period in a film, or at the end in
    a picture."""
    from marl_inv.drawing import film
    from marl_inv.episodes.problem import load_problem
    from marl_inv.policies import policy_named

    problem = load_problem(scenario, settings or [])
    say_notes(problem)
    path = film.render(
        problem,
        policy_named(policy, problem, seed, progress_bar, allow_code),
        out,
        seed,
        period,
        progress_bar,
    )
    console.print(f"{path}", soft_wrap=True)
