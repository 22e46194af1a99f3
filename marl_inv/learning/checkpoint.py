"""A training run on disk: from its checkpoint it goes on, bit for bit on a CPU, as if it had never stopped.

A checkpoint is a tree, to which every part of the run adds what it cannot derive: dicts and lists of numbers,
text and tensors. Tensors lie in a sealed file under their path in the tree and the rest beside them as JSON,
so that reading one runs nothing.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tianshou.algorithm.algorithm_base import Algorithm
from tianshou.trainer import Trainer
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from marl_inv.common.documents import Document, KeyPath
from marl_inv.common.errors import InputError, shown
from marl_inv.common.plugins import digests
from marl_inv.common.progress import Say
from marl_inv.common.sealed import read_sealed, write_sealed
from marl_inv.learning.event_files import BASELINE_EVENTS as BASELINE_EVENTS
from marl_inv.learning.event_files import BOUND_EVENTS as BOUND_EVENTS
from marl_inv.learning.event_files import CHECKPOINT
from marl_inv.learning.settings import TrainSettings
from marl_inv.models.learned import POLICY
from marl_inv.scenario import Scenario

Nested = dict[str, Any]


def versions() -> dict[str, str]:
    """Of what a run's result depends on."""
    return {
        package: version(package) for package in ("marl_inv", "torch", "tianshou", "torch-geometric", "numpy")
    }


def run_of(scenario: Scenario, settings: TrainSettings) -> Nested:
    """What makes a run what it is, everything resolved, as plain data; of code of one's own its name, and its
    file's SHA-256."""
    run = {
        "scenario": json.loads(scenario.model_dump_json(exclude_none=True)),
        "training": json.loads(settings.model_dump_json(exclude_none=True)),
    }
    if settings.begins_at is not None:
        run["begins_at"] = _digest(settings.begins_at)
    return run | ({"code": digests(settings.plugged)} if settings.plugged else {})


def _digest(run: Path) -> str:
    """Of the policy that a run ended with."""
    file = run / POLICY if run.is_dir() else run
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "not there"


LENGTH = (("training", "decisions"), ("training", "validations"))
"""What may grow when a run goes on."""


def check_same_run(document: Document, run: Nested) -> None:
    """Raises InputError, naming the first key that differs, unless the document is of this run, or of one
    that was shorter."""
    differences = list(_differences({key: document.data.get(key) for key in run}, run))
    changed = [path for path, *_ in differences]
    for path, before, now in differences:
        if LENGTH[0] in changed and path in LENGTH and isinstance(before, int) and before < now:
            continue
        key = ".".join(map(str, path))
        raise InputError(
            f"{document.place(path)}: {key} was {_given(before)} and is now {_given(now)}; go on with what "
            "the run began with, or give another --out"
        )


def _differences(before: Any, now: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(key), now.get(key), (*path, key))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, pair in enumerate(zip(before, now, strict=True)):
            yield from _differences(*pair, (*path, index))
    elif before != now:
        yield path, before, now


def _given(value: Any) -> str:
    return "not given" if value is None else shown(value)


def write_checkpoint(folder: Path, run: Nested, state: Nested) -> None:
    tensors: dict[str, Tensor] = {}
    rest = _without_tensors(state, "", tensors)
    write_sealed(
        folder / CHECKPOINT,
        tensors,
        {"run": json.dumps(run), "versions": json.dumps(versions()), "state": json.dumps(rest)},
    )


