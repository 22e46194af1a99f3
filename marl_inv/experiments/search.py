"""Good settings of training, found by Optuna among those that an experiment's policy names in `search`.

A trial is cells of the grid, the same policy trained with its settings on every scenario with every seed, and
is scored by what it gains over the reference on validation traces. Training chooses its best policy on
validation traces too, of the training seed; these are others, the same for all trials (of a data file, other
draws from the same weeks). Evaluation traces are never seen, so what is found is judged on them as anything
else is. Nothing is stored but the cells: a search that is begun again asks Optuna the same questions, and
finds what it had computed.
"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.table import Table

from marl_inv.common.documents import Document, read_yaml, write_yaml
from marl_inv.common.errors import InputError
from marl_inv.common.files import write_whole
from marl_inv.common.printed import Printed
from marl_inv.common.progress import Progress, Say, say_nothing, silently
from marl_inv.common.records import validate
from marl_inv.evaluation.tables import headed_table, markdown
from marl_inv.experiments.cell import Cell, scores_in
from marl_inv.experiments.engines import engine_named
from marl_inv.experiments.experiment import Experiment, PolicyEntry, Range, cells, error_at
from marl_inv.experiments.run import compute_all, locked_folder, unfinished
from marl_inv.learning.runs import training_settings


@dataclass(frozen=True)
class Trial:
    number: int
    """In the order in which Optuna chose them, from 1; the first has the settings that the policy has anyway,
    where the search allows them."""
    values: dict[str, Any]
    """Of what is searched."""
    gain: float
    """Over the reference, in percent of what it earns: mean over scenarios and training seeds."""
    seconds: float
    """Of all its cells."""


@dataclass(frozen=True)
class Search:
    """What an experiment says of a search."""

    document: Document
    experiment: Experiment
    index: int
    """Of the policy among the experiment's."""
    own: list[Cell]
    """Of the policy as it is without a search, but on validation traces."""
    references: list[Cell]
    """Of the reference, likewise."""

    @property
    def entry(self) -> PolicyEntry:
        return self.experiment.policies[self.index]

    def settings(self, values: dict[str, Any]) -> dict[str, Any]:
        """Of training, those that are not the defaults."""
        return {"algorithm": self.entry.algorithm} | self.entry.settings | values

    def cells(self, values: dict[str, Any]) -> list[Cell]:
        """Of a trial."""
        label = " ".join(
            [
                self.own[0].policy,
                *(
                    f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
                    for key, value in values.items()
                ),
            ]
        )
        with error_at(self.document, ("policies", self.index, "search"), label):
            plan = training_settings((), None, "settings", self.own[0].allow_code, **self.settings(values))
        return [
            replace(cell, policy=label, plan=plan.model_copy(update={"seed": cell.seed})) for cell in self.own
        ]

    def gain(self, values: dict[str, Any], folder: Path) -> float:
        """Of a trial whose cells are there."""
        earned: dict[str, list[float]] = {}
        for cell in self.cells(values):
            earned.setdefault(cell.scenario, []).append(_reward(cell, folder))
        gains = []
        for scenario, rewards in earned.items():
            base = _mean([_reward(cell, folder) for cell in self.references if cell.scenario == scenario])
            if base == 0:
                raise InputError(
                    f"{self.document.name}: {scenario}: the reference earns exactly 0, of which nothing is "
                    "a percentage; give another"
                )
            gains.append(100 * (_mean(rewards) - base) / abs(base))
        return _mean(gains)

    def seconds(self, values: dict[str, Any], folder: Path) -> float:
        return sum(float(scores_in(folder / cell.folder)[0]["seconds"]) for cell in self.cells(values))


@dataclass(frozen=True)
class Found(Printed):
    """What a search has found: `print` shows its trials."""

    search: Search
    trials: list[Trial]
    """Best first."""
    folder: Path

    @property
    def best(self) -> Path:
        """The best trial's settings, for `marl-inv train SCENARIO --settings`."""
        return self.folder / "best.yaml"

    def __repr__(self) -> str:
        best = self.trials[0]
        return (
            f"Found({self.folder}: {len(self.trials)} trials, the best is {best.number}: {best.gain:+.2f}%)"
        )

    def tables(self) -> list[Table]:
        return [search_table(self)]

    def records(self) -> list[dict[str, Any]]:
        """A row for every trial, best first: what was tried, what it gained in percent on validation traces,
        and the CPU seconds it took."""
        return [
            {"trial": trial.number, **trial.values, "gain_percent": trial.gain, "seconds": trial.seconds}
            for trial in self.trials
        ]


