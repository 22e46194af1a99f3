"""Gradients of a period's money and state in what was decided and what was there: exact between the kinks,
finite at them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from building import network, requests
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Chance, Decision, Flows, initial_state, inventory_position, step
from marl_inv.simulator.rationing import ration

STAR = """
  {rules}
  products: [{{name: cup, volume: 1}}, {{name: pot, volume: 2}}]
  suppliers: [{{name: mill, capacity: {made}}}]
  warehouses:
    - {{name: hub, holding_cost: 1, shortage_cost: 4, price: 11, unmet_demand: backordered, {hub}}}
    - {{name: a, holding_cost: 1.5, shortage_cost: 7, price: 12, {shop}}}
    - {{name: b, holding_cost: 2, shortage_cost: 9, price: 13, unmet_demand: backordered, {shop}}}
  lanes:
    - {{origin: mill, destination: hub, lead_time: 1, procurement_cost: 3, {supply}}}
    - {{origin: hub, destination: a, lead_time: {time}, transport_cost: 0.5, priority: 2, {lane}}}
    - {{origin: hub, destination: b, lead_time: {time}, transport_cost: 0.7, priority: 1, {lane}}}
    - {{origin: a, destination: b, lead_time: 0, transport_cost: 0.2, {lane}}}
    {more}
