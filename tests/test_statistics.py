"""What can be said of many comparisons and of many scenarios together, on numbers a reader can do on paper."""

from __future__ import annotations

import math

import pytest
import torch

from marl_inv.statistics import Interval, bootstrapped, holm, interquartile_mean, performance_profile, probability_of_improvement


def test_holm_multiplies_the_smallest_by_all_the_next_by_one_less_and_never_falls():
    assert holm([0.01, 0.04, 0.03, math.nan]) == [
        pytest.approx(0.03),
        pytest.approx(0.06),
        pytest.approx(0.06),
        pytest.approx(math.nan, nan_ok=True),
    ]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("scores", "mean"),
    [
        ([[0.0, 1.0, 2.0, 100.0]], 1.5),  # the middle two
        ([[5.0]], 5.0),
        ([[0.0, 6.0, 100.0]], (0 / 12 + 6 / 3 + 100 / 12) / (1 / 2)),  # a twelfth of each outer one is in the middle half
        ([[0.0], [8.0, 8.0]], 4.0),  # two scenarios weigh alike, whatever their seeds
    ],
)
def test_the_interquartile_mean_is_of_the_middle_half(scores: list[list[float]], mean: float):
    assert interquartile_mean([torch.tensor(each) for each in scores]) == pytest.approx(mean)


def test_a_profile_tells_how_often_more_is_gained():
    scores = [torch.tensor([1.0, 3.0]), torch.tensor([-1.0])]
    assert performance_profile(scores, torch.tensor([-2.0, 0.0, 2.0, 4.0])).tolist() == [1.0, 0.5, 0.25, 0.0]


def test_improvement_counts_pairs_of_seeds_and_ties_half():
    ours, theirs = [torch.tensor([1.0, 3.0])], [torch.tensor([2.0, 1.0])]
    assert probability_of_improvement(ours, theirs) == (0.5 + 0 + 1 + 1) / 4


def test_a_bootstrap_over_traces_is_about_students_interval_of_their_mean():
    samples = torch.randn(1, 400, generator=torch.Generator().manual_seed(1)).double()
    drawn, student = bootstrapped(interquartile_mean, [samples]), Interval.of(samples)
    assert drawn.mean == pytest.approx(student.mean)
    assert (drawn.low, drawn.high) == pytest.approx((student.low, student.high), abs=0.15 * student.half_width)


def test_a_bootstrap_draws_the_same_traces_for_both_and_seeds_anew():
    luck = 10 * torch.randn(1, 50, generator=torch.Generator().manual_seed(2)).double()
    always = bootstrapped(probability_of_improvement, [luck + 1], [luck])
    assert (always.mean, always.low, always.high) == (1, 1, 1)
    seeds = torch.tensor([[-1.0], [1.0], [2.0]]).double()
    sometimes = bootstrapped(probability_of_improvement, [luck + seeds], [luck])
    assert sometimes.mean == pytest.approx(2 / 3)
    assert sometimes.low < 0.4
    assert sometimes.high == 1


def test_another_unit_may_turn_an_interval_round():
    assert Interval(2.0, 1.0, 5.0, 0.04).times(-2.0) == Interval(-4.0, -10.0, -2.0, 0.04)
    assert Interval(2.0, 1.0, 5.0, 0.04).significant
    assert not Interval(2.0, 1.0, 5.0).significant
