"""All warehouses' policy as one Tianshou policy: a distribution over raw actions for every product and
warehouse."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from jaxtyping import Float
from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
from tianshou.data import Batch
from torch import Tensor

from marl_inv.episodes.view import View
from marl_inv.models.distributions import PerAgentLevels, PerAgentNormal, PerAgentValues
from marl_inv.models.encoding import Encoding
from marl_inv.models.heads import Decider
from marl_inv.models.learned import Actor
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision

Distribution = PerAgentNormal | PerAgentLevels | PerAgentValues


def _as_it_is(distribution: Distribution) -> Distribution:
    """What Tianshou makes of the actor's output: it is a distribution already."""
    return distribution


class JointPolicy(ProbabilisticActorPolicy):
    """Explores within a training step, plays the mean outside; `decide` turns raw actions into a Decision."""

    actor: Actor

    def __init__(
        self,
        actor: Actor,
        encoding: Encoding,
        promotion: Float[Tensor, "K N"] | None,
        generator: torch.Generator,
    ) -> None:
        super().__init__(
            actor=actor,  # pyright: ignore[reportArgumentType]  # only our own `forward` calls it
            dist_fn=_as_it_is,  # pyright: ignore[reportArgumentType]  # as is what it makes
            deterministic_eval=True,
            action_space=Box(-np.inf, np.inf, (1,)),
            action_scaling=False,
            action_bound_method=None,
        )
        self.encoding, self.decide, self.generator = (
            encoding,
            Decider(encoding, promotion, actor.settings.head),
            generator,
        )

    @property
    def model(self) -> Actor:
        """What Tianshou's Q-learning calls it."""
        return self.actor

    @property
    def remembers(self) -> bool:
        return self.actor.gru is not None

    def distribution(
        self, observation: Float[Tensor, "R K N FD"], episodes: int | None = None
    ) -> Distribution:
        """Of rows in any order; of a policy that remembers, of so many episodes from the beginning, period by
        period."""
        if not self.remembers:
            return self.actor(observation)
        assert episodes is not None, "rows of a policy that remembers are whole episodes"
        memory = self.actor.recall(observation.unflatten(0, (-1, episodes)))
        assert memory is not None
        return self.actor(observation, memory.flatten(0, 1))

    def forward(self, batch: Batch, state: Tensor | None = None, **kwargs: Any) -> Batch:
        """`obs` (rows, K, N, F) to `act` (rows, K, A), `dist`, while exploring `logp` (rows, K, N), and the
        memory, `state`."""
        memory = self.actor.remember(batch.obs, state)
        distribution = self.actor(batch.obs, memory)
        if not self.is_within_training_step:
            return Batch(act=distribution.mode, dist=distribution, logp=None, state=memory)
        action = distribution.draw(self.generator).detach()
        return Batch(act=action, dist=distribution, logp=distribution.log_prob(action), state=memory)


class MeanActions:
    """What the policy plays when it does not explore, with its gradient."""

    name, knows = "in training", ""

    def __init__(self, policy: JointPolicy) -> None:
        self.policy = policy

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: Tensor | None) -> tuple[Decision, Tensor | None]:
        policy = self.policy
        observation = policy.encoding(view)
        memory = policy.actor.remember(observation, memory)
        return policy.decide(policy.actor(observation, memory).mode, view), memory
