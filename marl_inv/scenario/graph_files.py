"""Networks in other hands: a scenario as a networkx graph, and such graphs as node-link JSON, GraphML, GEXF,
GML and CSV tables.

In the graph every node has `kind` (`supplier` or `warehouse`; a warehouse when absent) and the fields of
`places.Supplier` or `places.Warehouse`; every edge, keyed by the lane's name, has those of `places.Lane`; the
graph has the other fields of the scenario, and `lanes`, their names in order. In GraphML, GEXF and CSV, which
hold only flat values, what is nested has a dotted name (`demand.mean`), and lists are JSON text.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError, fromstring

import networkx
from networkx.readwrite.gexf import GEXFReader

from marl_inv.common.errors import InputError, shown, suggestion
from marl_inv.common.files import LARGEST_NETWORK, open_table, read_bytes
from marl_inv.common.records import Record
from marl_inv.common.text import from_csv_cell
from marl_inv.scenario.attributes import meant_by, nested
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
    """A graph from a node-link JSON, GraphML, GEXF or GML file, with nested attributes nested again."""
    if path.suffix.lower() not in READERS:
        raise InputError(
            f"{path}: ends in {path.suffix or 'nothing'}; give a network as .json (node-link), .graphml, "
            ".gexf or .gml"
        )
    try:
        return directed(READERS[path.suffix.lower()](read_bytes(path, LARGEST_NETWORK), path))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give the path of a network file"
        ) from error


def directed(graph: networkx.Graph) -> networkx.MultiDiGraph:
    """Any networkx graph as one with lanes; an undirected edge is a lane each way, and none into a
    supplier."""
    lanes = networkx.MultiDiGraph()
    lanes.graph.update(graph.graph)
    lanes.add_nodes_from(graph.nodes(data=True))
    suppliers = {node for node, attributes in graph.nodes(data=True) if attributes.get("kind") == "supplier"}
    edges = (
        graph.edges(keys=True, data=True)
        if isinstance(graph, networkx.MultiGraph)
        else graph.edges(data=True)
    )
    for origin, destination, *key, attributes in edges:
        if graph.is_directed() or destination not in suppliers or origin in suppliers:
            add_edge(lanes, origin, destination, *key, attributes=attributes)
        if not graph.is_directed() and origin not in suppliers:
            add_edge(lanes, destination, origin, *key, attributes=attributes)
    return lanes


def add_edge(
    graph: networkx.Graph, origin: Any, destination: Any, *key: Any, attributes: Mapping[str, Any]
) -> None:
    """Whatever the attributes are called: networkx has arguments of its own."""
    graph.add_edges_from([(origin, destination, *key, dict(attributes))])


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
    is_directed, several = data.get("directed", True) is not False, data.get("multigraph", True) is not False
    graph = networkx.MultiDiGraph() if is_directed else networkx.MultiGraph()
    if isinstance(data.get("graph"), dict):
        graph.graph.update(data["graph"])
    for index, node in enumerate(nodes):
        if not isinstance(node.get("id"), str | int):
            raise InputError(f"{path}: nodes[{index}] has no id; give every node a name as `id`")
        if node["id"] in graph:
            raise InputError(
                f"{path}: nodes[{index}].id is {shown(node['id'])}, which is taken; give every node its own"
            )
        graph.add_nodes_from([(node["id"], without(node, "id"))])
    for index, edge in enumerate(edges):
        for end in ("source", "target"):
            if not isinstance(edge.get(end), str | int) or edge[end] not in graph:
                raise InputError(
                    f"{path}: edges[{index}].{end} is {shown(edge.get(end))}, which is no node; give the id "
                    "of one"
                )
        origin, destination = edge["source"], edge["target"]
        key = edge["key"] if isinstance(edge.get("key"), str | int) else None
        attributes = without(edge, "source", "target", "key")
        ways = graph.get_edge_data(origin, destination, default={})
        same = ways.get(key) if several else next(iter(ways.values()), None)
        if same is None:
            add_edge(graph, origin, destination, *[key] * (key is not None), attributes=attributes)
        elif same != attributes:
            reason = f"its key is {shown(key)} again" if several else "the file says multigraph: false"
            raise InputError(
                f"{path}: edges[{index}] joins {shown(origin)} and {shown(destination)} a second time, and "
                f"{reason}; remove one, or give multigraph: true and each a `key` of its own"
            )
    return graph


def _lists(data: Any, keys: Sequence[str]) -> list[dict[str, Any]] | None:
    """The list of mappings that stands under one of the keys."""
    found = next((data[key] for key in keys if key in data), None) if isinstance(data, dict) else None
    return found if isinstance(found, list) and all(isinstance(entry, dict) for entry in found) else None


def _read_graphml(content: bytes, path: Path) -> networkx.Graph:
    _check_xml(content, path, "GraphML")
    with _readable(path, "GraphML"):
        return _unfolded(networkx.read_graphml(io.BytesIO(content), force_multigraph=True), path)


def _read_gexf(content: bytes, path: Path) -> networkx.Graph:
    """Nodes by their labels where each has one of its own, and edges by networkx's keys: ids are Gephi's
    numbers."""
    _check_xml(content, path, "GEXF")
    with _readable(path, "GEXF"):
        reader = GEXFReader()
        reader.simple_graph = False  # which would lose the keys
        read = reader(io.BytesIO(content))
    graph = networkx.MultiDiGraph() if read.is_directed() else networkx.MultiGraph()
    graph.graph.update(without(read.graph, "mode", "start", "end"))
    labels = {node: attributes.pop("label", None) for node, attributes in read.nodes(data=True)}
    own = None not in labels.values() and len(set(labels.values())) == len(labels)
    graph.add_nodes_from((labels[node] if own else node, data) for node, data in read.nodes(data=True))
    for *ends, key, attributes in read.edges(keys=True, data=True):
        origin, destination = (labels[end] if own else end for end in ends)
        add_edge(graph, origin, destination, *[key] * (key != attributes.get("id")), attributes=attributes)
    return _unfolded(graph, path)


def _read_gml(content: bytes, path: Path) -> networkx.Graph:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text; give a GML file") from error
    with _readable(path, "GML"):
        try:
            graph = networkx.parse_gml(text)
        except networkx.NetworkXError as error:
            if "no 'label' attribute" not in str(error):
                raise
            graph = networkx.parse_gml(text, label="id")
        return _unfolded(graph, path)


READERS: dict[str, Callable[[bytes, Path], networkx.Graph]] = {
    ".json": _read_node_link,
    ".graphml": _read_graphml,
    ".gexf": _read_gexf,
    ".gml": _read_gml,
}
"""Files that hold a graph, by their ending."""


@contextmanager
def _readable(path: Path, language: str) -> Iterator[None]:
    """What networkx says of a file that it cannot read, in one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what networkx skips: drawings of other programs
            yield
    except InputError:
        raise
    except (
        networkx.NetworkXException,
        AttributeError,
        LookupError,
        ValueError,
        TypeError,
        RecursionError,
    ) as error:
        raise InputError(f"{path}: is not valid {language} ({_in_a_line(error)})") from error


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:100]


