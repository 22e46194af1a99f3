"""`network:` in a scenario: warehouses, suppliers and lanes that a generator draws or a file holds, in the
place of written lists.

    network: {generate: ring, size: 12, replenishment: {lead_time: 3}, transfer: {lead_time: 1}}
    network: {file: network.graphml}                                  # .gexf, .gml, or .json: node-link
    network: {lanes: lanes.csv, warehouses: warehouses.csv}           # suppliers: suppliers.csv
    network:
      networks: [{generate: ring, size: {draw: [4, 10]}, copies: 8}, {generate: grid, rows: 2, columns: 3}]
      transfer: ...

The last are several networks apart from each other: one run plays, and trains a policy for, all of them. Each
entry is a network like those above, over what stands beside `networks` and holds for all.

Templates (`supplier`, `warehouse`, `replenishment`, `transfer`) say what generated entries are like and fill
in what those of a file leave out. What the scenario itself lists under `warehouses`, `suppliers` and `lanes`
is merged over entries of the same name, or added to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import networkx
from pydantic import create_model

from marl_inv.common.documents import Document, KeyPath
from marl_inv.common.errors import InputError
from marl_inv.common.files import is_there
from marl_inv.common.records import Record, validate
from marl_inv.scenario.attributes import PassedOver, check_ends, distance, known, meant_by, named_lanes, plain
from marl_inv.scenario.fields import Seed
from marl_inv.scenario.generators import AnyKind, LaneTemplate, SupplierTemplate, WarehouseTemplate, numbered
from marl_inv.scenario.graph_files import TABLES, directed, read_graph, read_tables
from marl_inv.scenario.places import Lane, Supplier, Warehouse


class OptionalLaneTemplate(LaneTemplate):
    lead_time: Any = 0
    """Whole periods, or a distribution; 0 where neither the file nor the template says."""


class _Completed(Record):
    """What files have in common: templates for what they leave out."""

    seed: Seed = 0
    """Of what is drawn in templates."""
    supplier: SupplierTemplate = SupplierTemplate()
    """What suppliers are like where the file does not say."""
    warehouse: WarehouseTemplate = WarehouseTemplate()
    """What warehouses are like where the file does not say."""
    replenishment: OptionalLaneTemplate = OptionalLaneTemplate()
    """What lanes from suppliers are like where the file does not say."""
    transfer: OptionalLaneTemplate = OptionalLaneTemplate()
    """What lanes between warehouses are like where the file does not say."""


class GraphFile(_Completed):
    file: str
    """A `.json` (node-link), `.graphml`, `.gexf` or `.gml` file, seen from the scenario's folder or else from
    the working directory."""


class Tables(_Completed):
    lanes: str
    """A CSV file with a row for each lane; the same for the others."""
    warehouses: str | None = None
    """A row for each warehouse; where absent, they are the destinations of lanes."""
    suppliers: str | None = None
    """A row for each supplier; where absent, they are the origins that are no warehouse."""


SOURCES: dict[str, Any] = {"generate": AnyKind, "file": GraphFile, "lanes": Tables}
"""Kinds of `network`, by the key that only they have."""


MOST_COPIES = 10_000


TEMPLATES = ("supplier", "warehouse", "centre", "replenishment", "transfer", "lateral")
"""Keys of `network` in which a draw is made for each entry; in any other it is made once for the network."""


def expand(document: Document, folder: Path | None, record: type[Record]) -> None:
    """Put suppliers, warehouses and lanes in the place of a document's `network`.

    Relative paths are looked for in `folder`. Of a graph's own attributes, those that are fields of the
    record (the scenario's) are taken unless the document states them.
    """
    if document.data.get("network") is None:
        return
    where = document.place(("network",))
    entries: dict[str, list[tuple[dict[str, Any], str]]] = {table: [] for table in TABLES}
    passed = PassedOver()
    for path, prefix, network in _networks(document):
        graph = _graph(document, network, path, folder or Path())
        if prefix:
            graph = networkx.relabel_nodes(graph, {name: f"{prefix}{name}" for name in graph})
        _take_over(document, graph, record, passed, where)
        for table, more in _entries(
            document, {} if isinstance(network, networkx.Graph) else network, path, graph, passed
        ).items():
            entries[table] += more
    del document.data["network"]
    document.remarks += passed.remarks()
    for table, all_of_them in entries.items():
        _merge(document, table, all_of_them, where)


def _take_over(
    document: Document, graph: networkx.MultiDiGraph, record: type[Record], passed: PassedOver, where: str
) -> None:
    """What the graph says of the whole scenario."""
    place = graph.graph.get("_place", where)
    for key, value in graph.graph.items():
        if key in TABLES or (isinstance(key, str) and key.startswith("_")):
            continue
        if key not in record.model_fields:
            if meant := meant_by(str(key), record, graph.graph):
                raise InputError(f"{place}: {key} is not a known attribute; did you mean {meant}?")
            passed.add(place, "the graph", str(key))
        elif value is not None:
            document.data.setdefault(key, plain(value))
            document.places.setdefault((key,), place)


def _networks(document: Document) -> Iterator[tuple[KeyPath, str, Any]]:
    """Where each network stands in the document, what its names begin with, and what is said of it."""
    network = document.data["network"]
    if not isinstance(network, dict) or "networks" not in network:
        yield ("network",), "", network
        return
    shared, listed = {key: value for key, value in network.items() if key != "networks"}, network["networks"]
    if (
        not isinstance(listed, list)
        or not listed
        or not all(isinstance(entry, dict) and "generate" in entry for entry in listed)
    ):
        where = document.place(("network", "networks"))
        raise InputError(
            f"{where}: network.networks is {_words(listed)}; give a list of generated ones: [{{generate: "
            f"ring, size: 6}}]"
        )
    copied: list[tuple[KeyPath, dict[str, Any]]] = []
    for index, entry in enumerate(listed):
        path, copies = ("network", "networks", index), entry.get("copies", 1)
        if type(copies) is not int or not 1 <= copies <= MOST_COPIES:
            where = document.place((*path, "copies"))
            raise InputError(
                f"{where}: {_dotted(path)}.copies is {copies!r}; give a whole number from 1 to "
                f"{MOST_COPIES:,}"
            )
        copied += [
            (path, merged(shared, {key: value for key, value in entry.items() if key != "copies"}))
        ] * copies
    for (path, entry), name in zip(copied, numbered("network", len(copied)), strict=True):
        yield path, f"{name}.", entry | {"seed": Random(f"{entry.get('seed', 0)} {name}").randrange(2**31)}


def _graph(document: Document, network: Any, path: KeyPath, folder: Path) -> networkx.MultiDiGraph:
    """What is said of a network, checked, as the graph it stands for."""
    if isinstance(network, networkx.Graph):
        return _placed(directed(network), document.name)
    if not isinstance(network, dict) or not SOURCES.keys() & network.keys():
        raise InputError(
            f"{document.place(path)}: {_dotted(path)} is {_words(network)}; give `generate: ring`, `file: "
            "network.json` or `lanes: lanes.csv`"
        )
    seed = network.get("seed", 0)

    def lowest(where: KeyPath, ends: Any) -> int | float:
        return _ends(where, ends, document)[0]

    def highest(where: KeyPath, ends: Any) -> int | float:
        return _ends(where, ends, document)[1]

    def drawn(where: KeyPath, ends: Any) -> int | float:
        of_an_entry = where[len(path)] in TEMPLATES
        return (
            highest(where, ends)
            if of_an_entry
            else _between(Random(f"{seed} {_dotted(where[len(path) :])}"), *ends)
        )

    for draw in (lowest, highest, drawn):
        source = _checked(document, _filled(network, draw, path), path)
    if isinstance(source, GraphFile):
        file = _found(source.file, folder)
        return _placed(read_graph(file), str(file))
    if isinstance(source, Tables):
        return read_tables(
            {table: _found(file, folder) for table in TABLES if (file := getattr(source, table)) is not None}
        )
    return source.graph()


def _placed(graph: networkx.MultiDiGraph, place: str) -> networkx.MultiDiGraph:
    graph.graph["_place"] = place
    return graph


def _checked(document: Document, network: dict[str, Any], path: KeyPath) -> Any:
    """The network as a record of its kind; mistakes are told where they stand in the document."""
    [key, *_] = [key for key in SOURCES if key in network]
    # `Any`, because pydantic makes the model's field when it runs.
    model: Any = create_model("Sourced", __base__=Record, network=(SOURCES[key], ...))
    places = {
        ("network", *place[len(path) :]): where
        for place, where in document.places.items()
        if place[: len(path)] == path
    }
    return validate(model, Document(document.name, {"network": network}, document.places | places)).network


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _words(network: object) -> str:
    return (
        f"a mapping of {', '.join(map(str, network))}"
        if isinstance(network, dict) and network
        else repr(network)
    )


def _found(name: str, folder: Path) -> Path:
    return folder / name if is_there(folder / name) or not is_there(name) else Path(name)


def _filled(template: Any, draw: Callable[[KeyPath, Any], Any], path: KeyPath = ()) -> Any:
    """A copy with a number in the place of every `{draw: [low, high]}`."""
    if isinstance(template, dict):
        if template.keys() == {"draw"}:
            return draw(path, template["draw"])
        return {key: _filled(value, draw, (*path, key)) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, draw, (*path, index)) for index, value in enumerate(template)]
    return template


def _ends(path: KeyPath, ends: Any, document: Document) -> list[int | float]:
    if (
        isinstance(ends, list)
        and len(ends) == 2
        and all(type(end) in (int, float) for end in ends)
        and ends[0] <= ends[1]
    ):
        return ends
    raise InputError(
        f"{document.place((*path, 'draw'))}: {_dotted(path)}.draw is {ends!r}; give the lowest and the "
        "highest value: [2, 8]"
    )


def _between(random: Random, low: int | float, high: int | float) -> int | float:
    """Uniformly distributed: whole where both ends are, otherwise in six digits."""
    if isinstance(low, int) and isinstance(high, int):
        return random.randint(low, high)
    return float(f"{random.uniform(low, high):.6g}")


def _entries(
    document: Document,
    network: Mapping[str, Any],
    path: KeyPath,
    graph: networkx.MultiDiGraph,
    passed: PassedOver,
) -> dict[str, list[tuple[dict[str, Any], str]]]:
    """The graph's suppliers, warehouses and lanes with what the templates say of them, each with its
    place."""
    entries: dict[str, list[tuple[dict[str, Any], str]]] = {table: [] for table in TABLES}
    source = graph.graph.get("_place")
    where = document.place(("network",)) if source is None else source

    def complete(
        record: type[Record], default: str, attributes: dict[str, Any], what: str, **identity: str
    ) -> None:
        key = attributes.get("_template", default)
        place = attributes.get("_place") or (f"{source}: {what}" if source else document.place((*path, key)))
        seed, label = network.get("seed", 0), ":".join(identity.values())
        drawn = _filled(
            network.get(key, {}), lambda within, ends: _between(Random(f"{seed} {label} {within}"), *ends)
        )
        stated = known(attributes, record, place, attributes.get("_table", where), passed)
        if record is Lane:
            check_ends(attributes, identity, place)
            _add_distance(drawn, distance(attributes, place))
        if each := drawn.pop("capacity_per_warehouse", 0):
            drawn["capacity"] = round(
                drawn.get("capacity", 0) + each * graph.out_degree(attributes["_node"]), 6
            )
        table = next(table for table, kind in TABLES.items() if kind is record)
        entries[table].append((identity | merged(drawn, stated), place))

    suppliers, called = set(), {}
    for node, attributes in graph.nodes(data=True):
        kind, name = attributes.get("kind", "warehouse"), attributes.get("name")
        called[node] = str(node if name is None else name)
        if kind not in ("supplier", "warehouse"):
            raise InputError(f"{where}: node {node}: kind is {kind!r}; give supplier or warehouse")
        if kind == "supplier":
            suppliers.add(node)
        complete(
            Supplier if kind == "supplier" else Warehouse,
            kind,
            {"_node": node} | attributes,
            f"node {node}",
            name=called[node],
        )
    for name, (origin, destination, _, attributes) in named_lanes(graph, called):
        default = "replenishment" if origin in suppliers else "transfer"
        ends = {"origin": called[origin], "destination": called[destination]}
        complete(Lane, default, attributes, f"edge {name}", name=name, **ends)
    return entries


def _add_distance(drawn: dict[str, Any], distance: int | float) -> None:
    """Turn what a template says per distance into a lead time and a transport cost."""
    periods = math.ceil(drawn.pop("lead_time_per_distance", 0) * distance - 1e-9)
    cost = round(drawn.pop("transport_cost_per_distance", 0) * distance, 6)
    if periods:
        drawn["lead_time"] = _plus(drawn.get("lead_time", 0), periods)
    if cost:
        drawn["transport_cost"] = _plus(drawn.get("transport_cost", 0), cost)


def _plus(value: Any, more: int | float) -> Any:
    """Added to a number, to each of a list, or to each value of a distribution."""
    if isinstance(value, dict):
        return value | {"values": _plus(value["values"], more)}
    return [_plus(inner, more) for inner in value] if isinstance(value, list) else value + more


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`: its values win, and mappings are merged unless they state a `kind` of their
    own."""
    both = dict(base)
    for key, value in over.items():
        mergeable = isinstance(value, dict) and "kind" not in value and isinstance(both.get(key), dict)
        both[key] = merged(both[key], value) if mergeable else value
    return both


def _merge(document: Document, table: str, entries: list[tuple[dict[str, Any], str]], where: str) -> None:
    """Lay what the document lists over the entries of the same name, and keep the places of both."""
    listed = document.data.get(table, [])
    if not isinstance(listed, list):
        return
    rows = [entry for entry, _ in entries]
    position = {entry["name"]: index for index, entry in enumerate(rows)}
    moved: dict[int, int] = {}
    for index, entry in enumerate(listed):
        name = (
            entry.get("name", f"{entry.get('origin')}->{entry.get('destination')}")
            if isinstance(entry, dict)
            else None
        )
        at = moved[index] = position.pop(name, len(rows)) if isinstance(name, str) else len(rows)
        if at < len(rows):
            rows[at] = merged(rows[at], entry)
        else:
            rows.append(entry)
    places = {
        path: document.places.pop(path) for path in [path for path in document.places if path[:1] == (table,)]
    }
    document.places[(table,)] = where
    document.places |= {(table, index): place for index, (_, place) in enumerate(entries)}
    document.places |= {
        (table, moved[path[1]], *path[2:]): place
        for path, place in places.items()
        if len(path) > 1 and path[1] in moved
    }
    document.data[table] = rows
