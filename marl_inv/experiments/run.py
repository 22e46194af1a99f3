"""Experiments: a grid of scenarios x policies x training seeds from one YAML file, every cell of it in a
folder of its own.

A cell's folder is named by what it is and by a hash of all that its result depends on. So a cell is computed
once, in whatever grid it stands and however often the grid is stopped, and a training run that was stopped in
the middle goes on from its checkpoint.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from marl_inv.common.errors import InputError
from marl_inv.common.files import is_there, locked, make_folder, write_whole
from marl_inv.common.progress import Progress, Say, say_nothing, silently
from marl_inv.common.sealed import seal_text
from marl_inv.evaluation.tables import markdown
from marl_inv.experiments.cell import Cell, compute, is_computed, train_cell
from marl_inv.experiments.engines import Engine, engine_named
from marl_inv.experiments.experiment import Experiment, read_experiment
from marl_inv.experiments.results import LISTING, Listed, Results, gathered, grid_tables
from marl_inv.models.learned import POLICY

ATTEMPTS = 3
"""Times that workers may be lost without a cell being finished in between."""


ARRIVAL = 90.0
"""Seconds in which a cell is to be seen that another machine wrote: network file systems look at a folder
again once a minute."""


def run(
    experiment: str | Path,
    out: str | Path | None = None,
    workers: int = 1,
    progress: Progress = silently,
    say: Say = say_nothing,
    engine: str = "processes",
    address: str | None = None,
    allow_code: bool = False,
) -> Results:
    """Compute all cells that are not there yet, so many at a time, and gather the results.

    Every cell lies in `out` (runs/NAME by default) with its configuration, checkpoint, TensorBoard log, and
    metrics per trace; beside them the tables, as table.md. The same call again goes on where the last one was
    stopped, by whatever; a worker that is lost is replaced. Results do not depend on `workers` or on the
    engine, `processes` or `ray`; `address` is of a Ray cluster, whose nodes all see `out` at the same path. A
    script calls it under `if __name__ == "__main__":`, since worker processes import the script. Code that
    the file names is run only if `allow_code`.
    """
    chosen, grid = read_experiment(experiment, allow_code)
    with closing(engine_named(engine, workers, address)) as team, locked_folder(experiment, out) as folder:
        missing = unfinished(grid, folder)
        _write_listing(folder, chosen, grid)
        if len(missing) < len(grid):
            say(f"{folder}: {len(grid) - len(missing)} of {len(grid)} cells are there already")
        compute_all(missing, folder, team, progress, say)
        results = Results(chosen, folder, list(gathered(grid, folder)))
        _write_anew(folder / "table.md", "\n\n".join(map(markdown, grid_tables(results))) + "\n")
    return results


def _write_listing(folder: Path, experiment: Experiment, grid: list[Cell]) -> None:
    """All that reading the results takes, so that neither the experiment's file nor its scenarios' need to
    stay where they were."""
    scenarios = {
        cell.scenario: _with_data_found(json.loads(cell.problem.model_dump_json(exclude_none=True)))
        for cell in grid
    }
    keys = [field.name for field in fields(Listed) if field.name != "problem"]
    cells = [{key: getattr(cell, key) for key in keys} for cell in grid]
    listing = {
        "experiment": json.loads(experiment.model_dump_json(exclude_none=True)),
        "scenarios": scenarios,
        "cells": cells,
    }
    _write_anew(folder / LISTING, seal_text(json.dumps(listing, indent=1)))


def _write_anew(file: Path, text: str) -> None:
    """Unless it says just that already."""
    if not file.is_file() or file.read_bytes() != text.encode():
        write_whole(file, text)


def _with_data_found(data: Any) -> Any:
    """A scenario's plain data with the paths of its demand files made absolute."""
    if isinstance(data, list):
        return [_with_data_found(each) for each in data]
    if not isinstance(data, dict):
        return data
    file = data.get("path")
    found = {"path": str(Path(file).resolve())} if isinstance(file, str) and is_there(file) else {}
    return {key: _with_data_found(value) for key, value in data.items()} | found


@contextmanager
def locked_folder(experiment: str | Path, out: str | Path | None) -> Iterator[Path]:
    """The folder of an experiment's cells, where nobody else computes, as far as the system can tell."""
    path = Path(experiment)
    folder = (
        Path(out)
        if out is not None
        else Path("runs") / (path.parent.name if path.stem == "experiment" else path.stem)
    )
    make_folder(folder)
    with locked(folder):
        yield folder


def unfinished(grid: list[Cell], folder: Path) -> list[Cell]:
    """The cells that are still to compute, each once."""
    return list({cell.folder: cell for cell in grid if not is_computed(folder / cell.folder)}.values())


def compute_all(
    missing: list[Cell], folder: Path, engine: Engine, progress: Progress = silently, say: Say = say_nothing
) -> None:
    """Those cells, and before them the training that several of them share."""
    elsewhere = {
        cell.run: cell
        for cell in missing
        if cell.elsewhere is not None and not (folder / cell.run / POLICY).exists()
    }
    _compute(
        train_cell,
        lambda cell: (folder / cell.run / POLICY).exists(),
        list(elsewhere.values()),
        folder,
        engine,
        progress,
        say,
    )
    _compute(compute, lambda cell: is_computed(folder / cell.folder), missing, folder, engine, progress, say)


def _compute(
    task: Callable[[Cell, Path], None],
    done: Callable[[Cell], bool],
    missing: list[Cell],
    folder: Path,
    engine: Engine,
    progress: Progress,
    say: Say,
) -> None:
    """Every cell, begun again where its worker was lost."""
    finished, losses = iter(progress(range(len(missing)), "cells")), 0
    while missing:
        lost = []
        for cell, ended in engine.each(partial(_in_folder, task, folder.resolve()), missing):
            if not ended:
                lost.append(cell)
                continue
            _check_arrival(cell, done, folder)
            next(finished)
        losses = losses + 1 if len(lost) == len(missing) else 1
        missing = lost
        if missing and losses == ATTEMPTS:
            raise InputError(
                f"{folder}: workers were lost {ATTEMPTS} times, perhaps for want of memory: give fewer "
                "--workers; or because a script runs an "
                "experiment where it is imported, as workers do: put the call under `if __name__ == "
                '"__main__":`'
            )
        if missing:
            say(
                f"{folder}: a worker was lost; {len(missing)} cells are begun again, or go on from their "
                "checkpoints"
            )
    next(finished, None)


def _in_folder(task: Callable[[Cell, Path], None], folder: Path, cell: Cell) -> None:
    if not folder.is_dir():
        raise InputError(
            f"{folder}: is not there on {platform.node()}, which is to compute cells; give an --out that "
            "all machines share"
        )
    task(cell, folder)


def _check_arrival(cell: Cell, done: Callable[[Cell], bool], folder: Path) -> None:
    """What a worker wrote can be seen here: at once, or soon where a network carries it."""
    deadline = time.monotonic() + ARRIVAL
    while not done(cell):
        if time.monotonic() > deadline:
            raise InputError(
                f"{folder}: {cell.folder} was computed, and is not to be seen here; give an --out that all "
                "machines share"
            )
        time.sleep(1)
