"""The graph network: warehouses tell each other what they know along the transfer lanes, both ways."""

from __future__ import annotations

import sys
import tempfile
import warnings
from abc import abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from marl_inv.models.encoding import Encoding
from marl_inv.models.settings import ModelSettings
from marl_inv.models.sharing import groups, linear

with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore", DeprecationWarning
    )  # PyG still uses torch.jit.script; nothing its users can mend
    from torch_geometric.nn import MessagePassing
    from torch_geometric.utils import softmax

DENSE_UP_TO = 64
"""Networks, or components of them, of at most so many warehouses pass messages by dense matrix products,
which are faster there."""

GLOBAL_ROUNDS = 2
"""Of messages where everybody hears everybody."""


class Messages(MessagePassing):
    """A weighted mean of what the neighbours tell, head by head; how lanes are weighed is what its kinds
    differ in.

    out_i = sum over lanes between i and j of weight(lane, direction, i, j) * (W x_j).
    """

    def __init__(
        self, hidden: int, lane_features: int, group: Int[Tensor, " N"] | None, heads: int = 4
    ) -> None:
        super().__init__(aggr="sum", node_dim=-3)
        _take_away_generated(type(self))
        self.heads = heads
        self.value = linear(hidden, hidden, group, bias=False)

    def forward(self, x: Float[Tensor, "R K N H"], neighbours: Neighbours) -> Float[Tensor, "R K N H"]:
        values, weight, edges = (
            self.value(x).unflatten(-1, (self.heads, -1)),
            self.weight(x, neighbours),
            neighbours.edges,
        )
        blocks = neighbours.blocks
        if blocks is None:
            return self.propagate(edges, x=values, weight=weight).flatten(-2)
        matrix, values = blocks.matrices(weight, neighbours.cell), blocks.spread(values, neighbours.slot)
        if matrix.dim() == 6:
            told = torch.einsum("rkmbij,rkbjmc->rkbimc", matrix, values)
        elif x.shape[1] == 1:
            told = torch.einsum("mbij,rbjmc->rbimc", matrix[0], values[:, 0]).unsqueeze(1)
        else:
            told = torch.einsum("kmbij,rkbjmc->rkbimc", matrix, values)
        return blocks.gather(told, neighbours.slot).flatten(-2)

    def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
        return weight.unsqueeze(-1) * x_j

    @abstractmethod
    def weight(self, x: Float[Tensor, "R K N H"], neighbours: Neighbours) -> Float[Tensor, "*R K E M"]:
        """Of every edge and head, for all rows alike or row by row."""


def _take_away_generated(kind: type[Messages]) -> None:
    """The files that PyG has written for a kind of messages, and loaded: it leaves them in the temporary
    folder of every process."""
    for method in (kind.propagate, kind.edge_updater):
        module = sys.modules.get(method.__module__)
        file = Path(getattr(module, "__file__", None) or "")
        if file.parent == Path(tempfile.gettempdir()) and file.name.startswith(method.__module__):
            with suppress(OSError):
                file.unlink(missing_ok=True)


class LaneMessages(Messages):
    """By the lane's features and direction, over the number of neighbours."""

    def __init__(
        self, hidden: int, lane_features: int, group: Int[Tensor, " N"] | None, heads: int = 4
    ) -> None:
        super().__init__(hidden, lane_features, group, heads)
        self.gate = nn.Sequential(nn.Linear(lane_features, 16), nn.Tanh(), nn.Linear(16, heads))

    def weight(self, x: Float[Tensor, "R K N H"], neighbours: Neighbours) -> Float[Tensor, "K E M"]:
        return (1 + self.gate(neighbours.features)) / neighbours.degree[neighbours.edges[1]].unsqueeze(-1)


class MeanMessages(Messages):
    """All the same."""

    def weight(self, x: Float[Tensor, "R K N H"], neighbours: Neighbours) -> Float[Tensor, "K E M"]:
        alike = 1 / neighbours.degree[neighbours.edges[1]].unsqueeze(-1)
        return alike.expand(x.shape[1], -1, self.heads)


