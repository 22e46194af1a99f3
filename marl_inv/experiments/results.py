"""An experiment's results, read from its folders."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from rich.table import Table
from torch import Tensor

from marl_inv.common.errors import InputError
from marl_inv.common.printed import Printed
from marl_inv.common.sealed import read_text_sealed
from marl_inv.evaluation.evaluate import measured
from marl_inv.evaluation.metrics import MONEY
from marl_inv.evaluation.statistics import Interval, Spread, holm
from marl_inv.evaluation.tables import headed_table, plus_minus, quantity
from marl_inv.experiments.cell import Cell, is_computed, scores_in
from marl_inv.experiments.experiment import Experiment
from marl_inv.scenario import Scenario

LISTING = "grid.json"
"""What cells there are, and of what."""


DETAILS = ("warehouse", "lane", "episode")


@dataclass(frozen=True)
class Outcome:
    """How one policy did on one scenario, over its seeds."""

    scenario: str
    policy: str
    group: int
    problem: Scenario
    trained: bool
    samples: Float[Tensor, "S R"]
    """Reward per period, of every seed and evaluation trace; of the one trace that a data file has, of every
    product."""
    measures: dict[str, Float[Tensor, " S"]]
    """Means over the traces."""
    details: dict[str, Float[Tensor, "S ..."]]
    """Of every seed: `warehouse.NAME` (S, N) and `lane.NAME` (S, E), per period, and `episode.NAME` (S, T, N
    or E), the first trace as it was played; all products together. `warehouse.volume` is of the stock on
    hand."""
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
        return (
            f"Results({self.folder}: {len(self.scenarios())} scenarios x {len(self.policies())} "
            f"policies{missing})"
        )

    def tables(self) -> list[Table]:
        return grid_tables(self)

    def records(self) -> list[dict[str, Any]]:
        """A row for every policy on every scenario: money and units per period of the whole network, with all
        digits; gains are over `reference`, positive where the policy is better. None where there is nothing
        to say."""
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
    """How everybody did on one scenario, and beside the reference and the best. All that is told, tabulated
    and drawn is from here.

    Intervals are of the reward per period, by policy.
    """

    scenario: str
    outcomes: list[Outcome]
    reference: Outcome
    """What the others are compared with; the first there is where the reference itself is not there yet."""
    best: Outcome
    """By its mean."""
    spreads: dict[str, Spread | None]
    """How much training seeds differ, which is taken to be the same for the variants of one entry, or as much
    as this one's own differ if that is more; None where there is one seed."""
    rewards: dict[str, Interval]
    differences: dict[str, Interval]
    """To the reference on the same traces, each by itself; the reference's is exactly 0."""
    gains: dict[str, Interval]
    """The same of the others, with p-values corrected for their number (Holm), so that a scenario's table as
    a whole raises a false alarm once in twenty times at most."""
    behind: dict[str, Interval]
    """To the best, of the others, corrected likewise."""

    @classmethod
    def of(cls, scenario: str, outcomes: list[Outcome], reference: str) -> Judged:
        compared = next((outcome for outcome in outcomes if outcome.policy == reference), outcomes[0])
        best = max(outcomes, key=lambda outcome: float(outcome.samples.mean()))
        spreads = {outcome.policy: _spread(outcome, outcomes) for outcome in outcomes}
        rewards = {
            each.policy: Interval.over_seeds(each.samples, None, spreads[each.policy], None)
            for each in outcomes
        }
        differences = {each.policy: _difference(each, compared, spreads) for each in outcomes}
        behind = {each.policy: _difference(each, best, spreads) for each in outcomes}
        gains = _corrected(differences, compared)
        return cls(
            scenario, outcomes, compared, best, spreads, rewards, differences, gains, _corrected(behind, best)
        )

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
    return {
        policy: replace(gain, p_value=value)
        for (policy, gain), value in zip(found.items(), corrected, strict=True)
    }


def _row(judged: Judged, outcome: Outcome) -> dict[str, Any]:
    gain, behind = (found.get(outcome.policy) for found in (judged.gains, judged.behind))
    plain = judged.differences[outcome.policy]
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
        **{
            name: float(outcome.measures[name].mean())
            for name in ("fill_rate", "on_hand", "transferred", "demand", "unmet", *MONEY)
        },
        "cpu_seconds": sum(outcome.seconds) / len(outcome.seconds),
    }


def grid_tables(results: Results) -> list[Table]:
    """A table for each scenario of an experiment: every policy over its training seeds, and what it gains
    over the reference."""
    away = any(entry.train_on is not None for entry in results.experiment.policies)
    return [_grid_table(judged, away) for judged in results.judged.values()]


