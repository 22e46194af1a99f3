"""Networks out and in again: the same scenario as a graph, in files of three formats, and from graphs that
others made."""

from __future__ import annotations

import os
from pathlib import Path

import networkx
import numpy as np
import pytest

from marl_inv.common.errors import InputError
from marl_inv.scenario import Scenario, library, load_scenario, scenario_from_graph
from marl_inv.scenario.export import scenario_graph, write_scenario
from scenarios_under_test import LARGE

EVERYTHING = """description: "Some of everything: [a] list, {a} mapping, 7"
objective: profit
ending: finite
horizon: 7
quantities: integer
weights: {holding: 0.5}
products: [{name: tea}, {name: "12", volume: 2}]
demand: {kind: normal, mean: [5, 6.5], sd: 1, season: {factors: [1, 2]}}
suppliers: [{name: mill, capacity: 30}]
warehouses:
  - {name: depot, faces_demand: false, rationing: even, initial_stock: [3, 4]}
  - {name: shop, storage: 20, price: 9, promotion: {}, initial_stock: {low: 1, high: 4}, source_lane: truck}
  - {name: "7", demand: {kind: known, values: [1, 2]}, promotion: {cost: 3, planned: {first: 2}}}
lanes:
  - {origin: depot, destination: shop, name: truck, lead_time: {values: [1, 2], probabilities: [0.25, 0.75]}}
  - {origin: mill, destination: depot, lead_time: 2, procurement_cost: [1, 2], initial_shipments: 1}
  - {origin: depot, destination: shop, name: air, lead_time: 0, transport_cost: 0.1}
  - {origin: shop, destination: "7", reactive: true}
pools: [{name: fleet, lanes: [truck, air], capacity: 9}]
events: [{kind: outage, at: [3], targets: [mill]}, {kind: surge, factor: 2, probability: 0.1, duration: [1, 3]}]
"""

WAYS = ["it.yaml", "it.json", "it.graphml", "it"]


@pytest.fixture
def everything(tmp_path: Path) -> Scenario:
    (tmp_path / "it.yaml").write_text(EVERYTHING, encoding="utf-8")
    return load_scenario(tmp_path / "it.yaml")


# Out and in again


@pytest.mark.parametrize("way", WAYS)
def test_a_scenario_is_read_back_as_it_was_written(tmp_path: Path, everything: Scenario, way: str):
    written = write_scenario(everything, tmp_path / "out" / way if way == "it" else tmp_path / way)
    assert load_scenario(written[0]) == everything


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE - {"favorita"}))
        for name in sorted(library())
    ],
)
def test_every_scenario_of_the_library_survives_every_format(tmp_path: Path, name: str):
    scenario = load_scenario(name)
    assert scenario_from_graph(scenario_graph(scenario)) == scenario
    for way in (f"{name}.yaml", f"{name}.json", f"{name}.graphml", "tables"):
        assert load_scenario(write_scenario(scenario, tmp_path / way)[0]) == scenario


def test_tables_hold_only_columns_that_say_something(tmp_path: Path, everything: Scenario):
    written = write_scenario(everything, tmp_path / "out")
    assert [path.name for path in written] == ["it.yaml", "suppliers.csv", "warehouses.csv", "lanes.csv"]
    lines = (tmp_path / "out" / "lanes.csv").read_text(encoding="utf-8").splitlines()
    assert lines[:3] == [
        "name,origin,destination,lead_time.values,lead_time.probabilities,lead_time,procurement_cost,initial_shipments,transport_cost,reactive",
        'truck,depot,shop,"[1, 2]","[0.25, 0.75]",,,,,',
        'mill->depot,mill,depot,,,2,"[1.0, 2.0]",1.0,,',
    ]


