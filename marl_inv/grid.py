"""Experiments: a grid of scenarios x policies x training seeds from one YAML file, every cell of it in a folder of its own.

A cell's folder is named by what it is and by a hash of all that its result depends on. So a cell is computed once, in whatever grid it
stands and however often the grid is stopped, and a training run that was stopped in the middle goes on from its checkpoint.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import platform
import re
import subprocess
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch
from jaxtyping import Float
from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, model_validator
from rich.table import Table
from torch import Tensor

from marl_inv.chance.luck import Stream
from marl_inv.common.documents import Document, read_yaml, write_yaml
from marl_inv.common.errors import InputError
from marl_inv.common.files import make_folder, write_whole
from marl_inv.common.plugins import check_allowed, digests
from marl_inv.common.printed import Printed
from marl_inv.common.progress import Progress, Say, say_nothing, silently
from marl_inv.common.records import Record, validate
from marl_inv.common.sealed import read_sealed, write_sealed
from marl_inv.engines import Engine, engine_named
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.rollout import play
from marl_inv.evaluation.evaluate import evaluate, measured
from marl_inv.evaluation.metrics import MEASURES, MONEY
from marl_inv.evaluation.statistics import Interval, Spread, holm
from marl_inv.evaluation.tables import headed_table, markdown, plus_minus, quantity
from marl_inv.experiments.comparison import REFERENCE
from marl_inv.learning.runs import run_training, training_settings
from marl_inv.learning.settings import TrainSettings
from marl_inv.models.learned import POLICY, load_policy
from marl_inv.policies import check_policy_name, policy_file, policy_named
from marl_inv.scenario import Scenario, load_scenario

SCORES = "scores.safetensors"

LISTING = "grid.json"
"""What cells there are, and of what."""

DETAILS = ("warehouse", "lane", "episode")

CARRIED = ("shipped", "transshipped")
"""Measures of lanes that are also told in volume, which is what capacities are of."""

ATTEMPTS = 3
"""Times that workers may be lost without a cell being finished in between."""

SEEDS: dict[Stream, int] = {"evaluate": 0, "validate": 2**40}
"""Of the traces that cells are scored on. Training chooses its best policy on validation traces of its own seed; those here are others."""

ARRIVAL = 90.0
"""Seconds in which a cell is to be seen that another machine wrote: network file systems look at a folder again once a minute."""


def _alone(key: str) -> BeforeValidator:
    """A name by itself stands for an entry that says nothing else."""
    return BeforeValidator(lambda entry: {key: entry} if isinstance(entry, str) else entry)


class Varied(Record):
    name: str | None = None
    """What tables call it."""
    settings: dict[str, Any] = {}
    """What is changed, as key.path: value."""
    vary: dict[str, list[Any]] = {}
    """Lists of values, of which every combination is an entry."""
    one_at_a_time: dict[str, list[Any]] = {}
    """Lists of values, of which each by itself is an entry, beside the one without any: an ablation."""

    @property
    @abstractmethod
    def subject(self) -> str:
        """What is varied."""

    def variants(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The entries' labels and settings."""
        for values in itertools.product(*self.vary.values()):
            chosen = dict(zip(self.vary, values, strict=True))
            alternatives = [{key: value} for key, alternatives in self.one_at_a_time.items() for value in alternatives]
            for one in [{}, *alternatives]:
                told = [f"{key}={json.dumps(value).strip(chr(34))}" for key, value in (chosen | one).items()]
                yield " ".join([self.name or self.subject, *told]), self.settings | chosen | one


class ScenarioEntry(Varied):
    scenario: str
    """A bare name or the path of a YAML file."""

    @property
    def subject(self) -> str:
        return Path(self.scenario).stem

    def variants_of(self, document: Document, path: tuple[str | int, ...]) -> Iterator[tuple[str, Scenario]]:
        """The scenarios, of files beside the document's own or as `load_scenario` finds them."""
        beside = Path(document.name).parent / self.scenario
        file = beside if Path(self.scenario).suffix and beside.exists() else self.scenario
        for label, settings in self.variants():
            with error_at(document, path, label):
                yield label, load_scenario(file, [f"{key}={json.dumps(value)}" for key, value in settings.items()])