def _grid_table(judged: Judged, away: bool) -> Table:
    outcomes, reference, gains = judged.outcomes, judged.reference, judged.gains
    scenario = judged.problem
    columns = [scenario.measured, "fill", "on hand", "moved", "gain", "gain %", "CPU-min"]
    pooled = any(
        sum(other.group == outcome.group for other in outcomes) > 1 for outcome in outcomes if outcome.trained
    )
    caption = (
        f"Per period, whole network; {_compared_on(outcomes, pooled)} Gain: over {reference.policy}, paired, "
        "positive is better; n.s.: not told from 0 at "
        f"5%{f', after Holm over the {len(gains)} gains of this table' * (len(gains) > 1)}. CPU-min: mean "
        "of a seed, evaluation and what was not remembered of tuning and "
        f"training{' (that elsewhere is left out)' * away}."
    )
    table = headed_table(f"{judged.scenario}: {scenario.description}", "policy", columns, caption)
    for outcome in outcomes:
        told = ["", ""]
        if gain := gains.get(outcome.policy):
            share = (
                f"{100 * gain.mean / judged.base:+z,.1f}{'' if gain.significant else ' n.s.'}"
                if judged.base
                else ""
            )
            told = [plus_minus(gain, sign=True), share]
        fill, held, moved = (
            float(outcome.measures[measure].mean()) for measure in ("fill_rate", "on_hand", "transferred")
        )
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
        f"{count} evaluation traces"
        if units == "traces"
        else f"the one evaluation trace of the data, whose {count} products are samples"
    )
    seeds = sorted({len(outcome.seeds) for outcome in outcomes if outcome.trained})
    if not seeds:
        return f"{what}, the same for all. 95% intervals count the {units}."
    told = f"{seeds[0]}{f' to {seeds[-1]}' * (len(seeds) > 1)} training seed{'s' * (seeds[-1] > 1)}"
    alone = (
        f"the {units} alone"
        if seeds[-1] == 1
        else f"both{f' (of one seed, the {units} alone)' * (seeds[0] == 1)}"
    )
    return (
        f"{what}, the same for all, and {told}. 95% intervals count "
        f"{alone}{', seeds as spread alike among the variants of one policy' * (pooled and seeds[-1] > 1)}."
    )


def gathered(grid: Sequence[Cell | Listed], folder: Path) -> Iterator[Outcome]:
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
    """What experiments in such folders have found so far, from the folders alone; several are read as one,
    the first says the reference.

    Raises InputError for a folder that is none, and where scenarios of one name differ or were played on
    other traces.
    """
    read = [_read_folder(Path(folder)) for folder in folders]
    problems: dict[str, tuple[Scenario, int]] = {}
    outcomes: dict[tuple[str, str], Outcome] = {}
    for number, results in enumerate(read):
        for outcome in results.outcomes:
            played = outcome.problem, outcome.samples.shape[1]
            if problems.setdefault(outcome.scenario, played) != played:
                raise InputError(
                    f"{results.folder}: {outcome.scenario} is another scenario there, or played on more "
                    "traces or fewer; report on it by itself"
                )
            key = outcome.scenario, outcome.policy
            if key in outcomes and not torch.equal(outcomes[key].samples, outcome.samples):
                key = outcome.scenario, f"{outcome.policy} ({results.folder.name})"
            outcomes.setdefault(key, replace(outcome, policy=key[1], group=1000 * number + outcome.group))
    experiment = read[0].experiment
    if len(read) > 1:
        told = " ".join(dict.fromkeys(results.experiment.description for results in read))
        experiment = experiment.model_copy(update={"description": told})
    return Results(
        experiment,
        read[0].folder,
        list(outcomes.values()),
        [each for results in read for each in results.missing],
    )


def _read_folder(folder: Path) -> Results:
    remedy = "give the folder of a grid; `marl-inv run` writes it, at once where all cells are there"
    try:
        listing = read_text_sealed(folder / LISTING, remedy)
        experiment = Experiment.model_validate_json(json.dumps(listing["experiment"]))
        problems = {
            name: Scenario.model_validate_json(json.dumps(each))
            for name, each in listing["scenarios"].items()
        }
        cells = [Listed(**cell, problem=problems[cell["scenario"]]) for cell in listing["cells"]]
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / LISTING}: does not fit this version of marl_inv; {remedy}") from error
    there = [cell for cell in cells if is_computed(folder / cell.folder)]
    if not there:
        raise InputError(
            f"{folder}: none of its {len(cells)} cells is there yet; wait for the first, or `marl-inv run` it"
        )
    return Results(
        experiment,
        folder,
        list(gathered(there, folder)),
        [cell.in_words for cell in cells if cell not in there],
    )
