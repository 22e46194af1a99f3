"""PPO with credit per product and warehouse: returns, advantages and ratios are (rows, K, N), as fine as rewards are.

Schulman et al. (2017); with a critic of the whole network it is MAPPO (Yu et al. 2022), with local critics IPPO (de Witt et al. 2020).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from tianshou.algorithm.modelfree.a2c import A2CTrainingStats
from tianshou.algorithm.modelfree.ppo import PPO
from tianshou.data import Batch, SequenceSummaryStats
from torch import Tensor

from marl_inv.learning.buffer import TensorBuffer


def mix_rewards(reward: Float[Tensor, "R K N"], mix: float) -> Float[Tensor, "R K N"]:
    """Each warehouse's own reward at mix 0, the mean over all warehouses at mix 1."""
    return reward if mix == 0 else (1 - mix) * reward + mix * reward.mean(-1, keepdim=True)


def advantages(
    reward: Float[Tensor, "T B K N"],
    value: Float[Tensor, "T B K N"],
    next_value: Float[Tensor, "T B K N"],
    terminated: Bool[Tensor, "T B"],
    done: Bool[Tensor, "T B"],
    discount: float,
    gae_lambda: float,
) -> Float[Tensor, "T B K N"]:
    """Generalised advantage estimates (Schulman et al. 2016), for every product and warehouse by itself.

    A terminated episode is worth nothing afterwards; a truncated one what the critic says of the state it was cut off in.
    """
    goes_on, unbroken = ~terminated[..., None, None], ~done[..., None, None]
    surprise = reward + discount * next_value * goes_on - value
    advantage, following = torch.empty_like(value), torch.zeros_like(value[0])
    for period in reversed(range(len(value))):
        following = surprise[period] + discount * gae_lambda * following * unbroken[period]
        advantage[period] = following
    return advantage


class JointPPO(PPO):
    """Tianshou's PPO over a TensorBuffer, with the joint policy's actions judged product by product and warehouse by warehouse."""

    def __init__(self, *, reward_mix: float, minibatches: int, generator: torch.Generator, **settings: Any) -> None:
        super().__init__(**settings)
        self.reward_mix, self.minibatches, self.generator = reward_mix, minibatches, generator

    def _add_returns_and_advantages(self, batch: Batch, buffer: TensorBuffer, indices: np.ndarray) -> Batch:
        with torch.no_grad():
            value = buffer.by_period(self._values(batch.obs))
            next_value = torch.empty_like(value)
            next_value[:-1] = value[1:]
            for period, observation in buffer.after.items():
                next_value[period] = self.critic(observation)
            reward = buffer.by_period(mix_rewards(batch.rew, self.reward_mix))
            terminated, done = buffer.by_period(batch.terminated), buffer.by_period(batch.done)
            advantage = advantages(reward, value, next_value, terminated, done, self.gamma, self.gae_lambda)
            batch.returns = (value + advantage).flatten(0, 1)
            batch.adv = advantage.flatten(0, 1)
        return batch

    def _values(self, observations: Tensor) -> Tensor:
        return torch.cat([self.critic(part) for part in observations.split(self.max_batchsize)])

    def _preprocess_batch(self, batch: Batch, buffer: TensorBuffer, indices: np.ndarray) -> Batch:
        batch = self._add_returns_and_advantages(batch, buffer, indices)
        if self.advantage_normalization:
            centred = batch.adv - batch.adv.mean(0)
            batch.adv = centred / (centred.square().mean((0, 2), keepdim=True).sqrt() + self._eps)
        return batch

    def _update_with_batch(self, batch: Batch, batch_size: int | None, repeat: int) -> A2CTrainingStats:
        rows = len(batch.adv)
        losses: list[Tensor] = []
        for _ in range(repeat):
            order = torch.randperm(rows, generator=self.generator, device=batch.adv.device)
            for part in order.chunk(self.minibatches):
                losses.append(self._step(*(batch[key].index_select(0, part) for key in ("obs", "act", "logp", "adv", "returns"))))
        loss, actor, critic, entropy = torch.stack(losses).cpu().unbind(1)
        summary = {"loss": loss, "actor_loss": actor, "vf_loss": critic, "ent_loss": entropy}
        return A2CTrainingStats(
            gradient_steps=len(losses), **{k: SequenceSummaryStats.from_sequence(v.tolist()) for k, v in summary.items()}
        )

    def _step(self, observation: Tensor, action: Tensor, logp: Tensor, advantage: Tensor, returns: Tensor) -> Tensor:
        """One gradient step on a minibatch; its losses, still on the device."""
        distribution = self.policy.distribution(observation)
        ratio = (distribution.log_prob(action) - logp).exp()
        actor_loss = -torch.min(ratio * advantage, ratio.clamp(1 - self.eps_clip, 1 + self.eps_clip) * advantage).mean()
        critic_loss = (returns - self.critic(observation)).square().mean()
        entropy = distribution.entropy().mean()
        loss = actor_loss + self.vf_coef * critic_loss - self.ent_coef * entropy
        self.optim.step(loss)
        return torch.stack([loss, actor_loss, critic_loss, entropy]).detach()
