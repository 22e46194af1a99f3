"""A clairvoyant that orders just in time: what it asks for arrives in the period in which customers want it.

It knows the demand to come, but weighs no costs and no limits: all comes along source lanes, whatever that
costs. The perfect-information bound is the most that a clairvoyant who weighs them could earn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marl_inv.baselines.echelon import echelons, until_sold
from marl_inv.baselines.newsvendor import on_source_lanes
from marl_inv.chance.trace import Trace
from marl_inv.common.errors import InputError
from marl_inv.episodes.policy import FUTURE
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision


@dataclass(frozen=True, eq=False)
class JustInTime:
    """Raises the position of every warehouse's echelon to what will be asked of it until an order from now
    has come all the way down."""

    feeder: Int[Tensor, " P"]
    """Of each pair of warehouses where one is, or is fed through, the other: who feeds, who is fed, and the
    periods from an order to a sale."""
    fed: Int[Tensor, " P"]
    until_sold: Int[Tensor, " P"]
    name: str = "just in time"
    knows: str = FUTURE

    @classmethod
    def of(cls, problem: Problem) -> JustInTime:
        network = problem.network
        feeder, fed = echelons(network).nonzero().unbind(1)
        return cls(feeder, fed, until_sold(network)[feeder, fed].round().long())

    def start(self, network: TransferNetwork, replications: int) -> Any:
        raise InputError(
            f"{self.name}: knows {self.knows}; begin with `foresee`, and the trace that is played"
        )

    def foresee(self, network: TransferNetwork, trace: Trace) -> Float[Tensor, "S K N B"]:
        """All demand of the episode before each of its periods, and before the one after the last."""
        demand = trace.demand[trace.history :]
        return torch.cat([torch.zeros_like(demand[:1]), demand.cumsum(0)])

    def act(self, view: View, memory: Float[Tensor, "S K N B"]) -> tuple[Decision, Float[Tensor, "S K N B"]]:
        end = (view.period + self.until_sold + 1).clamp(max=len(memory) - 1)
        coming = memory[end, :, self.fed] - memory[view.period][:, self.fed].transpose(0, 1)
        wanting = coming - view.inventory_position[:, self.fed].transpose(0, 1)
        shortfall = wanting.new_zeros(memory.shape[2], memory.shape[1], memory.shape[3]).index_add(
            0, self.feeder, wanting
        )
        return Decision(on_source_lanes(view.network, shortfall.transpose(0, 1).clamp(min=0))), memory
