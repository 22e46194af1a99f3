"""Pathwise learning: the gradient of what episodes earn, through the simulator and the policy, on fresh
traces.

After hindsight differentiable policy optimisation (Alvo, Russo and Kanoria 2023). All luck is in a trace,
which does not depend on what is decided, so what an episode earns is a function of the weights: there is no
critic and no exploration.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from tianshou.algorithm.algorithm_base import OfflineAlgorithm
from tianshou.algorithm.modelfree.reinforce import SimpleLossTrainingStats
from tianshou.algorithm.optim import OptimizerFactory
from tianshou.data import ReplayBuffer
from tianshou.trainer import OfflineTrainerParams
from torch import Tensor

from marl_inv.baselines.newsvendor import landed_cost
from marl_inv.chance.trace import Trace
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem, period_weights
from marl_inv.episodes.rollout import play
from marl_inv.learning.joint_policy import JointPolicy, MeanActions
from marl_inv.learning.parts import Built, Parts
from marl_inv.learning.reward import Reward, objective
from marl_inv.simulator import inventory_position

RECOMPUTED = 2
"""An update that has more than so many times the decisions asked for, because one episode does, plays periods
again for the gradient."""


def build(parts: Parts) -> Built:
    problem, settings = parts.problem, parts.settings
    plan = parts.plan(problem.scenario.horizon)
    algorithm = Pathwise(
        policy=parts.policy,
        optim=parts.optimizer(plan),
        problem=problem,
        scale=parts.reward_scale(),
        max_grad_norm=settings.max_grad_norm,
        recompute=plan.steps * problem.network.size.numel() > RECOMPUTED * settings.decisions_per_update,
        reward=parts.reward,
        tail=settings.robust.tail if settings.robust and settings.robust.objective == "cvar" else 1.0,
    )
    parameters = OfflineTrainerParams(
        max_epochs=plan.epochs,
        epoch_num_steps=plan.updates,
        buffer=FreshTraces(problem, settings.seed),
        batch_size=plan.steps,
        **parts.common,
    )
    return Built(algorithm, algorithm.create_trainer(parameters), None)


def mean_of_worst(earned: Float[Tensor, " B"], share: float) -> Float[Tensor, ""]:
    """Conditional value at risk: the mean of so many of the smallest numbers, at least one (Rockafellar and
    Uryasev 2000)."""
    if share >= 1:
        return earned.mean()
    return earned.sort().values[: max(1, round(share * len(earned)))].mean()


class FreshTraces(ReplayBuffer):
    """What an offline algorithm learns from: traces of the training stream, none of them twice."""

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(size=1)
        self.problem, self.seed, self.drawn = problem, seed, 0

    def sample(self, batch_size: int | None) -> tuple[Trace, np.ndarray]:
        """Whole episodes, `batch_size` periods in all."""
        first, count = self.drawn, (batch_size or 1) // self.problem.scenario.horizon
        self.drawn += count
        return self.problem.trace("train", self.seed, range(first, self.drawn)), np.arange(first, self.drawn)

    def state(self) -> dict[str, Any]:
        return {"drawn": self.drawn}

    def restore(self, state: dict[str, Any]) -> None:
        self.drawn = state["drawn"]

    def hasnull(self) -> bool:
        return False


class Pathwise(OfflineAlgorithm[JointPolicy]):
    def __init__(
        self,
        *,
        policy: JointPolicy,
        optim: OptimizerFactory,
        problem: Problem,
        scale: Float[Tensor, "K 1"],
        max_grad_norm: float,
        recompute: bool,
        reward: Reward = objective,
        tail: float = 1.0,
    ) -> None:
        """`tail`: the share of episodes, those that earn least, whose mean is to rise; all of them by
        default."""
        super().__init__(policy=policy)
        self.tail = tail
        self.recompute, self.reward = recompute, reward
        self.problem, self.scale = problem, scale.mean() * problem.network.size.numel()
        self.left_over = None
        if problem.scenario.ending == "continuing":
            self.left_over = landed_cost(problem.network).unsqueeze(-1)
        self.optim = self._create_optimizer(policy.actor, optim, max_grad_norm)

    def _update_with_batch(self, batch: Any) -> SimpleLossTrainingStats:
        loss = -mean_of_worst(self.earned(batch), self.tail) / self.scale
        self.optim.step(loss)
        return SimpleLossTrainingStats(loss=loss.item())

    def earned(self, trace: Trace) -> Float[Tensor, " B"]:
        """Reward per period as evaluation counts it. An episode that goes on beyond its trace is left with
        stock, which is worth what it cost to bring there."""
        *weights, afterwards = period_weights(self.problem.scenario, len(trace) + 1)
        moments, total = (
            play(self.problem, MeanActions(self.policy), trace, True, recompute=self.recompute),
            0.0,
        )
        for moment, weight in zip(moments, weights, strict=True):
            if weight:
                total = total + weight * self.reward(moment).sum((0, 1))
        assert isinstance(total, Tensor), "some period counts"
        if self.reward is not objective and torch.is_grad_enabled() and not total.requires_grad:
            raise InputError(
                "reward: has no gradient; make it of differentiable operations of torch, or train by "
                "another algorithm"
            )
        if self.left_over is not None:
            total = total + afterwards * (
                self.left_over * inventory_position(self.problem.network, moment.state)
            ).sum((0, 1))
        return total / sum(weights)
