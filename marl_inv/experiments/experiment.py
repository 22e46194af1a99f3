"""What an experiment's file says: scenarios x policies x training seeds, told apart into cells."""

from __future__ import annotations

import itertools
import json
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from marl_inv.common.documents import Document, read_yaml
from marl_inv.common.errors import InputError
from marl_inv.common.files import is_there
from marl_inv.common.plugins import check_allowed
from marl_inv.common.records import Record, validate
from marl_inv.experiments.cell import Cell
from marl_inv.experiments.comparison import REFERENCE
from marl_inv.learning.runs import training_settings
from marl_inv.policies import check_policy_name
from marl_inv.scenario import Scenario, load_scenario
from marl_inv.scenario.fields import Seed


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
            alternatives = [
                {key: value} for key, alternatives in self.one_at_a_time.items() for value in alternatives
            ]
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
        file = beside if Path(self.scenario).suffix and is_there(beside) else self.scenario
        for label, settings in self.variants():
            with error_at(document, path, label):
                yield (
                    label,
                    load_scenario(file, [f"{key}={json.dumps(value)}" for key, value in settings.items()]),
                )


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
    """As `marl-inv compare` names them: a baseline, tuned_ before it to tune it first, optimal, rolling_lp,
    module:Class."""
    algorithm: str | None = None
    """To train, with `settings` of training; module:build too."""
    train_on: Annotated[ScenarioEntry, _alone("scenario")] | None = None
    """Another scenario to train on than those that are played."""
    search: dict[str, Annotated[list[Any], Field(min_length=1)] | Range] = {}
    """What `marl-inv search` tries instead of `settings`: of a setting of training a list of values, or a
    range, {low: 1e-4, high: 1e-2, log: true}. `marl-inv run` trains as `settings` say."""

    @property
    def subject(self) -> str:
        return self.policy or self.algorithm or ""

    @model_validator(mode="after")
    def _one_of_both(self) -> PolicyEntry:
        if (self.policy is None) == (self.algorithm is None):
            raise ValueError("names neither or both of policy and algorithm; give one: {algorithm: mappo}")
        if self.policy is not None and (
            self.settings or self.vary or self.one_at_a_time or self.train_on or self.search
        ):
            raise ValueError(
                f"has settings for the policy {self.policy}; only what is trained has any, by `algorithm`"
            )
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


MOST_SEEDS = 10_000


class Experiment(Record):
    description: str = ""
    """What the report says of it."""
    scenarios: list[Annotated[ScenarioEntry, _alone("scenario")]] = Field(min_length=1)
    """What is played: bare names, paths, or records."""
    policies: list[Annotated[PolicyEntry, _alone("policy")]] = Field(min_length=1)
    """Who plays: names of policies, or records."""
    seeds: Annotated[int, Field(gt=0, le=MOST_SEEDS)] | Annotated[list[Seed], Field(min_length=1)] = 3
    """Of training: how many (0, 1, ..), or which. What is not trained has one."""
    replications: int = Field(512, ge=2, le=1_000_000)
    """Evaluation traces, the same for everybody."""
    reference: str = REFERENCE
    """The policy that the others are compared with, by its label; added if it is missing."""

    @model_validator(mode="after")
    def _each_seed_once(self) -> Experiment:
        if isinstance(self.seeds, list) and (
            twice := [seed for seed in self.seeds if self.seeds.count(seed) > 1]
        ):
            raise ValueError(
                f"seeds has {twice[0]} twice; the same seed trains the same policy, so leave one out"
            )
        return self

    @property
    def training_seeds(self) -> list[int]:
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


def read_experiment(path: str | Path, allow_code: bool = False) -> tuple[Experiment, list[Cell]]:
    """The experiment of a YAML file and all its cells, checked: scenarios are loaded, settings and names are
    known. What it names of code of one's own (module:Class) is refused, unless `allow_code`."""
    document = read_yaml(path)
    experiment = validate(Experiment, document)
    return experiment, list(cells(experiment, document, allow_code))


def cells(experiment: Experiment, document: Document, allow_code: bool = False) -> Iterator[Cell]:
    scenarios = [
        found
        for index, entry in enumerate(experiment.scenarios)
        for found in entry.variants_of(document, ("scenarios", index))
    ]
    policies = list(_policies(experiment, document))
    for kind, labels in (
        ("scenarios", [label for label, _ in scenarios]),
        ("policies", [label for label, *_ in policies]),
    ):
        if twice := [label for label in labels if labels.count(label) > 1]:
            raise InputError(f"{document.place((kind,))}: {kind} has {twice[0]!r} twice; leave one out")
    for scenario, problem in scenarios:
        for policy, group, entry, settings, elsewhere in policies:
            if entry.policy is not None:
                with error_at(document, ("policies", group), policy):
                    check_policy_name(entry.policy)
                    if not is_there(entry.policy):
                        check_allowed(entry.policy, "policy", allow_code)
                yield Cell(
                    scenario,
                    policy,
                    group,
                    0,
                    problem,
                    entry.policy,
                    experiment.replications,
                    allow_code=allow_code,
                )
                continue
            for seed in experiment.training_seeds:
                with error_at(document, ("policies", group), policy):
                    named = settings | {"algorithm": entry.algorithm, "seed": seed}
                    plan = training_settings((), None, "settings", allow_code, **named)
                yield Cell(
                    scenario,
                    policy,
                    group,
                    seed,
                    problem,
                    plan,
                    experiment.replications,
                    elsewhere,
                    allow_code=allow_code,
                )


def _policies(
    experiment: Experiment, document: Document
) -> Iterator[tuple[str, int, PolicyEntry, dict[str, Any], Scenario | None]]:
    entries = list(experiment.policies)
    labels = [label for entry in entries for label, _ in entry.variants()]
    if experiment.reference not in labels:
        if experiment.reference != REFERENCE:
            where = document.place(("reference",))
            raise InputError(
                f"{where}: reference is {experiment.reference!r}, which is no policy here; give one of "
                f"{', '.join(labels)}"
            )
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
        raise InputError(
            f"{document.place(path)}: {str(error) if str(error).startswith(label) else f'{label}: {error}'}"
        ) from error
