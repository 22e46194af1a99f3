"""What the tensors of a network say, and what it works out for itself: source lanes, throughput, largest
requests."""

from __future__ import annotations

import networkx
import pytest
import torch
from torch import Tensor

from building import network, problem
from marl_inv.common.errors import InputError
from marl_inv.episodes.view import source_available
from marl_inv.network import TransferNetwork, network_from_graph, network_graph
from marl_inv.network.incidence import Incidence


def sources(net: TransferNetwork) -> list[str | None]:
    """The name of every warehouse's source lane."""
    return [net.lanes[lane] if lane >= 0 else None for lane in net.source_lane.tolist()]


def lanes(*routes: str, **fields: object) -> list[dict[str, object]]:
    """Lanes from `origin->destination` texts."""
    return [
        {"origin": route.split("->")[0], "destination": route.split("->")[1], "lead_time": 1} | fields
        for route in routes
    ]


AB = {"suppliers": [{"name": "s"}, {"name": "z"}], "warehouses": [{"name": "a"}, {"name": "b"}]}


# Order and names


def test_replenishment_lanes_come_first_and_each_kind_in_the_scenarios_order():
    net = network(AB | {"lanes": lanes("b->a", "a->b", "z->b", "s->b", "z->a", "s->a")})
    assert net.lanes == ("z->b", "s->b", "z->a", "s->a", "b->a", "a->b")
    assert net.lane_origin == ["z", "s", "z", "s", "b", "a"]
    assert (net.replenishments, net.supplier.tolist(), net.origin.tolist()) == (4, [1, 0, 1, 0], [1, 0])
    assert net.destination.tolist() == [1, 1, 0, 0, 0, 1]
    assert net.inbound(0) == [2, 3, 4]


def test_lanes_arrive_by_lead_time():
    net = network(AB | {"lanes": [*lanes("s->a"), *lanes("s->b", lead_time=3), *lanes("a->b", lead_time=0)]})
    carried = torch.tensor([[[5.0], [6.0], [7.0]]], dtype=torch.float64)
    assert {
        lead: arriving(carried).flatten().tolist() for lead, arriving in net.arrivals_by_lead_time.items()
    } == {
        1: [5, 0],
        3: [0, 6],
        0: [0, 7],
    }
    assert net.longest_lead_time == 3
    assert net.instant.squeeze(1).tolist() == [0, 0, 1]


def test_what_a_network_does_not_use_is_none():
    net = network(AB | {"lanes": lanes("s->a")})
    unused = (
        "instant",
        "storage",
        "holding_cost",
        "shortage_cost",
        "overflow_cost",
        "price",
        "procurement_cost",
        "transport_cost",
        "max_promotion",
        "max_reserve",
        "owes",
        "order_slot",
        "reactive",
        "full_shipment",
        "keeps_overflow",
        "dip",
        "salvage_value",
        "in_transit_cost",
        "shipment_cost",
        "vehicle_cost",
        "transfer_price",
        "initial_pipeline",
        "initial_orders",
    )
    assert [getattr(net, name) for name in unused] == [None] * len(unused)
    assert net.limits == ()


def test_a_network_without_lanes_stands():
    net = network({"warehouses": [{"name": "a"}]})
    assert (net.lanes, net.longest_lead_time, net.max_request.shape, sources(net)) == ((), 0, (1, 0), [None])


def test_a_price_counts_when_the_objective_is_profit():
    shop = {"warehouses": [{"name": "a", "price": 3}]}
    assert network(shop).counted_price is None
    assert network(shop | {"objective": "profit"}).counted_price.item() == 3


# Limits, rules and initial goods