def test_the_graph_is_networkx_all_through(everything: Scenario):
    graph = scenario_graph(everything)
    assert graph.nodes["mill"]["kind"] == "supplier"
    assert graph.nodes["shop"]["storage"] == 20
    assert graph.edges["mill", "depot", "mill->depot"]["lead_time"] == 2
    assert set(graph["depot"]["shop"]) == {"truck", "air"}
    assert networkx.has_path(graph, "mill", "7")


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path, everything: Scenario):
    with pytest.raises(
        InputError,
        match=r"it\.xml: ends in \.xml; give \.yaml, \.json or \.graphml, or a folder for CSV tables$",
    ):
        write_scenario(everything, tmp_path / "it.xml")
    with pytest.raises(
        InputError, match=r"cannot be written \(No such file or directory\); give another place$"
    ):
        write_scenario(everything, tmp_path / "nowhere" / "it.json")


@pytest.mark.parametrize("way", ["it.yaml", "it.json", "it.graphml", "tables"])
def test_a_file_is_written_whole_or_not_at_all(
    way: str, tmp_path: Path, everything: Scenario, monkeypatch: pytest.MonkeyPatch
):
    write_scenario(everything, tmp_path / way)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    changed = everything.model_copy(update={"horizon": everything.horizon + 1})
    with pytest.raises(
        InputError, match=r"cannot be written \(No space left on device\); give another place"
    ):
        write_scenario(changed, tmp_path / way)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


# Graphs that others made


def test_a_bare_graph_becomes_a_scenario_once_its_lanes_have_a_lead_time():
    graph = networkx.MultiDiGraph([(0, 1), (1, 2), (1, 2)])
    graph.nodes[0]["kind"] = "supplier"
    networkx.set_edge_attributes(graph, np.int64(2), "lead_time")
    graph.nodes[2].update(storage=np.float64(20), colour="red", initial_stock=None)
    with pytest.warns(
        UserWarning, match="^graph: colour of warehouses means nothing here and is passed over$"
    ):
        scenario = scenario_from_graph(graph, demand={"kind": "poisson", "mean": 5}, horizon=9)
    assert [warehouse.name for warehouse in scenario.warehouses] == ["1", "2"]
    assert [(lane.name, lane.lead_time) for lane in scenario.lanes] == [
        ("0->1", 2),
        ("1->2", 2),
        ("1->2 2", 2),
    ]
    assert (scenario.warehouses[1].storage, scenario.horizon) == (20, 9)


def test_an_undirected_edge_is_a_lane_each_way():
    graph = networkx.path_graph(["a", "b"])
    graph.edges["a", "b"]["lead_time"] = 1
    scenario = scenario_from_graph(graph, demand={"kind": "poisson", "mean": 5}, ending="finite")
    assert [lane.name for lane in scenario.lanes] == ["a->b", "b->a"]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"kind": "depot"}, "graph: node shop: kind is 'depot'; give supplier or warehouse"),
        ({"storge": 3}, "graph: node shop: storge is not a known attribute; did you mean storage?"),
        ({"storage": -3}, "graph: node shop: warehouses[0].storage is -3; give a number above 0"),
        ({"demand": 3}, "graph: node shop: warehouses[0].demand is 3; give a mapping of `key: value` lines"),
    ],
)
def test_an_attribute_that_cannot_be_is_told_with_its_node(attributes: dict, message: str):
    graph = networkx.MultiDiGraph()
    graph.add_node("shop", **attributes)
    with pytest.raises(InputError) as refusal:
        scenario_from_graph(graph, demand={"kind": "poisson", "mean": 5})
    assert str(refusal.value) == message


def test_networkx_reads_and_writes_the_same_files(tmp_path: Path, everything: Scenario):
    write_scenario(everything, tmp_path / "it.graphml")
    read = networkx.read_graphml(tmp_path / "it.graphml", force_multigraph=True)
    assert set(read.edges(keys=True)) == set(scenario_graph(everything).edges(keys=True))
    networkx.write_graphml_xml(read, tmp_path / "again.graphml")
    assert load_scenario(tmp_path / "again.graphml", ["name=it"]) == everything


# Files beside a scenario


def beside(folder: Path, network: str, **files: str) -> Path:
    """A scenario on the network that `files` hold."""
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    (folder / "it.yaml").write_text(
        f"demand: {{kind: poisson, mean: 5}}\nnetwork: {{{network}}}\n", encoding="utf-8"
    )
    return folder / "it.yaml"


