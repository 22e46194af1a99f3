"""Values that many fields have: units, periods, stretches of them, shares, and a number for each product."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from marl_inv.common.records import Record

LARGEST = 1e30
"""Numbers beyond it are refused: in float32 they would soon be infinite."""


LONGEST = 1000
"""Periods beyond which a lead time or delay is refused: the pipeline holds a row for each."""


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
    raise ValueError(
        f"is {value!r}; give a number, 0 or more, or a list of such numbers with one for each product"
    )


def _stretch(value: object) -> object:
    if (
        isinstance(value, list)
        and len(value) == 2
        and all(type(n) is int for n in value)
        and 0 <= value[0] < value[1]
    ):
        return tuple(value)
    raise ValueError(f"is {value!r}; give two whole numbers, first period and end: [0, 88]")


def as_duration(value: object) -> object:
    if type(value) is int and value >= 1:
        return value
    if (
        isinstance(value, list)
        and len(value) == 2
        and all(type(n) is int for n in value)
        and 1 <= value[0] <= value[1]
    ):
        return tuple(value)
    raise ValueError(f"is {value!r}; give a whole number of periods, 1 or more, or two: [shortest, longest]")


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


Stretch = Annotated[tuple[int, int], BeforeValidator(_stretch)]


Periods = Annotated[int, Field(ge=0, le=LONGEST)]


Amount = Annotated[float, Field(ge=0, le=LARGEST)]


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
