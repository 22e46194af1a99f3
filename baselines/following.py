"""Order-up-to whose levels follow demand: where the last weeks sold twice the usual, it holds twice the
usual.

What a planner does with a moving average: every warehouse keeps so many periods' worth of what was asked for
lately.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.baselines.echelon import echelons
from marl_inv.baselines.newsvendor import on_source_lanes
from marl_inv.baselines.order_up_to import SCALES
from marl_inv.baselines.parameters import Parameter, per_replication
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision

LEAST, MOST = 0.1, 100.0
"""Between which multiples of the usual, or of a unit where less is usual, levels follow demand."""


def lately(view: View, following: Float[Tensor, "N N"]) -> Float[Tensor, "K N B"]:
    """Mean demand of the periods that are remembered over the usual, of every warehouse and all it feeds; 1
    where none is remembered. Where none is usual, over the network's size there, and nothing if there was
    none."""
    network, past = view.network, view.known.past_demand
    usual = (network.mean_demand @ following.T).unsqueeze(-1)
    if not len(past):
        return (usual > 0).to(usual).expand(-1, -1, view.known.replications)
    asked = torch.einsum("nm,kmb->knb", following, past.mean(0))
    ratio = (asked / usual.clamp(min=1e-9)).clamp(LEAST).minimum(MOST / usual.clamp(1e-9, 1))
    return torch.where(usual > 0, ratio, asked / network.size.unsqueeze(-1))


@dataclass(frozen=True, eq=False)
class FollowingOrderUpTo:
    """So many periods' worth of what was asked for lately: what a planner does with a moving average."""

    cover: Float[Tensor, "1 N *B"]
    """Periods of demand to hold, all products alike."""
    usual: Float[Tensor, "K N"]
    """Units that pass in a period, or the network's size where none do."""
    following: Float[Tensor, "N N"]
    """Whose demand a warehouse follows: its own and that of those it feeds (`echelons`)."""
    name: str = "following order-up-to"
    knows: str = "own stock, past demand"
    smooth = True
    members = promotion = None

    @classmethod
    def of(cls, problem: Problem) -> FollowingOrderUpTo:
        """Covers the lead time and the period of review, and one more for the share of demand that has to
        wait for it."""
        network = problem.network
        lane = network.source_lane
        usual = torch.where(network.throughput > 0, network.throughput, network.size)
        periods = torch.ones_like(network.size[0])
        if network.lanes:
            at = lane.clamp(min=0)
            share = (network.passed_on[0] / network.throughput.clamp(min=1e-9)).mean(0)
            periods = network.response_time[at] + 1 + network.waits[at] * share
        return cls((periods * (lane >= 0)).to(network.size).unsqueeze(0), usual, echelons(network))

    @property
    def levels(self) -> Float[Tensor, "K N *B"]:
        """While demand is usual, units."""
        return self.cover * self.usual if self.cover.dim() == 2 else self.cover * self.usual.unsqueeze(-1)

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        levels = per_replication(self.levels) * lately(view, self.following)
        return Decision(on_source_lanes(view.network, (levels - view.inventory_position).clamp(min=0))), None

    def parameters(self, problem: Problem) -> dict[str, Parameter]:
        return {"cover": Parameter(self.cover, torch.full_like(self.cover, 0.5), whole=False)}

    def beginnings(self, problem: Problem) -> list[FollowingOrderUpTo]:
        """Covers scaled by a common factor."""
        return [replace(self, cover=self.cover * factor) for factor in SCALES]
