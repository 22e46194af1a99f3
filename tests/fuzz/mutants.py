"""Scenarios, networks and data files that are almost what they should be: mutants that keep the structure, each
from a seed."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from random import Random
from typing import Any

Path = tuple[str | int, ...]

NUMBERS = [
    0, -1, 1, 2, 0.5, -0.5, 3.7, 10**6, 10**9, 1e-45, 1e-9, 1e-300, 1e12, 1e39, 1e300, 2**31, 2**53, 2**63, 2**64,
    10**400, math.nan, math.inf, -math.inf, -0.0,
]  # fmt: skip
EXTREMES = [0, -1, 1e-45, 1e39, 2**63, 10**400, math.nan, math.inf]
TEXTS = ["", " ", "x", "shop", "nobody", "[/x]", ":cat:", "$\\frac$", "\x1b[31m", "../../up", "a\nb", "=1+1", "x" * 300,
         "\u202e", "true", "1e5", "\ud800", "_", "0"]  # fmt: skip
OTHERS = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [1, 2],
    {"low": 1, "high": 2},
    {"draw": [1, 3]},
    {"kind": "poisson"},
]
"""What may stand anywhere, and belongs almost nowhere."""


def places(data: Any, path: Path = ()) -> Iterator[Path]:
    """Where everything in plain data is, what it lies in first."""
    if path:
        yield path
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def at(data: Any, path: Path) -> Any:
    for key in path:
        data = data[key]
    return data


def numbers(data: Any) -> list[Path]:
    return [path for path in places(data) if type(at(data, path)) in (int, float)]


def changed(data: Any, path: Path, value: Any) -> Any:
    """A copy with another value there."""
    new = copy.deepcopy(data)
    at(new, path[:-1])[path[-1]] = value
    return new


def mutant(data: dict[str, Any], chance: Random, known: list[str]) -> dict[str, Any]:
    """A copy with one to three things changed; `known` are keys that may be added."""
    new = copy.deepcopy(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        where = list(places(new))
        if not where:
            break
        path = chance.choice(where)
        inside, last = at(new, path[:-1]), path[-1]
        chance.choice([_number, _number, _text, _other, _gone, _twice, _moved, _renamed, _added])(
            new, inside, last, where, chance, known
        )
    return new


def _number(new: Any, inside: Any, last: Any, where: list[Path], chance: Random, known: list[str]) -> None:
    found = [path for path in where if type(at(new, path)) in (int, float)]
    if found:
        path = chance.choice(found)
        inside, last = at(new, path[:-1]), path[-1]
        scaled = [inside[last] * 10**power for power in (-6, -1, 1, 3, 6)]
        inside[last] = chance.choice([*NUMBERS, *scaled])


def _text(new: Any, inside: Any, last: Any, where: list[Path], chance: Random, known: list[str]) -> None:
    inside[last] = chance.choice(TEXTS)


def _other(new: Any, inside: Any, last: Any, where: list[Path], chance: Random, known: list[str]) -> None:
    inside[last] = copy.deepcopy(chance.choice(OTHERS))


def _gone(new: Any, inside: Any, last: Any, where: list[Path], chance: Random, known: list[str]) -> None:
    del inside[last]


def _twice(new: Any, inside: Any, last: Any, where: list[Path], chance: Random, known: list[str]) -> None:
    if isinstance(inside, list):
        inside.insert(chance.randrange(len(inside) + 1), copy.deepcopy(inside[last]))


def _moved(new: Any, inside: Any, last: Any, where: list[Path], chance: Random, known: list[str]) -> None:
    inside[last] = copy.deepcopy(at(new, chance.choice(where)))


def _renamed(new: Any, inside: Any, last: Any, where: list[Path], chance: Random, known: list[str]) -> None:
    if isinstance(inside, dict):
        inside[chance.choice([f"{last}s", str(last)[:-1], *known])] = inside.pop(last)


def _added(new: Any, inside: Any, last: Any, where: list[Path], chance: Random, known: list[str]) -> None:
    if isinstance(inside, dict):
        inside[chance.choice(known)] = copy.deepcopy(chance.choice([*NUMBERS, *TEXTS, *OTHERS]))


def spoilt(text: str, chance: Random) -> str:
    """Text with some of it doubled, gone or replaced."""
    for _ in range(chance.choice([1, 1, 2, 4])):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.choice([1, 1, 2, 8, 40]))
        put = chance.choice(
            [
                "",
                text[start:end] * 2,
                *'"\\<>&{}[],;:\n\0\t',
                "\ufeff",
                "NaN",
                "1e39",
                "-1",
                "9" * 30,
                "1e400",
            ]
        )
        text = text[:start] + put + text[end:]
    return text


def spoilt_table(text: str, chance: Random) -> str:
    """A CSV file with cells, rows or columns that are otherwise."""
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(chance.choice([1, 1, 2, 3])):
        row = chance.randrange(len(rows))
        if not rows[row]:
            continue
        column = chance.randrange(len(rows[row]))
        kind = chance.randrange(7)
        if kind < 3:
            rows[row][column] = chance.choice(
                [
                    *map(_written, NUMBERS),
                    *(text.replace("\n", " ") for text in TEXTS[:-4]),
                    "2024-01-31",
                    '"',
                    "1_0",
                    "٣",
                ]
            )
        elif kind == 3:
            rows.insert(chance.randrange(len(rows) + 1), list(rows[row]))
        elif kind == 4:
            del rows[row][column]
        elif kind == 5:
            rows[row].insert(column, chance.choice(["", "7"]))
        elif len(rows) > 1:
            del rows[row]
    return "\n".join(",".join(cells) for cells in rows) + chance.choice(["\n", "", "\n\n"])


def _written(number: float) -> str:
    return json.dumps(number)
