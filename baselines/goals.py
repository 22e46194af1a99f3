"""The cheapest parameters of a classical policy that keep a fill rate: tuning with that as a constraint.

Every unit that is not served at once is priced, and the price raised until the goal is kept (Lagrange); of
what lies between the dearest price that misses it and the cheapest that keeps it, the first to keep it is
taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from marl_inv.baselines.parameters import set_parameters
from marl_inv.baselines.tuning import tune
from marl_inv.common.errors import InputError
from marl_inv.common.progress import Progress, silently
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem, period_weights
from marl_inv.episodes.rollout import play
from marl_inv.evaluation.metrics import Totals, score
from marl_inv.scenario.objective import Service

STEP = 4.0
"""By what the price of a missing unit is multiplied until the goal is kept."""

MOST_STEPS = 8

LEAST_RISE = 1e-3
"""Of the fill rate in a step, below which more money buys no more of it."""

HALVINGS = 4
"""Of the interval of prices, and twice as many of what lies between two policies."""


def tune_to_goal(
    problem: Problem,
    of: Callable[[Problem], Any],
    goal: float,
    seed: int = 0,
    effort: float = 1.0,
    progress: Progress = silently,
) -> Any:
    """Of the policies that `of` makes and tuning finds, the one that earns most while every product's fill
    rate is `goal` or more wherever it has customers, on tuning traces; named `tuned .. @98%`.

    What missing a goal costs by the scenario does not count. Raises InputError where none keeps the goal.
    """
    plain = _priced(problem, 0.0)
    replications = min(512, max(8, 800_000 // (problem.network.size.numel() * problem.scenario.horizon)))
    trace = problem.trace("tune", seed, replications)

    def played(policy: Policy) -> Totals:
        with torch.no_grad():
            return score(play(plain, policy, trace), period_weights(problem.scenario, len(trace)))

    def found(price: float) -> tuple[Any, float]:
        priced = _priced(problem, price)
        policy = tune(priced, of(priced), seed, effort=0.5 * effort, progress=progress)
        return policy, played(policy).lowest_fill_rate()[0]

    low, high = _begin(problem, goal), None
    keeps, misses, best = None, None, 0.0
    for _ in range(MOST_STEPS):
        policy, fill = found(low)
        if fill >= goal:
            keeps, high, low = policy, low, low / STEP
            if misses is not None:
                break
        else:
            rises, best, misses = fill - best, fill, policy
            if keeps is not None or (fill > 0.05 and rises < LEAST_RISE):
                break
            low *= STEP
    if keeps is None:
        raise InputError(
            f"{problem.scenario.name}: no {of(plain).name} that was found keeps {goal:.4g}; "
            f"the most is {best:.3f}"
        )
    assert high is not None
    if misses is not None:
        low = high / STEP
        for _ in range(HALVINGS):
            middle = (low * high) ** 0.5
            policy, fill = found(middle)
            if fill >= goal:
                keeps, high = policy, middle
            else:
                misses, low = policy, middle
    candidates = [keeps] + ([] if misses is None else [_between(problem, misses, keeps, goal, played)])
    cheapest = max(candidates, key=lambda policy: float(played(policy).sums["reward"].sum()))
    return replace(cheapest, name=f"tuned {of(plain).name} @{100 * goal:.6g}%")


def _begin(problem: Problem, goal: float) -> float:
    """The price at which a newsvendor would be as safe as the goal."""
    holding = problem.network.holding_cost
    rate = 1.0 if holding is None else float(holding.max())
    return max(rate, 1e-3) * min(goal / max(1 - goal, 1e-3), 100.0)


def _priced(problem: Problem, price: float) -> Problem:
    """The same with every unit that is not met at once at a price, in place of the scenario's goal."""
    network = problem.network
    rules = network.rules.model_copy(update={"service": Service(fill_rate=1.0, price=price)})
    weights = network.weights | {"shortfall": float(price > 0)}
    return replace(problem, network=replace(network, rules=rules, weights=weights))


def _between(
    problem: Problem, misses: Any, keeps: Any, goal: float, played: Callable[[Policy], Totals]
) -> Any:
    """The first policy to keep the goal on the straight way from one that misses it to one that keeps it."""
    ends = [
        {name: parameter.value for name, parameter in policy.parameters(problem).items()}
        for policy in (misses, keeps)
    ]
    low, high, found = 0.0, 1.0, keeps
    for _ in range(2 * HALVINGS):
        share = (low + high) / 2
        at = {name: value + share * (ends[1][name] - value) for name, value in ends[0].items()}
        if problem.network.integer:
            at = {name: value.round() for name, value in at.items()}
        policy = set_parameters(keeps, at)
        if played(policy).lowest_fill_rate()[0] >= goal:
            high, found = share, policy
        else:
            low = share
    return found
