"""The simulator reproduces certified costs: base-stock policies of one warehouse with lost sales or backlog, over a million periods each.

The instances are in `shared/references` beside the repository; their event order is the simulator's own (DESIGN, section 1).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch

from building import problem
from marl_inv.interface import View
from marl_inv.metrics import score
from marl_inv.network import TransferNetwork
from marl_inv.problem import Problem
from marl_inv.rollout import play
from marl_inv.simulator import Decision

INSTANCES = Path(__file__).parents[2] / "shared" / "references" / "instances.json"

QUICK = {
    "ls_poisson5_L1_p4",
    "ls_poisson5_L4_p39",
    "ls_geometric5_L1_p9",
    "ls_geometric5_L2_p19",
    "ls_geometric5_L4_p19",
    "nv_fosct_ex4_3",
    "nv_fosct_ex4_7",
    "bl_alvo_normal_L4_p19",
    "bl_alvo_normal_L10_p4",
    "bl_poisson5_L4_p9",
}
"""One of every kind is played each time; the others by `pytest -m slow`."""

REPLICATIONS, WARM_UP, SCORED = 2500, 100, 400


@dataclass(frozen=True)
class BaseStock:
    """Asks for what is missing from its level."""

    level: float
    name: str = "base-stock"
    knows: str = "own stock"

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: Any) -> tuple[Decision, Any]:
        return Decision((self.level - view.state.inventory_position).clamp(min=0)), memory


def cases() -> list[Any]:
    """Every listed base-stock policy of the two families."""
    if not INSTANCES.exists():
        return [pytest.param(None, None, marks=pytest.mark.skip(reason=f"{INSTANCES.name} is not part of the repository"))]
    entries = [entry for entry in json.loads(INSTANCES.read_text()) if entry["family"] in ("lost_sales_single", "backlog_single")]
    return [
        pytest.param(entry, policy, id=entry["id"], marks=[] if entry["id"] in QUICK else pytest.mark.slow)
        for entry in entries
        for policy in entry["policies"]
        if policy["kind"] == "base_stock"
    ]


def demand(params: dict[str, Any]) -> dict[str, Any]:
    """The schema's words for an instance's demand; geometric on 0, 1, 2.. is negative binomial with variance mean + mean^2."""
    if params["demand"] == "poisson":
        return {"kind": "poisson", "mean": params["mean"]}
    if params["demand"] == "geometric":
        return {"kind": "negative_binomial", "mean": params["mean"], "sd": sqrt(params["mean"] + params["mean"] ** 2)}
    return {"kind": "normal", "mean": params["mu"], "sd": params["sd"], "cut_at_zero": False}


def instance(entry: dict[str, Any], level: float) -> Problem:
    """One warehouse and its supplier; it starts with its level on hand."""
    params = entry["params"]
    shop = {
        "name": "shop",
        "unmet_demand": "lost" if entry["family"] == "lost_sales_single" else "backordered",
        "initial_stock": level,
        "holding_cost": params["h"],
        "shortage_cost": params["p"],
    }
    lane = {"origin": "mill", "destination": "shop", "lead_time": params.get("lead_time", params.get("L"))}
    return problem({"demand": demand(params), "suppliers": [{"name": "mill"}], "warehouses": [shop], "lanes": [lane]})


@pytest.mark.parametrize(("entry", "policy"), cases())
def test_base_stock_costs_what_is_certified(entry: dict[str, Any], policy: dict[str, Any], record_property: Any):
    """Mean cost per period over replications, within 3 standard errors of the certified cost."""
    (level,) = policy["levels"]
    made = instance(entry, level)
    record = score(play(made, BaseStock(level), made.trace("validate", 0, REPLICATIONS, WARM_UP + SCORED)), WARM_UP)
    costs = -record.per_period("profit").sum((0, 1))
    z = ((costs.mean() - policy["cost"]) / (costs.std() / sqrt(REPLICATIONS))).item()
    record_property("z", z)
    print(f"{entry['id']}: {costs.mean():.4f} against {policy['cost']:.4f}, z = {z:+.2f}")
    assert record.periods * REPLICATIONS >= 10**6
    assert abs(z) < 3


def test_the_quick_instances_exist():
    if not INSTANCES.exists():
        pytest.skip(f"{INSTANCES.name} is not part of the repository")
    assert {entry["id"] for entry in json.loads(INSTANCES.read_text())} >= QUICK


def test_float32_gives_the_same_costs():
    """On the same luck to 5 digits."""
    params = {"demand": "poisson", "mean": 5, "lead_time": 2, "h": 1, "p": 4}
    entry = {"family": "lost_sales_single", "params": params}
    double = instance(entry, 16.0)
    single = Problem.of(double.scenario, dtype=torch.float32)
    costs = [
        score(play(made, BaseStock(16.0), made.trace("validate", 0, 100)), 10).per_period("profit").mean().item()
        for made in (double, single)
    ]
    assert costs[0] == pytest.approx(costs[1], rel=1e-5)
