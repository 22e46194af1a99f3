"""The reference pages, made from what they are about: records of files, the command line, public names.

`write(folder)` leaves a Markdown file for each, which a page of docs/ includes. What a key means is said at
its field, in the code; its unit is said here.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel, create_model

import marl_inv
from marl_inv.cli import app as command_line
from marl_inv.experiments.experiment import Experiment
from marl_inv.learning.settings import OWN_DEFAULTS, TrainSettings
from marl_inv.models.settings import ModelSettings
from marl_inv.scenario import Scenario
from marl_inv.scenario.expansion import SOURCES

BEYOND = 1e29
"""Bounds so far out are for computers; the page says so once."""

UNITS = {
    # times
    "horizon": "periods",
    "warm_up": "periods",
    "history": "periods",
    "first": "period",
    "every": "periods",
    "length": "periods",
    "notice": "periods",
    "period": "periods",
    "peak": "period",
    "at": "periods",
    "duration": "periods",
    "periods": "periods",
    "Arrival.period": "period",
    "review_period": "periods",
    "first_review": "period",
    "lead_time": "periods",
    "order_delay": "periods",
    "TruthPlusNoise.horizon": "periods",
    "Evolution.horizon": "periods",
    "explained": "share of the variance of demand",
    "RandomLeadTime.values": "periods",
    "Empirical.train": "periods",
    "Empirical.evaluate": "periods",
    "lead_time_per_distance": "periods per distance",
    # goods
    "volume": "volume per unit",
    "Supplier.capacity": "volume per period",
    "Lane.capacity": "volume per period",
    "Pool.capacity": "volume per period",
    "capacity_per_warehouse": "volume per period",
    "storage": "volume",
    "vehicle_capacity": "volume",
    "initial_stock": "units",
    "initial_shipments": "units per period",
    "Arrival.units": "units",
    "minimum_order": "units",
    "pack_size": "units",
    "initial_orders": "units per period",
    "max_reserve": "units",
    "max_request": "units per period",
    "mean": "units per period",
    "sd": "units per period",
    "low": "units",
    "high": "units",
    "DiscreteUniform.low": "units per period",
    "DiscreteUniform.high": "units per period",
    "KnownDemand.values": "units per period",
    "Utility.least": "units",
    # money
    "holding_cost": "money per unit and period",
    "shortage_cost": "money per unit (backordered: and period)",
    "overflow_cost": "money per unit (kept: and period)",
    "price": "money per unit",
    "salvage_value": "money per unit",
    "procurement_cost": "money per unit",
    "transport_cost": "money per unit",
    "transport_cost_per_distance": "money per unit and distance",
    "in_transit_cost": "money per unit and period",
    "shipment_cost": "money per shipment",
    "vehicle_cost": "money per vehicle",
    "transfer_price": "money per unit",
    "Promotion.cost": "money per level and period",
    "stock_weight": "utility per unit",
    # what has none
    "weights": "factor",
    "discount_factor": "factor",
    "correlation": "-1 to 1",
    "count": "products",
    "level": "level",
    "max_level": "level",
    "uplift": "share per level",
    "dip": "share per level",
    "recovery": "share",
    "amplitude": "share",
    "factors": "factor",
    "Surge.factor": "factor",
    "Outage.factor": "share",
    "trend": "share per period",
    "stay": "probability",
    "transition": "probability",
    "probability": "probability",
    "probabilities": "probability",
    "error": "share of mean demand",
    "fill_rate": "share",
    "priority": "rank",
    "seed": "",
    "suppliers": "suppliers",
    "fed": "share, or names",
    "size": "warehouses",
    "neighbours": "warehouses",
    "rows": "warehouses",
    "columns": "warehouses",
    "radius": "distance",
    "shops": "warehouses",
    "centres": "warehouses",
    "sources": "centres",
    "branching": "warehouses",
    "depth": "lanes",
}
"""Of numbers, by `Record.key` or, where it is the same in every record, by key."""


def write(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    pages = {
        "scenario_keys": scenario_keys,
        "network_keys": network_keys,
        "training_settings": training_settings,
        "experiment_keys": experiment_keys,
        "commands": commands,
        "public_names": public_names,
    }
    for name, page in pages.items():
        (folder / f"{name}.md").write_text(page(), encoding="utf-8")


# Records


def scenario_keys() -> str:
    own = [key for key in inspect.get_annotations(Scenario) if key in Scenario.model_fields]
    return Records(Scenario, first=own).page()


def network_keys() -> str:
    kinds: dict[str, Any] = {key: (kind, ...) for key, kind in SOURCES.items()}
    network: Any = create_model("Network", **kinds)
    return Records(network, known=Records(Scenario).names(), at="network").page(top=False)


def experiment_keys() -> str:
    return Records(Experiment, units=False, level=3).page()


def training_settings() -> str:
    model = dict.fromkeys(ModelSettings.model_fields)
    algorithm = [key for key in TrainSettings.model_fields if key not in model]
    records = Records(TrainSettings, units=False)
    parts = [
        "## The algorithm",
        records.table(records.schema, algorithm),
        "## The model",
        records.table(records.schema, list(model)),
        *(records.section(name, where) for name, where in records.found().items()),
    ]
    return "\n\n".join([*parts, "## Defaults of algorithms", _own_defaults()]) + "\n"


def _own_defaults() -> str:
    """Only what differs from the fields' defaults; algorithms with the same ones share a column."""
    alike: dict[str, list[str]] = {}
    for algorithm, defaults in OWN_DEFAULTS.items():
        alike.setdefault(json.dumps(defaults), []).append(algorithm)
    columns = {", ".join(names): json.loads(defaults) for defaults, names in alike.items()}
    keys = [
        key for key in TrainSettings.model_fields if any(key in defaults for defaults in columns.values())
    ]
    rows = [
        [f"`{key}`", _plain(TrainSettings.model_fields[key].default)]
        + [_plain(defaults[key]) if key in defaults else "" for defaults in columns.values()]
        for key in keys
    ]
    return _table(["", "mappo, ippo", *columns], rows)


