"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ScenarioName = Annotated[
    str, typer.Argument(help="A scenario's bare name (see `marl-inv list`) or the path of a YAML file.")
]


Settings = Annotated[
    list[str] | None, typer.Argument(help="Settings as key.path=value, e.g. horizon=50 warehouses.0.price=12")
]


Seed = Annotated[int, typer.Option(help="Where all chance comes from.")]


POLICY_HELP = (
    "A baseline, with tuned_ before it to tune it first and @0.98 behind it for the "
    "cheapest that keeps this fill rate; base+layer as in "
    "order_up_to+lp_balancing; rolling_lp or rolling_lp_32; optimal; a run folder; or module:Class of one's "
    "own."
)


AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Run code that a file or a run folder names, as module:name. What you name here yourself needs "
        "no leave.",
    ),
]


Workers = Annotated[
    int, typer.Option(help="Cells computed side by side on this machine; a cluster decides itself.", min=1)
]


EngineName = Annotated[
    str,
    typer.Option(
        help="Who computes: processes, or ray, which is an extra to install. The results are the same."
    ),
]


Address = Annotated[
    str | None,
    typer.Option(
        help="Of a Ray cluster (auto, HOST:PORT, ray://HOST:PORT) in place of a Ray of our own; its nodes "
        "must share the folder of cells."
    ),
]


Products = Annotated[
    bool, typer.Option("--products", help="Also by product: fill, on hand and moved in its own units.")
]


Replications = Annotated[int, typer.Option(help="Evaluation episodes, the same for every policy.", min=2)]


CsvFile = Annotated[
    Path | None, typer.Option("--csv", help="Also write what was found, with all digits, to this CSV file.")
]


JsonFile = Annotated[
    Path | None, typer.Option("--json", help="The same as JSON: a list with an object for every row.")
]
