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
    """`team`: one value for all, of their mean reward; else everyone has its own."""

    team = True

    def __init__(self, encoding: Encoding, settings: ModelSettings) -> None:
        super().__init__()

    def forward(self, worth: Float[Tensor, "R K N"], observation: Float[Tensor, "R K N FD"]) -> Float[Tensor, "R K _"]:
        return worth


class Independent(Mixer):
    """Everyone learns by itself (Tan 1993)."""

    team = False


class Mean(Mixer):
    """Value decomposition (Sunehag et al. 2018), of the mean reward in place of the sum."""

    def forward(self, worth: Float[Tensor, "R K N"], observation: Float[Tensor, "R K N FD"]) -> Float[Tensor, "R K 1"]:
        return worth.mean(-1, keepdim=True)


class Monotone(Mixer):
    """A network that never falls in what a choice is worth, so that what is best for each is best for all (QMIX, Rashid et al. 2018).

    Its weights come from what is observed: of a warehouse from its own features, the others from the mean of all, for any number of warehouses.
    """

    def __init__(self, encoding: Encoding, settings: ModelSettings) -> None:
        super().__init__(encoding, settings)
        hidden, self.features = settings.hidden, encoding.features
        self.register_buffer("fixed", encoding.warehouse, persistent=False)
        self.facts = nn.Linear(encoding.features, hidden)
        self.place = nn.Linear(encoding.warehouse.shape[-1], hidden, bias=False)
        self.weight, self.bias = nn.Linear(hidden, UNITS), nn.Linear(hidden, UNITS)
        self.last, self.value = nn.Linear(hidden, UNITS), nn.Linear(hidden, 1)
        for layer in (self.weight, self.last):
            nn.init.constant_(layer.bias, UNITS**-0.5)

    def forward(self, worth: Float[Tensor, "R K N"], observation: Float[Tensor, "R K N FD"]) -> Float[Tensor, "R K 1"]:
        x = torch.tanh(self.facts(observation[..., : self.features]) + self.place(self.fixed))
        all_of_them = x.mean(2)
        mixed = (self.weight(x).abs() * worth.unsqueeze(-1)).mean(2) + self.bias(all_of_them)
        return (functional.elu(mixed) * self.last(all_of_them).abs()).sum(-1, keepdim=True) + self.value(all_of_them)
