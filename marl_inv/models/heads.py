"""From what a trunk knows to distributions over raw actions, and from raw actions to a Decision.

Raw actions are (rows, K, A): one for each choice that `decisions.OrderLevels` lists. What they mean, the
setting `head` says: `order_up_to`, the default, moves order-up-to targets (0 everywhere is order-up-to at the
levels the policy starts from, without transfers and reserves); `quantity` asks for units, and 0 is what
passes the warehouse in a period; `levels` and `values` are order levels, whole numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from marl_inv.episodes.decisions import choice_owner, split
from marl_inv.episodes.view import View
from marl_inv.models.distributions import PerAgentLevels, PerAgentNormal, PerAgentValues
from marl_inv.models.encoding import POSITION, Encoding
from marl_inv.models.settings import ModelSettings
from marl_inv.models.sharing import groups, linear
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision

RELUCTANCE = 0.2
"""Raw action below which nothing is asked on a lane other than the source lane: transfers begin near zero."""


def source_lane_mask(network: TransferNetwork) -> Bool[Tensor, " E"]:
    """Whether a lane is the source lane of its destination."""
    is_source = torch.zeros(len(network.lanes), dtype=torch.bool, device=network.destination.device)
    is_source[network.source_lane[network.source_lane >= 0]] = True
    return is_source


class ChoiceHead(nn.Module):
    """`outputs` numbers for every choice. A lane sees its destination and, unless `alone`, its origin."""

    origin: Int[Tensor, " _"]
    destination: Int[Tensor, " E"]
    lane: Float[Tensor, "K E G"]

    def __init__(self, encoding: Encoding, settings: ModelSettings, outputs: int) -> None:
        super().__init__()
        network, hidden = encoding.network, settings.hidden
        group = groups(network, settings.parameters)
        self.replenishments, self.alone = (
            network.replenishments,
            settings.model == "mlp" or settings.hops == 0,
        )
        self.promotes, self.reserves = network.max_promotion is not None, network.max_reserve is not None
        self.register_buffer("origin", network.origin, persistent=False)
        self.register_buffer("destination", network.destination, persistent=False)
        self.register_buffer("lane", encoding.lane, persistent=False)
        self.asks = linear(hidden, hidden, group)
        self.has = linear(hidden, hidden, group, bias=False)
        self.way = nn.Linear(encoding.lane.shape[-1], hidden, bias=False)
        self.amount = linear(hidden, outputs, None if group is None else group[self.destination])
        self.promotion = linear(hidden, outputs, group)
        heads = [self.amount, self.promotion]
        if self.reserves:
            self.reserve = linear(hidden, outputs, group)
            heads.append(self.reserve)
        for last in heads:
            nn.init.normal_(last.weight, std=0.01 / hidden**0.5)
            assert last.bias is not None
            nn.init.zeros_(last.bias)

    def forward(self, x: Float[Tensor, "R K N H"]) -> Float[Tensor, "R K A O"]:
        lane = self.asks(x).index_select(2, self.destination) + self.way(self.lane)
        if not self.alone and len(self.origin):
            offer = self.has(x).index_select(2, self.origin)
            lane = torch.cat(
                [lane[:, :, : self.replenishments], lane[:, :, self.replenishments :] + offer], dim=2
            )
        parts = [self.amount(torch.tanh(lane))]
        if self.promotes:
            parts.append(self.promotion(x))
        if self.reserves:
            parts.append(self.reserve(x))
        return torch.cat(parts, dim=2)


class AmountHead(nn.Module):
    """Normal raw actions; the standard deviation is one number for source lanes, other lanes, promotions and
    reserves each."""

    kind: Int[Tensor, " A"]
    owner: Int[Tensor, " A"]

    def __init__(self, encoding: Encoding, settings: ModelSettings) -> None:
        super().__init__()
        network = encoding.network
        self.choices = ChoiceHead(encoding, settings, 1)
        self.warehouses = len(network.warehouses)
        source = source_lane_mask(network).long()
        decided = ((2, self.choices.promotes), (3, self.choices.reserves))
        own = [source.new_full((self.warehouses,), kind) for kind, has in decided if has]
        self.register_buffer("kind", torch.cat([source, *own]), persistent=False)
        self.register_buffer("owner", choice_owner(network), persistent=False)
        self.log_sigma = nn.Parameter(torch.full((3 + self.choices.reserves,), settings.sigma).log())

    def forward(
        self, x: Float[Tensor, "R K N H"], features: Float[Tensor, "R K N F"], facts: Float[Tensor, "R K N D"]
    ) -> PerAgentNormal:
        sigma = self.log_sigma.exp().index_select(0, self.kind)
        return PerAgentNormal(self.choices(x).squeeze(-1), sigma, self.owner, self.warehouses)


class LevelHead(nn.Module):
    """Order levels, those that make sense now, beginning near what passes the destination on source lanes and
    near nothing elsewhere.

    The logits are those of a normal quantity at the levels, so that what is learned of one level is learned
    of its neighbours, plus a number for each level, so that any distribution can be learned.
    """

    owner: Int[Tensor, " A"]
    numbers: Int[Tensor, " J"]
    open: Int[Tensor, "1 K A"]
    """The highest level of every choice when nothing is out."""
    middle: Float[Tensor, "K A"]
    scale: Float[Tensor, "K A"]
    width: Float[Tensor, "K A 1"]
    kind: Int[Tensor, " A"]

    def __init__(self, encoding: Encoding, settings: ModelSettings) -> None:
        super().__init__()
        assert encoding.order_levels is not None, "`encode` gives them to this head"
        network, self.order_levels = encoding.network, encoding.order_levels
        self.choices = ChoiceHead(encoding, settings, 1 + self.order_levels.count)
        self.warehouses, lanes, step = len(network.warehouses), len(network.lanes), self.order_levels.step
        source, destination = source_lane_mask(network), network.destination
        middle, scale = torch.zeros_like(step), self.order_levels.most / step
        middle[:, :lanes] = (network.size[:, destination] * source / step[:, :lanes]).round()
        scale[:, :lanes] = (
            torch.where(source, encoding.unit[:, destination], network.size[:, destination]) / step[:, :lanes]
        )
        width = torch.full_like(step, 0.5)
        width[:, :lanes] = torch.where(source, settings.sigma * scale[:, :lanes], 0.5).clamp(min=0.5)
        self.register_buffer("owner", choice_owner(network), persistent=False)
        self.register_buffer("numbers", torch.arange(self.order_levels.count), persistent=False)
        self.register_buffer("open", self.order_levels.highest().permute(2, 0, 1), persistent=False)
        self.register_buffer("middle", middle, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("width", width.unsqueeze(-1), persistent=False)
        self.register_buffer(
            "kind",
            torch.cat([source.long(), source.new_full((step.shape[1] - lanes,), 2, dtype=torch.long)]),
            persistent=False,
        )
        self.log_width = nn.Parameter(torch.zeros(3))

    def forward(
        self, x: Float[Tensor, "R K N H"], features: Float[Tensor, "R K N F"], facts: Float[Tensor, "R K N D"]
    ) -> PerAgentLevels:
        shift, each = self.choices(x).split([1, len(self.numbers)], dim=-1)
        width = self.width * self.log_width.exp().index_select(0, self.kind).unsqueeze(-1)
        away = (self.numbers - self.middle.unsqueeze(-1) - self.scale.unsqueeze(-1) * shift) / width
        highest = self.order_levels.from_facts(facts) if facts.shape[-1] else self.open
        logits = (each - away.square() / 2).masked_fill(self.numbers > highest.unsqueeze(-1), -torch.inf)
        return PerAgentLevels(logits, self.owner, self.warehouses)


class ValueHead(nn.Module):
    """What every order level is worth, beginning with the best near what the starting policy asks for, and
    nothing on other lanes.

    A warehouse's worth is split evenly over its choices; what a level is worth beyond that falls with the
    square of its distance from one that is learned, plus a number for each level. `dueling` takes the mean
    over the levels from that part (Wang et al. 2016).
    """

    owner: Int[Tensor, " A"]
    share: Float[Tensor, " A"]
    numbers: Int[Tensor, " J"]
    open: Int[Tensor, "1 K A"]
    begin: Float[Tensor, "K A"]
    scale: Float[Tensor, "K A"]
    exploring: Float[Tensor, ""]

    def __init__(self, encoding: Encoding, settings: ModelSettings) -> None:
        super().__init__()
        assert encoding.order_levels is not None, "`encode` gives them to this head"
        network, self.order_levels, self.dueling = encoding.network, encoding.order_levels, settings.dueling
        self.choices = ChoiceHead(encoding, settings, 1 + self.order_levels.count)
        self.level = linear(settings.hidden, 1, groups(network, settings.parameters))
        self.warehouses, self.lanes, step = (
            len(network.warehouses),
            len(network.lanes),
            self.order_levels.step,
        )
        source, destination = source_lane_mask(network), network.destination
        scale, begin = self.order_levels.most / step, torch.zeros_like(step)
        scale[:, : self.lanes] = (
            torch.where(source, encoding.unit[:, destination], network.size[:, destination])
            / step[:, : self.lanes]
        )
        begin[:, : self.lanes] = source * scale[:, : self.lanes]
        owner = choice_owner(network)
        self.register_buffer("owner", owner, persistent=False)
        self.register_buffer(
            "share", (1 / torch.bincount(owner, minlength=self.warehouses))[owner].to(step), persistent=False
        )
        self.register_buffer("numbers", torch.arange(self.order_levels.count), persistent=False)
        self.register_buffer("open", self.order_levels.highest().permute(2, 0, 1), persistent=False)
        self.register_buffer("begin", begin, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("exploring", torch.ones(()))
        self.log_bend = nn.Parameter(torch.full((), 0.2).log())

    def forward(
        self, x: Float[Tensor, "R K N H"], features: Float[Tensor, "R K N F"], facts: Float[Tensor, "R K N D"]
    ) -> PerAgentValues:
        shift, each = self.choices(x).split([1, len(self.numbers)], dim=-1)
        best = self.begin * features[..., POSITION].index_select(2, self.owner) + self.scale * shift.squeeze(
            -1
        )
        away = (self.numbers - best.clamp(min=0).unsqueeze(-1)) / self.scale.unsqueeze(-1)
        beyond = each - self.log_bend.exp() * away.square()
        highest = self.order_levels.from_facts(facts) if facts.shape[-1] else self.open
        closed = self.numbers > highest.unsqueeze(-1)
        if self.dueling:
            beyond = beyond - beyond.masked_fill(closed, 0).sum(-1, keepdim=True) / (highest + 1).unsqueeze(
                -1
            )
            beyond = beyond + (self.share * self.level(x).squeeze(-1).index_select(2, self.owner)).unsqueeze(
                -1
            )
        return PerAgentValues(
            beyond.masked_fill(closed, -torch.inf), self.exploring, self.owner, self.warehouses
        )


class Nonnegative(torch.autograd.Function):
    """max(x, 0), whose gradient at 0 passes where it asks for more: what is not requested yet can be learned
    to be requested."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(context: Any, slope: Tensor) -> Tensor:
        (x,) = context.saved_tensors
        return torch.where(x > 0, slope, slope.clamp(max=0))


