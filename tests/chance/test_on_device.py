"""Demand drawn where it is played is the demand that the processor draws."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from marl_inv.chance.luck import Luck
from marl_inv.chance.on_device import uniform
from marl_inv.episodes.problem import load_problem

HERE = torch.device("cpu")


@given(
    seed=st.integers(0, 2**70),
    first=st.integers(0, 2**40),
    count=st.integers(1, 70),
    shape=st.sampled_from([(1, 1), (2, 3), (3, 51)]),
    period=st.integers(-5, 400),
)
def test_numbers_are_those_of_the_processor(seed, first, count, shape, period):
    luck = Luck(seed, "train", range(first, first + count))
    drawn = luck.uniform("demand", range(period, period + 1), *shape)[0]
    assert torch.equal(uniform(luck, "demand", period, shape, HERE), torch.from_numpy(drawn))


@pytest.mark.parametrize(
    "scenario",
    ["two_warehouses", "seasonal_retail", "hidden_regimes", "medical_supplies", "beer_game", "grid"],
)
def test_whole_demand_is_the_same_to_the_last_bit(scenario):
    source = load_problem(scenario).demand
    for stream, replications in (("train", range(3)), ("evaluate", range(1000, 1005))):
        ours, theirs = (source.trace(stream, 3, replications, device=device) for device in (HERE, None))
        assert ours.demand.dtype is torch.float64
        assert torch.equal(ours.demand, theirs.demand)


@pytest.mark.parametrize(
    "demand",
    [
        {"kind": "normal", "sd": 4},
        {"kind": "gamma", "sd": 7},
        {"kind": "discrete_uniform", "low": 2, "high": 9},
    ],
)
def test_measured_demand_is_the_same_to_a_rounding(demand):
    mean = {} if "low" in demand else {"mean": 10}
    told = ", ".join(f"{key}: {value}" for key, value in {**mean, **demand}.items())
    settings = [f"warehouses.{n}.demand={{{told}}}" for n in (0, 1)]
    source = load_problem("two_warehouses", settings).demand
    ours, theirs = (source.trace("tune", 1, range(200), device=device).demand for device in (HERE, None))
    assert theirs.std() > 1
    assert torch.allclose(ours, theirs, rtol=1e-14, atol=1e-13)


def test_a_table_with_gaps_is_read_by_the_processor():
    huge = "{kind: negative_binomial, mean: 1e9, sd: 9e8}"
    source = load_problem("two_warehouses", [f"warehouses.{n}.demand={huge}" for n in (0, 1)]).demand
    [(_, group)] = source._groups
    ours, theirs = (source.trace("tune", 1, range(50), device=device).demand for device in (HERE, None))
    assert group._quantiles.step > 1
    assert torch.equal(ours, theirs)