class Records:
    """The sections of a record and of all that it holds, by pydantic's JSON schema of it."""

    def __init__(
        self,
        record: type[BaseModel],
        first: list[str] | None = None,
        units: bool = True,
        known: set[str] | None = None,
        at: str = "",
        level: int = 2,
    ) -> None:
        self.at, self.level = at, level
        self.schema, self.units, self.first = record.model_json_schema(), units, first or []
        self.known = known or set()
        """Records that another page tells of."""

    def names(self) -> set[str]:
        return set(self.schema.get("$defs", {}))

    def page(self, top: bool = True) -> str:
        parts = [self.table(self.schema, self._in_order(self.schema))] if top else []
        parts += [self.section(name, where) for name, where in self.found().items() if name not in self.known]
        return "\n\n".join(parts) + "\n"

    def found(self) -> dict[str, str]:
        """Every record within, and the first place that it may stand at."""
        places: dict[str, str] = {}
        seen: set[str] = set()
        waiting = [(self.at or key, self.schema["properties"][key]) for key in self._in_order(self.schema)]
        while waiting:
            place, node = waiting.pop(0)
            inside = []
            for name, suffix in _references(node):
                nearer = place.count(".") < places.get(name, ".").count(".")
                places[name] = (
                    place + suffix if name in places and nearer else places.get(name, place + suffix)
                )
                if name not in seen:
                    seen.add(name)
                    properties = self.schema["$defs"][name].get("properties", {})
                    inside += [
                        (f"{place}{suffix}.{key}", properties[key])
                        for key in self._in_order(self.schema["$defs"][name])
                    ]
            waiting = inside + waiting
        return places

    def _in_order(self, node: dict[str, Any]) -> list[str]:
        """What tells kinds apart first, and a record's own keys before those that it has in common with
        others."""
        keys = list(node.get("properties", {}))
        first = [key for key in keys if "const" in node["properties"][key]] + (
            self.first if node is self.schema else []
        )
        return [*first, *(key for key in keys if key not in first)]

    def section(self, name: str, where: str) -> str:
        node = self.schema["$defs"][name]
        kinds = [
            f", with `{key}: {each['const']}`"
            for key, each in node.get("properties", {}).items()
            if "const" in each
        ]
        told = [
            f"({_anchor(name)})=\n{'#' * self.level} {_title(name)}",
            f"At `{where}`{''.join(kinds)}. {_words(node.get('description', ''))}".strip(),
        ]
        keys = self._in_order(node)
        if name.endswith("Template"):
            of = name.removeprefix("Optional").removesuffix("Template")
            there = {"name", "origin", "destination", *self._keys_of(of)} - {
                "lead_time" if name.startswith("Optional") else ""
            }
            told.append(
                f"The keys of {_link(of, _title(of).lower())} without what tells one from another; for any "
                "number, "
                "`{draw: [2, 8]}` draws one for each entry."
            )
            keys = [key for key in keys if key not in there]
        return "\n\n".join([*told, self.table(node, keys, name)] if keys else told)

    def _keys_of(self, name: str) -> list[str]:
        return list(Scenario.model_json_schema()["$defs"][name]["properties"])

    def table(self, node: dict[str, Any], keys: list[str], name: str = "") -> str:
        rows = []
        for key in keys:
            field = node["properties"][key]
            value = (
                "a [generator, a graph file, or tables](networks.md)"
                if key == "network"
                else self.value(field)
            )
            unit = UNITS.get(f"{name}.{key}", UNITS.get(key, "")) if self.units and _is_number(field) else ""
            default = "*required*" if key in node.get("required", []) else _plain(field.get("default"))
            rows.append(
                [
                    f"`{key}`",
                    value + (f"<br>*{unit}*" if unit else ""),
                    default,
                    _words(field.get("description", "")),
                ]
            )
        return _table(["key", "value", "default", "meaning"], rows)

    def value(self, node: dict[str, Any]) -> str:
        """What may be given, in words."""
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[1]
            return _link(name, _title(name).lower())
        choices = [
            each for each in (*node.get("anyOf", []), *node.get("oneOf", [])) if each.get("type") != "null"
        ]
        if "discriminator" in node:
            return "one of: " + ", ".join(self.value(each) for each in choices)
        if node.get("type") == ["number", "array"]:
            return "number, or a list with one for each product"
        if choices == [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]:
            return "number, 0 or more, or a list with one for each product"
        if choices:
            return " or ".join(dict.fromkeys(self.value(each) for each in choices))
        if "const" in node:
            return f"`{node['const']}`"
        if "enum" in node:
            return ", ".join(f"`{each}`" for each in node["enum"])
        if node.get("type") == "array":
            if "prefixItems" in node:
                return f"two of: {self.value(node['prefixItems'][0])}"
            few = ", not empty" if node.get("minItems") else ""
            return f"list of: {self.value(node.get('items', {}))}{few}"
        if node.get("type") == "object":
            more = node.get("additionalProperties")
            return f"mapping; values: {self.value(more)}" if isinstance(more, dict) else "mapping"
        words = {
            "integer": "whole number",
            "number": "number",
            "string": "text",
            "boolean": "`true` or `false`",
        }
        return words.get(node.get("type", ""), "anything") + _bounds(node)


