"""The command line: parses, calls one function, prints. What it calls is imported when it is called, so that
help is quick."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated

import typer

from marl_inv import __version__
from marl_inv.cli import bench, experiments, policies, scenarios, training
from marl_inv.cli.printing import complain
from marl_inv.common.errors import InputError
from marl_inv.common.machine import keep_memory
from marl_inv.common.text import message

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Multi-agent reinforcement learning for multi-warehouse inventory allocation.",
)


@app.callback(invoke_without_command=True)
def version_told(
    version: Annotated[bool, typer.Option("--version", help="The version, and no more.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


app.command("list")(scenarios.list_scenarios)
app.command("policies")(policies.list_policies)
app.command()(scenarios.check)
app.command()(policies.simulate)
app.command()(policies.tune)
app.command()(policies.solve)
app.command(epilog=training.training_settings_told())(training.train)
app.command()(policies.compare)
app.command()(policies.stress)
app.command()(experiments.run)
app.command()(experiments.search)
app.command("report")(experiments.write_report)
app.command("leaderboard")(experiments.write_leaderboard)
app.command()(scenarios.render)
app.command()(scenarios.export)
app.command()(bench.bench)


def main() -> None:
    """Run the command; what a person got wrong is one message and exit code 2."""
    keep_memory()
    warnings.formatwarning = lambda message, *_, **__: f"marl-inv: {message}\n"
    try:
        app()
    except InputError as error:
        complain(str(error))
        sys.exit(2)
    except BrokenPipeError:  # whoever read along has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        complain(message(f"{where}{error.strerror or error}; make room there, or give another place"))
        sys.exit(1)
    except MemoryError:
        complain("there is not enough memory; give fewer replications, or a smaller scenario")
        sys.exit(1)
