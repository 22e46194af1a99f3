"""Deep Q-learning of order levels, lane by lane: everyone for itself (IQL), or what all choices are worth
together (VDN, QMIX).

After Mnih et al. (2015), with a replay of what was played, a network of the past to learn from, and returns
of several periods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from tianshou.algorithm.modelfree.dqn import DQN
from tianshou.algorithm.modelfree.reinforce import SimpleLossTrainingStats
from tianshou.data import Batch
from tianshou.trainer import OffPolicyTrainer, OffPolicyTrainerParams
from torch.nn import functional
from tqdm import tqdm

from marl_inv.episodes.decisions import choice_owner
from marl_inv.learning.buffer import TensorReplay
from marl_inv.learning.parts import Built, Parts, mix_rewards
from marl_inv.models.mixers import Independent, Mean, Mixer, Monotone

MIXERS: dict[str, type[Mixer]] = {"iql": Independent, "vdn": Mean, "qmix": Monotone}


EXPLORING_FIRST = 0.3
"""Share of periods in which somebody chooses at random, in the beginning. All of them would starve the
network; and if somebody always did, the others could not learn what their own choices are worth."""


EXPLORING_UNTIL = 0.5
"""Share of the run after which no less is left to chance."""


def build(parts: Parts) -> Built:
    problem, settings, policy = parts.problem, parts.settings, parts.policy
    plan = parts.plan(min(settings.periods_per_update, problem.scenario.horizon))
    steps = settings.passes * settings.minibatches
    decisions = problem.network.size.numel()
    slots = max(plan.periods + problem.scenario.horizon, settings.replay // (decisions * plan.replications))
    policy.mixer = MIXERS[settings.algorithm](policy.encoding, settings).to(problem.network.size)
    algorithm = JointDQN(
        policy=policy,
        optim=parts.optimizer(plan, steps),
        gamma=settings.discount,
        n_step_return_horizon=settings.n_step,
        target_update_freq=settings.target_every,
        is_double=settings.double,
        reward_mix=settings.mix,
        max_grad_norm=settings.max_grad_norm,
        exploring=settings.exploring,
        exploring_for=EXPLORING_UNTIL * plan.epochs * plan.updates * steps,
    )
    replay = TensorReplay(slots, plan.replications, parts.generator, settings.n_step, settings.discount)
    collector = parts.collector(plan, buffer=replay)
    parameters = OffPolicyTrainerParams(
        max_epochs=plan.epochs,
        epoch_num_steps=plan.updates * plan.steps,
        training_collector=collector,
        collection_step_num_env_steps=plan.steps,
        batch_size=max(1, plan.steps // settings.minibatches),
        update_step_num_gradient_steps_per_sample=steps / plan.steps,
        **parts.common,
    )
    return Built(algorithm, algorithm.create_trainer(parameters), collector)


class _QuietTrainer(OffPolicyTrainer):
    """Tianshou's, which shows a bar for many gradient steps whatever it is told."""

    @property
    def _pbar(self) -> Callable[..., Any]:
        return lambda *loop, **options: tqdm(*loop, **options | {"disable": True})


class JointDQN(DQN):
    """Tianshou's DQN over a TensorReplay. A warehouse's value is the sum over its lanes; `policy.mixer` makes
    of those what is learned."""

    def __init__(
        self,
        *,
        reward_mix: float,
        max_grad_norm: float,
        exploring: float,
        exploring_for: float,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.optim._max_grad_norm = max_grad_norm
        self.reward_mix, self.exploring, self.exploring_for = reward_mix, exploring, exploring_for
        self.mixer_old = self._add_lagged_network(self.policy.mixer)
        network = self.policy.encoding.network
        self.choices = len(choice_owner(network)) / (
            1 if network.component is None else int(network.component.max()) + 1
        )
        """Of a network."""

    def create_trainer(self, params: OffPolicyTrainerParams) -> OffPolicyTrainer:
        return _QuietTrainer(self, params)

    def _preprocess_batch(self, batch: Batch, buffer: TensorReplay, indices: np.ndarray) -> Batch:
        network, mixer = self.policy.encoding.network, self.policy.mixer
        reward = network.mean(batch.rew) if mixer.team else mix_rewards(network, batch.rew, self.reward_mix)
        with torch.no_grad():
            assert self.model_old is not None, "there is a lagged network: `target_update_freq` is above 0"
            before = self.model_old(batch.after)
            choice = self.policy.distribution(batch.after).mode if self.is_double else before.mode
            batch.returns = reward + batch.factor.view(-1, 1, 1) * self.mixer_old(
                before.worth(choice), batch.after
            )
        self.seen = {"actions": batch.act}
        return batch

    def _update_with_batch(self, batch: Batch) -> SimpleLossTrainingStats:
        self._periodically_update_lagged_network_weights()
        self._explore()
        value = self.policy.mixer(self.policy.distribution(batch.obs).worth(batch.act), batch.obs)
        loss = functional.smooth_l1_loss(value, batch.returns)
        self.optim.step(loss)
        return SimpleLossTrainingStats(loss=loss.item())

    def _explore(self) -> None:
        """As much as at this point of the run."""
        done = min(1.0, self._iter / self.exploring_for)
        share = EXPLORING_FIRST + (self.exploring - EXPLORING_FIRST) * done
        self.policy.actor.head.exploring.fill_(share / self.choices)
