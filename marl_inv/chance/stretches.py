"""Which periods of a data file are for training and which for evaluation, by number or by label."""

from __future__ import annotations

import csv
from pathlib import Path

from marl_inv.chance.time_labels import Timeline
from marl_inv.common.errors import InputError
from marl_inv.scenario import Scenario
from marl_inv.scenario.demand import Empirical

Span = tuple[int, int]
"""First period and end, which is not included."""


def stretches_of(model: Empirical, scenario: Scenario, timeline: Timeline) -> tuple[Span, Span]:
    """The periods for training and those for evaluation, 0 for the file's earliest.

    Numbers count from the earliest period of all files of the scenario, so that one number is one period in
    all. Raises InputError for stretches that the file does not hold, that are too short for an episode, or
    that overlap.
    """
    lines = {(other.path, other.period_column): other for other in _files(scenario)}
    others = [_timeline(other) for key, other in lines.items() if key != (model.path, model.period_column)]
    later = [timeline.since(other) for other in others]
    if None in later:
        other = others[later.index(None)]
        raise InputError(
            f"{model.path}: periods go from {timeline.first} to {timeline.last}, and those of another demand "
            f"file from {other.first} to {other.last}, in other steps; label periods alike in all files"
        )
    shift = max([0, *(periods or 0 for periods in later)])
    for key in ("train", "evaluate"):
        if odd := [other for other in lines.values() if getattr(other, key) != getattr(model, key)]:
            raise InputError(
                f"{model.path}: {_told(model, key)} and that of {odd[0].path} is not; give all files one "
                "stretch, so that their periods line up"
            )
    train = _rows(model, "train", timeline, shift, scenario.history + scenario.horizon)
    evaluate = _rows(model, "evaluate", timeline, shift, scenario.horizon)
    if evaluate[0] < scenario.history:
        start = scenario.history + shift
        remedy = f"start it at {start} or later, to leave room for the history"
        raise InputError(f"{model.path}: {_told(model, 'evaluate')}; {remedy}")
    if train[0] < evaluate[1] and evaluate[0] < train[1]:
        raise InputError(
            f"{model.path}: {_told(model, 'train')} and {_told(model, 'evaluate')}; let them not overlap, or "
            "policies are scored on what they were fitted on"
        )
    return train, evaluate


def _rows(model: Empirical, key: str, timeline: Timeline, shift: int, needed: int) -> Span:
    given, told = getattr(model, key), f"{model.path}: {_told(model, key)}"
    if isinstance(given[0], str):
        places = timeline.place(given[0]), timeline.place(given[1], end=True)
        if None in places:
            raise InputError(
                f"{told}, but {given[places.index(None)]} is none of its periods, which go from "
                f"{timeline.first} to {timeline.last}; give dates within (the end is not included)"
            )
        first, end = (place or 0 for place in places)
    else:
        first, end = (int(number) - shift for number in given)
    if end > timeline.periods or first < 0:
        last = timeline.periods + shift
        held = f"the periods from {shift} to {last}" if shift else f"{last} periods"
        remedy = f"end it at {last} or before" if first >= 0 else f"start it at {shift} or later"
        raise InputError(f"{model.path}: holds {held}, but {_told(model, key)}; {remedy}")
    if end - first < needed:
        remedy = "lengthen it, or shorten the horizon"
        raise InputError(f"{told}, but an episode takes {needed} periods; {remedy}")
    return first, end


def _told(model: Empirical, key: str) -> str:
    first, end = getattr(model, key)
    return f"demand.{key} is [{first}, {end}]"


def _files(scenario: Scenario) -> list[Empirical]:
    demands = (scenario.demand_of(warehouse) for warehouse in scenario.warehouses)
    found = {demand.model_dump_json(): demand for demand in demands if isinstance(demand, Empirical)}
    return list(found.values())


def _timeline(model: Empirical) -> Timeline:
    """Of a file that is read in full elsewhere, where mistakes in it are told."""
    if model.path is None:
        raise InputError("demand.path is not given; give the CSV file of demand: demand.path=FILE.csv")
    path = Path(model.path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = [name.strip() for name in next(rows, [])]
            if model.period_column not in header:
                raise InputError(f"{path}:1: has no column {model.period_column!r}")
            column = header.index(model.period_column)
            labels = dict.fromkeys(row[column].strip() for row in rows if len(row) == len(header))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); give a CSV file as demand.path") from error
    labels.pop("", None)
    if not labels:
        raise InputError(f"{path}:1: holds no rows; give a row per period and product")
    return Timeline.of(labels, f"{path}: {model.period_column}")
