"""What a person asks for in one command: a training run in a folder of its own, and a comparison of policies on a scenario."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from marl_inv.baselines import BASELINES
from marl_inv.baselines.order_up_to import tune
from marl_inv.evaluate import Score, evaluate
from marl_inv.learning.settings import TrainSettings
from marl_inv.models.learned import load_policy
from marl_inv.policy import Policy
from marl_inv.problem import Problem
from marl_inv.progress import Progress, silently
from marl_inv.reading import Document, InputError, override, read_yaml, suggestion, validate, write_yaml
from marl_inv.scenario import Scenario, load_scenario

COMPARE_DECISIONS = 2_000_000
"""Length of the training that `compare` does by itself: about a minute on one core."""


@dataclass(frozen=True)
class Comparison:
    problem: Problem
    scores: list[Score]
    reference: Score
    """Tuned order-up-to, to which the others are compared."""


def split_settings(settings: Iterable[str]) -> tuple[list[str], list[str]]:
    """`key.path=value` settings of the scenario and those of training, told apart by their first key."""
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


def training_settings(settings: Iterable[str] = (), file: Path | None = None, **options: Any) -> TrainSettings:
    """Training settings from a YAML file, then options that are not None, then `key=value` settings; later ones win."""
    document = Document("training settings", {}) if file is None else read_yaml(file)
    for key, value in options.items():
        if value is not None:
            document.data[key] = value
            document.places[(key,)] = "command line"
    override(document, settings)
    chosen = validate(TrainSettings, document)
    if chosen.model == "graph" and chosen.hidden % 4:
        raise InputError(f"{document.place(('hidden',))}: hidden is {chosen.hidden}; give a graph network a multiple of 4")
    try:
        if not chosen.device.startswith(("cpu", "cuda")):
            raise RuntimeError("neither cpu nor cuda")
        torch.empty(0, device=chosen.device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"{document.place(('device',))}: device is {chosen.device!r}; torch finds no such device here, use cpu") from error
    return chosen


def run_training(
    scenario: Scenario, settings: TrainSettings, folder: Path | None = None, progress: Progress = silently
) -> tuple[Path, Any]:
    """Train in a run folder: `run.yaml` (everything resolved), TensorBoard events, and the best policy as `policy.safetensors`.

    Returns the folder and what `learning.train.train` returns. The folder must not exist or be empty.
    """
    from marl_inv.learning.train import train  # Tianshou takes seconds to import; only training pays for it

    folder = folder or Path("runs") / f"{scenario.name}-{settings.algorithm}-{settings.seed}-{datetime.now():%Y%m%d-%H%M%S}"
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty; give another --out")
    folder.mkdir(parents=True, exist_ok=True)
    versions = {package: version(package) for package in ("marl_inv", "torch", "tianshou", "torch-geometric", "numpy")}
    resolved = {
        "scenario": scenario.model_dump(exclude_none=True),
        "training": settings.model_dump(exclude_none=True),
        "versions": versions,
    }
    write_yaml(folder / "run.yaml", resolved)
    problem = Problem.of(scenario, settings.device)
    trained = train(problem, settings, log_folder=folder, progress=progress)
    trained.policy.save(folder, settings)
    return folder, trained


def policy_named(name: str, problem: Problem, seed: int = 0, progress: Progress = silently) -> Policy:
    """A baseline by name (`tuned_order_up_to` is tuned first), or the policy of a run folder or checkpoint file."""
    if name == "tuned_order_up_to":
        return tune(problem, seed, progress=progress)
    if name in BASELINES:
        return BASELINES[name].of(problem)
    if Path(name).exists():
        return load_policy(name, problem)
    raise InputError(f"{name}: is no policy{suggestion(name, [*BASELINES, 'tuned_order_up_to'])}; or give a run folder")


def compare(
    scenario: str | Path | Problem,
    runs: Sequence[str | Path] = (),
    settings: Iterable[str] = (),
    train_one: bool = True,
    seed: int = 0,
    replications: int = 512,
    progress: Progress = silently,
) -> Comparison:
    """Random, order-up-to, tuned order-up-to, and trained policies on the same evaluation traces.

    `runs` are folders of training runs to play; without any, and unless `train_one` is false, a policy is trained first, for about a
    minute unless the settings say otherwise. Tuning and training never see evaluation traces.
    """
    of_scenario, of_training = split_settings(settings)
    chosen = training_settings([f"decisions={COMPARE_DECISIONS}", *of_training], seed=seed)
    seed = chosen.seed
    torch.set_num_threads(chosen.threads)
    if isinstance(scenario, Problem) and of_scenario:
        raise InputError("settings: change a scenario as it is read, and this is a Problem; give them to load_problem")
    problem = scenario if isinstance(scenario, Problem) else Problem.of(load_scenario(scenario, of_scenario), chosen.device)
    trained = [load_policy(run, problem) for run in runs]
    tuned = tune(problem, seed, progress=progress)
    policies: list[Policy] = [BASELINES[name].of(problem) for name in BASELINES]
    policies += [tuned, *trained]
    if train_one and not runs:
        from marl_inv.learning.train import train

        policies.append(train(problem, chosen, progress=progress, baseline=tuned).policy)
    scores = evaluate(problem, policies, seed, replications, progress)
    return Comparison(problem, scores, scores[len(BASELINES)])
