"""Values that many fields have: units, periods, stretches of them, shares, and a number for each product."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from marl_inv.common.documents import KeyPath
from marl_inv.common.errors import shown
from marl_inv.common.records import Record

LARGEST, SMALLEST = 1e12, 1e-9
"""Numbers beyond them are refused: in float32, products and shares of a few of them would be infinite."""


MOST_COUNTED = 1_000_000
"""Of what is counted."""


LONGEST_EPISODE = 100_000
"""Periods in an episode."""


LONGEST = 1000
"""Periods beyond which a lead time, a delay or a look at the past or the future is refused: there is a row
for each."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _is_signed(value: object) -> bool:
    return _is_number(value) or (isinstance(value, int | float) and _is_number(-value))


def _level(value: object) -> object:
    numbers = value if isinstance(value, list) else [value]
    if numbers and all(map(_is_signed, numbers)):
        return value
    raise ValueError(
        f"is {value!r}; give a number, 0 or more (below 0: customers wait), or a list of such numbers "
        "with one for each product"
    )


def _per_product(value: object) -> object:
    numbers = value if isinstance(value, list) else [value]
    if numbers and all(map(_is_number, numbers)):
        return value
    large = any(isinstance(number, int | float) and number > LARGEST for number in numbers)
    raise ValueError(
        f"is {shown(value)}; give a number, {f'{LARGEST:g} or less' if large else '0 or more'}, or a list of "
        "such numbers with one for each product"
    )


def _stretch(value: object) -> object:
    ends = list(value) if isinstance(value, list | tuple) else []
    if len(ends) == 2 and all(type(n) is int for n in ends) and 0 <= ends[0] < ends[1] <= MOST_COUNTED:
        return tuple(ends)
    if len(ends) == 2 and all(isinstance(end, str | date) for end in ends):
        return tuple(end if isinstance(end, str) else end.isoformat() for end in ends)
    told = shown(f"[{', '.join(map(str, ends))}]").strip("'") if ends else shown(value)
    raise ValueError(
        f"is {told}; give two whole numbers, first period and end: [0, 88], or two dates (labels of the "
        "period column), the end not included: [2013-01-01, 2014-09-01]"
    )


def as_duration(value: object) -> object:
    if type(value) is int and 1 <= value <= MOST_COUNTED:
        return value
    if (
        isinstance(value, list)
        and len(value) == 2
        and all(type(n) is int for n in value)
        and 1 <= value[0] <= value[1] <= MOST_COUNTED
    ):
        return tuple(value)
    raise ValueError(
        f"is {shown(value)}; give a whole number of periods, 1 or more, or two: [shortest, longest]"
    )


def kind_by(*types: type) -> Any:
    """For unions of plain values and records: tells them apart by what was written, so that an error speaks
    of the one meant."""
    return lambda value: "record" if isinstance(value, (dict, *types)) else "plain"


PerProduct = Annotated[float | list[float], BeforeValidator(_per_product)]


Level = Annotated[
    float | list[float],
    BeforeValidator(_level),
    WithJsonSchema({"type": ["number", "array"], "items": {"type": "number"}}),
]
"""An inventory level: below 0 it is what customers wait for."""


Stretch = Annotated[tuple[int, int] | tuple[str, str], BeforeValidator(_stretch)]


Periods = Annotated[int, Field(ge=0, le=LONGEST)]


Amount = Annotated[float, Field(ge=0, le=LARGEST)]


def _not_tiny(value: float) -> float:
    if value < SMALLEST:
        raise ValueError(f"is {value:g}; give a number, {SMALLEST:g} or more")
    return value


Positive = Annotated[float, Field(gt=0, le=LARGEST), AfterValidator(_not_tiny)]


Count = Annotated[int, Field(gt=0, le=MOST_COUNTED)]


Whole = Annotated[int, Field(ge=0, le=MOST_COUNTED)]


Seed = Annotated[int, Field(ge=0, le=2**53)]


Share = Annotated[float, Field(ge=0, le=1)]


class Between(Record):
    """Drawn for every replication, uniformly (whole numbers where quantities are)."""

    low: Level
    """The least, in units."""
    high: Level
    """The most, in units."""


def per_product(value: float | list[float], products: int) -> list[float]:
    """One number for each product."""
    return list(value) if isinstance(value, list) else [value] * products


NOT_PER_PRODUCT = {"explained", "factors", "values", "probabilities", "transition", "at", "correlation"}
"""Fields that hold lists of numbers which are not one for each product."""


def lists_by_product(record: Record, path: KeyPath = ()) -> Iterable[tuple[KeyPath, list[float]]]:
    """Every list of numbers in a record that should have one for each product."""
    for key in type(record).model_fields:
        value = getattr(record, key)
        if isinstance(value, Record):
            yield from lists_by_product(value, (*path, key))
        elif isinstance(value, list) and value and isinstance(value[0], Record):
            for index, entry in enumerate(value):
                yield from lists_by_product(entry, (*path, key, index))
        elif (
            isinstance(value, list)
            and value
            and isinstance(value[0], int | float)
            and key not in NOT_PER_PRODUCT
        ):
            yield (*path, key), value
