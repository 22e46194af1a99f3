"""An experiment that takes seconds, and what its cells hold."""

from __future__ import annotations

from pathlib import Path

import torch

from marl_inv.common.sealed import read_sealed
from marl_inv.experiments.cell import SCORES

SMALL = """scenarios:
  - {scenario: two_warehouses, settings: {horizon: 10, warm_up: 0}}
policies:
  - order_up_to
  - algorithm: mappo
    settings: {decisions: 2000, decisions_per_update: 500, validations: 2, validation_replications: 4, hidden: 8, model: mlp, start: newsvendor}
    one_at_a_time: {reward_mix: [0.0]}
seeds: 2
replications: 8
reference: order_up_to
"""


def metrics(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {
        cell.name: read_sealed(cell / SCORES, "")[1] for cell in folder.iterdir() if (cell / SCORES).exists()
    }


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[cell][key], other[cell][key]) for cell in one for key in one[cell]
    )
