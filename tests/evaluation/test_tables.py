"""Numbers as a reader meets them."""

import math

import pytest
import torch

from building import problem
from marl_inv.baselines import OrderUpTo, RandomRequests
from marl_inv.episodes.problem import load_problem
from marl_inv.evaluation.evaluate import evaluate
from marl_inv.evaluation.statistics import Interval
from marl_inv.evaluation.tables import comparison_table, plus_minus, quantity, warehouse_table


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


def test_a_table_says_who_misses_the_service_goal():
    """Demand is 10 and certain: a level of 30 for two periods serves all, one of 10 only every other period's."""
    shop = problem("""
        objective: service
        service: {fill_rate: 0.98}
        ending: continuing
        horizon: 40
        warm_up: 20
        suppliers: [{name: mill}]
        warehouses: [{name: shop, unmet_demand: lost, initial_stock: 30, demand: {kind: known, values: [10]}}]
        lanes: [{origin: mill, destination: shop, lead_time: 1}]
    """)
    policies = [
        OrderUpTo(torch.full((1, 1), level, dtype=torch.float64), name=name)
        for level, name in ((30, "much"), (10, "little"))
    ]
    much, little = evaluate(shop, policies, replications=2)
    told = "The goal, a fill rate of 0.98 at every warehouse, is"
    caption = " ".join(str(comparison_table(shop, [much, little], much, {}).caption).split())
    assert f"{told} missed by little: 0.500 (shop)." in caption
    assert f"{told} kept by all of these." in str(warehouse_table(shop, much).caption)
