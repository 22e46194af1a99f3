"""How requests that do not fit are cut: lanes, then pools, suppliers, stock at the origin by its rule, free
space; and to whole units."""

from __future__ import annotations

import pytest
import torch

from building import network, play, requests, units
from marl_inv.simulator.rationing import add_up, ration, whole

Row = dict[str, float]


def shipped(
    given: str, reserve: Row | None = None, available: Row | None = None, **asked: float
) -> dict[str, float]:
    """What leaves on each lane in the first period, by lane name with `_to_` for `->`."""
    net = network(given)
    played = play(
        net,
        ask=[asked],
        reserve=None if reserve is None else [reserve],
        available=None if available is None else [available],
    )
    return {
        lane.replace("->", "_to_"): amount
        for lane, amount in zip(net.lanes, units(played.flows[0].shipments), strict=True)
    }


def star(stock: object = 10, lanes: str = "", also: str = "") -> str:
    """A hub with stock that serves two shops."""
    return f"""
      {also}
      warehouses: [{{name: hub, initial_stock: {stock}}}, {{name: a}}, {{name: b}}]
      lanes: [{{origin: hub, destination: a, lead_time: 1, {lanes}}}, {{origin: hub, destination: b, lead_time: 1}}]
    """


def mill(supplier: str = "", lanes: str = "", also: str = "") -> str:
    """A mill that supplies two shops."""
    return f"""
      {also}
      suppliers: [{{name: mill, {supplier}}}]
      warehouses: [{{name: a}}, {{name: b}}]
      lanes: [{{origin: mill, destination: a, lead_time: 1, {lanes}}}, {{origin: mill, destination: b, lead_time: 1}}]
    """


def test_what_can_be_had_is_shipped_as_asked():
    assert shipped(star(), hub_to_a=6, hub_to_b=4) == {"hub_to_a": 6, "hub_to_b": 4}
    assert shipped(mill(), mill_to_a=1e6) == {"mill_to_a": 1e6, "mill_to_b": 0}


def test_stock_at_the_origin_is_shared_in_proportion_to_requests():
    """10 on hand for 12 + 8 asked: half of each."""
    assert shipped(star(), hub_to_a=12, hub_to_b=8) == {"hub_to_a": 6, "hub_to_b": 4}
    assert shipped(star(stock=0), hub_to_a=12, hub_to_b=8) == {"hub_to_a": 0, "hub_to_b": 0}


def test_every_product_is_shared_on_its_own():
    """Of cups 10 for 20, of pots 30 for 20."""
    net = network(star(stock=[10, 30], also="products: [{name: cup}, {name: pot, volume: 5}]"))
    assert units(play(net, ask=[{"hub_to_a": [12, 12], "hub_to_b": [8, 8]}]).flows[0].shipments) == [
        [6, 4],
        [12, 8],
    ]


def test_a_lane_carries_its_capacity():
    assert shipped(mill(lanes="capacity: 5"), mill_to_a=8, mill_to_b=8) == {"mill_to_a": 5, "mill_to_b": 8}


def test_products_share_a_lane_by_volume():
    """4 cups of volume 1 and 3 pots of volume 2 take 10 of a capacity of 5: half of each."""
    net = network(
        mill(lanes="capacity: 5", also="products: [{name: cup, volume: 1}, {name: pot, volume: 2}]")
    )
    assert units(play(net, ask=[{"mill_to_a": [4, 3]}]).flows[0].shipments) == [[2, 0], [1.5, 0]]


def test_a_pool_is_shared_by_its_lanes_and_leaves_others_alone():
    """8 + 4 asked of a fleet of 6; the lane outside takes what it likes."""
    fleet = """
      suppliers: [{name: mill}]
      warehouses: [{name: a}, {name: b}, {name: c}]
      lanes:
        - {origin: mill, destination: a, lead_time: 1}
        - {origin: mill, destination: b, lead_time: 1}
        - {origin: mill, destination: c, lead_time: 1}
      pools: [{name: fleet, lanes: [mill->a, mill->b], capacity: 6}]
    """
    assert shipped(fleet, mill_to_a=8, mill_to_b=4, mill_to_c=9) == {
        "mill_to_a": 4,
        "mill_to_b": 2,
        "mill_to_c": 9,
    }