"""


def star(**parts: str) -> str:
    """A mill, a hub and two shops, the first of which also sends to the second."""
    blanks = dict.fromkeys(("rules", "hub", "shop", "supply", "lane", "more"), "") | {
        "made": "1000",
        "time": "1",
    }
    return STAR.format(**(blanks | parts))


Acts = Callable[[Flows], Tensor]
"""Units that show that the feature acts in an example."""

REACTIVE = (
    "- {origin: b, destination: a, reactive: true, transport_cost: 0.3, capacity: 3}\n    - {name: "
    "van, origin: hub, destination: a, reactive: true}"
)

EXAMPLES: dict[str, tuple[str, Acts]] = {
    "proportional": (star(), lambda flows: flows.refused),
    "priority": (star(rules="rationing: priority"), lambda flows: flows.refused),
    "even": (star(rules="rationing: even"), lambda flows: flows.refused),
    "full shipment": (
        star(hub="rationing: full_shipment"),
        lambda flows: (flows.shipments - flows.asked).clamp(min=0),
    ),
    "mixed rules": (star(hub="rationing: even", rules="rationing: priority"), lambda flows: flows.refused),
    "reserves": (star(hub="max_reserve: 9", shop="max_reserve: 9"), lambda flows: flows.refused),
    "lane capacity": (star(lane="capacity: 5"), lambda flows: flows.refused),
    "pool": (
        star(more="\n  pools: [{name: fleet, lanes: [mill->hub, hub->a, a->b], capacity: 12}]"),
        lambda flows: flows.refused,
    ),
    "supplier limit": (star(made="13"), lambda flows: flows.refused[:, :1]),
    "free space": (star(shop="storage: 14"), lambda flows: flows.refused[:, -1:]),
    "overflow discarded": (star(hub="storage: 1, overflow_cost: 3"), lambda flows: flows.discarded),
    "overflow kept": (star(hub="storage: 1, overflow_cost: 3, overflow: kept"), lambda flows: flows.overflow),
    "reactive lanes": (star(more=REACTIVE), lambda flows: flows.transshipped),
    "reactive lanes and reserves": (
        star(hub="max_reserve: 9", more=REACTIVE),
        lambda flows: flows.transshipped,
    ),
    "owed": (star(lane="unfilled: owed"), lambda flows: flows.owed),
    "order delay": (
        star(lane="order_delay: 1", supply="order_delay: 2"),
        lambda flows: (flows.asked - flows.requests).abs(),
    ),
    "owed and order delay": (star(lane="order_delay: 1, unfilled: owed"), lambda flows: flows.owed),
    "random lead times": (
        star(time="{values: [0, 2]}", lane="in_transit_cost: 0.2"),
        lambda flows: flows.refused,
    ),
    "promotion with a dip": (
        star(shop="promotion: {max_level: 9, uplift: 0.3, dip: 0.05, recovery: 0.5, cost: 2}"),
        lambda flows: flows.promotion,
    ),
    "in-transit cost and transfer price": (
        star(lane="in_transit_cost: 0.4, transfer_price: 2"),
        lambda flows: flows.shipments,
    ),
    "shipment cost": (
        star(lane="shipment_cost: 6", supply="shipment_cost: 20"),
        lambda flows: flows.shipments,
    ),
    "profit": (star(rules="objective: profit"), lambda flows: flows.lost),
    "service": (star(rules="objective: service"), lambda flows: flows.unmet),
    "utility": (star(rules="objective: utility"), lambda flows: flows.shipments),
    "utility with a plain log": (
        star(rules="objective: utility\n  utility: {log: log}"),
        lambda flows: flows.shipments,
    ),
    "holding on the opening stock": (
        star(rules="holding_on: opening"),
        lambda flows: flows.opening_level.clamp(min=0),
    ),
    "salvage": (star(rules="ending: finite", shop="salvage_value: 2"), lambda flows: flows.on_hand),
}
PERIODS, REPLICATIONS = 3, 2


def luck(net: TransferNetwork, generator: torch.Generator) -> list[Chance]:
    """Demand, and lead times of 0 and 2 on the lanes out of the hub where they are drawn."""
    shape, chances = (len(net.products), len(net.warehouses), REPLICATIONS), []
    for period in range(PERIODS):
        demand = 1 + 7 * torch.rand(shape, generator=generator, dtype=torch.float64)
        lead_time = net.lead_time.unsqueeze(1).repeat(1, REPLICATIONS)
        lead_time[1:3] = 2 * torch.randint(2, (2, REPLICATIONS), generator=generator)
        chances.append(
            Chance(demand, lead_time if net.longest_lead_time > 1 else None, last=period == PERIODS - 1)
        )
    return chances


def leaves(net: TransferNetwork, generator: torch.Generator, scale: float = 1.0) -> list[Tensor]:
    """Starting stock, and for every period requests and, where they are decided, promotion levels and
    reserves."""
    warehouses, lanes = len(net.warehouses), len(net.lanes)
    bounds = (
        [(lanes, 8.0)]
        + [(warehouses, 2.0)] * (net.max_promotion is not None)
        + [(warehouses, 4.0)] * (net.max_reserve is not None)
    )
    shapes = [(warehouses, 12.0)] + bounds * PERIODS
    uniform = (
        torch.rand(len(net.products), rows, REPLICATIONS, generator=generator, dtype=torch.float64)
        for rows, _ in shapes
    )
    return [(scale * most * units).requires_grad_() for (_, most), units in zip(shapes, uniform, strict=True)]


def played(
    net: TransferNetwork, chances: list[Chance], stock: Tensor, *decided: Tensor
) -> tuple[Tensor, list[Flows]]:
    """Rewards of every period and the last state, in a row; and the flows."""
    state, told, seen = replace(initial_state(net, REPLICATIONS), inventory_level=stock), [], []
    each = len(decided) // PERIODS
    for period, chance in enumerate(chances):
        asked, *rest = decided[period * each : (period + 1) * each]
        promotion = rest.pop(0) if net.max_promotion is not None else None
        state, flows, costs = step(net, state, Decision(asked, promotion, *rest), chance)
        told += [costs.reward, costs.shortage, costs.holding]
        seen.append(flows)
    told += [state.inventory_level, inventory_position(net, state)]
    return torch.cat([part.expand_as(told[0]).flatten() for part in told]), seen


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_gradient_is_the_slope_between_the_kinks(name: str):
    """Against difference quotients, over three periods, at a point drawn so that it is at no kink."""
    given, acts = EXAMPLES[name]
    net = network(given)
    generator = torch.Generator().manual_seed(1)
    chances, given = luck(net, generator), leaves(net, generator)
    assert sum(acts(flows).sum() for flows in played(net, chances, *given)[1]) > 0.1, (
        "the feature does nothing in this example"
    )
    torch.autograd.gradcheck(lambda *leaf: played(net, chances, *leaf)[0], given, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("stock", [0.0, 1.0])
def test_gradients_are_finite_where_nothing_is_asked_for(name: str, stock: float):
    net = network(EXAMPLES[name][0])
    generator = torch.Generator().manual_seed(2)
    chances, given = luck(net, generator), leaves(net, generator, scale=0.0)
    given[0] = torch.full_like(given[0], stock).requires_grad_()
    told, _ = played(net, chances, *given)
    for leaf in torch.autograd.grad(told.sum(), given, allow_unused=True):
        assert leaf is None or leaf.isfinite().all()


# Whole units and whole vehicles: the gradient of the problem without rounding

FORK = """
  quantities: {quantities}
  {rules}
  products: [{{name: cup, volume: 1}}, {{name: pot, volume: 2}}]
  warehouses:
    - {{name: hub, initial_stock: [11, 7], {hub}}}
    - {{name: a, initial_stock: [2, 1], {shop}}}
    - {{name: b, initial_stock: [0, 3]}}
  lanes:
    - {{origin: hub, destination: a, lead_time: 0, priority: 1, {lane}}}
    - {{origin: hub, destination: b, lead_time: 0, {lane}}}
