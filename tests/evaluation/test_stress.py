"""Policies under shocks: each shock by itself, everybody on the same luck, rules as they were."""

from __future__ import annotations

import pytest
import torch

from marl_inv import InputError, evaluate, stress
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.episodes.problem import load_problem
from marl_inv.evaluation.stress import NOMINAL, score_tail
from marl_inv.scenario.shocks import Shock

SHOCKS = [
    Shock(name="fall", factors=[0.5, 0.8]),
    Shock(name="rise", factors=[1.3]),
    Shock(name="unrest", shape="noise", factors=[0.5]),
]


@pytest.fixture(scope="module")
def found():
    """Of order-up-to, twice the levels, and a little more than the levels."""
    problem = load_problem("hub_and_spoke_lateral")
    rule = OrderUpTo.of(problem)
    policies = [OrderUpTo(factor * rule.levels, name=f"x{factor}") for factor in (1, 2, 1.05)]
    return stress(problem, policies, SHOCKS, replications=100)


def test_every_size_is_a_row_of_its_own_and_what_is_calm_is_first(found):
    assert list(found.scores) == [NOMINAL, "fall x0.5", "fall x0.8", "rise x1.3", "unrest ±0.5"]
    [calm] = evaluate(found.problem, OrderUpTo.of(found.problem), replications=100)
    assert torch.equal(calm.samples, found.scores[NOMINAL][0].samples)


def test_more_unrest_and_more_demand_cost_more(found):
    cost = {row["shock"]: row["cost"] for row in found.records() if row["policy"] == "x1"}
    assert cost["rise x1.3"] > cost[NOMINAL]
    assert cost["unrest ±0.5"] > cost[NOMINAL]


def test_the_tail_is_the_mean_of_the_worst_twentieth(found):
    score = found.scores["fall x0.5"][1]
    assert score_tail(score) == pytest.approx(float(score.samples.sort().values[:5].mean()))
    assert score_tail(score) < score.reward.mean


def test_the_radius_is_how_far_from_calm_it_is_no_worse(found):
    fall, rise, _ = SHOCKS
    for policy in (1, 2):
        gains = [found.gain_in_percent(label, policy) for label in ("fall x0.8", "fall x0.5")]
        expected = "none" if gains[0] < 0 else "x0.8" if gains[1] < 0 else "all"
        assert found.radius(fall, policy) == expected
    assert found.radius(rise, 0) == found.radius(fall, 0) == "all"


def test_the_worst_shock_is_named(found):
    label, gain = found.worst_gain_in_percent(1)
    assert gain == min(found.gain_in_percent(each, 1) for each in found.scores)
    assert found.gain_in_percent(label, 1) == gain < 0


def test_tables_have_a_row_for_every_shock(found):
    means, tails, radii = found.tables()
    assert means.row_count == tails.row_count == 5
    assert radii.row_count == 3
    assert all(len(line) <= 80 for line in str(found).splitlines() if not line.startswith(("Per", "paired")))


def test_policies_by_name_are_tuned_for_what_is_calm():
    """What a tuned rule's levels are does not know of the shock."""
    problem = load_problem("two_warehouses", ["horizon=12"])
    told = stress(problem, "order_up_to", SHOCKS[:1], replications=20)
    [alone] = [scores[0] for label, scores in told.scores.items() if label == "fall x0.5"]
    assert alone.policy == OrderUpTo.of(problem).name
    assert told.tables()[0].row_count == 3


def test_nobody_to_play_is_said():
    with pytest.raises(InputError, match="needs a policy"):
        stress("two_warehouses", [])
