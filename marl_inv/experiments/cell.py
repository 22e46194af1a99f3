"""One cell of an experiment: a scenario, a policy and a seed, computed once into a folder named by all that
its result depends on."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.chance.luck import Stream
from marl_inv.common.documents import write_yaml
from marl_inv.common.errors import InputError
from marl_inv.common.files import make_folder
from marl_inv.common.plugins import digests
from marl_inv.common.sealed import read_sealed, write_sealed
from marl_inv.common.text import file_name
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.rollout import play
from marl_inv.evaluation.evaluate import evaluate
from marl_inv.evaluation.metrics import MEASURES
from marl_inv.learning.runs import run_training
from marl_inv.learning.settings import TrainSettings
from marl_inv.models.learned import load_policy
from marl_inv.policies import policy_file, policy_named
from marl_inv.scenario import Scenario

SCORES = "scores.safetensors"


CARRIED = ("shipped", "transshipped")
"""Measures of lanes that are also told in volume, which is what capacities are of."""


SEEDS: dict[Stream, int] = {"evaluate": 0, "validate": 2**40}
"""Of the traces that cells are scored on. Training chooses its best policy on validation traces of its own
seed; those here are others."""


@dataclass(frozen=True)
class Cell:
    """One policy, trained with one seed, on one scenario."""

    scenario: str
    policy: str
    group: int
    """The entry of the experiment that the policy is a variant of."""
    seed: int
    problem: Scenario
    plan: TrainSettings | str
    """How it is trained, or the name of what is not."""
    replications: int
    elsewhere: Scenario | None = None
    """What it is trained on, if not on the scenario itself."""
    stream: Stream = "evaluate"
    """Of the traces that it is scored on."""
    allow_code: bool = False
    """Whether a run folder that it plays may name code to run."""

    @cached_property
    def content(self) -> dict[str, Any]:
        """All that the result depends on, as plain data."""
        plan = self.plan
        trained = isinstance(plan, TrainSettings)
        content = {
            "scenario": json.loads(self.problem.model_dump_json(exclude_none=True)),
            "training" if trained else "policy": json.loads(plan.model_dump_json(exclude_none=True))
            if trained
            else plan,
            "replications": self.replications,
            "version": version("marl_inv"),
        }
        if self.elsewhere is not None:
            content["trained_on"] = json.loads(self.elsewhere.model_dump_json(exclude_none=True))
        if files := self._files():
            content["files"] = {
                name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()
            }
        if trained and plan.plugged:
            content["code"] = digests(plan.plugged)
        return content if self.stream == "evaluate" else content | {"stream": self.stream}

    def _files(self) -> dict[str, Path]:
        """Whose contents the result depends on: demand's, and that of a policy that is no baseline."""
        files = [*self.problem.data_files, *(self.elsewhere.data_files if self.elsewhere else [])]
        plan = self.plan
        played = plan if isinstance(plan, str) else plan.begins_at and str(plan.begins_at)
        if played and (own := policy_file(played)):
            files.append(own)
        return {str(file): file for file in files if file.is_file()}

    @property
    def folder(self) -> str:
        return _folder(f"{self.scenario}-{self.policy}-{self.seed}", self.content)

    @property
    def trained(self) -> bool:
        return isinstance(self.plan, TrainSettings)

    @property
    def run(self) -> str:
        """The folder of its training, which cells that are trained elsewhere share."""
        if self.elsewhere is None:
            return self.folder
        return _folder(
            f"{self.policy}-{self.seed}",
            {
                key: self.content[key]
                for key in ("trained_on", "training", "version", "code")
                if key in self.content
            },
        )


def _folder(name: str, content: dict[str, Any]) -> str:
    return f"{file_name(name)}-{_digest(content)}"


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def is_computed(folder: Path) -> bool:
    with suppress(InputError):
        return bool(scores_in(folder))
    return False


def scores_in(folder: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Of a finished cell: what is said about them, and `samples`, `measure.NAME` and `Outcome.details`."""
    file, remedy = folder / SCORES, "delete it to compute it again"
    about, tensors = read_sealed(file, remedy)
    try:
        whose = _digest(json.loads(about["cell"]))
    except (KeyError, ValueError) as error:
        raise InputError(f"{file}: does not say which cell it is of; {remedy}") from error
    if not folder.name.endswith(f"-{whose}"):
        raise InputError(f"{file}: is of another cell than its folder's name says; {remedy}")
    return about, tensors


def train_cell(cell: Cell, root: Path) -> None:
    assert isinstance(cell.plan, TrainSettings)
    run_training(cell.elsewhere or cell.problem, cell.plan, root / cell.run, resume=True)


def compute(cell: Cell, root: Path) -> None:
    """Train (or tune) and score one cell, into its folder; what is there of a training run is gone on with.
    Only the cell's stream is played."""
    folder, begun = root / cell.folder, time.process_time()
    if isinstance(cell.plan, TrainSettings) and cell.elsewhere is None:
        train_cell(cell, root)
    else:
        make_folder(folder)
        write_yaml(folder / "run.yaml", cell.content)
    problem = Problem.of(cell.problem)
    if isinstance(cell.plan, TrainSettings):
        policy = load_policy(root / cell.run, problem, cell.allow_code)
    else:
        policy = policy_named(cell.plan, problem, allow_code=cell.allow_code)
    [score] = evaluate(problem, [policy], SEEDS[cell.stream], cell.replications, stream=cell.stream)
    record = score.record
    measures = {name: record.per_period(name).sum((0, 1)) for name in MEASURES}
    measures |= {"fill_rate": record.fill_rate, "transferred": record.transferred, "on_hand": record.on_hand}
    measures |= {name: record.added_up(name).sum(0) / record.weight for name in ("demand", "unmet")}
    details = {f"warehouse.{name}": record.per_period(name).sum(0).mean(-1) for name in MEASURES}
    details |= {f"lane.{name}": record.per_lane(name).sum(0).mean(-1) for name in record.lane_sums}
    volume = problem.network.volume
    details["warehouse.volume"] = (record.per_period("on_hand") * volume).sum(0).mean(-1)
    details |= {
        f"lane.{name}_volume": (record.per_lane(name) * volume).sum(0).mean(-1)
        for name in CARRIED
        if name in record.lane_sums
    }
    details |= {f"episode.{name}": values for name, values in _episode(problem, policy, cell.stream).items()}
    about = {
        "cell": json.dumps(cell.content),
        "policy": score.policy,
        "knows": score.knows,
        "revision": _revision(),
        "seconds": f"{time.process_time() - begun:.1f}",
        "units": score.units,
    }
    samples = {"samples": score.samples * score.scale} | {
        f"measure.{name}": each for name, each in measures.items()
    }
    write_sealed(folder / SCORES, samples | details, about)


def _episode(problem: Problem, policy: Policy, stream: Stream) -> dict[str, Float[Tensor, "T _"]]:
    """The first trace as the policy plays it, period by period, all products together."""
    with torch.no_grad():
        moments = list(play(problem, policy, problem.trace(stream, SEEDS[stream], range(1))))
    flows = {
        name: [getattr(moment.flows, name).sum(0)[:, 0] for moment in moments]
        for name in ("demand", "unmet", "on_hand", "shipments")
    }
    return {name: torch.stack(values).double() for name, values in flows.items()}


def _revision() -> str:
    """Of the code, where it is a git checkout."""
    with suppress(OSError):
        found = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],
            capture_output=True,
            check=False,
        )
        return found.stdout.decode().strip()
    return ""