class Decider:
    """Raw actions to decisions, by one affine map: factor x raw + offset, less the inventory position where a
    target is meant."""

    def __init__(self, encoding: Encoding, promotion: Float[Tensor, "K N"] | None, head: str) -> None:
        network, levels = encoding.network, encoding.order_levels
        size, destination, is_source = network.size, network.destination, source_lane_mask(network)
        self.network, self.encoding, self.lanes, self.destination = (
            network,
            encoding,
            len(network.lanes),
            destination,
        )
        self.promotion = (
            torch.zeros_like(size) if promotion is None and network.max_promotion is not None else promotion
        )
        usual = size if head == "quantity" else encoding.beginning.levels
        factor = [torch.where(is_source, encoding.unit[:, destination], size[:, destination])]
        offset = [torch.where(is_source, usual[:, destination], -RELUCTANCE * size[:, destination])]
        most = [torch.full_like(factor[0], torch.inf)]
        if network.max_promotion is not None:
            factor.append(network.max_promotion.squeeze(-1).expand_as(size))
            assert self.promotion is not None
            offset.append(self.promotion)
            most.append(factor[-1])
        if network.max_reserve is not None:
            factor.append(network.max_reserve)
            offset.append(torch.zeros_like(size))
            most.append(factor[-1])
        self.factor, self.offset, self.most = (
            torch.cat(each, dim=1).unsqueeze(-1) for each in (factor, offset, most)
        )
        if levels is not None:
            self.factor, self.offset = levels.step.unsqueeze(-1), torch.zeros_like(self.offset)
        self.is_target = is_source.unsqueeze(-1) & (head == "order_up_to")

    def __call__(self, raw: Float[Tensor, "B K A"], view: View) -> Decision:
        amounts = raw.permute(1, 2, 0) * self.factor + self.offset
        requests, own = amounts[:, : self.lanes], amounts[:, self.lanes :]
        if self.encoding.beginning.following is not None:
            requests = requests * self.encoding.times(view).index_select(1, self.destination)
        position = self.encoding.position(view).index_select(1, self.destination) * self.is_target
        requests = requests - position
        requests = torch.where(self.is_target, requests.clamp(min=0), Nonnegative.apply(requests))
        return split(
            self.network,
            torch.cat([requests, torch.minimum(own.clamp(min=0), self.most[:, self.lanes :])], dim=1),
        )
