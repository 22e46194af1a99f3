"""What a played episode amounts to: money by kind, service, stock and movement, per product, warehouse and replication."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.network import TransferNetwork
from marl_inv.rollout import Moment
from marl_inv.simulator import COST_PARTS, Costs, Flows

MEASURES: dict[str, Callable[[Flows, Costs], Tensor]] = {
    "profit": lambda flows, costs: costs.profit,
    "revenue": lambda flows, costs: costs.revenue,
    **{f"{part}_cost": lambda flows, costs, part=part: getattr(costs, part) for part in COST_PARTS},
    "demand": lambda flows, costs: flows.demand,
    "unmet": lambda flows, costs: flows.unmet,
    "overflow": lambda flows, costs: flows.overflow,
    "on_hand": lambda flows, costs: flows.on_hand,
    "backorders": lambda flows, costs: flows.backorders,
}
"""Per period, (K, N, B); `Record` adds them up. A new measure is a line here."""


@dataclass(frozen=True)
class Record:
    """Sums over the scored periods of a batch of episodes."""

    network: TransferNetwork
    periods: int
    sums: dict[str, Float[Tensor, "K N B"]]
    shipments: Float[Tensor, "K E B"]

    def per_period(self, measure: str) -> Float[Tensor, "K N B"]:
        return self.sums[measure] / self.periods

    @property
    def fill_rate(self) -> Float[Tensor, " B"]:
        """Units served from stock in the period they were asked for, over units demanded (type 2 service)."""
        return 1 - self.sums["unmet"].sum((0, 1)) / self.sums["demand"].sum((0, 1)).clamp(min=1e-9)

    @property
    def transferred(self) -> Float[Tensor, " B"]:
        """Units per period shipped from one warehouse to another."""
        return self.shipments[:, self.network.replenishments :].sum((0, 1)) / self.periods


def score(moments: Iterable[Moment], warm_up: int = 0) -> Record:
    """Add up the periods after the warm-up, in float64."""
    sums: dict[str, Tensor] = {}
    shipments: Tensor | None = None
    for period, moment in enumerate(moments):
        if period < warm_up:
            continue
        for name, measure in MEASURES.items():
            value = measure(moment.flows, moment.costs)
            sums[name] = value.to(torch.float64, copy=True) if name not in sums else sums[name].add_(value)
        shipments = moment.flows.shipments.to(torch.float64, copy=True) if shipments is None else shipments.add_(moment.flows.shipments)
    if shipments is None:
        raise ValueError("no period was scored: the warm-up is as long as the episode")
    return Record(moment.view.network, period + 1 - warm_up, sums, shipments)
