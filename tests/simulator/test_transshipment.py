"""Reactive lanes: what they move after demand, in which order, within which limits, and how near it is to the
best plan."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from best_transshipment import best_transshipment
from building import Played, network, play, units
from marl_inv.network import TransferNetwork
from marl_inv.simulator.transshipment import transship


def reactive(*routes: str, **fields: Any) -> list[dict[str, Any]]:
    """Reactive lanes from `origin->destination at cost` texts."""
    lanes = []
    for route in routes:
        ends, _, cost = route.partition(" at ")
        origin, destination = ends.split("->")
        lanes.append(
            {
                "origin": origin,
                "destination": destination,
                "reactive": True,
                "transport_cost": float(cost or 0),
            }
            | fields
        )
    return lanes


def shops(**stock: float) -> list[dict[str, Any]]:
    """Shops that pay 1 to hold a unit and 9 to miss one."""
    return [
        {"name": name, "initial_stock": units, "holding_cost": 1, "shortage_cost": 9}
        for name, units in stock.items()
    ]


def moved(net: TransferNetwork, played: Played, period: int = 0) -> dict[str, float]:
    amounts = units(played.flows[period].transshipped)
    return {name: amount for name, amount in zip(net.reactive.names, amounts, strict=True) if amount}


def moves(
    given: dict[str, Any], reserve: dict[str, float] | None = None, **demand: float
) -> dict[str, float]:
    """What the lanes move in the first period, where they move anything."""
    net = network(given)
    return moved(net, play(net, ask=[{}], demand=[demand], reserve=None if reserve is None else [reserve]))


# What moves


def test_surplus_meets_shortage_after_demand_at_once():
    """a sells 2 of 10 and b is short of 3: they move, and are sold. Nothing is lost, and holding is on the 5
    left."""
    net = network({"warehouses": shops(a=10, b=4), "lanes": reactive("a->b at 2", "b->a at 2")})
    played = play(net, ask=[{}], demand=[{"a": 2, "b": 7}])
    flows, costs = played.flows[0], played.costs[0]
    assert moved(net, played) == {"a->b": 3}
    assert (units(flows.lost), units(flows.unmet), units(flows.served), played.stock()) == (
        [0, 0],
        [0, 0],
        [2, 7],
        [[5, 0]],
    )
    assert (units(costs.holding), units(costs.transport), units(costs.shortage)) == ([5, 0], [0, 6], [0, 0])


def test_shipments_on_request_come_first():
    """4 of a's 10 leave for c before demand: of the 6 left 5 are wanted, and 1 is surplus."""
    net = network(
        {
            "warehouses": shops(a=10, b=0, c=0),
            "lanes": [*reactive("a->b"), {"origin": "a", "destination": "c", "lead_time": 1}],
        }
    )
    assert moved(net, play(net, ask=[{"a_to_c": 4}], demand=[{"a": 5, "b": 3}])) == {"a->b": 1}


def test_what_arrives_at_once_is_surplus_too():
    supplied = {
        "suppliers": [{"name": "s"}],
        "lanes": [*reactive("a->b"), {"origin": "s", "destination": "a", "lead_time": 0}],
    }
    net = network({"warehouses": shops(a=0, b=0)} | supplied)
    assert moved(net, play(net, ask=[{"s_to_a": 4}], demand=[{"b": 3}])) == {"a->b": 3}


def test_backorders_are_filled_too_and_the_shortage_that_is_left_waits():
    waiting = [shop | {"unmet_demand": "backordered"} for shop in shops(a=4, b=0)]
    net = network({"warehouses": waiting, "lanes": reactive("a->b"), "objective": "profit"})
    played = play(net, ask=[{}, {}], demand=[{"a": 4, "b": 3}, {"a": -2}])
    assert [moved(net, played, period) for period in (0, 1)] == [{}, {"a->b": 2}]
    assert played.stock() == [[0, -3], [0, -1]]
    assert units(played.flows[1].served) == [-2, 2]


