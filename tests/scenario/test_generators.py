"""Generated networks: who is linked with whom, what templates and draws say of them, and what the scenario
lists over them."""

from __future__ import annotations

from pathlib import Path

import networkx
import pytest

from marl_inv.common.errors import InputError
from marl_inv.scenario import Scenario, load_scenario

RING = """horizon: 5
demand: {kind: poisson, mean: 5}
network:
  generate: ring
  size: 4
  warehouse: {holding_cost: 1, storage: {draw: [20, 40]}}
  replenishment: {lead_time: 3}
  transfer: {lead_time: 1, transport_cost: 0.5}
"""


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    (tmp_path / "ring.yaml").write_text(RING, encoding="utf-8")
    return tmp_path / "ring.yaml"


def generated(folder: Path, network: str, *settings: str) -> Scenario:
    """A scenario on `network`, where transfers take a period and replenishment takes two."""
    text = (
        f"demand: {{kind: poisson, mean: 5}}\nnetwork: {{{network}, transfer: {{lead_time: 1}}, "
        f"replenishment: {{lead_time: 2}}}}\n"
    )
    (folder / "it.yaml").write_text(text, encoding="utf-8")
    return load_scenario(folder / "it.yaml", settings)


def lanes(scenario: Scenario) -> list[str]:
    return [lane.name for lane in scenario.lanes]


def between(scenario: Scenario) -> networkx.DiGraph:
    """The transfer lanes, as a graph of warehouses."""
    suppliers = {supplier.name for supplier in scenario.suppliers}
    graph = networkx.DiGraph(
        (lane.origin, lane.destination) for lane in scenario.lanes if lane.origin not in suppliers
    )
    graph.add_nodes_from(warehouse.name for warehouse in scenario.warehouses)
    return graph


# Kinds


def test_a_ring_links_each_with_those_beside_it_both_ways(tmp_path: Path):
    scenario = generated(tmp_path, "generate: ring, size: 3")
    assert [warehouse.name for warehouse in scenario.warehouses] == [
        "warehouse_0",
        "warehouse_1",
        "warehouse_2",
    ]
    assert lanes(scenario)[:3] == ["supplier->warehouse_0", "supplier->warehouse_1", "supplier->warehouse_2"]
    assert sorted(lanes(scenario)[3:]) == [
        f"warehouse_{i}->warehouse_{j}" for i in range(3) for j in range(3) if i != j
    ]


def test_neighbours_are_counted_on_each_side(tmp_path: Path):
    wide = between(generated(tmp_path, "generate: ring, size: 12, neighbours: 2"))
    assert sorted(wide.successors("warehouse_00")) == [
        "warehouse_01",
        "warehouse_02",
        "warehouse_10",
        "warehouse_11",
    ]
    assert len(between(generated(tmp_path, "generate: ring, size: 6, neighbours: 9")).edges) == 6 * 5


def test_a_grid_links_above_below_and_beside(tmp_path: Path):
    grid = between(generated(tmp_path, "generate: grid, rows: 3, columns: 4"))
    assert sorted(grid.successors("warehouse_0_0")) == ["warehouse_0_1", "warehouse_1_0"]
    assert sorted(grid.successors("warehouse_1_1")) == [
        "warehouse_0_1",
        "warehouse_1_0",
        "warehouse_1_2",
        "warehouse_2_1",
    ]
    wrapped = between(generated(tmp_path, "generate: grid, rows: 3, columns: 4, wrapped: true"))
    assert {degree for _, degree in wrapped.out_degree} == {4}


def test_without_transfers_there_are_no_lanes_between_warehouses(tmp_path: Path):
    alone = generated(tmp_path, "generate: grid, rows: 2, columns: 3", "network.transfer=null")
    assert [lane.origin for lane in alone.lanes] == ["supplier"] * 6


