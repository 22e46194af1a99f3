"""One graph, one meaning, whatever it comes in: from networkx, node-link JSON, GraphML, GEXF, GML or CSV tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import networkx
import numpy as np
import pytest

from marl_inv.chance.inspection import inspect
from marl_inv.common.errors import InputError
from marl_inv.scenario import Scenario, load_scenario, scenario_from_graph

REST = {"demand": {"kind": "poisson", "mean": 5}, "horizon": 9}


def from_python(graph: networkx.Graph, folder: Path) -> Scenario:
    return scenario_from_graph(graph, **REST)


def from_file(name: str, write: Callable[[networkx.Graph, Path], None]):
    def load(graph: networkx.Graph, folder: Path) -> Scenario:
        write(graph, folder / name)
        text = f"network: {{file: {name}}}\ndemand: {{kind: poisson, mean: 5}}\nhorizon: 9\n"
        (folder / "it.yaml").write_text(text, encoding="utf-8")
        return load_scenario(folder / "it.yaml")

    return load


def as_json(graph: networkx.Graph, path: Path) -> None:
    path.write_text(json.dumps(networkx.node_link_data(graph, edges="edges")), encoding="utf-8")


ROUTES = {
    "Python": from_python,
    "JSON": from_file("net.json", as_json),
    "GraphML": from_file("net.graphml", networkx.write_graphml_xml),
    "GEXF": from_file("net.gexf", networkx.write_gexf),
    "GML": from_file("net.gml", networkx.write_gml),
}


@pytest.fixture(params=ROUTES)
def route(request) -> Callable[[networkx.Graph, Path], Scenario]:
    return ROUTES[request.param]


def chain(kind: type[networkx.Graph], *keys: str) -> networkx.Graph:
    """mill - a - b, and the edges' keys where they have some."""
    graph = kind()
    graph.add_node("mill", kind="supplier")
    graph.add_nodes_from(["a", "b"], holding_cost=1, initial_stock=10)
    for (origin, destination, lead_time), key in zip(
        [("mill", "a", 2), ("a", "b", 1)], keys or [None, None], strict=True
    ):
        graph.add_edge(origin, destination, lead_time=lead_time, **({} if key is None else {"key": key}))
    return graph


def lanes(scenario: Scenario) -> list[tuple[str, str, str, float]]:
    return sorted((lane.name, lane.origin, lane.destination, lane.lead_time) for lane in scenario.lanes)


def test_a_directed_graph_is_the_same_by_every_route(route, tmp_path: Path):
    scenario = route(chain(networkx.DiGraph), tmp_path)
    assert lanes(scenario) == [("a->b", "a", "b", 1), ("mill->a", "mill", "a", 2)]
    assert [(w.name, w.holding_cost, w.initial_stock) for w in scenario.warehouses] == [
        ("a", 1, 10),
        ("b", 1, 10),
    ]
    assert [supplier.name for supplier in scenario.suppliers] == ["mill"]


def test_an_undirected_edge_is_a_lane_each_way_and_none_into_a_supplier(route, tmp_path: Path):
    assert lanes(route(chain(networkx.Graph), tmp_path)) == [
        ("a->b", "a", "b", 1),
        ("b->a", "b", "a", 1),
        ("mill->a", "mill", "a", 2),
    ]


def test_a_key_that_edges_share_is_told_apart_by_their_ends(route, tmp_path: Path):
    graph = chain(networkx.MultiDiGraph, "truck", "truck")
    graph.add_edge("a", "b", key="rail", lead_time=3)
    graph.add_edge("mill", "b", key="truck", lead_time=4)
    assert lanes(route(graph, tmp_path)) == [
        ("a->b truck", "a", "b", 1),
        ("mill->a truck", "mill", "a", 2),
        ("mill->b truck", "mill", "b", 4),
        ("rail", "a", "b", 3),
    ]


