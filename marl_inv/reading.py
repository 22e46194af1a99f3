"""YAML in, validated records out, and for everything a person can get wrong one line that says where, what and how to mend it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

LARGEST_FILE = 4 * 2**20
"""Bytes; a larger YAML file is refused, for parsing takes seconds a megabyte."""

DEEPEST = 50
"""Levels of nesting; YAML that is nested deeper is refused, for parsing takes seconds at a few thousand."""


MOST_MISTAKES = 20
"""Mistakes that one message tells; a generated network may repeat one thousands of times."""


class InputError(ValueError):
    """Something a person gave is wrong; the message says where, what was given and what would work."""


class Record(BaseModel):
    """Base of every record that is read from a file: nothing is guessed, nothing unknown is let through."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


AnyRecord = TypeVar("AnyRecord", bound=BaseModel)
KeyPath = tuple[str | int, ...]


@dataclass
class Document:
    """Plain data and where each part of it stands: `places` maps a key path to `file:line:column` or to `command line`."""

    name: str
    data: dict[str, Any]
    places: dict[KeyPath, str] = field(default_factory=dict)

    def place(self, path: KeyPath) -> str:
        """The nearest known place at or above `path`."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.name)


def read_yaml(path: str | Path) -> Document:
    """Read one mapping from a YAML 1.2 file; aliases, duplicate keys and anything but plain data are refused."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a YAML file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text; give a YAML file") from error
    if len(text) > LARGEST_FILE:
        raise InputError(f"{path}: is larger than {LARGEST_FILE} bytes; give large tables as CSV")
    yaml = YAML(typ="safe", pure=True)
    try:
        depth = 0
        for event in yaml.parse(text):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if isinstance(event, AliasEvent):
                raise InputError(f"{_place(path, event.start_mark)}: holds the alias *{event.anchor}; write the value out")
            if depth > DEEPEST:
                where = _place(path, event.start_mark)
                raise InputError(f"{where}: is nested more than {DEEPEST} levels deep; a scenario needs a handful")
        node = YAML(typ="safe", pure=True).compose(text)
        places = dict(_places(node, str(path)))
        data = yaml.load(text)
    except InputError:
        raise
    except MarkedYAMLError as error:
        where = _place(path, error.problem_mark) if error.problem_mark else path
        raise InputError(f"{where}: is not valid YAML ({error.problem})") from error
    except (YAMLError, ValueError) as error:  # a ValueError is a scalar that looks like a date or number and is none
        raise InputError(f"{path}: is not valid YAML ({getattr(error, 'reason', None) or error})") from error
    if not isinstance(data, dict):
        raise InputError(
            f"{path}:1:1: holds {type(data).__name__ if data is not None else 'nothing'}; give a mapping of `key: value` lines"
        )
    return Document(str(path), data, places)


def _place(name: str | Path, mark: Any) -> str:
    """`file:line:column`, as editors count: from 1."""
    return f"{name}:{mark.line + 1}:{mark.column + 1}"


def _places(node: Node | None, name: str, path: KeyPath = ()) -> Iterable[tuple[KeyPath, str]]:
    if node is None:
        return
    yield path, _place(name, node.start_mark)
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or not str(key.tag).endswith(":str"):
                where = _place(name, key.start_mark)
                raise InputError(f"{where}: has a key that is no name; write `name: value`, the name in quotes if need be")
            inner = (*path, key.value)
            yield from _places(value, name, inner)
            yield inner, _place(name, key.start_mark)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield from _places(value, name, (*path, index))


def write_whole(file: Path, content: str | bytes, remedy: str = "make room, or give another folder") -> None:
    """Write a file; whenever the machine stops, it is the old one or the new one.

    Raises InputError, ending in the remedy, where there is no room or no permission.
    """
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as disk:
            disk.write(content.encode() if isinstance(content, str) else content)
            disk.flush()
            os.fsync(disk.fileno())
        unfinished.replace(file)
        _settle(file.parent)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise InputError(f"{file}: cannot be written ({error.strerror}); {remedy}") from error