LANES = "origin,destination,lead_time,transport_cost\nmill,depot,2,\ndepot,shop,1,0.5\n"


def test_lanes_alone_make_a_network(tmp_path: Path):
    scenario = load_scenario(
        beside(tmp_path, "lanes: lanes.csv, warehouse: {storage: {draw: [5, 9]}}", lanes_csv=LANES)
    )
    assert [supplier.name for supplier in scenario.suppliers] == ["mill"]
    assert [warehouse.name for warehouse in scenario.warehouses] == ["depot", "shop"]
    assert all(5 <= warehouse.storage <= 9 for warehouse in scenario.warehouses)
    assert [(lane.lead_time, lane.transport_cost) for lane in scenario.lanes] == [(2, 0), (1, 0.5)]


def test_templates_complete_what_a_file_leaves_out(tmp_path: Path):
    network = (
        "lanes: lanes.csv, warehouses: warehouses.csv, transfer: {lead_time: 4, transport_cost: 7}, "
        "warehouse: {demand: {kind: poisson, mean: 1}}"
    )
    files = {
        "warehouses_csv": "name,demand.mean,initial_stock\ndepot,3,\nshop,4.5,2.0\n",
        "lanes_csv": "origin,destination,transport_cost,lead_time\nshop,depot,,\ndepot,shop,1,2\nmill,shop,,6\n",
    }
    scenario = load_scenario(beside(tmp_path, network, **files))
    assert [(w.demand.kind, w.demand.mean, w.initial_stock) for w in scenario.warehouses] == [
        ("poisson", 3, 0),
        ("poisson", 4.5, 2),
    ]
    assert [(lane.lead_time, lane.transport_cost) for lane in scenario.lanes] == [(4, 7), (2, 1), (6, 0)]


def test_a_graph_file_tells_the_rest_of_the_scenario_unless_the_scenario_does(
    tmp_path: Path, everything: Scenario
):
    write_scenario(everything, tmp_path / "net.graphml")
    scenario = load_scenario(beside(tmp_path, "file: net.graphml"))
    assert scenario.horizon == 7
    assert scenario.demand.mean == 5
    assert load_scenario(tmp_path / "it.yaml", ["horizon=3"]).horizon == 3


def test_distances_in_a_file_count(tmp_path: Path):
    graph = (
        '{"nodes": [{"id": "a"}, {"id": "b"}], "links": [{"source": "a", "target": "b", "distance": 2.5}]}'
    )
    network = "file: net.json, transfer: {lead_time_per_distance: 1, transport_cost_per_distance: 2}"
    [lane] = load_scenario(beside(tmp_path, network, net_json=graph), ["ending=finite"]).lanes
    assert (lane.lead_time, lane.transport_cost) == (3, 5)