def test_keys_of_undirected_edges_count_too(route, tmp_path: Path):
    graph = chain(networkx.MultiGraph, "pipe", "road")
    graph.add_edge("a", "b", key="rail", lead_time=3)
    assert lanes(route(graph, tmp_path)) == [
        ("a->b rail", "a", "b", 3),
        ("a->b road", "a", "b", 1),
        ("b->a rail", "b", "a", 3),
        ("b->a road", "b", "a", 1),
        ("pipe", "mill", "a", 2),
    ]


def test_edges_and_nodes_may_say_their_names(route, tmp_path: Path):
    graph = networkx.DiGraph()
    graph.add_node("n0", kind="supplier", name="mill")
    graph.add_node("n1", name="New York")
    graph.add_node("n2", name="Boston")
    graph.add_edge("n0", "n1", lead_time=2, name="sea")
    graph.add_edge("n1", "n2", lead_time=1)
    scenario = route(graph, tmp_path)
    assert lanes(scenario) == [("New York->Boston", "New York", "Boston", 1), ("sea", "mill", "New York", 2)]


def test_lanes_between_places_with_spaces_are_numbered():
    graph = networkx.MultiDiGraph()
    graph.add_node("mill", kind="supplier")
    graph.add_edges_from([("mill", "New York", {"lead_time": time}) for time in (1, 2)])
    assert [lane.name for lane in scenario_from_graph(graph, **REST).lanes] == [
        "mill->New York",
        "mill->New York 2",
    ]


# What a graph says that a scenario has no word for


def test_what_means_nothing_is_named_by_every_route(route, tmp_path: Path):
    graph = chain(networkx.DiGraph)
    graph.nodes["a"]["city"] = "Lyon"
    graph.nodes["b"]["latitude"] = 45.7
    graph.edges["a", "b"]["colour"] = "red"
    with pytest.warns(UserWarning, match="passed over") as told:
        route(graph, tmp_path)
    words = [str(warning.message).partition(": ")[2] for warning in told]
    assert words == [
        "city, latitude of warehouses means nothing here and is passed over",
        "colour of lanes means nothing here and is passed over",
    ]


def test_columns_of_other_systems_are_named(tmp_path: Path):
    (tmp_path / "lanes.csv").write_text("origin,destination,lead_time,km\nmill,a,1,7\n", encoding="utf-8")
    table = "name,city,latitude,holding_cost,kind\na,Lyon,45.7,1,warehouse\n"
    (tmp_path / "warehouses.csv").write_text(table, encoding="utf-8")
    text = "network: {lanes: lanes.csv, warehouses: warehouses.csv}\ndemand: {kind: poisson, mean: 5}\n"
    (tmp_path / "it.yaml").write_text(text, encoding="utf-8")
    with pytest.warns(UserWarning, match="city"):
        assert load_scenario(tmp_path / "it.yaml").warehouses[0].holding_cost == 1
    notes = [str(advice) for advice in inspect(tmp_path / "it.yaml").advice if advice.topic == "passed over"]
    assert notes == [
        f"{tmp_path}/warehouses.csv: note: city, latitude of warehouses means nothing here and is passed over",
        f"{tmp_path}/lanes.csv: note: km of lanes means nothing here and is passed over",
    ]


@pytest.mark.parametrize(
    ("node", "edge", "message"),
    [
        ({"capacity": 7}, {}, "capacity is not a known attribute; did you mean storage?"),
        ({"cost": 7}, {}, "cost is not a known attribute; did you mean holding_cost or shortage_cost?"),
        ({"type": "supplier"}, {}, "type is 'supplier'; did you mean kind: supplier?"),
        ({"HoldingCost": 7}, {}, "HoldingCost is not a known attribute; did you mean holding_cost?"),
        ({}, {"cost": 7}, "cost is not a known attribute; did you mean procurement_cost or transport_cost?"),
        (
            {},
            {"procurement_csot": 7},
            "procurement_csot is not a known attribute; did you mean procurement_cost?",
        ),
    ],
)
def test_what_was_probably_meant_otherwise_is_refused_by_every_route(
    route, tmp_path: Path, node: dict, edge: dict, message: str
):
    graph = chain(networkx.DiGraph)
    graph.nodes["b"].update(node)
    graph.edges["a", "b"].update(edge)
    with pytest.raises(InputError) as refusal:
        route(graph, tmp_path)
    assert str(refusal.value).partition(": ")[2].partition(": ")[2] == message


