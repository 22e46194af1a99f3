"""What an observation's entries can be at least and at most."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from marl_inv.episodes.problem import Problem
from marl_inv.scenario import Scenario
from marl_inv.scenario.places import Warehouse


def fact_bounds(
    problem: Problem, facts: list[str]
) -> tuple[Float[np.ndarray, "N KF"], Float[np.ndarray, "N KF"]]:
    """What the facts keep to at every warehouse."""
    network, scenario = problem.network, problem.scenario
    owing = {lane.origin for lane in scenario.lanes if lane.unfilled == "owed"}
    low = [
        [_least(fact, scenario, warehouse, warehouse.name in owing) for fact in facts]
        for warehouse in scenario.warehouses
    ]
    high = [[_most(fact, scenario) for fact in facts]] * len(low)
    least, most = (
        np.tile(np.array(bounds, dtype=np.float32), len(network.products)) for bounds in (low, high)
    )
    return least, most


def _least(fact: str, scenario: Scenario, warehouse: Warehouse, owing: bool) -> float:
    demand = scenario.demand_of(warehouse)
    if fact.startswith("inventory"):
        backordered = warehouse.unmet_demand == "backordered" and demand is not None
        return -np.inf if backordered or (owing and fact == "inventory_position") else 0.0
    returned = demand is not None and demand.may_be_negative
    return -np.inf if returned and fact.startswith(("demand", "forecast")) else 0.0


def _most(fact: str, scenario: Scenario) -> float:
    """Infinite where nothing bounds a fact, or rounding would not keep to what does, as with stock and its
    storage."""
    promotions = [warehouse.promotion for warehouse in scenario.warehouses if warehouse.promotion]
    planned = max((promotion.planned.level for promotion in promotions if promotion.planned), default=0.0)
    if fact == "periods_to_review":
        return float(max(lane.review_period for lane in scenario.lanes) - 1)
    match fact.split("_")[0]:
        case "planned":
            return planned
        case "past":
            highest = max(
                planned, *(promotion.max_level for promotion in promotions if promotion.decided), 0.0
            )
            lasting = max(promotion.recovery for promotion in promotions)
            return np.inf if lasting == 1 else 1.001 * highest / (1 - lasting)
        case "source":
            return 1.0
        case "periods":
            return float(scenario.horizon)
        case _:
            return np.inf
