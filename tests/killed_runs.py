"""What the processes do that test_checkpoint kills. They are forked from one that has imported all of this,
so that they start at once."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import torch

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.episodes.problem import Problem
from marl_inv.learning.checkpoint import write_checkpoint
from marl_inv.learning.runs import run_training
from marl_inv.learning.settings import TrainSettings
from marl_inv.learning.train import prepare
from marl_inv.scenario import Scenario, load_scenario

CHANGES = ["horizon=10", "warm_up=0"]
VALIDATIONS, LONGER = 5, 15
QUICK: dict[str, Any] = {
    "decisions": 500 * VALIDATIONS,
    "decisions_per_update": 500,
    "periods_per_update": 7,
    "validations": VALIDATIONS,
    "validation_replications": 4,
    "hidden": 8,
    "model": "mlp",
    "passes": 1,
}
"""Updates end in the middle of an episode, and a validation follows each."""


def scenario() -> Scenario:
    return load_scenario("two_warehouses", CHANGES)


def settings(**changes: Any) -> TrainSettings:
    return TrainSettings(**(QUICK | changes))


def train_in(folder: Path, algorithm: str) -> None:
    longer = settings(algorithm=algorithm, decisions=500 * LONGER, validations=LONGER)
    run_training(scenario(), longer, folder, resume=True)


def keep_writing(folder: Path) -> None:
    """Checkpoints one after the other; number n says n, and holds a million bytes of it."""
    for number in count():
        write_checkpoint(
            folder, {"scenario": "none"}, {"number": number, "all": torch.full((250_000,), number)}
        )


torch.set_num_threads(1)
if __name__ == "killed_runs":  # numba compiles for seconds when Tianshou makes its first policy
    problem = Problem.of(scenario())
    prepare(problem, settings(), OrderUpTo.of(problem))
