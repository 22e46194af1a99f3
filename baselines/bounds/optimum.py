"""The exact optimum of a small scenario, in whole units, by dynamic programming.

A state is the inventory level of every warehouse and what is due there in 1, 2.. periods. What a period does
to it is learnt from the simulator itself, in two parts: what requests do to the state and cost, and what
demand then does to the inventory level, and costs. So whatever the simulator can do to one product may be
solved (capacities, pools, storage, rationing, reactive lanes, every cost and objective), as long as its luck
is demand alone. The long-run average is found by relative value iteration, whose least and largest change of
any state bracket it (Odoni 1969); an episode that ends, or is discounted, backwards from its end. The states
looked at are grown until the optimal policy stays clear of their edges.
"""

from __future__ import annotations

import numpy as np
import torch

from marl_inv.baselines.bounds.dynamic_programme import (
    DynamicProgramme,
    Optimum,
    first_extent,
    growth,
    is_average,
)
from marl_inv.common.errors import InputError
from marl_inv.common.progress import Progress, silently
from marl_inv.episodes.problem import AnyScenario, Problem, as_problem
from marl_inv.simulator import initial_state


def solve(scenario: AnyScenario, tolerance: float = 1e-6, progress: Progress = silently) -> Optimum:
    """The best that any policy can do in whole units, to a relative tolerance, and the policy that does it.

    Of a continuing scenario that does not discount, the long-run average; otherwise the expectation over the
    scenario's own horizon, from its starting stock, as evaluation counts it. Raises InputError where a
    scenario's luck is more than independent demand in whole units, where its decisions are more than
    requests, and where it is too large.
    """
    problem = Problem.of(
        as_problem(scenario).scenario.model_copy(update={"quantities": "integer"}), dtype=torch.float64
    )
    _check_solvable(problem)
    extent = first_extent(problem)
    while True:
        programme = DynamicProgramme(problem, extent)
        found = (
            programme.average(tolerance, progress)
            if is_average(problem.scenario)
            else programme.horizon(progress)
        )
        grown = programme.grown(found.policy)
        if grown is None:
            return found
        extent = grown


def _check_solvable(problem: Problem) -> None:
    scenario, network = problem.scenario, problem.network
    opening = initial_state(network, 1)
    beyond = {
        "several products": len(network.products) > 1,
        "decided or planned promotions": network.promotes,
        "order delays or owed requests": network.order_slot is not None or network.owes is not None,
        "random lead times": any(not isinstance(lane.lead_time, int) for lane in scenario.lanes),
        "minimum orders, packs or periods of review": network.review is not None
        or network.minimum_order is not None
        or network.pack_size is not None,
        "open purchase orders": any(lane.initial_arrivals for lane in scenario.lanes),
        "events": bool(scenario.events),
        "demand regimes": scenario.regimes is not None,
        "correlated demand": scenario.correlation is not None,
        "demand from a file": problem.demand.from_file,
        "a starting stock that is drawn": not is_average(scenario)
        and problem.trace("tune", 0, 1).start is not None,
        "a starting stock or pipeline that is not whole": any(
            bool((units % 1).any()) for units in (opening.inventory_level, opening.pipeline)
        ),
        "a steady start of a season": not is_average(scenario) and scenario.initial_state != "given",
    }
    found = [what for what, there in beyond.items() if there]
    if found:
        raise InputError(
            f"{scenario.name}: has {' and '.join(found)}, which the exact solver does not know; bound it by "
            "perfect information"
        )
    if is_average(scenario):
        for warehouse in scenario.warehouses:
            if np.ptp(growth(scenario, warehouse, np.arange(scenario.horizon))) > 0:
                raise InputError(
                    f"{scenario.name}: demand at {warehouse.name} changes over time; give `ending: finite`, "
                    "or constant demand"
                )
