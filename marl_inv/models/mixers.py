"""From what each warehouse's choice is worth to it to what all choices are worth together."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from marl_inv.models.encoding import Encoding
from marl_inv.models.settings import ModelSettings

UNITS = 16
"""Of the mixing network."""


class Mixer(nn.Module):
    """`team`: one value for all of a component, of their mean reward; else everyone has its own."""

    team = True

    def __init__(self, encoding: Encoding, settings: ModelSettings) -> None:
        super().__init__()
        self.network = encoding.network

    def forward(
        self, worth: Float[Tensor, "R K N"], observation: Float[Tensor, "R K N FD"]
    ) -> Float[Tensor, "R K _"]:
        return worth


class Independent(Mixer):
    """Everyone learns by itself (Tan 1993)."""

    team = False


class Mean(Mixer):
    """Value decomposition (Sunehag et al. 2018), of the mean reward in place of the sum."""

    def forward(
        self, worth: Float[Tensor, "R K N"], observation: Float[Tensor, "R K N FD"]
    ) -> Float[Tensor, "R K _"]:
        return self.network.mean(worth)


class Monotone(Mixer):
    """A network that never falls in what a choice is worth, so that what is best for each is best for all
    (QMIX, Rashid et al. 2018).

    Its weights come from what is observed: of a warehouse from its own features, the others from the mean of
    all, for any number of warehouses. It begins near the mean, and adds to it.
    """

    def __init__(self, encoding: Encoding, settings: ModelSettings) -> None:
        super().__init__(encoding, settings)
        hidden, self.features = settings.hidden, encoding.features
        self.register_buffer("fixed", encoding.warehouse, persistent=False)
        self.facts = nn.Linear(encoding.features, hidden)
        self.place = nn.Linear(encoding.warehouse.shape[-1], hidden, bias=False)
        self.weight, self.bias = nn.Linear(hidden, UNITS), nn.Linear(hidden, UNITS)
        self.last, self.value = nn.Linear(hidden, UNITS), nn.Linear(hidden, 1)
        nn.init.constant_(self.weight.bias, 1.0)
        nn.init.constant_(self.last.bias, 0.1 / UNITS)
        nn.init.normal_(self.last.weight, std=0.1 / UNITS / hidden**0.5)

    def forward(
        self, worth: Float[Tensor, "R K N"], observation: Float[Tensor, "R K N FD"]
    ) -> Float[Tensor, "R K _"]:
        x = torch.tanh(self.facts(observation[..., : self.features]) + self.place(self.fixed))
        all_of_them = self.network.mean(x, 2)
        mixed = self.network.mean(self.weight(x).abs() * worth.unsqueeze(-1), 2) + self.bias(all_of_them)
        bent = (functional.elu(mixed) * self.last(all_of_them).abs()).sum(-1)
        return self.network.mean(worth) + bent + self.value(all_of_them).squeeze(-1)
