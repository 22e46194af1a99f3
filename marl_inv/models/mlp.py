"""The plain trunk: every warehouse from its own features alone, with one set of weights and a learned place
of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from marl_inv.models.encoding import Encoding
from marl_inv.models.settings import ModelSettings
from marl_inv.models.sharing import groups, linear


class MLPTrunk(nn.Module):
    """Two hidden layers. Warehouses are told apart by an identity, so it plays only networks of the size it
    was made for."""

    fixed: Float[Tensor, "K N S"]

    def __init__(self, encoding: Encoding, settings: ModelSettings, inputs: int) -> None:
        super().__init__()
        products, warehouses, _ = encoding.warehouse.shape
        hidden, group = settings.hidden, groups(encoding.network, settings.parameters)
        identity = torch.eye(warehouses).expand(products, -1, -1).to(encoding.warehouse)
        self.register_buffer("fixed", torch.cat([encoding.warehouse, identity], -1), persistent=False)
        self.facts = linear(inputs, hidden, group)
        self.place = linear(self.fixed.shape[-1], hidden, group, bias=False)
        self.second = linear(hidden, hidden, group)

    def forward(self, features: Float[Tensor, "R K N F"]) -> Float[Tensor, "R K N H"]:
        return torch.tanh(self.second(torch.tanh(self.facts(features) + self.place(self.fixed))))


class JointMLPTrunk(nn.Module):
    """All warehouses' features in one vector: what a critic of the whole network sees when there is no
    graph."""

    fixed: Float[Tensor, "K N S"]

    def __init__(self, encoding: Encoding, settings: ModelSettings, inputs: int) -> None:
        super().__init__()
        _, warehouses, fixed = encoding.warehouse.shape
        self.hidden = hidden = settings.hidden
        self.register_buffer("fixed", encoding.warehouse, persistent=False)
        self.facts = nn.Linear(warehouses * inputs, hidden)
        self.place = nn.Linear(warehouses * fixed, hidden, bias=False)
        self.second = nn.Linear(hidden, warehouses * hidden)

    def forward(self, features: Float[Tensor, "R K N F"]) -> Float[Tensor, "R K N H"]:
        joint = torch.tanh(self.facts(features.flatten(2)) + self.place(self.fixed.flatten(1)))
        return torch.tanh(self.second(joint)).unflatten(-1, (-1, self.hidden))