def test_nothing_is_passed_on():
    """b is short and gets 2 of a; it has nothing for c, which is short as well."""
    assert moves({"warehouses": shops(a=2, b=0, c=0), "lanes": reactive("b->c", "a->b")}, b=3, c=3) == {
        "a->b": 2
    }


def test_a_reserve_is_kept_from_reactive_lanes_too():
    """a keeps 4 of the 8 that demand leaves."""
    given = {"warehouses": shops(a=10, b=0), "lanes": reactive("a->b")}
    assert moves(given, reserve={"a": 4}, a=2, b=9) == {"a->b": 4}
    assert moves(given, reserve={"a": 9}, a=2, b=9) == {}


def test_reactive_lanes_charge_what_lanes_charge():
    """5 move: 2 each, 30 for the shipment, 1 for each of 2 vehicles, and 4 each from b to a."""
    lane = reactive("a->b at 2", shipment_cost=30, vehicle_cost=1, vehicle_capacity=3, transfer_price=4)
    costs = play(network({"warehouses": shops(a=5, b=0), "lanes": lane}), ask=[{}], demand=[{"b": 5}]).costs[
        0
    ]
    parts = ("transport", "shipment", "vehicle", "transfer_payment")
    assert [units(getattr(costs, part)) for part in parts] == [[0, 10], [0, 30], [0, 2], [-20, 20]]


# What it saves


@pytest.mark.parametrize(("cost", "units_moved"), [(9.9, 5), (10, 0), (10.1, 0)])
def test_a_unit_moves_if_that_saves_money(cost: float, units_moved: float):
    """It ends 1 of holding and prevents 9 of shortage."""
    given = {"warehouses": shops(a=5, b=0), "lanes": reactive(f"a->b at {cost}")}
    assert moves(given, b=5) == ({"a->b": units_moved} if units_moved else {})


def saving(rules: dict[str, Any], lane: dict[str, Any] | None = None, **shop: Any) -> float:
    """Of a unit moved at a cost of 2, where holding costs 1 and shortage 9."""
    lanes = reactive("a->b at 2", **(lane or {}))
    return network(
        {"warehouses": [each | shop for each in shops(a=0, b=0)], "lanes": lanes} | rules
    ).reactive.saving.item()


def test_the_saving_counts_what_the_objective_counts():
    assert saving({}) == 1 + 9 - 2
    assert saving({}, price=50) == 1 + 9 - 2
    assert saving({"objective": "profit"}, price=50) == 1 + 9 + 50 - 2
    assert (
        saving({"objective": "profit"}, price=50, unmet_demand="backordered") == 1 + 9 - 2
    )  # the sale is not lost
    assert saving({"objective": "service", "service": {"price": 4}}) == 1 + 9 + 4 - 2
    assert saving({"weights": {"holding": 3, "shortage": 0.5, "transport": 0}}) == 3 + 4.5
    assert saving({"objective": "utility"}) == 0
    assert saving({"holding_on": "opening"}) == 9 - 2
    assert saving({}, lane={"vehicle_cost": 6, "vehicle_capacity": 4}) == 1 + 9 - 2 - 1.5


# In which order


def test_the_lane_that_saves_most_comes_first():
    """b and c are short of 3 and 4 and a has 5: c is cheaper to reach. The other way, both can help a."""
    fan = {"warehouses": shops(a=5, b=0, c=0), "lanes": reactive("a->b at 2", "a->c at 1")}
    assert moves(fan, b=3, c=4) == {"a->c": 4, "a->b": 1}
    meeting = {"warehouses": shops(a=0, b=3, c=4), "lanes": reactive("b->a at 2", "c->a at 1")}
    assert moves(meeting, a=5) == {"c->a": 4, "b->a": 1}


