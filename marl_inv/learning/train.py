"""A training run: builds the parts, hands them to Tianshou's trainer, and returns the best policy found on validation traces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tianshou.algorithm.algorithm_base import Algorithm
from tianshou.trainer import Trainer
from tianshou.utils import BaseLogger, TensorboardLogger
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from marl_inv.baselines.echelon import EchelonBaseStock
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.baselines.tuning import mean_reward, tune
from marl_inv.learning import pathwise, ppo, reinforce
from marl_inv.learning.collector import InventoryStats, RolloutCollector, ValidationCollector
from marl_inv.learning.parts import Beginning, Built, Parts
from marl_inv.learning.policy import JointPolicy
from marl_inv.learning.settings import TrainSettings
from marl_inv.models.encoding import Encoding
from marl_inv.models.learned import Actor, LearnedPolicy
from marl_inv.problem import Problem
from marl_inv.progress import Progress, silently

ALGORITHMS: dict[str, Callable[[Parts], Built]] = {
    "mappo": ppo.build,
    "ippo": ppo.build,
    "reinforce": reinforce.build,
    "pathwise": pathwise.build,
}
"""How each is put together; a new one is a file, a line here, and its name and defaults in `settings`."""

VALIDATION_DECISIONS = 1_500_000
"""A validation plays at most so many decisions: fewer replications of a network of many products."""


@dataclass(frozen=True)
class Trained:
    policy: LearnedPolicy
    baseline: OrderUpTo
    """Tuned order-up-to, by which the run was judged."""
    beginning: Beginning
    """What the policy was before training."""
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
    algorithm: Algorithm
    trainer: Trainer
    collector: RolloutCollector | None
    """Plays the policy in training; None where learning does it itself."""
    best: dict[str, Tensor]

    def learned(self) -> LearnedPolicy:
        """The best policy so far, which is that of the start before training began."""
        self.policy.actor.load_state_dict(self.best)
        return LearnedPolicy(self.settings.algorithm, self.policy.actor.eval(), self.policy.encoding, self.policy.decide.promotion)


def prepare(
    problem: Problem,
    settings: TrainSettings,
    baseline: OrderUpTo,
    beginning: Beginning | None = None,
    log_folder: Path | None = None,
) -> Training:
    """Build policy, collectors, algorithm and trainer for a problem; everything random comes from `settings.seed`.

    The policy begins as `beginning`, or as the baseline.
    """
    beginning = beginning or baseline
    device = problem.network.size.device
    torch.manual_seed(settings.seed)
    generator = torch.Generator(device).manual_seed(settings.seed)
    encoding = Encoding.of(problem, beginning.levels, beginning.members)
    actor = Actor(encoding, settings).to(device)
    policy = JointPolicy(actor, encoding, beginning.promotion, generator)
    tries = _tries(problem, settings)
    validation = ValidationCollector(problem, policy, tries, settings.seed, baseline)
    best = {name: tensor.clone() for name, tensor in actor.state_dict().items()}

    def keep(algorithm: Algorithm) -> None:
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
    built = ALGORITHMS[settings.algorithm](Parts(problem, settings, policy, beginning, generator, common))
    return Training(problem, settings, baseline, policy, validation, built.algorithm, built.trainer, built.collector, best)


def _tries(problem: Problem, settings: TrainSettings) -> int:
    """Validation traces."""
    return max(2, min(settings.validation_replications, VALIDATION_DECISIONS // (problem.network.size.numel() * problem.scenario.horizon)))


def begin_at(problem: Problem, settings: TrainSettings, baseline: OrderUpTo, progress: Progress) -> Beginning:
    """Order-up-to, or echelon base-stock where warehouses feed others and it does better on validation traces."""
    tuned = settings.start == "tuned"
    plain = baseline if tuned else OrderUpTo.of(problem)
    if not bool((problem.network.source_lane >= problem.network.replenishments).any()):
        return plain
    echelon = EchelonBaseStock.of(problem)
    if tuned:
        echelon = tune(problem, echelon, settings.seed, progress=progress)
    trace = problem.trace("validate", settings.seed, range(_tries(problem, settings)))
    with torch.no_grad():
        return max((plain, echelon), key=lambda policy: float(mean_reward(problem, policy, trace)))


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
    beginning = begin_at(problem, settings, baseline, progress)
    training = prepare(problem, settings, baseline, beginning, log_folder)
    trainer = training.trainer
    trainer.reset()
    for _ in progress(range(trainer.params.max_epochs), f"training {settings.algorithm}"):
        result = trainer.execute_epoch().info_stat
        if 0 < settings.patience <= trainer._epoch - trainer._best_epoch:
            break
    if log_folder is not None:
        _log_baseline(training, log_folder)
    return Trained(training.learned(), baseline, beginning, training.validation.percent_over_baseline(result.best_score))


def _score(stats: InventoryStats) -> float:
    return float(stats.returns.mean())


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
