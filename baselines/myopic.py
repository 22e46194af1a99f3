"""Myopic: every warehouse orders what serves best the period in which the order arrives, and looks no
further.

With backorders that is order-up-to; where sales are lost it counts what the stock and every unit on its way
will really leave by then, and so orders less and more smoothly (Morton 1971; Zipkin 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marl_inv.baselines.newsvendor import critical_ratio, on_source_lanes
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision

PATHS = 512
"""Sampled paths of demand, at most; fewer where there are many products and warehouses."""

SAMPLED = 10**6
"""Number of the first path among the replications of the tuning stream: beyond those that tuning uses."""


@dataclass(frozen=True, eq=False)
class Myopic:
    """Every warehouse orders what serves best the period in which the order arrives (Morton 1971; Zipkin
    2008)."""

    demand: Float[Tensor, "T K N S"]
    """Sampled paths of what passes through every warehouse, its customers' demand and that of all who are fed
    from it."""
    fed: Float[Tensor, "T K N S"] | None
    """Of which the latter, where what arrives at once has to wait a period before it is passed on."""
    ratio: Float[Tensor, "K N"]
    """The probability to have enough that is aimed at."""
    name: str = "myopic"
    knows: str = "own stock, demand distribution"

    @classmethod
    def of(cls, problem: Problem, paths: int | None = None) -> Myopic:
        network, horizon = problem.network, problem.scenario.horizon
        paths = paths or min(PATHS, max(32, 8_000_000 // (network.size.numel() * horizon)))
        sampled = problem.trace("tune", 0, range(SAMPLED, SAMPLED + paths))
        demand = sampled.demand[sampled.history :]
        through = torch.einsum("nm,tkms->tkns", _fed(network).to(demand), demand)
        waits = _waits(network)
        fed = (through - demand) * waits.view(-1, 1) if bool(waits.any()) else None
        return cls(through, fed, torch.from_numpy(critical_ratio(network)).to(demand))

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        network, state, demand = view.network, view.state, self.demand
        if not network.lanes:
            return Decision(on_source_lanes(network, state.inventory_level)), None
        waiting = _waits(network)
        periods = (
            network.response_time[network.source_lane.clamp(min=0)] * (network.source_lane >= 0) + waiting
        )
        longest = min(int(periods.max()), len(demand) - 1)
        first = min(view.period, len(demand) - 1 - longest)
        lost = ((1 - network.backordered) * (network.mean_demand > 0).unsqueeze(-1)).unsqueeze(-1)
        lost = lost * (1 - waiting.view(-1, 1, 1))  # those who come first may have what arrives now
        left = state.inventory_level.unsqueeze(-1)
        later = (view.inventory_position - state.inventory_level - state.in_transit).unsqueeze(-1)
        wanted = demand[first].unsqueeze(2)
        for ahead in range(longest):
            waits = (periods > ahead).view(-1, 1, 1)
            after = left - demand[first + ahead].unsqueeze(2)
            after = torch.where(lost > 0, after.clamp(min=0), after)
            left = torch.where(
                waits,
                after + (state.pipeline[:, ahead].unsqueeze(-1) if ahead < state.pipeline.shape[1] else 0),
                left,
            )
            then = demand[first + ahead + 1]
            if self.fed is not None:
                then = torch.where(waiting.view(-1, 1) > 0, self.fed[first + ahead + 1], then)
            wanted = torch.where(waits, then.unsqueeze(2), wanted)
        missing = (wanted - left - later).sort(dim=-1).values
        rank = (self.ratio * missing.shape[-1]).ceil().long().clamp(1, missing.shape[-1]) - 1
        chosen = missing.gather(-1, rank.view(*rank.shape, 1, 1).expand(*missing.shape[:-1], 1)).squeeze(-1)
        return Decision(on_source_lanes(network, chosen.clamp(min=0))), None


def _waits(network: TransferNetwork) -> Int[Tensor, " N"]:
    """1 where what is asked for on the source lane arrives at once and is passed on a period later."""
    lane = network.source_lane
    return network.waits[lane.clamp(min=0)] * (lane >= 0) if network.lanes else torch.zeros_like(lane)


def _fed(network: TransferNetwork) -> Float[Tensor, "N N"]:
    """1 where the warehouse of a row is that of the column, or feeds it along source lanes."""
    sources, fed = network.source_lane.tolist(), torch.eye(len(network.warehouses))
    for start in range(len(sources)):
        at, visited = start, {start}
        while sources[at] >= network.replenishments:
            at = int(network.origin[sources[at] - network.replenishments])
            if at in visited:
                break
            visited.add(at)
            fed[at, start] = 1
    return fed
