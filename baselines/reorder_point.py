"""Policies for orders that cost something each: order when the inventory position has fallen far enough, or
always the same."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.baselines.newsvendor import level_unit, newsvendor_levels, on_source_lanes
from marl_inv.baselines.order_up_to import SCALES
from marl_inv.baselines.parameters import Parameter, per_replication
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision


@dataclass(frozen=True, eq=False)
class ReorderPoint:
    """(s, S): a position at or below the reorder point s is raised to S (Scarf 1960). Below, S is s +
    `quantity`.

    With `fixed_quantity` it is (r, Q): as many whole multiples of the quantity as bring the position above r.
    """

    reorder_point: Float[Tensor, "K N *B"]
    quantity: Float[Tensor, "K N *B"]
    """Above the reorder point, units; at least a little."""
    fixed_quantity: bool = False
    name: str = "(s, S)"
    knows: str = "own stock, demand distribution"
    smooth = False

    @classmethod
    def of(cls, problem: Problem) -> ReorderPoint:
        """The newsvendor level as s, and the economic order quantity above it, but at least one period's
        throughput."""
        return cls(newsvendor_levels(problem), _economic_quantity(problem.network))

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        point, quantity = per_replication(self.reorder_point), per_replication(self.quantity)
        missing = point - view.inventory_position
        asked = quantity * ((missing / quantity).floor() + 1) if self.fixed_quantity else missing + quantity
        return Decision(on_source_lanes(view.network, asked * (missing >= 0))), None

    def parameters(self, problem: Problem) -> dict[str, Parameter]:
        return {
            "reorder_point": Parameter(self.reorder_point, level_unit(problem.network)),
            "quantity": Parameter(
                self.quantity, 0.3 * self.quantity, least=1.0 if problem.network.integer else 1e-3
            ),
        }

    def beginnings(self, problem: Problem) -> list[ReorderPoint]:
        return [
            replace(self, reorder_point=self.reorder_point * a, quantity=self.quantity * b)
            for a in SCALES
            for b in (0.5, 1.0, 2.0)
        ]


class FixedQuantity(ReorderPoint):
    """(r, Q): a position at or below the reorder point r is raised by Q."""

    @classmethod
    def of(cls, problem: Problem) -> FixedQuantity:
        return cls(
            newsvendor_levels(problem),
            _economic_quantity(problem.network),
            fixed_quantity=True,
            name="(r, Q)",
        )


def _economic_quantity(network: TransferNetwork) -> Float[Tensor, "K N"]:
    """sqrt(2 x throughput x fixed cost / holding cost), where a shipment or vehicle has a fixed cost; at
    least one period's throughput."""
    fixed = torch.zeros_like(network.size[0])
    for cost in (network.shipment_cost, network.vehicle_cost):
        if cost is not None and network.lanes:
            fixed = fixed + cost.squeeze(-1)[network.source_lane.clamp(min=0)] * (network.source_lane >= 0)
    holding = (
        torch.ones_like(network.size)
        if network.holding_cost is None
        else network.holding_cost.squeeze(-1).clamp(min=1e-6)
    )
    return torch.maximum((2 * network.size * fixed / holding).sqrt(), network.size)


@dataclass(frozen=True, eq=False)
class ConstantOrder:
    """The same every period, whatever there is: what lost sales come to with very long lead times (Goldberg
    et al. 2016)."""

    quantity: Float[Tensor, "K N *B"]
    name: str = "constant order"
    knows: str = "demand distribution"
    smooth = True

    @classmethod
    def of(cls, problem: Problem) -> ConstantOrder:
        """A little less than what passes through: more would pile up."""
        return cls(0.95 * problem.network.throughput)

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        quantity = per_replication(self.quantity).expand_as(view.state.inventory_level)
        return Decision(on_source_lanes(view.network, quantity)), None

    def parameters(self, problem: Problem) -> dict[str, Parameter]:
        return {"quantity": Parameter(self.quantity, 0.1 * problem.network.size)}

    def beginnings(self, problem: Problem) -> list[ConstantOrder]:
        return [replace(self, quantity=self.quantity * factor) for factor in (0.6, 0.8, 0.9, 1.0, 1.05)]