def test_each_product_has_an_order_of_its_own():
    """Cups are cheaper to move to b, pots to c."""
    given = {
        "products": [{"name": "cup"}, {"name": "pot"}],
        "warehouses": shops(a=5, b=0, c=0),
        "lanes": [*reactive("a->b", transport_cost=[1, 2]), *reactive("a->c", transport_cost=[2, 1])],
    }
    net = network(given)
    played = play(net, ask=[{}], demand=[{"b": [4, 4], "c": [4, 4]}])
    assert units(played.flows[0].transshipped) == [[4, 1], [1, 4]]


def test_lanes_with_nothing_in_common_move_at_once():
    """Seven shops, each with a lane to every other at the same cost, take turns in a few waves, not one by
    one."""
    names = "abcdefg"
    routes = [
        f"{origin}->{destination}" for origin in names for destination in names if origin != destination
    ]
    net = network({"warehouses": shops(**dict.fromkeys(names, 0)), "lanes": reactive(*routes)})
    assert len(net.reactive.waves) <= 8
    for wave in net.reactive.waves:
        assert len(set(wave.origin.tolist())) == len(set(wave.destination.tolist())) == len(wave.move)


# Within which limits


def test_a_reactive_lane_carries_its_capacity():
    """2 cups and 4 pots of volume 2 take 10 of 5: those save less per volume, and wait."""
    given = {
        "products": [{"name": "cup"}, {"name": "pot", "volume": 2}],
        "warehouses": shops(a=9, b=0),
        "lanes": reactive("a->b", capacity=5),
    }
    net = network(given)
    played = play(net, ask=[{}], demand=[{"b": [2, 4]}])
    assert units(played.flows[0].transshipped) == [[2], [1.5]]


def test_products_that_save_the_same_share_a_reactive_lane():
    """3 cups and 6 mugs for 6 places: 2 and 4."""
    net = network(
        {
            "products": [{"name": "cup"}, {"name": "mug"}],
            "warehouses": shops(a=9, b=0),
            "lanes": reactive("a->b", capacity=6),
        }
    )
    assert units(play(net, ask=[{}], demand=[{"b": [3, 6]}]).flows[0].transshipped) == [[2], [4]]


POOLED = {
    "warehouses": shops(a=9, b=0, c=9, d=0),
    "lanes": [
        *reactive("a->b at 2", "c->d at 1"),
        {"name": "truck", "origin": "a", "destination": "c", "lead_time": 1},
    ],
    "pools": [{"name": "fleet", "lanes": ["a->b", "c->d", "truck"], "capacity": 8}],
}


def test_of_lanes_that_share_a_pool_the_one_that_saves_most_comes_first():
    """They have no shop in common, and 8 places for 6 + 6."""
    assert moves(POOLED, b=6, d=6) == {"c->d": 6, "a->b": 2}


def test_a_pool_holds_what_was_asked_for_and_what_moves_reactively():
    """3 of 8 are taken."""
    net = network(POOLED)
    assert moved(net, play(net, ask=[{"truck": 3}], demand=[{"b": 6, "d": 6}])) == {"c->d": 5}


def test_an_outage_closes_a_reactive_lane():
    given = {"warehouses": shops(a=9, b=0), "lanes": reactive("a->b")}
    net = network(given | {"events": [{"kind": "outage", "targets": ["a->b"], "probability": 0.5}]})
    played = play(net, ask=[{}, {}], demand=[{"b": 2}, {"b": 2}], available=[{"a->b": 0}, {}])
    assert [moved(net, played, period) for period in (0, 1)] == [{}, {"a->b": 2}]


def test_whole_units_move():
    """A pool for 7 is shared by 4 and 8 that save the same: 2.33 and 4.67 are 2 and 5. One for 3.5 carries
    3."""
    for capacity, expected in ((7, [2, 5]), (3.5, [1, 2])):
        given = {
            "quantities": "integer",
            "warehouses": shops(a=9, b=0, c=9, d=0),
            "lanes": reactive("a->b", "c->d"),
            "pools": [{"name": "fleet", "lanes": ["a->b", "c->d"], "capacity": capacity}],
        }
        net = network(given)
        assert units(play(net, ask=[{}], demand=[{"b": 4, "d": 8}]).flows[0].transshipped) == expected


