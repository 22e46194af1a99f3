"""Nothing beats perfect information, and what it plans is what the simulator does with the plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from building import problem
from marl_inv.baselines import BASELINES, OrderUpTo
from marl_inv.baselines.bounds.perfect_information import Plan, perfect_information, single
from marl_inv.baselines.rolling_horizon import RollingHorizon
from marl_inv.chance.trace import Trace
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem, load_problem, period_weights
from marl_inv.episodes.rollout import play
from marl_inv.episodes.view import View
from marl_inv.evaluation.metrics import score
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision

BOUNDED = [
    "two_warehouses",
    "ring_transshipment",
    "hub_and_spoke",
    "storage_bound",
    "order_and_transfer",
    "cross_dock",
]
"""Lost sales and backorders, finite and continuing, pools, storage, reactive rules, discounting, several
products."""


@dataclass(frozen=True)
class Follow:
    """Plays a plan."""

    plan: Plan
    name: str = "the plan"
    knows: str = "the future"

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: Any) -> tuple[Decision, Any]:
        like = view.state.inventory_level
        requests = torch.from_numpy(self.plan.shipments[view.period]).to(like).unsqueeze(-1).clamp(min=0)
        if view.network.max_promotion is None:
            return Decision(requests), memory
        promotion = torch.from_numpy(self.plan.promotion[view.period]).to(like).unsqueeze(-1)
        return Decision(requests, torch.minimum(promotion.clamp(min=0), view.network.max_promotion)), memory


def rewards_of(made: Problem, policy: Any, trace: Trace) -> torch.Tensor:
    """Of every replication, per period as evaluation counts it."""
    with torch.no_grad():
        record = score(play(made, policy, trace), period_weights(made.scenario, len(trace)))
    return record.per_period("reward").sum((0, 1))


@pytest.mark.parametrize("name", BOUNDED)
def test_no_policy_beats_perfect_information(name: str):
    made = load_problem(name, dtype=torch.float64)
    trace = made.trace("evaluate", 3, 3)
    bounds = torch.tensor([plan.reward for plan in perfect_information(made, trace)], dtype=torch.float64)
    for baseline in ("order_up_to", "capped_order_up_to", "threshold_balancing", "random"):
        assert (
            rewards_of(made, BASELINES[baseline].of(made), trace) <= bounds + 1e-6 * bounds.abs().clamp(min=1)
        ).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", BOUNDED)
def test_no_policy_beats_perfect_information_on_many_traces(name: str):
    """1,002 traces in all."""
    made = load_problem(name, dtype=torch.float64)
    trace = made.trace("evaluate", 0, 167)
    bounds = torch.tensor([plan.reward for plan in perfect_information(made, trace)], dtype=torch.float64)
    for baseline in BASELINES:
        assert (
            rewards_of(made, BASELINES[baseline].of(made), trace) <= bounds + 1e-6 * bounds.abs().clamp(min=1)
        ).all(), baseline


@pytest.mark.parametrize("name", BOUNDED)
def test_the_plan_earns_no_more_than_the_programme_says(name: str):
    made = load_problem(name, dtype=torch.float64)
    trace = made.trace("evaluate", 1, 2)
    for replication, plan in enumerate(perfect_information(made, trace)):
        assert rewards_of(made, Follow(plan), single(trace, replication)).item() <= plan.reward + 1e-6 * max(
            1, abs(plan.reward)
        )


CHAIN = """
objective: {objective}
horizon: 25
demand: {{kind: gamma, mean: 6, sd: 3}}
suppliers: [{{name: mill, capacity: 16}}]
warehouses:
  - {{name: depot, faces_demand: false, initial_stock: 12, holding_cost: 0.2}}
  - {{name: north, initial_stock: 9, holding_cost: 1, shortage_cost: 7, price: 11, unmet_demand: {unmet}, promotion: {{max_level: 2, uplift: 0.2, cost: 9}}}}
  - {{name: south, initial_stock: 3, holding_cost: 1, shortage_cost: 7, price: 11, unmet_demand: {unmet}}}
lanes:
  - {{origin: mill, destination: depot, lead_time: 2, procurement_cost: 2, initial_shipments: 5}}
  - {{origin: depot, destination: north, lead_time: 1, in_transit_cost: 0.1, capacity: 11}}
  - {{origin: depot, destination: south, lead_time: 0, transport_cost: 0.5}}
  - {{origin: north, destination: south, reactive: true, transport_cost: 1}}
  - {{origin: south, destination: north, lead_time: 1, transport_cost: 0.3, transfer_price: 2}}
