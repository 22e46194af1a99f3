"""Who learns with whose weights: all warehouses with the same, those of one role, or everyone with its
own."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from marl_inv.network import TransferNetwork


class GroupedLinear(nn.Module):
    """A linear layer for each group of places: place p uses the weights of group[p]."""

    group: Int[Tensor, " P"]

    def __init__(self, inputs: int, outputs: int, group: Int[Tensor, " P"], bias: bool = True) -> None:
        super().__init__()
        layers = [nn.Linear(inputs, outputs, bias) for _ in range(int(group.max()) + 1)]
        self.register_buffer("group", group, persistent=False)
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers])) if bias else None

    def forward(self, x: Float[Tensor, "*R P I"]) -> Float[Tensor, "*R P O"]:
        y = torch.einsum("...pi,poi->...po", x, self.weight[self.group])
        return y if self.bias is None else y + self.bias[self.group]


def linear(
    inputs: int, outputs: int, group: Int[Tensor, " P"] | None, bias: bool = True
) -> nn.Linear | GroupedLinear:
    """A layer over places; where nobody is told apart (None) all share one."""
    return nn.Linear(inputs, outputs, bias) if group is None else GroupedLinear(inputs, outputs, group, bias)


def groups(network: TransferNetwork, parameters: str) -> Int[Tensor, " N"] | None:
    """Every warehouse's group; None if `parameters` are shared. A role is whether it has customers, feeds
    others, and is fed by a supplier."""
    device, warehouses = network.source_lane.device, len(network.warehouses)
    if parameters == "shared":
        return None
    if parameters == "separate":
        return torch.arange(warehouses, device=device)
    lane = network.source_lane
    inner = lane[lane >= network.replenishments] - network.replenishments
    feeds = torch.zeros(warehouses, dtype=torch.bool, device=device)
    feeds[network.origin[inner]] = True
    role = torch.stack(
        [(network.mean_demand > 0).any(0), feeds, (lane >= 0) & (lane < network.replenishments)]
    )
    return torch.unique(role, dim=1, return_inverse=True)[1]
