"""One period at a time, with numbers a reader can redo on paper: ship, serve, receive, charge."""

from __future__ import annotations

import pytest
import torch

from building import network, play, units
from marl_inv.interface import rewards
from marl_inv.schema import COST_PARTS, INCOME_PARTS
from marl_inv.simulator import State, initial_state


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
        played = play(network(shop(f"lead_time: {lead_time}")), ask=[{"mill_to_shop": 3}], demand=[{"shop": 3}])
        assert units(played.flows[0].lost) == [lost]


def test_goods_on_the_way_queue_up_by_arrival():
    played = play(network(shop("lead_time: 3")), ask=[{"mill_to_shop": 1}, {"mill_to_shop": 2}, {"mill_to_shop": 4}, {}, {}])
    assert played.stock() == [[0], [0], [1], [3], [7]]
    assert units(played.states[0].pipeline[:, :, 0]) == [0, 1, 0]  # due in 1, 2, 3 periods
    assert units(played.states[1].pipeline[:, :, 0]) == [1, 2, 0]


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
    """Thirds of a stock add up to a hair more than the stock now and then; the level must be 0 then, not -1e-17."""
    hub = {"name": "hub", "unmet_demand": unmet_demand}
    shops = [{"name": f"shop_{index}"} for index in range(7)]
    lanes = [{"origin": "hub", "destination": entry["name"], "lead_time": 1} for entry in shops]
    for thousandths in range(1, 400, 7):
        star = network({"warehouses": [hub | {"initial_stock": thousandths / 1000}, *shops], "lanes": lanes}, dtype)
        played = play(star, ask=[{f"hub_to_shop_{index}": 0.1 * (index + 1) for index in range(7)}])
        assert played.states[0].inventory_level[0, 0, 0] >= 0


# Serve


def test_unmet_demand_is_lost_or_backordered():
    ask, demand = [{"mill_to_shop": 5}, {}], [{"shop": 6}, {"shop": 1}]
    lost = play(network(shop(initial_stock=4)), ask, demand)
    assert (units(lost.flows[0].lost), units(lost.flows[0].backorders), lost.stock()) == ([2], [0], [[5], [4]])
    waits = play(network(shop(initial_stock=4, unmet_demand="backordered")), ask, demand)
    assert (units(waits.flows[0].lost), units(waits.flows[0].backorders), waits.stock()) == ([0], [2], [[3], [2]])


def test_served_counts_old_backorders_when_they_are_filled():
    """Period 0: 4 of 6 from stock, 2 wait and nothing comes. Period 1: 5 arrive and the 2 that waited are filled."""
    played = play(
        network(shop(also="objective: profit", initial_stock=4, unmet_demand="backordered", price=10)),
        ask=[{}, {"mill_to_shop": 5}],
        demand=[{"shop": 6}, {"shop": 0}],
    )
    assert [units(flows.served) for flows in played.flows] == [[4], [2]]
    assert [units(costs.revenue) for costs in played.costs] == [[40], [20]]
    assert played.stock() == [[-2], [3]]


def test_unmet_counts_the_demand_of_this_period_only():
    played = play(network(shop(unmet_demand="backordered")), ask=[{}, {}, {}], demand=[{"shop": 5}, {"shop": 1}, {"shop": 0}])
    assert [units(flows.unmet) for flows in played.flows] == [[5], [1], [0]]
    assert [units(flows.backorders) for flows in played.flows] == [[5], [6], [6]]


def test_lost_and_backordered_shops_live_side_by_side():
    both = network("warehouses: [{name: kiosk, initial_stock: 1}, {name: forge, initial_stock: 1, unmet_demand: backordered}]")
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


# Receive