class Range(Record):
    low: int | float
    """The least to try."""
    high: int | float
    """Between whole numbers, whole numbers."""
    log: bool = False
    """Whether orders of magnitude count, and not differences."""

    @model_validator(mode="after")
    def _from_low_to_high(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"has low {self.low} and high {self.high}; give a high that is above low")
        if self.log and self.low <= 0:
            raise ValueError(f"has low {self.low} and log: true; give a low above 0, or leave log out")
        return self


class PolicyEntry(Varied):
    policy: str | None = None
    """As `marl-inv compare` names them: a baseline, tuned_ before it to tune it first, optimal, rolling_lp, module:Class."""
    algorithm: str | None = None
    """To train, with `settings` of training; module:build too."""
    train_on: Annotated[ScenarioEntry, _alone("scenario")] | None = None
    """Another scenario to train on than those that are played."""
    search: dict[str, Annotated[list[Any], Field(min_length=1)] | Range] = {}
    """What `marl-inv search` tries instead of `settings`: of a setting of training a list of values, or a range, {low: 1e-4, high: 1e-2, log:
    true}. `marl-inv run` trains as `settings` say."""

    @property
    def subject(self) -> str:
        return self.policy or self.algorithm or ""

    @model_validator(mode="after")
    def _one_of_both(self) -> PolicyEntry:
        if (self.policy is None) == (self.algorithm is None):
            raise ValueError("names neither or both of policy and algorithm; give one: {algorithm: mappo}")
        if self.policy is not None and (self.settings or self.vary or self.one_at_a_time or self.train_on or self.search):
            raise ValueError(f"has settings for the policy {self.policy}; only what is trained has any, by `algorithm`")
        if self.search and (self.vary or self.one_at_a_time):
            raise ValueError("is searched and varied at once; give it an entry for each, with a name")
        given = {*self.search, *self.settings, *self.vary, *self.one_at_a_time} if self.algorithm else set()
        if "seed" in given:
            raise ValueError("sets seed; give the experiment's `seeds`, which all that is trained has")
        if "algorithm" in given:
            raise ValueError("sets algorithm in its settings; give an entry for each algorithm")
        if self.train_on is not None and len(list(self.train_on.variants())) > 1:
            raise ValueError("trains on more than one scenario; give an entry for each, with a name")
        return self


class Experiment(Record):
    description: str = ""
    """What the report says of it."""
    scenarios: list[Annotated[ScenarioEntry, _alone("scenario")]] = Field(min_length=1)
    """What is played: bare names, paths, or records."""
    policies: list[Annotated[PolicyEntry, _alone("policy")]] = Field(min_length=1)
    """Who plays: names of policies, or records."""
    seeds: PositiveInt | Annotated[list[NonNegativeInt], Field(min_length=1)] = 3
    """Of training: how many (0, 1, ..), or which. What is not trained has one."""
    replications: int = Field(512, ge=2)
    """Evaluation traces, the same for everybody."""
    reference: str = REFERENCE
    """The policy that the others are compared with, by its label; added if it is missing."""

    @model_validator(mode="after")
    def _each_seed_once(self) -> Experiment:
        if isinstance(self.seeds, list) and (twice := [seed for seed in self.seeds if self.seeds.count(seed) > 1]):
            raise ValueError(f"seeds has {twice[0]} twice; the same seed trains the same policy, so leave one out")
        return self

    @property
    def training_seeds(self) -> list[int]:
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


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
        trained = isinstance(self.plan, TrainSettings)
        content = {
            "scenario": json.loads(self.problem.model_dump_json(exclude_none=True)),
            "training" if trained else "policy": json.loads(self.plan.model_dump_json(exclude_none=True)) if trained else self.plan,
            "replications": self.replications,
            "version": version("marl_inv"),
        }
        if self.elsewhere is not None:
            content["trained_on"] = json.loads(self.elsewhere.model_dump_json(exclude_none=True))
        if files := self._files():
            content["files"] = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
        if trained and self.plan.plugged:
            content["code"] = digests(self.plan.plugged)
        return content if self.stream == "evaluate" else content | {"stream": self.stream}

    def _files(self) -> dict[str, Path]:
        """Whose contents the result depends on: demand's, and that of a policy that is no baseline."""
        files = [*self.problem.data_files, *(self.elsewhere.data_files if self.elsewhere else [])]
        if isinstance(self.plan, str) and (own := policy_file(self.plan)):
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
            {key: self.content[key] for key in ("trained_on", "training", "version", "code") if key in self.content},
        )