def test_a_chain_leads_from_the_supplier_to_the_customers(tmp_path: Path):
    scenario = generated(tmp_path, "generate: serial, size: 3")
    assert lanes(scenario) == ["supplier->stage_3", "stage_2->stage_1", "stage_3->stage_2"]
    assert [warehouse.name for warehouse in scenario.warehouses if warehouse.faces_demand] == ["stage_1"]


def test_centres_feed_equal_parts_of_the_circle_of_shops(tmp_path: Path):
    scenario = generated(
        tmp_path,
        "generate: hub_and_spoke, centres: 2, shops: 4, centre: {holding_cost: 0.5}, lateral: {lead_time: 0}",
    )
    graph = between(scenario)
    assert [(w.name, w.faces_demand, w.holding_cost) for w in scenario.warehouses[:3]] == [
        ("centre_0", False, 0.5),
        ("centre_1", False, 0.5),
        ("shop_0", True, 0),
    ]
    assert [list(graph.successors(centre)) for centre in ("centre_0", "centre_1")] == [
        ["shop_0", "shop_1"],
        ["shop_2", "shop_3"],
    ]
    assert sorted(graph.predecessors("shop_0")) == ["centre_0", "shop_1", "shop_3"]
    assert {lane.lead_time for lane in scenario.lanes if lane.origin.startswith("shop")} == {0}


def test_shops_may_ask_several_centres(tmp_path: Path):
    graph = between(generated(tmp_path, "generate: hub_and_spoke, centres: 3, shops: 3, sources: 2"))
    assert sorted(graph.predecessors("shop_2")) == ["centre_0", "centre_2"]


def test_a_tree_branches_from_the_centre_to_the_shops(tmp_path: Path):
    scenario = generated(tmp_path, "generate: tree, branching: 2, depth: 2")
    assert sorted(between(scenario).edges) == [
        ("centre", "depot_0"),
        ("centre", "depot_1"),
        ("depot_0", "shop_0"),
        ("depot_0", "shop_1"),
        ("depot_1", "shop_2"),
        ("depot_1", "shop_3"),
    ]
    assert [w.name for w in scenario.warehouses if w.faces_demand] == ["shop_0", "shop_1", "shop_2", "shop_3"]


def test_near_warehouses_are_linked_and_groups_are_joined_by_the_shortest_link(tmp_path: Path):
    apart = between(
        generated(tmp_path, "generate: random_geometric, size: 30, radius: 0.15, seed: 3, connected: false")
    )
    joined = between(generated(tmp_path, "generate: random_geometric, size: 30, radius: 0.15, seed: 3"))
    groups = networkx.number_weakly_connected_components(apart)
    assert groups > 1
    assert networkx.is_strongly_connected(joined)
    assert len(joined.edges) == len(apart.edges) + 2 * (groups - 1)
    assert set(apart.edges) < set(joined.edges)


def test_a_seed_draws_the_same_network_and_another_seed_another(tmp_path: Path):
    one, again, other = (
        generated(tmp_path, f"generate: random_geometric, size: 20, radius: 0.3, seed: {seed}")
        for seed in (1, 1, 2)
    )
    assert one == again
    assert lanes(one) != lanes(other)


def test_suppliers_feed_all_or_a_share_or_those_that_are_named(tmp_path: Path):
    fed = {}
    for given in ("all", "0.5", "[warehouse_2]"):
        scenario = generated(tmp_path, f"generate: ring, size: 4, fed: {given}")
        fed[given] = [lane.destination for lane in scenario.lanes if lane.origin == "supplier"]
    assert fed == {
        "all": ["warehouse_0", "warehouse_1", "warehouse_2", "warehouse_3"],
        "0.5": ["warehouse_0", "warehouse_2"],
        "[warehouse_2]": ["warehouse_2"],
    }
    several = generated(tmp_path, "generate: serial, size: 2, suppliers: 2")
    assert lanes(several) == ["supplier_0->stage_2", "supplier_1->stage_2", "stage_2->stage_1"]
    assert lanes(generated(tmp_path, "generate: serial, size: 2, suppliers: 0", "ending=finite")) == [
        "stage_2->stage_1"
    ]


