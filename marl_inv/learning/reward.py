"""What agents learn from: what the objective counts, or a reward of one's own.

One's own is a function `reward(moment, settings)` of a period as it was played (`rollout.Moment`: its view,
flows, costs, and the state it led to) and of the settings of training, which gives a reward for every
product, warehouse and replication, (K, N, B). It is for training only: validation, which chooses the policy
to keep, and evaluation count what the scenario's objective does. Under `pathwise` its gradient is taken, so
it must be made of differentiable operations of torch.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from marl_inv.common.errors import InputError
from marl_inv.common.plugins import imported
from marl_inv.episodes.rollout import Moment
from marl_inv.learning.settings import TrainSettings

Reward = Callable[[Moment], Float[Tensor, "K N B"]]


def objective(moment: Moment) -> Float[Tensor, "K N B"]:
    """What the scenario's objective counts."""
    return moment.costs.reward


def reward_of(settings: TrainSettings) -> Reward:
    if settings.reward is None:
        return objective
    name, function = settings.reward, imported(settings.reward)

    def of_ones_own(moment: Moment) -> Float[Tensor, "K N B"]:
        reward, shape = function(moment, settings), tuple(moment.costs.reward.shape)
        if not isinstance(reward, Tensor) or reward.shape != shape:
            given = tuple(reward.shape) if isinstance(reward, Tensor) else type(reward).__name__
            raise InputError(
                f"{name}: gives {given}; give a tensor {shape}: products, warehouses, replications"
            )
        return reward

    return of_ones_own
