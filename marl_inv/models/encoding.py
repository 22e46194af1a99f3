"""Facts in units to features of order one, and what never changes about warehouses and lanes.

A feature is an affine map of a fact, scaled by the warehouse's own size, so that one set of weights serves
warehouses of any size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from marl_inv.baselines.echelon import EchelonBaseStock
from marl_inv.baselines.following import FollowingOrderUpTo, lately
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.common.errors import InputError
from marl_inv.episodes.decisions import OrderLevels
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View, fact_names, observe
from marl_inv.network import TransferNetwork

LARGEST_FEATURE = 5.0
"""Features are cut here: beyond five times the typical, more is no news."""

NO_QUANTITY = ("planned_promotion", "past_promotion", "source_available", "periods_to_review", "periods_left")
"""How the facts begin that are not in units."""

POOLED = ("due_in", "demand")
"""How the facts begin of which networks have more or fewer, by their lead times and by how long they
remember."""

Beginning = OrderUpTo | EchelonBaseStock | FollowingOrderUpTo
"""What a policy may start from: levels, and what position is raised to them."""

POSITION = 1
"""Which of the facts is the inventory position."""


@dataclass(frozen=True)
class Vocabulary:
    """What features mean, whatever network they are of: a policy that is played on another than it was
    trained on keeps those of its training."""

    facts: tuple[str, ...]
    supply: bool
    """Whether how tight supply is, is a feature of a warehouse."""
    longest_lead_time: int
    """By which periods are scaled."""

    @classmethod
    def of(cls, problem: Problem) -> Vocabulary:
        network = problem.network
        return cls(
            tuple(fact_names(network, problem.scenario)),
            bool((_supply(network) > 0).any()),
            network.longest_lead_time,
        )

    def translation(self, facts: tuple[str, ...]) -> Float[Tensor, "F FT"] | None:
        """From features of these facts, by addition: receipts further ahead than are known of count as the
        furthest, demand longer ago is left out, and what there is no fact for is 0. Raises InputError where
        they differ otherwise."""
        if facts == self.facts:
            return None
        different = set(facts) ^ set(self.facts)
        if odd := sorted(fact for fact in different if not fact.startswith(POOLED)):
            raise InputError(f"{', '.join(odd)} can be seen here or where it was trained, and not in both")
        matrix, due = (
            torch.zeros(len(facts), len(self.facts)),
            [fact for fact in self.facts if fact.startswith("due_in")],
        )
        for row, fact in enumerate(facts):
            known = fact if fact in self.facts else due[-1] if due and fact.startswith("due_in") else None
            if known is not None:
                matrix[row, self.facts.index(known)] = 1
        return matrix


@dataclass(frozen=True)
class Encoding:
    """How one network's facts become features, for a policy that starts from `beginning`."""

    network: TransferNetwork
    vocabulary: Vocabulary
    beginning: Beginning
    unit: Float[Tensor, "K N"]
    """Units that a raw action of 1 moves an order-up-to target by: the sd of demand over lead time + 1."""
    factor: Float[Tensor, "K N F"]
    offset: Float[Tensor, "K N F"]
    warehouse: Float[Tensor, "K N S"]
    """Fixed features of a product at a warehouse."""
    in_units: Bool[Tensor, " F"]
    """Which facts are quantities."""
    lane: Float[Tensor, "K E G"]
    """Fixed features of a lane."""
    order_levels: OrderLevels | None = None
    """What is chosen from, where actions are order levels."""
    translation: Float[Tensor, "F FT"] | None = None
    """To the vocabulary's features, where those of the network are others."""

    @classmethod
    def of(cls, problem: Problem, beginning: Beginning, vocabulary: Vocabulary | None = None) -> Encoding:
        """In the features of a vocabulary, by default the problem's own."""
        network, levels, own = problem.network, beginning.levels, Vocabulary.of(problem)
        vocabulary = vocabulary or own
        translation = vocabulary.translation(own.facts)
        size, lead_time = network.size, _lead_time(network)
        unit = torch.maximum(network.throughput_sd * (lead_time + 1).sqrt(), 0.1 * size)
        factor, offset, in_units = [], [], []
        for name in own.facts:
            in_units.append(not name.startswith(NO_QUANTITY))
            if name == "inventory_position":
                factor.append(-1 / unit)
                offset.append(levels / unit)
            elif name == "inventory_level":
                factor.append(1 / (size * (lead_time + 1)))
                offset.append(torch.zeros_like(size))
            elif name in ("periods_left", "periods_to_review"):
                factor.append(torch.full_like(size, 1 / (vocabulary.longest_lead_time + 1)))
                offset.append(torch.zeros_like(size))
            elif name.startswith(NO_QUANTITY):
                factor.append(torch.ones_like(size))
                offset.append(torch.zeros_like(size))
            else:
                factor.append(1 / size)
                offset.append(
                    torch.full_like(size, -1.0)
                    if name.startswith(("demand", "forecast"))
                    else torch.zeros_like(size)
                )
        return cls(
            network,
            vocabulary,
            beginning,
            unit,
            torch.stack(factor, -1),
            torch.stack(offset, -1),
            _warehouse_features(network, levels, vocabulary),
            torch.tensor(in_units, device=size.device),
            _lane_features(network, vocabulary),
            translation=None if translation is None else translation.to(size),
        )

    @property
    def features(self) -> int:
        return len(self.vocabulary.facts)

    def __call__(self, view: View) -> Float[Tensor, "B K N FD"]:
        """Features; then, where outages change which order levels make sense, the highest ones, which are no
        features but tell the mask."""
        facts = observe(view)
        if self.beginning.members is not None:
            facts[..., POSITION] = self.position(view).permute(2, 0, 1)
        offset = self.offset
        if self.beginning.following is not None:
            times = self.times(view).permute(2, 0, 1).unsqueeze(-1)
            asleep = times <= 0  # nobody asks for it here: its level is 0
            facts = torch.where(self.in_units, facts / torch.where(asleep, 1.0, times), facts)
            offset = torch.where(asleep & self.is_position, 0.0, offset)
        features = (facts * self.factor + offset).clamp(-LARGEST_FEATURE, LARGEST_FEATURE).contiguous()
        if self.translation is not None:
            features = (features @ self.translation).clamp(-LARGEST_FEATURE, LARGEST_FEATURE)
        if self.order_levels is None or view.known.available is None:
            return features
        return torch.cat([features, self.order_levels.as_facts(view.known.available)], -1)

    @property
    def is_position(self) -> Bool[Tensor, " F"]:
        return torch.arange(len(self.in_units), device=self.in_units.device) == POSITION

    def position(self, view: View) -> Float[Tensor, "K N B"]:
        """What the levels are compared with."""
        own, members = view.inventory_position, self.beginning.members
        return own if members is None else torch.einsum("nm,kmb->knb", members, own)

    def times(self, view: View) -> Float[Tensor, "K N B"]:
        """How many times the usual demand is now, of a policy that follows it: what it sees is divided by
        that, and what it asks for multiplied."""
        following = self.beginning.following
        assert following is not None, "asked only of a policy that follows demand"
        return lately(view, following)


