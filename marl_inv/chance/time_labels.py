"""When the rows of a data file are: labels as numbers or dates, in order, with what is missing between."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise

from marl_inv.common.errors import InputError, shown

MOST_SKIPPED = 9
"""Periods that may be missing for one that is there."""


@dataclass(frozen=True)
class Timeline:
    """The periods that labels count out, from the earliest to the last."""

    kind: str | None
    values: tuple[float, ...]
    """Of the labels, in order."""
    step: float
    """From one period to the next; 0 where labels are only put in order."""
    first: str
    last: str
    told: tuple[float, ...] = field(repr=False, compare=False)
    """Of the labels, as they came."""

    @classmethod
    def of(cls, labels: Iterable[str], where: str) -> Timeline:
        """Of labels that are all whole or other numbers, alike words before whole numbers (`week 7`, `d_7`),
        or all dates, months (`2024-01`) or date-times: as ISO has them, as `2024/1/31` or `31.1.2024`, or as
        `31/1/2024` or `1/31/2024` where a day after the 12th tells which it is.

        Whole numbers, months and days that a common step counts out have periods where a step has no label;
        other numbers and times are only put in order. Raises InputError, beginning with `where`, for labels
        that are neither.
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
            step = float(math.gcd(*(int(later - earlier) for earlier, later in pairwise(values))))
        first, *_ = ordered = sorted(labels, key=lambda label: moments[label][1])
        found = cls(
            kinds.pop(), tuple(values), step, first, ordered[-1], tuple(moments[label][1] for label in labels)
        )
        if found.missing > MOST_SKIPPED * len(values):
            raise InputError(
                f"{where}: of {found.periods} periods from {shown(labels[0])} on, {found.missing} have no "
                "row; number the periods one by one"
            )
        return found

    @property
    def periods(self) -> int:
        return self._place(self.values[-1]) + 1

    @property
    def missing(self) -> int:
        """Periods between that have no label."""
        return self.periods - len(self.values)

    @property
    def places(self) -> list[int]:
        """The period of every label, in the order in which they came; 0 is the earliest."""
        return [self._place(value) for value in self.told]

    def place(self, label: str, end: bool = False) -> int | None:
        """The first period at or after a label, 0 for the earliest; as an `end`, which is not included, also
        the one after the last. None outside of these."""
        value = self._value(label)
        if value is None or value < self.values[0]:
            return None
        place = math.ceil((value - self.values[0]) / self.step) if self.step else self._place(value)
        return place if place < self.periods + end else None

    def since(self, other: Timeline) -> int | None:
        """Periods from another's first to this one's; None where they do not count alike."""
        if (self.kind, self.step) != (other.kind, other.step) or not self.step:
            return 0 if (self.kind, self.values) == (other.kind, other.values) else None
        periods = (self.values[0] - other.values[0]) / self.step
        return round(periods) if periods.is_integer() else None

    def _place(self, value: float) -> int:
        if self.step:
            return round((value - self.values[0]) / self.step)
        return bisect_left(self.values, value)

    def _value(self, label: str) -> float | None:
        """As the labels are told; the days of a month from its first, and a day as part of its month."""
        kind, value = _moment(label)
        if kind == self.kind:
            return value
        if (kind, self.kind) == ("month", "date"):
            return float(date(int(value - 1) // 12, int(value - 1) % 12 + 1, 1).toordinal())
        if (kind, self.kind) == ("date", "month"):
            day = date.fromordinal(int(value))
            return day.year * 12 + day.month + (day.day - 1) / 31
        return None


def places_in_time(labels: Iterable[str], where: str) -> tuple[dict[str, int], int]:
    """The period that every label stands for, 0 for the earliest, and how many periods between have none; see
    `Timeline.of`."""
    labels = list(labels)
    timeline = Timeline.of(labels, where)
    return dict(zip(labels, timeline.places, strict=True)), timeline.missing


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