def _settle(folder: Path) -> None:
    """Have the folder remember the file's new name, where the system can be asked to."""
    with suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_yaml(path: Path, data: Mapping[str, Any], remedy: str = "make room, or give another folder") -> None:
    write_whole(path, as_yaml(data), remedy)


def as_yaml(data: Mapping[str, Any]) -> str:
    yaml, text = YAML(typ="safe", pure=True), StringIO()
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.dump(dict(data), text)
    return text.getvalue()


def override(document: Document, settings: Iterable[str]) -> None:
    """Apply `key.path=value` settings to a document; an entry of a list is meant by its index or by its `name`."""
    for setting in settings:
        keys, equals, value = setting.partition("=")
        if not equals or not keys:
            raise InputError(f"command line: {setting!r} is not a setting; write key.path=value")
        path: list[str | int] = []
        target: Any = document.data
        *outer, last = keys.split(".")
        for key in outer:
            step = _entry(target, key, keys)
            if isinstance(target, dict) and not isinstance(target.get(step), dict | list):
                target[step] = {}
            target = target[step]
            path.append(step)
        step = _entry(target, last, keys)
        target[step] = _plain_value(value)
        path.append(step)
        for place in [place for place in document.places if place[: len(path)] == tuple(path)]:
            del document.places[place]
        document.places[tuple(path)] = "command line"


def as_settings(settings: Iterable[str]) -> list[str]:
    """Settings as a person gave them in Python; raises InputError for anything but texts."""
    if isinstance(settings, str) or not isinstance(settings, Iterable):
        raise InputError(f"settings: are {settings!r}; give a list of texts, like ['horizon=50']")
    listed = list(settings)
    if not all(isinstance(setting, str) for setting in listed):
        raise InputError(f"settings: are {settings!r}; give a list of texts, like ['horizon=50']")
    return listed


def _plain_value(text: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError):
        return text


def _entry(target: Any, key: str, keys: str) -> str | int:
    if isinstance(target, dict):
        return key
    if not isinstance(target, list):
        raise InputError(f"command line: {keys}: {key!r} would stand inside {shown(target)}; give a shorter key")
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in target]
    if key in names:
        return names.index(key)
    if key.isdecimal() and int(key) < len(target):
        return int(key)
    known = ", ".join(str(name) for name in names if name)
    raise InputError(
        f"command line: {keys}: there is no entry {key!r}; give an index below {len(target)}" + (f" or one of {known}" if known else "")
    )


def validate(model: type[AnyRecord], document: Document) -> AnyRecord:
    """Check a document against its schema; every mistake found becomes a line of one InputError."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        problems = error.errors()
        lines = list(dict.fromkeys(_explain(problem, model, document) for problem in problems[:MOST_MISTAKES]))
        if len(problems) > MOST_MISTAKES:
            lines.append(f"{document.name}: has {len(problems) - MOST_MISTAKES} more mistakes; mend these first")
        raise InputError("\n".join(lines)) from None


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
        return f"{document.place((*path, tag))}: {name}.{tag} is {shown(given[tag])}; give one of {problem['ctx']['expected_tags']}"
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


def shown(value: Any) -> str:
    """A value as an error line quotes it, short enough to read."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def _path_in(data: Any, location: KeyPath) -> tuple[KeyPath, Any]:
    """The part of a pydantic location that exists in the data (it also names union members, which do not), and the value there."""
    path: list[str | int] = []
    for part in location:
        inside = (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int) and part < len(data))
        if inside:
            data = data[part]
            path.append(part)
    return tuple(path), data


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
            node = next((choice for choice in node.get("oneOf", []) if ("items" in choice) == (part == "list")), {})
    return list(_resolve(node, schema).get("properties", {}))


def _resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    for choice in node.get("anyOf", []):
        if "$ref" in choice or "discriminator" in choice:
            node = choice
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


def suggestion(given: str, known: Iterable[str]) -> str:
    """The end of an error line about an unknown name: what was probably meant, or what there is."""
    known = list(known)
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known are {', '.join(known)}" if known else ""
