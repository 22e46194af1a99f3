"""PPO with credit per product and warehouse: returns, advantages and ratios are (rows, K, N), as fine as
rewards are.

Schulman et al. (2017); with a critic of the whole network it is MAPPO (Yu et al. 2022), with local critics
IPPO (de Witt et al. 2020).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from tianshou.algorithm.modelfree.a2c import A2CTrainingStats
from tianshou.algorithm.modelfree.ppo import PPO
from tianshou.data import Batch, SequenceSummaryStats
from torch import Tensor, nn

from marl_inv.learning.buffer import TensorBuffer
from marl_inv.learning.foresight import REMEMBERED, Foresight
from marl_inv.learning.joint_policy import JointPolicy
from marl_inv.learning.parts import Built, Parts, minibatches, mix_rewards, on_policy
from marl_inv.models.distributions import PerAgentValues
from marl_inv.models.learned import Critic


class ValueUnits(nn.Module):
    """Running mean and standard deviation of returns, per product and warehouse: a critic's output times one
    plus the other is a value.

    Exponentially weighted, without bias towards the beginning (0 and 1, so that a critic says values
    themselves until there are returns).
    """

    mean: Float[Tensor, "K N"]
    square: Float[Tensor, "K N"]
    weight: Float[Tensor, ""]

    def __init__(self, products: int, warehouses: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(products, warehouses))
        self.register_buffer("square", torch.ones(products, warehouses))
        self.register_buffer("weight", torch.zeros(()))

    def learn(self, returns: Float[Tensor, "R K N"]) -> None:
        self.weight.mul_(REMEMBERED).add_(1 - REMEMBERED)
        share = (1 - REMEMBERED) / self.weight
        self.mean.lerp_(returns.mean(0), share)
        self.square.lerp_(returns.square().mean(0), share)

    @property
    def sd(self) -> Float[Tensor, "K N"]:
        return (self.square - self.mean.square()).clamp(min=1e-4).sqrt()

    def of(self, returns: Float[Tensor, "*R K N"]) -> Float[Tensor, "*R K N"]:
        return (returns - self.mean) / self.sd

    def value(self, output: Float[Tensor, "*R K N"]) -> Float[Tensor, "*R K N"]:
        return output * self.sd + self.mean


def build(parts: Parts) -> Built:
    problem, settings, policy = parts.problem, parts.settings, parts.policy
    plan = parts.plan(
        problem.scenario.horizon
        if policy.remembers
        else min(settings.periods_per_update, problem.scenario.horizon)
    )
    foresight = Foresight.beyond(policy.encoding) if settings.critic_sees == "privileged" else None
    algorithm = JointPPO(
        policy=policy,
        critic=Critic(foresight or policy.encoding, settings, settings.critic_sees != "local").to(
            problem.network.size
        ),
        optim=parts.optimizer(plan),
        eps_clip=settings.clip,
        vf_coef=settings.value_weight,
        ent_coef=settings.entropy_weight,
        max_grad_norm=settings.max_grad_norm,
        gae_lambda=settings.gae_lambda,
        gamma=settings.discount,
        max_batchsize=max(1, 200_000 // problem.network.size.numel()),
        advantage_normalization=True,
        reward_mix=settings.mix,
        replications=plan.replications,
        minibatches=settings.minibatches,
        generator=parts.generator,
        units=ValueUnits(*problem.network.size.shape).to(problem.network.size)
        if settings.value_normalisation
        else None,
    )
    return on_policy(parts, plan, algorithm, settings.passes, foresight)


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

    A terminated episode is worth nothing afterwards; a truncated one what the critic says of the state it was
    cut off in.
    """
    goes_on, unbroken = ~terminated[..., None, None], ~done[..., None, None]
    surprise = reward + discount * next_value * goes_on - value
    advantage, following = torch.empty_like(value), torch.zeros_like(value[0])
    for period in reversed(range(len(value))):
        following = surprise[period] + discount * gae_lambda * following * unbroken[period]
        advantage[period] = following
    return advantage


