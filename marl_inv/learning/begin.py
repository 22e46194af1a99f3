"""What training begins as: a classical policy, or what another run has learned."""

from __future__ import annotations

from pathlib import Path

import torch

from marl_inv.baselines.echelon import EchelonBaseStock
from marl_inv.baselines.following import FollowingOrderUpTo
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.baselines.tuning import mean_reward, tune
from marl_inv.common.errors import InputError
from marl_inv.common.progress import Progress
from marl_inv.episodes.problem import Problem
from marl_inv.learning.settings import TrainSettings
from marl_inv.models.encoding import Beginning
from marl_inv.models.learned import LearnedPolicy, load_policy, model_of

VALIDATION_DECISIONS = 250_000
"""A validation plays at most so many decisions: fewer replications of a network of many products."""


def tries_of(problem: Problem, settings: TrainSettings) -> int:
    """Validation traces."""
    return max(
        2,
        min(
            settings.validation_replications,
            VALIDATION_DECISIONS // (problem.network.size.numel() * problem.scenario.horizon),
        ),
    )


def begin_at(problem: Problem, settings: TrainSettings, baseline: OrderUpTo, progress: Progress) -> Beginning:
    """Order-up-to, or echelon base-stock where warehouses feed others and it does better on validation
    traces; where demand comes from a file, the best there of these and of order-up-to that follows it."""
    tuned = settings.start == "tuned"
    plain = baseline if tuned else OrderUpTo.of(problem)
    others: list[Beginning] = []
    if bool((problem.network.source_lane >= problem.network.replenishments).any()):
        others.append(EchelonBaseStock.of(problem))
    if problem.demand.from_file and problem.scenario.history:
        others.append(FollowingOrderUpTo.of(problem))
    if not others:
        return plain
    if tuned:
        others = [tune(problem, other, settings.seed, progress=progress) for other in others]
    trace = problem.trace("validate", settings.seed, range(tries_of(problem, settings)))
    with torch.no_grad():
        return max((plain, *others), key=lambda policy: float(mean_reward(problem, policy, trace)))


def policy_at(run: Path, problem: Problem, settings: TrainSettings) -> LearnedPolicy:
    """What a run has learned, of the same model as the settings want."""
    for name, value in model_of(run):
        if name != "own" and value != getattr(settings, name):
            raise InputError(
                f"{run}: its policy has {name}={value}, and {name} is {getattr(settings, name)}; leave it "
                "away, to begin where that run ended"
            )
    return load_policy(run, problem, allow_code=True)  # the settings name the same code
