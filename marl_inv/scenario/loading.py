"""Scenarios from files: by a bare name out of the library, by a path, with settings applied, or from a
networkx graph."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from networkx import Graph

from marl_inv.common.documents import Document, override, read_yaml
from marl_inv.common.errors import InputError, suggestion
from marl_inv.common.files import is_there
from marl_inv.common.records import validate
from marl_inv.scenario.attributes import plain
from marl_inv.scenario.consistency import check_consistency, check_supply
from marl_inv.scenario.expansion import expand
from marl_inv.scenario.graph_files import READERS
from marl_inv.scenario.scenario import Scenario


def library() -> dict[str, Path]:
    """The scenarios that come with marl_inv, by name."""
    folder = resources.files("marl_inv.scenarios")
    return {
        Path(str(entry)).stem: Path(str(entry))
        for entry in sorted(folder.iterdir(), key=str)
        if str(entry).endswith(".yaml")
    }


def scenario_path(name: str | Path) -> Path:
    """A scenario's file, from its path or from the bare name of one in the library."""
    if Path(name).suffix.lower() in (".yaml", ".yml", *READERS):
        return Path(name)
    known = library()
    if str(name) not in known:
        raise InputError(
            f"{name}: is no scenario{suggestion(str(name), known)}; or give the path of a .yaml file or of a "
            "network (.json, .graphml, .gexf, .gml)"
        )
    return known[str(name)]


def load_scenario(name: str | Path | Graph, settings: Iterable[str] = ()) -> Scenario:
    """Load a scenario by path or bare name, or from a networkx graph, with `key.path=value` settings applied.

    Raises InputError with file, line, value and remedy for anything wrong in it.
    """
    return _read_in_full(read_document(name, settings))


def read_document(name: str | Path | Graph, settings: Iterable[str] = ()) -> Document:
    """What a scenario's file or graph says, with `key.path=value` settings applied and its `network` in full,
    before it is checked."""
    document, folder = _opened(name)
    settings = list(settings)
    of_network = [setting for setting in settings if setting.partition("=")[0].split(".")[0] == "network"]
    override(document, of_network)
    expand(document, folder, Scenario)
    override(document, [setting for setting in settings if setting not in of_network])
    if folder is not None:
        _find_data(document, folder)
    return document


def _opened(name: str | Path | Graph) -> tuple[Document, Path | None]:
    """A scenario as it is written, and the folder that its paths are relative to."""
    if isinstance(name, Graph):
        return Document("graph", {"network": name}), None
    path = scenario_path(name)
    document = (
        Document(str(path), {"network": {"file": path.name}})
        if path.suffix.lower() in READERS
        else read_yaml(path)
    )
    document.data.setdefault("name", path.stem)
    return document, path.parent


def _find_data(document: Document, folder: Path) -> None:
    """A relative data path is looked for in `folder` when it is not in the working directory."""
    warehouses = document.data.get("warehouses")
    for part in [document.data, *(warehouses if isinstance(warehouses, list) else [])]:
        demand = part.get("demand") if isinstance(part, dict) else None
        if not isinstance(demand, dict):
            continue
        path = demand.get("path")
        if isinstance(path, str) and not is_there(path) and is_there(folder / path):
            demand["path"] = str(folder / path)


def read_scenario(document: Document) -> Scenario:
    """A scenario from a document whose `network` is in full."""
    document.data.setdefault("name", Path(document.name).stem)
    document.data = {key: plain(value) for key, value in document.data.items()}
    scenario = validate(Scenario, document)
    check_consistency(scenario, document)
    return scenario


def scenario_from_graph(graph: Graph, **fields: Any) -> Scenario:
    """A scenario on a networkx graph, with the attributes that `exchange` describes; `fields` are the
    scenario's other fields, as plain data."""
    document = Document("graph", {"network": graph, **fields})
    expand(document, None, Scenario)
    return _read_in_full(document)


def _read_in_full(document: Document) -> Scenario:
    scenario = read_scenario(document)
    check_supply(scenario, document)
    for place, remark in document.remarks:
        warnings.warn(f"{place}: {remark}", UserWarning, stacklevel=3)
    return scenario
