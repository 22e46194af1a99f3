"""Two lanes into a warehouse, one cheap and slow, one dear and quick: how much to order on each.

The quick (expedited) lane is the one with the least response time among those of a warehouse, the regular one
its source lane. A warehouse with one lane orders up to the regular level on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marl_inv.baselines.newsvendor import level_unit, newsvendor_levels, on_source_lanes
from marl_inv.baselines.order_up_to import SCALES
from marl_inv.baselines.parameters import Parameter, per_replication
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision


def quick_lanes(network: TransferNetwork) -> Int[Tensor, " N"]:
    """The quickest replenishment lane of every warehouse besides its source lane, if it is quicker than that;
    -1 where there is none."""
    quickest, source = [-1] * len(network.warehouses), network.source_lane.tolist()
    response = network.response_time.tolist()
    for lane, place in enumerate(network.destination[: network.replenishments].tolist()):
        best = source[place] if quickest[place] < 0 else quickest[place]
        if lane != source[place] and response[lane] < response[best]:
            quickest[place] = lane
    return torch.tensor(quickest, device=network.destination.device)


def position_within(view: View, lane: Int[Tensor, " N"]) -> Float[Tensor, "K N B"]:
    """Inventory level and what can be used no later than a shipment that would leave now on the lane."""
    network, lane = view.network, lane.clamp(min=0)
    periods = network.lead_time[lane] + network.waits[lane]
    due = torch.arange(1, view.state.pipeline.shape[1] + 1, device=periods.device).unsqueeze(-1) <= periods
    return view.state.inventory_level + (view.state.pipeline * due.unsqueeze(-1).to(view.state.pipeline)).sum(
        1
    )


@dataclass(frozen=True, eq=False)
class DualIndex:
    """Expedites what is missing to one level of what comes soon, then orders what is missing to another of
    all that comes.

    The regular order counts the expedited one just placed (Veeraraghavan and Scheller-Wolf 2008); with a
    `cap` on it, it is the capped dual index (Sun and Van Mieghem 2019).
    """

    expedited_level: Float[Tensor, "K N *B"]
    regular_level: Float[Tensor, "K N *B"]
    cap: Float[Tensor, "K N *B"] | None = None
    name: str = "dual index"
    knows: str = "own stock, demand distribution"
    smooth = True

    @classmethod
    def of(cls, problem: Problem) -> DualIndex:
        """Newsvendor levels; of the expedited lane's lead time, a period's mean demand and one standard
        deviation."""
        return cls(_expedited_level(problem), newsvendor_levels(problem))

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        quick = quick_lanes(view.network)
        expedited = (per_replication(self.expedited_level) - position_within(view, quick)).clamp(min=0) * (
            quick >= 0
        ).unsqueeze(-1)
        regular = (per_replication(self.regular_level) - view.inventory_position - expedited).clamp(min=0)
        if self.cap is not None:
            regular = torch.minimum(regular, per_replication(self.cap))
        requests = on_source_lanes(view.network, regular).index_add(1, quick.clamp(min=0), expedited)
        return Decision(requests), None

    def parameters(self, problem: Problem) -> dict[str, Parameter]:
        unit = level_unit(problem.network)
        found = {
            "expedited_level": Parameter(self.expedited_level, 0.5 * unit),
            "regular_level": Parameter(self.regular_level, unit),
        }
        return found if self.cap is None else found | {"cap": Parameter(self.cap, 0.3 * problem.network.size)}

    def beginnings(self, problem: Problem) -> list[DualIndex]:
        levels = [(self.expedited_level * a, self.regular_level * b) for a in (0.6, 1.0, 1.4) for b in SCALES]
        caps = [None] if self.cap is None else [self.cap * factor for factor in (0.7, 1.0, 1.5)]
        return [
            replace(self, expedited_level=quick, regular_level=slow, cap=cap)
            for quick, slow in levels
            for cap in caps
        ]


class CappedDualIndex(DualIndex):
    """Dual index whose regular order has a cap (Sun and Van Mieghem 2019)."""

    @classmethod
    def of(cls, problem: Problem) -> CappedDualIndex:
        """A cap of what passes through in a period."""
        return cls(
            _expedited_level(problem),
            newsvendor_levels(problem),
            cap=1.0 * problem.network.size,
            name="capped dual index",
        )


@dataclass(frozen=True, eq=False)
class TailoredBaseSurge:
    """Always the same on the source lane, and up to a level on the quick one (Allon and Van Mieghem 2010)."""

    expedited_level: Float[Tensor, "K N *B"]
    quantity: Float[Tensor, "K N *B"]
    name: str = "tailored base-surge"
    knows: str = "own stock, demand distribution"
    smooth = True

    @classmethod
    def of(cls, problem: Problem) -> TailoredBaseSurge:
        return cls(_expedited_level(problem), 0.7 * problem.network.throughput)

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        quick = quick_lanes(view.network)
        expedited = (per_replication(self.expedited_level) - position_within(view, quick)).clamp(min=0) * (
            quick >= 0
        ).unsqueeze(-1)
        requests = on_source_lanes(view.network, per_replication(self.quantity).expand_as(expedited))
        return Decision(requests.index_add(1, quick.clamp(min=0), expedited)), None

    def parameters(self, problem: Problem) -> dict[str, Parameter]:
        unit = level_unit(problem.network)
        return {
            "expedited_level": Parameter(self.expedited_level, 0.5 * unit),
            "quantity": Parameter(self.quantity, 0.2 * problem.network.size),
        }

    def beginnings(self, problem: Problem) -> list[TailoredBaseSurge]:
        starts = [(a, b) for a in (0.6, 1.0, 1.4) for b in (0.4, 0.7, 1.0, 1.3)]
        return [
            replace(self, expedited_level=self.expedited_level * a, quantity=self.quantity * b)
            for a, b in starts
        ]


def _expedited_level(problem: Problem) -> Float[Tensor, "K N"]:
    network = problem.network
    if not network.lanes:
        return torch.zeros_like(network.size)
    quick = quick_lanes(network)
    mean, sd = network.lead_time_demand(quick)
    return (mean + sd) * (quick >= 0)