def _lead_time(network: TransferNetwork) -> Float[Tensor, " N"]:
    """Of the source lane; 0 where there is none."""
    lanes = network.source_lane
    return torch.where(
        lanes >= 0, network.response_time[lanes.clamp(min=0)] if network.lanes else lanes, 0
    ).to(network.size)


def _money(network: TransferNetwork) -> Float[Tensor, "1 _"]:
    """What a unit is typically worth here: the mean of holding, shortage and price rates, by which costs are
    scaled."""
    rates = [
        rate
        for rate in (network.holding_cost, network.shortage_cost, network.counted_price)
        if rate is not None
    ]
    if not rates:
        return network.size.new_ones(1, 1)
    return network.mean(torch.cat(rates, -1).mean((0, -1))).clamp(min=1e-6).unsqueeze(0)


def _supply(network: TransferNetwork) -> Float[Tensor, " N"]:
    """The largest share of a limit on the source lane (its own, a pool's, its supplier's) that usual demand
    takes; 0 where it has none."""
    lanes = network.source_lane
    supply, usual = torch.zeros_like(network.size[0]), (network.size * network.volume.squeeze(-1)).sum(0)
    for limit in network.limits:
        group = torch.where(
            lanes >= 0, limit.group[lanes.clamp(min=0)] if network.lanes else lanes, len(limit.names)
        )
        used = torch.zeros_like(limit.capacity[:, 0]).index_add(0, group, usual) / limit.capacity[:, 0]
        supply = torch.maximum(
            supply, torch.where(group < len(limit.names), used[group], 0).clamp(max=LARGEST_FEATURE)
        )
    return torch.where(supply > 1e-20, supply, 0)