def test_limits_are_of_lanes_then_each_pool_then_suppliers():
    """The last group of each holds the lanes that it does not limit; reactive lanes are in groups, too."""
    net = network(
        AB
        | {
            "suppliers": [{"name": "s", "capacity": 9}, {"name": "z"}],
            "lanes": [
                *lanes("b->a", capacity=4),
                *lanes("s->a", "z->b"),
                {"origin": "a", "destination": "b", "reactive": True, "capacity": 5},
            ],
            "pools": [
                {"name": "p", "lanes": ["z->b", "a->b"], "capacity": 2},
                {"name": "q", "lanes": ["s->a"], "capacity": 3},
            ],
        }
    )
    told = [(limit.names, limit.group.tolist(), limit.reactive_group.tolist()) for limit in net.limits]
    assert net.lanes == ("s->a", "z->b", "b->a")
    assert told == [
        (("b->a", "a->b"), [2, 2, 0], [1]),
        (("p",), [1, 0, 1], [0]),
        (("q",), [0, 1, 1], [1]),
        (("s",), [0, 1, 1], [1]),
    ]
    assert [limit.capacity.flatten().tolist()[:-1] for limit in net.limits] == [[4, 5], [2], [3], [9]]
    assert not net.interruptible


def test_an_outage_limits_what_had_no_limit():
    """z becomes a supplier with a limit that only an outage makes felt; rows of `Chance.available` are in the
    order of the events."""
    events = [
        {"kind": "outage", "at": [1], "targets": ["z"]},
        {"kind": "outage", "at": [1], "targets": ["s->a", "z"]},
    ]
    net = network(AB | {"lanes": lanes("s->a", "z->b"), "events": events})
    assert net.interruptible
    assert [(limit.names, limit.outage.tolist()) for limit in net.limits] == [
        (("s->a",), [1, 2]),
        (("z",), [0, 2]),
    ]


def test_a_source_is_as_available_as_its_lane_pool_and_supplier():
    """a asks s on a lane in the pool, b asks z; nobody supplies c, and an outage of other lanes does not
    reach it."""
    events = [{"kind": "outage", "at": [1], "targets": [name]} for name in ("s", "p", "z->b")]
    warehouses = [{"name": name} for name in "abc"]
    pool = {"name": "p", "lanes": ["s->a"], "capacity": 3}
    net = network(
        AB | {"warehouses": warehouses, "lanes": lanes("s->a", "z->b"), "events": events, "pools": [pool]}
    )
    available = torch.tensor([[0.5], [0.25], [0.75], [1]]).double()
    assert source_available(net, available).flatten().tolist() == [0.25, 0.75, 1]
    reactive = [{"name": "r", "origin": "a", "destination": "b", "reactive": True}]
    alone = network(AB | {"lanes": reactive, "events": [{"kind": "outage", "at": [1], "targets": ["r"]}]})
    assert source_available(alone, torch.tensor([[0.5], [1]]).double()).flatten().tolist() == [1, 1]


def test_lanes_are_sorted_by_the_rule_of_their_origin():
    """Priorities 1 and 2 and, last, the lanes without any; all lanes come back to their places."""
    warehouses = [{"name": name} for name in "ab"] + [{"name": "c", "rationing": "priority"}]
    routes = [
        *lanes("c->a"),
        *lanes("a->b"),
        *lanes("c->b", priority=2),
        {"name": "x"} | lanes("c->a", priority=1)[0],
    ]
    net = network(AB | {"warehouses": warehouses, "lanes": [*routes, *lanes("s->c")]})
    assert [(rule.name, rule.lanes.tolist()) for rule in net.stock_rules] == [
        ("priority", [1, 3, 4]),
        ("proportional", [2]),
    ]
    assert [places.tolist() for places in net.stock_rules[0].rounds] == [[2], [1], [0]]
    joined = [0, 1, 3, 4, 2]
    assert [joined[place] for place in net.lane_order.tolist()] == [0, 1, 2, 3, 4]


