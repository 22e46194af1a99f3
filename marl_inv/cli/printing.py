"""What commands say, and how far they are: in a terminal, or line by line where there is none."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from marl_inv.common.files import as_csv, write_whole
from marl_inv.common.printed import WIDE, PlainConsole
from marl_inv.common.text import visible

console = PlainConsole(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE)


def say(line: str) -> None:
    console.print(line, soft_wrap=True)


def complain(line: str) -> None:
    """What went wrong, where errors go."""
    PlainConsole(stderr=True, soft_wrap=True).print(f"marl-inv: {line}", style="red")


def say_notes(problem: Any) -> None:
    for note in problem.demand.notes:
        console.print(note)


def say_written(*files: Path | None) -> None:
    for file in files:
        if file is not None:
            say(f"wrote {file}")


def write_rows(rows: Sequence[Mapping[str, Any]], csv_file: Path | None, json_file: Path | None) -> None:
    """Rows of a result where they were asked for."""
    if csv_file is not None:
        write_whole(csv_file, as_csv(rows), PLACE)
    if json_file is not None:
        write_whole(json_file, json.dumps(rows, indent=1) + "\n", PLACE)
    say_written(csv_file, json_file)


PLACE = "make room, or give another file"


def progress_bar(loop: Iterable[Any], title: str) -> Iterator[Any]:
    """A bar on the terminal, if it is one, with the time left where the length is known, which goes when the
    loop ends; elsewhere a line once in a while, so that a batch job's log shows where it is."""
    terminal = PlainConsole(stderr=True)
    if not terminal.is_interactive:
        yield from _told_at_times(loop, title, terminal)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=terminal, transient=True) as bars:
        yield from bars.track(loop, description=visible(title))


TOLD_EVERY = 60.0
"""Seconds between lines about progress, where there is no terminal."""


def _told_at_times(loop: Iterable[Any], title: str, where: PlainConsole) -> Iterator[Any]:
    length, told = len(loop) if isinstance(loop, Sized) else 0, time.monotonic()
    for done, each in enumerate(loop):
        if time.monotonic() - told > TOLD_EVERY:
            where.print(f"{title}: {done}{f' of {length}' * bool(length)}")
            told = time.monotonic()
        yield each
