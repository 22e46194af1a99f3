"""An algorithm of one's own: what went better than for others is imitated, and the better it went the more
(advantage-weighted regression).

From this folder:
    marl-inv train lost_sales horizon=60 --model mlp --algorithm own_algorithm:build own.temperature=0.3
"""

import marl_inv
from marl_inv.learning.algorithms.reinforce import JointReinforce

DEFAULTS = {"lr": 3e-3, "decisions": 300_000, "own": {"temperature": 0.5}}


class AdvantageWeighted(JointReinforce):
    """REINFORCE whose weights are never negative: exp(advantage / temperature), in standard deviations, 10 at
    most."""

    def loss(self, distribution, action, advantage):
        weight = (advantage / advantage.std() / self.own["temperature"]).exp().clamp(max=10)
        return -(distribution.log_prob(action) * weight).mean()  # (rows, products, warehouses)


build = AdvantageWeighted.build

if __name__ == "__main__":
    short = ["horizon=60", "warm_up=10"]
    trained = marl_inv.train("lost_sales", short, algorithm="own_algorithm:build", model="mlp", validations=5)
    print(trained)