def search(
    experiment: str | Path,
    trials: int = 20,
    out: str | Path | None = None,
    workers: int = 1,
    batch: int = 4,
    seed: int = 0,
    progress: Progress = silently,
    say: Say = say_nothing,
    engine: str = "processes",
    address: str | None = None,
    allow_code: bool = False,
) -> Found:
    """Try so many settings, and write the best into `best.yaml` of the folder of the experiment's cells, and
    all of them into `search.md`.

    `batch` trials are chosen at once, not knowing of each other, by a tree-structured Parzen estimator
    (Bergstra et al. 2011) whose chance comes from `seed`: what is found depends on both, and neither on
    `workers` nor on the engine. The same call goes on where the last one was stopped. Code that the file
    names is run only if `allow_code`.
    """
    if find_spec("optuna") is None:
        raise InputError(
            'search: Optuna is not installed; add it with `pip install -c constraints.txt -e ".[search]"`'
        )
    import optuna  # pyright: ignore[reportMissingImports]  # an optional extra

    what = read_search(experiment, allow_code)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    )
    study.enqueue_trial(_as_it_is(what))
    done: list[Trial] = []
    with closing(engine_named(engine, workers, address)) as team, locked_folder(experiment, out) as folder:
        while len(done) < trials:
            asked = [study.ask() for _ in range(min(batch, trials - len(done)))]
            chosen = [
                {key: _choice(trial, key, among) for key, among in what.entry.search.items()}
                for trial in asked
            ]
            wanted = [*what.references, *(cell for values in chosen for cell in what.cells(values))]
            compute_all(unfinished(wanted, folder), folder, team, progress, say)
            for trial, values in zip(asked, chosen, strict=True):
                gain = what.gain(values, folder)
                study.tell(trial, gain)
                done.append(Trial(trial.number + 1, values, gain, what.seconds(values, folder)))
            best = max(done, key=lambda trial: trial.gain)
            say(f"{folder}: {len(done)} of {trials} trials, the best is {best.number}: {best.gain:+.2f}%")
        found = Found(what, sorted(done, key=lambda trial: -trial.gain), folder)
        write_yaml(found.best, what.settings(found.trials[0].values))
        write_whole(folder / "search.md", markdown(search_table(found)) + "\n")
    return found


def search_table(found: Found) -> Table:
    """The trials of a search, best first."""
    what = found.search
    names, seeds = (
        list(dict.fromkeys(cell.scenario for cell in what.own)),
        len(what.experiment.training_seeds),
    )
    caption = (
        f"Gain: over {what.experiment.reference} on {what.experiment.replications} validation traces, "
        "others than training chooses its best policy on; in percent, "
        f"mean of {len(names)} scenario{'s' * (len(names) > 1)} and {seeds} training "
        f"seed{'s' * (seeds > 1)}. The best of many looks better than it is: judge it on "
        f"evaluation traces. CPU-min: of all seeds and scenarios."
    )
    table = headed_table(
        f"{what.own[0].policy} on {', '.join(names)}",
        "trial",
        [*what.entry.search, "gain %", "CPU-min"],
        caption,
    )
    for trial in found.trials:
        values = [
            f"{value:.4g}" if isinstance(value, float) else str(value) for value in trial.values.values()
        ]
        table.add_row(str(trial.number), *values, f"{trial.gain:+z,.2f}", f"{trial.seconds / 60:.1f}")
    return table


def read_search(experiment: str | Path, allow_code: bool = False) -> Search:
    """The search of an experiment's YAML file, checked: every value and both ends of every range are settings
    that can be trained with."""
    document = read_yaml(experiment)
    read = validate(Experiment, document)
    named = [index for index, entry in enumerate(read.policies) if entry.search]
    if len(named) != 1:
        raise InputError(
            f"{document.place(('policies',))}: {len(named)} policies have `search`; give it to one: "
            f"{{algorithm: mappo, search: {{lr: [1e-4, 1e-3]}}}}"
        )
    grid = [replace(cell, stream="validate") for cell in cells(read, document, allow_code)]
    own = [cell for cell in grid if cell.group == named[0]]
    what = Search(document, read, named[0], own, [cell for cell in grid if cell.policy == read.reference])
    for key, among in what.entry.search.items():
        for value in [among.low, among.high] if isinstance(among, Range) else among:
            what.cells({key: value})
    return what


def _as_it_is(what: Search) -> dict[str, Any]:
    """The settings that the policy has without a search, as far as they lie in it, as Optuna is told them."""
    found: dict[str, Any] = {}
    for key, among in what.entry.search.items():
        value = getattr(what.own[0].plan, key)
        if not isinstance(among, Range):
            found |= {key: among.index(value)} if value in among else {}
        elif isinstance(value, int | float) and among.low <= value <= among.high:
            found[key] = value
    return found


def _choice(trial: Any, key: str, among: list[Any] | Range) -> Any:
    """By Optuna; of a list it chooses the place."""
    if not isinstance(among, Range):
        return among[trial.suggest_categorical(key, range(len(among)))]
    if isinstance(among.low, int) and isinstance(among.high, int):
        return trial.suggest_int(key, among.low, among.high, log=among.log)
    return trial.suggest_float(key, among.low, among.high, log=among.log)


def _reward(cell: Cell, folder: Path) -> float:
    return float(scores_in(folder / cell.folder)[1]["samples"].mean())


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