def test_a_lane_in_two_pools_keeps_to_both():
    """Fleet: 8 + 8 into 8, half of each. Then permit: 4 into 3."""
    assert shipped(
        mill(
            also="pools: [{name: fleet, lanes: [mill->a, mill->b], capacity: 8}, {name: permit, lanes: "
            "[mill->a], capacity: 3}]"
        ),
        mill_to_a=8,
        mill_to_b=8,
    ) == {"mill_to_a": 3, "mill_to_b": 4}


def test_a_pool_joins_replenishment_and_transfer():
    assert shipped(
        """
          suppliers: [{name: mill}]
          warehouses: [{name: a, initial_stock: 9}, {name: b}]
          lanes: [{origin: mill, destination: a, lead_time: 1}, {origin: a, destination: b, lead_time: 1}]
          pools: [{name: truck, lanes: [a->b, mill->a], capacity: 6}]
        """,
        mill_to_a=9,
        a_to_b=3,
    ) == {"mill_to_a": 4.5, "a_to_b": 1.5}


def test_a_supplier_rations_its_output():
    assert shipped(mill(supplier="capacity: 9"), mill_to_a=12, mill_to_b=6) == {
        "mill_to_a": 6,
        "mill_to_b": 3,
    }


def test_limits_cut_one_after_the_other():
    """Lane: 10 and 10 become 5 and 10. Supplier: 15 into 9 makes 3 and 6."""
    assert shipped(mill(supplier="capacity: 9", lanes="capacity: 5"), mill_to_a=10, mill_to_b=10) == {
        "mill_to_a": 3,
        "mill_to_b": 6,
    }
    # Lane: 20 and 10 become 5 and 10. Stock: 15 of 10 makes 10/3 and 20/3.
    net = network(star(lanes="capacity: 5"))
    assert units(ration(net, requests(net, hub_to_a=20, hub_to_b=10), net.initial_stock) * 3) == [10, 20]


# Reserves


def test_a_reserve_is_out_of_reach_of_others():
    """Of 10, 4 are kept: 6 are shared by those who ask for 6 and 3; if 12 are kept, nothing is."""
    assert shipped(star(), hub_to_a=6, hub_to_b=3, reserve={"hub": 4}) == {"hub_to_a": 4, "hub_to_b": 2}
    assert shipped(star(), hub_to_a=6, hub_to_b=3, reserve={"hub": 12}) == {"hub_to_a": 0, "hub_to_b": 0}
    assert shipped(star(), hub_to_a=4, hub_to_b=2, reserve={"hub": 4}) == {"hub_to_a": 4, "hub_to_b": 2}


def test_a_reserve_is_for_customers():
    """5 of 8 are kept, and 7 are wanted: what others left is sold, the reserve with it."""
    pair = (
        "warehouses: [{name: hub, initial_stock: 8}, {name: a}]\nlanes: [{origin: hub, destination: a, "
        "lead_time: 1}]"
    )
    played = play(network(pair), ask=[{"hub_to_a": 9}], demand=[{"hub": 7}], reserve=[{"hub": 5}])
    assert (units(played.flows[0].shipments), units(played.flows[0].lost), played.stock()) == (
        [3],
        [2, 0],
        [[0, 3]],
    )


# Rules of sharing


def rule(name: str, stock: object = 10, also: str = "") -> str:
    """A hub that serves first and second in turn, then third and last, by the given rule."""
    return f"""
      rationing: {name}
      {also}
      warehouses: [{{name: hub, initial_stock: {stock}}}, {{name: a}}, {{name: b}}, {{name: c}}, {{name: d}}]
      lanes:
        - {{name: last, origin: hub, destination: d, lead_time: 1}}
        - {{name: second, origin: hub, destination: b, lead_time: 1, priority: 2}}
        - {{name: first, origin: hub, destination: a, lead_time: 1, priority: 1}}
        - {{name: tied, origin: hub, destination: c, lead_time: 1, priority: 2}}
    """


