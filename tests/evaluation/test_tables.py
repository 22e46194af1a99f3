"""Numbers as a reader meets them."""

import math

import pytest
import torch

from marl_inv.baselines import OrderUpTo, RandomRequests
from marl_inv.episodes.problem import load_problem
from marl_inv.evaluation.evaluate import evaluate
from marl_inv.evaluation.statistics import Interval
from marl_inv.evaluation.tables import plus_minus, quantity


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (1234.56, 0.5, "1,234.56 ± 0.50"),
        (-12.34, 2, "-12.3 ± 2.0"),
        (915.06, 44, "915 ± 44"),
        (3_412_759.0, 458_322.0, "3,413k ± 458k"),
        (26.484, 0, "26.48"),
        (4_803_829.3, float("inf"), "4,804k"),
        (-0.001, 0.1, "0.00 ± 0.10"),
    ],
)
def test_a_mean_has_as_many_digits_as_its_interval_justifies(mean, half, text):
    assert plus_minus(Interval(mean, mean - half, mean + half)) == text


def test_quantities():
    assert [quantity(units) for units in (3.14159, 4567.8, 76_722_700.0, -0.01)] == [
        "3.1",
        "4,568",
        "76,723k",
        "0.0",
    ]


def test_an_interval_is_students():
    """Of 1, 2, 3: mean 2, sd 1, t(0.975, 2) = 4.3027."""
    interval = Interval.of(torch.tensor([1.0, 2.0, 3.0]))
    assert interval.half_width == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)
    assert not interval.excludes_zero
    assert Interval.of(torch.tensor([5.0])).half_width == math.inf


def test_differences_are_paired_on_the_same_traces():
    problem = load_problem("two_warehouses")
    random, ours, again = evaluate(
        problem, [RandomRequests.of(problem), OrderUpTo.of(problem), OrderUpTo.of(problem)], replications=16
    )
    assert again.gain_over(ours) == Interval.exactly(0.0)
    gain = ours.gain_over(random)
    assert gain.mean == pytest.approx(ours.reward.mean - random.reward.mean)
    assert gain.mean == pytest.approx((ours.samples - random.samples).mean().item())
    assert ours.gain_in_percent_over(random).mean == pytest.approx(100 * gain.mean / abs(random.reward.mean))


def test_products_are_samples_of_a_sum_when_there_is_one_replication():
    problem = load_problem("two_warehouses", ["products=[{name: a}, {name: b}, {name: c}]"])
    score = evaluate(problem, [OrderUpTo.of(problem)], replications=1)[0]
    assert score.samples.shape == (3,)
    assert score.reward.mean == pytest.approx(score.samples.sum().item())