def read_checkpoint(folder: Path, run: Nested, say: Say) -> Nested | None:
    """The state that was written last; None where there is none yet. What has another version by now is said.

    Raises InputError for a file that is damaged, that is no checkpoint, or that is of another run.
    """
    file = folder / CHECKPOINT
    if not file.exists():
        return None
    remedy = "delete it to train from the beginning, or give another --out"
    about, tensors = read_sealed(file, remedy)
    try:
        of_run, before, rest = (json.loads(about[name]) for name in ("run", "versions", "state"))
        state = _with_tensors(rest, tensors)
    except (KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: is no checkpoint; {remedy}") from error
    check_same_run(Document(str(file), of_run), run)
    for package, now in versions().items():
        if before.get(package) != now:
            say(
                f"{file}: was written with {package} {before.get(package)}, and this is {now}; results may "
                "differ from those of an unbroken run"
            )
    return state


def _without_tensors(tree: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """The tree with None in place of tensors, which are collected under their path."""
    if isinstance(tree, Tensor):
        tensors[path] = tree
        return None
    if isinstance(tree, Mapping):
        return {str(key): _without_tensors(value, f"{path}/{key}", tensors) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_without_tensors(value, f"{path}/{index}", tensors) for index, value in enumerate(tree)]
    return tree


def _with_tensors(tree: Any, tensors: dict[str, Tensor]) -> Any:
    for path, tensor in tensors.items():
        inside, (*outer, last) = tree, path.split("/")[1:]
        for key in outer:
            inside = inside[int(key) if isinstance(inside, list) else key]
        inside[int(last) if isinstance(inside, list) else last] = tensor
    return tree


def record(data: Any) -> Nested:
    """A dataclass as its fields, not copied; `from_fields` makes it again."""
    return {field.name: getattr(data, field.name) for field in fields(data)}


def from_fields(kind: type[Any], state: Nested, device: torch.device) -> Any:
    return kind(**{name: _moved(value, device) for name, value in state.items()})


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return tuple(_moved(each, device) for each in value)
    return value.to(device) if isinstance(value, Tensor) else value


def numbers(part: Any) -> Nested:
    """The plain attributes of a part: its counters and flags, among settings that are the same anyway.
    `vars(part).update` restores them."""
    return {name: value for name, value in vars(part).items() if isinstance(value, bool | int | float)}


def trainer_state(trainer: Trainer) -> Nested:
    """Epoch, steps, the best score so far, whether to stop, and the averages that TensorBoard shows."""
    averages = {name: [float(value) for value in average.cache] for name, average in trainer._stat.items()}
    return {"numbers": numbers(trainer), "averages": averages, "seconds": time.time() - trainer._start_time}


def restore_trainer(trainer: Trainer, state: Nested) -> None:
    """In place of `trainer.reset`, which would validate and call whatever comes out the best so far."""
    vars(trainer).update(state["numbers"])
    trainer._start_time = time.time() - state["seconds"]
    for name, values in state["averages"].items():
        trainer._stat[name].cache = values


def algorithm_state(algorithm: Algorithm) -> Nested:
    """All modules, networks of the past among them, with their buffers; optimizers, which Tianshou files
    under the modules; schedules and counters, which it leaves out."""
    modules = algorithm.state_dict()
    return {
        "optimizers": modules.pop(Algorithm._STATE_DICT_KEY_OPTIMIZERS),
        "modules": modules,
        "schedules": [schedule.state_dict() for schedule in algorithm.lr_schedulers],
        "numbers": numbers(algorithm),
        "policy": numbers(algorithm.policy),
    }


def restore_algorithm(algorithm: Algorithm, state: Nested) -> None:
    optimizers = [
        each | {"state": {int(number): held for number, held in each["state"].items()}}
        for each in state["optimizers"]
    ]
    algorithm.load_state_dict(state["modules"] | {Algorithm._STATE_DICT_KEY_OPTIMIZERS: optimizers})
    for schedule, its_state in zip(algorithm.lr_schedulers, state["schedules"], strict=True):
        schedule.load_state_dict(its_state)
    vars(algorithm).update(state["numbers"])
    vars(algorithm.policy).update(state["policy"])


def realign(algorithm: Algorithm) -> tuple[float, float] | None:
    """Have learning rates be what their schedules say, which those of a longer run say otherwise. Returns the
    first one that was changed, and to what."""
    changed = None
    for schedule in algorithm.lr_schedulers:
        assert isinstance(schedule, LambdaLR)
        groups = zip(schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True)
        for group, rate, left in groups:
            before, group["lr"] = group["lr"], rate * left(schedule.last_epoch)
            if group["lr"] != before:
                changed = changed or (float(before), float(group["lr"]))
    return changed


def chance_state(generator: torch.Generator) -> Nested:
    """Of the run's own generator, and of those that torch and numpy share among everybody."""
    shared = np.random.get_state(legacy=False)  # noqa: NPY002 (what Tianshou draws from)
    words = torch.from_numpy(shared["state"]["key"].astype(np.int64))
    state = {
        "run": generator.get_state(),
        "torch": torch.get_rng_state(),
        "numpy": shared | {"state": shared["state"] | {"key": words}},
    }
    if generator.device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(generator.device)
    return state


def restore_chance(generator: torch.Generator, state: Nested) -> None:
    generator.set_state(state["run"])
    torch.set_rng_state(state["torch"])
    shared = state["numpy"]
    words = shared["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state(shared | {"state": shared["state"] | {"key": words}})  # noqa: NPY002
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], generator.device)