def test_initial_shipments_stand_in_the_pipeline_by_arrival():
    """Two lanes into a: 3 shipments of 2 units and, at a random lead time of 2 on average, two of 5."""
    drawn = {"values": [1, 3]}
    net = network(
        AB
        | {
            "lanes": [
                *lanes("s->a", lead_time=3, initial_shipments=2),
                *lanes("z->a", lead_time=drawn, initial_shipments=5),
            ]
        }
    )
    assert net.initial_pipeline[0, :, 0, 0].tolist() == [7, 7, 2]
    assert (net.lead_time.tolist(), net.longest_lead_time) == ([3, 2], 3)


def test_the_longest_lead_time_counts_delays():
    delays = [{"kind": "delay", "at": [3], "periods": 2}, {"kind": "delay", "at": [4], "periods": 1}]
    assert network(AB | {"lanes": lanes("s->a", lead_time=4), "events": delays}).longest_lead_time == 7
    assert network(AB | {"events": delays}).longest_lead_time == 0


def test_the_response_time_is_order_delay_and_lead_time():
    assert network(AB | {"lanes": lanes("s->a", lead_time=4, order_delay=2)}).response_time.tolist() == [6]


# Source lanes


def test_the_source_is_the_lane_that_is_cheapest_landed():
    """Direct costs 9; by way of the hub 2 + 3."""
    net = network("""
      suppliers: [{name: mill}]
      warehouses: [{name: hub}, {name: shop}]
      lanes:
        - {origin: mill, destination: shop, lead_time: 1, procurement_cost: 8, transport_cost: 1}
        - {origin: mill, destination: hub, lead_time: 5, procurement_cost: 2}
        - {origin: hub, destination: shop, lead_time: 1, transport_cost: 3}
    """)
    assert sources(net) == ["mill->hub", "hub->shop"]


def test_of_two_that_cost_the_same_the_quicker_is_the_source():
    slow, quick = {"name": "slow", "lead_time": 3}, {"name": "quick", "lead_time": 1}
    for given in ([slow, quick], [quick, slow]):
        assert sources(network(AB | {"lanes": [*lanes("s->a", **given[0]), *lanes("s->a", **given[1])]})) == [
            "quick",
            None,
        ]


def test_of_two_that_are_the_same_the_first_supplier_is_the_source():
    assert sources(network(AB | {"lanes": lanes("z->a", "s->a", "s->b", "z->b")})) == ["s->a", "s->b"]


def test_a_warehouse_may_name_its_source_lane():
    named = {"warehouses": [{"name": "a", "source_lane": "z->a"}, {"name": "b", "source_lane": "a->b"}]}
    assert sources(network(AB | named | {"lanes": lanes("s->a", "z->a", "s->b", "a->b")})) == ["z->a", "a->b"]


def test_a_warehouse_that_no_supplier_reaches_has_no_source():
    assert sources(network(AB | {"lanes": lanes("s->a", "b->a")})) == ["s->a", None]


# Throughput and sizes


def test_throughput_adds_the_demand_of_all_who_are_fed():
    """Shops of mean 2 and 3 behind a hub of its own demand 1: 6 flow through; variances 4 + 9 + 1 add up,
    too."""
    net = network("""
      suppliers: [{name: mill}]
      warehouses:
        - {name: hub, demand: {kind: normal, mean: 1, sd: 1, cut_at_zero: false}, unmet_demand: backordered}
        - {name: a, demand: {kind: normal, mean: 2, sd: 2, cut_at_zero: false}, unmet_demand: backordered}
        - {name: b, demand: {kind: normal, mean: 3, sd: 3, cut_at_zero: false}, unmet_demand: backordered}
      lanes:
        - {origin: mill, destination: hub, lead_time: 1}
        - {origin: hub, destination: a, lead_time: 1}
        - {origin: hub, destination: b, lead_time: 1}
    """)
    assert net.mean_demand.tolist() == [[1, 2, 3]]
    assert net.throughput.tolist() == [[6, 2, 3]]
    torch.testing.assert_close(
        net.throughput_sd, torch.tensor([[14.0, 4.0, 9.0]], dtype=torch.float64).sqrt()
    )


