"""YAML in, validated records out, and for everything a person can get wrong one line that says where, what
and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from marl_inv.common.errors import InputError, shown
from marl_inv.common.files import read_bytes, write_whole

LARGEST_FILE = 4 * 2**20
"""Bytes; a larger YAML file is refused, for parsing takes seconds a megabyte."""


DEEPEST = 50
"""Levels of nesting; YAML that is nested deeper is refused, for parsing takes seconds at a few thousand."""


KeyPath = tuple[str | int, ...]


@dataclass
class Document:
    """Plain data and where each part of it stands: `places` maps a key path to `file:line:column` or to
    `command line`."""

    name: str
    data: dict[str, Any]
    places: dict[KeyPath, str] = field(default_factory=dict)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    """What was passed over in reading it: where, and a sentence."""

    def place(self, path: KeyPath) -> str:
        """The nearest known place at or above `path`."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.name)


def read_yaml(path: str | Path) -> Document:
    """Read one mapping from a YAML 1.2 file; aliases, duplicate keys and anything but plain data are
    refused."""
    path = Path(path)
    try:
        text = read_bytes(path, 4 * LARGEST_FILE).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give the path of a YAML file"
        ) from error
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
                raise InputError(
                    f"{_place(path, event.start_mark)}: holds the alias *{event.anchor}; write the value out"
                )
            if depth > DEEPEST:
                where = _place(path, event.start_mark)
                raise InputError(
                    f"{where}: is nested more than {DEEPEST} levels deep; a scenario needs a handful"
                )
        node = YAML(typ="safe", pure=True).compose(text)
        places = dict(_places(node, str(path)))
        data = yaml.load(text)
    except InputError:
        raise
    except MarkedYAMLError as error:
        where = _place(path, error.problem_mark) if error.problem_mark else path
        raise InputError(f"{where}: is not valid YAML ({error.problem})") from error
    except (
        YAMLError,
        ValueError,
    ) as error:  # a ValueError is a scalar that looks like a date or number and is none
        raise InputError(f"{path}: is not valid YAML ({getattr(error, 'reason', None) or error})") from error
    if not isinstance(data, dict):
        raise InputError(
            f"{path}:1:1: holds {type(data).__name__ if data is not None else 'nothing'}; give a mapping of "
            "`key: value` lines"
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
                raise InputError(
                    f"{where}: has a key that is no name; write `name: value`, the name in quotes if need be"
                )
            inner = (*path, key.value)
            yield from _places(value, name, inner)
            yield inner, _place(name, key.start_mark)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield from _places(value, name, (*path, index))


def write_yaml(
    path: Path, data: Mapping[str, Any], remedy: str = "make room, or give another folder"
) -> None:
    write_whole(path, as_yaml(data), remedy)


def as_yaml(data: Mapping[str, Any]) -> str:
    yaml, text = YAML(typ="safe", pure=True), StringIO()
    yaml.default_flow_style = False
    # ruamel declares it None and sets it so nowhere else.
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    yaml.dump(dict(data), text)
    return text.getvalue()


def override(document: Document, settings: Iterable[str]) -> None:
    """Apply `key.path=value` settings to a document; an entry of a list is meant by its index or by its
    `name`."""
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
        raise InputError(
            f"command line: {keys}: {key!r} would stand inside {shown(target)}; give a shorter key"
        )
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in target]
    if key in names:
        return names.index(key)
    if key.isdecimal() and int(key) < len(target):
        return int(key)
    known = ", ".join(str(name) for name in names if name)
    raise InputError(
        f"command line: {keys}: there is no entry {key!r}; give an index below {len(target)}"
        + (f" or one of {known}" if known else "")
    )