def _references(node: Any, suffix: str = "") -> Iterator[tuple[str, str]]:
    """Records that a field may hold, each with what its place ends with."""
    if isinstance(node, list):
        for each in node:
            yield from _references(each, suffix)
    elif isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rsplit("/", 1)[1], suffix
        for key in ("anyOf", "oneOf", "items", "additionalProperties"):
            yield from _references(
                node.get(key), suffix + "[]" * (key == "items") + ".KEY" * (key == "additionalProperties")
            )


def _is_number(node: Any) -> bool:
    """Whether a number, or some, may be given."""
    if isinstance(node, list):
        return any(map(_is_number, node))
    if not isinstance(node, dict):
        return False
    inner = (node.get(key) for key in ("anyOf", "oneOf", "items", "prefixItems", "additionalProperties"))
    return node.get("type") in ("integer", "number", ["number", "array"]) or any(map(_is_number, inner))


def _bounds(node: dict[str, Any]) -> str:
    words = {
        "exclusiveMinimum": "above {}",
        "minimum": "{} or more",
        "exclusiveMaximum": "below {}",
        "maximum": "{} or less",
    }
    told = [
        text.format(f"{node[key]:,}")
        for key, text in words.items()
        if key in node and abs(node[key]) < BEYOND
    ]
    if "exclusiveMinimum" in node and node["type"] == "integer":
        told[0] = f"{node['exclusiveMinimum'] + 1} or more"
    return "".join(f", {each}" for each in told)


