"""The scenarios that come with marl_inv: each says what it is about, can be played, and costs what its
comment says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from marl_inv.baselines import BASELINES
from marl_inv.episodes.problem import load_problem
from marl_inv.evaluation.evaluate import Score, evaluate
from marl_inv.scenario import library, load_scenario
from scenarios_under_test import SCENARIOS, problem_under_test


def test_there_are_many():
    assert len(library()) >= 24


@pytest.mark.parametrize("name", sorted(library()))
def test_a_scenario_begins_with_why_it_is_interesting_and_where_it_is_from(name: str):
    lines = library()[name].read_text(encoding="utf-8").splitlines()
    comment = lines[: next(number for number, line in enumerate(lines) if not line.startswith("# "))]
    assert len(comment) >= 3
    assert any(line.startswith("# Source: ") for line in comment)
    assert max(map(len, lines)) <= 140


def test_descriptions_tell_scenarios_apart():
    descriptions = [load_scenario(name).description for name in library()]
    assert len(set(descriptions)) == len(descriptions)


@pytest.mark.parametrize("name", SCENARIOS)
def test_order_up_to_is_neither_hopeless_nor_perfect(name: str):
    problem = problem_under_test(name)
    [score] = evaluate(problem, [BASELINES["order_up_to"].of(problem)], seed=0, replications=8)
    assert 0.7 < float(score.fill_rate) <= 1
    assert float(score.record.per_period("on_hand").sum((0, 1)).mean()) > 0


# What the comments promise


def played(name: str, policy: str, levels: Sequence[float], *settings: str, replications: int = 256) -> Score:
    problem = load_problem(name, settings)
    chosen = BASELINES[policy].of(problem)
    [score] = evaluate(
        problem, [replace(chosen, levels=torch.tensor([levels]))], seed=1, replications=replications
    )
    return score


@pytest.mark.parametrize(
    ("name", "policy", "levels", "settings", "cost"),
    [
        ("lost_sales", "order_up_to", [25.0], [], 5.1978),
        ("lost_sales", "order_up_to", [33.0], ["warehouses.shop.shortage_cost=39"], 11.0623),
        ("backorders", "order_up_to", [32.0], [], 9.1510),
        ("serial", "echelon_base_stock", [9.0, 15.0, 26.0], [], 52.0467),
        (
            "reactive_transshipment",
            "order_up_to",
            [109.2847, 223.2117, 163.927, 193.2117, 198.5694, 183.927, 193.2117],
            [],
            256.9054,
        ),
        ("proactive_transshipment", "order_up_to", [0.0, 0.0], [], -67.1760 / 4),
    ],
)
def test_what_a_scenario_says_it_costs(
    name: str, policy: str, levels: list[float], settings: list[str], cost: float
):
    """Within three standard errors (an interval is two) of the exact value."""
    long = [] if name.startswith("proactive") else ["horizon=200", "warm_up=50"]
    reward = played(
        name, policy, levels, *settings, *long, replications=4096 if name.startswith("proactive") else 256
    ).reward
    error = (reward.high - reward.low) / 2 / 1.96
    assert abs(-reward.mean - cost) <= 3 * error + 1e-4 * abs(cost)


def test_a_cross_dock_is_within_half_a_percent_of_its_bound():
    problem = load_problem("cross_dock", ["horizon=200", "warm_up=50"])
    policy = BASELINES["equal_fractile"].of(problem)
    levels = policy.levels.clone()
    levels[0, 0] = 158.128
    [score] = evaluate(problem, [replace(policy, levels=levels)], seed=1, replications=256)
    error = (score.reward.high - score.reward.low) / 2 / 1.96
    assert abs(-score.reward.mean - 26.4819) <= 3 * error + 0.005 * 26.4819
