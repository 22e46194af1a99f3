"""The complete-pooling bound: textbook newsvendors, the cross-dock's own bound, and nobody below it in the
long run."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from building import problem
from marl_inv.baselines import BASELINES
from marl_inv.baselines.bounds.pooling import pooling_bound
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem, load_problem, period_weights
from marl_inv.episodes.rollout import play
from marl_inv.evaluation.metrics import score
from reference_scenarios import cross_dock, cross_dock_bound

SHOP = {"holding_cost": 1, "shortage_cost": 9, "unmet_demand": "backordered"}
MILL = [{"name": "mill"}]


def shops(count: int, transport: float, reactive: bool = False, **shop: object) -> Problem:
    """Shops that the mill feeds in a period, with lanes of a period from each to each; demand is normal, mean
    10 and deviation 2."""
    names = [f"shop_{number}" for number in range(count)]
    lanes = [{"origin": "mill", "destination": name, "lead_time": 1, "procurement_cost": 3} for name in names]
    between = {"reactive": True} if reactive else {"lead_time": 1, "transport_cost": transport}
    lanes += [{"origin": a, "destination": b} | between for a in names for b in names if a != b]
    demand = {"kind": "normal", "mean": 10, "sd": 2, "cut_at_zero": False}
    return problem(
        {
            "demand": demand,
            "suppliers": MILL,
            "warehouses": [SHOP | shop | {"name": name} for name in names],
            "lanes": lanes,
        }
    )


LOSS = (1 + 9) * float(stats.norm.pdf(stats.norm.ppf(0.9)))
"""What a newsvendor pays for each unit of standard deviation."""


def test_one_shop_is_a_newsvendor_over_lead_time_and_review():
    """2 periods of deviation 2, and 10 units a period at 3."""
    assert -pooling_bound(shops(1, 0)) == pytest.approx(30 + LOSS * 2 * math.sqrt(2))


def test_where_stock_is_in_place_before_demand_nothing_is_pooled():
    """Lanes of a period bring nothing in time for the demand that they were asked for: 3 shops of deviation 2
    are one of 6."""
    assert -pooling_bound(shops(3, 1)) == pytest.approx(90 + LOSS * 6 * math.sqrt(2))


def test_after_demand_everything_is_pooled():
    """Independent demand of 3 shops has the deviation 2 x sqrt(3)."""
    assert -pooling_bound(shops(3, 0, reactive=True)) == pytest.approx(
        90 + LOSS * 2 * math.sqrt(3) * math.sqrt(2)
    )


def test_goods_that_travel_in_circles_are_held_for_what_that_costs():
    """Half of the holding rate; and for nothing, where it is free to move."""
    cheap = (0.5 + 9) * float(stats.norm.pdf(stats.norm.ppf(9 / 9.5)))
    assert -pooling_bound(shops(3, 0.5)) == pytest.approx(90 + cheap * 6 * math.sqrt(2))
    assert -pooling_bound(shops(3, 0)) == pytest.approx(90)


def test_a_lost_unit_counts_once_in_each_window():
    """Poisson demand of mean 1, lead time 1, h 1, p 4: a newsvendor at shortage rate 4 / 2 on Poisson demand
    of mean 2, whose level is 2."""
    shop = {"name": "shop", "holding_cost": 1, "shortage_cost": 4}
    lane = {"origin": "mill", "destination": "shop", "lead_time": 1}
    made = problem({"suppliers": MILL, "warehouses": [shop], "lanes": [lane]})
    units, mass = range(60), stats.poisson(2).pmf(range(60))
    expected = sum(
        chance * (max(2 - unit, 0) + 2 * max(unit - 2, 0)) for unit, chance in zip(units, mass, strict=True)
    )
    assert -pooling_bound(made) == pytest.approx(expected)


def test_a_cross_dock_has_its_own_bound():
    params = {"mu": [3, 5, 4], "sd": [1, 2, 1.5], "rho": 0.5, "h": 1, "p": 4, "Lw": 3, "Ls": 2}
    assert -pooling_bound(cross_dock(params)) == pytest.approx(cross_dock_bound(params))
    assert -pooling_bound(load_problem("cross_dock")) == pytest.approx(26.48, abs=0.005)


def test_where_ordering_up_to_is_optimal_the_bound_is_reached():
    """Poisson demand of 5 in 5 periods, h 1, p 9: level 32."""
    units = torch.arange(120, dtype=torch.float64)
    mass = torch.from_numpy(stats.poisson(25).pmf(units.numpy()))
    optimum = float(mass @ ((32 - units).clamp(min=0) + 9 * (units - 32).clamp(min=0)))
    assert -pooling_bound(load_problem("backorders")) == pytest.approx(optimum)


def below(name: str, policies: list[str], horizon: int, replications: int) -> list[str]:
    """Who earns more than the bound, by more than three standard errors."""
    made = load_problem(name, [f"horizon={horizon}", f"warm_up={horizon // 3}"])
    bound, trace, found = pooling_bound(made), made.trace("evaluate", 0, replications), []
    for baseline in policies:
        with torch.no_grad():
            earned = (
                score(
                    play(made, BASELINES[baseline].of(made), trace, trusted=True),
                    period_weights(made.scenario, horizon),
                )
                .per_period("reward")
                .sum((0, 1))
                .double()
            )
        if earned.mean() > bound + 3 * earned.std() / math.sqrt(replications):
            found.append(baseline)
    return found


@pytest.mark.parametrize("name", ["backorders", "cross_dock", "ring_transshipment"])
def test_good_policies_are_above_it(name: str):
    assert below(name, ["order_up_to", "equal_fractile", "lp_balancing"], horizon=240, replications=64) == []


POOLED = [
    "lost_sales",
    "backorders",
    "cross_dock",
    "serial",
    "ring_transshipment",
    "storage_bound",
    "selfish_neighbours",
    "dual_sourcing",
]
POOLED += ["random_lead_times", "supplier_outage", "hub_and_spoke_lateral", "one_warehouse_many_shops"]


@pytest.mark.slow
@pytest.mark.parametrize("name", POOLED)
def test_nobody_is_below_it_in_the_long_run(name: str):
    assert below(name, list(BASELINES), horizon=1500, replications=16) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("two_warehouses", "has a finite season, for which no pooling bound is proven"),
        ("utility", "has the utility objective"),
        ("hidden_regimes", "has demand that changes with time"),
        ("correlated_demand", "has demand that is neither normal"),
        ("e_commerce", "has promotions"),
    ],
)
def test_what_no_bound_is_proven_for_is_refused(name: str, says: str):
    with pytest.raises(InputError, match=says):
        pooling_bound(load_problem(name))
