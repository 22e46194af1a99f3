"""Order-up-to: every warehouse raises its inventory position to a level, each period, on one lane, with or
without a cap on the order.

Levels are newsvendor quantiles of the demand over the lead time and the period of review; `tuning` finds
better ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.baselines.newsvendor import level_unit, newsvendor_levels, on_source_lanes
from marl_inv.baselines.parameters import Parameter, per_replication
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision

SCALES = (0.4, 0.55, 0.7, 0.85, 1.0, 1.15, 1.3, 1.6)
"""Multiples of the newsvendor levels that tuning may start from."""


@dataclass(frozen=True, eq=False)
class OrderUpTo:
    """Every warehouse raises its inventory position to a level, on its source lane: newsvendor quantiles
    until they are tuned."""

    levels: Float[Tensor, "K N *B"]
    """Order-up-to levels, units."""
    promotion: Float[Tensor, "K N *B"] | None = None
    """Constant promotion levels; None is no promotion."""
    cap: Float[Tensor, "K N *B"] | None = None
    """Most units to ask for in a period; None is no cap."""
    name: str = "order-up-to"
    knows: str = "own stock, demand distribution"
    smooth = True
    members = following = None

    @classmethod
    def of(cls, problem: Problem) -> OrderUpTo:
        """With newsvendor levels."""
        return cls(newsvendor_levels(problem))

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        shortfall = (per_replication(self.levels) - view.inventory_position).clamp(min=0)
        if self.cap is not None:
            shortfall = torch.minimum(shortfall, per_replication(self.cap))
        promotion = None if self.promotion is None else per_replication(self.promotion).expand_as(shortfall)
        return Decision(on_source_lanes(view.network, shortfall), promotion), None

    def parameters(self, problem: Problem) -> dict[str, Parameter]:
        network = problem.network
        found = {"levels": Parameter(self.levels, level_unit(network))}
        if network.max_promotion is not None:
            most = network.max_promotion.squeeze(-1).expand_as(network.size)
            found["promotion"] = Parameter(
                torch.zeros_like(most) if self.promotion is None else self.promotion,
                most,
                0.0,
                most,
                whole=False,
            )
        if self.cap is not None:
            found["cap"] = Parameter(self.cap, 0.5 * network.size)
        return found

    def beginnings(self, problem: Problem) -> list[OrderUpTo]:
        """Levels scaled by a common factor."""
        return [replace(self, levels=self.levels * factor) for factor in SCALES]


class CappedOrderUpTo(OrderUpTo):
    """Order-up-to that never asks for more than a cap in a period: close to optimal under lost sales with
    long lead times (Xin 2021)."""

    @classmethod
    def of(cls, problem: Problem) -> CappedOrderUpTo:
        """A cap of one and a half times what passes through in a period."""
        return cls(newsvendor_levels(problem), cap=1.5 * problem.network.size, name="capped order-up-to")

    def beginnings(self, problem: Problem) -> list[OrderUpTo]:
        assert self.cap is not None
        return [
            replace(each, cap=self.cap * factor)
            for each in super().beginnings(problem)
            for factor in (0.7, 0.8, 1.0, 2.0)
        ]
