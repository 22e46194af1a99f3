"""One period at a time, with numbers a reader can redo on paper: hear, ship, serve, receive, charge."""

from __future__ import annotations

import math

import pytest
import torch

from building import network, play, problem, units
from marl_inv.scenario.objective import COST_PARTS, INCOME_PARTS
from marl_inv.simulator import Chance, Decision, State, initial_state, inventory_position, step


def shop(lane: str = "lead_time: 1", also: str = "", **fields: object) -> str:
    """One shop, and a mill that supplies it."""
    return f"""
      {also}
      suppliers: [{{name: mill}}]
      warehouses: [{{name: shop, {", ".join(f"{key}: {value}" for key, value in fields.items())}}}]
      lanes: [{{origin: mill, destination: shop, {lane}}}]
    """


TWO = """
  warehouses: [{name: north, initial_stock: 15}, {name: south}]
  lanes: [{origin: north, destination: south, lead_time: %d}]
"""


# Hear and owe


HUB = """
  suppliers: [{name: mill}]
  warehouses: [{name: hub, initial_stock: 3, shortage_cost: 2, faces_demand: false}, {name: shop}]
  lanes:
    - {origin: mill, destination: hub, lead_time: 1}
    - {origin: hub, destination: shop, lead_time: 1, unfilled: %s}
"""


def test_what_is_owed_is_shipped_as_soon_as_there_is_stock():
    """The shop asks for 5 of 3: 2 are owed, at 2 each to the hub. In the next period the hub has 4 and ships
    them unasked."""
    played = play(network(HUB % "owed"), ask=[{"hub_to_shop": 5, "mill_to_hub": 4}, {}])
    assert [units(flows.asked)[1] for flows in played.flows] == [5, 2]
    assert [units(flows.shipments)[1] for flows in played.flows] == [3, 2]
    assert [units(flows.owed)[1] for flows in played.flows] == [2, 0]
    assert [units(flows.refused)[1] for flows in played.flows] == [0, 0]
    assert [units(costs.shortage) for costs in played.costs] == [[4, 0], [0, 0]]
    assert played.stock() == [[4, 3], [2, 5]]


def test_what_is_forgotten_has_to_be_asked_for_again():
    played = play(network(HUB % "forgotten"), ask=[{"hub_to_shop": 5, "mill_to_hub": 4}, {}])
    assert [units(flows.shipments)[1] for flows in played.flows] == [3, 0]
    assert [units(flows.refused)[1] for flows in played.flows] == [2, 0]
    assert played.flows[0].owed is None
    assert units(played.costs[0].shortage) == [0, 0]


def test_what_is_owed_adds_up():
    """Nothing comes to the hub: it owes 2, then 2 and 4 more, at 2 each."""
    played = play(network(HUB % "owed"), ask=[{"hub_to_shop": 5}, {"hub_to_shop": 4}])
    assert [units(flows.owed)[1] for flows in played.flows] == [2, 6]
    assert [units(costs.shortage)[0] for costs in played.costs] == [4, 12]


def test_the_position_counts_what_is_owed_and_what_is_under_way():
    """Hub: 4 came in, 2 of them owed. Shop: 3 came in and 2 are owed to it."""
    net = network(HUB % "owed")
    played = play(net, ask=[{"hub_to_shop": 5, "mill_to_hub": 4}])
    assert units(inventory_position(net, played.states[0])) == [4 - 2, 3 + 2]


def test_a_supplier_owes_without_a_shortage_cost_to_anybody():
    played = play(
        network("""
          suppliers: [{name: mill, capacity: 3}]
          warehouses: [{name: shop, shortage_cost: 100}]
          lanes: [{origin: mill, destination: shop, lead_time: 1, unfilled: owed}]
        """),
        ask=[{"mill_to_shop": 7}, {}, {}],
    )
    assert [units(flows.shipments) for flows in played.flows] == [[3], [3], [1]]
    assert [units(costs.shortage) for costs in played.costs] == [[0], [0], [0]]


def test_an_origin_hears_of_a_request_after_the_order_delay():
    """Asked for in 0 and 1, heard of in 2 and 3, there after another period."""
    net = network(shop("lead_time: 1, order_delay: 2"))
    played = play(net, ask=[{"mill_to_shop": 5}, {"mill_to_shop": 1}, {}, {}])
    assert [units(flows.requests) for flows in played.flows] == [[5], [1], [0], [0]]
    assert [units(flows.asked) for flows in played.flows] == [[0], [0], [5], [1]]
    assert played.stock() == [[0], [0], [5], [6]]
    assert [units(inventory_position(net, state)) for state in played.states] == [[5], [6], [6], [6]]
    assert units(played.states[1].orders[:, :, 0]) == [5, 1]  # heard of now, in 1 period


