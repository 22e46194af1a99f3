"""Order-up-to for what is coming: levels rise and fall with what the calendar and forecasts expect.

The calendar is what everybody knows beforehand: season, trend, listed demand, and that a season ends, after
which nothing more is sold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from marl_inv.baselines.echelon import echelons
from marl_inv.baselines.newsvendor import level_unit, newsvendor_levels, on_source_lanes
from marl_inv.baselines.order_up_to import SCALES
from marl_inv.baselines.parameters import Parameter, per_replication
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View
from marl_inv.network import TransferNetwork
from marl_inv.scenario.demand import Empirical
from marl_inv.simulator import Decision


def changes(problem: Problem) -> bool:
    """Whether anything is known of coming demand that is not the same in every period."""
    scenario = problem.scenario
    demands = [scenario.demand_of(warehouse) for warehouse in scenario.warehouses]
    return scenario.forecast is not None or any(demand and demand.cycle != 1 for demand in demands)


@dataclass(frozen=True, eq=False)
class SeasonalOrderUpTo:
    """Order-up-to whose levels rise and fall with the demand that the calendar and forecasts expect until an
    order from now is used."""

    levels: Float[Tensor, "K N *B"]
    """While demand is usual, units."""
    calendar: Float[Tensor, "T K N"]
    """Expected demand of every period, as far as one plans beyond the last."""
    cover: Int[Tensor, " N"]
    """Periods that are planned for: lead time and review."""
    usual: Float[Tensor, "K N"]
    """What is expected in so many periods, on average."""
    members: Float[Tensor, "N N"]
    """Whose demand a warehouse covers: its own and that of those it feeds."""
    name: str = "seasonal order-up-to"
    knows: str = "own stock, calendar and forecasts"
    smooth = True

    @classmethod
    def of(cls, problem: Problem) -> SeasonalOrderUpTo:
        """Newsvendor levels, as usual."""
        network, scenario = problem.network, problem.scenario
        lane = network.source_lane.clamp(min=0)
        cover = torch.ones_like(lane)
        if network.lanes:
            cover = network.response_time[lane] + network.waits[lane] + 1
        periods = np.arange(scenario.horizon + int(cover.max()))
        factors = np.ones((len(periods), len(scenario.warehouses)))
        for n, warehouse in enumerate(scenario.warehouses):
            demand = scenario.demand_of(warehouse)
            if demand is not None and not isinstance(demand, Empirical):
                growth = demand.growth(periods)
                factors[:, n] = growth / max(growth[: scenario.horizon].mean(), 1e-9)
        if scenario.ending == "finite":
            factors[scenario.horizon :] = 0
        calendar = torch.from_numpy(factors).to(network.size).unsqueeze(1) * network.mean_demand
        usual = network.throughput * cover
        return cls(newsvendor_levels(problem), calendar, cover, usual, echelons(network))

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        expected = self._expected(view).cumsum(0)[self.cover - 1, :, torch.arange(len(self.cover))]
        usual = self.usual.unsqueeze(-1)
        times = torch.where(usual > 0, expected.transpose(0, 1) / usual.clamp(min=1e-9), 1.0)
        levels = per_replication(self.levels) * times
        return Decision(on_source_lanes(view.network, (levels - view.inventory_position).clamp(min=0))), None

    def _expected(self, view: View) -> Float[Tensor, "H K N _"]:
        """What passes through every warehouse in the coming periods: as forecast, then by the calendar."""
        longest = int(self.cover.max())
        first = min(view.period, len(self.calendar) - longest)
        known, told = self.calendar[first : first + longest].unsqueeze(-1), view.known.forecast
        if told is not None:
            ahead = min(len(told), longest)
            sold = (known[:ahead].sum((1, 2), keepdim=True) > 0) | (self.calendar.sum() <= 0)
            told = told[:ahead] * sold
            known = torch.cat([told, known[ahead:].expand(-1, -1, -1, told.shape[-1])])
        return torch.einsum("nm,hkmb->hknb", self.members, known)

    def parameters(self, problem: Problem) -> dict[str, Parameter]:
        return {"levels": Parameter(self.levels, level_unit(problem.network))}

    def beginnings(self, problem: Problem) -> list[SeasonalOrderUpTo]:
        """Levels scaled by a common factor."""
        return [replace(self, levels=self.levels * factor) for factor in SCALES]
