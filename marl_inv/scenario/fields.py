"""Values that many fields have: units, periods, stretches of them, shares, and a number for each product."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from marl_inv.common.records import Record

LARGEST = 1e30
"""Numbers beyond it are refused: in float32 they would soon be infinite."""


LONGEST = 1000
"""Periods beyond which a lead time or delay is refused: the pipeline holds a row for each."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _per_product(value: object) -> object:
    numbers = value if isinstance(value, list) else [value]
    if numbers and all(map(_is_number, numbers)):
        return value
    raise ValueError(
        f"is {value!r}; give a number, 0 or more, or a list of such numbers with one for each product"
    )


def _stretch(value: object) -> object:
    ends = list(value) if isinstance(value, list | tuple) else []
    if len(ends) == 2 and all(type(n) is int for n in ends) and 0 <= ends[0] < ends[1]:
        return tuple(ends)
    if len(ends) == 2 and all(isinstance(end, str | date) for end in ends):
        return tuple(end if isinstance(end, str) else end.isoformat() for end in ends)
    told = f"[{', '.join(map(str, ends))}]" if ends else repr(value)
    raise ValueError(
        f"is {told}; give two whole numbers, first period and end: [0, 88], or two dates (labels of the "
        "period column), the end not included: [2013-01-01, 2014-09-01]"
    )


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


Stretch = Annotated[tuple[int, int] | tuple[str, str], BeforeValidator(_stretch)]


Periods = Annotated[int, Field(ge=0, le=LONGEST)]


Amount = Annotated[float, Field(ge=0, le=LARGEST)]


Share = Annotated[float, Field(ge=0, le=1)]


class Between(Record):
    """Drawn for every replication, uniformly (whole numbers where quantities are)."""

    low: PerProduct
    """The least, in units."""
    high: PerProduct
    """The most, in units."""


def per_product(value: float | list[float], products: int) -> list[float]:
    """One number for each product."""
    return list(value) if isinstance(value, list) else [value] * products
