"""What can be said of many comparisons and of many scenarios together, on numbers a reader can do on
paper."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from marl_inv.evaluation.statistics import (
    Interval,
    Spread,
    bootstrapped,
    holm,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)


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
        (
            [[0.0, 6.0, 100.0]],
            (0 / 12 + 6 / 3 + 100 / 12) / (1 / 2),
        ),  # a twelfth of each outer one is in the middle half
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
    assert (drawn.low, drawn.high) == pytest.approx(
        (student.low, student.high), abs=0.15 * student.half_width
    )


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


# On data whose truth is known


def draws(seeds: float, traces: float, both: float, S: int = 5, R: int = 256, count: int = 2_000):
    """Rewards of a policy and of a reference that needs no training, with these standard deviations; as a
    two-way layout with interaction."""
    chance = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    for _ in range(count):
        luck = 3 * normal(1, R)
        yield luck + seeds * normal(S, 1) + traces * normal(1, R) + both * normal(S, R), luck


@pytest.mark.parametrize(
    ("S", "seeds", "traces", "both"),
    [
        pytest.param(5, 0.01, 1.0, 0.5, marks=pytest.mark.slow),
        (5, 0.06, 1.0, 0.5),
        pytest.param(5, 0.5, 1.0, 0.5, marks=pytest.mark.slow),
        pytest.param(5, 1.0, 1.0, 0.5, marks=pytest.mark.slow),
        (5, 0.0, 0.0, 1.0),
        pytest.param(3, 0.3, 1.0, 0.5, marks=pytest.mark.slow),
        (2, 0.3, 1.0, 0.5),
    ],
    ids=["small", "alike", "larger", "dominant", "seeds differ by trace", "three seeds", "two seeds"],
)
def test_intervals_cover_the_truth_and_false_alarms_are_rare(
    S: int, seeds: float, traces: float, both: float
):
    """`alike`: 0.06 of five seeds is about what 1.0 of 256 traces is. Of 2,000 draws, where 95% are to be
    covered, the rest are alarms."""
    covered = alarms = 0
    for ours, theirs in draws(seeds, traces, both, S):
        interval = Interval.over_seeds(ours, theirs, Spread.of([ours]))
        covered += interval.low <= 0 <= interval.high
        alarms += interval.significant
    assert 0.93 <= covered / 2_000 <= 0.99
    assert alarms / 2_000 <= 0.06


def test_two_trained_policies_are_as_alike_as_they_are():
    """Both with five seeds; what they share, the luck of a trace, cancels out."""
    alarms = 0
    pairs = zip(*[iter(draws(0.2, 0.0, 0.5, count=4_000))] * 2, strict=True)
    for (ours, luck), (theirs, other) in pairs:
        alarms += Interval.over_seeds(
            ours, theirs - other + luck, Spread.of([ours]), Spread.of([theirs])
        ).significant
    assert 0.01 <= alarms / 2_000 <= 0.06


def test_a_p_value_is_where_the_interval_would_just_reach_0():
    for ours, theirs in draws(0.3, 1.0, 0.5, S=3, count=50):
        interval = Interval.over_seeds(ours, theirs, Spread.of([ours]))
        assert interval.significant == interval.excludes_zero
        nearer = Interval.over_seeds(ours - interval.low, theirs, Spread.of([ours]))
        assert nearer.p_value == pytest.approx(0.05, rel=1e-6)
    student = Interval.of(torch.tensor([1.0, 2.0, 4.0]))
    assert student.p_value == pytest.approx(float(stats.ttest_1samp([1.0, 2.0, 4.0], 0).pvalue))
    tiny = 1.5 + torch.randn(400, generator=torch.Generator().manual_seed(5)).double()
    assert Interval.of(tiny).p_value < 1e-80
    assert Interval.of(tiny).p_value == pytest.approx(
        float(stats.ttest_1samp(tiny.numpy(), 0).pvalue), rel=1e-6, abs=0
    )
    assert Interval.of(torch.tensor([1e6, 1e6 + 1, 1e6 - 1] * 300)).p_value == 0
    assert Interval.of(torch.tensor([-1.0, 1.0])).p_value == 1


def test_pooling_the_spread_of_two_seeds_narrows_the_interval_and_keeps_what_it_promises():
    covered, narrower = 0, []
    for variants in zip(*[iter(draws(1.0, 0.3, 0.3, S=2, R=64, count=5_000))] * 5, strict=True):
        ours = [policy for policy, _ in variants]
        pooled, alone = Spread.of(ours), Spread.of(ours[:1])
        interval = Interval.over_seeds(ours[0], variants[0][1], pooled)
        covered += interval.low <= 0 <= interval.high
        narrower.append(interval.half_width / Interval.over_seeds(ours[0], variants[0][1], alone).half_width)
    assert 0.93 <= covered / 1_000 <= 0.99
    assert float(torch.tensor(narrower).median()) < 0.5


def test_a_variant_that_is_spread_more_than_the_others_counts_as_it_is():
    pooled = Spread(1.0, 5)
    assert pooled.at_least(Spread(0.5, 1)) == pooled
    assert pooled.at_least(Spread(4.0, 1)) == Spread(4.0, 5)


def test_two_policies_of_one_spread_are_as_uncertain_as_both_their_seeds():
    (ours, luck), (theirs, other) = list(draws(1.0, 0.0, 0.0, S=3, R=64, count=2))
    spread = Spread.of([ours, theirs])
    assert spread.degrees == 4
    both, one = (
        Interval.over_seeds(ours, theirs - other + luck, spread, spread),
        Interval.over_seeds(ours - luck, None, spread),
    )
    assert both.half_width == pytest.approx(math.sqrt(2) * one.half_width)


def test_one_seed_leaves_the_traces_alone_and_one_trace_nothing():
    [(ours, theirs)] = list(draws(0.0, 1.0, 0.0, S=1, count=1))
    assert Interval.over_seeds(ours, theirs) == Interval.of((ours - theirs)[0])
    assert Interval.over_seeds(ours, ours) == Interval.exactly(0.0)
    single = Interval.over_seeds(ours[:, :1], theirs[:, :1])
    assert (single.low, single.high, single.significant) == (-math.inf, math.inf, False)


def test_a_bootstrap_over_scenarios_of_the_same_luck_is_as_wide_as_of_one():
    """Six variants of a scenario that play the same traces know no more of them than one does."""
    luck = torch.randn(1, 100, generator=torch.Generator().manual_seed(4)).double()
    one, six = (bootstrapped(interquartile_mean, [luck + n for n in range(count)]) for count in (1, 6))
    assert six.high - six.low == pytest.approx(one.high - one.low, rel=0.01)


def test_time_is_counted_by_blocks_of_it():
    """27 periods in blocks of 3: the variance of the 27 means of neighbours over 9, Student's t with 8 degrees."""
    series = torch.tensor([float((7 * t) % 11) for t in range(27)], dtype=torch.float64)
    means = torch.stack([series.roll(-t)[:3].mean() for t in range(27)])
    half = stats.t.ppf(0.975, 8) * math.sqrt(float(means.var(correction=0)) / 9)
    found = Interval.over_time(series)
    assert found.mean == pytest.approx(float(series.mean()))
    assert found.half_width == pytest.approx(half)
    assert math.isinf(Interval.over_time(series[:5]).half_width)


def test_periods_that_go_together_say_less():
    """One value for 9 periods and then another: an interval that took them for independent would be far too
    narrow."""
    series = torch.arange(3.0).repeat_interleave(9)
    assert Interval.over_time(series).half_width > 1.4 * Interval.of(series).half_width


def test_an_interval_on_data_counts_time_and_products():
    over_products, over_time = Interval(1.0, 0.5, 1.5, 0.001), Interval(1.0, -0.5, 2.5, 0.2)
    assert over_products.at_least(over_time) == Interval(1.0, -0.5, 2.5, 0.2)
    assert over_time.at_least(over_products) is over_time
    unknown = Interval(1.0, -math.inf, math.inf)
    assert unknown.at_least(over_time) == over_time