def test_another_systems_word_stands_beside_ours_where_ours_is_given():
    graph = chain(networkx.DiGraph)
    graph.edges["a", "b"]["travel_time"] = 1.4
    with pytest.warns(UserWarning, match="travel_time of lanes"):
        scenario_from_graph(graph, **REST)


def test_a_slip_in_what_the_whole_graph_says_is_refused():
    graph = chain(networkx.DiGraph)
    graph.graph["horizn"] = 9
    with pytest.raises(InputError, match=r"^graph: horizn is not a known attribute; did you mean horizon\?$"):
        scenario_from_graph(graph, **REST)


# Numbers


def test_numbers_of_numpy_and_whole_floats_are_numbers_at_any_depth():
    graph = chain(networkx.DiGraph)
    graph.graph.update(horizon=np.float64(7), products=[{"name": "tea", "volume": np.float64(2)}])
    graph.nodes["a"].update(
        initial_stock={"low": np.int64(1), "high": np.float32(4)},
        demand={"kind": "known", "values": np.array([1.0, 2.0])},
    )
    graph.edges["a", "b"].update(
        lead_time={"values": [np.int64(1), 2.0], "probabilities": np.array([0.5, 0.5])}
    )
    scenario = scenario_from_graph(graph, demand={"kind": "poisson", "mean": np.float32(5)}, warm_up=2.0)
    assert scenario.horizon == 7
    assert scenario.warm_up == 2
    assert scenario.warehouses[0].initial_stock.high == 4
    assert scenario.warehouses[0].demand.values == [1, 2]
    assert scenario.lanes[1].lead_time.values == [1, 2]
    assert scenario.demand.mean == 5


def test_a_whole_float_is_a_whole_number_in_a_file(tmp_path: Path):
    text = (
        "suppliers: [{name: mill}]\nwarehouses: [{name: a}]\ndemand: {kind: poisson, mean: 5}\nhorizon: 9.0\n"
    )
    (tmp_path / "it.yaml").write_text(
        text + "lanes: [{origin: mill, destination: a, lead_time: 2.0}]\n", encoding="utf-8"
    )
    scenario = load_scenario(tmp_path / "it.yaml", ["warm_up=3.0"])
    assert (scenario.horizon, scenario.warm_up, scenario.lanes[0].lead_time) == (9, 3, 2)


# Twice, nowhere, and hostile


def test_an_unreachable_warehouse_is_the_same_error_by_every_route(route, tmp_path: Path):
    graph = chain(networkx.DiGraph)
    graph.add_node("z")
    with pytest.raises(
        InputError,
        match=r"warehouses\[2\] \(z\) is reached by no supplier, and the episode goes on for ever; add a lane to it, "
        r"or give `ending: finite`$",
    ):
        route(graph, tmp_path)


NODES = '"nodes": [{"id": "mill", "kind": "supplier"}, {"id": "a"}]'