def _folder(name: str, content: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    plain = re.sub(r"[^\w.=+-]+", "_", name)
    return f"{plain[:80]}-{digest[:12]}"


@dataclass(frozen=True)
class Outcome:
    """How one policy did on one scenario, over its seeds."""

    scenario: str
    policy: str
    group: int
    problem: Scenario
    trained: bool
    samples: Float[Tensor, "S R"]
    """Reward per period, of every seed and evaluation trace; of the one trace that a data file has, of every product."""
    measures: dict[str, Float[Tensor, " S"]]
    """Means over the traces."""
    details: dict[str, Float[Tensor, "S ..."]]
    """Of every seed: `warehouse.NAME` (S, N) and `lane.NAME` (S, E), per period, and `episode.NAME` (S, T, N or E), the first trace as it
    was played; all products together. `warehouse.volume` is of the stock on hand."""
    seconds: list[float]
    """That each seed took, training or tuning and evaluation."""
    seeds: list[int]
    runs: list[Path]
    """The folders of the trainings on this very scenario."""
    about: dict[str, str]
    """What is said of the first seed's scores: the policy's own name, what it knows."""
    revisions: list[str] = field(default_factory=list)
    """Of the code that computed the seeds."""
    units: str = "traces"
    """What `samples` are of: traces, or products."""


@dataclass(frozen=True)
class Results(Printed):
    """What an experiment has found: `print` shows a table for each scenario."""

    experiment: Experiment
    folder: Path
    outcomes: list[Outcome]
    missing: list[str] = field(default_factory=list)
    """What has not been computed yet, in words."""

    def __repr__(self) -> str:
        missing = f", {len(self.missing)} cells missing" if self.missing else ""
        return f"Results({self.folder}: {len(self.scenarios())} scenarios x {len(self.policies())} policies{missing})"

    def tables(self) -> list[Table]:
        return grid_tables(self)

    def records(self) -> list[dict[str, Any]]:
        """A row for every policy on every scenario: money and units per period of the whole network, with all digits; gains are over `reference`,
        positive where the policy is better. None where there is nothing to say."""
        return [_row(self.judged[outcome.scenario], outcome) for outcome in self.outcomes]

    def scenarios(self) -> list[str]:
        return list(dict.fromkeys(outcome.scenario for outcome in self.outcomes))

    def of(self, scenario: str) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.scenario == scenario]

    def policies(self) -> list[str]:
        return list(dict.fromkeys(outcome.policy for outcome in self.outcomes))

    @cached_property
    def judged(self) -> dict[str, Judged]:
        """By scenario."""
        return {name: Judged.of(name, self.of(name), self.experiment.reference) for name in self.scenarios()}


@dataclass(frozen=True)
class Judged:
    """How everybody did on one scenario, and beside the reference and the best. All that is told, tabulated and drawn is from here.

    Intervals are of the reward per period, by policy.
    """

    scenario: str
    outcomes: list[Outcome]
    reference: Outcome
    """What the others are compared with; the first there is where the reference itself is not there yet."""
    best: Outcome
    """By its mean."""
    spreads: dict[str, Spread | None]
    """How much training seeds differ, which is taken to be the same for the variants of one entry, or as much as this one's own differ if that is
    more; None where there is one seed."""
    rewards: dict[str, Interval]
    differences: dict[str, Interval]
    """To the reference on the same traces, each by itself; the reference's is exactly 0."""
    gains: dict[str, Interval]
    """The same of the others, with p-values corrected for their number (Holm), so that a scenario's table as a whole raises a false alarm once in
    twenty times at most."""
    behind: dict[str, Interval]
    """To the best, of the others, corrected likewise."""

    @classmethod
    def of(cls, scenario: str, outcomes: list[Outcome], reference: str) -> Judged:
        compared = next((outcome for outcome in outcomes if outcome.policy == reference), outcomes[0])
        best = max(outcomes, key=lambda outcome: float(outcome.samples.mean()))
        spreads = {outcome.policy: _spread(outcome, outcomes) for outcome in outcomes}
        rewards = {each.policy: Interval.over_seeds(each.samples, None, spreads[each.policy], None) for each in outcomes}
        differences = {each.policy: _difference(each, compared, spreads) for each in outcomes}
        behind = {each.policy: _difference(each, best, spreads) for each in outcomes}
        gains = _corrected(differences, compared)
        return cls(scenario, outcomes, compared, best, spreads, rewards, differences, gains, _corrected(behind, best))

    @property
    def problem(self) -> Scenario:
        return self.reference.problem

    @property
    def base(self) -> float:
        """What gains are shares of: the reference's mean reward, without its sign."""
        return abs(float(self.reference.samples.mean()))

    def percent(self, outcome: Outcome) -> Float[Tensor, "S R"]:
        """Reward on every trace, in percent of the reference's mean; NaN where that is 0."""
        return 100 * outcome.samples.double() / (self.reference.samples.double().mean().abs() or math.nan)


