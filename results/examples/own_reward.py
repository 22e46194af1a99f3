"""A reward of one's own: agents learn as if a lost customer hurt more than the scenario says; they are judged
by what it says.

From this folder:
    marl-inv train lost_sales --algorithm pathwise reward=own_reward:careful own.times=3
"""

from __future__ import annotations

from torch import Tensor

from marl_inv import load_problem
from marl_inv.episodes.rollout import Moment
from marl_inv.evaluation.evaluate import evaluate
from marl_inv.learning.settings import TrainSettings
from marl_inv.learning.train import train

DEFAULTS = {"own": {"times": 3.0}}


def careful(moment: Moment, settings: TrainSettings) -> Tensor:
    """(K, N, B), by product, warehouse and replication: what the objective counts, with shortage counted so
    many times."""
    return moment.costs.reward - (settings.own["times"] - 1) * moment.costs.shortage


if __name__ == "__main__":
    problem = load_problem("lost_sales", ["horizon=60", "warm_up=10"])
    quick = {
        "algorithm": "pathwise",
        "decisions": 250_000,
        "validations": 5,
        "validation_replications": 64,
        "model": "mlp",
        "keep": "last",
    }
    plain, careful_one = (
        train(problem, TrainSettings(**quick, reward=reward)).policy
        for reward in (None, "own_reward:careful")
    )
    for name, score in zip(
        ("plain", "careful"), evaluate(problem, [plain, careful_one], replications=128), strict=True
    ):
        print(f"{name}: cost {-score.reward.mean:.2f}, fill rate {score.fill_rate:.3f}")
