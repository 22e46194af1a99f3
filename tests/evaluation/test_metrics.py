"""Sums over the scored periods of an episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from building import problem
from marl_inv.baselines import OrderUpTo
from marl_inv.chance.trace import Trace
from marl_inv.common.printed import cells_of
from marl_inv.episodes.problem import Problem, period_weights
from marl_inv.episodes.rollout import play
from marl_inv.episodes.view import View
from marl_inv.evaluation.evaluate import evaluate
from marl_inv.evaluation.metrics import score
from marl_inv.evaluation.tables import product_table, warehouse_table
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision


@dataclass(frozen=True)
class Always:
    """Asks for the same in every period."""

    requests: Tensor
    name: str = "always"
    knows: str = "nothing"

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: Any) -> tuple[Decision, Any]:
        return Decision(self.requests), memory


def trace(problem: Problem, *demand: float) -> Trace:
    """One replication of one shop's demand, with one period of history before it."""
    return Trace(torch.tensor([0, *demand]).to(problem.network.volume).reshape(-1, 1, 1, 1), history=1)


SHOP = """
  suppliers: [{name: mill}]
  warehouses: [{name: shop, initial_stock: 3, holding_cost: 1, shortage_cost: 10, unmet_demand: %s}]
  lanes: [{origin: mill, destination: shop, lead_time: 1, transport_cost: 2}]
"""


def test_a_record_adds_up_the_periods_after_the_warm_up():
    """3 a period come in. Stock after demand: 3 - 1, 5 - 4, 4 - 9: 2, 1, 5 short. Period 0 is not scored."""
    shop = problem(SHOP % "lost")
    record = score(
        play(shop, Always(torch.full((1, 1, 1), 3.0).double()), trace(shop, 1, 4, 9)), [0.0, 1.0, 1.0]
    )
    assert record.periods == 2
    sums = {name: value.item() for name, value in record.sums.items()}
    assert (sums["demand"], sums["unmet"], sums["on_hand"], sums["backorders"]) == (13, 5, 1, 0)
    assert (sums["holding_cost"], sums["shortage_cost"], sums["transport_cost"], sums["reward"]) == (
        1,
        50,
        12,
        -63,
    )
    assert record.per_period("reward").item() == -31.5
    assert record.fill_rate.item() == pytest.approx(1 - 5 / 13)
    assert record.lane_sums["shipped"].item() == 6


def test_a_backorder_that_waits_is_unmet_once():
    """2 are wanted of nothing for ever: 2 unmet of 2 in the first period, and none after it, though they
    wait."""
    shop = problem((SHOP % "backordered").replace("initial_stock: 3", "initial_stock: 0"))
    record = score(play(shop, Always(torch.zeros(1, 1, 1).double()), trace(shop, 2, 0, 0)))
    assert (record.sums["unmet"].item(), record.sums["backorders"].item(), record.fill_rate.item()) == (
        2,
        6,
        0,
    )