def _spread(outcome: Outcome, outcomes: Sequence[Outcome]) -> Spread | None:
    alike = [other.samples for other in outcomes if other.group == outcome.group and len(other.samples) > 1]
    pooled = Spread.of(alike) if alike else None
    return pooled.at_least(Spread.of([outcome.samples])) if pooled and len(outcome.samples) > 1 else pooled


def _difference(outcome: Outcome, other: Outcome, spreads: dict[str, Spread | None]) -> Interval:
    """In reward per period, on the same traces."""
    if outcome is other:
        return Interval.exactly(0.0)
    return Interval.over_seeds(outcome.samples, other.samples, spreads[outcome.policy], spreads[other.policy])


def _corrected(differences: dict[str, Interval], other: Outcome) -> dict[str, Interval]:
    """Of everybody else, by Holm."""
    found = {policy: difference for policy, difference in differences.items() if policy != other.policy}
    corrected = holm([difference.p_value for difference in found.values()])
    return {policy: replace(gain, p_value=value) for (policy, gain), value in zip(found.items(), corrected, strict=True)}


def _row(judged: Judged, outcome: Outcome) -> dict[str, Any]:
    gain, plain, behind = (found.get(outcome.policy) for found in (judged.gains, judged.differences, judged.behind))
    result = measured(outcome.problem, judged.rewards[outcome.policy])
    compared = {
        "gain": plain.mean,
        "gain_low": plain.low,
        "gain_high": plain.high,
        "gain_percent": 100 * plain.mean / judged.base if judged.base else None,
        "p_value": plain.p_value,
        "p_value_holm": gain.p_value if gain else None,
    }
    return {
        "scenario": outcome.scenario,
        "policy": outcome.policy,
        "seeds": len(outcome.samples),
        "traces": outcome.samples.shape[1],
        "measured": outcome.problem.measured,
        "mean": result.mean,
        "low": result.low,
        "high": result.high,
        "reference": judged.reference.policy,
        **{key: value if gain else None for key, value in compared.items()},
        "p_value_holm_of_best": behind.p_value if behind else None,
        **{name: float(outcome.measures[name].mean()) for name in ("fill_rate", "on_hand", "transferred", "demand", "unmet", *MONEY)},
        "cpu_seconds": sum(outcome.seconds) / len(outcome.seconds),
    }


def grid_tables(results: Results) -> list[Table]:
    """A table for each scenario of an experiment: every policy over its training seeds, and what it gains over the reference."""
    away = any(entry.train_on is not None for entry in results.experiment.policies)
    return [_grid_table(judged, away) for judged in results.judged.values()]