def _check_xml(content: bytes, path: Path, language: str) -> None:
    """Raises InputError for what is no XML, for entities, and for a node or an edge that is told twice."""
    if b"<!ENTITY" in content:
        raise InputError(f"{path}: defines entities; give a {language} file without")
    try:
        root = fromstring(content)
    except ParseError as error:
        line, column = error.position
        raise InputError(
            f"{path}:{line}:{column + 1}: is not valid {language} ({str(error).partition(':')[0]})"
        ) from error
    seen: set[tuple[str | None, ...]] = set()
    for element in root.iter():
        kind = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
        if kind not in ("node", "edge") or element.get("id") is None:
            continue
        told = (kind, element.get("source"), element.get("target"), element.get("id"))
        if told in seen:
            raise InputError(f"{path}: has the {kind} {shown(told[-1])} twice; remove one")
        seen.add(told)


def _unfolded(graph: networkx.Graph, path: Path) -> networkx.Graph:
    """Flat attributes nested again, and text that is JSON as what it says; without what networkx adds."""
    parts = [
        (graph.graph, ("node_default", "edge_default")),
        *((data, ()) for _, data in graph.nodes(data=True)),
        *((data, ("id",)) for *_, data in graph.edges(data=True)),
    ]
    for attributes, added in parts:
        flat = without(attributes, *added)
        attributes.clear()
        attributes.update(nested(flat, str(path), _read_text))
    return graph