# Templates


def test_templates_say_what_entries_are_like(ring: Path):
    scenario = load_scenario(ring)
    assert {warehouse.holding_cost for warehouse in scenario.warehouses} == {1}
    assert {(lane.lead_time, lane.transport_cost) for lane in scenario.lanes[:4]} == {(3, 0)}
    assert {(lane.lead_time, lane.transport_cost) for lane in scenario.lanes[4:]} == {(1, 0.5)}


def test_a_draw_is_made_once_for_each_entry_and_stays_when_the_network_grows(ring: Path):
    storages = [warehouse.storage for warehouse in load_scenario(ring).warehouses]
    assert len(set(storages)) > 1
    assert all(20 <= storage <= 40 and storage == int(storage) for storage in storages)
    assert [warehouse.storage for warehouse in load_scenario(ring, ["network.size=9"]).warehouses][
        :4
    ] == storages
    assert [warehouse.storage for warehouse in load_scenario(ring, ["network.seed=1"]).warehouses] != storages


def test_a_draw_between_fractions_is_a_fraction(ring: Path):
    [storage, *_] = [
        warehouse.storage
        for warehouse in load_scenario(ring, ["network.warehouse.storage={draw: [20.0, 40]}"]).warehouses
    ]
    assert storage != int(storage)


def test_lead_time_and_transport_cost_may_grow_with_distance(tmp_path: Path):
    text = """demand: {kind: poisson, mean: 5}
network:
  generate: ring
  size: 6
  neighbours: 2
  replenishment: {lead_time: {values: [1, 3]}, lead_time_per_distance: 0.5}
  transfer: {lead_time: 1, lead_time_per_distance: 0.6, transport_cost_per_distance: 2}
"""
    (tmp_path / "far.yaml").write_text(text, encoding="utf-8")
    lane = {lane.name: lane for lane in load_scenario(tmp_path / "far.yaml").lanes}
    assert lane["supplier->warehouse_0"].lead_time.values == [2, 4]
    beside, next_but_one = lane["warehouse_0->warehouse_1"], lane["warehouse_0->warehouse_4"]
    assert (beside.lead_time, beside.transport_cost) == (1 + 1, 2)
    assert (next_but_one.lead_time, next_but_one.transport_cost) == (1 + 2, 4)


SEVERAL = RING.replace(
    "  generate: ring\n  size: 4\n",
    """  networks:
    - {generate: ring, copies: 2, size: {draw: [3, 9]}}
    - {generate: serial, size: 2, warehouse: {holding_cost: 2}}
""",
)


def test_several_networks_stand_apart_from_each_other_and_differ(ring: Path):
    ring.write_text(SEVERAL, encoding="utf-8")
    scenario = load_scenario(ring)
    whole = between(scenario)
    sizes = [sum(name.startswith(f"network_{number}.") for name in whole) for number in range(3)]
    assert networkx.number_weakly_connected_components(whole) == 3 == len(scenario.suppliers)
    assert sizes[2] == 2
    assert all(3 <= size <= 9 for size in sizes[:2])
    first, second = (
        [w.storage for w in scenario.warehouses if w.name.startswith(f"network_{number}.")]
        for number in range(2)
    )
    assert first != second
    assert [warehouse.holding_cost for warehouse in scenario.warehouses] == [1] * sum(sizes[:2]) + [2, 2]
    drawn = {tuple(lanes(load_scenario(ring, [f"network.seed={seed}"]))) for seed in range(5)}
    assert len(drawn) > 1
    assert lanes(load_scenario(ring)) == lanes(scenario)


def test_a_number_of_the_whole_network_may_be_drawn(ring: Path):
    sizes = {
        len(load_scenario(ring, ["network.size={draw: [3, 30]}", f"network.seed={seed}"]).warehouses)
        for seed in range(6)
    }
    assert len(sizes) > 2
    assert min(sizes) >= 3
    assert max(sizes) <= 30


