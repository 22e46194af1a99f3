"""The command that measures speed."""

from __future__ import annotations

from typing import Annotated

import typer
from rich import box
from rich.table import Table

from marl_inv.cli.printing import console, progress_bar
from marl_inv.common.errors import InputError, suggestion
from marl_inv.common.machine import check_device


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
    device: Annotated[
        str | None,
        typer.Option(
            help="cuda, cuda:1, ...: simulator, traces, ppo and pathwise there, beside one thread here."
        ),
    ] = None,
) -> None:
    """Speed on one thread: every part one waits for, next to what the machine allows, plain torch and
    Tianshou's stock multi-agent route. Or speed on a GPU, beside one thread."""
    import json
    import platform

    import torch

    from marl_inv.bench import device as on_device
    from marl_inv.bench import speed

    known = speed.GROUPS if device is None else on_device.DEVICE_GROUPS
    for group in groups or []:
        if group not in known:
            raise InputError(f"bench: {group} is no group{suggestion(group, known)}")
    about: dict[str, str | int] = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": 1,
    }
    repeats = speed.REPEATS
    if device is None:
        measured = speed.figures(groups or [])
    else:
        check_device(device, "bench: --device")
        measured, repeats = on_device.figures_on(groups or [], device), on_device.RUNS
        if device.startswith("cuda"):
            about["device"] = torch.cuda.get_device_name(device)
    table = Table("", "workload", "rate", "unit", "beside", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[2].justify = "right"
    last = None
    for group, figure in progress_bar(measured, "measuring"):
        if json_lines:
            print(json.dumps({"group": group, **vars(figure), **about}), flush=True)
        table.add_row(
            "" if group == last else group, figure.what, f"{figure.rate:,.4g}", figure.unit, figure.note
        )
        last = group
    if not json_lines:
        console.print(table)
        told = ", ".join(f"{key} {value}" for key, value in about.items())
        console.print(f"{told}; medians of {repeats} runs; million/s: of warehouse-steps unless said")


def one_thread() -> None:
    """Small tensors gain nothing from more threads, and lose much beside another busy process."""
    import torch

    torch.set_num_threads(1)