def _read_text(key: str, value: Any) -> Any:
    return _from_text(value) if isinstance(value, str) and key not in WORDS else value


def read_tables(paths: Mapping[str, Path]) -> networkx.MultiDiGraph:
    """A graph from CSV tables, one row per entry, columns named as the fields of its record; `_place` says
    where each stands.

    Without a table of warehouses they are the lanes' destinations; without one of suppliers, these are the
    origins that are no warehouse.
    """
    rows = {table: list(_read_table(path, TABLES[table])) for table, path in paths.items()}
    graph = networkx.MultiDiGraph(lanes=[])

    def add(name: str, kind: str, place: str, row: Mapping[str, Any], table: str) -> None:
        if row.get("kind", kind) != kind:
            raise InputError(f"{place}: kind is {shown(row['kind'])} in a table of {kind}s; move the row")
        given = without(row, "name") | {"kind": kind, "_place": place, "_table": table}
        graph.add_nodes_from([(name, given)])

    for table, kind in (("suppliers", "supplier"), ("warehouses", "warehouse")):
        for place, row in rows.get(table, []):
            if row["name"] in graph:
                raise InputError(
                    f"{place}: name is {row['name']!r}, which is taken; give every row a name of its own"
                )
            add(row["name"], kind, place, row, str(paths[table]))
    for end, table, kind in (("destination", "warehouses", "warehouse"), ("origin", "suppliers", "supplier")):
        for place, row in rows["lanes"]:
            if row[end] not in graph:
                if table in paths:
                    known = suggestion(row[end], list(graph)[:20])
                    raise InputError(
                        f"{place}: {end} is {row[end]!r}, which is in no table of warehouses or "
                        f"suppliers{known}"
                    )
                add(row[end], kind, place, {}, str(paths["lanes"]))
    for place, row in rows["lanes"]:
        name = row.get("name", f"{row['origin']}->{row['destination']}")
        if graph.has_edge(row["origin"], row["destination"], name):
            raise InputError(f"{place}: is a second lane {name!r}; give each a `name` of its own")
        given = without(row, "name", "origin", "destination") | {
            "_place": place,
            "_table": str(paths["lanes"]),
            "_order": graph.number_of_edges(),
        }
        add_edge(graph, row["origin"], row["destination"], name, attributes=given)
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
            _check_header(header, path, needed, record)
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
                yield place, nested(row, place, _read_text)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = (
            "not UTF-8 text"
            if isinstance(error, UnicodeDecodeError)
            else getattr(error, "strerror", None) or error
        )
        raise InputError(f"{path}: cannot be read ({reason}); give a CSV file with a header line") from error


def _check_header(header: list[str], path: Path, needed: list[str], record: type[Record]) -> None:
    if missing := [column for column in needed if column not in header]:
        raise InputError(
            f"{path}:1: has no column {missing[0]!r}; its columns are {', '.join(header[:8]) or 'none'}"
        )
    heads = {column.partition(".")[0] for column in header}
    for column in header:
        if column.partition(".")[0] not in record.model_fields and (meant := meant_by(column, record, heads)):
            raise InputError(f"{path}:1: column {column!r} is not a known key; did you mean {meant}?")
        if header.count(column) > 1:
            raise InputError(f"{path}:1: has the column {column!r} twice; remove one")


def _from_text(text: str) -> Any:
    """A number, a truth (also as Python writes it), a list; or the text itself."""
    if text in ("True", "False"):
        return text == "True"
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
