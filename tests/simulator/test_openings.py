"""What an episode begins with: stock, customers who wait, and goods that are on their way."""

from __future__ import annotations

import pytest
import torch

from building import network, play, problem, units
from marl_inv.common.errors import InputError
from marl_inv.scenario.export import write_scenario
from marl_inv.scenario.loading import load_scenario
from marl_inv.simulator import initial_state, inventory_position

SHOP = """
  suppliers: [{name: mill}]
  warehouses: [{name: shop, initial_stock: -10, unmet_demand: backordered, holding_cost: 1, shortage_cost: 9}]
  lanes: [{origin: mill, destination: shop, lead_time: 1}]
"""


def test_customers_who_wait_at_the_start_are_served_first():
    """10 wait. 12 are asked for and come for period 1, where 3 more customers come: 10 and 2 of those are
    served."""
    played = play(network(SHOP), [{"mill_to_shop": 12}, {}], [{}, {"shop": 3}])
    assert [units(flows.backorders)[0] for flows in played.flows] == [10, 1]
    assert [units(flows.served)[0] for flows in played.flows] == [10, 2]
    assert [units(costs.shortage)[0] for costs in played.costs] == [90, 9]
    assert played.stock() == [[2], [-1]]


def test_waiting_customers_count_in_the_inventory_position():
    net = network(SHOP)
    assert units(inventory_position(net, initial_state(net, 1))) == [-10]


def test_customers_who_wait_may_be_drawn():
    given = {"initial_stock": {"low": -4, "high": -2}, "unmet_demand": "backordered", "name": "shop"}
    drawn = problem({"warehouses": [given], "ending": "finite", "quantities": "integer"})
    level = drawn.opening(drawn.trace("train", 0, 500)).inventory_level
    assert sorted(set(level.flatten().tolist())) == [-4, -3, -2]


@pytest.mark.parametrize(
    ("shop", "says"),
    [
        ("initial_stock: -10", "is -10, and unmet demand is lost here, so nobody waits; give 0 or more"),
        ("initial_stock: {low: -1, high: 2}", "is -1, and unmet demand is lost here, so nobody waits"),
        (
            "initial_stock: -10, faces_demand: false, unmet_demand: backordered",
            "is -10, and it has no customers of its own, so nobody waits",
        ),
        ("initial_stock: [-1, .inf]", r"is \[-1, inf\]; give a number, 0 or more"),
        ("initial_stock: many", "is 'many'; give a number, 0 or more"),
    ],
)
def test_nobody_waits_where_demand_is_lost(shop: str, says: str):
    with pytest.raises(InputError, match=says):
        problem(f"warehouses: [{{name: shop, {shop}}}]\nending: finite")


OPEN_ORDERS = """
  products: [{name: p}, {name: q}]
  suppliers: [{name: mill}]
  warehouses: [{name: shop, initial_stock: 1}]
  lanes:
    - origin: mill
      destination: shop
      lead_time: 2
      initial_shipments: [0, 2]
      initial_arrivals: [{period: 0, units: 5}, {period: 3, units: [7, 8]}, {period: 3, units: 1}]
"""


def test_open_purchase_orders_arrive_for_their_periods():
    """Also later than the lane takes: lead time 2, and due for the demand of period 3."""
    net = network(OPEN_ORDERS)
    state = initial_state(net, 1)
    assert state.inventory_level[..., 0].tolist() == [[6], [8]]
    assert inventory_position(net, state)[..., 0].tolist() == [[6 + 8], [8 + 2 + 9]]
    played = play(net, [{"mill_to_shop": 3}, {}, {}, {}])
    assert played.stock() == [[[6], [10]], [[9], [13]], [[17], [22]], [[17], [22]]]


def test_open_purchase_orders_are_written_and_read_again(tmp_path):
    given = problem(OPEN_ORDERS).scenario
    for way in ("it.yaml", "it.json", "it.graphml", "it"):
        written = write_scenario(given, tmp_path / way if way != "it" else tmp_path / "out" / way)
        assert load_scenario(written[0]).lanes == given.lanes


def test_open_purchase_orders_on_a_lane_that_delivers_at_once():
    net = network(
        OPEN_ORDERS.replace("lead_time: 2", "lead_time: 0").replace("initial_shipments: [0, 2]", "")
    )
    played = play(net, [{"mill_to_shop": 3}] + [{}] * 3)
    assert played.stock() == [[[9], [9]], [[9], [9]], [[17], [18]], [[17], [18]]]


def test_open_purchase_orders_are_whole_where_quantities_are():
    with pytest.raises(
        InputError, match=r"lanes\[0\]\.initial_arrivals\[0\]\.units is 0\.5, and quantities are"
    ):
        problem(OPEN_ORDERS.replace("units: 5", "units: 0.5") + "  quantities: integer")


def test_a_list_of_open_orders_has_one_number_for_each_product():
    with pytest.raises(
        InputError, match=r"lanes\[0\]\.initial_arrivals\[1\]\.units lists 3 numbers for 2 products"
    ):
        problem(OPEN_ORDERS.replace("[7, 8]", "[7, 8, 9]"))


def test_a_batch_opens_as_each_of_its_replications():
    net = network(OPEN_ORDERS)
    many, one = initial_state(net, 7), initial_state(net, 1)
    assert torch.equal(many.replication(6).inventory_level, one.inventory_level)
    assert torch.equal(many.replication(6).pipeline, one.pipeline)
