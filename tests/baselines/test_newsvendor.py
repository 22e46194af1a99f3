"""Levels to hold, on paper: for how long stock has to last where it is shipped on."""

import pytest
import torch

from building import problem
from marl_inv.baselines import BASELINES, EchelonBaseStock
from marl_inv.baselines.newsvendor import newsvendor_levels
from marl_inv.baselines.tuning import tune
from marl_inv.evaluation.evaluate import evaluate
from marl_inv.policies import policy_named

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
    heard_later = AT_ONCE.replace("destination: up, lead_time: 0", "destination: up, lead_time: 0, order_delay: 1")
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