def _grid_table(judged: Judged, away: bool) -> Table:
    outcomes, reference, gains = judged.outcomes, judged.reference, judged.gains
    scenario = judged.problem
    columns = [scenario.measured, "fill", "on hand", "moved", "gain", "gain %", "CPU-min"]
    pooled = any(sum(other.group == outcome.group for other in outcomes) > 1 for outcome in outcomes if outcome.trained)
    caption = (
        f"Per period, whole network; {_compared_on(outcomes, pooled)} Gain: over {reference.policy}, paired, "
        f"positive is better; n.s.: not told from 0 at 5%{f', after Holm over the {len(gains)} gains of this table' * (len(gains) > 1)}. CPU-min: mean of a seed, evaluation and what was not remembered of tuning and training{' (that elsewhere is left out)' * away}."
    )
    table = headed_table(f"{judged.scenario}: {scenario.description}", "policy", columns, caption)
    for outcome in outcomes:
        told = ["", ""]
        if gain := gains.get(outcome.policy):
            share = f"{100 * gain.mean / judged.base:+z,.1f}{'' if gain.significant else ' n.s.'}" if judged.base else ""
            told = [plus_minus(gain, sign=True), share]
        fill, held, moved = (float(outcome.measures[measure].mean()) for measure in ("fill_rate", "on_hand", "transferred"))
        table.add_row(
            outcome.policy,
            plus_minus(measured(scenario, judged.rewards[outcome.policy])),
            f"{fill:.3f}",
            quantity(held),
            quantity(moved),
            *told,
            f"{sum(outcome.seconds) / len(outcome.seconds) / 60:.1f}",
        )
    return table


def _compared_on(outcomes: Sequence[Outcome], pooled: bool) -> str:
    """The samples, the seeds, and which of the two chances intervals count."""
    count, units = outcomes[0].samples.shape[1], outcomes[0].units
    what = (
        f"{count} evaluation traces" if units == "traces" else f"the one evaluation trace of the data, whose {count} products are samples"
    )
    seeds = sorted({len(outcome.seeds) for outcome in outcomes if outcome.trained})
    if not seeds:
        return f"{what}, the same for all. 95% intervals count the {units}."
    told = f"{seeds[0]}{f' to {seeds[-1]}' * (len(seeds) > 1)} training seed{'s' * (seeds[-1] > 1)}"
    alone = f"the {units} alone" if seeds[-1] == 1 else f"both{f' (of one seed, the {units} alone)' * (seeds[0] == 1)}"
    return f"{what}, the same for all, and {told}. 95% intervals count {alone}{', seeds as spread alike among the variants of one policy' * (pooled and seeds[-1] > 1)}."


def read_experiment(path: str | Path, allow_code: bool = False) -> tuple[Experiment, list[Cell]]:
    """The experiment of a YAML file and all its cells, checked: scenarios are loaded, settings and names are known. What it names of code of
    one's own (module:Class) is refused, unless `allow_code`."""
    document = read_yaml(path)
    experiment = validate(Experiment, document)
    return experiment, list(cells(experiment, document, allow_code))


def cells(experiment: Experiment, document: Document, allow_code: bool = False) -> Iterator[Cell]:
    scenarios = [found for index, entry in enumerate(experiment.scenarios) for found in entry.variants_of(document, ("scenarios", index))]
    policies = list(_policies(experiment, document))
    for kind, labels in (("scenarios", [label for label, _ in scenarios]), ("policies", [label for label, *_ in policies])):
        if twice := [label for label in labels if labels.count(label) > 1]:
            raise InputError(f"{document.place((kind,))}: {kind} has {twice[0]!r} twice; leave one out")
    for scenario, problem in scenarios:
        for policy, group, entry, settings, elsewhere in policies:
            if entry.policy is not None:
                with error_at(document, ("policies", group), policy):
                    check_policy_name(entry.policy)
                    if not Path(entry.policy).exists():
                        check_allowed(entry.policy, "policy", allow_code)
                yield Cell(scenario, policy, group, 0, problem, entry.policy, experiment.replications, allow_code=allow_code)
                continue
            for seed in experiment.training_seeds:
                with error_at(document, ("policies", group), policy):
                    named = settings | {"algorithm": entry.algorithm, "seed": seed}
                    plan = training_settings((), None, "settings", allow_code, **named)
                yield Cell(scenario, policy, group, seed, problem, plan, experiment.replications, elsewhere, allow_code=allow_code)


def _policies(experiment: Experiment, document: Document) -> Iterator[tuple[str, int, PolicyEntry, dict[str, Any], Scenario | None]]:
    entries = list(experiment.policies)
    labels = [label for entry in entries for label, _ in entry.variants()]
    if experiment.reference not in labels:
        if experiment.reference != REFERENCE:
            where = document.place(("reference",))
            raise InputError(f"{where}: reference is {experiment.reference!r}, which is no policy here; give one of {', '.join(labels)}")
        entries = [PolicyEntry(policy=REFERENCE), *entries]
    shift = len(entries) - len(experiment.policies)
    for index, entry in enumerate(entries):
        elsewhere = None
        if entry.train_on is not None:
            [(_, elsewhere)] = entry.train_on.variants_of(document, ("policies", index - shift, "train_on"))
        for label, settings in entry.variants():
            yield label, index - shift, entry, settings, elsewhere


