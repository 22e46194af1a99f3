"""A training run: builds the parts, hands them to Tianshou's trainer, and returns the best policy found on validation traces."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tianshou.algorithm.optim import (
    AdamOptimizerFactory,
    LRSchedulerFactoryLinear,
    OptimizerFactory,
    RMSpropOptimizerFactory,
    TorchOptimizerFactory,
)
from tianshou.trainer import OfflineTrainer, OfflineTrainerParams, OnPolicyTrainer, OnPolicyTrainerParams
from tianshou.utils import BaseLogger, TensorboardLogger
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.baselines.tuning import tune
from marl_inv.interface import rewards
from marl_inv.learning.collector import InventoryStats, RolloutCollector, ValidationCollector
from marl_inv.learning.pathwise import FreshTraces, Pathwise
from marl_inv.learning.policy import JointPolicy
from marl_inv.learning.ppo import JointPPO
from marl_inv.learning.settings import TrainSettings
from marl_inv.models.learned import Actor, Critic, LearnedPolicy, encode
from marl_inv.policy import Policy
from marl_inv.problem import Problem
from marl_inv.progress import Progress, silently
from marl_inv.rollout import play

OPTIMIZERS: dict[str, Callable[[float], OptimizerFactory]] = {
    "adam": lambda lr: AdamOptimizerFactory(lr=lr, eps=1e-5),
    "adamw": lambda lr: TorchOptimizerFactory(torch.optim.AdamW, lr=lr, eps=1e-5),
    "rmsprop": lambda lr: RMSpropOptimizerFactory(lr=lr, alpha=0.99, eps=1e-5),
}


VALIDATION_DECISIONS = 1_500_000
"""A validation plays at most so many decisions: fewer replications of a network of many products."""


@dataclass(frozen=True)
class Trained:
    policy: LearnedPolicy
    baseline: OrderUpTo
    """Tuned order-up-to, by which the run was judged."""
    percent_over_baseline: float
    """On validation traces."""


@dataclass
class Training:
    """One run, put together: `trainer` runs it an epoch at a time (Tianshou's), `learned` is the policy to keep."""

    problem: Problem
    settings: TrainSettings
    baseline: OrderUpTo
    policy: JointPolicy
    validation: ValidationCollector
    algorithm: JointPPO | Pathwise
    trainer: OnPolicyTrainer | OfflineTrainer
    collector: RolloutCollector | None
    """Plays the policy in training; None where learning does it itself."""
    best: dict[str, Tensor]

    def learned(self) -> LearnedPolicy:
        """The best policy so far, which is that of the start before training began."""
        self.policy.actor.load_state_dict(self.best)
        return LearnedPolicy(self.settings.algorithm, self.policy.actor.eval(), self.policy.encoding, self.policy.decide.promotion)


def prepare(problem: Problem, settings: TrainSettings, baseline: OrderUpTo, log_folder: Path | None = None) -> Training:
    """Build policy, collectors, algorithm and trainer for a problem; everything random comes from `settings.seed`."""
    network, scenario = problem.network, problem.scenario
    torch.manual_seed(settings.seed)
    generator = torch.Generator(network.size.device).manual_seed(settings.seed)
    beginning = baseline if settings.start == "tuned" else OrderUpTo.of(problem)
    encoding = encode(problem, beginning.levels, settings)
    actor = Actor(encoding, settings).to(network.size.device)
    policy = JointPolicy(actor, encoding, beginning.promotion, generator)
    tries = max(2, min(settings.validation_replications, VALIDATION_DECISIONS // (network.size.numel() * scenario.horizon)))
    validation = ValidationCollector(problem, policy, tries, settings.seed, baseline)
    best = {name: tensor.clone() for name, tensor in actor.state_dict().items()}

    def keep(algorithm: JointPPO | Pathwise) -> None:
        best.update({name: tensor.detach().clone() for name, tensor in actor.state_dict().items()})

    common = {
        "test_collector": validation,
        "test_step_num_episodes": tries,
        "compute_score_fn": _score,
        "save_best_fn": keep,
        "logger": None if log_folder is None else _logger(log_folder),
        "verbose": False,
        "show_progress": False,
    }
    make = _pathwise if settings.algorithm == "pathwise" else _ppo
    algorithm, collector, trainer = make(problem, settings, policy, beginning, generator, common)
    return Training(problem, settings, baseline, policy, validation, algorithm, trainer, collector, best)


def _ppo(
    problem: Problem, settings: TrainSettings, policy: JointPolicy, beginning: OrderUpTo, generator: torch.Generator, common: dict[str, Any]
) -> tuple[JointPPO, RolloutCollector, OnPolicyTrainer]:
    periods, replications, epochs, updates = _schedule(problem, settings, min(settings.periods_per_update, problem.scenario.horizon))
    steps = updates * periods * replications
    algorithm = JointPPO(
        policy=policy,
        critic=Critic(policy.encoding, settings, settings.algorithm == "mappo").to(problem.network.size.device),
        optim=_optimizer(settings, epochs, updates),
        eps_clip=settings.clip,
        vf_coef=settings.value_weight,
        ent_coef=settings.entropy_weight,
        max_grad_norm=settings.max_grad_norm,
        gae_lambda=settings.gae_lambda,
        gamma=settings.discount,
        max_batchsize=max(1, 200_000 // problem.network.size.numel()),
        advantage_normalization=True,
        reward_mix=settings.mix,
        minibatches=settings.minibatches,
        generator=generator,
    )
    control, scale = beginning if settings.control_variate else None, reward_scale(problem, beginning, settings.seed)
    collector = RolloutCollector(problem, policy, periods, replications, settings.seed, scale, control)
    parameters = OnPolicyTrainerParams(
        max_epochs=epochs,
        epoch_num_steps=steps,
        training_collector=collector,
        collection_step_num_env_steps=periods * replications,
        batch_size=None,
        update_step_num_repetitions=settings.passes,
        **common,
    )
    return algorithm, collector, algorithm.create_trainer(parameters)


def _pathwise(
    problem: Problem, settings: TrainSettings, policy: JointPolicy, beginning: OrderUpTo, generator: torch.Generator, common: dict[str, Any]
) -> tuple[Pathwise, None, OfflineTrainer]:
    periods, replications, epochs, updates = _schedule(problem, settings, problem.scenario.horizon)
    algorithm = Pathwise(
        policy=policy,
        optim=_optimizer(settings, epochs, updates),
        problem=problem,
        scale=reward_scale(problem, beginning, settings.seed),
        max_grad_norm=settings.max_grad_norm,
    )
    parameters = OfflineTrainerParams(
        max_epochs=epochs,
        epoch_num_steps=updates,
        buffer=FreshTraces(problem, settings.seed),
        batch_size=periods * replications,
        **common,
    )
    return algorithm, None, algorithm.create_trainer(parameters)


def _optimizer(settings: TrainSettings, epochs: int, updates: int) -> OptimizerFactory:
    """With a learning rate that falls to 0 over so many updates in every epoch."""
    factory = OPTIMIZERS[settings.optimizer](settings.lr)
    factory.with_lr_scheduler_factory(LRSchedulerFactoryLinear(epochs, updates, 1))
    return factory


def train(
    problem: Problem,
    settings: TrainSettings,
    log_folder: Path | None = None,
    progress: Progress = silently,
    baseline: OrderUpTo | None = None,
) -> Trained:
    """Tune order-up-to unless it is given, train from there, and keep what does best on validation traces.

    Evaluation traces are never seen. Same settings, same versions, same number of threads: the same policy, bit for bit, on a CPU.
    """
    torch.set_num_threads(settings.threads)
    baseline = tune(problem, OrderUpTo.of(problem), settings.seed, progress=progress) if baseline is None else baseline
    training = prepare(problem, settings, baseline, log_folder)
    trainer = training.trainer
    trainer.reset()
    for _ in progress(range(trainer.params.max_epochs), f"training {settings.algorithm}"):
        result = trainer.execute_epoch().info_stat
    if log_folder is not None:
        _log_baseline(training, log_folder)
    return Trained(training.learned(), baseline, training.validation.percent_over_baseline(result.best_score))


def _score(stats: InventoryStats) -> float:
    return float(stats.returns.mean())


def _schedule(problem: Problem, settings: TrainSettings, periods: int) -> tuple[int, int, int, int]:
    """Periods and replications of an update, epochs (each ends with a validation), and updates of an epoch."""
    agents = problem.network.size.numel()
    replications = max(1, round(settings.decisions_per_update / agents / periods))
    updates = max(1, round(settings.decisions / (agents * periods * replications)))
    epochs = min(settings.validations, updates)
    return periods, replications, epochs, math.ceil(updates / epochs)


def reward_scale(problem: Problem, policy: Policy, seed: int) -> Tensor:
    """Per product (K, 1): the standard deviation of what a warehouse earns in a period under the policy, so that rewards are of order one."""
    trace = problem.trace("train", seed, range(8))
    with torch.no_grad():
        earned = torch.stack([rewards(moment.costs) for moment in play(problem, policy, trace, trusted=True)])
    spread = (earned - earned.mean((0, 3), keepdim=True)).square().mean((0, 2, 3)).sqrt().unsqueeze(-1)
    return torch.where(spread > 0, spread, torch.ones_like(spread))


def _log_baseline(training: Training, folder: Path) -> None:
    """The baseline as a run of its own, a level line in every chart of the validation results."""
    level = _logger(folder / "tuned-order-up-to")
    for step in (0, training.trainer._env_step):
        level.log_test_data(asdict(training.validation.baseline_stats), step)
    level.finalize()
    training.trainer.params.logger.finalize()


def _logger(folder: Path) -> BaseLogger:
    """Every update and validation is logged; flushing each time would cost more than writing."""
    folder.mkdir(parents=True, exist_ok=True)
    return TensorboardLogger(SummaryWriter(str(folder)), training_interval=1, update_interval=1, write_flush=False)
