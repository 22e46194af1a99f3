"""Shocks befall demand as their library says, and nothing else: not the luck, nor what policies are told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from marl_inv.chance.luck import Luck
from marl_inv.chance.shocks import Shocks, on_their_own
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import load_problem
from marl_inv.scenario.shocks import Shock, shock_libraries, shock_library

HORIZON, MANY = 60, 4000


def factors(
    *shocks: Shock, share: float = 1.0, of: range = range(MANY), periods: range = range(HORIZON)
) -> np.ndarray:
    return Shocks(shocks, share).factor(HORIZON, periods, 4, Luck(3, "train", of))


STEP = Shock(name="fall", factors=[0.5, 0.8], begins=(0.25, 0.75), lasts=(0.1, 0.2))


def test_so_many_episodes_are_befallen_by_each_equally():
    drawn = factors(STEP, Shock(name="rise", factors=[2.0]), share=0.6)
    smallest, largest = drawn.min((0, 1)), drawn.max((0, 1))
    assert (smallest < 1).mean() == pytest.approx(0.3, abs=0.03)
    assert (largest > 1).mean() == pytest.approx(0.3, abs=0.03)
    assert (smallest[smallest < 1] == 0.5).mean() == pytest.approx(0.5, abs=0.05)


def test_a_step_begins_and_ends_within_its_bounds():
    befallen = factors(STEP)[:, 0] != 1
    begin, length = befallen.argmax(0), befallen.sum(0)
    assert begin.min() == 15
    assert begin.max() == 45
    assert length.min() == 6
    assert length.max() == 12
    assert (np.diff(befallen.astype(int), axis=0) == 1).sum(0).max() == 1


def test_one_place_is_befallen_alone_and_any_may_be():
    drawn = factors(STEP.model_copy(update={"where": "one"}))
    places = (drawn != 1).any(0)
    assert (places.sum(0) == 1).all()
    assert places.mean(1) == pytest.approx(0.25, abs=0.03)


def test_a_ramp_rises_evenly_and_stays():
    ramp = Shock(name="drift", shape="ramp", factors=[1.8], begins=(0.5, 0.5), lasts=(0.25, 0.25))
    course = factors(ramp)[:, 2, 7]
    assert (course[:30] == 1).all()
    assert course[44:] == pytest.approx(1.8)
    assert np.diff(course[29:45]) == pytest.approx(0.8 / 15, abs=0.8 / 16)
    assert (np.diff(course) >= 0).all()


def test_noise_is_up_or_down_equally_often():
    noise = Shock(name="unrest", shape="noise", factors=[0.4], begins=(0, 0))
    drawn = factors(noise)
    assert set(drawn.round(6).ravel()) == {0.6, 1.4}
    assert drawn.mean() == pytest.approx(1, abs=0.01)


def test_the_past_is_as_ever_and_batch_and_horizon_change_nothing():
    whole = factors(STEP, periods=range(-3, HORIZON), share=0.5)
    assert (whole[:3] == 1).all()
    part = factors(STEP, share=0.5, of=range(10, 15), periods=range(20))
    assert np.array_equal(part, whole[3:23, :, 10:15])


@pytest.mark.parametrize("scenario", ["ring_transshipment", "seasonal_retail", "reactive_transshipment"])
def test_only_demand_changes_and_only_once_it_is_shocked(scenario):
    problem = load_problem(scenario)
    [(_, fall)] = on_their_own([Shock(name="fall", factors=[0.5])]).items()
    calm, shocked = (each.trace("tune", 1, 400) for each in (problem, problem.under(fall)))
    first = calm.history + round(problem.scenario.horizon / 3)
    assert torch.equal(calm.demand[:first], shocked.demand[:first])
    assert shocked.demand[first:].mean() == pytest.approx(0.5 * float(calm.demand[first:].mean()), rel=0.02)
    assert (shocked.demand <= calm.demand).all()
    assert (
        problem.under(fall).under(None).trace("tune", 1, 3).demand.equal(problem.trace("tune", 1, 3).demand)
    )


def test_the_library_is_read_and_can_be_ones_own(tmp_path):
    assert {"market", "unseen"} <= shock_libraries().keys()
    for name in shock_libraries():
        assert len({shock.name for shock in shock_library(name)}) == len(shock_library(name))
    own = tmp_path / "own.yaml"
    own.write_text("shocks: [{name: gone, factors: [0]}]", encoding="utf-8")
    assert shock_library(own) == [Shock(name="gone", factors=[0.0])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shocks: []", "shocks"),
        ("shocks: [{name: x, factors: [-1]}]", r"shocks\[0\].factors\[0\]"),
        ("shocks: [{name: x, factors: [1], begins: [0.5, 0.2]}]", "the least first"),
        ("shocks: [{name: x, factor: [1]}]", "factor is not a known key"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(text, message, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        shock_library(own)


def test_an_unknown_library_is_told_with_what_there_is():
    with pytest.raises(InputError, match=r"shocks: markets is no library of shocks.*market"):
        shock_library("markets")
