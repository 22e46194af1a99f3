"""The graph network: warehouses tell each other what they know along the transfer lanes, both ways."""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float
from torch import Tensor, nn

from marl_inv.models.encoding import Encoding

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # PyG still uses torch.jit.script; nothing its users can mend
    from torch_geometric.nn import MessagePassing

DENSE_UP_TO = 64
"""Networks of at most so many warehouses pass messages by dense matrix products, which are faster there."""


class LaneConv(MessagePassing):
    """Mean of the neighbours' values, each head weighing a lane by its features and direction.

    out_i = 1/deg(i) * sum over lanes between i and j of gate(lane, direction) * (W x_j), head by head.
    """

    def __init__(self, hidden: int, lane_features: int, heads: int = 4) -> None:
        super().__init__(aggr="sum", node_dim=-3)
        self.heads = heads
        self.value = nn.Linear(hidden, hidden, bias=False)
        self.gate = nn.Sequential(nn.Linear(lane_features, 16), nn.Tanh(), nn.Linear(16, heads))

    def forward(
        self, x: Float[Tensor, "R K N H"], edges: Tensor, edge_features: Tensor, degree: Tensor, dense: bool
    ) -> Float[Tensor, "R K N H"]:
        values = self.value(x).unflatten(-1, (self.heads, -1))
        gate = (1 + self.gate(edge_features)) / degree[edges[1]].unsqueeze(-1)
        if not dense:
            return self.propagate(edges, x=values, gate=gate).flatten(-2)
        products, warehouses = x.shape[1], x.shape[2]
        weights = gate.new_zeros(products, self.heads, warehouses * warehouses)
        weights = weights.index_add(2, edges[1] * warehouses + edges[0], gate.transpose(1, 2)).unflatten(2, (warehouses, warehouses))
        if products == 1:
            mixed = torch.einsum("mij,rjmc->rimc", weights[0], values[:, 0])
            return mixed.flatten(-2).unsqueeze(1)
        return torch.einsum("kmij,rkjmc->rkimc", weights, values).flatten(-2)

    def message(self, x_j: Tensor, gate: Tensor) -> Tensor:
        return gate.unsqueeze(-1) * x_j


class GraphTrunk(nn.Module):
    """`hops` rounds of messages over the transfer lanes; with 0 a warehouse knows only itself. Plays networks of any size."""

    def __init__(self, encoding: Encoding, hidden: int, hops: int) -> None:
        super().__init__()
        network = encoding.network
        transfers = encoding.lane[:, network.replenishments :]
        downstream = torch.stack([network.origin, network.destination[network.replenishments :]])
        edges = torch.cat([downstream, downstream.flip(0)], dim=1)
        direction = torch.cat([torch.zeros_like(transfers[..., :1]), torch.ones_like(transfers[..., :1])], dim=1)
        warehouses = len(network.warehouses)
        self.dense = warehouses <= DENSE_UP_TO
        self.register_buffer("fixed", encoding.warehouse, persistent=False)
        self.register_buffer("edges", edges, persistent=False)
        self.register_buffer("edge_features", torch.cat([torch.cat([transfers, transfers], 1), direction], -1), persistent=False)
        self.register_buffer("degree", torch.bincount(edges[1], minlength=warehouses).clamp(min=1).to(encoding.lane), persistent=False)
        self.facts = nn.Linear(encoding.features, hidden)
        self.place = nn.Linear(encoding.warehouse.shape[-1], hidden, bias=False)
        self.own = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(max(hops, 1)))
        self.heard = nn.ModuleList(LaneConv(hidden, self.edge_features.shape[-1]) for _ in range(hops))

    def forward(self, features: Float[Tensor, "R K N F"]) -> Float[Tensor, "R K N H"]:
        x = torch.tanh(self.facts(features) + self.place(self.fixed))
        for hop, own in enumerate(self.own):
            news = own(x)
            if hop < len(self.heard) and self.edges.shape[1]:
                news = news + self.heard[hop](x, self.edges, self.edge_features, self.degree, self.dense)
            x = x + torch.tanh(news)
        return x