def test_transferred_counts_what_moves_between_warehouses():
    pair = problem("""
      suppliers: [{name: mill}]
      warehouses: [{name: a, initial_stock: 50}, {name: b}]
      lanes: [{origin: mill, destination: a, lead_time: 1}, {origin: a, destination: b, lead_time: 1}]
    """)
    requests = torch.tensor([[[8.0], [3.0]]]).double()
    assert (
        score(play(pair, Always(requests), pair.trace("train", 0, range(1), horizon=4))).transferred.item()
        == 3
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scoring_leaves_what_was_played_as_it_was(dtype: torch.dtype):
    shop = problem(SHOP % "lost", dtype)
    policy, luck = Always(torch.full((1, 1, 2), 3.0, dtype=dtype)), shop.trace("train", 0, 2)
    before = luck.demand.clone()
    moments = list(play(shop, policy, luck))
    first, again = score(moments), score(moments)
    assert torch.equal(luck.demand, before)
    assert (policy.requests == 3).all()
    assert all(torch.equal(value, again.sums[name]) for name, value in first.sums.items())


def test_an_episode_that_is_all_warm_up_cannot_be_scored():
    shop = problem(SHOP % "lost")
    with pytest.raises(ValueError, match="no period was scored"):
        score(play(shop, Always(torch.zeros(1, 1, 1).double()), trace(shop, 1, 4)), [0.0, 0.0])


def test_a_discount_counts_later_periods_less():
    """Of holding costs 1, 1 and 1, with half of each period's weight in the next: 1 + 0.5 + 0.25 over a
    weight of 1.75."""
    shop = problem((SHOP % "lost").replace("initial_stock: 3", "initial_stock: 1"))
    halved = shop.scenario.model_copy(update={"discount_factor": 0.5})
    nothing = Always(torch.zeros(1, 1, 1).double())
    record = score(play(shop, nothing, trace(shop, 0, 0, 0)), period_weights(halved, 3))
    assert (record.periods, record.weight, record.sums["holding_cost"].item()) == (3, 1.75, 1.75)
    assert record.per_period("holding_cost").item() == 1
    after_one = score(
        play(shop, nothing, trace(shop, 0, 0, 9)), period_weights(halved.model_copy(update={"warm_up": 1}), 3)
    )  # holding 1, then 8 lost at half
    assert (after_one.sums["reward"].item(), after_one.per_period("reward").item()) == (
        -1 - 0.5 * 80,
        pytest.approx(-41 / 1.5),
    )


def test_the_cycle_service_level_is_the_share_of_periods_without_a_stockout():
    """3 on hand for 1, 4 and 2: the second falls short, the third too; the hub, which has no customers, does
    not count."""
    given = (
        (SHOP % "lost")
        .replace("holding_cost: 1,", "")
        .replace("warehouses: [", "warehouses: [{name: hub, faces_demand: false}, ")
    )
    shop = problem(given)
    luck = Trace(
        torch.tensor([0.0, 1, 4, 2]).double().reshape(-1, 1, 1, 1)
        * torch.tensor([0.0, 1.0]).reshape(1, 1, 2, 1),
        history=1,
    )
    record = score(play(shop, Always(torch.zeros(1, 1, 1).double()), luck))
    assert record.cycle_service_level.item() == pytest.approx(1 / 3)
    assert record.fill_rate.item() == pytest.approx(3 / 7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_who_asks_for_exactly_the_demand_has_no_stockout(dtype: torch.dtype):
    """0.1 and 0.7 arrive at once for a demand of 0.8, which they miss by a rounding error."""
    given = """
      suppliers: [{name: mill}]
      warehouses: [{name: shop}]
      lanes: [{name: ship, origin: mill, destination: shop, lead_time: 0}, {name: plane, origin: mill, destination: shop, lead_time: 0}]
    """
    shop = problem(given, dtype)
    asked = torch.tensor([[[0.1], [0.7]]], dtype=dtype)
    luck = Trace(
        torch.tensor([0, 0.8, 0.8000000000000002, 0.8001, 0.7], dtype=dtype).reshape(-1, 1, 1, 1), history=1
    )
    record = score(play(shop, Always(asked), luck))
    assert record.sums["stockout"].item() == 1  # of the demand of 0.8001


def test_lanes_are_measured_one_by_one():
    """b asks for 3 a period of the 2 that a has, and a owes the rest, which never comes: 2 shipped, owed 1, 4
    and 7. c's lane forgets. What b lacks then comes from d."""
    net = problem("""
      warehouses: [{name: a, initial_stock: 2}, {name: b, shortage_cost: 1}, {name: c}, {name: d, initial_stock: 5}]
      lanes:
        - {origin: a, destination: b, lead_time: 1, unfilled: owed}
        - {origin: b, destination: c, lead_time: 1}
        - {name: d=>b, origin: d, destination: b, reactive: true}
    """)
    demand = torch.zeros(4, 1, 4, 1).double()
    demand[1, 0, 1] = 3
    record = score(play(net, Always(torch.tensor([[[3.0], [1.0]]]).double()), Trace(demand, history=1)))
    lanes = {measure: value.flatten().tolist() for measure, value in record.lane_sums.items()}
    assert lanes == {
        "requested": [9, 3],
        "shipped": [2, 2],
        "owed": [12, 0],
        "refused": [0, 1],
        "transshipped": [3],
    }
    assert record.per_lane("owed").flatten().tolist() == [4, 0]
    assert record.transferred.item() == pytest.approx((2 + 2 + 3) / 3)


def test_what_a_network_does_not_have_is_measured_as_nothing():
    shop = problem(SHOP % "lost")
    record = score(play(shop, Always(torch.zeros(1, 1, 1).double()), trace(shop, 1)))
    assert set(record.lane_sums) == {"requested", "shipped", "refused"}
    assert record.sums["overflow"].tolist() == record.sums["salvage"].tolist() == [[[0]]]


NAILS_AND_CARS = """
ending: continuing
horizon: 8
products: [{name: nails, volume: 1}, {name: car, volume: 1000}]
suppliers: [{name: mill}]
warehouses:
  - {name: a, unmet_demand: lost, initial_stock: [100, 1], demand: {kind: known, values: [10]}}
lanes: [{origin: mill, destination: a, lead_time: 1}]
"""
"""10 nails and 10 cars are asked for in each period; nobody orders."""


def test_units_of_unlike_products_are_not_added_up():
    """100 nails last for 8 periods, the car for a tenth of the first: by number half is served, by volume 0.0135
    (80 + 1000 of 80,080), and by price, where there is one, 0.5 of what a nail is worth."""
    shop = problem(NAILS_AND_CARS)
    record = score(
        play(
            shop,
            Always(torch.zeros(2, 1, 1, dtype=torch.float64)),
            shop.trace("train", 0, range(1), horizon=8),
        )
    )
    assert record.added_by[0] == "volume"
    assert record.fill_rate.item() == pytest.approx((80 + 1000) / (80 * 1001))
    nails = sum(100 - 10 * period for period in range(1, 9)) / 8
    assert record.on_hand.item() == pytest.approx(nails)
    priced = problem(NAILS_AND_CARS.replace("{name: a,", "{name: a, price: [2, 30],"))
    record = score(
        play(
            priced,
            Always(torch.zeros(2, 1, 1, dtype=torch.float64)),
            priced.trace("train", 0, range(1), horizon=8),
        )
    )
    assert record.added_by[0] == "value"
    assert record.fill_rate.item() == pytest.approx((2 * 80 + 30) / (80 * 32))
    alike = problem(NAILS_AND_CARS.replace("volume: 1000", "volume: 1"))
    record = score(
        play(
            alike,
            Always(torch.zeros(2, 1, 1, dtype=torch.float64)),
            alike.trace("train", 0, range(1), horizon=8),
        )
    )
    assert record.added_by[0] == "units"
    assert record.fill_rate.item() == pytest.approx(81 / 160)


def test_products_are_told_apart():
    shop = problem(NAILS_AND_CARS)
    [found] = evaluate(shop, [OrderUpTo(torch.zeros(2, 1, dtype=torch.float64))], replications=2)
    rows = cells_of(product_table(shop, [found]))[1:]
    assert [row[1] for row in rows] == ["nails", "car"]
    assert [row[3] for row in rows] == ["1.000", "0.012"]
    assert "add up products by their volume" in str(warehouse_table(shop, found).caption)
