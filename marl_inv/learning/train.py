"""A training run: builds the parts, hands them to Tianshou's trainer, and returns the best policy found on
validation traces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tianshou.algorithm.algorithm_base import Algorithm
from tianshou.trainer import Trainer
from tianshou.utils import BaseLogger, TensorboardLogger
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.baselines.tuning import tune
from marl_inv.chance.shocks import Shocks
from marl_inv.common.errors import InputError
from marl_inv.common.plugins import imported, is_own
from marl_inv.common.printed import Recorded
from marl_inv.common.progress import Progress, Say, say_nothing, silently
from marl_inv.episodes.problem import Problem
from marl_inv.evaluation.metrics import Totals
from marl_inv.learning import dashboard
from marl_inv.learning.algorithms import pathwise, ppo, qlearning, reinforce
from marl_inv.learning.algorithms.pathwise import FreshTraces
from marl_inv.learning.begin import begin_at, policy_at, tries_of
from marl_inv.learning.checkpoint import (
    Nested,
    algorithm_state,
    chance_state,
    from_fields,
    read_checkpoint,
    realign,
    record,
    restore_algorithm,
    restore_chance,
    restore_trainer,
    run_of,
    trainer_state,
    write_checkpoint,
)
from marl_inv.learning.collector import InventoryStats, RolloutCollector, ValidationCollector
from marl_inv.learning.event_files import (
    BASELINE_EVENTS,
    BOUND_EVENTS,
    CHECKPOINT,
    cut_back,
    digests_of,
    events,
)
from marl_inv.learning.footprint import check_memory
from marl_inv.learning.joint_policy import JointPolicy
from marl_inv.learning.parts import Built, Parts
from marl_inv.learning.settings import TrainSettings
from marl_inv.models.encoding import Beginning, Vocabulary
from marl_inv.models.learned import BEGINNINGS, Actor, LearnedPolicy, encode, run_digest

ALGORITHMS: dict[str, Callable[[Parts], Built]] = {
    "mappo": ppo.build,
    "ippo": ppo.build,
    "reinforce": reinforce.build,
    "pathwise": pathwise.build,
    "iql": qlearning.build,
    "vdn": qlearning.build,
    "qmix": qlearning.build,
}
"""How each is put together; a new one is a file, a line here, and its name and defaults in `settings`."""


@dataclass(frozen=True)
class Trained(Recorded):
    policy: LearnedPolicy
    baseline: OrderUpTo
    """Tuned order-up-to, by which the run was judged."""
    beginning: Beginning
    """What the policy was before training."""
    percent_over_baseline: float
    """On validation traces."""

    def __repr__(self) -> str:
        return (
            f"Trained({self.policy!r}, {self.percent_over_baseline:+.1f}% over {self.baseline.name} on "
            "validation traces)"
        )

    def records(self) -> list[dict[str, Any]]:
        """One row, with all digits: who was trained, and what it is worth."""
        return [
            {
                "policy": self.policy.name,
                "knows": self.policy.knows,
                "reference": self.baseline.name,
                "gain_percent": self.percent_over_baseline,
            }
        ]


@dataclass
class Training:
    """One run, put together: `trainer` runs it an epoch at a time (Tianshou's), `learned` is the policy to
    keep."""

    problem: Problem
    settings: TrainSettings
    baseline: OrderUpTo
    beginning: Beginning
    policy: JointPolicy
    validation: ValidationCollector
    algorithm: Algorithm
    trainer: Trainer
    collector: RolloutCollector | None
    """Plays the policy in training; None where learning does it itself."""
    best: dict[str, Tensor]

    @property
    def over(self) -> bool:
        epoch, since = self.trainer._epoch, self.trainer._epoch - self.trainer._best_epoch
        return epoch == self.trainer.params.max_epochs or 0 < self.settings.patience <= since

    def shown(self) -> tuple[SummaryWriter, int, Totals, dict[str, Tensor]]:
        """Where TensorBoard's events go, the step they are of, the latest validation, and what the latest
        update learned from."""
        return (
            self.trainer.params.logger.writer,
            self.trainer._env_step,
            self.validation.record,
            getattr(self.algorithm, "seen", {}),
        )

    @property
    def experience(self) -> RolloutCollector | FreshTraces:
        """What learning learns from."""
        return self.trainer.params.buffer if self.collector is None else self.collector

    def state(self) -> Nested:
        """All that `prepare` cannot make again, between two epochs."""
        return {
            "baseline": record(self.baseline),
            "beginning": {"kind": type(self.beginning).__name__, "policy": record(self.beginning)},
            "vocabulary": asdict(self.policy.encoding.vocabulary),
            "algorithm": algorithm_state(self.algorithm),
            "best": self.best,
            "trainer": trainer_state(self.trainer),
            "experience": self.experience.state(),
            "validation": self.validation.state(),
            "chance": chance_state(self.policy.generator),
            "decisions": self.settings.decisions,
        }

    def restore(self, state: Nested) -> None:
        """Go on from where `state` was told."""
        restore_algorithm(self.algorithm, state["algorithm"])
        self.best.update(state["best"])
        restore_trainer(self.trainer, state["trainer"])
        self.experience.restore(state["experience"])
        self.validation.restore(state["validation"])
        restore_chance(self.policy.generator, state["chance"])

    def percent_over_baseline(self) -> float:
        """On validation traces, of the policy to keep."""
        if self.settings.keep == "last":
            return self.validation.percent_now()
        return self.validation.percent_over_baseline(self.trainer._best_score)

    def learned(self) -> LearnedPolicy:
        """The policy to keep, so far: before training began, that of the start."""
        if self.settings.keep == "best":
            self.policy.actor.load_state_dict(self.best)
        return LearnedPolicy(
            self.settings.algorithm,
            self.policy.actor.eval(),
            self.policy.encoding,
            self.policy.decide.promotion,
        )


def prepare(
    problem: Problem,
    settings: TrainSettings,
    baseline: OrderUpTo,
    beginning: Beginning | None = None,
    log_folder: Path | None = None,
    vocabulary: Vocabulary | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> Training:
    """Build policy, collectors, algorithm and trainer for a problem; everything random comes from
    `settings.seed`.

    The policy begins as `beginning`, or as the baseline: in the features of a vocabulary and with weights of
    an actor, where these are given.
    """
    beginning = beginning or baseline
    device = problem.network.size.device
    torch.manual_seed(settings.seed)
    generator = torch.Generator(device).manual_seed(settings.seed)
    encoding = encode(problem, beginning, settings, vocabulary)
    actor = Actor(encoding, settings).to(problem.network.size)
    if weights is not None:
        actor.load_state_dict(weights)
    policy = JointPolicy(actor, encoding, beginning.promotion, generator)
    tries, robust = tries_of(problem, settings), settings.robust
    played = problem if robust is None else problem.under(Shocks.of(robust.shocks, robust.share))
    validation = ValidationCollector(played, policy, tries, settings.seed, baseline)
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
    built = _built(settings.algorithm, Parts(played, settings, policy, beginning, generator, common))
    return Training(
        problem,
        settings,
        baseline,
        beginning,
        policy,
        validation,
        built.algorithm,
        built.trainer,
        built.collector,
        best,
    )


def _built(algorithm: str, parts: Parts) -> Built:
    """By its name, or by a `build` of one's own."""
    built = (imported(algorithm) if is_own(algorithm) else ALGORITHMS[algorithm])(parts)
    if not isinstance(built, Built):
        raise InputError(
            f"{algorithm}: returns {type(built).__name__}; return a Built, as `build` of "
            "marl_inv/learning/algorithms/reinforce.py does"
        )
    return built


def train(
    problem: Problem,
    settings: TrainSettings,
    folder: Path | None = None,
    progress: Progress = silently,
    baseline: OrderUpTo | None = None,
    resume: bool = False,
    say: Say = say_nothing,
) -> Trained:
    """Tune order-up-to unless it is given, train from there, and keep what does best on validation traces, or
    what comes last.

    Evaluation traces are never seen. Same settings, same versions, same number of threads: the same policy,
    bit for bit, on a CPU; also when the run is stopped at any moment and goes on with `resume`, for with a
    `folder` all of it is kept there after every validation.
    """
    torch.set_num_threads(settings.threads)
    training = _taken_up(problem, settings, folder, say) if resume and folder is not None else None
    if training is None:
        training = _begun(problem, settings, folder, progress, baseline)
        if settings.begins_at is not None:
            say(f"{settings.begins_at}: training begins with its policy; all else begins anew")
    check_memory(training, say)
    trainer = training.trainer
    for _ in progress(range(trainer._epoch, trainer.params.max_epochs), f"training {settings.algorithm}"):
        if training.over:
            break
        trainer.execute_epoch()
        if folder is not None:
            dashboard.validated(*training.shown())
        _keep(training, folder)
    learned, percent = training.learned(), training.percent_over_baseline()
    if settings.keep == "best" and trainer._best_epoch == 0:
        say(f"no validation was better than {training.beginning.name}, where training began: that is kept")
    if folder is not None:
        learned.save(folder, settings, {"run": run_digest(run_of(problem.scenario, settings))})
        writer, step, record, _ = training.shown()
        dashboard.end(writer, step, record, problem, settings, percent)
        _log_levels(training, folder)
    return Trained(learned, training.baseline, training.beginning, percent)


def _begun(
    problem: Problem,
    settings: TrainSettings,
    folder: Path | None,
    progress: Progress,
    baseline: OrderUpTo | None,
) -> Training:
    if baseline is None:
        order_up_to: OrderUpTo = tune(problem, OrderUpTo.of(problem), settings.seed, progress=progress)
    else:
        order_up_to = baseline
    if settings.begins_at is None:
        beginning = begin_at(problem, settings, order_up_to, progress)
        training = prepare(problem, settings, order_up_to, beginning, folder)
    else:
        learned = policy_at(settings.begins_at, problem, settings)
        beginning, vocabulary = learned.encoding.beginning, learned.encoding.vocabulary
        if isinstance(beginning, OrderUpTo):
            beginning = replace(beginning, promotion=learned.promotion)
        weights = learned.actor.state_dict()
        training = prepare(problem, settings, order_up_to, beginning, folder, vocabulary, weights)
    training.trainer.reset()
    if folder is not None:
        dashboard.begin(training.trainer.params.logger.writer, problem, settings)
        dashboard.validated(*training.shown())
    _keep(training, folder)
    return training


def _taken_up(problem: Problem, settings: TrainSettings, folder: Path, say: Say) -> Training | None:
    """The run in a folder as it was at its last checkpoint; None where there is none yet."""
    state = read_checkpoint(folder, run_of(problem.scenario, settings), say)
    if state is None:
        cut_back(folder, {})
        return None
    device = problem.network.size.device
    try:
        cut_back(folder, state["events"])
        baseline = from_fields(OrderUpTo, state["baseline"], device)
        beginning = from_fields(BEGINNINGS[state["beginning"]["kind"]], state["beginning"]["policy"], device)
        vocabulary = state["vocabulary"] | {"facts": tuple(state["vocabulary"]["facts"])}
        training = prepare(problem, settings, baseline, beginning, folder, Vocabulary(**vocabulary))
        training.restore(state)
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        what = str(error).partition("\n")[0]
        raise InputError(
            f"{folder / CHECKPOINT}: does not fit this version of marl_inv ({what}); train again, with "
            "another --out"
        ) from error
    if (rates := realign(training.algorithm)) is not None:
        fallen, again = rates
        say(
            f"{folder}: its learning rate had fallen to {fallen:.2g} and falls again from {again:.2g}; only "
            "with schedule=constant does a run that goes on for longer end as one of that length"
        )
    epochs = training.trainer.params.max_epochs
    longer = settings.decisions > state.get("decisions", settings.decisions)
    why = ", for the decisions added are fewer than an update takes" * longer
    say(
        f"{folder}: has finished already{why}"
        if training.over
        else f"{folder}: goes on after validation {training.trainer._epoch} of {epochs}"
    )
    return training


def _keep(training: Training, folder: Path | None) -> None:
    """Write a checkpoint, which also says how much of TensorBoard's events it covers."""
    if folder is None:
        return
    training.trainer.params.logger.writer.flush()
    lengths = events(folder)
    write_checkpoint(
        folder,
        run_of(training.problem.scenario, training.settings),
        training.state() | {"events": lengths, "event_digests": digests_of(folder, lengths)},
    )


def _score(stats: InventoryStats) -> float:
    return float(stats.returns.mean())


def _log_levels(training: Training, folder: Path) -> None:
    """The baseline, and the bound where there is one, as runs of their own: level lines in the charts of the
    validation results."""
    scenario = training.problem.scenario
    levels = {BASELINE_EVENTS: asdict(training.validation.baseline_stats)}
    if (best := dashboard.bound(training.problem)) is not None:
        levels[BOUND_EVENTS] = {"money": {scenario.measured: best}}
    for name, data in levels.items():
        level = _logger(folder / name)
        for step in (0, training.trainer._env_step):
            level.log_test_data(data, step)
        level.finalize()
    training.trainer.params.logger.finalize()


def _logger(folder: Path) -> BaseLogger:
    """Every update and validation is logged; flushing each time would cost more than writing."""
    folder.mkdir(parents=True, exist_ok=True)
    return TensorboardLogger(
        SummaryWriter(str(folder)), training_interval=1, update_interval=1, write_flush=False
    )