def test_a_suppliers_capacity_may_grow_with_those_it_feeds(ring: Path):
    per_warehouse = ["network.supplier={capacity: 2, capacity_per_warehouse: 1.5}"]
    assert load_scenario(ring, per_warehouse).suppliers[0].capacity == 2 + 4 * 1.5
    assert load_scenario(ring, [*per_warehouse, "network.fed=0.5"]).suppliers[0].capacity == 2 + 2 * 1.5


SEVERAL_MISTAKES = {
    "none": ("networks=[]", "network.networks is []; give a list of generated ones: [{generate: ring, size: 6}]"),
    "a file": ("networks=[{file: a.json}]", "network.networks is [{'file': 'a.json'}]; give a list of generated ones: [{generate: ring, size: 6}]"),
    "copies": ("networks.0.copies=0", "network.networks.0.copies is 0; give a whole number from 1 to 10,000"),
    "size": ("networks.0.size=1", "network.size is 1; give a number, 2 or more"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", SEVERAL_MISTAKES)
def test_a_mistake_about_several_networks_is_told(ring: Path, mistake: str):
    setting, message = SEVERAL_MISTAKES[mistake]
    ring.write_text(SEVERAL, encoding="utf-8")
    with pytest.raises(InputError) as refusal:
        load_scenario(ring, [f"network.{setting}"])
    assert str(refusal.value) == f"command line: {message}"


def test_a_mistake_in_one_of_several_has_its_place(ring: Path):
    ring.write_text(SEVERAL.replace("size: 2,", "sise: 2,"), encoding="utf-8")
    with pytest.raises(InputError) as refusal:
        load_scenario(ring)
    assert str(refusal.value).splitlines() == [
        f"{ring}:6:7: network.size is missing; add it",
        f"{ring}:6:26: network.sise is not a known key; did you mean size?",
    ]


# What the scenario lists besides


def test_what_a_scenario_lists_is_laid_over_the_generated_or_added(ring: Path):
    ring.write_text(
        RING
        + """warehouses:
  - {name: warehouse_1, holding_cost: 7}
  - {name: depot, faces_demand: false}
lanes:
  - {origin: depot, destination: warehouse_1, lead_time: 2}
  - {origin: warehouse_0, destination: warehouse_1, transport_cost: 9}
""",
        encoding="utf-8",
    )
    scenario = load_scenario(ring)
    plain = load_scenario(ring, ["warehouses.1.holding_cost=1"])
    assert [w.holding_cost for w in scenario.warehouses] == [1, 7, 1, 1, 0]
    assert scenario.warehouses[1].storage == plain.warehouses[1].storage
    assert lanes(scenario)[-1] == "depot->warehouse_1"
    changed = next(lane for lane in scenario.lanes if lane.name == "warehouse_0->warehouse_1")
    assert (changed.lead_time, changed.transport_cost) == (1, 9)


def test_a_demand_without_a_kind_changes_the_templates_demand(ring: Path):
    text = RING.replace("holding_cost: 1", "demand: {kind: normal, mean: 6, sd: 2}")
    ring.write_text(text + "warehouses:\n  - {name: warehouse_0, demand: {mean: 9}}\n", encoding="utf-8")
    one, other, *_ = load_scenario(ring).warehouses
    assert (one.demand.mean, one.demand.sd, other.demand.mean) == (9, 2, 6)
    ring.write_text(
        text + "warehouses:\n  - {name: warehouse_0, demand: {kind: poisson, mean: 9}}\n", encoding="utf-8"
    )
    assert load_scenario(ring).warehouses[0].demand.kind == "poisson"


def test_settings_reach_the_generator_and_then_what_it_made(ring: Path):
    scenario = load_scenario(ring, ["warehouses.warehouse_10.storage=99", "network.size=12"])
    assert len(scenario.warehouses) == 12
    assert scenario.warehouses[10].storage == 99


# Mistakes

MISTAKES = {
    # what is changed: (old, new, the message after "file:")
    "unknown kind": (
        "generate: ring",
        "generate: rng",
        "4:3: network.generate is 'rng'; give one of 'ring', 'grid', 'random_geometric', 'serial', 'hub_and_spoke', 'tree'",
    ),
    "unknown option": ("size: 4", "size: 4\n  neighbors: 2", "6:3: network.neighbors is not a known key; did you mean neighbours?"),
    "no size": ("  size: 4\n", "", "3:1: network.size is missing; add it"),
    "one warehouse": ("size: 4", "size: 1", "5:3: network.size is 1; give a number, 2 or more"),
    "too many": ("size: 4", "size: 1000000", "5:3: network.size is 1000000; give a number, 100000 or less"),
    "too many lanes": (
        "size: 4",
        "size: 10000\n  neighbours: 5000",
        "3:1: network would have 10,000 warehouses and 100,000,000 lanes; give at most 100,000 and 1,000,000",
    ),
    "slip in a template": (
        "holding_cost: 1",
        "holding_cots: 1",
        "6:15: network.warehouse.holding_cots is not a known key; did you mean holding_cost?",
    ),
    "no lead time": ("lead_time: 1, ", "", "8:3: network.transfer.lead_time is missing; add it"),
    "no template for replenishment": (
        "  replenishment: {lead_time: 3}\n",
        "",
        "3:1: network has suppliers and no template for their lanes; add `replenishment: {lead_time: 2}`, or `suppliers: 0`",
    ),
    "a name for many": ("holding_cost: 1", "name: shop", "6:3: network.warehouse is for many entries and gives name; leave it out"),
    "draw backwards": (
        "[20, 40]",
        "[40, 20]",
        "6:42: network.warehouse.storage.draw is [40, 20]; give the lowest and the highest value: [2, 8]",
    ),
    "draw out of bounds": ("[20, 40]", "[-1, 40]", "6:32: network.warehouse.storage is -1; give a number above 0"),
    "stock beyond drawn storage": (
        "holding_cost: 1",
        "initial_stock: 50",
        "6:3: warehouses[0].initial_stock takes 50 of a storage of 24; give less stock or more storage",
    ),
    "feeding a stranger": (
        "size: 4",
        "size: 4\n  fed: [warehouse_7]",
        "3:1: network feeds 'warehouse_7', which is no warehouse; did you mean warehouse_3?",
    ),
    "feeding too many": ("size: 4", "size: 4\n  fed: 3", "6:3: network.fed is 3; give `all`, a share from 0 to 1, or a list of warehouses"),
    "no mapping": (RING[RING.index("network") :], "network: ring", "3:1: network is 'ring'; give `generate: ring`, `file: network.json` or `lanes: lanes.csv`"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_place(ring: Path, mistake: str):
    old, new, message = MISTAKES[mistake]
    assert old in RING
    ring.write_text(RING.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as refusal:
        load_scenario(ring)
    assert str(refusal.value).removeprefix(f"{ring}:") == message


def test_what_is_listed_keeps_its_own_place(ring: Path):
    ring.write_text(
        RING + "warehouses:\n  - {name: warehouse_2, storage: -1}\n  - {name: depot, storge: 1}\n",
        encoding="utf-8",
    )
    with pytest.raises(InputError) as refusal:
        load_scenario(ring)
    assert str(refusal.value).splitlines() == [
        f"{ring}:10:25: warehouses[2].storage is -1; give a number above 0",
        f"{ring}:11:19: warehouses[4].storge is not a known key; did you mean storage?",
    ]


def test_a_mistake_that_repeats_is_told_a_few_times(ring: Path):
    with pytest.raises(InputError) as refusal:
        load_scenario(ring, ["network.size=100", *(f"warehouses.{index}.storage=-1" for index in range(100))])
    assert len(str(refusal.value).splitlines()) == 21
    assert str(refusal.value).endswith("has 80 more mistakes; mend these first")
