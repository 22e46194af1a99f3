"""Networks in other hands: a scenario as a networkx graph, and such graphs as node-link JSON, GraphML and CSV
tables.

In the graph every node has `kind` (`supplier` or `warehouse`; a warehouse when absent) and the fields of
`places.Supplier` or `places.Warehouse`; every edge, keyed by the lane's name, has those of `places.Lane`; the
graph has the other fields of the scenario, and `lanes`, their names in order. In GraphML and CSV, which hold
only flat values, what is nested has a dotted name (`demand.mean`), and lists are JSON text.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import networkx

from marl_inv.common.errors import InputError, suggestion
from marl_inv.common.files import LARGEST_NETWORK, open_table, read_bytes
from marl_inv.common.records import Record
from marl_inv.common.text import from_csv_cell
from marl_inv.scenario.places import Lane, Supplier, Warehouse

TABLES = {"suppliers": Supplier, "warehouses": Warehouse, "lanes": Lane}
"""What a network is made of, and the record of each row."""


NODE_LINK = '{"nodes": [{"id": "shop"}], "edges": [{"source": "mill", "target": "shop", "lead_time": 2}]}'


WORDS = {"name", "origin", "destination", "source_lane", "kind"}
"""Columns and attributes that are text even where it looks like a number."""


PLACE = "give another place"
"""What to do where nothing can be written."""


def without(fields: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in keys}


# In


def read_graph(path: Path) -> networkx.MultiDiGraph:
    """A graph from a node-link JSON or GraphML file, with nested attributes nested again."""
    readers = {".json": _read_node_link, ".graphml": _read_graphml}
    if path.suffix not in readers:
        raise InputError(
            f"{path}: ends in {path.suffix or 'nothing'}; give a network as .json (node-link) or .graphml"
        )
    try:
        return directed(readers[path.suffix](read_bytes(path, LARGEST_NETWORK), path))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give the path of a network file"
        ) from error


def directed(graph: networkx.Graph) -> networkx.MultiDiGraph:
    """Any networkx graph as one with lanes; an undirected edge is a lane each way."""
    lanes = networkx.MultiDiGraph()
    lanes.graph.update(graph.graph)
    lanes.add_nodes_from(graph.nodes(data=True))
    edges = (
        graph.edges(keys=True, data=True)
        if isinstance(graph, networkx.MultiGraph)
        else graph.edges(data=True)
    )
    for origin, destination, *key, attributes in edges:
        if graph.is_directed():
            lanes.add_edge(origin, destination, *key, **attributes)
        else:
            lanes.add_edge(origin, destination, **attributes)
            lanes.add_edge(destination, origin, **attributes)
    return lanes


def _read_node_link(content: bytes, path: Path) -> networkx.Graph:
    try:
        data = json.loads(content)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}:{error.colno}: is not valid JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON; give a network as {NODE_LINK}") from error
    nodes, edges = _lists(data, ("nodes",)), _lists(data, ("edges", "links"))
    if nodes is None or edges is None:
        raise InputError(
            f"{path}: holds no node-link graph; give {NODE_LINK}, as networkx.node_link_data writes it"
        )
    kind = networkx.MultiDiGraph if data.get("directed", True) is not False else networkx.MultiGraph
    graph = kind()
    if isinstance(data.get("graph"), dict):
        graph.graph.update(data["graph"])
    for index, node in enumerate(nodes):
        if not isinstance(node.get("id"), str | int):
            raise InputError(f"{path}: nodes[{index}] has no id; give every node a name as `id`")
        graph.add_node(node["id"], **without(node, "id"))
    for index, edge in enumerate(edges):
        for end in ("source", "target"):
            if not isinstance(edge.get(end), str | int) or edge[end] not in graph:
                raise InputError(
                    f"{path}: edges[{index}].{end} is {edge.get(end)!r}, which is no node; give the id of one"
                )
        key = edge.get("key")
        graph.add_edge(
            edge["source"],
            edge["target"],
            key if isinstance(key, str) else None,
            **without(edge, "source", "target", "key"),
        )
    return graph


def _lists(data: Any, keys: Sequence[str]) -> list[dict[str, Any]] | None:
    """The list of mappings that stands under one of the keys."""
    found = next((data[key] for key in keys if key in data), None) if isinstance(data, dict) else None
    return found if isinstance(found, list) and all(isinstance(entry, dict) for entry in found) else None


def _read_graphml(content: bytes, path: Path) -> networkx.Graph:
    if b"<!ENTITY" in content:
        raise InputError(f"{path}: defines entities; give a GraphML file without")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what networkx skips: drawings of other programs
            graph = networkx.read_graphml(io.BytesIO(content), force_multigraph=True)
    except ParseError as error:
        line, column = error.position
        raise InputError(
            f"{path}:{line}:{column + 1}: is not valid GraphML ({str(error).partition(':')[0]})"
        ) from error
    except (networkx.NetworkXException, KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: is not valid GraphML ({error})") from error
    plain = [
        graph.graph,
        *(data for _, data in graph.nodes(data=True)),
        *(data for _, _, data in graph.edges(data=True)),
    ]
    for attributes in plain:
        flat = without(attributes, "id", "key", "node_default", "edge_default")
        attributes.clear()
        attributes.update(_nested(flat, str(path)))
    return graph


def read_tables(paths: Mapping[str, Path]) -> networkx.MultiDiGraph:
    """A graph from CSV tables, one row per entry, columns named as the fields of its record; `_place` says
    where each stands.

    Without a table of warehouses they are the lanes' destinations; without one of suppliers, these are the
    origins that are no warehouse.
    """
    rows = {table: list(_read_table(path, TABLES[table])) for table, path in paths.items()}
    graph = networkx.MultiDiGraph(lanes=[])
    for table, kind in (("suppliers", "supplier"), ("warehouses", "warehouse")):
        for place, row in rows.get(table, []):
            if row["name"] in graph:
                raise InputError(
                    f"{place}: name is {row['name']!r}, which is taken; give every row a name of its own"
                )
            graph.add_node(row["name"], kind=kind, _place=place, **without(row, "name"))
    for end, table, kind in (("destination", "warehouses", "warehouse"), ("origin", "suppliers", "supplier")):
        for place, row in rows["lanes"]:
            if row[end] not in graph:
                if table in paths:
                    known = suggestion(row[end], list(graph)[:20])
                    raise InputError(
                        f"{place}: {end} is {row[end]!r}, which is in no table of warehouses or "
                        f"suppliers{known}"
                    )
                graph.add_node(row[end], kind=kind, _place=place)
    for place, row in rows["lanes"]:
        name = row.get("name", f"{row['origin']}->{row['destination']}")
        if graph.has_edge(row["origin"], row["destination"], name):
            raise InputError(f"{place}: is a second lane {name!r}; give each a `name` of its own")
        graph.add_edge(
            row["origin"],
            row["destination"],
            name,
            _place=place,
            **without(row, "name", "origin", "destination"),
        )
        graph.graph["lanes"].append(name)
    return graph


def _read_table(path: Path, record: type[Record]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row's place and what it says."""
    needed = [
        key
        for key in ("name", "origin", "destination")
        if key in record.model_fields and record.model_fields[key].is_required()
    ]
    try:
        with open_table(path) as file:
            lines = csv.reader(file)
            header = [column.strip() for column in next(lines, [])]
            _check_header(header, path, needed, list(record.model_fields))
            for cells in lines:
                place = f"{path}:{lines.line_num}"
                if not any(cells):
                    continue
                if len(cells) != len(header):
                    raise InputError(
                        f"{place}: has {len(cells)} cells for {len(header)} columns; give one for each"
                    )
                row = {
                    column: from_csv_cell(cell.strip())
                    for column, cell in zip(header, cells, strict=True)
                    if cell.strip()
                }
                if missing := [column for column in needed if column not in row]:
                    raise InputError(f"{place}: {missing[0]} is empty; give a name")
                yield place, _nested(row, place)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = (
            "not UTF-8 text"
            if isinstance(error, UnicodeDecodeError)
            else getattr(error, "strerror", None) or error
        )
        raise InputError(f"{path}: cannot be read ({reason}); give a CSV file with a header line") from error


