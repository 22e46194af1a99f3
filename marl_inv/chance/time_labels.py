"""When the rows of a data file are: labels as numbers or dates, in order, with what is missing between."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise

from marl_inv.common.errors import InputError, shown

MOST_SKIPPED = 9
"""Periods that may be missing for one that is there."""


def places_in_time(labels: Iterable[str], where: str) -> tuple[dict[str, int], int]:
    """The period that every label stands for, 0 for the earliest, and how many periods between have none.

    Labels are all whole or other numbers, alike words before whole numbers (`week 7`, `d_7`), or all dates,
    months (`2024-01`) or date-times: as ISO has them, as `2024/1/31` or `31.1.2024`, or as `31/1/2024` or
    `1/31/2024` where a day after the 12th tells which it is. Whole numbers, months and days that a common
    step counts out have periods where a step has no label; other numbers and times are only put in order.
    Raises InputError, beginning with `where`, for labels that are neither.
    """
    labels = list(labels)
    moments = {label: _moment(text) for label, text in zip(labels, _as_iso(labels, where), strict=True)}
    kinds = {kind for kind, _ in moments.values()}
    if len(kinds) > 1:
        odd = next(label for label in labels if moments[label][0] != moments[labels[0]][0])
        raise InputError(
            f"{where}: periods {shown(labels[0])} and {shown(odd)} cannot be put in order; label "
            "all by numbers, or all by ISO dates such as 2024-01-31"
        )
    if None in kinds and len(labels) > 1:
        raise InputError(
            f"{where}: period {shown(labels[0])} is no number and no date, so that periods have no "
            "order; label them by numbers, or by ISO dates such as 2024-01-31"
        )
    values = sorted({value for _, value in moments.values()})
    if len(values) < len(labels):
        raise InputError(f"{where}: labels one period in two ways; give every period one label")
    step = 0.0
    if all(float(value).is_integer() for value in values):
        step = math.gcd(*(int(later - earlier) for earlier, later in pairwise(values)))
    place = {value: round((value - values[0]) / step) if step else row for row, value in enumerate(values)}
    missing = place[values[-1]] + 1 - len(values)
    if missing > MOST_SKIPPED * len(values):
        raise InputError(
            f"{where}: of {missing + len(values)} periods from {shown(labels[0])} on, {missing} have no row; "
            "number the periods one by one"
        )
    return {label: place[value] for label, (_, value) in moments.items()}, missing


def likely_labels(names: Iterable[str]) -> list[str]:
    """Those of a header's names that are two labels of time or more, all of a kind; none where several kinds
    are as many."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kind = "date" if DAY_LAST.fullmatch(name) or DAY_FIRST.fullmatch(name) else _moment(name)[0]
        if kind is not None:
            kinds.setdefault(kind, []).append(name)
    longest = max((len(alike) for alike in kinds.values()), default=0)
    found = [alike for alike in kinds.values() if len(alike) == longest]
    return found[0] if len(found) == 1 and longest > 1 else []


DAY_LAST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?!\d)(.*)")
DAY_FIRST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?!\d)(.*)")


def _as_iso(labels: list[str], where: str) -> list[str]:
    """Dates as ISO writes them, where all are written alike; other labels as they are."""
    for pattern, order in ((DAY_LAST, (1, 3, 4)), (DAY_FIRST, (4, 3, 1))):
        matches = [pattern.fullmatch(label.strip()) for label in labels]
        dates = [match for match in matches if match is not None]
        if not dates or len(dates) < len(labels):
            continue
        if pattern is DAY_FIRST and dates[0][2] != ".":
            firsts, seconds = (max(int(date[place]) for date in dates) for place in (1, 3))
            if firsts <= 12 < seconds:
                order = (4, 1, 3)
            elif max(firsts, seconds) <= 12:
                raise InputError(
                    f"{where}: {shown(labels[0])} does not say which is the day and which the month; write "
                    "dates as 2024-01-31"
                )
        return [
            "{}-{:0>2}-{:0>2}{}".format(*(date[place] for place in order), _full_hour(date[5]))
            for date in dates
        ]
    return labels


def _full_hour(time: str) -> str:
    return re.sub(r"^([ T])(\d):", r"\g<1>0\2:", time)


def _moment(label: str) -> tuple[str | None, float]:
    """What kind of label it is, and a number to put it in order by: itself, months or days."""
    text = label.strip()
    if month := re.fullmatch(r"(\d{4})[-/](\d{1,2})", text):
        return "month", float(int(month[1]) * 12 + int(month[2]))
    if re.fullmatch(r"\d{4}-?\d{2}-?\d{2}.*|\d{4}-?W\d{2}.*", text):
        try:
            moment = datetime.fromisoformat(text).replace(tzinfo=None)
        except ValueError:
            return None, 0.0
        seconds = moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6
        return "date", moment.toordinal() + seconds / 86400
    if counted := re.fullmatch(r"(\D*[^\d.+-])(\d{1,15})", text):
        return counted[1], float(counted[2])
    try:
        number = float(text)
    except ValueError:
        return None, 0.0
    return ("number", number) if math.isfinite(number) else (None, 0.0)