def test_by_priority_the_first_take_all_they_ask_for():
    """4 to the first; the 6 left to the tied, who ask for 6 and 3, in proportion; nothing to the one without
    a priority."""
    assert shipped(rule("priority"), first=4, second=6, tied=3, last=5) == {
        "first": 4,
        "second": 4,
        "tied": 2,
        "last": 0,
    }
    assert shipped(rule("priority", stock=16), first=4, second=6, tied=3, last=5) == {
        "first": 4,
        "second": 6,
        "tied": 3,
        "last": 3,
    }
    assert shipped(rule("priority"), first=40, second=6) == {"first": 10, "second": 0, "tied": 0, "last": 0}


def test_lanes_without_priority_come_last():
    assert shipped(rule("priority"), second=8, last=8) == {"first": 0, "second": 8, "tied": 0, "last": 2}


def test_evenly_nobody_gets_more_than_one_who_still_wants_some():
    """10 for 1, 2, 8 and 9: 1 and 2 are filled, and 7 are left for two. If all ask for more than 2.5, each
    gets that."""
    assert shipped(rule("even"), first=1, second=2, tied=8, last=9) == {
        "first": 1,
        "second": 2,
        "tied": 3.5,
        "last": 3.5,
    }
    assert shipped(rule("even"), first=3, second=30, tied=300, last=4) == {
        "first": 2.5,
        "second": 2.5,
        "tied": 2.5,
        "last": 2.5,
    }
    assert shipped(rule("even"), first=1, second=2, tied=3, last=4) == {
        "first": 1,
        "second": 2,
        "tied": 3,
        "last": 4,
    }
    assert shipped(rule("even"), first=50) == {"first": 10, "second": 0, "tied": 0, "last": 0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_evenly_a_huge_request_takes_nothing_from_a_small_one(dtype: torch.dtype):
    """10 for 3 and 100,000,000: 3 and 7, though in float32 the 3 are lost in the sum of the two."""
    net = network(rule("even"), dtype)
    shipments = ration(net, requests(net, first=3, second=1e8), net.initial_stock)
    assert units(shipments) == [0, 7, 3, 0]


def test_a_cross_dock_ships_all_it_has_in_proportion_to_requests():
    """10 for 6 + 2 + 2 + 0; and for half as much; and for ten times as much."""
    for times in (1, 0.5, 10):
        asked = {"first": 6 * times, "second": 2 * times, "last": 2 * times}
        assert shipped(rule("full_shipment"), **asked) == {"first": 6, "second": 2, "tied": 0, "last": 2}


def test_a_cross_dock_shares_equally_if_nobody_asks():
    assert shipped(rule("full_shipment")) == {"first": 2.5, "second": 2.5, "tied": 2.5, "last": 2.5}
    assert shipped(rule("full_shipment"), reserve={"hub": 9}) == {
        "first": 2.5,
        "second": 2.5,
        "tied": 2.5,
        "last": 2.5,
    }


def test_what_a_cross_dock_cannot_move_it_keeps():
    """Of 10, 2.5 would go on each lane; the truck of the first carries 1."""
    given = rule("full_shipment", also="pools: [{name: truck, lanes: [first], capacity: 1}]")
    played = play(network(given), ask=[{}])
    assert played.stock()[0] == [1.5, 1, 2.5, 2.5, 2.5]


def test_every_origin_shares_by_its_own_rule_or_the_networks():
    """Three hubs with 6 each, asked for 2 and 10: evenly 2 and 4, first come 0 and 6, and by the network's
    rule, in proportion, 1 and 5."""
    hubs, shops = ["fair", "strict", "plain"], ["a", "b"]
    rationing = {"fair": ", rationing: even", "strict": ", rationing: priority", "plain": ""}
    given = f"""
      warehouses: [{", ".join(f"{{name: {hub}, initial_stock: 6{rationing[hub]}}}" for hub in hubs)}, {{name: a}}, {{name: b}}]
      lanes:
        {[{"origin": hub, "destination": shop, "lead_time": 1, "priority": 2 if shop == "a" else 1} for shop in shops for hub in hubs]}
    """
    asked = {f"{hub}_to_{shop}": amount for hub in hubs for shop, amount in zip(shops, (2, 10), strict=True)}
    assert shipped(given, **asked) == {
        "fair_to_a": 2,
        "strict_to_a": 0,
        "plain_to_a": 1,
        "fair_to_b": 4,
        "strict_to_b": 6,
        "plain_to_b": 5,
    }


def test_a_cross_dock_among_others_leaves_replenishment_alone():
    given = """
      suppliers: [{name: mill}]
      warehouses: [{name: dock, initial_stock: 6, rationing: full_shipment}, {name: hub, initial_stock: 6}, {name: a}]
      lanes:
        - {origin: hub, destination: a, lead_time: 1}
        - {origin: mill, destination: dock, lead_time: 1}
        - {origin: dock, destination: a, lead_time: 1}
    """
    assert shipped(given, mill_to_dock=9, hub_to_a=2) == {"mill_to_dock": 9, "hub_to_a": 2, "dock_to_a": 6}


# Outages


OUTAGE = """
  suppliers: [{name: mill}, {name: forge, capacity: 8}]
  warehouses: [{name: a, initial_stock: 9}, {name: b}]
  lanes:
    - {origin: mill, destination: a, lead_time: 1}
    - {origin: forge, destination: a, lead_time: 1}
    - {origin: a, destination: b, lead_time: 1, capacity: 4}
    - {name: truck, origin: a, destination: b, lead_time: 1}
  pools: [{name: fleet, lanes: [truck, forge->a], capacity: 6}]
  events: [{kind: outage, targets: [fleet, mill, forge, a->b], probability: 0.1}]
"""


def test_without_an_outage_all_capacity_is_there():
    asked = {"mill_to_a": 50, "forge_to_a": 4, "a_to_b": 5, "truck": 2}
    assert shipped(OUTAGE, available={}, **asked) == {
        "mill_to_a": 50,
        "forge_to_a": 4,
        "a_to_b": 4,
        "truck": 2,
    }
    assert shipped(OUTAGE, **asked) == {"mill_to_a": 50, "forge_to_a": 4, "a_to_b": 4, "truck": 2}


def test_an_outage_takes_its_share_of_a_lane_a_pool_or_a_supplier():
    """Half of the fleet carries 3, a quarter of the forge makes 2, half of the lane carries 2."""
    assert shipped(OUTAGE, available={"fleet": 0.5}, truck=9)["truck"] == 3
    assert shipped(OUTAGE, available={"forge": 0.25}, forge_to_a=9)["forge_to_a"] == 2
    assert shipped(OUTAGE, available={"a->b": 0.5}, a_to_b=9)["a_to_b"] == 2


def test_nothing_leaves_a_warehouse_while_it_is_out_and_all_else_goes_on():
    """Neither on its lanes nor on reactive ones; what it asks for is sent to it, and its customers are served."""
    given = """
      suppliers: [{name: mill}]
      warehouses: [{name: hub, initial_stock: 9}, {name: a, shortage_cost: 9}]
      lanes:
        - {origin: mill, destination: hub, lead_time: 1}
        - {origin: hub, destination: a, lead_time: 1}
        - {name: rescue, origin: hub, destination: a, reactive: true}
      events: [{kind: outage, targets: [hub], probability: 0.1}]
    """
    asked = {"mill_to_hub": 5, "hub_to_a": 4}
    for open_share, leaves, rescued in ((1, 4, 2), (0, 0, 0)):
        played = play(network(given), [asked], [{"hub": 3, "a": 2}], available=[{"hub": open_share}])
        [flows] = played.flows
        assert units(flows.shipments) == [5, leaves]
        assert units(flows.transshipped) == [rescued]
        assert units(flows.lost) == [0, 2 - rescued]
        assert units(flows.on_hand)[0] == 9 - leaves - 3 - rescued


def test_an_unlimited_supplier_delivers_nothing_while_it_is_out():
    assert shipped(OUTAGE, available={"mill": 0}, mill_to_a=50, a_to_b=1)["mill_to_a"] == 0
    assert shipped(OUTAGE, available={"mill": 0}, mill_to_a=50, a_to_b=1)["a_to_b"] == 1
    assert shipped(OUTAGE, available={"mill": 0.5}, mill_to_a=50)["mill_to_a"] == 50


# Free space


INSTANT = """
  suppliers: [{name: mill}]
  warehouses: [{name: shop, initial_stock: 7, storage: 10}, {name: neighbour, initial_stock: 20}]
  lanes:
    - {name: now, origin: mill, destination: shop, lead_time: 0}
    - {name: today, origin: neighbour, destination: shop, lead_time: 0}
    - {name: back, origin: shop, destination: neighbour, lead_time: 0}
    - {name: later, origin: mill, destination: shop, lead_time: 1}
"""


def test_lanes_of_lead_time_0_share_the_free_space():
    """3 of 10 are free and 4 + 2 asked for at once: half of each. What comes later is not cut when it
    leaves."""
    assert shipped(INSTANT, now=4, today=2, later=50) == {"now": 2, "today": 1, "later": 50, "back": 0}


def test_the_space_is_the_one_free_when_the_period_began():
    """The 7 that leave for the neighbour make no room for what arrives in the same period."""
    assert shipped(INSTANT, now=9, back=7) == {"now": 3, "today": 0, "later": 0, "back": 7}


def test_a_warehouse_without_storage_limit_takes_everything():
    assert shipped(INSTANT, back=7)["back"] == 7


def test_what_fills_backorders_takes_no_space():
    """3 wait and 5 fit: of 10 asked for 8 are shipped. With the storage full of pots, 3 cups still come for
    those who wait."""
    given = """
      suppliers: [{name: mill}]
      products: [{name: cup}, {name: pot}]
      warehouses: [{name: shop, storage: 5, initial_stock: [0, %d], unmet_demand: backordered}]
      lanes: [{name: now, origin: mill, destination: shop, lead_time: 0}, {name: today, origin: mill, destination: shop, lead_time: 0}]
    """
    for pots, cups in ((0, 8), (5, 3)):
        played = play(
            network(given % pots), ask=[{}, {"now": [5, 0], "today": [5, 0]}], demand=[{"shop": [3, 0]}, {}]
        )
        assert units(played.flows[1].shipments) == [[cups / 2, cups / 2], [0, 0]]
        assert played.stock()[1] == [[cups - 3], [pots]]


def test_only_what_arrives_now_needs_space_now():
    """Lead times of 0 and 1 are drawn: 3 of the 4 that arrive at once fit, and all of those that come
    later."""
    net = network("""
      suppliers: [{name: mill}]
      warehouses: [{name: shop, storage: 3}]
      lanes: [{origin: mill, destination: shop, lead_time: {values: [0, 1]}}]
    """)
    for lead_time, shipment in ((0, 3), (1, 4)):
        played = play(net, ask=[{"mill_to_shop": 4}], lead_time=[{"mill_to_shop": lead_time}])
        assert units(played.flows[0].shipments) == [shipment]


# Whole units


def test_the_largest_remainders_get_what_floors_leave():
    """10 for 6, 8 and 6 make 3, 4 and 3; for 5, 8 and 7 they make 2.5, 4 and 3.5: of 2, 4 and 3 one is
    missing, and goes to the first of the largest remainders, in lane order. For 4, 9 and 14 they make 1.48,
    3.33 and 5.19: the missing one goes to 1.48."""
    whole_units = rule("proportional", also="quantities: integer")
    assert shipped(whole_units, last=6, second=8, first=6) == {"last": 3, "second": 4, "first": 3, "tied": 0}
    assert shipped(whole_units, last=5, second=8, first=7) == {"last": 3, "second": 4, "first": 3, "tied": 0}
    assert shipped(whole_units, last=4, second=9, first=14, tied=0) == {
        "last": 2,
        "second": 3,
        "first": 5,
        "tied": 0,
    }


def test_all_stock_is_shipped_in_whole_units_by_every_rule():
    for name in ("proportional", "priority", "even", "full_shipment"):
        for asked in (
            {"first": 3, "second": 5, "tied": 7, "last": 9},
            {"last": 11},
            {"second": 9, "tied": 9},
        ):
            amounts = list(shipped(rule(name, stock=11, also="quantities: integer"), **asked).values())
            assert sum(amounts) == min(11, sum(asked.values()))
            assert all(amount == round(amount) for amount in amounts)


def test_products_that_share_a_truck_fill_it():
    """20 products at 1 unit each on a truck for 13: 0.65 of each, of which the first 13 get a whole one, not
    all none."""
    net = network(mill(lanes="capacity: 13", also="quantities: integer\n      products: {count: 20}"))
    assert units(play(net, ask=[{"mill_to_a": [1] * 20}]).flows[0].shipments) == [[1, 0]] * 13 + [[0, 0]] * 7


def test_odd_volumes_leave_what_is_too_large():
    """5 pots of volume 2 and 5 cups of 0.75 take 13.75 of a truck for 6.875: 2.5 of each. 2 and 2 leave
    1.375: too little for a third pot, enough for a third cup."""
    also = "quantities: integer\n      products: [{name: pot, volume: 2}, {name: cup, volume: 0.75}]"
    net = network(mill(lanes="capacity: 6.875", also=also))
    assert units(play(net, ask=[{"mill_to_a": [5, 5]}]).flows[0].shipments) == [[2, 0], [3, 0]]


def test_whole_units_share_space_and_fill_backorders():
    """2 cups wait. Of 4 cups and 4 pots 2 cups go to them, and 2 and 4 share a space of 3: 1 and 2."""
    net = network("""
      quantities: integer
      suppliers: [{name: mill}]
      products: [{name: cup}, {name: pot}]
      warehouses: [{name: shop, storage: 3, unmet_demand: backordered}]
      lanes: [{origin: mill, destination: shop, lead_time: 0}]
    """)
    played = play(net, ask=[{}, {"mill_to_shop": [4, 4]}], demand=[{"shop": [2, 0]}, {}])
    assert units(played.flows[1].shipments) == [[3], [2]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("units_asked", [1e5, 1e6, 1e7])
def test_whole_units_stay_what_they_are_at_any_size(units_asked: float, dtype: torch.dtype):
    exact = torch.tensor([[[units_asked], [5.0], [0.0]]], dtype=dtype)
    assert torch.equal(whole(exact, torch.tensor([0, 1, 1]), 2), exact)
    assert torch.equal(whole(exact, torch.tensor([0, 0, 0]), 1, torch.ones(1, 1, 1, dtype=dtype)), exact)


def test_float_noise_below_a_whole_number_is_that_number():
    """Thirds of 10 in float32 add up to a hair less than 10, and are 4, 3 and 3 all the same."""
    exact = torch.full((1, 3, 1), 10.0) * (torch.ones(()) / 3)
    assert whole(exact, torch.zeros(3, dtype=torch.long), 1).flatten().tolist() == [4, 3, 3]


# Any size, and gradients


@pytest.mark.parametrize("asked", [0.0, 1e-12, 1e-9, 1e20])
def test_a_request_of_any_size_gives_a_finite_shipment(asked: float):
    net = network(star(), torch.float32)
    shipments = ration(net, requests(net, hub_to_a=asked, hub_to_b=asked), net.initial_stock)
    assert shipments.isfinite().all()
    assert (shipments <= requests(net, hub_to_a=asked, hub_to_b=asked)).all()
    assert shipments.sum() <= 10 * (1 + 1e-6)


def test_the_next_unit_asked_for_is_shipped_if_there_is_stock():
    """The gradient where nothing is asked for: one unit more ships one unit, of an empty warehouse none."""
    for stock, gradient in ((10, 1), (0, 0)):
        net = network(star(stock=stock))
        asked = requests(net).requires_grad_()
        ration(net, asked, net.initial_stock).sum().backward()
        assert units(asked.grad) == [gradient, gradient]


def test_where_stock_is_short_a_unit_asked_for_is_taken_from_the_neighbour():
    """10 of 20 asked are shipped, 6 of 12 to a; a 13th unit would get 13/21 x 10 - 6, and b lose as much: 1/5
    to first order."""
    net = network(star())
    asked = requests(net, hub_to_a=12, hub_to_b=8).requires_grad_()
    to_a, to_b = ration(net, asked, net.initial_stock)[0, :, 0]
    assert units(torch.autograd.grad(to_a, asked, retain_graph=True)[0][:, :1]) == [0.2]
    assert units(torch.autograd.grad(to_b, asked)[0][:, :1]) == [-0.2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sum_does_not_depend_on_how_many_are_summed_beside_it(dtype: torch.dtype):
    volumes = torch.rand(20, 1, 64, dtype=dtype)
    for columns in (1, 2, 5, 8, 33):
        assert torch.equal(add_up(volumes[..., :columns].contiguous(), 0), add_up(volumes, 0)[..., :columns])
    assert torch.allclose(add_up(volumes, 0), volumes.sum(0))
    assert torch.equal(add_up(volumes[:0], 0), torch.zeros(1, 64, dtype=dtype))
