"""How requests that do not fit are cut: lanes, then pools, suppliers, stock at the origin, free space; always in proportion."""

from __future__ import annotations

import pytest
import torch

from building import network, play, requests, units
from marl_inv.rationing import add_up, ration


def shipped(given: str, **asked: float) -> dict[str, float]:
    """What leaves on each lane in the first period, by lane name with `_to_` for `->`."""
    net = network(given)
    return {
        lane.replace("->", "_to_"): amount for lane, amount in zip(net.lanes, units(play(net, ask=[asked]).flows[0].shipments), strict=True)
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
    assert units(play(net, ask=[{"hub_to_a": [12, 12], "hub_to_b": [8, 8]}]).flows[0].shipments) == [[6, 4], [12, 8]]


def test_a_lane_carries_its_capacity():
    assert shipped(mill(lanes="capacity: 5"), mill_to_a=8, mill_to_b=8) == {"mill_to_a": 5, "mill_to_b": 8}


def test_products_share_a_lane_by_volume():
    """4 cups of volume 1 and 3 pots of volume 2 take 10 of a capacity of 5: half of each."""
    net = network(mill(lanes="capacity: 5", also="products: [{name: cup, volume: 1}, {name: pot, volume: 2}]"))
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
    assert shipped(fleet, mill_to_a=8, mill_to_b=4, mill_to_c=9) == {"mill_to_a": 4, "mill_to_b": 2, "mill_to_c": 9}


def test_a_lane_in_two_pools_keeps_to_both():
    """Fleet: 8 + 8 into 8, half of each. Then permit: 4 into 3."""
    assert shipped(
        mill(also="pools: [{name: fleet, lanes: [mill->a, mill->b], capacity: 8}, {name: permit, lanes: [mill->a], capacity: 3}]"),
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
    assert shipped(mill(supplier="capacity: 9"), mill_to_a=12, mill_to_b=6) == {"mill_to_a": 6, "mill_to_b": 3}


def test_limits_cut_one_after_the_other():
    """Lane: 10 and 10 become 5 and 10. Supplier: 15 into 9 makes 3 and 6."""
    assert shipped(mill(supplier="capacity: 9", lanes="capacity: 5"), mill_to_a=10, mill_to_b=10) == {"mill_to_a": 3, "mill_to_b": 6}
    # Lane: 20 and 10 become 5 and 10. Stock: 15 of 10 makes 10/3 and 20/3.
    net = network(star(lanes="capacity: 5"))
    assert units(ration(net, requests(net, hub_to_a=20, hub_to_b=10), net.initial_stock) * 3) == [10, 20]


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
    """3 of 10 are free and 4 + 2 asked for at once: half of each. What comes later is not cut when it leaves."""
    assert shipped(INSTANT, now=4, today=2, later=50) == {"now": 2, "today": 1, "later": 50, "back": 0}


def test_the_space_is_the_one_free_when_the_period_began():
    """The 7 that leave for the neighbour make no room for what arrives in the same period."""
    assert shipped(INSTANT, now=9, back=7) == {"now": 3, "today": 0, "later": 0, "back": 7}


def test_a_warehouse_without_storage_limit_takes_everything():
    assert shipped(INSTANT, back=7)["back"] == 7


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
    """10 of 20 asked are shipped, 6 of 12 to a; a 13th unit would get 13/21 x 10 - 6, and b lose as much: 1/5 to first order."""
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
