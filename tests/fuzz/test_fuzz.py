"""Thousands of files that are almost what they should be: each is refused in a line, or played to numbers, in
seconds. A few of them in the fast suite, all of them with `pytest -m slow`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fuzz.mutants import EXTREMES, changed, mutant, numbers, spoilt, spoilt_table
from fuzz.watch import fault, finite, played
from marl_inv.common.documents import as_yaml, read_yaml
from marl_inv.episodes.problem import Problem
from marl_inv.scenario import Scenario, library, load_scenario
from marl_inv.scenario.export import write_scenario
from marl_inv.scenario.places import Lane, Supplier, Warehouse

HEAVY = {"network_50", "network_200", "many_networks", "favorita"}
"""Scenarios that take long to load; of these a file of each is spoilt now and then."""

KNOWN = [*{**Scenario.model_fields, **Warehouse.model_fields, **Lane.model_fields, **Supplier.model_fields}]

RICH = Path(__file__).parent / "rich.yaml"
"""A scenario that says something for nearly every key."""


def sales(periods: int = 14) -> str:
    chance = Random(3)
    rows = [
        f"{period},{product},{chance.randrange(9)},{chance.randrange(9)}"
        for period in range(periods)
        for product in ("cup", "pot")
    ]
    return "\n".join(["period,product,shop,kiosk", *rows]) + "\n"


DATA = """horizon: 3
history: 1
demand: {kind: empirical, path: sales.csv, train: [0, 8], evaluate: [9, 13]}
products: [{name: cup}, {name: pot}]
suppliers: [{name: mill}]
warehouses: [{name: shop, holding_cost: 1, shortage_cost: 9}, {name: kiosk, holding_cost: 1, shortage_cost: 9}]
lanes: [{origin: mill, destination: shop, lead_time: 1}, {origin: mill, destination: kiosk, lead_time: 2}]
"""


def of_a_scenario(count: int, seed: int, folder: Path) -> Iterator[tuple[str, Path]]:
    (folder / "sales.csv").write_text(sales(), encoding="utf-8")
    texts = {name: file.read_text(encoding="utf-8") for name, file in library().items() if name not in HEAVY}
    texts |= {"rich": RICH.read_text(encoding="utf-8"), "data": DATA}
    documents = {}
    for name, text in texts.items():
        (folder / "scenario.yaml").write_text(text, encoding="utf-8")
        documents[name] = read_yaml(folder / "scenario.yaml").data
    for number in range(count):
        chance = Random(f"{seed} {number}")
        name = chance.choice(sorted(texts))
        file = folder / "scenario.yaml"
        if chance.random() < 0.1:
            text = spoilt(texts[name], chance)
        else:
            text = _as_text(mutant(documents[name], chance, KNOWN))
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        yield f"{number} ({name})", file


def _as_text(data: Any) -> str:
    try:
        return as_yaml(data)
    except Exception:  # what YAML has no way to write, JSON has
        return json.dumps(data)


def of_a_network(count: int, seed: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """JSON, GraphML and CSV tables, from three scenarios."""
    written = {}
    for name in ("two_warehouses", "ring_transshipment", "cross_dock"):
        for ending in (".json", ".graphml", ""):
            files = write_scenario(load_scenario(name), folder / f"{name}{ending}")
            written[name, ending] = files
    bodies = {key: [file.read_text(encoding="utf-8") for file in files] for key, files in written.items()}
    for number in range(count):
        chance = Random(f"{seed} {number}")
        key = chance.choice(sorted(bodies))
        first, *tables = written[key]
        which = chance.randrange(len(tables)) if tables else 0
        file = tables[which] if tables else first
        body = bodies[key][1 + which if tables else 0]
        if tables and chance.random() < 0.8:
            text = spoilt_table(body, chance)
        elif key[1] == ".json" and chance.random() < 0.8:
            text = json.dumps(mutant(json.loads(body), chance, [*KNOWN, "kind", "id", "distance", "lanes"]))
        else:
            text = spoilt(body, chance)
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        yield f"{number} ({''.join(key)}, {file.name})", first
        file.write_text(body, encoding="utf-8")


def of_a_data_file(count: int, seed: int, folder: Path) -> Iterator[tuple[str, Path]]:
    (folder / "data.yaml").write_text(DATA, encoding="utf-8")
    for number in range(count):
        chance = Random(f"{seed} {number}")
        text = spoilt_table(sales(), chance) if chance.random() < 0.85 else spoilt(sales(), chance)
        (folder / "sales.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
        yield f"{number}", folder / "data.yaml"


def of_a_number(step: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """Every number of two scenarios (or every so many) becomes what no number should be."""
    for name, file in (("rich", RICH), ("ring_transshipment", library()["ring_transshipment"])):
        data = read_yaml(file).data
        cases = [(path, value) for path in numbers(data) for value in EXTREMES]
        for path, value in cases[::step]:
            (folder / "scenario.yaml").write_text(_as_text(changed(data, path, value)), encoding="utf-8")
            yield (
                f"{name}: {'.'.join(map(str, path))} = {str(float('inf')) if value == 10**400 else value}",
                folder / "scenario.yaml",
            )


def faults(cases: Iterator[tuple[str, Path]]) -> list[str]:
    found = []
    for name, file in cases:
        if told := fault(lambda file=file: played(file)):
            found.append(f"{name}: {told}")
    return found


MAKERS = {"scenario": of_a_scenario, "network": of_a_network, "data file": of_a_data_file}


@pytest.mark.parametrize(("kind", "count"), [("scenario", 60), ("network", 30), ("data file", 30)])
def test_some_mutants(kind: str, count: int, tmp_path: Path):
    assert faults(MAKERS[kind](count, 0, tmp_path)) == []


def test_some_numbers(tmp_path: Path):
    assert faults(of_a_number(29, tmp_path)) == []


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("scenario", 5000), ("network", 1000), ("data file", 500)])
def test_mutants(kind: str, count: int, tmp_path: Path):
    assert faults(MAKERS[kind](count, 1, tmp_path)) == []


@pytest.mark.slow
def test_numbers(tmp_path: Path):
    assert faults(of_a_number(1, tmp_path)) == []


def test_what_all_this_begins_with_is_in_order(tmp_path: Path):
    assert finite(Problem.of(load_scenario(RICH))) is None
    (tmp_path / "sales.csv").write_text(sales(), encoding="utf-8")
    (tmp_path / "data.yaml").write_text(DATA, encoding="utf-8")
    assert played(tmp_path / "data.yaml") is None
    assert len(list(csv.reader(sales().splitlines()))) == 29
