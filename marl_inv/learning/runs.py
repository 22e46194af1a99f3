"""A training run in a folder of its own: its settings, begun anew or gone on with."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.common.documents import Document, as_settings, override, read_yaml, write_yaml
from marl_inv.common.errors import InputError, suggestion
from marl_inv.common.files import LOCK, locked, make_folder
from marl_inv.common.machine import check_device
from marl_inv.common.plugins import check_allowed, imported, is_own
from marl_inv.common.progress import Progress, Say, say_nothing, silently
from marl_inv.common.records import validate
from marl_inv.common.text import file_name
from marl_inv.episodes.problem import AnyScenario, as_problem
from marl_inv.learning.settings import PLUGGED, TrainSettings, is_run
from marl_inv.models.learned import POLICY, model_of
from marl_inv.scenario import Scenario

COMMAND_LINE = "command line"
"""Where a person names things, or a Python call in a person's stead."""


def split_settings(settings: Iterable[str]) -> tuple[list[str], list[str]]:
    """`key.path=value` settings of the scenario and those of training, told apart by their first key."""
    settings = as_settings(settings)
    of_scenario: list[str] = []
    of_training: list[str] = []
    for setting in settings:
        key = setting.partition("=")[0].partition(".")[0]
        if key in Scenario.model_fields:
            of_scenario.append(setting)
        elif key in TrainSettings.model_fields:
            of_training.append(setting)
        else:
            known = [*Scenario.model_fields, *TrainSettings.model_fields]
            raise InputError(f"command line: {key} is not a known key{suggestion(key, known)}")
    return of_scenario, of_training


def training_settings(
    settings: Iterable[str] = (),
    file: Path | None = None,
    source: str = COMMAND_LINE,
    allow_code: bool = False,
    **options: Any,
) -> TrainSettings:
    """Training settings from a YAML file, then options that are not None, which come from `source`, then
    `key=value` settings; later ones win.

    Code of one's own that they name is imported; what is not named at the command line, or by whoever calls
    this, only if `allow_code`.
    """
    document = Document("training settings", {}) if file is None else read_yaml(file)
    for key, value in options.items():
        if value is not None:
            document.data[key] = value
            document.places[(key,)] = source
    override(document, settings)
    if is_run(start := document.data.get("start")):
        document.data = model_of(start).model_dump(exclude_none=True) | document.data
    for key in PLUGGED:
        if isinstance(name := document.data.get(key), str) and is_own(name):
            check_allowed(
                name, f"{document.place((key,))}: {key}", allow_code or document.place((key,)) == COMMAND_LINE
            )
            imported(name)
    chosen = validate(TrainSettings, document)
    if chosen.model == "graph" and chosen.hidden % 4:
        raise InputError(
            f"{document.place(('hidden',))}: hidden is {chosen.hidden}; give a graph network a multiple of 4"
        )
    check_device(chosen.device, f"{document.place(('device',))}: device")
    return chosen


def run_training(
    scenario: AnyScenario,
    settings: TrainSettings,
    folder: Path | None = None,
    progress: Progress = silently,
    resume: bool = False,
    say: Say = say_nothing,
    baseline: OrderUpTo | None = None,
) -> tuple[Path, Any]:
    """Train in a run folder: `run.yaml` (everything resolved), TensorBoard events, a checkpoint after every
    validation, and the best policy as `policy.safetensors`.

    Returns the folder and what `learning.train.train` returns. The folder must not exist or be empty. With
    `resume`, a run that was stopped there at any moment goes on, to the same policy; one that had no
    checkpoint yet begins anew, and of one that has finished nothing is done again. With more `decisions` than
    it had, a run goes on for longer, validated as often as before; with a constant learning rate (and not by
    Q-learning, whose exploring ends with the first half of the run that it began as) to the policy of a run
    that was as long from the beginning. `baseline` is tuned order-up-to, where it is known.
    """
    from marl_inv.learning.checkpoint import CHECKPOINT, check_same_run, run_of, versions
    from marl_inv.learning.train import train  # Tianshou takes seconds to import; only training pays for it

    if resume and folder is None:
        raise InputError("command line: --resume is given without the folder of the run; add --out")
    problem = as_problem(scenario, device=settings.device)
    scenario = problem.scenario
    folder = folder or run_folder(scenario, settings, Path("runs"))
    begun, made, checkpoint = folder / "run.yaml", not folder.exists(), folder / CHECKPOINT
    anew = not (resume and begun.exists())
    if resume and begun.exists():
        before = read_yaml(begun)
        settings = _as_often(settings, before.data.get("training"))
        run = run_of(scenario, settings)
        check_same_run(before, run)
        if (folder / POLICY).exists() and not checkpoint.exists():
            raise InputError(
                f"{folder}: holds a policy and no checkpoint to go on from; play it with `marl-inv "
                "compare`, or give another --out"
            )
    elif any(file.suffix != ".tmp" and file.name != LOCK for file in folder.glob("*")):
        found = "is not empty, and holds no run" if resume else "is not empty"
        raise InputError(
            f"{folder}: {found}; give another --out{', or --resume to go on' if begun.exists() else ''}"
        )
    make_folder(folder)
    try:
        with locked(folder):
            if anew:
                write_yaml(begun, run_of(scenario, settings) | {"versions": versions()})
            trained = train(problem, settings, folder, progress, baseline, resume, say)
            if run_of(scenario, settings)["training"] != read_yaml(begun).data["training"]:
                write_yaml(begun, run_of(scenario, settings) | {"versions": versions()})
    except BaseException:
        if anew and not checkpoint.exists():  # nothing to go on from, and in the way of the next try
            _clear(folder, made)
        raise
    return folder, trained


def run_folder(scenario: Scenario, settings: TrainSettings, runs: Path) -> Path:
    """A new folder in `runs`, named by what is trained and when."""
    told = f"{settings.algorithm}-{settings.seed}-{datetime.now():%Y%m%d-%H%M%S}"
    folder = runs / f"{file_name(scenario.name)}-{file_name(told)}"
    numbers = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    return next(place for place in chain([folder], numbers) if not place.exists())


def _clear(folder: Path, made: bool) -> None:
    """Take away what a training that failed has written; the folder too if it was `made` for it."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    if made:
        folder.rmdir()


def _as_often(settings: TrainSettings, before: Any) -> TrainSettings:
    """Of a run that goes on for longer than it was `before`: validated as often, if nothing else is said."""
    before = before if isinstance(before, dict) else {}
    length, often = before.get("decisions"), before.get("validations")
    if not isinstance(length, int) or often != settings.validations or not 0 < length < settings.decisions:
        return settings
    return settings.model_copy(update={"validations": round(often * settings.decisions / length)})
