"""The perfect-information bound: what the network would have earned on a trace, had everything been known
from the beginning.

One linear programme for each replication: shipments, stock, sales and losses of all periods at once, under
all lead times, capacities, pools, storage and outages of the trace. No policy can do better, because whatever
a policy does is a feasible point of it; where the simulator is not linear the programme allows more
(fractions of units and of vehicles, serving some customers and not others), so the bound stays a bound. After
the idea of hindsight optimisation bounds (Brown, Smith and Sun 2010).
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context

import numpy as np
from jaxtyping import Float

from marl_inv.baselines.bounds.linear_programme import (
    Model,
    Programme,
    SamplePath,
    check_linear,
    product_groups,
)
from marl_inv.chance.trace import Trace
from marl_inv.common.progress import Progress, silently
from marl_inv.episodes.problem import Problem, period_weights


@dataclass(frozen=True)
class Plan:
    """The optimum of one replication."""

    reward: float
    """Per period, as evaluation counts it: scored periods only, discounted."""
    shipments: np.ndarray
    """(T, K, E), units."""
    transshipped: np.ndarray
    """(T, K, X), units."""
    promotion: np.ndarray
    """(T, K, N), decided levels."""
    shadow_prices: dict[str, np.ndarray]
    """By lane, pool or supplier with a limit: (T,), reward per period that one more unit of its capacity in
    period t would have earned."""


def perfect_information(
    problem: Problem, trace: Trace, workers: int = 1, progress: Progress = silently
) -> list[Plan]:
    """The optimum of every replication of a trace, in `workers` processes.

    Raises InputError for what no linear programme bounds: the utility objective, negative weights, and
    decided promotions with a dip.
    """
    check_linear(problem)
    replications = range(trace.replications)
    if workers == 1:
        return [
            plan(problem, trace, replication) for replication in progress(replications, "perfect information")
        ]
    alone = [single(trace, replication) for replication in replications]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(
            progress(pool.map(plan, repeat(problem), alone, repeat(0), chunksize=4), "perfect information")
        )


def single(trace: Trace, replication: int) -> Trace:
    """A trace of one of its replications."""
    return trace.by_replication(lambda values: values[..., replication : replication + 1])


def plan(problem: Problem, trace: Trace, replication: int = 0) -> Plan:
    """The optimum of one replication. Products that share no capacity are solved one by one."""
    path = SamplePath.of(
        problem.network,
        problem.opening(trace),
        trace,
        replication,
        range(len(trace)),
        shares(problem, len(trace)),
    )
    parts = [_solve(problem, path, group) for group in product_groups(problem.network)]

    def join(key: str) -> np.ndarray:
        return np.concatenate([getattr(part, key) for part in parts], axis=1)

    reward = sum(part.reward for part in parts)
    return Plan(reward, join("shipments"), join("transshipped"), join("promotion"), parts[0].shadow_prices)


def shares(problem: Problem, periods: int) -> Float[np.ndarray, " T"]:
    """The periods' weights, adding up to 1."""
    weights = np.array(period_weights(problem.scenario, periods))
    return weights / weights.sum()


def _solve(problem: Problem, path: SamplePath, products: list[int]) -> Plan:
    programme = Programme()
    model = Model(problem.network, path, products, programme)
    cost, x, prices = programme.solve()
    promotion = x[model.extra] + model.planned * (model.most_extra > 0)
    shadow = {name: prices[rows] for name, rows in model.limits.items()}
    return Plan(model.constant - cost, x[model.shipped], x[model.moved], promotion, shadow)
