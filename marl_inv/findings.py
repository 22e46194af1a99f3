"""What an experiment's results amount to: sentences that follow from the statistics, and what is measured beside them for pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.baselines.perfect_information import perfect_information
from marl_inv.common.errors import InputError
from marl_inv.drawing.scene import average_capacities
from marl_inv.episodes.problem import Problem
from marl_inv.evaluation.evaluate import evaluate, measured
from marl_inv.evaluation.statistics import (
    Interval,
    Scores,
    bootstrapped,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)
from marl_inv.evaluation.tables import MEANINGLESS, plus_minus
from marl_inv.experiments.comparison import bounds
from marl_inv.experiments.results import Judged, Outcome, Results
from marl_inv.network import TransferNetwork, unlimited

WORTHWHILE = 1.0
"""Percent below which a difference is called small, whatever can be told of it."""

CURVE_SCALES = tuple(np.geomspace(0.5, 2.0, 21))
"""Multiples of the newsvendor levels that the efficiency curve is drawn through."""
CURVE_DECISIONS = 30_000_000
"""That the curve takes at most: fewer of the evaluation traces where a network is large."""

PLANS = 4
"""Traces that shadow prices are means over."""
BOUND_TRACES = 32
"""Traces that perfect information is solved on."""
LARGEST_PLAN = 40_000
"""Quantities (product, warehouse or lane, period) beyond which a linear programme is not solved for a report."""

IDLE, FEW_CAPACITIES, MOST_CAPACITIES = 0.1, 4, 16
"""The share of a capacity below which it is idle and not drawn, unless there are few; and the most that are drawn."""

VALIDATION = "test/percent_over_baseline"


# In words


def found_on(judged: Judged) -> list[str]:
    """Who did best on a scenario, by how much, and from whom that cannot be told."""
    best, reference, gains = judged.best, judged.reference, judged.gains
    what = f"a {best.problem.measured} of {plus_minus(measured(best.problem, judged.rewards[best.policy]))} a period"
    alike = [policy for policy, gain in judged.behind.items() if not gain.significant]
    sides = {
        side: [
            f"{policy} (by {_share(gain.times(float(side)), judged.base)})"
            for policy, gain in gains.items()
            if gain.significant and side * gain.mean > 0 and policy != best.policy
        ]
        for side in (1, -1)
    }
    told, also = [], ""
    if best is reference:
        told.append(
            f"Nobody is shown to do better than {reference.policy}, with {what}."
            if gains
            else f"{reference.policy} alone was played, with {what}."
        )
    elif gains[best.policy].significant:
        gain = gains[best.policy]
        small = f" (more than chance, though below {WORTHWHILE:g}%)" if abs(100 * gain.mean / (judged.base or 1)) < WORTHWHILE else ""
        told.append(f"{best.policy} does best, with {what}: {_share(gain, judged.base)} better than {reference.policy}{small}.")
        also = "also "
    else:
        but = f"its gain of {_share(gains[best.policy], judged.base)} over {reference.policy} may be chance"
        nobody = "" if sides[1] else f"No policy is shown to be better than {reference.policy}: "
        told.append(f"{nobody}{best.policy} has the best mean, with {what}, but {but}.")
    if others := [policy for policy in alike if policy != reference.policy]:
        told.append(f"Not to be told apart from {best.policy}: {_listed(others)}.")
    for side, verb in ((1, f"{also}better".capitalize()), (-1, "Worse")):
        if sides[side]:
            told.append(f"{verb} than {reference.policy}: {_listed(sides[side])}.")
    if neither := [policy for policy, gain in gains.items() if not gain.significant and policy not in (best.policy, *alike)]:
        told.append(f"Not to be told apart from {reference.policy}: {_listed(neither)}.")
    return told


def _share(gain: Interval, base: float) -> str:
    """`12.3% (10.1 to 14.5)`, or money where the reference has none."""
    if not base:
        return plus_minus(gain)
    share = gain.times(100 / base)
    digits = 1 if share.half_width >= 0.1 or abs(share.mean) >= 10 else 2
    return f"{share.mean:z.{digits}f}% ({share.low:z.{digits}f} to {share.high:z.{digits}f})"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


# All scenarios together


@dataclass(frozen=True)
class Together:
    """One policy against the reference, over the scenarios that both played."""

    policy: str
    scenarios: int
    better: int
    worse: int
    """As told after Holm, on each scenario."""
    gain: Interval
    """Interquartile mean, percent."""
    chance: Interval
    """Of doing better than the reference."""
    scores: Scores


def together(results: Results) -> list[Together]:
    """Every policy but the reference, where the reference is there and its reward is not 0."""
    there = [
        judged
        for judged in results.judged.values()
        if judged.reference.policy == results.experiment.reference and judged.reference.samples.mean()
    ]
    found = []
    for policy in results.policies():
        played = [(judged, each) for judged in there for each in judged.outcomes if each.policy == policy and each is not judged.reference]
        if not played:
            continue
        ours = [judged.percent(outcome) for judged, outcome in played]
        theirs = [judged.percent(judged.reference) for judged, _ in played]
        told = [judged.gains[policy] for judged, _ in played]
        found.append(
            Together(
                policy,
                len(played),
                sum(gain.significant and gain.mean > 0 for gain in told),
                sum(gain.significant and gain.mean < 0 for gain in told),
                bootstrapped(lambda mine, others: interquartile_mean(gains_over(mine, others)), ours, theirs),
                bootstrapped(probability_of_improvement, ours, theirs),
                gains_over([each.mean(1) for each in ours], [each.mean(1) for each in theirs]),
            )
        )
    return found


def gains_over(ours: Scores, theirs: Scores) -> Scores:
    """Of every seed, over the mean of the other's seeds."""
    return [mine - other.mean() for mine, other in zip(ours, theirs, strict=True)]


