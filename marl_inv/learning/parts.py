"""What algorithms are built from: how training is cut up, an optimizer with its schedule, rewards of order
one, mixed between warehouses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from tianshou.algorithm.algorithm_base import Algorithm, OnPolicyAlgorithm
from tianshou.algorithm.optim import (
    AdamOptimizerFactory,
    LRSchedulerFactory,
    OptimizerFactory,
    RMSpropOptimizerFactory,
    TorchOptimizerFactory,
)
from tianshou.trainer import OnPolicyTrainerParams, Trainer
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.rollout import play
from marl_inv.learning.buffer import TensorBuffer
from marl_inv.learning.collector import RolloutCollector
from marl_inv.learning.foresight import Foresight
from marl_inv.learning.joint_policy import JointPolicy
from marl_inv.learning.reward import Reward, objective, reward_of
from marl_inv.learning.settings import TrainSettings
from marl_inv.models.encoding import Beginning
from marl_inv.network import TransferNetwork

OPTIMIZERS: dict[str, Callable[[float], OptimizerFactory]] = {
    "adam": lambda lr: AdamOptimizerFactory(lr=lr, eps=1e-5),
    "adamw": lambda lr: TorchOptimizerFactory(torch.optim.AdamW, lr=lr, eps=1e-5),
    "rmsprop": lambda lr: RMSpropOptimizerFactory(lr=lr, alpha=0.99, eps=1e-5),
}

SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda done: 1 - done,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "constant": lambda done: 1.0,
}
"""The share of the learning rate that is left when a share of all updates is done."""


@dataclass(frozen=True)
class TrainingPlan:
    """How training is cut up: epochs that each end with a validation, of `updates` that each take `periods` x
    `replications`."""

    periods: int
    replications: int
    epochs: int
    updates: int
    """Of an epoch."""

    @property
    def steps(self) -> int:
        """Of an update."""
        return self.periods * self.replications


@dataclass(frozen=True)
class Parts:
    """What an algorithm's `build` is given."""

    problem: Problem
    settings: TrainSettings
    policy: JointPolicy
    beginning: Beginning
    """What the policy begins as."""
    generator: torch.Generator
    common: dict[str, Any]
    """What every trainer of Tianshou's is told: how to validate, score, keep the best, and log."""

    def plan(self, periods: int, fewest: int = 1) -> TrainingPlan:
        """With so many periods in an update, and as many replications as the settings' decisions allow, at
        least `fewest`."""
        settings, agents = self.settings, self.problem.network.size.numel()
        replications = max(fewest, round(settings.decisions_per_update / agents / periods))
        updates = max(1, round(settings.decisions / (agents * periods * replications)))
        epochs = min(settings.validations, updates)
        return TrainingPlan(periods, replications, epochs, math.ceil(updates / epochs))

    def optimizer(self, plan: TrainingPlan, steps: int = 1) -> OptimizerFactory:
        """`steps` are those of the schedule in an update."""
        schedule = _Schedule(SCHEDULES[self.settings.schedule], plan.epochs * plan.updates * steps)
        return OPTIMIZERS[self.settings.optimizer](self.settings.lr).with_lr_scheduler_factory(schedule)

    def collector(
        self, plan: TrainingPlan, critic_encoding: Foresight | None = None, buffer: TensorBuffer | None = None
    ) -> RolloutCollector:
        same_luck = self.settings.control_variate
        return RolloutCollector(
            self.problem,
            self.policy,
            plan.periods,
            plan.replications,
            self.settings.seed,
            self.reward_scale(),
            self.beginning if same_luck else None,
            critic_encoding,
            buffer,
            None
            if same_luck
            else usual_reward(self.problem, self.beginning, self.settings.seed, self.reward),
            self.reward,
        )

    def reward_scale(self) -> Float[Tensor, "K 1"]:
        return reward_scale(self.problem, self.beginning, self.settings.seed, self.reward)

    @property
    def reward(self) -> Reward:
        """What is learned from."""
        return reward_of(self.settings)


class _Schedule(LRSchedulerFactory):
    def __init__(self, left: Callable[[float], float], updates: int) -> None:
        self.left, self.updates = left, updates

    def create_scheduler(self, optim: torch.optim.Optimizer) -> LambdaLR:
        return LambdaLR(optim, lambda update: self.left(update / self.updates))


@dataclass(frozen=True)
class Built:
    """What an algorithm's `build` returns."""

    algorithm: Algorithm
    trainer: Trainer
    collector: RolloutCollector | None
    """Plays the policy in training; None where learning does it itself."""


def on_policy(
    parts: Parts,
    plan: TrainingPlan,
    algorithm: OnPolicyAlgorithm,
    passes: int = 1,
    critic_encoding: Foresight | None = None,
) -> Built:
    """An algorithm that learns from what its policy has just played."""
    collector = parts.collector(plan, critic_encoding)
    parameters = OnPolicyTrainerParams(
        max_epochs=plan.epochs,
        epoch_num_steps=plan.updates * plan.steps,
        training_collector=collector,
        collection_step_num_env_steps=plan.steps,
        batch_size=None,
        update_step_num_repetitions=passes,
        **parts.common,
    )
    return Built(algorithm, algorithm.create_trainer(parameters), collector)


def minibatches(
    policy: JointPolicy, rows: int, replications: int, count: int, generator: torch.Generator
) -> Iterator[tuple[Int[Tensor, " _"], int | None]]:
    """A TensorBuffer's rows in `count` random parts; for a policy that remembers, whole replications, and how
    many."""
    device = policy.encoding.network.size.device
    if not policy.remembers:
        yield from (
            (part, None) for part in torch.randperm(rows, generator=generator, device=device).chunk(count)
        )
        return
    period = torch.arange(0, rows, replications, device=device).unsqueeze(-1)
    for part in torch.randperm(replications, generator=generator, device=device).chunk(count):
        yield (period + part).flatten(), len(part)


def mix_rewards(
    network: TransferNetwork, reward: Float[Tensor, "*R K N"], mix: float
) -> Float[Tensor, "*R K N"]:
    """Each warehouse's own reward at mix 0, the mean over all warehouses of its component at mix 1."""
    return reward if mix == 0 else (1 - mix) * reward + mix * network.mean(reward)


def reward_scale(
    problem: Problem, policy: Policy, seed: int, reward: Reward = objective
) -> Float[Tensor, "K 1"]:
    """Per product: the standard deviation of what a warehouse earns in a period under the policy, so that
    rewards are of order one."""
    earned = _earned(problem, policy, seed, reward)
    spread = (earned - earned.mean((0, 3), keepdim=True)).square().mean((0, 2, 3)).sqrt().unsqueeze(-1)
    return torch.where(spread > 0, spread, torch.ones_like(spread))


def usual_reward(
    problem: Problem, policy: Policy, seed: int, reward: Reward = objective
) -> Float[Tensor, "K N"]:
    """What a warehouse earns in a period under the policy."""
    return _earned(problem, policy, seed, reward).mean((0, 3))


def _earned(problem: Problem, policy: Policy, seed: int, reward: Reward) -> Float[Tensor, "T K N B"]:
    trace = problem.trace("train", seed, range(8))
    with torch.no_grad():
        return torch.stack([reward(moment) for moment in play(problem, policy, trace, trusted=True)])