# The best plan


def both_plans(net: TransferNetwork, level: Tensor) -> tuple[Tensor, Tensor]:
    """What the greedy plan saves, and the best one, by product and replication."""
    nothing = level.new_zeros(level.shape[0], len(net.lanes), level.shape[-1])
    greedy, best = transship(net, level, None, nothing, None), best_transshipment(net, level)
    return (greedy * net.reactive.saving).sum(1), (best * net.reactive.saving).sum(1)


def test_greedy_may_be_worse_than_the_best_plan():
    """a can help b at no cost or c at 1; d can help b only, at 2. Greedy moves a's unit to b, and c stays
    short: it saves 10. The best plan is a to c and d to b: 9 + 8."""
    net = network(
        {"warehouses": shops(a=1, b=0, c=0, d=1), "lanes": reactive("a->b", "a->c at 1", "d->b at 2")}
    )
    level = torch.tensor([1.0, -1.0, -1.0, 1.0]).double().reshape(1, 4, 1)
    greedy, best = both_plans(net, level)
    assert (greedy.item(), best.item()) == (10, 17)


def levels(net: TransferNetwork, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-9, 10, (len(net.products), len(net.warehouses), 6), generator=generator).double()


costs = st.integers(0, 12).map(lambda cost: f" at {cost}")
seeds = st.integers(0, 2**32 - 1)
several = st.integers(2, 5).map(lambda size: "abcdefg"[:size])


@given(several, st.data(), st.booleans(), seeds)
@settings(max_examples=40)
def test_greedy_is_best_from_one_origin_and_to_one_destination(
    names: str, data: st.DataObject, out: bool, seed: int
):
    """Parallel lanes too: what saves most per unit is best for every unit."""
    ends = [
        ("x", name) if out else (name, "x") for name in names for _ in range(data.draw(st.integers(1, 2)))
    ]
    lanes = [
        lane | {"name": f"lane_{e}"}
        for e, (a, b) in enumerate(ends)
        for lane in reactive(f"{a}->{b}{data.draw(costs)}")
    ]
    net = network(
        {"products": {"count": 2}, "warehouses": shops(x=0, **dict.fromkeys(names, 0)), "lanes": lanes}
    )
    torch.testing.assert_close(*both_plans(net, levels(net, seed)))


@given(several, costs, seeds)
@settings(max_examples=40)
def test_greedy_is_best_on_a_complete_network_where_all_savings_are_the_same(
    names: str, cost: str, seed: int
):
    routes = [
        f"{origin}->{destination}{cost}" for origin in names for destination in names if origin != destination
    ]
    net = network({"warehouses": shops(**dict.fromkeys(names, 0)), "lanes": reactive(*routes)})
    torch.testing.assert_close(*both_plans(net, levels(net, seed)))


@given(several, st.data(), seeds)
@settings(max_examples=40)
def test_greedy_is_never_better_than_the_best_plan_nor_worse_than_half_of_it(
    names: str, data: st.DataObject, seed: int
):
    """A unit that greedy moves can stand in the way of two others at most, each of which saves no more."""
    pairs = [(origin, destination) for origin in names for destination in names if origin != destination]
    chosen = data.draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True))
    lanes = reactive(*(f"{origin}->{destination}{data.draw(costs)}" for origin, destination in chosen))
    net = network({"warehouses": shops(**dict.fromkeys(names, 0)), "lanes": lanes})
    greedy, best = both_plans(net, levels(net, seed))
    assert (greedy <= best + 1e-9).all()
    assert (greedy >= best / 2 - 1e-9).all()


def test_the_best_plan_keeps_to_reserves():
    net = network({"warehouses": shops(a=0, b=0), "lanes": reactive("a->b")})
    level, reserve = (
        torch.tensor([5.0, -4.0]).double().reshape(1, 2, 1),
        torch.tensor([2.0, 0.0]).double().reshape(1, 2, 1),
    )
    assert best_transshipment(net, level, reserve).item() == 3