def _title(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


def _anchor(name: str) -> str:
    return "record-" + _title(name).lower().replace(" ", "-")


def _link(name: str, text: str) -> str:
    return f"[{text}](#{_anchor(name)})"


def _plain(value: Any) -> str:
    """A default as YAML has it; nothing where it is what absence means."""
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, dict) or (isinstance(value, list) and isinstance(value[0], dict)):
        return "its defaults" if isinstance(value, dict) else "one product"
    text = json.dumps(value)
    return f"`{value:,}`".replace(",", "_") if type(value) is int else f"`{text.strip(chr(34))}`"


def _words(text: str) -> str:
    return " ".join(text.split())


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


# The command line


def commands() -> str:
    app: Any = typer.main.get_command(command_line)
    top = app.context_class(app, info_name="marl-inv")
    parts = [
        f"{_words(app.help or '')} `marl-inv --help` and `marl-inv COMMAND --help` say the same as this page."
    ]
    for name in app.list_commands(top):
        command = app.get_command(top, name)
        context = command.context_class(command, info_name=name, parent=top)
        usage = command.get_usage(context).removeprefix("Usage: ")
        parts += [f"## {name}", _words(command.help or ""), f"```text\n{_words(usage)}\n```"]
        rows = [_parameter(each) for each in command.params if not getattr(each, "hidden", False)]
        if rows:
            parts.append(_table(["", "default", ""], rows))
    return "\n\n".join(parts) + "\n"


def _parameter(parameter: Any) -> list[str]:
    argument = parameter.param_type_name == "argument"
    names = (
        [(parameter.metavar or parameter.name).upper()]
        if argument
        else [*parameter.opts, *parameter.secondary_opts]
    )
    told = " ".join(f"`{name}`" for name in names)
    default = (
        "*required*"
        if parameter.required
        else _plain(parameter.default if type(parameter.default) in (int, float, str) else None)
    )
    if isinstance(parameter.default, Path):
        default = f"`{parameter.default}`"
    return [told, default, _words(parameter.help or "")]


# Python


def public_names() -> str:
    return "\n\n".join(_documented(name, getattr(marl_inv, name)) for name in marl_inv.__all__) + "\n"


def _documented(name: str, thing: Any) -> str:
    if not inspect.isfunction(thing) and not inspect.isclass(thing):
        return _directive("py:data", f"marl_inv.{name}", [])
    [node] = ast.parse(textwrap.dedent(inspect.getsource(thing))).body
    if isinstance(node, ast.FunctionDef):
        return _directive(
            "py:function", f"marl_inv.{name}{_signature(node)}", [ast.get_docstring(node) or ""]
        )
    assert isinstance(node, ast.ClassDef)
    assert isinstance(thing, type)
    kind = "py:exception" if issubclass(thing, Exception) else "py:class"
    return _directive(kind, f"marl_inv.{name}", [ast.get_docstring(node) or "", *_members(node, thing)])


def _members(node: ast.ClassDef, thing: type) -> Iterator[str]:
    """Fields with what is said below them, properties and methods; a record's keys have a page of their
    own."""
    record = issubclass(thing, BaseModel)
    for each, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(each, ast.AnnAssign) and not record and not ast.unparse(each.target).startswith("_"):
            said = (
                following.value.value
                if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                else ""
            )
            yield _directive(
                "py:attribute",
                f"{ast.unparse(each.target)}",
                [inspect.cleandoc(str(said))],
                type=ast.unparse(each.annotation),
            )
        if isinstance(each, ast.FunctionDef) and not each.name.startswith("_"):
            plain = any("property" in ast.unparse(decorator) for decorator in each.decorator_list)
            said = [ast.get_docstring(each) or ""]
            if plain:
                yield _directive(
                    "py:property",
                    each.name,
                    said,
                    **{"type": ast.unparse(each.returns)} if each.returns else {},
                )
            else:
                yield _directive("py:method", f"{each.name}{_signature(each)}", said)


def _signature(node: ast.FunctionDef) -> str:
    if node.args.args and node.args.args[0].arg in ("self", "cls"):
        node.args.args = node.args.args[1:]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(node.args)}){returns}"


def _directive(kind: str, title: str, parts: list[str], **options: str) -> str:
    """Fences are longer than those of what is within."""
    body = "\n\n".join(part for part in parts if part)
    fence = ":" * (1 + max([2, *(len(found) for found in re.findall(r"^:+", body, re.MULTILINE))]))
    told = "".join(f":{key}: {value}\n" for key, value in options.items())
    return f"{fence}{{{kind}}} {title}\n{told}\n{body}\n{fence}"
