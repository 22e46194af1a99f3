"""Forecasts that evolve are honest: unbiased, revised by what is new alone, as good as they say; and they change
nothing else."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem, load_problem

EXPLAINED = [0.8, 0.6, 0.4, 0.2]
PERIODS, REPLICATIONS = 24, 8_000

KINDS = [
    "{kind: poisson, mean: 5}",
    "{kind: poisson, mean: 0.3}",
    "{kind: normal, mean: 10, sd: 10}",
    "{kind: gamma, mean: 10, sd: 10}",
    "{kind: negative_binomial, mean: 10, sd: 12}",
    "{kind: discrete_uniform, low: 1, high: 9}",
]


def forecasting(demand: str, *settings: str, told: str = f"explained: {EXPLAINED}") -> Problem:
    return load_problem(
        "lost_sales",
        [
            f"demand={demand}",
            f"horizon={PERIODS}",
            "warm_up=0",
            f"forecast={{kind: evolution, horizon: 4, {told}}}",
            *settings,
        ],
    )


@pytest.mark.parametrize("demand", KINDS)
def test_forecasts_are_honest(demand):
    """The slope of demand on the forecast is 1, the error is as stated, and two revisions of the same forecast
    have nothing in common."""
    trace = forecasting(demand).trace("tune", 0, REPLICATIONS)
    truth, told = trace.demand[trace.history :, 0, 0].double(), trace.forecast[:PERIODS, :, 0, 0].double()
    by_lead = [told[: PERIODS - ahead, ahead] for ahead in range(4)]
    for ahead, (forecast, explained) in enumerate(zip(by_lead, EXPLAINED, strict=True)):
        error, centred = truth[ahead:] - forecast, forecast - forecast.mean()
        slope = (centred * truth[ahead:]).mean() / centred.square().mean()
        assert slope == pytest.approx(1, abs=0.02)
        assert error.mean() == pytest.approx(0, abs=0.01 * float(truth.std()))
        assert error.square().mean() / truth.var() == pytest.approx(1 - explained, rel=0.02)
    revisions = [now[1:] - before for now, before in pairwise(by_lead)]
    for last, before in pairwise(revisions):
        both = torch.stack([last[1:].flatten(), before.flatten()])
        assert abs(torch.corrcoef(both)[0, 1]) < 0.02


def test_demand_is_what_it_is_without_a_forecast():
    seasonal = "{kind: poisson, mean: 5, season: {period: 7, amplitude: 0.5}}"
    told, untold = forecasting(seasonal), forecasting(seasonal, "forecast=null")
    assert torch.equal(told.trace("train", 3, 5).demand, untold.trace("train", 3, 5).demand)


def test_what_is_forecast_does_not_depend_on_batch_or_horizon():
    problem = forecasting("{kind: negative_binomial, mean: 10, sd: 12, trend: 0.2}")
    whole = problem.demand.trace("train", 1, range(6))
    part = problem.demand.trace("train", 1, range(2, 5), horizon=10)
    assert torch.equal(whole.forecast[:11, ..., 2:5], part.forecast)


def test_a_season_is_foreseen_however_little_is_known():
    factors = "{kind: normal, mean: 50, sd: 5, season: {factors: [0.5, 1.5]}}"
    trace = forecasting(factors, told="explained: 0").trace("train", 0, 3)
    for ahead in range(4):
        assert torch.allclose(trace.forecast[0, ahead], torch.tensor([25.0, 75.0][ahead % 2]), rtol=1e-3)


def test_one_share_falls_by_its_powers():
    told = forecasting(KINDS[0], told="explained: 0.5").scenario.forecast
    assert told.by_lead == [0.5, 0.25, 0.125, 0.0625]


def test_known_demand_is_told_as_it_is():
    trace = forecasting("{kind: known, values: [3, 8, 1]}").trace("train", 0, 2)
    demand = trace.demand[trace.history :]
    assert torch.allclose(trace.forecast[:PERIODS, 0], demand)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["regimes={factors: [0.5, 1.5]}"], "forecast is of kind evolution, which is not made for regimes"),
        (
            ["events=[{kind: surge, at: [3], factor: 2}]"],
            "forecast is of kind evolution, which is not made for surges",
        ),
    ],
)
def test_what_it_is_not_made_for_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        forecasting(KINDS[0], *settings)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("explained: [0.5, 0.4]", "2 numbers in explained and a horizon of 4"),
        ("explained: [0.1, 0.2, 0.3, 0.4]", "explained that rises"),
        ("explained: 1", "explained"),
        ("error: 0.1", "error"),
    ],
)
def test_what_makes_no_sense_is_refused(told, message):
    with pytest.raises(InputError, match=message):
        forecasting(KINDS[0], told=told)


def test_the_kind_that_knows_the_truth_has_a_name():
    named = forecasting(KINDS[0], "forecast={kind: truth_plus_noise, horizon: 2, error: 0.3}")
    unnamed = forecasting(KINDS[0], "forecast={horizon: 2, error: 0.3}")
    assert torch.equal(named.trace("train", 0, 3).forecast, unnamed.trace("train", 0, 3).forecast)
