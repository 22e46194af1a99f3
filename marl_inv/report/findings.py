"""What an experiment's results amount to: sentences that follow from the statistics, and what is measured
beside them for pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from marl_inv.evaluation.evaluate import measured
from marl_inv.evaluation.statistics import (
    Interval,
    Scores,
    bootstrapped,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)
from marl_inv.evaluation.tables import plus_minus
from marl_inv.experiments.results import Judged, Results

WORTHWHILE = 1.0
"""Percent below which a difference is called small, whatever can be told of it."""


# In words


def found_on(judged: Judged) -> list[str]:
    """Who did best on a scenario, by how much, and from whom that cannot be told."""
    best, reference, gains = judged.best, judged.reference, judged.gains
    what = (
        f"a {best.problem.measured} of {plus_minus(measured(best.problem, judged.rewards[best.policy]))} "
        "a period"
    )
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
        small = (
            f" (more than chance, though below {WORTHWHILE:g}%)"
            if abs(100 * gain.mean / (judged.base or 1)) < WORTHWHILE
            else ""
        )
        told.append(
            f"{best.policy} does best, with {what}: {_share(gain, judged.base)} better than "
            f"{reference.policy}{small}."
        )
        also = "also "
    else:
        but = f"its gain of {_share(gains[best.policy], judged.base)} over {reference.policy} may be chance"
        nobody = "" if sides[1] else f"No policy is shown to be better than {reference.policy}: "
        told.append(f"{nobody}{best.policy} has the best mean, with {what}, but {but}.")
    if others := [policy for policy in alike if policy != reference.policy]:
        told.append(f"Not to be told apart from {best.policy}: {in_words(others)}.")
    for side, verb in ((1, f"{also}better".capitalize()), (-1, "Worse")):
        if sides[side]:
            told.append(f"{verb} than {reference.policy}: {in_words(sides[side])}.")
    if neither := [
        policy
        for policy, gain in gains.items()
        if not gain.significant and policy not in (best.policy, *alike)
    ]:
        told.append(f"Not to be told apart from {reference.policy}: {in_words(neither)}.")
    return told


def _share(gain: Interval, base: float) -> str:
    """`12.3% (10.1 to 14.5)`, or money where the reference has none."""
    if not base:
        return plus_minus(gain)
    share = gain.times(100 / base)
    digits = 1 if share.half_width >= 0.1 or abs(share.mean) >= 10 else 2
    return f"{share.mean:z.{digits}f}% ({share.low:z.{digits}f} to {share.high:z.{digits}f})"


def in_words(names: Sequence[str]) -> str:
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
        played = [
            (judged, each)
            for judged in there
            for each in judged.outcomes
            if each.policy == policy and each is not judged.reference
        ]
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
        counts = f"better on {each.better}, worse on {each.worse}" + f", not told apart on {untold}" * (
            untold > 0
        )
        told.append(
            f"{each.policy}: over {each.scenarios} scenario{'s' * (each.scenarios > 1)} {counts} (against "
            f"{reference}); "
            f"its gain is {each.gain.mean:+z.1f}% ({each.gain.low:+z.1f} to {each.gain.high:+z.1f}, "
            "interquartile mean)."
        )
    return told


def profiles(every: Sequence[Together]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Thresholds in percent, and the share of scenarios and seeds above each."""
    scores = torch.cat([score for each in every for score in each.scores])
    low, high = float(scores.min().clamp(max=0)), float(scores.max().clamp(min=0))
    margin = 0.05 * (high - low) or 1.0
    thresholds = torch.linspace(low - margin, high + margin, 201, dtype=torch.float64)
    return thresholds.numpy(), {
        each.policy: performance_profile(each.scores, thresholds).numpy() for each in every
    }
