"""A scenario written down for others: as YAML, JSON, GraphML or CSV tables, and as a networkx graph."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx

from marl_inv.common.documents import write_yaml
from marl_inv.common.errors import InputError, shown
from marl_inv.common.files import write_whole
from marl_inv.common.records import Record
from marl_inv.common.text import csv_cell, file_name
from marl_inv.scenario.graph_files import PLACE, TABLES, without

if TYPE_CHECKING:
    from marl_inv.scenario.scenario import Scenario


NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML has no way to write."""


# Out


def scenario_graph(
    scenario: Scenario,
    fields: Callable[[Record], dict[str, Any]] = lambda record: record.model_dump(mode="json"),
) -> networkx.MultiDiGraph:
    """The scenario as a graph of plain data, which `scenario_from_graph` reads back; `fields` says which of a
    record."""
    rest = {key: value for key, value in fields(scenario).items() if key not in (*TABLES, "network")}
    graph = networkx.MultiDiGraph(**rest, lanes=[lane.name for lane in scenario.lanes])
    for kind, records in (("supplier", scenario.suppliers), ("warehouse", scenario.warehouses)):
        for record in records:
            graph.add_node(record.name, kind=kind, **without(fields(record), "name"))
    for lane in scenario.lanes:
        graph.add_edge(
            lane.origin,
            lane.destination,
            key=lane.name,
            **without(fields(lane), "name", "origin", "destination"),
        )
    return graph


def stated(record: Record) -> dict[str, Any]:
    """The fields of a record that are not what they would be if nothing were said."""
    plain = record.model_dump(mode="json", exclude_none=True)
    return {
        key: value
        for key, value in plain.items()
        if getattr(record, key) != type(record).model_fields[key].default
    }


def write_scenario(scenario: Scenario, path: str | Path) -> list[Path]:
    """Write a scenario so that it can be read back, and return the files written.

    A `.yaml` file spells everything out; `.json` (node-link) and `.graphml` files are for other programs;
    anything without an ending becomes a folder with CSV tables and the YAML file that names them.
    """
    path = Path(path)
    write = {
        ".yaml": _write_yaml,
        ".yml": _write_yaml,
        ".json": _write_node_link,
        ".graphml": _write_graphml,
        "": _write_tables,
    }
    if path.suffix not in write:
        raise InputError(
            f"{path}: ends in {path.suffix}; give .yaml, .json or .graphml, or a folder for CSV tables"
        )
    try:
        return write[path.suffix](scenario, path)
    except OSError as error:
        raise InputError(
            f"{error.filename or path}: cannot be written ({error.strerror}); {PLACE}"
        ) from error


def _write_yaml(scenario: Scenario, path: Path) -> list[Path]:
    entries = {table: [stated(record) for record in getattr(scenario, table)] for table in TABLES}
    write_yaml(path, stated(scenario) | {table: rows for table, rows in entries.items() if rows}, PLACE)
    return [path]


def _write_node_link(scenario: Scenario, path: Path) -> list[Path]:
    graph = scenario_graph(scenario, stated)
    data = {
        "directed": True,
        "multigraph": True,
        "graph": graph.graph,
        "nodes": [{"id": name} | attributes for name, attributes in graph.nodes(data=True)],
        "edges": [
            {"source": origin, "target": destination, "key": name} | attributes
            for origin, destination, name, attributes in graph.edges(keys=True, data=True)
        ],
    }
    write_whole(path, json.dumps(data, indent=1), PLACE)
    return [path]


def _write_graphml(scenario: Scenario, path: Path) -> list[Path]:
    graph = scenario_graph(scenario, stated)
    plain = [
        graph.graph,
        *(data for _, data in graph.nodes(data=True)),
        *(data for _, _, data in graph.edges(data=True)),
    ]
    for attributes in plain:
        flat = dict(_flat(attributes))
        attributes.clear()
        attributes.update(flat)
    text = "\n".join(["<?xml version='1.0' encoding='utf-8'?>", *networkx.generate_graphml(graph), ""])
    if strange := NO_XML.search(text):
        raise InputError(
            f"{path}: cannot hold {shown(strange[0])}, which stands in a name or a text; give a .json file"
        )
    write_whole(path, text, PLACE)
    return [path]


def _write_tables(scenario: Scenario, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in TABLES:
        rows = [
            {key: csv_cell(value) for key, value in _flat(stated(record))}
            for record in getattr(scenario, table)
        ]
        if rows or table == "lanes":
            columns = list(dict.fromkeys(column for row in rows for column in row)) or [
                "origin",
                "destination",
                "lead_time",
            ]
            written.append(folder / f"{table}.csv")
            text = io.StringIO(newline="")
            writer = csv.DictWriter(text, columns)
            writer.writeheader()
            writer.writerows(rows)
            write_whole(written[-1], text.getvalue(), PLACE)
    rest = without(stated(scenario), *TABLES)
    path = folder / f"{file_name(scenario.name)}.yaml"
    write_yaml(path, rest | {"network": {file.stem: file.name for file in reversed(written)}}, PLACE)
    return [path, *written]


def _flat(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str | int | float | bool]]:
    """Dotted names and flat values."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{above}{key}.")
        else:
            yield f"{above}{key}", json.dumps(inner) if isinstance(inner, list) else inner