@contextmanager
def error_at(document: Document, path: tuple[str | int, ...], label: str) -> Iterator[None]:
    """What is wrong with an entry is told with its place in the experiment."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{document.place(path)}: {str(error) if str(error).startswith(label) else f'{label}: {error}'}") from error


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

    Every cell lies in `out` (runs/NAME by default) with its configuration, checkpoint, TensorBoard log, and metrics per trace; beside them the
    tables, as table.md. The same call again goes on where the last one was stopped, by whatever; a worker that is lost is replaced. Results do not depend on `workers` or on the
    engine, `processes` or `ray`; `address` is of a Ray cluster, whose nodes all see `out` at the same path. A script calls it under
    `if __name__ == "__main__":`, since worker processes import the script. Code that the file names is run only if `allow_code`.
    """
    chosen, grid = read_experiment(experiment, allow_code)
    with closing(engine_named(engine, workers, address)) as team, locked_folder(experiment, out) as folder:
        missing = unfinished(grid, folder)
        _write_listing(folder, chosen, grid)
        if len(missing) < len(grid):
            say(f"{folder}: {len(grid) - len(missing)} of {len(grid)} cells are there already")
        compute_all(missing, folder, team, progress, say)
        results = Results(chosen, folder, list(_gathered(grid, folder)))
        _write_anew(folder / "table.md", "\n\n".join(map(markdown, grid_tables(results))) + "\n")
    return results


def _write_listing(folder: Path, experiment: Experiment, grid: list[Cell]) -> None:
    """All that reading the results takes, so that neither the experiment's file nor its scenarios' need to stay where they were."""
    scenarios = {cell.scenario: _with_data_found(json.loads(cell.problem.model_dump_json(exclude_none=True))) for cell in grid}
    keys = [field.name for field in fields(Listed) if field.name != "problem"]
    cells = [{key: getattr(cell, key) for key in keys} for cell in grid]
    listing = {"experiment": json.loads(experiment.model_dump_json(exclude_none=True)), "scenarios": scenarios, "cells": cells}
    _write_anew(folder / LISTING, json.dumps(listing, indent=1))


def _write_anew(file: Path, text: str) -> None:
    """Unless it says just that already."""
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        write_whole(file, text)


def _with_data_found(data: Any) -> Any:
    """A scenario's plain data with the paths of its demand files made absolute."""
    if isinstance(data, list):
        return [_with_data_found(each) for each in data]
    if not isinstance(data, dict):
        return data
    file = data.get("path")
    found = {"path": str(Path(file).resolve())} if isinstance(file, str) and Path(file).exists() else {}
    return {key: _with_data_found(value) for key, value in data.items()} | found


@contextmanager
def locked_folder(experiment: str | Path, out: str | Path | None) -> Iterator[Path]:
    """The folder of an experiment's cells, where nobody else computes, as far as the system can tell."""
    path = Path(experiment)
    folder = Path(out) if out is not None else Path("runs") / (path.parent.name if path.stem == "experiment" else path.stem)
    make_folder(folder)
    with (folder / ".lock").open("w") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass
        except OSError as error:
            raise InputError(f"{folder}: another run is at work there; wait for it, or give another --out") from error
        yield folder


def unfinished(grid: list[Cell], folder: Path) -> list[Cell]:
    """The cells that are still to compute, each once."""
    return list({cell.folder: cell for cell in grid if not _done(folder / cell.folder)}.values())


def _done(folder: Path) -> bool:
    with suppress(InputError):
        return bool(scores_in(folder))
    return False


