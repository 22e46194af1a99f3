"""An algorithm of one's own: what went better than for others is imitated, and the better it went the more
(advantage-weighted regression).

From this folder:
    marl-inv train lost_sales horizon=60 --model mlp --algorithm own_algorithm:build own.temperature=0.3
"""

from __future__ import annotations

from torch import Tensor

from marl_inv import load_problem
from marl_inv.learning.algorithms.reinforce import JointReinforce, arguments
from marl_inv.learning.parts import Built, Parts, on_policy
from marl_inv.learning.settings import TrainSettings
from marl_inv.learning.train import train

DEFAULTS = {"lr": 3e-3, "decisions": 300_000, "own": {"temperature": 0.5}}


class AdvantageWeighted(JointReinforce):
    """REINFORCE whose weights are never negative: exp(advantage / temperature), in standard deviations, 10 at
    most."""

    def _step(self, episodes: int | None, observation: Tensor, action: Tensor, advantage: Tensor) -> Tensor:
        weight = (advantage / advantage.std() / self.temperature).exp().clamp(max=10)
        self.optim.step(
            loss := -(self.policy.distribution(observation, episodes).log_prob(action) * weight).mean()
        )
        return loss.detach()


def build(parts: Parts) -> Built:
    plan = parts.plan(
        parts.problem.scenario.horizon, fewest=2
    )  # whole episodes, and others to be compared with
    algorithm = AdvantageWeighted(**arguments(parts, plan))
    algorithm.temperature = parts.settings.own["temperature"]
    return on_policy(parts, plan, algorithm)


if __name__ == "__main__":
    settings = TrainSettings(algorithm="own_algorithm:build", model="mlp", validations=5)
    trained = train(load_problem("lost_sales", ["horizon=60", "warm_up=10"]), settings)
    print(f"{trained.policy.name}: {trained.percent_over_baseline:+.1f}% over tuned order-up-to")