def _check_header(header: list[str], path: Path, needed: list[str], known: list[str]) -> None:
    if missing := [column for column in needed if column not in header]:
        raise InputError(
            f"{path}:1: has no column {missing[0]!r}; its columns are {', '.join(header[:8]) or 'none'}"
        )
    for column in header:
        if column.partition(".")[0] not in known:
            raise InputError(
                f"{path}:1: column {column!r} is not a known key{suggestion(column, known) or '; remove it'}"
            )
        if header.count(column) > 1:
            raise InputError(f"{path}:1: has the column {column!r} twice; remove one")


def _nested(flat: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Dotted names as mappings in each other, and text that is JSON as what it says."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        target, (*outer, last) = nested, key.split(".")
        for part in outer:
            target = target.setdefault(part, {})
            if not isinstance(target, dict):
                raise InputError(f"{place}: has both {part} and {key}; give one of them")
        target[last] = _plain(value) if isinstance(value, str) and last not in WORDS else value
    return nested


def _plain(text: str) -> Any:
    """A number, a truth (also as Python writes it), a list; or the text itself."""
    if text in ("True", "False"):
        return text == "True"
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def plain(value: Any) -> Any:
    """Numbers of numpy as Python's, and whole ones as such: other programs write a lead time as 2.0."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value
