"""Promotions as a layer over any policy that orders: a calendar of when to promote, and how hard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.baselines.parameters import Parameter, per_replication
from marl_inv.episodes.policy import known_above
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision


@dataclass(frozen=True, eq=False)
class PromotionCalendar:
    """Promotes at a level in the first `length` periods of every `cycle`, and not in the others; nothing
    where promotions are not decided.

    Which leaves demand time to come back where promotions make it dip.
    """

    base: Any
    level: Float[Tensor, "K N *B"]
    cycle: Float[Tensor, "K N *B"]
    """Periods, rounded."""
    length: Float[Tensor, "K N *B"]
    """Periods, rounded."""
    name: str = ""
    knows: str = "own stock, demand distribution, the date"
    smooth = False

    @classmethod
    def of(cls, problem: Problem, base: Any = None) -> PromotionCalendar:
        """Over order-up-to: one period in four at half of the most."""
        network, base = problem.network, base or OrderUpTo.of(problem)
        one = torch.ones_like(network.size)
        name, knows = f"{base.name} with promotions by calendar", known_above(base, cls.knows)
        return cls(base, 0.5 * _most(network), 4 * one, one, name=name, knows=knows)

    @property
    def foresee(self) -> Any:
        """The policy below's, if it has one."""
        return self.base.foresee

    def start(self, network: TransferNetwork, replications: int) -> Any:
        return self.base.start(network, replications)

    def act(self, view: View, memory: Any) -> tuple[Decision, Any]:
        decision, memory = self.base.act(view, memory)
        if view.network.max_promotion is None:
            return decision, memory
        level, cycle, length = (
            per_replication(part) for part in (self.level, self.cycle.round(), self.length.round())
        )
        promotion = level * (view.period % cycle < length)
        return replace(decision, promotion=promotion.expand_as(view.state.inventory_level)), memory

    def parameters(self, problem: Problem) -> dict[str, Parameter]:
        """Its own, and those of the policy below but for its promotions."""
        network = problem.network
        inner = {
            f"base.{name}": parameter
            for name, parameter in self.base.parameters(problem).items()
            if name != "promotion"
        }
        if network.max_promotion is None:
            return inner
        one, most = torch.ones_like(network.size), _most(network)
        level = Parameter(self.level, 0.5 * most, 0.0, most, whole=False)
        own = {
            "cycle": Parameter(self.cycle, 2 * one, 1.0, whole=False),
            "length": Parameter(self.length, one, 0.0, whole=False),
        }
        return {"level": level} | own | inner

    def beginnings(self, problem: Problem) -> list[PromotionCalendar]:
        """Rare, frequent and constant promotions, and none."""
        most, one, begun = _most(problem.network), torch.ones_like(self.level), []
        for base in self.base.beginnings(problem):
            for share, cycle, length in ((0.0, 4, 1), (0.5, 4, 1), (1.0, 8, 1), (0.5, 2, 1), (0.5, 1, 1)):
                begun.append(
                    replace(self, base=base, level=share * most, cycle=cycle * one, length=length * one)
                )
        return begun


def _most(network: TransferNetwork) -> Float[Tensor, "K N"]:
    if network.max_promotion is None:
        return torch.zeros_like(network.size)
    return network.max_promotion.squeeze(-1).expand_as(network.size).clone()
