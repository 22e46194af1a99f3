"""All warehouses' policy as one Tianshou policy: a distribution over raw actions for every product and warehouse."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from jaxtyping import Float
from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
from tianshou.data import Batch
from torch import Tensor
from torch.distributions import Normal

from marl_inv.models.encoding import Encoding
from marl_inv.models.heads import Decider, action_owner
from marl_inv.models.learned import Actor


class PerAgentNormal(Normal):
    """Independent normals over raw actions, whose log-probability and entropy are (rows, K, N): summed over what each warehouse decides."""

    def __init__(self, mean: Float[Tensor, "R K A"], sigma: Float[Tensor, " A"], owner: Tensor, warehouses: int) -> None:
        super().__init__(mean, sigma.expand_as(mean), validate_args=False)
        self.owner, self.warehouses = owner, warehouses

    def _by_warehouse(self, values: Tensor) -> Tensor:
        return values.new_zeros(*values.shape[:2], self.warehouses).index_add(2, self.owner, values)

    def log_prob(self, value: Tensor) -> Float[Tensor, "R K N"]:
        return self._by_warehouse(super().log_prob(value))

    def entropy(self) -> Float[Tensor, "1 K N"]:
        """The same for all rows, since the standard deviation is."""
        return self._by_warehouse(super().entropy()[:1])


class JointPolicy(ProbabilisticActorPolicy):
    """Explores within a training step, plays the mean outside; `decide` turns raw actions into a Decision."""

    def __init__(self, actor: Actor, encoding: Encoding, promotion: Float[Tensor, "K N"] | None, generator: torch.Generator) -> None:
        self._warehouses = len(encoding.network.warehouses)
        super().__init__(
            actor=actor,
            dist_fn=self._of_parameters,
            deterministic_eval=True,
            action_space=Box(-np.inf, np.inf, (1,)),
            action_scaling=False,
            action_bound_method=None,
        )
        self.encoding, self.decide, self.generator = encoding, Decider(encoding, promotion), generator
        self.register_buffer("owner", action_owner(encoding), persistent=False)

    def _of_parameters(self, parameters: tuple[Tensor, Tensor]) -> PerAgentNormal:
        return PerAgentNormal(*parameters, self.owner, self._warehouses)

    def distribution(self, features: Float[Tensor, "R K N F"]) -> PerAgentNormal:
        return self._of_parameters(self.actor(features))

    def forward(self, batch: Batch, state: Any = None, **kwargs: Any) -> Batch:
        """`obs` (rows, K, N, F) to `act` (rows, K, A), `dist`, and, while exploring, `logp` (rows, K, N)."""
        distribution = self.distribution(batch.obs)
        if not self.is_within_training_step:
            return Batch(act=distribution.mean, dist=distribution, logp=None)
        noise = torch.randn(
            distribution.mean.shape, generator=self.generator, device=distribution.mean.device, dtype=distribution.mean.dtype
        )
        action = (distribution.mean + distribution.stddev * noise).detach()
        return Batch(act=action, dist=distribution, logp=distribution.log_prob(action))
