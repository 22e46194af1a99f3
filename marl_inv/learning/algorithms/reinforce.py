"""The policy gradient with credit per product and warehouse, and without a critic (Williams 1992).

What makes it noisy is taken off twice: what the starting policy earns on the same trace, by the collector;
and here the mean of what the other replications, which are in the same period, go on to earn. Neither depends
on the action judged, so the gradient stays unbiased.

Whole episodes are played. One that goes on beyond its trace has no critic to say what it is worth there; its
last periods, whose returns are cut short, would teach not to care for stock. So a period counts by the share
of its discounted future that was seen, 1 - discount^periods left: what bias stays is small, and smaller the
lower the discount. An episode that terminates counts fully.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from tianshou.algorithm.modelfree.reinforce import LossSequenceTrainingStats, Reinforce
from tianshou.data import Batch, SequenceSummaryStats
from torch import Tensor

from marl_inv.learning.buffer import TensorBuffer
from marl_inv.learning.joint_policy import JointPolicy
from marl_inv.learning.parts import Built, Parts, TrainingPlan, minibatches, mix_rewards, on_policy
from marl_inv.models.distributions import PerAgentLevels, PerAgentNormal, PerAgentValues

Explored = PerAgentNormal | PerAgentLevels
"""What actions are drawn from where whole distributions are learned."""


def returns_to_go(
    reward: Float[Tensor, "T B K N"],
    terminated: Bool[Tensor, "T B"],
    done: Bool[Tensor, "T B"],
    discount: float,
) -> tuple[Float[Tensor, "T B K N"], Float[Tensor, "T B"]]:
    """Discounted rewards from every period to the end of its episode or of the rollout, and the share of its
    discounted future that these are: 1 where the episode terminates."""
    returns, unseen = torch.empty_like(reward), reward.new_empty(done.shape)
    following, beyond = torch.zeros_like(reward[0]), reward.new_ones(done.shape[1])
    for period in reversed(range(len(reward))):
        following = reward[period] + discount * following * ~done[period][:, None, None]
        beyond = discount * torch.where(done[period], (~terminated[period]).to(beyond), beyond)
        returns[period], unseen[period] = following, beyond
    return returns, 1 - unseen


def above_the_others(returns: Float[Tensor, "T B K N"]) -> Float[Tensor, "T B K N"]:
    """What is more than the mean of the other replications in the same period."""
    replications = returns.shape[1]
    return (returns - returns.mean(1, keepdim=True)) * (replications / (replications - 1))


class JointReinforce(Reinforce):
    """Tianshou's Reinforce over a TensorBuffer. Every row is used once, in `minibatches` gradient steps.

    One that overrides `loss`, and reads settings of its own in `own`, is an algorithm: its `build`.
    """

    policy: JointPolicy

    def __init__(self, parts: Parts, plan: TrainingPlan) -> None:
        settings = parts.settings
        super().__init__(policy=parts.policy, optim=parts.optimizer(plan), gamma=settings.discount)
        self.optim._max_grad_norm = settings.max_grad_norm
        self.gamma, self.entropy_weight, self.reward_mix = (
            settings.discount,
            settings.entropy_weight,
            settings.mix,
        )
        self.replications, self.minibatches = plan.replications, settings.minibatches
        self.generator, self.own = parts.generator, settings.own

    @classmethod
    def build(cls, parts: Parts) -> Built:
        """With whole episodes, and at least two of them, to be compared with each other."""
        plan = parts.plan(parts.problem.scenario.horizon, fewest=2)
        return on_policy(parts, plan, cls(parts, plan))

    def loss(
        self, distribution: Explored, action: Float[Tensor, "R K A"], advantage: Float[Tensor, "R K N"]
    ) -> Float[Tensor, ""]:
        """What a gradient step lowers: of the distributions that actions were drawn from, and how much more
        than the others' each action earned."""
        gain = (distribution.log_prob(action) * advantage).mean()
        return -gain - self.entropy_weight * distribution.entropy().mean()

    def _preprocess_batch(self, batch: Batch, buffer: TensorBuffer, indices: np.ndarray) -> Batch:
        reward = buffer.by_period(mix_rewards(self.policy.encoding.network, batch.rew, self.reward_mix))
        terminated, done = buffer.by_period(batch.terminated), buffer.by_period(batch.done)
        returns, seen = returns_to_go(reward, terminated, done, self.gamma)
        batch.adv = (above_the_others(returns) * seen[..., None, None]).flatten(0, 1)
        self.seen = {"actions": batch.act, "advantages": batch.adv}
        return batch

    def _update_with_batch(
        self, batch: Batch, batch_size: int | None, repeat: int
    ) -> LossSequenceTrainingStats:
        losses = torch.stack(self._losses(batch)).cpu().numpy()
        return LossSequenceTrainingStats(loss=SequenceSummaryStats.from_sequence(losses))

    def _losses(self, batch: Batch) -> list[Tensor]:
        """Of every gradient step, still on the device."""
        return [
            self._step(episodes, *(batch[key].index_select(0, rows) for key in ("obs", "act", "adv")))
            for rows, episodes in minibatches(
                self.policy, len(batch.adv), self.replications, self.minibatches, self.generator
            )
        ]

    def _step(self, episodes: int | None, observation: Tensor, action: Tensor, advantage: Tensor) -> Tensor:
        distribution = self.policy.distribution(observation, episodes)
        assert not isinstance(distribution, PerAgentValues), "`TrainSettings` leaves that head to Q-learning"
        loss = self.loss(distribution, action, advantage)
        self.optim.step(loss)
        return loss.detach()


build = JointReinforce.build