def _warehouse_features(
    network: TransferNetwork, levels: Tensor, vocabulary: Vocabulary
) -> Float[Tensor, "K N S"]:
    size, money = network.size, _money(network)
    nothing = torch.zeros_like(size)

    def rate(rates: Tensor | None) -> Tensor:
        return (
            nothing
            if rates is None
            else (rates.squeeze(-1) / money).clamp(max=LARGEST_FEATURE).expand_as(size)
        )

    storage = (
        nothing
        if network.storage is None
        else (size * network.volume.squeeze(-1) / network.storage.squeeze(-1)).clamp(max=LARGEST_FEATURE)
    )
    spread = (network.throughput_sd / size).clamp(max=LARGEST_FEATURE)
    relative_size = (size / network.mean(size)).log().clamp(-LARGEST_FEATURE, LARGEST_FEATURE) / 2
    lead_time = (_lead_time(network).expand_as(size) / (vocabulary.longest_lead_time + 1)).clamp(
        max=LARGEST_FEATURE
    )
    features = [
        rate(network.holding_cost),
        rate(network.shortage_cost),
        rate(network.counted_price),
        rate(network.overflow_cost),
    ]
    features += [spread, relative_size, storage, network.mean_demand / size, lead_time]
    features += [
        network.backordered.squeeze(-1).expand_as(size),
        (levels / (size * (_lead_time(network) + 1))).clamp(max=LARGEST_FEATURE),
    ]
    features += [_supply(network).expand_as(size)] * vocabulary.supply
    return torch.stack(features, -1)


def _lane_features(network: TransferNetwork, vocabulary: Vocabulary) -> Float[Tensor, "K E G"]:
    products, lanes, longest = len(network.products), len(network.lanes), vocabulary.longest_lead_time + 1
    money = _money(network).expand(1, len(network.warehouses))[:, network.destination]
    nothing = network.size.new_zeros(products, lanes)
    transport = network.unit_cost / money
    procurement = nothing.clone()
    if network.procurement_cost is not None:
        replenishments = network.replenishments
        procurement[:, :replenishments] = network.procurement_cost.squeeze(-1) / money[:, :replenishments]
    destination_size = network.size[:, network.destination]
    limit = (network.max_request / (destination_size * longest)).clamp(max=LARGEST_FEATURE)
    lead_time = (network.lead_time.to(nothing) / longest).clamp(max=LARGEST_FEATURE).expand_as(nothing)
    supplied = nothing.clone()
    supplied[:, : network.replenishments] = 1
    source = torch.zeros_like(nothing)
    source[:, network.source_lane[network.source_lane >= 0]] = 1
    return torch.stack(
        [
            transport.clamp(max=LARGEST_FEATURE),
            procurement.clamp(max=LARGEST_FEATURE),
            limit,
            lead_time,
            supplied,
            source,
        ],
        -1,
    )
