"""Levels to hold, on paper: for how long stock has to last where it is shipped on."""

import pytest
import torch

from building import problem
from marl_inv.baselines import BASELINES, EchelonBaseStock, OrderUpTo
from marl_inv.baselines.goals import tune_to_goal
from marl_inv.baselines.newsvendor import critical_ratio, newsvendor_levels
from marl_inv.baselines.tuning import tune
from marl_inv.common.errors import InputError
from marl_inv.evaluation.evaluate import evaluate
from marl_inv.policies import check_policy_name, policy_named

AT_ONCE = """
ending: continuing
horizon: 40
warm_up: 10
suppliers: [{name: mill}]
warehouses:
  - {name: up, faces_demand: false, holding_cost: 1, initial_stock: 20}
  - {name: down, unmet_demand: backordered, holding_cost: 2, shortage_cost: 100, initial_stock: 20,
     demand: {kind: known, values: [10]}}
lanes:
  - {origin: mill, destination: up, lead_time: 0}
  - {origin: up, destination: down, lead_time: 0}
"""
"""What arrives at once at `up` can leave it a period later: 10 have to lie there."""

THREE_AT_ONCE = AT_ONCE.replace(
    "faces_demand: false", "shortage_cost: 100, demand: {kind: known, values: [10]}"
)
THREE_AT_ONCE = THREE_AT_ONCE.replace(
    "  - {origin: up, destination: down",
    "  - {origin: up, destination: middle, lead_time: 0}\n  - {origin: middle, destination: down",
).replace("lanes:", "  - {name: middle, faces_demand: false, holding_cost: 1, initial_stock: 20}\nlanes:")
"""`up` also has customers of its own, who can have at once what arrives at once."""

SHARE_THE_LEVELS = (
    "order_up_to",
    "capped_order_up_to",
    "myopic",
    "threshold_balancing",
    "lp_balancing",
    "following_order_up_to",
    "just_in_time",
    "echelon_base_stock",
    "equal_fractile",
    "dual_index",
)


@pytest.mark.parametrize("name", SHARE_THE_LEVELS)
@pytest.mark.parametrize(("given", "held"), [(AT_ONCE, 10), (THREE_AT_ONCE, 20)])
def test_what_arrives_at_once_is_shipped_on_a_period_later(name: str, given: str, held: int):
    """Demand is 10 and certain: all of it is served, and what has to wait is all that is held (at the very
    end, just in time holds nothing more)."""
    [score] = evaluate(played := problem(given), [policy_named(name, played)], replications=2)
    assert score.fill_rate == 1
    on_hand = float(score.record.per_period("on_hand").sum((0, 1)).mean())
    assert on_hand == pytest.approx(held, abs=1 if name == "just_in_time" else 1e-4)


def test_tuned_levels_keep_what_has_to_wait():
    played = problem(AT_ONCE)
    for name in ("order_up_to", "following_order_up_to", "echelon_base_stock"):
        [score] = evaluate(played, [tune(played, BASELINES[name].of(played), effort=0.2)], replications=2)
        assert score.fill_rate == 1
        assert float(score.reward.mean) == pytest.approx(-10, abs=0.1)


def test_levels_cover_two_periods_of_what_is_passed_on_and_one_of_ones_own_demand():
    assert newsvendor_levels(problem(AT_ONCE))[0].tolist() == pytest.approx([20, 10], abs=1e-4)
    assert newsvendor_levels(problem(THREE_AT_ONCE))[0].tolist() == pytest.approx([30, 10, 20], abs=1e-4)
    later = AT_ONCE.replace("destination: up, lead_time: 0", "destination: up, lead_time: 1")
    assert newsvendor_levels(problem(later))[0].tolist() == pytest.approx([20, 10], abs=1e-4)
    heard_later = AT_ONCE.replace(
        "destination: up, lead_time: 0", "destination: up, lead_time: 0, order_delay: 1"
    )
    assert newsvendor_levels(problem(heard_later))[0].tolist() == pytest.approx([30, 10], abs=1e-4)


def test_an_echelon_covers_the_periods_until_it_is_sold():
    """Ordered now, shipped on in the next period: 2 periods of demand; 3 where it is passed on twice, and 1 for
    those who come to the first."""
    assert EchelonBaseStock.of(problem(AT_ONCE)).levels[0].tolist() == pytest.approx([20, 10], abs=1e-4)
    [beginning, *_] = EchelonBaseStock.of(problem(AT_ONCE)).beginnings(problem(AT_ONCE))
    assert beginning.levels[0].tolist() == pytest.approx([20, 10], abs=1e-4)
    assert EchelonBaseStock.of(problem(THREE_AT_ONCE)).levels[0].tolist() == pytest.approx(
        [40, 10, 20], abs=1e-4
    )


def test_the_steady_state_ships_on():
    """Settled at mean + 1 sd of what is to be covered: 20 - 10 are left above."""
    played = problem(AT_ONCE + "initial_state: steady")
    opening = played.opening(played.trace("evaluate", 0, 1))
    assert torch.equal(opening.inventory_level[0, :, 0].float(), torch.tensor([10.0, 0.0]))


