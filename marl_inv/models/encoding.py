"""Facts in units to features of order one, and what never changes about warehouses and lanes.

A feature is an affine map of a fact, scaled by the warehouse's own size, so that one set of weights serves warehouses of any size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from marl_inv.baselines.echelon import EchelonBaseStock
from marl_inv.baselines.following import FollowingOrderUpTo, lately
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.interface import OrderLevels, View, fact_names, observe
from marl_inv.network import TransferNetwork
from marl_inv.problem import Problem

LARGEST = 5.0
"""Features are cut here: beyond five times the typical, more is no news."""

NO_QUANTITY = ("planned_promotion", "past_promotion", "source_available", "periods_left")
"""How the facts begin that are not in units."""

Beginning = OrderUpTo | EchelonBaseStock | FollowingOrderUpTo
"""What a policy may start from: levels, and what position is raised to them."""

POSITION = 1
"""Which of the facts is the inventory position."""


@dataclass(frozen=True)
class Encoding:
    """How one network's facts become features, for a policy that starts from `beginning`."""

    network: TransferNetwork
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

    @classmethod
    def of(cls, problem: Problem, beginning: Beginning) -> Encoding:
        network, levels = problem.network, beginning.levels
        size, lead_time = network.size, _lead_time(network)
        unit = torch.maximum(network.throughput_sd * (lead_time + 1).sqrt(), 0.1 * size)
        factor, offset, in_units = [], [], []
        for name in fact_names(network, problem.scenario):
            in_units.append(not name.startswith(NO_QUANTITY))
            if name == "inventory_position":
                factor.append(-1 / unit)
                offset.append(levels / unit)
            elif name == "inventory_level":
                factor.append(1 / (size * (lead_time + 1)))
                offset.append(torch.zeros_like(size))
            elif name == "periods_left":
                factor.append(torch.full_like(size, 1 / (network.longest_lead_time + 1)))
                offset.append(torch.zeros_like(size))
            elif name.startswith(NO_QUANTITY):
                factor.append(torch.ones_like(size))
                offset.append(torch.zeros_like(size))
            else:
                factor.append(1 / size)
                offset.append(torch.full_like(size, -1.0) if name.startswith(("demand", "forecast")) else torch.zeros_like(size))
        return cls(
            network,
            beginning,
            unit,
            torch.stack(factor, -1),
            torch.stack(offset, -1),
            _warehouse_features(network, levels),
            torch.tensor(in_units, device=size.device),
            _lane_features(network),
        )

    @property
    def features(self) -> int:
        return self.factor.shape[-1]

    def __call__(self, view: View) -> Float[Tensor, "B K N FD"]:
        """Features; then, where outages change which order levels make sense, the highest ones, which are no features but tell the mask."""
        facts = observe(view)
        if self.beginning.members is not None:
            facts[..., POSITION] = self.position(view).permute(2, 0, 1)
        if self.beginning.following is not None:
            facts = torch.where(self.in_units, facts / self.times(view).permute(2, 0, 1).unsqueeze(-1), facts)
        features = (facts * self.factor + self.offset).clamp(-LARGEST, LARGEST).contiguous()
        if self.order_levels is None or view.trace.available is None:
            return features
        return torch.cat([features, self.order_levels.as_facts(view.trace.available[view.period])], -1)

    def position(self, view: View) -> Float[Tensor, "K N B"]:
        """What the levels are compared with."""
        own, members = view.inventory_position, self.beginning.members
        return own if members is None else torch.einsum("nm,kmb->knb", members, own)

    def times(self, view: View) -> Float[Tensor, "K N B"]:
        """How many times the usual demand is now, of a policy that follows it: what it sees is divided by that, and what it asks for multiplied."""
        return lately(view, self.beginning.following)


def _lead_time(network: TransferNetwork) -> Float[Tensor, " N"]:
    """Of the source lane; 0 where there is none."""
    lanes = network.source_lane
    return torch.where(lanes >= 0, network.response_time[lanes.clamp(min=0)] if network.lanes else lanes, 0).to(network.size)


def _money(network: TransferNetwork) -> Tensor:
    """What a unit is typically worth here: the mean of holding, shortage and price rates, by which costs are scaled."""
    rates = [rate for rate in (network.holding_cost, network.shortage_cost, network.counted_price) if rate is not None]
    return torch.cat([rate.flatten() for rate in rates]).mean().clamp(min=1e-6) if rates else network.size.new_ones(())


def _warehouse_features(network: TransferNetwork, levels: Tensor) -> Float[Tensor, "K N S"]:
    size, money = network.size, _money(network)
    nothing = torch.zeros_like(size)

    def rate(rates: Tensor | None) -> Tensor:
        return nothing if rates is None else (rates.squeeze(-1) / money).clamp(max=LARGEST).expand_as(size)

    storage = nothing if network.storage is None else (size * network.volume.squeeze(-1) / network.storage.squeeze(-1)).clamp(max=LARGEST)
    spread = (network.throughput_sd / size).clamp(max=LARGEST)
    relative_size = (size / size.mean(1, keepdim=True)).log().clamp(-LARGEST, LARGEST) / 2
    features = [rate(network.holding_cost), rate(network.shortage_cost), rate(network.counted_price), rate(network.overflow_cost)]
    features += [
        spread,
        relative_size,
        storage,
        network.mean_demand / size,
        _lead_time(network).expand_as(size) / (network.longest_lead_time + 1),
    ]
    features += [network.backordered.squeeze(-1).expand_as(size), (levels / (size * (_lead_time(network) + 1))).clamp(max=LARGEST)]
    return torch.stack(features, -1)


def _lane_features(network: TransferNetwork) -> Float[Tensor, "K E G"]:
    products, lanes, money = len(network.products), len(network.lanes), _money(network)
    nothing = network.size.new_zeros(products, lanes)
    transport = network.unit_cost / money
    procurement = nothing.clone()
    if network.procurement_cost is not None:
        procurement[:, : network.replenishments] = network.procurement_cost.squeeze(-1) / money
    destination_size = network.size[:, network.destination]
    limit = (network.max_request / (destination_size * (network.longest_lead_time + 1))).clamp(max=LARGEST)
    lead_time = (network.lead_time.to(nothing) / (network.longest_lead_time + 1)).expand_as(nothing)
    supplied = nothing.clone()
    supplied[:, : network.replenishments] = 1
    source = torch.zeros_like(nothing)
    source[:, network.source_lane[network.source_lane >= 0]] = 1
    return torch.stack([transport.clamp(max=LARGEST), procurement.clamp(max=LARGEST), limit, lead_time, supplied, source], -1)