def test_a_circle_of_source_lanes_counts_everyone_once():
    circle = {"warehouses": [{"name": "a", "source_lane": "b->a"}, {"name": "b", "source_lane": "a->b"}]}
    assert network(AB | circle | {"lanes": lanes("a->b", "b->a")}).throughput.tolist() == [[2, 2]]


def test_a_size_is_never_zero():
    """The hub is nobody's source, but could serve both shops, one of which has another neighbour: 4 + 2 / 2.
    Nobody asks the cellar."""
    net = network("""
      demand: {kind: poisson, mean: 4}
      warehouses:
        - {name: hub, faces_demand: false}
        - {name: cellar, faces_demand: false}
        - {name: a}
        - {name: b, demand: {kind: poisson, mean: 2}}
      lanes:
        - {origin: hub, destination: a, lead_time: 1}
        - {origin: hub, destination: b, lead_time: 1}
        - {origin: a, destination: b, lead_time: 1}
    """)
    assert net.size.tolist() == [[5, 1, 4, 2]]


def test_the_largest_request_is_the_lanes_own_or_its_capacity_or_4_times_lead_time_demand():
    """Demand is 5 a period; a lead time of 2 and the period of review make 3 periods: 4 x 3 x 5. A capacity
    of 30 holds 15 of volume 2."""
    net = network("""
      demand: {kind: poisson, mean: 5}
      products: [{name: cup, volume: 1}, {name: pot, volume: 2}]
      suppliers: [{name: mill}]
      warehouses: [{name: a}]
      lanes:
        - {name: named, origin: mill, destination: a, lead_time: 2, max_request: 7, capacity: 30}
        - {name: limited, origin: mill, destination: a, lead_time: 2, capacity: 30}
        - {name: free, origin: mill, destination: a, lead_time: 2}
    """)
    assert net.max_request.tolist() == [[7, 30, 60], [7, 15, 60]]


# Graphs


def test_a_network_comes_back_from_its_graph():
    net = problem(
        AB
        | {
            "lanes": lanes("b->a", "s->b", capacity=3),
            "pools": [{"name": "p", "lanes": ["s->b"], "capacity": 2}],
        }
    ).network
    again = network_from_graph(net.graph, dtype=torch.float64)
    for name, value in vars(net).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(again, name)), name
        elif isinstance(value, Incidence):
            assert torch.equal(value.place, getattr(again, name).place), name
        elif name == "arrivals_by_lead_time":
            places = (
                {lead: each.place.tolist() for lead, each in incidences.items()}
                for incidences in (value, again.arrivals_by_lead_time)
            )
            assert next(places) == next(places)
        elif name not in ("graph", "limits", "stock_rules"):
            assert value == getattr(again, name), name
    assert [limit.capacity.tolist() for limit in again.limits] == [
        limit.capacity.tolist() for limit in net.limits
    ]


def test_a_graph_may_be_made_by_hand_and_needs_only_lead_times():
    graph = networkx.MultiDiGraph()
    graph.add_node("mill", kind="supplier")
    graph.add_node("a", mean_demand=[3.0])
    graph.add_node("b")
    graph.add_edge("mill", "a", lead_time=1, capacity=5.0, colour="red")
    graph.add_edge("mill", "b", lead_time=2, capacity=7.0)
    net = network_from_graph(graph)
    assert net.lanes == ("mill->a", "mill->b")
    assert net.max_request.tolist() == [[5, 7]]
    assert net.mean_demand.tolist() == [[3, 0]]
    assert net.limits[0].capacity.squeeze(1).tolist()[:2] == [5, 7]


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (
            [("mill", "a", "lane", {"lead_time": -1})],
            "graph: lane lane: lead_time is -1; give a number, 0 or more",
        ),
        ([("mill", "a", "lane", {})], "graph: lane lane: lead_time is missing; add it"),
        (
            [("a", "mill", "lane", {"lead_time": 1})],
            "graph: lane lane does not lead into a warehouse; suppliers only ship",
        ),
        (
            [("mill", "a", None, {"lead_time": 1}), ("mill", "a", None, {"lead_time": 2})],
            "graph: 2 lanes are named mill->a; key every edge by a name of its own",
        ),
    ],
)
def test_a_graph_that_cannot_be_is_refused(
    edges: list[tuple[str, str, str | None, dict[str, object]]], message: str
):
    graph = networkx.MultiDiGraph()
    graph.add_node("mill", kind="supplier")
    graph.add_node("a")
    for origin, destination, key, fields in edges:
        graph.add_edge(origin, destination, key=key, **fields)
    with pytest.raises(InputError) as refusal:
        network_from_graph(graph)
    assert str(refusal.value) == message


