"""The exact optimum where it can be worked out by hand, and that its policy reaches it when it is played."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy import stats

from building import problem
from marl_inv.baselines import BASELINES
from marl_inv.baselines.bounds.dynamic_programme import Box
from marl_inv.baselines.bounds.optimum import solve
from marl_inv.baselines.bounds.perfect_information import perfect_information
from marl_inv.common.errors import InputError
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem, load_problem, period_weights
from marl_inv.episodes.rollout import play
from marl_inv.evaluation.metrics import score

Data = dict[str, Any]

MILL: Data = {"suppliers": [{"name": "mill"}]}


def shop(lead_time: int = 0, demand: Data | None = None, lane: Data | None = None, **keys: Any) -> Data:
    """One warehouse and its supplier; holding costs 1, shortage 9."""
    return MILL | {
        "demand": demand or {"kind": "poisson", "mean": 5},
        "warehouses": [{"name": "shop", "holding_cost": 1, "shortage_cost": 9} | keys],
        "lanes": [{"origin": "mill", "destination": "shop", "lead_time": lead_time} | (lane or {})],
    }


def rewards(made: Problem, policy: Policy, replications: int = 2000, warm_up: int = 0) -> torch.Tensor:
    """Of every replication, per period."""
    trace = made.trace("evaluate", 0, replications, made.scenario.horizon + warm_up)
    weights = period_weights(made.scenario.model_copy(update={"warm_up": warm_up}), len(trace))
    with torch.no_grad():
        played = score(play(made, policy, trace, trusted=True), weights)
    return played.per_period("reward").sum((0, 1))


def agrees(samples: torch.Tensor, expected: float) -> bool:
    """Within 3 standard errors."""
    return abs(samples.mean().item() - expected) < 3 * (samples.std() / len(samples) ** 0.5).item()


def newsvendor(mean: float) -> float:
    """Least of holding at 1 what Poisson demand leaves, and missing at 9 what it cannot have."""

    def cost(level: int) -> float:
        left = sum((level - units) * stats.poisson.pmf(units, mean) for units in range(level))
        return float(left + 9 * (left + mean - level))

    return min(map(cost, range(50)))


def test_a_box_numbers_its_vectors_and_takes_others_for_the_nearest():
    box = Box(torch.tensor([-1, 0]).numpy(), torch.tensor([1, 2]).numpy())
    assert box.count == 9
    assert box.number(box.vectors).tolist() == list(range(9))
    assert box.number_of(torch.tensor([[-7.0, 0.0, 5.0], [0.0, 1.0, 9.0]])).tolist() == [0, 4, 8]


@pytest.mark.parametrize("unmet", ["lost", "backordered"])
def test_without_lead_time_it_is_the_newsvendors_cost(unmet: str):
    found = solve(problem(shop(unmet_demand=unmet)))
    assert -found.reward == pytest.approx(newsvendor(5), rel=1e-5)
    assert found.least <= found.reward <= found.most


def test_backorders_with_a_lead_time_are_a_newsvendor_over_all_its_periods():
    assert -solve(problem(shop(2, unmet_demand="backordered"))).reward == pytest.approx(
        newsvendor(15), rel=1e-5
    )


def test_a_season_of_known_demand():
    """4 and then 6 units at 10 each; buying costs 3, holding 1. Lead time 1: the first 4 are lost, the 6 are
    bought in time."""
    season = shop(1, {"kind": "known", "values": [4, 6]}, {"procurement_cost": 3}, price=10, shortage_cost=0)
    found = solve(problem(season | {"objective": "profit", "ending": "finite", "horizon": 2}))
    assert 2 * found.reward == pytest.approx(6 * (10 - 3))


def test_a_season_of_rare_units_is_worked_out_to_its_end():
    """One unit may come in each of two periods, with probability 1/2. Stock of 1, holding 2, shortage 8, and
    no supplier: what is left over is held once if nobody comes first, twice if nobody comes at all."""
    shop_alone = {"name": "shop", "initial_stock": 1, "holding_cost": 2, "shortage_cost": 8}
    demand = {"kind": "discrete_uniform", "high": 1}
    found = solve(
        problem({"demand": demand, "ending": "finite", "horizon": 2, "warehouses": [shop_alone], "lanes": []})
    )
    assert -2 * found.reward == pytest.approx((0 + 8 + 2 + 4) / 4)


def test_a_fixed_cost_a_shipment_makes_orders_rare_and_large():
    dear, cheap = (solve(problem(shop(1, lane={"shipment_cost": cost}))) for cost in (50, 0))
    assert dear.reward < cheap.reward

    def often(policy: Policy) -> float:
        made = problem(shop(1, lane={"shipment_cost": 50}) | {"horizon": 200})
        trace = made.trace("evaluate", 0, 50)
        orders = torch.stack([moment.flows.shipments for moment in play(made, policy, trace)])
        return float((orders > 0).double().mean())

    assert often(dear.policy) < 0.4 < 0.8 < often(cheap.policy)


REACTIVE: Data = MILL | {
    "demand": {"kind": "poisson", "mean": 2},
    "horizon": 60,
    "warehouses": [
        {"name": name, "holding_cost": 1, "shortage_cost": 9, "unmet_demand": "lost"} for name in "ab"
    ],
    "lanes": [{"origin": "mill", "destination": name, "lead_time": 1} for name in "ab"]
    + [
        {"origin": one, "destination": other, "reactive": True, "transport_cost": 1}
        for one, other in ("ab", "ba")
    ],
}
CAPACITATED = shop(2, lane={"capacity": 6}, unmet_demand="backordered") | {"horizon": 80}
STORED = shop(1, storage=9, overflow_cost=2.0) | {"horizon": 80}
DISCOUNTED = shop(1, price=4.0) | {"horizon": 30, "discount_factor": 0.9, "objective": "profit"}


@pytest.mark.parametrize(
    "data",
    [REACTIVE, CAPACITATED, STORED, DISCOUNTED],
    ids=["reactive", "capacitated", "stored", "discounted"],
)
def test_played_its_policy_costs_what_was_solved_for_and_no_baseline_less(data: Data):
    made = problem(data | {"quantities": "integer"})
    found, warm_up = solve(made), 0 if "discount_factor" in data else 100
    own = rewards(made, found.policy, warm_up=warm_up)
    assert agrees(own, found.reward)
    for name in ("order_up_to", "capped_order_up_to", "constant_order"):
        others = rewards(made, BASELINES[name].of(made), warm_up=warm_up)
        assert (others - own).mean() < 0.01 * abs(found.reward), name


def test_it_is_between_a_baseline_and_perfect_information():
    made = problem(shop(2) | {"horizon": 40, "ending": "finite", "quantities": "integer"})
    found = solve(made)
    bound = torch.tensor([plan.reward for plan in perfect_information(made, made.trace("evaluate", 0, 100))])
    assert rewards(made, BASELINES["order_up_to"].of(made)).mean() < found.reward < bound.mean()


def test_customers_who_wait_at_the_start_of_a_season_are_counted():
    """40 wait in the first of 6 periods, at 9 each, and what is asked for comes for the second; nobody else
    comes."""
    nobody = {"kind": "known", "values": [0]}
    season = {"horizon": 6, "ending": "finite", "quantities": "integer"}
    made = problem(shop(1, nobody, initial_stock=-40, unmet_demand="backordered") | season)
    assert solve(made).reward == pytest.approx(-40 * 9 / 6)


def test_an_optimal_policy_plays_the_library_by_name():
    made = load_problem("dual_sourcing")
    own, index = (
        rewards(made, policy, 500, 100).mean()
        for policy in (solve(made).policy, BASELINES["capped_dual_index"].of(made))
    )
    assert own > index


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("two_warehouses", "has decided or planned promotions"),
        ("ring_transshipment", "too many to solve exactly"),
        ("beer_game", "has order delays or owed requests"),
        ("hidden_regimes", "has demand regimes"),
        ("random_lead_times", "has random lead times"),
        ("supplier_outage", "has events"),
    ],
)
def test_what_it_cannot_solve_is_refused(name: str, why: str):
    with pytest.raises(InputError, match=f"^{name}: .*{why}"):
        solve(load_problem(name))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (shop(demand={"kind": "gamma", "mean": 5, "sd": 2}), "demand of kind gamma is not in whole units"),
        (
            shop(demand={"kind": "poisson", "mean": 5, "trend": 0.1}),
            "demand at shop changes over time; give `ending: finite`",
        ),
        (shop(initial_stock=1.5) | {"ending": "finite"}, "a starting stock or pipeline that is not whole"),
        (shop(lane={"initial_arrivals": [{"period": 1, "units": 2}]}), "open purchase orders"),
        (shop() | {"products": [{"name": "a"}, {"name": "b"}]}, "several products"),
    ],
)
def test_so_is_demand_that_it_cannot_count(data: Data, why: str):
    with pytest.raises(InputError, match=why):
        solve(problem(data))
