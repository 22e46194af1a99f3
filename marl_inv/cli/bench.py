"""The command that measures speed."""

from __future__ import annotations

from typing import Annotated

import typer
from rich import box
from rich.table import Table

from marl_inv.cli.printing import console, progress_bar
from marl_inv.common.errors import InputError, suggestion


def bench(
    groups: Annotated[
        list[str] | None,
        typer.Argument(
            help="machine, simulator, scaling, traces, environment, peers, ppo, pathwise, planning."
        ),
    ] = None,
    json_lines: Annotated[
        bool, typer.Option("--json", help="A line of JSON for every figure, in place of the table.")
    ] = False,
) -> None:
    """Speed on one thread: every part one waits for, next to what the machine allows, plain torch and
    Tianshou's stock multi-agent route."""
    import json
    import platform

    import torch

    from marl_inv.bench.speed import GROUPS, REPEATS, figures

    for group in groups or []:
        if group not in GROUPS:
            raise InputError(f"bench: {group} is no group{suggestion(group, GROUPS)}")
    about = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": 1,
    }
    table = Table("", "workload", "rate", "unit", "beside", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[2].justify = "right"
    last = None
    for group, figure in progress_bar(figures(groups or []), "measuring"):
        if json_lines:
            print(json.dumps({"group": group, **vars(figure), **about}), flush=True)
        table.add_row(
            "" if group == last else group, figure.what, f"{figure.rate:,.4g}", figure.unit, figure.note
        )
        last = group
    if not json_lines:
        console.print(table)
        told = ", ".join(f"{key} {value}" for key, value in about.items())
        console.print(f"{told}; medians of {REPEATS} runs; million/s: of warehouse-steps unless said")


def one_thread() -> None:
    """Small tensors gain nothing from more threads, and lose much beside another busy process."""
    import torch

    torch.set_num_threads(1)