def found_together(every: Sequence[Together], reference: str) -> list[str]:
    told = []
    for each in sorted(every, key=lambda one: -one.gain.mean):
        untold = each.scenarios - each.better - each.worse
        counts = f"better on {each.better}, worse on {each.worse}" + f", not told apart on {untold}" * (untold > 0)
        told.append(
            f"{each.policy}: over {each.scenarios} scenario{'s' * (each.scenarios > 1)} {counts} (against {reference}); "
            f"its gain is {each.gain.mean:+z.1f}% ({each.gain.low:+z.1f} to {each.gain.high:+z.1f}, interquartile mean)."
        )
    return told


def profiles(every: Sequence[Together]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Thresholds in percent, and the share of scenarios and seeds above each."""
    scores = torch.cat([score for each in every for score in each.scores])
    low, high = float(scores.min().clamp(max=0)), float(scores.max().clamp(min=0))
    margin = 0.05 * (high - low) or 1.0
    thresholds = torch.linspace(low - margin, high + margin, 201, dtype=torch.float64)
    return thresholds.numpy(), {each.policy: performance_profile(each.scores, thresholds).numpy() for each in every}


# Measured for pictures


def efficiency_curve(problem: Problem, replications: int) -> Float[np.ndarray, "2 P"]:
    """Stock on hand and fill rate of order-up-to with its newsvendor levels scaled, on the first of the evaluation traces."""
    decisions = len(CURVE_SCALES) * problem.network.size.numel() * problem.scenario.horizon
    tries = min(replications, max(2, CURVE_DECISIONS // decisions))
    plain = OrderUpTo.of(problem)
    scores = evaluate(problem, [replace(plain, levels=plain.levels * scale) for scale in CURVE_SCALES], replications=tries)
    held = [float(score.record.per_period("on_hand").sum((0, 1)).mean()) for score in scores]
    return np.array([held, [score.fill_rate for score in scores]])


def learning_curve(problem: Problem, outcome: Outcome) -> tuple[np.ndarray, np.ndarray] | None:
    """Decisions (P,), and percent over tuned order-up-to on validation traces (S, P), as TensorBoard's events tell; as far as all seeds got."""
    read = [each for run in outcome.runs if (each := _events(run))]
    if not read:
        return None
    common = sorted(set.intersection(*(set(each) for each in read)))
    return np.array(common) * problem.network.size.numel(), np.array([[each[step] for step in common] for each in read])


def _events(run: Path) -> dict[int, float]:
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    events = EventAccumulator(str(run), size_guidance={SCALARS: 0}).Reload()
    return {event.step: event.value for event in events.Scalars(VALIDATION)} if VALIDATION in events.Tags()[SCALARS] else {}


def carried(network: TransferNetwork, outcome: Outcome) -> np.ndarray | None:
    """Mean volume on lanes and then reactive lanes, over seeds; None for a cell of before volumes were kept, where capacities are shared by
    products of different volume."""
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
            for name, held, most in zip(network.warehouses, stored.mean(0).tolist(), network.storage[:, 0].tolist(), strict=True):
                if not unlimited(most):
                    used.setdefault(f"storage of {name}", {})[outcome.policy] = held / most
    return used


def telling(used: dict[str, dict[str, float]], prices: dict[str, float]) -> dict[str, dict[str, float]]:
    """The capacities that matter: those with a price and those that somebody uses much, the scarcest first."""

    def scarcity(name: str) -> tuple[float, float]:
        return prices.get(name, 0.0), max(used[name].values())

    most = max(prices.values(), default=0.0)
    order = sorted(used, key=scarcity, reverse=True)[:MOST_CAPACITIES]
    return {
        name: used[name] for name in order if scarcity(name)[0] > 0.01 * most or scarcity(name)[1] > IDLE or len(used) <= FEW_CAPACITIES
    }


def how_far(problem: Problem, outcomes: Sequence[Outcome]) -> str:
    """What nobody can do better than, and how far everybody is from it. Raises InputError where that takes a large linear programme."""
    _check_size(problem)
    found = bounds(problem, 0, min(BOUND_TRACES, outcomes[0].samples.shape[1]))
    name, tightest = min(found.items(), key=lambda bound: bound[1].mean)
    told = [f"{plus_minus(measured(problem.scenario, bound))} ({kind})" for kind, bound in found.items()]
    gaps = {each.policy: 100 * (tightest.mean - float(each.samples.mean())) / (abs(tightest.mean) or math.nan) for each in outcomes}
    shown = [
        f"{policy} {gap:,.{1 if gap < 100 else 0}f}%" for policy, gap in sorted(gaps.items(), key=lambda one: one[1]) if gap < MEANINGLESS
    ]
    away = f" Gap to {name}: {_listed(shown)}." if shown else " Next to that every gap is beyond measure."
    return f"Nobody can have a better {problem.scenario.measured} than {_listed(told)}; perfect information is solved on the first traces.{away}"


def _check_size(problem: Problem) -> None:
    quantities = len(problem.network.products) * (len(problem.network.warehouses) + len(problem.network.lanes)) * problem.scenario.horizon
    if quantities > LARGEST_PLAN:
        raise InputError(
            f"{problem.scenario.name}: is too large for a linear programme in a report ({quantities:,} quantities; {LARGEST_PLAN:,} at most)"
        )


def shadow_prices(problem: Problem) -> dict[str, float]:
    """By lane, pool or supplier with a limit: what one more unit of it in every period would be worth per period to who knows the future.

    Raises InputError where no linear programme tells, or it would be large.
    """
    network, name = problem.network, problem.scenario.name
    if not network.limits:
        raise InputError(f"{name}: has no capacity of a lane, pool or supplier")
    _check_size(problem)
    plans = perfect_information(problem, problem.trace("evaluate", 0, PLANS))
    return {limit: float(np.mean([plan.shadow_prices[limit].sum() for plan in plans])) for limit in plans[0].shadow_prices}