def scores_in(folder: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Of a finished cell: what is said about them, and `samples`, `measure.NAME` and `Outcome.details`."""
    return read_sealed(folder / SCORES, "delete it to compute it again")


def compute_all(missing: list[Cell], folder: Path, engine: Engine, progress: Progress = silently, say: Say = say_nothing) -> None:
    """Those cells, and before them the training that several of them share."""
    elsewhere = {cell.run: cell for cell in missing if cell.elsewhere is not None and not (folder / cell.run / POLICY).exists()}
    _compute(train_cell, lambda cell: (folder / cell.run / POLICY).exists(), list(elsewhere.values()), folder, engine, progress, say)
    _compute(compute, lambda cell: _done(folder / cell.folder), missing, folder, engine, progress, say)


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
                f"{folder}: workers were lost {ATTEMPTS} times, perhaps for want of memory: give fewer --workers; or because a script runs an "
                'experiment where it is imported, as workers do: put the call under `if __name__ == "__main__":`'
            )
        if missing:
            say(f"{folder}: a worker was lost; {len(missing)} cells are begun again, or go on from their checkpoints")
    next(finished, None)


def _in_folder(task: Callable[[Cell, Path], None], folder: Path, cell: Cell) -> None:
    if not folder.is_dir():
        raise InputError(f"{folder}: is not there on {platform.node()}, which is to compute cells; give an --out that all machines share")
    task(cell, folder)


def _check_arrival(cell: Cell, done: Callable[[Cell], bool], folder: Path) -> None:
    """What a worker wrote can be seen here: at once, or soon where a network carries it."""
    deadline = time.monotonic() + ARRIVAL
    while not done(cell):
        if time.monotonic() > deadline:
            raise InputError(f"{folder}: {cell.folder} was computed, and is not to be seen here; give an --out that all machines share")
        time.sleep(1)


def train_cell(cell: Cell, root: Path) -> None:
    assert isinstance(cell.plan, TrainSettings)
    run_training(cell.elsewhere or cell.problem, cell.plan, root / cell.run, resume=True)


def compute(cell: Cell, root: Path) -> None:
    """Train (or tune) and score one cell, into its folder; what is there of a training run is gone on with. Only the cell's stream is played."""
    folder, begun = root / cell.folder, time.process_time()
    if isinstance(cell.plan, TrainSettings) and cell.elsewhere is None:
        train_cell(cell, root)
    else:
        folder.mkdir(exist_ok=True)
        write_yaml(folder / "run.yaml", cell.content)
    problem = Problem.of(cell.problem)
    if isinstance(cell.plan, TrainSettings):
        policy = load_policy(root / cell.run, problem, cell.allow_code)
    else:
        policy = policy_named(cell.plan, problem, allow_code=cell.allow_code)
    [score] = evaluate(problem, [policy], SEEDS[cell.stream], cell.replications, stream=cell.stream)
    record = score.record
    measures = {name: record.per_period(name).sum((0, 1)) for name in MEASURES}
    measures |= {"fill_rate": record.fill_rate, "transferred": record.transferred}
    details = {f"warehouse.{name}": record.per_period(name).sum(0).mean(-1) for name in MEASURES}
    details |= {f"lane.{name}": record.per_lane(name).sum(0).mean(-1) for name in record.lane_sums}
    volume = problem.network.volume
    details["warehouse.volume"] = (record.per_period("on_hand") * volume).sum(0).mean(-1)
    details |= {f"lane.{name}_volume": (record.per_lane(name) * volume).sum(0).mean(-1) for name in CARRIED if name in record.lane_sums}
    details |= {f"episode.{name}": values for name, values in _episode(problem, policy, cell.stream).items()}
    about = {
        "cell": json.dumps(cell.content),
        "policy": score.policy,
        "knows": score.knows,
        "revision": _revision(),
        "seconds": f"{time.process_time() - begun:.1f}",
        "units": score.units,
    }
    samples = {"samples": score.samples * score.scale} | {f"measure.{name}": each for name, each in measures.items()}
    write_sealed(folder / SCORES, samples | details, about)


def _episode(problem: Problem, policy: Policy, stream: Stream) -> dict[str, Float[Tensor, "T _"]]:
    """The first trace as the policy plays it, period by period, all products together."""
    with torch.no_grad():
        moments = list(play(problem, policy, problem.trace(stream, SEEDS[stream], range(1))))
    flows = {name: [getattr(moment.flows, name).sum(0)[:, 0] for moment in moments] for name in ("demand", "unmet", "on_hand", "shipments")}
    return {name: torch.stack(values).double() for name, values in flows.items()}


def _revision() -> str:
    """Of the code, where it is a git checkout."""
    with suppress(OSError):
        found = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"], capture_output=True, check=False
        )
        return found.stdout.decode().strip()
    return ""