def ratio(*, unmet: str = "lost", shop: str = "", lane: str = "", also: str = "") -> float:
    """Of one shop whose missing units and stock cost what the texts say."""
    return critical_ratio(
        problem(f"""
            suppliers: [{{name: mill}}]
            warehouses: [{{name: shop, unmet_demand: {unmet}, {shop}}}]
            lanes: [{{origin: mill, destination: shop, lead_time: 1, {lane}}}]
            {also}
        """).network
    ).item()


def test_the_ratio_counts_the_price_of_a_missed_service_goal():
    """A unit that is missing costs 10, or 1000, and one too many 5 a period."""
    for price, expected in ((10, 10 / 15), (1000, 1000 / 1005)):
        goal = f"objective: service\nservice: {{fill_rate: 0.98, price: {price}}}".replace(
            "\n", "\n" + " " * 12
        )
        assert ratio(shop="holding_cost: 5", also=goal) == pytest.approx(expected)
    nothing = "objective: service\n            service: {fill_rate: 0, price: 10}"
    assert ratio(shop="holding_cost: 5", also=nothing) == 0.01
    weighed = "weights: {shortfall: 2}\n            service: {price: 10}"
    assert ratio(shop="holding_cost: 5", also=weighed) == pytest.approx(20 / 25)


def test_the_ratio_of_a_season_counts_what_is_left_at_its_end():
    """Bought for 4, sold for 10, salvaged for 1: 6 / (6 + 3) for a paper boy; over 10 periods a unit too many
    loses its 3 once. It loses nothing where it is worth what it cost."""
    money, lane = "price: 10, holding_cost: 0, salvage_value: 1", "procurement_cost: 4"
    for horizon in (1, 10):
        season = f"objective: profit\n            ending: finite\n            horizon: {horizon}"
        assert ratio(shop=money, lane=lane, also=season) == pytest.approx(6 / (6 + 3 / horizon))
        worth = money.replace("salvage_value: 1", "salvage_value: 4")
        assert ratio(shop=worth, lane=lane, also=season) == 0.999
    held = ratio(shop="price: 10, holding_cost: 2", lane=lane, also=season.replace("finite", "continuing"))
    assert held == pytest.approx(6 / 8)


def test_the_ratio_counts_later_money_less():
    """Discounted by 0.9, a unit bought a period early costs a tenth of its price; backordered customers may wait
    for it (9 - 0.2) / (9 + 1), lost ones not."""
    shop, lane, later = "holding_cost: 1, shortage_cost: 9", "procurement_cost: 2", "discount_factor: 0.9"
    assert ratio(unmet="backordered", shop=shop, lane=lane, also=later) == pytest.approx(8.8 / 10)
    assert ratio(shop=shop, lane=lane, also=later) == pytest.approx(9 / 10.2)


def test_the_ratio_counts_parts_by_their_weights():
    shop = "holding_cost: 1, shortage_cost: 9"
    assert ratio(shop=shop, also="weights: {holding: 3, shortage: 2}") == pytest.approx(18 / 21)
    earning = "objective: profit\n            weights: {revenue: 0.5, transport: 3}"
    dear = ratio(shop="holding_cost: 1, price: 20", lane="transport_cost: 2", also=earning)
    assert dear == pytest.approx((10 - 6) / (10 - 6 + 1))


SHELF = """
objective: service
ending: continuing
horizon: 50
warm_up: 20
service: {fill_rate: 0.98}
suppliers: [{name: mill}]
warehouses: [{name: shop, unmet_demand: lost, initial_stock: 40, holding_cost: 5,
              demand: {kind: negative_binomial, mean: 20, sd: 10}}]
lanes: [{origin: mill, destination: shop, lead_time: 2}]
"""


def test_the_cheapest_that_keeps_a_fill_rate():
    """It keeps it on luck that tuning has not seen, and no more than that: a level 2 units lower misses it."""
    shop = problem(SHELF, torch.float32)
    found = tune_to_goal(shop, OrderUpTo.of, 0.98, effort=0.1)
    assert found.name == "tuned order-up-to @98%"
    fills = [
        score.fill_rate for score in evaluate(shop, [found, OrderUpTo(found.levels - 2)], replications=1024)
    ]
    assert fills[0] == pytest.approx(0.98, abs=0.002)
    assert fills[1] < 0.98


def test_a_goal_that_nobody_keeps_is_refused():
    shop = problem(SHELF.replace("lead_time: 2", "lead_time: 2, capacity: 15"), torch.float32)
    with pytest.raises(InputError, match=r"no order-up-to that was found keeps 0.98; the most is 0.7"):
        tune_to_goal(shop, OrderUpTo.of, 0.98, effort=0.02)


def test_a_goal_is_asked_for_by_name():
    for name in ("tuned_order_up_to@0.98", "tuned_order_up_to@98%", "tuned_order_up_to+lp_balancing@0.9"):
        check_policy_name(name)
    for name, told in (
        ("order_up_to@0.98", "give tuned_order_up_to@0.98"),
        ("tuned_order_up_to@98", "asks for 98; give a share below 1"),
        ("tuned_order_up_to@0", "asks for 0; give a share below 1"),
    ):
        with pytest.raises(InputError, match=told):
            check_policy_name(name)