def test_the_graph_speaks_the_scenarios_words():
    made = problem(AB | {"lanes": lanes("s->a", transport_cost=2)})
    graph = network_graph(made.scenario, made.demand.mean, made.demand.sd)
    assert graph.nodes["s"] == {"kind": "supplier", "capacity": None}
    assert graph.nodes["a"]["mean_demand"] == [1.0]
    assert graph.edges["s", "a", "s->a"]["transport_cost"] == 2


def lane_by_lane(incidence: Incidence, units: Tensor, onto: Tensor | None = None) -> Tensor:
    """What it should add up to, one lane after the other."""
    total = units.new_zeros(len(units), incidence.places, units.shape[-1]) if onto is None else onto.clone()
    lanes = range(len(incidence.place)) if incidence.lanes is None else incidence.lanes.tolist()
    for lane, place in zip(lanes, incidence.place.tolist(), strict=True):
        total[:, place] += units[:, lane]
    return total


def shuffled(values: list[int]) -> list[int]:
    return [
        values[index]
        for index in torch.randperm(len(values), generator=torch.Generator().manual_seed(1)).tolist()
    ]


PATH = [*range(600), *range(1, 600), *range(599)]
PLACES = {
    "path": (PATH, None),  # each of 600 warehouses has a supplier's lane, and lanes from both sides
    "shuffled path": (shuffled(PATH), None),
    "one side": (PATH[600:1199], list(range(600, 1199))),
    "many of them": (shuffled(PATH)[:1100], list(range(1100))),
    "some lanes": (shuffled(PATH)[:100], list(range(7, 107))),
    "one place": ([0] * 1500, None),
    "a lane each": (list(range(600)), None),
    "the last places": ([598, 599], [3, 4]),
    "no lanes": ([], []),
}


@pytest.mark.parametrize(("place", "lanes"), PLACES.values(), ids=PLACES)
def test_lanes_add_up_in_order_at_their_places(place: list[int], lanes: list[int] | None):
    """In every bit, to nothing; and to what is there but for rounding. Two products, of which each lane knows
    its own."""
    chance = torch.Generator().manual_seed(0)
    units, there = (
        torch.rand(2, size, 3, generator=chance) for size in (len(place) if lanes is None else 2000, 600)
    )
    incidence = Incidence.of(place, 600, torch.ones(2, 1, 1), lanes, units.shape[1])
    assert torch.equal(incidence(units), lane_by_lane(incidence, units))
    assert torch.allclose(incidence(units, onto=there), lane_by_lane(incidence, units, there), rtol=1e-6)
    assert torch.equal(incidence.at(there), there[:, place])


@pytest.mark.parametrize("name", ["shuffled path", "some lanes", "one side"])
def test_the_gradient_of_sums_is_that_of_each_lanes_place(name: str):
    place, lanes = PLACES[name]
    units = torch.rand(2, len(place) if lanes is None else 2000, 3, requires_grad=True)
    incidence = Incidence.of(place, 600, torch.ones(2, 1, 1), lanes, units.shape[1])
    slope = torch.rand(2, 600, 3)
    (incidence(units) * slope).sum().backward()
    expected = torch.zeros_like(units)
    expected[:, range(len(place)) if lanes is None else lanes] = slope[:, place]
    assert torch.equal(units.grad, expected)