class JointPPO(PPO):
    """Tianshou's PPO over a TensorBuffer, with the joint policy's actions judged product by product and
    warehouse by warehouse.

    The critic sees `critic_obs` where the buffer has it, else what the actor sees, and speaks in `units`
    where there are some.
    """

    policy: JointPolicy

    def __init__(
        self,
        *,
        reward_mix: float,
        replications: int,
        minibatches: int,
        generator: torch.Generator,
        units: ValueUnits | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.reward_mix, self.replications, self.minibatches = reward_mix, replications, minibatches
        self.generator, self.units = generator, units

    def _add_returns_and_advantages(self, batch: Batch, buffer: TensorBuffer, indices: np.ndarray) -> Batch:
        with torch.no_grad():
            value = buffer.by_period(
                self._values(batch.critic_obs if "critic_obs" in batch.get_keys() else batch.obs)
            )
            next_value = torch.empty_like(value)
            next_value[:-1] = value[1:]
            for period, observation in buffer.after.items():
                next_value[period] = self._values(observation)
            reward = buffer.by_period(mix_rewards(self.policy.encoding.network, batch.rew, self.reward_mix))
            terminated, done = buffer.by_period(batch.terminated), buffer.by_period(batch.done)
            advantage = advantages(reward, value, next_value, terminated, done, self.gamma, self.gae_lambda)
            batch.returns = (value + advantage).flatten(0, 1)
            batch.adv = advantage.flatten(0, 1)
        return batch

    def _values(self, observations: Tensor) -> Tensor:
        outputs = torch.cat([self.critic(part) for part in observations.split(self.max_batchsize)])
        return outputs if self.units is None else self.units.value(outputs)

    def _preprocess_batch(self, batch: Batch, buffer: TensorBuffer, indices: np.ndarray) -> Batch:
        batch = self._add_returns_and_advantages(batch, buffer, indices)
        if self.units is not None:
            self.units.learn(batch.returns)
            batch.returns = self.units.of(batch.returns)
        if self.advantage_normalization:
            centred = batch.adv - batch.adv.mean(0)
            batch.adv = centred / (centred.square().mean((0, 2), keepdim=True).sqrt() + self._eps)
        self.seen = {"actions": batch.act, "advantages": batch.adv}
        return batch

    def _update_with_batch(self, batch: Batch, batch_size: int | None, repeat: int) -> A2CTrainingStats:
        losses = torch.stack(self._losses(batch, repeat)).cpu().numpy()
        kinds = zip(("loss", "actor_loss", "vf_loss", "ent_loss"), losses.T, strict=True)
        summary: dict[str, Any] = {kind: SequenceSummaryStats.from_sequence(values) for kind, values in kinds}
        return A2CTrainingStats(gradient_steps=len(losses), **summary)

    def _losses(self, batch: Batch, passes: int) -> list[Tensor]:
        """Of every gradient step, still on the device."""
        columns = [
            key for key in ("obs", "act", "logp", "adv", "returns", "critic_obs") if key in batch.get_keys()
        ]
        losses: list[Tensor] = []
        for _ in range(passes):
            for rows, episodes in minibatches(
                self.policy, len(batch.adv), self.replications, self.minibatches, self.generator
            ):
                losses.append(
                    self._step(episodes, **{key: batch[key].index_select(0, rows) for key in columns})
                )
        return losses

    def _step(
        self,
        episodes: int | None,
        obs: Tensor,
        act: Tensor,
        logp: Tensor,
        adv: Tensor,
        returns: Tensor,
        critic_obs: Tensor | None = None,
    ) -> Float[Tensor, " 4"]:
        distribution = self.policy.distribution(obs, episodes)
        assert not isinstance(distribution, PerAgentValues), "`TrainSettings` leaves that head to Q-learning"
        ratio = (distribution.log_prob(act) - logp).exp()
        actor_loss = -torch.min(ratio * adv, ratio.clamp(1 - self.eps_clip, 1 + self.eps_clip) * adv).mean()
        critic_loss = (returns - self.critic(obs if critic_obs is None else critic_obs)).square().mean()
        entropy = distribution.entropy().mean()
        loss = actor_loss + self.vf_coef * critic_loss - self.ent_coef * entropy
        self.optim.step(loss)
        return torch.stack([loss, actor_loss, critic_loss, entropy]).detach()