def test_what_storage_cannot_hold_is_discarded_and_charged():
    """8 on hand, 1 is sold, 6 arrive: 7 + 6 is 3 more than the 10 that fit."""
    played = play(network(shop(initial_stock=8, storage=10, overflow_cost=2)), ask=[{"mill_to_shop": 6}], demand=[{"shop": 1}])
    flows = played.flows[0]
    assert (played.stock(), units(flows.receipts), units(flows.overflow)) == ([[10]], [6], [3])
    assert units(played.costs[0].overflow) == units(-played.costs[0].reward) == [6]


def test_arrivals_fill_backorders_before_they_take_space():
    """3 wait; of 10 that arrive 3 go to them, 5 fit, 2 overflow."""
    played = play(network(shop(storage=5, unmet_demand="backordered")), ask=[{"mill_to_shop": 10}], demand=[{"shop": 3}])
    assert (played.stock(), units(played.flows[0].overflow)) == ([[5]], [2])


def test_products_overflow_in_proportion_to_what_arrives():
    """Stock takes 1x2 + 2x1 = 4 of 10; arrivals of 4 and 4 take 1x4 + 2x4 = 12, 6 too many: half of each overflows."""
    played = play(
        network(shop(also="products: [{name: cup, volume: 1}, {name: pot, volume: 2}]", initial_stock=[2, 1], storage=10)),
        ask=[{"mill_to_shop": [4, 4]}],
    )
    assert units(played.flows[0].overflow) == [[2], [2]]
    assert played.stock() == [[[4], [3]]]


# Charge


def test_each_cost_lands_on_the_warehouse_and_product_that_caused_it():
    """Two products; the mill sends 3 cups to the hub, the hub 2 pots to the shop, whose customers want 1 cup and 1 pot more than it has."""
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
    costs = play(chain, ask=[{"mill_to_hub": [3, 0], "hub_to_shop": [0, 2]}], demand=[{"shop": [5, 1]}]).costs[0]
    assert units(costs.holding) == [[0, 0], [0, 2 * 4]]  # of pots, at the hub: after shipping and demand, before receipts
    assert units(costs.shortage) == [[10 * 1, 0], [20 * 1, 0]]
    assert units(costs.procurement) == [[0, 5 * 3], [0, 0]]
    assert units(costs.transport) == [[0, 1 * 3], [7 * 2, 0]]
    assert units(-costs.reward) == [[10, 18], [34, 8]]


def test_holding_and_shortage_are_charged_after_demand_and_before_receipts():
    """2 left over, then 5 arrive: holding is on 2. In the next period 9 are wanted of 7: shortage is on 2, though 5 more arrive."""
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
            network(shop(also=f"objective: {objective}", initial_stock=4, price=10, holding_cost=2)), ask=[{}], demand=[{"shop": 3}]
        )
        costs = played.costs[0]
        assert (units(costs.revenue), units(costs.holding), units(rewards(costs))) == ([30], [2], [reward])


def test_a_network_without_costs_costs_nothing():
    costs = play(network(shop()), ask=[{"mill_to_shop": 3}], demand=[{"shop": 3}]).costs[0]
    assert all(units(getattr(costs, part)) == [0] for part in (*COST_PARTS, *INCOME_PARTS, "reward"))


# State


def test_state_derives_on_hand_backorders_and_position():
    """Level 4 and -3; 5 due next period and 2 after that at the first, 1 at the second."""
    state = State(torch.tensor([[[4.0], [-3.0]]]), torch.tensor([[[[5.0], [1.0]], [[2.0], [0.0]]]]))
    assert units(state.on_hand) == [4, 0]
    assert units(state.backorders) == [0, 3]
    assert units(state.in_transit) == [7, 1]


def test_an_episode_starts_with_the_given_stock_and_nothing_on_the_way():
    state = initial_state(network(shop("lead_time: 3", "products: {count: 2}", initial_stock=[4, 6])), replications=2)
    assert state.inventory_level.tolist() == [[[4, 4]], [[6, 6]]]
    assert state.pipeline.shape == (2, 3, 1, 2)
    assert not state.pipeline.any()
