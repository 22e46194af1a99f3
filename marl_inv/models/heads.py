"""From what a trunk knows to raw actions, and from raw actions to a Decision.

Raw actions are (rows, K, A): one per lane, then one per warehouse where promotions are decided, then one per warehouse where reserves
are. A raw action of 0 everywhere is order-up-to at the levels the policy starts from, without transfers and reserves.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from marl_inv.interface import View
from marl_inv.models.encoding import Encoding
from marl_inv.models.settings import ModelSettings
from marl_inv.models.sharing import groups, linear
from marl_inv.simulator import Decision

RELUCTANCE = 0.2
"""Raw action below which nothing is asked on a lane other than the source lane: transfers begin near zero."""


def action_owner(encoding: Encoding) -> Int[Tensor, " A"]:
    """The warehouse that takes each raw action: the destination of a lane, then the one that promotes or keeps a reserve."""
    network = encoding.network
    everyone = torch.arange(len(network.warehouses), device=network.destination.device)
    decided = (network.max_promotion is not None) + (network.max_reserve is not None)
    return torch.cat([network.destination] + [everyone] * decided)


class ActionHead(nn.Module):
    """Mean and standard deviation of the raw actions. A lane sees its destination and, unless `alone`, its origin."""

    def __init__(self, encoding: Encoding, settings: ModelSettings) -> None:
        super().__init__()
        network, hidden = encoding.network, settings.hidden
        group = groups(network, settings.parameters)
        self.replenishments, self.alone = network.replenishments, settings.model == "mlp" or settings.hops == 0
        self.promotes, self.reserves = network.max_promotion is not None, network.max_reserve is not None
        self.register_buffer("origin", network.origin, persistent=False)
        self.register_buffer("destination", network.destination, persistent=False)
        self.register_buffer("lane", encoding.lane, persistent=False)
        source = torch.zeros(len(network.lanes), dtype=torch.long, device=network.destination.device)
        source[network.source_lane[network.source_lane >= 0]] = 1
        own = [source.new_full((len(network.warehouses),), kind) for kind, has in ((2, self.promotes), (3, self.reserves)) if has]
        self.register_buffer("kind", torch.cat([source, *own]), persistent=False)
        self.asks = linear(hidden, hidden, group)
        self.has = linear(hidden, hidden, group, bias=False)
        self.way = nn.Linear(encoding.lane.shape[-1], hidden, bias=False)
        self.amount = linear(hidden, 1, None if group is None else group[self.destination])
        self.promotion = linear(hidden, 1, group)
        self.log_sigma = nn.Parameter(torch.full((3 + self.reserves,), settings.sigma).log())
        heads = [self.amount, self.promotion]
        if self.reserves:
            self.reserve = linear(hidden, 1, group)
            heads.append(self.reserve)
        for last in heads:
            nn.init.normal_(last.weight, std=0.01 / hidden**0.5)
            nn.init.zeros_(last.bias)

    def forward(self, x: Float[Tensor, "R K N H"]) -> tuple[Float[Tensor, "R K A"], Float[Tensor, " A"]]:
        lane = self.asks(x).index_select(2, self.destination) + self.way(self.lane)
        if not self.alone and len(self.origin):
            offer = self.has(x).index_select(2, self.origin)
            lane = torch.cat([lane[:, :, : self.replenishments], lane[:, :, self.replenishments :] + offer], dim=2)
        mean = self.amount(torch.tanh(lane)).squeeze(-1)
        if self.promotes:
            mean = torch.cat([mean, self.promotion(x).squeeze(-1)], dim=2)
        if self.reserves:
            mean = torch.cat([mean, self.reserve(x).squeeze(-1)], dim=2)
        return mean, self.log_sigma.exp().index_select(0, self.kind)


class Nonnegative(torch.autograd.Function):
    """max(x, 0), whose gradient at 0 passes where it asks for more: what is not requested yet can be learned to be requested."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(context: Any, slope: Tensor) -> Tensor:
        (x,) = context.saved_tensors
        return torch.where(x > 0, slope, slope.clamp(max=0))


class Decider:
    """Raw actions to decisions: a residual on the order-up-to target on source lanes, a quantity on the others, shares of the most."""

    def __init__(self, encoding: Encoding, promotion: Float[Tensor, "K N"] | None) -> None:
        network, self.position = encoding.network, encoding.position
        is_source = torch.zeros(len(network.lanes), dtype=torch.bool, device=network.destination.device)
        is_source[network.source_lane[network.source_lane >= 0]] = True
        destination = network.destination
        self.lanes = len(network.lanes)
        self.destination = destination
        # One affine map serves both kinds of lane: request = factor x raw + offset - position (0 for what is no source lane).
        self.factor = torch.where(is_source, encoding.unit[:, destination], encoding.network.size[:, destination]).unsqueeze(-1)
        offset = torch.where(is_source, encoding.levels[:, destination], -RELUCTANCE * encoding.network.size[:, destination])
        self.offset = offset.unsqueeze(-1)
        self.counts_position = is_source.to(encoding.levels).unsqueeze(-1)
        self.max_promotion, self.max_reserve = network.max_promotion, network.max_reserve
        self.promotion = (
            None if network.max_promotion is None else encoding.levels.new_zeros(encoding.levels.shape) if promotion is None else promotion
        )

    def __call__(self, raw: Float[Tensor, "B K A"], view: View) -> Decision:
        actions = raw.permute(1, 2, 0)
        position = self.position(view).index_select(1, self.destination) * self.counts_position
        requests = actions[:, : self.lanes] * self.factor + self.offset - position
        requests = torch.where(self.counts_position > 0, requests.clamp(min=0), Nonnegative.apply(requests))
        own, promotion, reserve = actions[:, self.lanes :], None, None
        if self.max_promotion is not None:
            promotion, own = own.split([len(self.max_promotion), own.shape[1] - len(self.max_promotion)], dim=1)
            promotion = torch.minimum((self.promotion.unsqueeze(-1) + self.max_promotion * promotion).clamp(min=0), self.max_promotion)
        if self.max_reserve is not None:
            reserve = self.max_reserve.unsqueeze(-1) * own.clamp(0, 1)
        return Decision(requests, promotion, reserve)