pools: [{{name: trucks, lanes: [depot->north, depot->south], capacity: 15}}]
"""


@pytest.mark.parametrize(
    ("objective", "unmet"),
    [("cost", "backordered"), ("profit", "backordered"), ("cost", "lost"), ("profit", "lost")],
)
def test_where_nothing_is_withheld_plan_and_simulator_agree(objective: str, unmet: str):
    """No unit is worth keeping from a customer here, and nothing is thrown away: the same money to 1e-6."""
    made = problem(CHAIN.format(objective=objective, unmet=unmet))
    trace = made.trace("evaluate", 0, 5)
    for replication, plan in enumerate(perfect_information(made, trace)):
        assert rewards_of(made, Follow(plan), single(trace, replication)).item() == pytest.approx(
            plan.reward, rel=1e-6
        )


def test_plan_and_simulator_agree_where_customers_wait_and_goods_come_from_the_first_period():
    chain = CHAIN.format(objective="profit", unmet="backordered").replace(
        "initial_stock: 9", "initial_stock: -9"
    )
    coming = "initial_arrivals: [{period: 4, units: 6}, {period: 0, units: 2}]"
    made = problem(chain.replace("capacity: 11", f"capacity: 11, {coming}"))
    trace = made.trace("evaluate", 0, 5)
    for replication, plan in enumerate(perfect_information(made, trace)):
        assert rewards_of(made, Follow(plan), single(trace, replication)).item() == pytest.approx(
            plan.reward, rel=1e-6
        )


def test_one_product_alone_is_worth_what_it_is_worth_among_others():
    """Products without a common capacity are planned one by one; a common pool that never binds changes
    nothing."""
    shop = {
        "name": "shop",
        "initial_stock": [3, 5],
        "holding_cost": 1,
        "shortage_cost": [4, 9],
        "unmet_demand": "backordered",
    }
    data = {
        "horizon": 15,
        "products": [{"name": "a"}, {"name": "b"}],
        "suppliers": [{"name": "mill"}],
        "warehouses": [shop],
        "lanes": [{"origin": "mill", "destination": "shop", "lead_time": 2, "procurement_cost": 1}],
        "demand": {"kind": "poisson", "mean": [3, 5]},
    }
    alone, pooled = (
        problem(data),
        problem(data | {"pools": [{"name": "wide", "lanes": ["mill->shop"], "capacity": 1e6}]}),
    )
    trace = alone.trace("evaluate", 0, 2)
    for left, right in zip(
        perfect_information(alone, trace), perfect_information(pooled, trace), strict=True
    ):
        assert left.reward == pytest.approx(right.reward, rel=1e-9)
        assert right.shadow_prices["wide"].max() == pytest.approx(0, abs=1e-9)


def test_a_shadow_price_is_what_one_more_unit_would_have_earned():
    """The mill makes 4 a period, 10 are wanted in each and lost at 5: one more unit in a period that can
    still be sold saves 5 / 8."""
    data = {
        "horizon": 8,
        "demand": {"kind": "known", "values": [10]},
        "suppliers": [{"name": "mill", "capacity": 4}],
        "warehouses": [{"name": "shop", "shortage_cost": 5}],
        "lanes": [{"origin": "mill", "destination": "shop", "lead_time": 1}],
    }
    made = problem(data)
    [plan] = perfect_information(made, made.trace("evaluate", 0, 1))
    assert plan.reward == pytest.approx(-5 * (10 + 7 * 6) / 8)
    assert plan.shadow_prices["mill"].tolist() == pytest.approx([5 / 8] * 7 + [0])


def test_processes_find_the_same():
    made = load_problem("two_warehouses", dtype=torch.float64)
    trace = made.trace("evaluate", 0, 6)
    alone, together = perfect_information(made, trace), perfect_information(made, trace, workers=2)
    assert [plan.reward for plan in alone] == [plan.reward for plan in together]


@pytest.mark.parametrize("unmet", ["lost", "backordered"])
def test_whole_units_under_a_promotion_are_bounded_too(unmet: str):
    """One unit is wanted, and a level of 0.4 at an uplift of 1 makes it 1.4, which is 1: nothing is left
    over, whatever promoting costs. A level of 0.5 makes it 2 for half of the price of promoting to 2, which
    no linear programme without rounding allows."""
    shop = {"name": "shop", "initial_stock": 20, "holding_cost": 0.1, "price": 10, "unmet_demand": unmet}
    data = {
        "objective": "profit",
        "quantities": "integer",
        "horizon": 8,
        "demand": {"kind": "known", "values": [1]},
        "warehouses": [shop | {"promotion": {"max_level": 2, "uplift": 1, "cost": 8}}],
        "ending": "finite",
    }
    made = problem(data)
    trace = made.trace("evaluate", 0, 1)
    [plan] = perfect_information(made, trace)
    earned = {
        level: rewards_of(made, OrderUpTo(0 * made.network.size, level * made.network.size), trace).item()
        for level in (0, 0.51, 1, 2)
    }
    assert earned[0.51] > max(earned[0], earned[1])
    assert plan.reward >= max(earned.values())


def test_what_is_not_linear_is_refused():
    with pytest.raises(InputError, match="utility objective is not linear"):
        perfect_information(load_problem("utility"), load_problem("utility").trace("evaluate", 0, 1))


def test_rolling_plans_are_the_same_in_processes():
    made = load_problem("two_warehouses", ["horizon=4"], dtype=torch.float64)
    trace = made.trace("evaluate", 0, 3)
    alone, together = (
        play(made, RollingHorizon.of(made, horizon=5, paths=2, workers=workers), trace) for workers in (1, 2)
    )
    for left, right in zip(alone, together, strict=True):
        assert torch.equal(left.decision.requests, right.decision.requests)
        assert torch.equal(left.decision.promotion, right.decision.promotion)


def test_rolling_plans_with_certain_demand_reach_the_bound():
    """Known demand: planning on expectations is planning on the future, and a horizon to the end loses
    nothing."""
    data = {
        "horizon": 12,
        "ending": "finite",
        "demand": {"kind": "known", "values": [3, 8, 1, 9, 4, 2, 7, 3, 5, 6, 1, 2]},
        "suppliers": [{"name": "mill", "capacity": 6}],
        "warehouses": [
            {
                "name": "shop",
                "initial_stock": 8,
                "holding_cost": 1,
                "shortage_cost": 6,
                "unmet_demand": "backordered",
            }
        ],
        "lanes": [{"origin": "mill", "destination": "shop", "lead_time": 2}],
    }
    made = problem(data)
    trace = made.trace("evaluate", 0, 1)
    [plan] = perfect_information(made, trace)
    for paths in (0, 2):
        assert rewards_of(
            made, RollingHorizon.of(made, horizon=12, paths=paths), trace
        ).item() == pytest.approx(plan.reward, rel=1e-6)