@pytest.mark.parametrize(
    ("graph", "count"),
    [
        ('"multigraph": false, "edges": [EDGE, EDGE]', 1),
        ('"multigraph": false, "directed": false, "edges": [EDGE, BACK]', 1),
        ('"multigraph": true, "edges": [EDGE, EDGE]', 2),
        ('"edges": [EDGE, EDGE]', 2),
        ('"multigraph": true, "edges": [KEYED, KEYED]', 1),
    ],
)
def test_an_edge_told_twice_in_json_is_one_lane_where_it_is_one_edge(tmp_path: Path, graph: str, count: int):
    edge = '{"source": "mill", "target": "a", "lead_time": 1, "capacity": 6'
    for word, text in {
        "EDGE": edge + "}",
        "KEYED": edge + ', "key": 0}',
        "BACK": '{"source": "a", "target": "mill", "lead_time": 1, "capacity": 6}',
    }.items():
        graph = graph.replace(word, text)
    (tmp_path / "net.json").write_text(f"{{{NODES}, {graph}}}", encoding="utf-8")
    scenario = load_scenario(tmp_path / "net.json", ["demand={kind: poisson, mean: 5}"])
    assert [lane.capacity for lane in scenario.lanes] == [6] * count


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "net.json",
            '{"multigraph": false, NODES, "edges": [{"source": "mill", "target": "a", "lead_time": 1}, '
            '{"source": "mill", "target": "a", "lead_time": 2}]}',
            "edges[1] joins 'mill' and 'a' a second time, and the file says multigraph: false; remove one, or give "
            "multigraph: true and each a `key` of its own",
        ),
        (
            "net.json",
            '{NODES, "edges": [{"source": "mill", "target": "a", "key": "x", "lead_time": 1}, '
            '{"source": "mill", "target": "a", "key": "x", "lead_time": 2}]}',
            "edges[1] joins 'mill' and 'a' a second time, and its key is 'x' again; remove one, or give multigraph: "
            "true and each a `key` of its own",
        ),
        (
            "net.json",
            '{"nodes": [{"id": "a"}, {"id": "a"}], "edges": []}',
            "nodes[1].id is 'a', which is taken; give every node its own",
        ),
        (
            "net.graphml",
            '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="directed">'
            '<node id="a"/><node id="b"/><node id="a"/></graph></graphml>',
            "has the node 'a' twice; remove one",
        ),
        (
            "net.graphml",
            '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="directed">'
            '<node id="a"/><node id="b"/><edge id="x" source="a" target="b"/><edge id="x" source="a" target="b"/>'
            "</graph></graphml>",
            "has the edge 'x' twice; remove one",
        ),
        (
            "net.gml",
            'graph [ node [ id 0 label "a" ] node [ id 1 label "a" ] ]',
            "is not valid GML (node label 'a' is duplicated)",
        ),
        ("net.gml", "graph [", "is not valid GML (expected ']', found EOF at (2, 1))"),
        ("net.gexf", "<gexf/>", "is not valid GEXF (No <graph> element in GEXF file.)"),
        ("net.gexf", '<!DOCTYPE x [<!ENTITY a "b">]><gexf/>', "defines entities; give a GEXF file without"),
    ],
)
def test_what_is_told_twice_or_cannot_be_read_is_refused(tmp_path: Path, name: str, text: str, message: str):
    (tmp_path / name).write_text(text.replace("NODES", NODES), encoding="utf-8")
    with pytest.raises(InputError) as refusal:
        load_scenario(tmp_path / name)
    assert str(refusal.value) == f"{tmp_path / name}: {message}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('"graph": {"lanes": [["a"]]}', None),
        ('"graph": {"incoming_graph_data": "x"}', None),
        ('"graph": {"attr": 1}', None),
    ],
)
def test_words_that_networkx_uses_itself_are_only_words(tmp_path: Path, change: str, message: str | None):
    edge = '{"source": "mill", "target": "a", "lead_time": 1, "u_for_edge": 3, "origin": "mill"}'
    (tmp_path / "net.json").write_text(f'{{{change}, {NODES}, "edges": [{edge}]}}', encoding="utf-8")
    with pytest.warns(UserWarning, match="u_for_edge of lanes"):
        assert (
            load_scenario(tmp_path / "net.json", ["demand={kind: poisson, mean: 5}"]).lanes[0].name
            == "mill->a"
        )


@pytest.mark.parametrize("distance", ["Infinity", "NaN", "-1", '"far"'])
def test_a_distance_is_a_number(tmp_path: Path, distance: str):
    edge = f'{{"source": "mill", "target": "a", "lead_time": 1, "distance": {distance}}}'
    (tmp_path / "net.json").write_text(f'{{{NODES}, "edges": [{edge}]}}', encoding="utf-8")
    with pytest.raises(InputError, match=r"edge mill->a: distance is .*; give a number, 0 or more$"):
        load_scenario(tmp_path / "net.json")