def test_lanes_with_and_without_order_delay_live_side_by_side():
    both = network("""
      suppliers: [{name: mill}]
      warehouses: [{name: a}, {name: b}]
      lanes: [{origin: mill, destination: a, lead_time: 0, order_delay: 1}, {origin: mill, destination: b, lead_time: 0}]
    """)
    assert play(both, ask=[{"mill_to_a": 2, "mill_to_b": 3}, {}]).stock() == [[0, 3], [2, 3]]


def test_what_was_shipped_and_asked_for_before_the_first_period():
    """Of two shipments of 4 the older is there at once, the other for the next period; of two requests of 3
    the origin hears one by one."""
    started = shop("lead_time: 2, order_delay: 2, initial_shipments: 4, initial_orders: 3", initial_stock=1)
    net = network(started)
    assert units(initial_state(net, 1).inventory_level) == [1 + 4]
    assert units(inventory_position(net, initial_state(net, 1))) == [1 + 4 + 4 + 3 + 3]
    played = play(net, ask=[{}, {}, {}, {}])
    assert [units(flows.asked) for flows in played.flows] == [[3], [3], [0], [0]]
    assert played.stock() == [[9], [12], [15], [15]]


# Ship


@pytest.mark.parametrize(
    ("lead_time", "stock"),
    [
        (0, [[10, 5], [10, 5], [10, 5]]),
        (1, [[10, 5], [10, 5], [10, 5]]),
        (2, [[10, 0], [10, 5], [10, 5]]),
        (3, [[10, 0], [10, 0], [10, 5]]),
    ],
)
def test_a_shipment_leaves_at_once_and_arrives_after_its_lead_time(lead_time: int, stock: list[list[float]]):
    assert play(network(TWO % lead_time), ask=[{"north_to_south": 5}, {}, {}]).stock() == stock


def test_lead_time_0_arrives_before_demand_and_lead_time_1_after_it():
    for lead_time, lost in ((0, 0), (1, 3)):
        played = play(
            network(shop(f"lead_time: {lead_time}")), ask=[{"mill_to_shop": 3}], demand=[{"shop": 3}]
        )
        assert units(played.flows[0].lost) == [lost]


def test_goods_on_the_way_queue_up_by_arrival():
    played = play(
        network(shop("lead_time: 3")),
        ask=[{"mill_to_shop": 1}, {"mill_to_shop": 2}, {"mill_to_shop": 4}, {}, {}],
    )
    assert played.stock() == [[0], [0], [1], [3], [7]]
    assert units(played.states[0].pipeline[:, :, 0]) == [0, 1]  # due in 1 and 2 periods
    assert units(played.states[1].pipeline[:, :, 0]) == [1, 2]


def test_parallel_lanes_bring_goods_at_their_own_time_and_price():
    both = network("""
      suppliers: [{name: mill}]
      warehouses: [{name: shop}]
      lanes:
        - {name: ship, origin: mill, destination: shop, lead_time: 2, procurement_cost: 10, transport_cost: 1}
        - {name: plane, origin: mill, destination: shop, lead_time: 0, procurement_cost: 10, transport_cost: 4}
    """)
    played = play(both, ask=[{"ship": 3, "plane": 2}, {}])
    assert played.stock() == [[2], [5]]
    assert units(played.costs[0].procurement) == [10 * 3 + 10 * 2]
    assert units(played.costs[0].transport) == [1 * 3 + 4 * 2]


def test_nothing_is_relayed_twice_in_a_period():
    chain = network("""
      warehouses: [{name: a, initial_stock: 5}, {name: b}, {name: c}]
      lanes: [{origin: a, destination: b, lead_time: 0}, {origin: b, destination: c, lead_time: 0}]
    """)
    both = {"a_to_b": 5, "b_to_c": 5}
    assert play(chain, ask=[both, both]).stock() == [[0, 5, 0], [0, 0, 5]]


