"""What attributes of nodes and edges, and columns of tables, mean: one rule for every kind of file and for
graphs from Python. What a record does not have is refused where a key of it was probably meant, and otherwise
passed over and told of."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import networkx

from marl_inv.common.errors import ALSO_CALLED, InputError, shown
from marl_inv.common.records import Record
from marl_inv.scenario.fields import LARGEST
from marl_inv.scenario.places import Lane

SUPPLIERS = {"supplier", "vendor", "manufacturer", "factory", "plant"}
"""What other programs call a node of kind `supplier`."""


def _own(record: type[Record]) -> set[str]:
    """What says which entry it is, and how far it is, and is no field of the record."""
    return {"name", "origin", "destination", "distance"} if record is Lane else {"name", "kind"}


class PassedOver:
    """What was read and means nothing here: by its source and what it is said of."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, str], dict[str, None]] = {}

    def add(self, source: str, what: str, key: str) -> None:
        self.keys.setdefault((source, what), {})[key] = None

    def remarks(self) -> list[tuple[str, str]]:
        return [
            (source, f"{_listed(list(keys))} of {what} means nothing here and is passed over")
            for (source, what), keys in self.keys.items()
        ]


def _listed(keys: Sequence[str], most: int = 8) -> str:
    words = [_word(key) for key in keys[:most]]
    return ", ".join(words) + (f" and {len(keys) - most} more" if len(keys) > most else "")


def known(
    attributes: Mapping[Any, Any], record: type[Record], place: str, source: str, passed: PassedOver
) -> dict[str, Any]:
    """The attributes that are fields of the record, as plain data; dotted names as mappings in each other.

    Raises InputError for an attribute that was probably meant as another.
    """
    given = nested({str(key): value for key, value in attributes.items()}, place)
    own = _own(record)
    fields = record.model_fields.keys() - own
    for key, value in given.items():
        if key in fields or key in own or key.startswith("_"):
            continue
        word = value.strip().lower() if isinstance(value, str) else ""
        if word in SUPPLIERS and record is not Lane and "kind" not in given:
            raise InputError(f"{place}: {_word(key)} is {value!r}; did you mean kind: supplier?")
        if meant := meant_by(key, record, given):
            raise InputError(f"{place}: {_word(key)} is not a known attribute; did you mean {meant}?")
        passed.add(source, f"{record.__name__.lower()}s", key)
    return {key: plain(value) for key, value in given.items() if key in fields and value is not None}


def _word(key: str) -> str:
    return shown(key).strip("'")


def meant_by(key: str, record: type[Record], given: Iterable[str] = ()) -> str | None:
    """The field that an unknown attribute was probably meant to be; not one that other systems call so where
    all that it may mean is among those `given`."""
    slip, others = _meant(key, record)
    return slip or (" or ".join(others) if not set(others) <= set(given) else None)


@cache
def _meant(key: str, record: type[Record]) -> tuple[str | None, tuple[str, ...]]:
    plainly = re.sub(r"[\s\-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key.strip())).lower()
    fields = [field for field in record.model_fields if field not in _own(record)]
    others = tuple(field for field in ALSO_CALLED.get(plainly, ()) if field in fields)
    close = difflib.get_close_matches(plainly, fields, n=1, cutoff=0.85)
    return (None if others else next(iter(close), None)), others


def nested(
    flat: Mapping[str, Any], place: str, read: Callable[[str, Any], Any] = lambda _, value: value
) -> dict[str, Any]:
    """Dotted names as mappings in each other, and values as `read` takes them."""
    deep: dict[str, Any] = {}
    for key, value in flat.items():
        target, (*outer, last) = deep, key.split(".")
        for part in outer:
            target = target.setdefault(part, {})
            if not isinstance(target, dict):
                raise InputError(f"{place}: has both {part} and {key}; give one of them")
        if last in target:
            raise InputError(f"{place}: has both {key} and more of it; give one of them")
        target[last] = read(last, value)
    return deep


def plain(value: Any) -> Any:
    """Numbers of numpy as Python's, at any depth, and whole ones as such: other programs write a lead time as
    2.0."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


Edge = tuple[Any, Any, Any, dict[str, Any]]


def named_lanes(graph: networkx.MultiDiGraph, called: Mapping[Any, str]) -> Iterator[tuple[str, Edge]]:
    """The edges in order, each with its lane's name: the edge's own, or its key if it is a text that no other
    edge has; otherwise its ends, with what tells it from others."""
    edges = _in_order(graph)
    own = [_own_name(key, attributes) for *_, key, attributes in edges]
    times = Counter(own)
    taken = {name for name in own if name is not None and times[name] == 1}
    for name, edge in zip(own, edges, strict=True):
        ends = f"{called[edge[0]]}->{called[edge[1]]}"
        if name is not None and times[name] == 1:
            yield name, edge
        else:
            unique = _unused(ends if name in (None, ends) else f"{ends} {name}", taken)
            taken.add(unique)
            yield unique, edge


def _own_name(key: Any, attributes: Mapping[str, Any]) -> str | None:
    if attributes.get("name") is not None:
        return str(attributes["name"])
    return key if isinstance(key, str) else None


def _in_order(graph: networkx.MultiDiGraph) -> list[Edge]:
    """The edges, in the order of their table, or that the graph's `lanes` give."""
    names = graph.graph.get("lanes")
    listed = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    order = {name: position for position, name in enumerate(listed)}
    return sorted(
        graph.edges(keys=True, data=True),
        key=lambda edge: edge[3].get("_order", order.get(edge[2], len(order))),
    )


def _unused(name: str, names: Collection[str]) -> str:
    first, number = name, 2
    while name in names:
        name = f"{first} {number}"
        number += 1
    return name


def check_ends(attributes: Mapping[str, Any], ends: Mapping[str, str], place: str) -> None:
    for end in ("origin", "destination"):
        if str(attributes.get(end, ends[end])) != ends[end]:
            raise InputError(
                f"{place}: {end} is {shown(attributes[end])}, and the edge's is {ends[end]!r}; remove one"
            )


def distance(attributes: Mapping[str, Any], place: str) -> int | float:
    given = plain(attributes.get("distance", 1.0))
    if type(given) not in (int, float) or not 0 <= given <= LARGEST:
        raise InputError(f"{place}: distance is {given!r}; give a number, 0 or more")
    return given