BROKEN = {
    # network, the file's name and text, the message after the file's name
    "no table": (
        "lanes: lanes.csv",
        "other.csv",
        "",
        " cannot be read (No such file or directory); give a CSV file with a header line",
    ),
    "empty table": ("lanes: lanes.csv", "lanes.csv", "", ":1: has no column 'origin'; its columns are none"),
    "slip in a column": (
        "lanes: lanes.csv",
        "lanes.csv",
        LANES.replace("lead_time", "lead_tme"),
        ":1: column 'lead_tme' is not a known key; did you mean lead_time?",
    ),
    "negative lead time": (
        "lanes: lanes.csv",
        "lanes.csv",
        LANES.replace("shop,1", "shop,-1"),
        ":3: lanes[1].lead_time is -1; give a number, 0 or more",
    ),
    "no lead time": (
        "lanes: lanes.csv",
        "lanes.csv",
        LANES.replace("shop,1", "shop,"),
        ":3: lanes[1].lead_time is missing; add it",
    ),
    "word for a number": (
        "lanes: lanes.csv",
        "lanes.csv",
        LANES.replace("shop,1", "shop,soon"),
        ":3: lanes[1].lead_time is 'soon'; give a whole number",
    ),
    "short row": (
        "lanes: lanes.csv",
        "lanes.csv",
        LANES.replace("shop,1,0.5", "shop,1"),
        ":3: has 3 cells for 4 columns; give one for each",
    ),
    "no destination": (
        "lanes: lanes.csv",
        "lanes.csv",
        LANES.replace("depot,shop", "depot,"),
        ":3: destination is empty; give a name",
    ),
    "second lane": (
        "lanes: lanes.csv",
        "lanes.csv",
        LANES + "mill,depot,1,\n",
        ":4: is a second lane 'mill->depot'; give each a `name` of its own",
    ),
    "both nested and not": (
        "lanes: lanes.csv",
        "lanes.csv",
        "origin,destination,lead_time,lead_time.values\na,b,1,[1]\n",
        ":2: has both lead_time and lead_time.values; give one of them",
    ),
    "no JSON": ("file: net.json", "net.json", '{"nodes": [}', ":1:12: is not valid JSON (Expecting value)"),
    "no graph": (
        "file: net.json",
        "net.json",
        '{"stores": []}',
        ' holds no node-link graph; give {"nodes": [{"id": "shop"}], "edges": [{"source": "mill", "target": '
        '"shop", "lead_time": 2}]}, as networkx.node_link_data writes it',
    ),
    "deep JSON": (
        "file: net.json",
        "net.json",
        "[" * 100_000,
        ' is not valid JSON; give a network as {"nodes": [{"id": "shop"}], "edges": [{"source": "mill", '
        '"target": "shop", "lead_time": 2}]}',
    ),
    "edge to nowhere": (
        "file: net.json",
        "net.json",
        '{"nodes": [{"id": "a"}], "edges": [{"source": "a", "target": "b"}]}',
        " edges[0].target is 'b', which is no node; give the id of one",
    ),
    "node without a name": (
        "file: net.json",
        "net.json",
        '{"nodes": [{}], "edges": []}',
        " nodes[0] has no id; give every node a name as `id`",
    ),
    "wrong node": (
        "file: net.json",
        "net.json",
        '{"nodes": [{"id": "a", "storage": 0}], "edges": []}',
        " node a: warehouses[0].storage is 0; give a number above 0",
    ),
    "no XML": ("file: net.graphml", "net.graphml", "<graphml", ":1:1: is not valid GraphML (unclosed token)"),
    "entities": (
        "file: net.graphml",
        "net.graphml",
        '<!DOCTYPE x [<!ENTITY a "b">]><graphml/>',
        " defines entities; give a GraphML file without",
    ),
    "other ending": (
        "file: net.xml",
        "net.xml",
        "",
        " ends in .xml; give a network as .json (node-link), .graphml, .gexf or .gml",
    ),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_broken_network_file_is_told_with_its_place(tmp_path: Path, mistake: str):
    network, name, text, message = BROKEN[mistake]
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refusal:
        load_scenario(beside(tmp_path, network))
    file = tmp_path / network.partition(": ")[2]
    assert (
        str(refusal.value).removeprefix(f"{file}").removeprefix(":" if message.startswith(" ") else "")
        == message
    )


def test_a_name_in_two_tables_or_in_none_is_told(tmp_path: Path):
    tables = "lanes: lanes.csv, warehouses: warehouses.csv, suppliers: suppliers.csv"
    with pytest.raises(
        InputError,
        match=r"warehouses\.csv:2: name is 'depot', which is taken; give every row a name of its own$",
    ):
        load_scenario(
            beside(
                tmp_path,
                tables,
                lanes_csv=LANES,
                warehouses_csv="name\ndepot\n",
                suppliers_csv="name\ndepot\n",
            )
        )
    with pytest.raises(
        InputError,
        match=r"lanes\.csv:3: destination is 'shop', which is in no table of warehouses or suppliers; did you mean shop2\?$",
    ):
        load_scenario(
            beside(
                tmp_path,
                tables,
                lanes_csv=LANES,
                warehouses_csv="name\ndepot\nshop2\n",
                suppliers_csv="name\nmill\n",
            )
        )
