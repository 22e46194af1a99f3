"""What is read out of an experiment's runs beside their scores: learning curves, flows, capacities, what
telling more is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from marl_inv.baselines.bounds.perfect_information import perfect_information
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.common.errors import InputError
from marl_inv.drawing.scene import average_capacities
from marl_inv.episodes.problem import Problem
from marl_inv.evaluation.evaluate import evaluate, measured
from marl_inv.evaluation.tables import MEANINGLESS, plus_minus
from marl_inv.experiments.comparison import bounds
from marl_inv.experiments.results import Outcome
from marl_inv.learning.event_files import check_events
from marl_inv.network import TransferNetwork, unlimited
from marl_inv.report.findings import in_words

CURVE_SCALES = tuple(np.geomspace(0.5, 2.0, 21))
"""Multiples of the newsvendor levels that the efficiency curve is drawn through."""


CURVE_DECISIONS = 30_000_000
"""That the curve takes at most: fewer of the evaluation traces where a network is large."""


PLANS = 4
"""Traces that shadow prices are means over."""


BOUND_TRACES = 32
"""Traces that perfect information is solved on."""


LARGEST_PLAN = 40_000
"""Quantities (product, warehouse or lane, period) beyond which a linear programme is not solved for a
report."""


IDLE, FEW_CAPACITIES, MOST_CAPACITIES = 0.1, 4, 16
"""The share of a capacity below which it is idle and not drawn, unless there are few; and the most that are
drawn."""


VALIDATION = "test/percent_over_baseline"


# Measured for pictures


def efficiency_curve(problem: Problem, replications: int) -> Float[np.ndarray, "2 P"]:
    """Stock on hand and fill rate of order-up-to with its newsvendor levels scaled, on the first of the
    evaluation traces."""
    decisions = len(CURVE_SCALES) * problem.network.size.numel() * problem.scenario.horizon
    tries = min(replications, max(2, CURVE_DECISIONS // decisions))
    plain = OrderUpTo.of(problem)
    scores = evaluate(
        problem, [replace(plain, levels=plain.levels * scale) for scale in CURVE_SCALES], replications=tries
    )
    held = [float(score.record.per_period("on_hand").sum((0, 1)).mean()) for score in scores]
    return np.array([held, [score.fill_rate for score in scores]])


def learning_curve(problem: Problem, outcome: Outcome) -> tuple[np.ndarray, np.ndarray] | None:
    """Decisions (P,), and percent over tuned order-up-to on validation traces (S, P), as TensorBoard's events
    tell; as far as all seeds got."""
    read = [each for run in outcome.runs if (each := _events(run))]
    if not read:
        return None
    common = sorted(set.intersection(*(set(each) for each in read)))
    return np.array(common) * problem.network.size.numel(), np.array(
        [[each[step] for step in common] for each in read]
    )


def _events(run: Path) -> dict[int, float]:
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    check_events(run)
    events = EventAccumulator(str(run), size_guidance={SCALARS: 0}).Reload()
    return (
        {event.step: event.value for event in events.Scalars(VALIDATION)}
        if VALIDATION in events.Tags()[SCALARS]
        else {}
    )


def carried(network: TransferNetwork, outcome: Outcome) -> np.ndarray | None:
    """Mean volume on lanes and then reactive lanes, over seeds; None for a cell of before volumes were kept,
    where capacities are shared by products of different volume."""
    alike = not network.limits or bool((network.volume == network.volume.flatten()[0]).all())
    found = []
    for name in ("shipped", "transshipped"):
        if f"lane.{name}_volume" in outcome.details:
            found.append(outcome.details[f"lane.{name}_volume"].mean(0).numpy())
        elif f"lane.{name}" in outcome.details:
            if not alike:
                return None
            found.append(outcome.details[f"lane.{name}"].mean(0).numpy() * float(network.volume.flatten()[0]))
    return np.concatenate(found)


def capacities_used(network: TransferNetwork, outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """By capacity (of lanes, pools, suppliers and storage) and policy: the share that is used on average."""
    used: dict[str, dict[str, float]] = {}
    for outcome in outcomes:
        volume = carried(network, outcome)
        for name, capacity in ({} if volume is None else average_capacities(network, volume)).items():
            if 0 < capacity.most < math.inf:
                used.setdefault(name, {})[outcome.policy] = capacity.used / capacity.most
        if network.storage is not None and (stored := outcome.details.get("warehouse.volume")) is not None:
            for name, held, most in zip(
                network.warehouses, stored.mean(0).tolist(), network.storage[:, 0].tolist(), strict=True
            ):
                if not unlimited(most):
                    used.setdefault(f"storage of {name}", {})[outcome.policy] = held / most
    return used


def telling(used: dict[str, dict[str, float]], prices: dict[str, float]) -> dict[str, dict[str, float]]:
    """The capacities that matter: those with a price and those that somebody uses much, the scarcest
    first."""

    def scarcity(name: str) -> tuple[float, float]:
        return prices.get(name, 0.0), max(used[name].values())

    most = max(prices.values(), default=0.0)
    order = sorted(used, key=scarcity, reverse=True)[:MOST_CAPACITIES]
    return {
        name: used[name]
        for name in order
        if scarcity(name)[0] > 0.01 * most or scarcity(name)[1] > IDLE or len(used) <= FEW_CAPACITIES
    }


def how_far(problem: Problem, outcomes: Sequence[Outcome]) -> str:
    """What nobody can do better than, and how far everybody is from it. Raises InputError where that takes a
    large linear programme."""
    _check_size(problem)
    found = bounds(problem, 0, min(BOUND_TRACES, outcomes[0].samples.shape[1]))
    name, tightest = min(found.items(), key=lambda bound: bound[1].mean)
    told = [f"{plus_minus(measured(problem.scenario, bound))} ({kind})" for kind, bound in found.items()]
    gaps = {
        each.policy: 100 * (tightest.mean - float(each.samples.mean())) / (abs(tightest.mean) or math.nan)
        for each in outcomes
    }
    shown = [
        f"{policy} {gap:,.{1 if gap < 100 else 0}f}%"
        for policy, gap in sorted(gaps.items(), key=lambda one: one[1])
        if gap < MEANINGLESS
    ]
    away = f" Gap to {name}: {in_words(shown)}." if shown else " Next to that every gap is beyond measure."
    return (
        f"Nobody can have a better {problem.scenario.measured} than {in_words(told)}; perfect information "
        f"is solved on the first traces.{away}"
    )


def _check_size(problem: Problem) -> None:
    quantities = (
        len(problem.network.products)
        * (len(problem.network.warehouses) + len(problem.network.lanes))
        * problem.scenario.horizon
    )
    if quantities > LARGEST_PLAN:
        raise InputError(
            f"{problem.scenario.name}: is too large for a linear programme in a report ({quantities:,} "
            f"quantities; {LARGEST_PLAN:,} at most)"
        )


def shadow_prices(problem: Problem) -> dict[str, float]:
    """By lane, pool or supplier with a limit: what one more unit of it in every period would be worth per
    period to who knows the future.

    Raises InputError where no linear programme tells, or it would be large.
    """
    network, name = problem.network, problem.scenario.name
    if not network.limits:
        raise InputError(f"{name}: has no capacity of a lane, pool or supplier")
    _check_size(problem)
    plans = perfect_information(problem, problem.trace("evaluate", 0, PLANS))
    return {
        limit: float(np.mean([plan.shadow_prices[limit].sum() for plan in plans]))
        for limit in plans[0].shadow_prices
    }
