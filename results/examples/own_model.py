"""A network of one's own: every warehouse from its own facts and the mean of what all say, with one set of
weights (deep sets).

From this folder:
    marl-inv train two_warehouses --model own_model:DeepSet --out runs/sets
    marl-inv compare two_warehouses runs/sets --allow-code
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from marl_inv import load_problem
from marl_inv.learning.settings import TrainSettings
from marl_inv.learning.train import train
from marl_inv.models.encoding import Encoding
from marl_inv.models.settings import ModelSettings


class DeepSet(nn.Module):
    """From features (R, K, N, inputs) to (R, K, N, hidden), for actor and critic: rows, products,
    warehouses."""

    def __init__(self, encoding: Encoding, settings: ModelSettings, inputs: int) -> None:
        super().__init__()
        self.register_buffer(
            "fixed", encoding.warehouse, persistent=False
        )  # (K, N, S): its costs, size, lead time
        self.own = nn.Linear(inputs + self.fixed.shape[-1], settings.hidden)
        self.heard = nn.Linear(settings.hidden, settings.hidden)

    def forward(self, features: Tensor) -> Tensor:
        fixed = self.fixed.expand(len(features), -1, -1, -1)
        x = torch.tanh(self.own(torch.cat([features, fixed], -1)))
        return x + torch.tanh(self.heard(x.mean(2, keepdim=True)))


if __name__ == "__main__":
    settings = TrainSettings(
        model="own_model:DeepSet",
        algorithm="pathwise",
        decisions=200_000,
        validations=5,
        validation_replications=256,
    )
    trained = train(load_problem("two_warehouses"), settings)
    print(f"pathwise with a deep set: {trained.percent_over_baseline:+.1f}% over tuned order-up-to")