class AttentionMessages(Messages):
    """By who tells whom on which lane, adding up to 1 (graph attention, Brody, Alon and Yahav 2022)."""

    def __init__(
        self, hidden: int, lane_features: int, group: Int[Tensor, " N"] | None, heads: int = 4
    ) -> None:
        super().__init__(hidden, lane_features, group, heads)
        self.told, self.teller = linear(hidden, hidden, group), linear(hidden, hidden, group, bias=False)
        self.way = nn.Linear(lane_features, hidden, bias=False)
        self.score = nn.Parameter(torch.randn(heads, hidden // heads) / (hidden // heads) ** 0.5)

    def weight(self, x: Float[Tensor, "R K N H"], neighbours: Neighbours) -> Float[Tensor, "R K E M"]:
        tellers, told = neighbours.edges
        both = (
            self.teller(x).index_select(2, tellers)
            + self.told(x).index_select(2, told)
            + self.way(neighbours.features)
        )
        score = (torch.tanh(both).unflatten(-1, (self.heads, -1)) * self.score).sum(-1)
        return softmax(score, told, num_nodes=x.shape[2], dim=2)


MESSAGES: dict[str, type[Messages]] = {
    "lane": LaneMessages,
    "attention": AttentionMessages,
    "mean": MeanMessages,
}


@dataclass(frozen=True)
class Blocks:
    """Components side by side as blocks of one size, so that messages in all of them are one batched matrix
    product."""

    count: int
    size: int

    def matrices(
        self, weight: Float[Tensor, "*R E M"], cell: Int[Tensor, " E"]
    ) -> Float[Tensor, "*R M B S S"]:
        """Of what every edge weighs, which stands in a cell of its block."""
        empty = weight.new_zeros(*weight.shape[:-2], weight.shape[-1], self.count * self.size**2)
        return empty.index_add(-1, cell, weight.transpose(-1, -2)).unflatten(
            -1, (self.count, self.size, self.size)
        )

    def spread(
        self, values: Float[Tensor, "R K N M C"], slot: Int[Tensor, " N"] | None
    ) -> Float[Tensor, "R K B S M C"]:
        """Every warehouse's values in its slot; those of one component are in order already."""
        if slot is not None:
            rows, products, _, *inner = values.shape
            values = values.new_zeros(rows, products, self.count * self.size, *inner).index_copy(
                2, slot, values
            )
        return values.unflatten(2, (self.count, self.size))

    def gather(
        self, values: Float[Tensor, "R K B S M C"], slot: Int[Tensor, " N"] | None
    ) -> Float[Tensor, "R K N M C"]:
        values = values.flatten(2, 3)
        return values if slot is None else values.index_select(2, slot)


class Neighbours(nn.Module):
    """Who hears whom: both ends of every transfer lane hear each other."""

    slot: Int[Tensor, " N"] | None
    """Where a warehouse stands among those of all blocks; None where they are in order."""
    cell: Int[Tensor, " E"]
    """Where an edge's weight stands in the matrices of all blocks."""
    edges: Int[Tensor, "2 E"]
    features: Float[Tensor, "K E G"]
    degree: Float[Tensor, " N"]

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        network = encoding.network
        transfers, warehouses = encoding.lane[:, network.replenishments :], len(network.warehouses)
        downstream = torch.stack([network.origin, network.destination[network.replenishments :]])
        edges = torch.cat([downstream, downstream.flip(0)], dim=1)
        direction = torch.cat(
            [torch.zeros_like(transfers[..., :1]), torch.ones_like(transfers[..., :1])], dim=1
        )
        component = (
            network.destination.new_zeros(warehouses) if network.component is None else network.component
        )
        sizes = torch.bincount(component)
        blocks = Blocks(len(sizes), int(sizes.max()))
        self.blocks = blocks if blocks.size <= DENSE_UP_TO else None
        rank = (
            (component.unsqueeze(0) == component.unsqueeze(1)).tril(-1).sum(1) if self.blocks else component
        )
        slot = component * blocks.size + rank
        self.register_buffer("slot", slot if len(sizes) > 1 else None, persistent=False)
        self.register_buffer("cell", slot[edges[1]] * blocks.size + rank[edges[0]], persistent=False)
        self.register_buffer("edges", edges, persistent=False)
        self.register_buffer(
            "features", torch.cat([torch.cat([transfers, transfers], 1), direction], -1), persistent=False
        )
        self.register_buffer(
            "degree",
            torch.bincount(edges[1], minlength=warehouses).clamp(min=1).to(encoding.lane),
            persistent=False,
        )


class GraphTrunk(nn.Module):
    """`hops` rounds of messages over the transfer lanes; with 0 a warehouse knows only itself. With global
    there are two rounds, and in each everybody also hears the mean of all. Plays networks of any size, unless
    weights are a warehouse's own."""

    fixed: Float[Tensor, "K N S"]

    def __init__(self, encoding: Encoding, settings: ModelSettings, inputs: int) -> None:
        super().__init__()
        hidden, group = settings.hidden, groups(encoding.network, settings.parameters)
        self.neighbours = Neighbours(encoding)
        lanes, lane_features = self.neighbours.edges.shape[1], self.neighbours.features.shape[-1]
        rounds = GLOBAL_ROUNDS if settings.hops == "global" else settings.hops
        self.register_buffer("fixed", encoding.warehouse, persistent=False)
        self.facts = linear(inputs, hidden, group)
        self.place = linear(encoding.warehouse.shape[-1], hidden, group, bias=False)
        self.own = nn.ModuleList(linear(hidden, hidden, group) for _ in range(max(rounds, 1)))
        self.heard = nn.ModuleList(
            MESSAGES[settings.messages](hidden, lane_features, group) for _ in range(rounds if lanes else 0)
        )
        self.network, everyone = encoding.network, rounds if settings.hops == "global" else 0
        self.everyone = nn.ModuleList(linear(hidden, hidden, group, bias=False) for _ in range(everyone))

    def forward(self, features: Float[Tensor, "R K N F"]) -> Float[Tensor, "R K N H"]:
        x = torch.tanh(self.facts(features) + self.place(self.fixed))
        for number, own in enumerate(self.own):
            news = own(x)
            if number < len(self.heard):
                news = news + self.heard[number](x, self.neighbours)
            if number < len(self.everyone):
                news = news + self.everyone[number](self.network.mean(x, 2).expand_as(x))
            x = x + torch.tanh(news)
        return x
