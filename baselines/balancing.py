"""Transfers as a layer over any policy that orders on source lanes: surplus goes along lateral lanes to where there is too little."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.baselines.tuning import Parameter, Tunable, per_replication
from torch import Tensor

from marl_inv.interface import View
from marl_inv.network import TransferNetwork
from marl_inv.problem import Problem
from marl_inv.simulator import Decision


def lateral(network: TransferNetwork) -> Float[Tensor, "E 1"]:
    """1 on lanes between warehouses that are nobody's source lane."""
    lanes = torch.zeros(len(network.lanes), 1, dtype=network.size.dtype, device=network.size.device)
    lanes[network.replenishments :] = 1
    lanes[network.source_lane[network.source_lane >= 0]] = 0
    return lanes


@dataclass(frozen=True, eq=False)
class ThresholdBalancing:
    """What a warehouse has on hand above `surplus_level` is offered along its lateral lanes to those who hold, with what comes
    within the lane's lead time, less than their `shortage_level`: shared in proportion to what they lack, and no more than that."""

    base: Any
    surplus_level: Float[Tensor, "K N *B"]
    shortage_level: Float[Tensor, "K N *B"]
    name: str = ""
    knows: str = "stock of neighbours, demand distribution"

    @classmethod
    def of(cls, problem: Problem, base: Tunable | None = None) -> ThresholdBalancing:
        """Over order-up-to: surplus is above half of its level, shortage below a period's mean demand and one standard deviation."""
        network, base = problem.network, base or OrderUpTo.of(problem)
        shortage = network.mean_demand + network.sd_demand
        levels = getattr(base, "levels", 2 * network.size)
        return cls(base, torch.maximum(0.5 * levels, shortage), shortage, name=f"balanced {base.name}")

    @property
    def smooth(self) -> bool:
        return self.base.smooth

    def start(self, network: TransferNetwork, replications: int) -> Any:
        return self.base.start(network, replications)

    def act(self, view: View, memory: Any) -> tuple[Decision, Any]:
        decision, memory = self.base.act(view, memory)
        return replace(decision, requests=decision.requests + self.transfers(view)), memory

    def transfers(self, view: View) -> Float[Tensor, "K E B"]:
        network, state = view.network, view.state
        supplied = network.replenishments
        if not len(network.origin):
            return state.inventory_level.new_zeros(len(network.products), supplied, view.trace.replications)
        spare = (state.on_hand - per_replication(self.surplus_level)).clamp(min=0)
        soon = _arriving_within(view)[:, supplied:]
        lacking = (per_replication(self.shortage_level).index_select(1, network.destination[supplied:]) - soon).clamp(min=0)
        lacking = lacking * lateral(network)[supplied:]
        offered = spare.index_select(1, network.origin) * _share(lacking, network.departures(lacking).index_select(1, network.origin))
        offers = (
            torch.zeros_like(spare).index_add(1, network.destination[supplied:], offered).index_select(1, network.destination[supplied:])
        )
        sent = offered * (lacking / torch.maximum(offers, lacking).clamp(min=1e-9))
        return torch.cat([sent.new_zeros(len(sent), supplied, sent.shape[-1]), sent], dim=1)

    def parameters(self, problem: Problem) -> dict[str, Parameter]:
        """Its own and those of the policy below, all tuned together."""
        unit = problem.network.sd_demand.clamp(min=0.1)
        own = {"surplus_level": Parameter(self.surplus_level, unit), "shortage_level": Parameter(self.shortage_level, unit)}
        return own | {f"base.{name}": parameter for name, parameter in self.base.parameters(problem).items()}

    def beginnings(self, problem: Problem) -> list[ThresholdBalancing]:
        """With the transfers in several strengths, the weakest of them none."""
        network = problem.network
        steps = [(surplus, shortage) for surplus in (0.3, 0.5, 0.8) for shortage in (0.0, 1.0, 2.0)]
        begun = []
        for base in self.base.beginnings(problem):
            levels = getattr(base, "levels", 2 * network.size)
            for surplus, shortage in steps:
                low = network.mean_demand * shortage + network.sd_demand * (shortage > 0)
                begun.append(replace(self, base=base, surplus_level=torch.maximum(surplus * levels, low), shortage_level=low))
        return begun


def _arriving_within(view: View) -> Float[Tensor, "K E B"]:
    """What the destination of every lane has and gets until a shipment that leaves now would arrive."""
    network, state = view.network, view.state
    soon = torch.cat([state.inventory_level.unsqueeze(1), state.pipeline], dim=1).cumsum(1)
    slots = (network.lead_time.clamp(max=soon.shape[1] - 1) * soon.shape[2] + network.destination).long()
    return soon.flatten(1, 2).index_select(1, slots)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return part / whole.clamp(min=1e-9)
