"""Order-up-to for what the calendar and forecasts expect, on paper."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from building import problem
from marl_inv.baselines import OrderUpTo, SeasonalOrderUpTo
from marl_inv.baselines.seasonal import changes
from marl_inv.episodes.rollout import play
from marl_inv.evaluation.evaluate import evaluate

LISTED = """
ending: finite
horizon: 6
suppliers: [{name: mill}]
warehouses:
  - {name: depot, faces_demand: false, initial_stock: 0}
  - {name: shop, initial_stock: 20, demand: {kind: known, values: [10, 10, 40, 40, 20, 0]}}
lanes: [{origin: mill, destination: depot, lead_time: 0}, {origin: depot, destination: shop, lead_time: 1}]
"""
"""Mean 20: the level of two periods is 40, the depot's as well."""


def test_levels_are_those_of_the_coming_periods():
    """Of the periods t and t + 1, of which there are none after the last."""
    shop = problem(LISTED)
    policy = replace(SeasonalOrderUpTo.of(shop), levels=torch.full((1, 2), 40.0, dtype=torch.float64))
    coming = [20, 50, 80, 60, 20, 0]
    for moment, level in zip(play(shop, policy, shop.trace("evaluate", 0, 1)), coming, strict=True):
        view, asked = moment.view, moment.flows.requests[0, :, 0]
        positions = view.inventory_position[0, :, 0]
        assert asked.tolist() == pytest.approx((level - positions).clamp(min=0).tolist(), abs=1e-3)


def test_it_serves_a_season_that_usual_levels_do_not():
    shop = problem("""
        ending: finite
        horizon: 6
        suppliers: [{name: mill}]
        warehouses:
          - {name: shop, initial_stock: 20, demand: {kind: known, values: [10, 10, 40, 40, 20, 0]}}
        lanes: [{origin: mill, destination: shop, lead_time: 1}]
    """)
    level = torch.full((1, 1), 40.0, dtype=torch.float64)
    policies = [OrderUpTo(level), replace(SeasonalOrderUpTo.of(shop), levels=level)]
    [usual, seasonal] = evaluate(shop, policies, replications=2)
    assert usual.fill_rate == pytest.approx((10 + 10 + 30 + 10 + 20) / 120)
    assert seasonal.fill_rate == pytest.approx(1)


def test_a_forecast_counts_before_the_calendar():
    """Exact, of three periods: it is told that nothing is bought where the calendar knows no season."""
    text = LISTED.replace("{kind: known, values: [10, 10, 40, 40, 20, 0]}", "{kind: poisson, mean: 20}")
    shop = problem(text + "forecast: {horizon: 3, error: 0}")
    assert changes(shop)
    assert not changes(problem(text))
    policy = SeasonalOrderUpTo.of(shop)
    for moment in play(shop, policy, shop.trace("evaluate", 0, 1)):
        told = moment.view.known.forecast[:2, 0, 1, 0]
        if moment.view.period == 5:
            told = told[:1]
        level = policy.levels[0, 1] / 40 * told.sum()
        missing = (level - moment.view.inventory_position[0, 1, 0]).clamp(min=0)
        assert moment.flows.requests[0, 1, 0].item() == pytest.approx(missing.item(), abs=1e-3)


def test_without_a_calendar_it_is_order_up_to():
    shop = problem(
        LISTED.replace("{kind: known, values: [10, 10, 40, 40, 20, 0]}", "{kind: poisson, mean: 20}").replace(
            "finite", "continuing"
        )
    )
    trace = shop.trace("evaluate", 0, 3)
    both = zip(
        play(shop, OrderUpTo.of(shop), trace), play(shop, SeasonalOrderUpTo.of(shop), trace), strict=True
    )
    assert all(torch.allclose(one.flows.requests, other.flows.requests) for one, other in both)