def test_a_warehouse_with_backorders_has_nothing_to_ship():
    pair = network("""
      warehouses: [{name: north, unmet_demand: backordered, initial_stock: 1}, {name: south}]
      lanes: [{origin: north, destination: south, lead_time: 1}]
    """)
    played = play(pair, ask=[{}, {"north_to_south": 5}], demand=[{"north": 4}, {}])
    assert played.stock() == [[-3, 0], [-3, 0]]


@pytest.mark.parametrize("unmet_demand", ["lost", "backordered"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_leaves_no_phantom_backorder(unmet_demand: str, dtype: torch.dtype):
    """Thirds of a stock add up to a hair more than the stock now and then; the level must be 0 then, not
    -1e-17."""
    hub = {"name": "hub", "unmet_demand": unmet_demand}
    shops = [{"name": f"shop_{index}"} for index in range(7)]
    lanes = [{"origin": "hub", "destination": entry["name"], "lead_time": 1} for entry in shops]
    for thousandths in range(1, 400, 7):
        star = network(
            {"warehouses": [hub | {"initial_stock": thousandths / 1000}, *shops], "lanes": lanes}, dtype
        )
        played = play(star, ask=[{f"hub_to_shop_{index}": 0.1 * (index + 1) for index in range(7)}])
        assert played.states[0].inventory_level[0, 0, 0] >= 0


def test_a_later_shipment_may_overtake_an_earlier_one():
    """5 leave in 0 for 3 periods, 2 leave in 1 for 1 period. In-transit cost is 10 per unit and period of the
    lead time drawn."""
    net = network(shop("lead_time: {values: [1, 3]}, in_transit_cost: 10"))
    asked = [{"mill_to_shop": 5}, {"mill_to_shop": 2}, {}]
    played = play(net, ask=asked, lead_time=[{"mill_to_shop": 3}, {"mill_to_shop": 1}, {}])
    assert played.stock() == [[0], [2], [7]]
    assert [units(costs.in_transit) for costs in played.costs] == [[150], [20], [0]]


def test_replications_have_lead_times_of_their_own():
    net = network(shop("lead_time: {values: [0, 2]}"))
    state, chance = (
        initial_state(net, 2),
        Chance(torch.zeros(1, 1, 2).double(), lead_time=torch.tensor([[0, 2]])),
    )
    after, _, _ = step(net, state, Decision(torch.full((1, 1, 2), 5.0).double()), chance)
    assert after.inventory_level.tolist() == [[[5, 0]]]
    assert after.pipeline[0, :, 0].tolist() == [[0, 5]]


def test_a_delay_makes_what_comes_at_once_come_later():
    """The lane delivers at once; while it is delayed by 2, what leaves can be sold two periods on."""
    net = network(shop("lead_time: 0", also="events: [{kind: delay, periods: 2, at: [0]}]"))
    asked, wanted = [{"mill_to_shop": 5}, {"mill_to_shop": 1}, {}], [{"shop": 1}, {"shop": 1}, {"shop": 5}]
    played = play(net, ask=asked, demand=wanted, lead_time=[{"mill_to_shop": 2}, {}, {}])
    assert [units(flows.lost) for flows in played.flows] == [[1], [0], [0]]


# Serve


def test_unmet_demand_is_lost_or_backordered():
    ask, demand = [{"mill_to_shop": 5}, {}], [{"shop": 6}, {"shop": 1}]
    lost = play(network(shop(initial_stock=4)), ask, demand)
    assert (units(lost.flows[0].lost), units(lost.flows[0].backorders), lost.stock()) == (
        [2],
        [0],
        [[5], [4]],
    )
    waits = play(network(shop(initial_stock=4, unmet_demand="backordered")), ask, demand)
    assert (units(waits.flows[0].lost), units(waits.flows[0].backorders), waits.stock()) == (
        [0],
        [2],
        [[3], [2]],
    )


def test_served_counts_old_backorders_when_they_are_filled():
    """Period 0: 4 of 6 from stock, 2 wait and nothing comes. Period 1: 5 arrive and the 2 that waited are
    filled."""
    played = play(
        network(shop(also="objective: profit", initial_stock=4, unmet_demand="backordered", price=10)),
        ask=[{}, {"mill_to_shop": 5}],
        demand=[{"shop": 6}, {"shop": 0}],
    )
    assert [units(flows.served) for flows in played.flows] == [[4], [2]]
    assert [units(costs.revenue) for costs in played.costs] == [[40], [20]]
    assert played.stock() == [[-2], [3]]


def test_unmet_counts_the_demand_of_this_period_only():
    played = play(
        network(shop(unmet_demand="backordered")),
        ask=[{}, {}, {}],
        demand=[{"shop": 5}, {"shop": 1}, {"shop": 0}],
    )
    assert [units(flows.unmet) for flows in played.flows] == [[5], [1], [0]]
    assert [units(flows.backorders) for flows in played.flows] == [[5], [6], [6]]


def test_lost_and_backordered_shops_live_side_by_side():
    both = network(
        "warehouses: [{name: kiosk, initial_stock: 1}, {name: forge, initial_stock: 1, unmet_demand: "
        "backordered}]"
    )
    played = play(both, ask=[{}], demand=[{"kiosk": 3, "forge": 3}])
    assert (units(played.flows[0].lost), played.stock()) == ([2, 0], [[0, -2]])


def test_customers_returns_go_back_to_stock():
    played = play(network(shop(unmet_demand="backordered", initial_stock=1)), ask=[{}], demand=[{"shop": -2}])
    assert (played.stock(), units(played.flows[0].served)) == ([[3]], [-2])


def test_a_promotion_multiplies_demand_and_costs_money():
    """Level 2 at an uplift of 0.5: twice the demand of 3. The cost is 7 per level."""
    pair = network("""
      warehouses:
        - {name: loud, initial_stock: 10, promotion: {max_level: 2, uplift: 0.5, cost: 7}}
        - {name: quiet, initial_stock: 10}
    """)
    played = play(pair, ask=[{}], demand=[{"loud": 3, "quiet": 3}], promote=[{"loud": 2, "quiet": 2}])
    assert units(played.flows[0].demand) == [6, 3]
    assert units(played.costs[0].promotion) == [14, 0]
    assert played.stock() == [[4, 7]]


def promoted(promotion: str) -> str:
    return f"warehouses: [{{name: shop, initial_stock: 1000, promotion: {{uplift: 0.5, {promotion}}}}}]"


def test_of_a_planned_promotion_and_a_decided_one_the_higher_counts_and_costs():
    """10 x (1 + 0.5 x 2), then 10 x (1 + 0.5 x 3), at a cost of 7 per level."""
    net = network(promoted("max_level: 3, cost: 7, planned: {first: 0, level: 2}"))
    wanted, decided, planned = [{"shop": 10}] * 2, [{"shop": 1}, {"shop": 3}], [{"shop": 2}, {"shop": 2}]
    played = play(net, ask=[{}, {}], demand=wanted, promote=decided, planned=planned)
    assert [units(flows.demand) for flows in played.flows] == [[20], [25]]
    assert [units(costs.promotion) for costs in played.costs] == [[14], [21]]


def test_nobody_decides_on_a_promotion_that_is_planned_only():
    net = network(promoted("decided: false, planned: {first: 0, level: 2}"))
    assert net.max_promotion is None
    played = play(
        net, ask=[{}, {}], demand=[{"shop": 10}] * 2, promote=[{"shop": 1}] * 2, planned=[{"shop": 2}, {}]
    )
    assert [units(flows.demand) for flows in played.flows] == [[20], [10]]


def test_after_a_promotion_demand_dips_and_recovers():
    """Level 2 and a dip of 0.25 per level: 8 of 16 are missing in the next period, half of that in the one
    after, and so on."""
    net = network(promoted("max_level: 2, dip: 0.25, recovery: 0.5"))
    played = play(net, ask=[{}] * 4, demand=[{"shop": 16}] * 4, promote=[{"shop": 2}, {}, {}, {}])
    assert [units(flows.demand) for flows in played.flows] == [[32], [8], [12], [14]]


def test_dips_add_up_and_take_no_more_than_all_demand():
    """Levels 2 and 2: 1 - 0.4 x 2 of the promoted demand is left, then nothing, for 1 - 0.4 x (0.5 x 2 + 2)
    is below 0."""
    net = network(promoted("max_level: 2, dip: 0.4, recovery: 0.5"))
    played = play(net, ask=[{}] * 3, demand=[{"shop": 10}] * 3, promote=[{"shop": 2}, {"shop": 2}, {}])
    assert [units(flows.demand) for flows in played.flows] == [[20], [4], [0]]


# Receive


def test_what_storage_cannot_hold_is_discarded_and_charged():
    """8 on hand, 1 is sold, 6 arrive: 7 + 6 is 3 more than the 10 that fit."""
    played = play(
        network(shop(initial_stock=8, storage=10, overflow_cost=2)),
        ask=[{"mill_to_shop": 6}],
        demand=[{"shop": 1}],
    )
    flows = played.flows[0]
    assert (played.stock(), units(flows.receipts), units(flows.overflow)) == ([[10]], [6], [3])
    assert units(played.costs[0].overflow) == units(-played.costs[0].reward) == [6]


def test_arrivals_fill_backorders_before_they_take_space():
    """3 wait; of 10 that arrive 3 go to them, 5 fit, 2 overflow."""
    played = play(
        network(shop(storage=5, unmet_demand="backordered")), ask=[{"mill_to_shop": 10}], demand=[{"shop": 3}]
    )
    assert (played.stock(), units(played.flows[0].overflow)) == ([[5]], [2])


def test_products_overflow_in_proportion_to_what_arrives():
    """Stock takes 1x2 + 2x1 = 4 of 10; arrivals of 4 and 4 take 1x4 + 2x4 = 12, 6 too many: half of each
    overflows."""
    played = play(
        network(
            shop(
                also="products: [{name: cup, volume: 1}, {name: pot, volume: 2}]",
                initial_stock=[2, 1],
                storage=10,
            )
        ),
        ask=[{"mill_to_shop": [4, 4]}],
    )
    assert units(played.flows[0].overflow) == [[2], [2]]
    assert played.stock() == [[[4], [3]]]


def test_whole_units_overflow_no_more_than_they_must():
    """Stock leaves 6 free; 5 cups of volume 1 and 2 pots of volume 2 arrive, 3 too many. Of 3 1/3 cups and 1
    1/3 pots that would fit, 3 and 1 are put away, and with the volume that is left another cup."""
    played = play(
        network(
            shop(
                also="quantities: integer\n      products: [{name: cup, volume: 1}, {name: pot, volume: 2}]",
                initial_stock=[2, 1],
                storage=10,
            )
        ),
        ask=[{"mill_to_shop": [5, 2]}],
    )
    assert units(played.flows[0].discarded) == [[1], [1]]
    assert played.stock() == [[[2 + 4], [1 + 1]]]


def test_kept_overflow_stays_and_costs_every_period():
    """8 on hand, 6 arrive: 4 more than the 10 that fit. Then 1 is sold, and 3 are beyond."""
    net = network(shop(initial_stock=8, storage=10, overflow="kept", overflow_cost=2))
    played = play(net, ask=[{"mill_to_shop": 6}, {}], demand=[{}, {"shop": 1}])
    assert played.stock() == [[14], [13]]
    assert [units(flows.overflow) for flows in played.flows] == [[4], [3]]
    assert [units(flows.discarded) for flows in played.flows] == [[0], [0]]
    assert [units(costs.overflow) for costs in played.costs] == [[8], [6]]


def test_some_keep_their_overflow_and_others_discard_it():
    both = network("""
      suppliers: [{name: mill}]
      warehouses: [{name: a, storage: 4, overflow: kept}, {name: b, storage: 4}]
      lanes: [{origin: mill, destination: a, lead_time: 1}, {origin: mill, destination: b, lead_time: 1}]
    """)
    played = play(both, ask=[{"mill_to_a": 9, "mill_to_b": 9}])
    assert (units(played.flows[0].overflow), units(played.flows[0].discarded), played.stock()) == (
        [5, 5],
        [0, 5],
        [[9, 4]],
    )


# Charge


def test_each_cost_lands_on_the_warehouse_and_product_that_caused_it():
    """Two products; the mill sends 3 cups to the hub, the hub 2 pots to the shop, whose customers want 1 cup
    and 1 pot more than it has."""
    chain = network("""
      products: [{name: cup}, {name: pot}]
      suppliers: [{name: mill}]
      warehouses:
        - {name: shop, initial_stock: [4, 0], holding_cost: 3, shortage_cost: [10, 20]}
        - {name: hub, faces_demand: false, initial_stock: [0, 6], holding_cost: [1, 2]}
      lanes:
        - {origin: mill, destination: hub, lead_time: 1, procurement_cost: [5, 50], transport_cost: 1}
        - {origin: hub, destination: shop, lead_time: 1, transport_cost: [100, 7]}
    """)
    costs = play(
        chain, ask=[{"mill_to_hub": [3, 0], "hub_to_shop": [0, 2]}], demand=[{"shop": [5, 1]}]
    ).costs[0]
    assert units(costs.holding) == [
        [0, 0],
        [0, 2 * 4],
    ]  # of pots, at the hub: after shipping and demand, before receipts
    assert units(costs.shortage) == [[10 * 1, 0], [20 * 1, 0]]
    assert units(costs.procurement) == [[0, 5 * 3], [0, 0]]
    assert units(costs.transport) == [[0, 1 * 3], [7 * 2, 0]]
    assert units(-costs.reward) == [[10, 18], [34, 8]]


def test_holding_and_shortage_are_charged_after_demand_and_before_receipts():
    """2 left over, then 5 arrive: holding is on 2. In the next period 9 are wanted of 7: shortage is on 2,
    though 5 more arrive."""
    played = play(
        network(shop(initial_stock=3, unmet_demand="backordered", holding_cost=1, shortage_cost=10)),
        ask=[{"mill_to_shop": 5}, {"mill_to_shop": 5}],
        demand=[{"shop": 1}, {"shop": 9}],
    )
    assert [units(-costs.reward) for costs in played.costs] == [[2], [20]]


def test_the_cost_objective_leaves_revenue_out_and_the_profit_objective_counts_it():
    """3 sold at 10, 1 left over at a holding cost of 2."""
    for objective, reward in (("cost", -2), ("profit", 28)):
        played = play(
            network(shop(also=f"objective: {objective}", initial_stock=4, price=10, holding_cost=2)),
            ask=[{}],
            demand=[{"shop": 3}],
        )
        costs = played.costs[0]
        assert (units(costs.revenue), units(costs.holding), units(costs.reward)) == ([30], [2], [reward])


def test_goods_in_transit_cost_their_lead_time_when_they_leave():
    """4 units for 3 periods at 2 each. Lead time 0 costs nothing."""
    for lead_time, cost in ((3, 24), (0, 0)):
        played = play(
            network(shop(f"lead_time: {lead_time}, in_transit_cost: 2")), ask=[{"mill_to_shop": 4}, {}]
        )
        assert [units(costs.in_transit) for costs in played.costs] == [[cost], [0]]


CUPS_AND_POTS = "products: [{name: cup, volume: 1}, {name: pot, volume: 2}]"


def test_a_shipment_costs_once_and_products_bear_it_by_volume():
    """2 cups and 3 pots take 2 + 6 of 8: a quarter and three quarters of 20. Nothing shipped costs
    nothing."""
    played = play(
        network(shop("lead_time: 1, shipment_cost: 20", CUPS_AND_POTS)), ask=[{"mill_to_shop": [2, 3]}, {}]
    )
    assert [units(costs.shipment) for costs in played.costs] == [[[5], [15]], [[0], [0]]]


@pytest.mark.parametrize(("load", "vehicles"), [(0, 0), (0.1, 1), (2.9, 1), (3, 1), (3.1, 2), (6, 2), (8, 3)])
def test_there_are_as_many_vehicles_as_are_needed(load: float, vehicles: int):
    played = play(
        network(shop("lead_time: 1, vehicle_capacity: 3, vehicle_cost: 10")), ask=[{"mill_to_shop": load}]
    )
    assert units(played.costs[0].vehicle) == [10 * vehicles]


def test_products_share_vehicles_by_volume():
    """2 cups and 3 pots take 8: 3 vehicles of 3, a quarter of 3 x 8 for cups."""
    net = network(shop("lead_time: 1, vehicle_capacity: 3, vehicle_cost: 8", CUPS_AND_POTS))
    assert units(play(net, ask=[{"mill_to_shop": [2, 3]}]).costs[0].vehicle) == [[6], [18]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_float_noise_is_no_load_and_fills_no_vehicle(dtype: torch.dtype):
    """0.1 + 0.2 is a hair more than a vehicle of 0.3, and what that leaves of a request is nothing; but a
    crumb on a ship takes the ship."""
    net = network(shop("lead_time: 1, vehicle_capacity: 0.3, vehicle_cost: 10, shipment_cost: 7"), dtype)
    full, noise = torch.tensor(0.1, dtype=dtype) + torch.tensor(0.2, dtype=dtype), 4 * torch.finfo(dtype).eps
    for load, cost in ((full.item(), 10 + 7), (noise, 0)):
        assert units(-play(net, ask=[{"mill_to_shop": load}]).costs[0].reward) == [cost]
    ship = network(shop("lead_time: 1, vehicle_capacity: 1000000, vehicle_cost: 10"), dtype)
    assert units(play(ship, ask=[{"mill_to_shop": 1}]).costs[0].vehicle) == [10]


def test_a_transfer_price_goes_from_the_destination_to_the_origin():
    """South buys 5 at 3. Rewards add up to the system's, which is paid nothing."""
    pair = network("""
      warehouses: [{name: north, initial_stock: 15}, {name: south}]
      lanes: [{origin: north, destination: south, lead_time: 1, transfer_price: 3}]
    """)
    costs = play(pair, ask=[{"north_to_south": 5}]).costs[0]
    assert (units(costs.transfer_payment), units(costs.reward)) == ([-15, 15], [15, -15])


def test_the_service_objective_prices_what_is_missing_to_the_floor():
    """10 wanted, 7 there: 3 missing where 1 may be, at 4 each; the same for backorders, and in the first
    period only."""
    rules = "objective: service\n      service: {fill_rate: 0.9, price: 4}"
    for unmet_demand in ("lost", "backordered"):
        played = play(
            network(shop(also=rules, initial_stock=7, unmet_demand=unmet_demand)),
            ask=[{}, {}],
            demand=[{"shop": 10}, {}],
        )
        assert [units(costs.shortfall) for costs in played.costs] == [[8], [0]]
        assert [units(costs.reward) for costs in played.costs] == [[-8], [0]]
    assert units(
        play(network(shop(also=rules, initial_stock=9)), [{}], [{"shop": 10}]).costs[0].shortfall
    ) == [0]


def test_weights_count_parts_more_or_less():
    """1 left at a holding cost of 3, twice; 2 sold at 10, half; the price of a promotion not at all."""
    also = "weights: {holding: 2, revenue: 0.5, promotion: 0}"
    fields = {
        "initial_stock": 5,
        "holding_cost": 3,
        "price": 10,
        "promotion": "{max_level: 1, uplift: 1, cost: 100}",
    }
    costs = play(network(shop(also=also, **fields)), [{}], [{"shop": 2}], promote=[{"shop": 1}]).costs[0]
    assert [units(part) for part in (costs.holding, costs.revenue, costs.promotion)] == [[3], [40], [100]]
    assert units(costs.reward) == [0.5 * 40 - 2 * 3]


def test_utility_is_the_log_of_replenishment_less_weighted_stock():
    """4 are shipped and 3 + 4 - 2 are on hand after demand, for they come at once: log(1 + 4) - 0.2 x 5; the
    plain log of 4; of nothing, the least."""
    for log, shipped, gained in (
        ("log1p", 4, math.log(5)),
        ("log", 4, math.log(4)),
        ("log", 0, math.log(0.5)),
    ):
        also = f"objective: utility\n      utility: {{stock_weight: 0.2, log: {log}, least: 0.5}}"
        costs = play(
            network(shop("lead_time: 0", also, initial_stock=3, holding_cost=9)),
            [{"mill_to_shop": shipped}],
            [{"shop": 2}],
        ).costs[0]
        assert costs.utility.item() == pytest.approx(gained - 0.2 * (1 + shipped))
        assert costs.reward.item() == costs.utility.item()
        assert units(costs.holding) == [9 * (1 + shipped)]


def test_holding_may_be_charged_on_what_a_period_opens_with():
    """6 at the opening, 2 shipped away, 3 sold: 6 x 2 at the opening, 1 x 2 at the end; never on
    backorders."""
    for holding_on, cost in (("opening", 12), ("end", 2)):
        pair = network(f"""
          holding_on: {holding_on}
          warehouses: [{{name: north, initial_stock: 6, holding_cost: 2, unmet_demand: backordered}}, {{name: south}}]
          lanes: [{{origin: north, destination: south, lead_time: 1}}]
        """)
        played = play(pair, ask=[{"north_to_south": 2}, {}, {}], demand=[{"north": 3}, {"north": 5}, {}])
        assert [units(costs.holding)[0] for costs in played.costs] == [
            cost,
            2 if holding_on == "opening" else 0,
            0,
        ]


def test_leftover_stock_has_a_salvage_value_when_a_finite_episode_has_ended():
    """1 left, and 4 that arrive after the last demand, at 3 each; not before the last period, and not for
    backorders."""
    net = network(shop(also="ending: finite", initial_stock=5, salvage_value=3))
    played = play(net, ask=[{}, {"mill_to_shop": 4}], demand=[{"shop": 2}, {"shop": 2}], finite=True)
    assert [units(costs.salvage) for costs in played.costs] == [[0], [15]]
    assert [units(costs.reward) for costs in played.costs] == [[0], [15]]
    assert units(play(net, ask=[{}]).costs[0].salvage) == [0]
    short = network(shop(also="ending: finite", unmet_demand="backordered", salvage_value=3))
    assert units(play(short, ask=[{}], demand=[{"shop": 2}], finite=True).costs[0].salvage) == [0]


def test_a_network_without_costs_costs_nothing():
    costs = play(network(shop()), ask=[{"mill_to_shop": 3}], demand=[{"shop": 3}]).costs[0]
    assert all(units(getattr(costs, part)) == [0] for part in (*COST_PARTS, *INCOME_PARTS, "reward"))


# State


def test_state_derives_on_hand_backorders_and_position():
    """Level 4 and -3; 5 due next period and 2 after that at the first, 1 at the second."""
    state = State(
        torch.tensor([[[4.0], [-3.0]]]), (torch.tensor([[[5.0], [1.0]]]), torch.tensor([[[2.0], [0.0]]]))
    )
    assert units(state.on_hand) == [4, 0]
    assert units(state.backorders) == [0, 3]
    assert units(state.in_transit) == [7, 1]


def test_an_episode_starts_with_the_given_stock_and_nothing_on_the_way():
    state = initial_state(
        network(shop("lead_time: 3", "products: {count: 2}", initial_stock=[4, 6])), replications=2
    )
    assert state.inventory_level.tolist() == [[[4, 4]], [[6, 6]]]
    assert state.pipeline.shape == (2, 2, 1, 2)
    assert not state.pipeline.any()


def test_requests_demand_and_reserves_are_whole_where_quantities_are():
    """2.6 asked for are 3; a demand of 5, promoted by half, is 7.5, which rounds to 8; a reserve of 1.6 is
    2."""
    pair = network("""
      quantities: integer
      warehouses:
        - {name: north, initial_stock: 10, max_reserve: 9}
        - {name: south, initial_stock: 10, promotion: {max_level: 1, uplift: 0.5}}
      lanes: [{origin: north, destination: south, lead_time: 0}]
    """)
    asked = [{"north_to_south": 2.6}, {"north_to_south": 50}]
    reserve = [{"north": 1.6}] * 2
    played = play(pair, ask=asked, demand=[{"south": 5}, {}], promote=[{"south": 1}, {}], reserve=reserve)
    assert [units(flows.shipments) for flows in played.flows] == [[3], [5]]
    assert units(played.flows[0].demand) == [0, 8]


def test_a_steady_start_is_where_ordering_up_to_has_led():
    """5 a period for certain, lead time 2: the level is 5 x 3. After each demand the position is 10: half on
    hand, half on the way."""
    certain = problem(
        shop(
            "lead_time: 2, initial_shipments: 1",
            "initial_state: steady\n      demand: {kind: discrete_uniform, low: 5, high: 5}",
            initial_stock=99,
            unmet_demand="backordered",
        )
    )
    opening = certain.opening(certain.trace("evaluate", 0, 3))
    assert opening.inventory_level.tolist() == [[[5.0] * 3]]
    assert opening.pipeline[0, :, 0].tolist() == [[5.0] * 3]


def test_a_steady_start_asks_for_nobody_without_a_source():
    """Backorders pile up at the island, which no supplier reaches; the shop's lane does not ask for them."""
    islands = problem("""
      initial_state: steady
      demand: {kind: discrete_uniform, low: 5, high: 5}
      suppliers: [{name: mill}]
      warehouses: [{name: shop, unmet_demand: backordered}, {name: island, unmet_demand: backordered}]
      lanes: [{origin: mill, destination: shop, lead_time: 1}]
    """)
    shop_level, island_level = (
        islands.opening(islands.trace("evaluate", 0, 1)).inventory_level[0, :, 0].tolist()
    )
    assert shop_level == 5
    assert island_level < -100


def test_starting_stock_may_be_drawn():
    drawn = problem(shop(also="quantities: integer", initial_stock="{low: 3, high: 5}"))
    trace = drawn.trace("evaluate", 0, 64)
    assert set(drawn.opening(trace).inventory_level.flatten().tolist()) == {3, 4, 5}
    assert units(drawn.network.initial_stock) == [4]
