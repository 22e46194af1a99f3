"""Records of what a file says, checked by pydantic, and its mistakes in the reader's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from marl_inv.common.documents import DEEPEST, Document, KeyPath
from marl_inv.common.errors import InputError, shown, suggestion

MOST_MISTAKES = 20
"""Mistakes that one message tells; a generated network may repeat one thousands of times."""


class Record(BaseModel):
    """Base of every record that is read from a file: nothing is guessed, nothing unknown is let through."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


AnyRecord = TypeVar("AnyRecord", bound=BaseModel)


def validate(model: type[AnyRecord], document: Document) -> AnyRecord:
    """Check a document against its schema; every mistake found becomes a line of one InputError."""
    check_plain(document)
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        problems = error.errors()
        lines = list(
            dict.fromkeys(_explain(problem, model, document) for problem in problems[:MOST_MISTAKES])
        )
        if len(problems) > MOST_MISTAKES:
            lines.append(
                f"{document.name}: has {len(problems) - MOST_MISTAKES} more mistakes; mend these first"
            )
        raise InputError("\n".join(lines)) from None


def check_plain(document: Document) -> None:
    """Raise InputError for values that nothing can be done with: halves of characters, which no file can
    hold, numbers beyond 64 bits, and what is nested too deep."""
    for path, value in _values(document.data):
        if fault := _fault(value, len(path)):
            name = ".".join(map(str, path))
            raise InputError(f"{document.place(path)}: {name} is {shown(value)}, {fault}")


def _fault(value: Any, depth: int) -> str | None:
    """What is wrong with a single value, and what would work."""
    if depth > DEEPEST:
        return f"nested more than {DEEPEST} levels deep; write it flat"
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
        return "which holds half a character; give whole ones"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "which is beyond 64 bits; give a smaller number"
    return None


def _values(data: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """All text and all numbers in plain data, keys too, and what is nested too deep."""
    if isinstance(data, str | int) or len(path) > DEEPEST:
        yield path, data
    elif isinstance(data, dict):
        for key, value in data.items():
            if isinstance(key, str):
                yield path, key
                yield from _values(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _values(value, (*path, index))


def _explain(problem: Mapping[str, Any], model: type[BaseModel], document: Document) -> str:
    path, given = _path_in(document.data, problem["loc"])
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    where = f"{document.place(path)}:"
    kind, message = problem["type"], problem["msg"]
    if kind == "extra_forbidden":
        known = _keys_at(model, problem["loc"][:-1])
        return f"{where} {name} is not a known key{suggestion(str(path[-1]), known) or '; remove it'}"
    if kind == "missing":
        missing = ".".join(filter(None, (name, str(problem["loc"][-1]))))
        return f"{where} {missing} is missing; add it"
    if kind == "value_error":
        return f"{where} {name + ' ' if name else ''}{problem['ctx']['error']}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = problem["ctx"]["discriminator"].strip("'")
        if kind == "union_tag_not_found":
            return f"{where} {name}.{tag} is missing; add it"
        return (
            f"{document.place((*path, tag))}: {name}.{tag} is {shown(given[tag])}; give one of "
            f"{problem['ctx']['expected_tags']}"
        )
    remedy = REMEDIES.get(kind) or re.sub(r"^Input should (be|have) ", "give ", message)
    return f"{where} {name} is {shown(given)}; {remedy.format(**problem.get('ctx', {}))}"


REMEDIES = {
    "bool_type": "give true or false",
    "finite_number": "give an ordinary number",
    "float_type": "give a number",
    "greater_than": "give a number above {gt:g}",
    "greater_than_equal": "give a number, {ge:g} or more",
    "int_from_float": "give a whole number",
    "int_type": "give a whole number",
    "less_than_equal": "give a number, {le:g} or less",
    "list_type": "give a list",
    "model_attributes_type": "give a mapping of `key: value` lines",
    "model_type": "give a mapping of `key: value` lines",
    "string_type": "give text, in quotes if it looks like a number",
    "too_short": "give a list with at least {min_length} entry",
}
"""What would work, by pydantic's type of error; of the others pydantic's own words are shown."""


def _path_in(data: Any, location: KeyPath) -> tuple[KeyPath, Any]:
    """The part of a pydantic location that exists in the data (it also names union members, which do not),
    and the value there."""
    path: list[str | int] = []
    for part in location:
        if _is_in(data, part):
            data = data[part]
            path.append(part)
    return tuple(path), data


def _is_in(data: Any, part: str | int) -> bool:
    return (isinstance(data, dict) and part in data) or (
        isinstance(data, list) and isinstance(part, int) and part < len(data)
    )


def _keys_at(model: type[BaseModel], location: KeyPath) -> list[str]:
    """The keys allowed at a location, following pydantic's own JSON schema."""
    schema = model.model_json_schema()
    node: dict[str, Any] = schema
    for part in location:
        node = _resolve(node, schema)
        if isinstance(part, int):
            node = node.get("items", {})
        elif part in node.get("properties", {}):
            node = node["properties"][part]
        elif part in node.get("discriminator", {}).get("mapping", {}):
            node = {"$ref": node["discriminator"]["mapping"][part]}
        else:
            node = next(
                (choice for choice in node.get("oneOf", []) if ("items" in choice) == (part == "list")), {}
            )
    return list(_resolve(node, schema).get("properties", {}))


def _resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    for choice in node.get("anyOf", []):
        if "$ref" in choice or "discriminator" in choice:
            node = choice
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node
