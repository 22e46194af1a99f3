"""Policies of a distribution network: a warehouse answers for all that is at, or on its way to, those it
feeds.

Who feeds whom is told by source lanes: the network is read as a forest, with suppliers above it.
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


def echelons(network: TransferNetwork) -> Float[Tensor, "N N"]:
    """1 where the warehouse of the column is, or is fed through, the warehouse of the row."""
    members = torch.eye(len(network.warehouses), dtype=network.size.dtype, device=network.size.device)
    for start, lane in enumerate(network.source_lane.tolist()):
        visited = {start}
        while lane >= network.replenishments:
            at = int(network.origin[lane - network.replenishments])
            if at in visited:
                break
            members[at, start] = 1
            visited.add(at)
            lane = int(network.source_lane[at])
    return members


def until_sold(network: TransferNetwork) -> Float[Tensor, "N N"]:
    """Periods from an order of the warehouse of the row until what it brings is sold by that of the column,
    which it feeds or is."""
    members, lane = echelons(network), network.source_lane.clamp(min=0)
    if not network.lanes:
        return torch.zeros_like(members)
    arriving, passing = network.response_time[lane], network.waits[lane].to(members)
    below = members - torch.eye(len(members), dtype=members.dtype, device=members.device)
    return ((members * arriving) @ members + (members * passing) @ below) * members


@dataclass(frozen=True, eq=False)
class EchelonBaseStock:
    """Every warehouse raises the inventory position of its echelon to a level: optimal in series (Clark and
    Scarf 1960)."""

    levels: Float[Tensor, "K N *B"]
    members: Float[Tensor, "N N"]
    name: str = "echelon base-stock"
    knows: str = "stock of all downstream, demand distribution"
    smooth = True
    promotion = following = None

    @classmethod
    def of(cls, problem: Problem) -> EchelonBaseStock:
        """The echelon's newsvendor levels added up. Each covers a period of review, which is also time enough
        to pass on what arrived at once."""
        members = echelons(problem.network)
        return cls(newsvendor_levels(problem, alone=True) @ members.T, members)

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        positions = torch.einsum("nm,kmb->knb", self.members, view.inventory_position)
        return Decision(
            on_source_lanes(view.network, (per_replication(self.levels) - positions).clamp(min=0))
        ), None

    def parameters(self, problem: Problem) -> dict[str, Parameter]:
        return {"levels": Parameter(self.levels, level_unit(problem.network))}

    def beginnings(self, problem: Problem) -> list[EchelonBaseStock]:
        """The echelons' mean demand until what is ordered has come all the way down and is sold, and more or
        less safety above it."""
        network = problem.network
        mean = network.throughput * (until_sold(network).amax(1) + 1)
        scaled = (
            replace(self, levels=mean + safety * level_unit(network))
            for safety in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
        )
        return [*scaled, self]


@dataclass(frozen=True, eq=False)
class EqualFractile:
    """Cross-docks share all they have among the warehouses they feed, so that all are equally safe (Eppen and
    Schrage 1981; Federgruen and Zipkin 1984); everything else is echelon base-stock. Safe: how many standard
    deviations of lead-time demand the position is above its mean."""

    levels: Float[Tensor, "K N *B"]
    members: Float[Tensor, "N N"]
    mean: Float[Tensor, "K E"]
    """Demand at the end of every lane until what leaves now has arrived and is sold, and its standard
    deviation."""
    sd: Float[Tensor, "K E"]
    name: str = "equal fractile"
    knows: str = "stock of all downstream, demand distribution"
    smooth = True

    @classmethod
    def of(cls, problem: Problem) -> EqualFractile:
        network = problem.network
        echelon = EchelonBaseStock.of(problem)
        periods = (network.response_time + network.waits + 1).to(network.size)
        mean, sd = network.throughput[:, network.destination], network.throughput_sd[:, network.destination]
        return cls(echelon.levels, echelon.members, mean * periods, (sd * periods.sqrt()).clamp(min=1e-6))

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        network, position = view.network, view.inventory_position
        echelon, _ = EchelonBaseStock(self.levels, self.members).act(view, None)
        if network.full_shipment is None:
            return echelon, None
        requests = echelon.requests
        lanes, origins, _ = network.full_shipment
        for dock in torch.unique(origins):
            fed = lanes[origins == dock]
            at = position.index_select(1, network.destination[fed])
            mean, sd = self.mean[:, fed].unsqueeze(-1), self.sd[:, fed].unsqueeze(-1)
            requests = requests.index_copy(
                1, fed, equally_safe(view.state.on_hand[:, dock : dock + 1], at, mean, sd)
            )
        return Decision(requests), None

    def parameters(self, problem: Problem) -> dict[str, Parameter]:
        return {"levels": Parameter(self.levels, level_unit(problem.network))}

    def beginnings(self, problem: Problem) -> list[EqualFractile]:
        return [
            replace(self, levels=each.levels) for each in EchelonBaseStock.of(problem).beginnings(problem)
        ]


def equally_safe(
    stock: Float[Tensor, "K 1 B"],
    position: Float[Tensor, "K S B"],
    mean: Float[Tensor, "K S 1"],
    sd: Float[Tensor, "K S 1"],
) -> Float[Tensor, "K S B"]:
    """Shares of the stock that raise the lowest of (position - mean) / sd to one height: of the heights that
    the lowest 1, 2.. places would reach if they alone shared the stock, the least is the one that all who get
    something reach."""
    safety = (position - mean) / sd
    lowest, order = safety.sort(1)
    weight = sd.expand_as(safety).gather(1, order)
    height = ((stock + (weight * lowest).cumsum(1)) / weight.cumsum(1)).amin(1, keepdim=True)
    return (sd * (height - safety)).clamp(min=0)
