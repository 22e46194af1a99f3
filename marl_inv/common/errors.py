"""What a person got wrong, in one line: where, what was given, what would work."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from marl_inv.common.text import message


class InputError(ValueError):
    """Something a person gave is wrong; the message says where, what was given and what would work, in lines
    that are safe to print."""

    def __init__(self, told: str) -> None:
        super().__init__(message(told))


def shown(value: Any) -> str:
    """A value as an error line quotes it, short enough to read."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python writes out no number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


OPPOSITES = (
    *({"min", "max"}, {"minimum", "maximum"}, {"low", "high"}, {"least", "most"}, {"first", "last"}),
    *({"origin", "destination"}, {"inbound", "outbound"}, {"supplier", "customer"}, {"holding", "shortage"}),
    *({"lost", "backordered"}, {"start", "end"}),
)
"""Words that make of one name another, however alike the two are."""


def _opposite(given: str, name: str) -> bool:
    mine, theirs = (set(re.split(r"[\W_]+", text)) for text in (given, name))
    return any(mine & pair and theirs & pair and not mine & theirs & pair for pair in OPPOSITES)


def suggestion(given: str, known: Iterable[str]) -> str:
    """The end of an error line about an unknown name: what was probably meant, or what there is."""
    known = list(known)
    alike = [name for name in known if not _opposite(given, name)]
    close = difflib.get_close_matches(given, alike, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known are {', '.join(known)}" if known else ""


class CheckFailed(AssertionError):
    """Something does not hold; the message says where, when and what, in one line."""