"""


def fork(quantities: str, **parts: str) -> str:
    """A hub that serves two shops at once."""
    return FORK.format(quantities=quantities, **(dict.fromkeys(("rules", "hub", "shop", "lane"), "") | parts))


def slopes(given: str, **asked: list[float]) -> tuple[Tensor, Tensor]:
    """Shipments of the first period, and the gradient of a weighted sum of them in requests."""
    net = network(given)
    leaf = requests(net, **asked).requires_grad_()
    shipments = ration(net, leaf, net.initial_stock)
    weights = torch.arange(1.0, shipments.numel() + 1).to(shipments).reshape(shipments.shape).sqrt()
    return shipments.detach(), torch.autograd.grad((shipments * weights).sum(), leaf)[0]


@pytest.mark.parametrize(
    ("parts", "to_b"),
    [
        ({}, [6, 8]),
        ({"rules": "rationing: even"}, [6, 8]),
        ({"rules": "rationing: full_shipment"}, [6, 8]),
        ({"lane": "capacity: 6.5"}, [1, 1]),
        ({"rules": "pools: [{name: fleet, lanes: [hub->a, hub->b], capacity: 13}]"}, [1, 1]),
        ({"shop": "storage: 9"}, [1, 1]),
    ],
)
def test_rounding_to_whole_units_leaves_the_gradient_as_it_was(parts: dict[str, str], to_b: list[float]):
    """One thing is short in each example, so that what is cut is cut from the same requests."""
    exact, slope = slopes(fork("continuous", **parts), hub_to_a=[8, 3], hub_to_b=to_b)
    rounded, same = slopes(fork("integer", **parts), hub_to_a=[8, 3], hub_to_b=to_b)
    assert not torch.equal(exact, rounded)
    assert torch.equal(rounded, rounded.round())
    torch.testing.assert_close(same, slope)


def test_rounding_what_overflows_leaves_the_gradient_as_it_was():
    """3 cups and 2 pots of volume 2 into a space of 4.5: 4.5/7 of each is kept."""
    shop = """
      quantities: %s
      products: [{name: cup}, {name: pot, volume: 2}]
      suppliers: [{name: mill}]
      warehouses: [{name: shop, storage: 4.5, faces_demand: false}]
      lanes: [{origin: mill, destination: shop, lead_time: 1}]
    """
    gradients, kept = [], []
    for quantities in ("continuous", "integer"):
        net = network(shop % quantities)
        leaf = requests(net, mill_to_shop=[3, 2]).requires_grad_()
        _, flows, _ = step(net, initial_state(net, 1), Decision(leaf), Chance(torch.zeros(2, 1, 1).double()))
        kept.append((flows.receipts - flows.discarded).flatten().tolist())
        gradients.append(
            torch.autograd.grad(flows.discarded[0].sum() + 3 * flows.discarded[1].sum(), leaf)[0]
        )
    assert kept == [[pytest.approx(3 * 4.5 / 7), pytest.approx(2 * 4.5 / 7)], [2, 1]]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("load", [[0.0, 0.0], [0.5, 0.0], [2.0, 1.0], [5.0, 4.0]])
def test_a_vehicle_costs_its_part_at_the_margin(load: list[float]):
    """At 12 for 4 volume, a unit of volume 1 costs 3 more and one of volume 2 costs 6 more, also where
    nothing is shipped yet."""
    net = network(fork("continuous", lane="vehicle_cost: 12, vehicle_capacity: 4"))
    leaf = requests(net, hub_to_a=load).requires_grad_()
    _, _, costs = step(net, initial_state(net, 1), Decision(leaf), Chance(torch.ones(2, 3, 1).double()))
    gradient = torch.autograd.grad(costs.vehicle.sum(), leaf)[0]
    torch.testing.assert_close(gradient[..., 0], torch.tensor([[3.0, 3.0], [6.0, 6.0]]).double())


def test_whole_units_on_reactive_lanes_have_the_gradient_of_all_units():
    """Both shops are short, and two lanes that save the same share a pool for 7: 2.33 and 4.67, or 2 and 5. A
    unit of the pool more moves nothing else; a unit that was asked for and takes of the pool takes a third
    and two thirds."""
    pair = """
      quantities: %s
      warehouses:
        [{name: a, initial_stock: 20}, {name: b, shortage_cost: 1}, {name: c, initial_stock: 20}, {name: d, shortage_cost: 1}]
      lanes:
        - {origin: a, destination: b, reactive: true}
        - {origin: c, destination: d, reactive: true}
        - {name: truck, origin: a, destination: c, lead_time: 1}
      pools: [{name: fleet, lanes: [a->b, c->d, truck], capacity: 9}]
    """
    for quantities, moved in (("continuous", [7 / 3, 14 / 3]), ("integer", [2, 5])):
        net = network(pair % quantities)
        leaf = requests(net, truck=2).requires_grad_()
        demand = torch.tensor([0.0, 4.0, 0.0, 8.0]).double().reshape(1, 4, 1)
        _, flows, _ = step(net, initial_state(net, 1), Decision(leaf), Chance(demand))
        assert flows.transshipped.flatten().tolist() == pytest.approx(moved)
        taken = [
            torch.autograd.grad(units, leaf, retain_graph=True)[0].item()
            for units in flows.transshipped.flatten()
        ]
        assert taken == pytest.approx([-1 / 3, -2 / 3])


def test_requests_and_reserves_are_rounded_straight_through():
    """10.3 and 10.3 asked for are 10 and 10, and a reserve of 2.4 is 2: 9 of 11 cups and 5 of 7 pots, less
    one for one more of reserve."""
    net = network(fork("integer", hub="max_reserve: 9"))
    leaf, reserve = (
        requests(net, hub_to_a=10.3, hub_to_b=10.3),
        torch.full((2, 3, 1), 2.4).double().requires_grad_(),
    )
    _, flows, _ = step(
        net, initial_state(net, 1), Decision(leaf, None, reserve), Chance(torch.ones(2, 3, 1).double())
    )
    assert flows.shipments.sum(1).flatten().tolist() == [9, 5]
    assert torch.autograd.grad(flows.shipments.sum(), reserve)[0][..., 0].tolist() == [[-1, 0, 0], [-1, 0, 0]]
    few = requests(net, hub_to_a=2.3).requires_grad_()
    _, flows, _ = step(net, initial_state(net, 1), Decision(few), Chance(torch.ones(2, 3, 1).double()))
    assert torch.autograd.grad(flows.shipments.sum(), few)[0][..., 0].tolist() == [[1, 1], [1, 1]]