def _gathered(grid: Sequence[Cell | Listed], folder: Path) -> Iterator[Outcome]:
    """What the cells found, policy by policy."""
    for (scenario, policy), alike in itertools.groupby(grid, key=lambda cell: (cell.scenario, cell.policy)):
        found = list(alike)
        read = [scores_in(folder / cell.folder) for cell in found]
        tensors = [each for _, each in read]
        measures = {
            name.removeprefix("measure."): torch.stack([each[name].mean() for each in tensors])
            for name in tensors[0]
            if name.startswith("measure.")
        }
        details = {
            name: torch.stack([each[name] for each in tensors])
            for name in tensors[0]
            if name.partition(".")[0] in DETAILS and all(name in each for each in tensors)
        }
        yield Outcome(
            scenario,
            policy,
            found[0].group,
            found[0].problem,
            found[0].trained,
            torch.stack([each["samples"] for each in tensors]),
            measures,
            details,
            [float(about["seconds"]) for about, _ in read],
            [cell.seed for cell in found],
            [folder / cell.run for cell in found if cell.trained and cell.run == cell.folder],
            read[0][0],
            [about.get("revision", "") for about, _ in read],
            read[0][0].get("units", "traces"),
        )


# Reading what was computed


@dataclass(frozen=True)
class Listed:
    """A cell as a run folder's listing tells of it."""

    scenario: str
    policy: str
    group: int
    seed: int
    replications: int
    folder: str
    run: str
    trained: bool
    problem: Scenario

    @property
    def in_words(self) -> str:
        return f"{self.policy}{f', seed {self.seed}' * self.trained}, on {self.scenario}"


def read_results(folders: Sequence[str | Path]) -> Results:
    """What experiments in such folders have found so far, from the folders alone; several are read as one, the first says the reference.

    Raises InputError for a folder that is none, and where scenarios of one name differ or were played on other traces.
    """
    read = [_read_folder(Path(folder)) for folder in folders]
    problems: dict[str, tuple[Scenario, int]] = {}
    outcomes: dict[tuple[str, str], Outcome] = {}
    for number, results in enumerate(read):
        for outcome in results.outcomes:
            played = outcome.problem, outcome.samples.shape[1]
            if problems.setdefault(outcome.scenario, played) != played:
                raise InputError(
                    f"{results.folder}: {outcome.scenario} is another scenario there, or played on more traces or fewer; report on it by itself"
                )
            key = outcome.scenario, outcome.policy
            if key in outcomes and not torch.equal(outcomes[key].samples, outcome.samples):
                key = outcome.scenario, f"{outcome.policy} ({results.folder.name})"
            outcomes.setdefault(key, replace(outcome, policy=key[1], group=1000 * number + outcome.group))
    experiment = read[0].experiment
    if len(read) > 1:
        told = " ".join(dict.fromkeys(results.experiment.description for results in read))
        experiment = experiment.model_copy(update={"description": told})
    return Results(experiment, read[0].folder, list(outcomes.values()), [each for results in read for each in results.missing])


def _read_folder(folder: Path) -> Results:
    remedy = "give the folder of a grid; `marl-inv run` writes it, at once where all cells are there"
    try:
        listing = json.loads((folder / LISTING).read_text(encoding="utf-8"))
        experiment = Experiment.model_validate_json(json.dumps(listing["experiment"]))
        problems = {name: Scenario.model_validate_json(json.dumps(each)) for name, each in listing["scenarios"].items()}
        cells = [Listed(**cell, problem=problems[cell["scenario"]]) for cell in listing["cells"]]
    except OSError as error:
        raise InputError(f"{folder / LISTING}: cannot be read ({error.strerror}); {remedy}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / LISTING}: does not fit this version of marl_inv; {remedy}") from error
    there = [cell for cell in cells if _done(folder / cell.folder)]
    if not there:
        raise InputError(f"{folder}: none of its {len(cells)} cells is there yet; wait for the first, or `marl-inv run` it")
    return Results(experiment, folder, list(_gathered(there, folder)), [cell.in_words for cell in cells if cell not in there])
