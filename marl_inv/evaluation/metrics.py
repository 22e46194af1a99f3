"""What a played episode amounts to: money by kind, service, stock and movement, per product, warehouse and
replication."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.episodes.rollout import Moment
from marl_inv.network import TransferNetwork
from marl_inv.scenario.objective import COST_PARTS, INCOME_PARTS
from marl_inv.simulator import Costs, Flows

FLOAT_NOISE = 1e-4
"""The share of a period's demand that, unmet, is no stockout: who asks for exactly the demand is off by
rounding."""


MEASURES: dict[str, Callable[[Flows, Costs], Tensor]] = {
    "reward": lambda flows, costs: costs.reward,
    **{part: lambda flows, costs, part=part: getattr(costs, part) for part in INCOME_PARTS},
    **{f"{part}_cost": lambda flows, costs, part=part: getattr(costs, part) for part in COST_PARTS},
    "demand": lambda flows, costs: flows.demand,
    "unmet": lambda flows, costs: flows.unmet,
    "stockout": lambda flows, costs: (flows.unmet > FLOAT_NOISE * flows.demand.clamp(min=0)).to(flows.unmet),
    "overflow": lambda flows, costs: flows.overflow,
    "on_hand": lambda flows, costs: flows.on_hand,
    "backorders": lambda flows, costs: flows.backorders,
}
"""Per period, (K, N, B); `Totals` adds them up. A new measure is a line here."""


MONEY = (*INCOME_PARTS, *(f"{part}_cost" for part in COST_PARTS))
"""The measures that are parts of the reward."""


LANE_MEASURES: dict[str, Callable[[Flows], Tensor | None]] = {
    "requested": lambda flows: flows.requests,
    "shipped": lambda flows: flows.shipments,
    "owed": lambda flows: flows.owed,
    "refused": lambda flows: flows.refused,
    "transshipped": lambda flows: flows.transshipped,
}
"""Per period, (K, E, B), `transshipped` (K, X, B); None for what the network does not have."""


@dataclass(frozen=True)
class Totals:
    """Sums over the scored periods of a batch of episodes, of every period times its weight."""

    network: TransferNetwork
    periods: int
    weight: float
    """The sum of the periods' weights: `periods` without a discount."""
    sums: dict[str, Float[Tensor, "K N B"]]
    lane_sums: dict[str, Float[Tensor, "K _ B"]]
    rewards: Float[Tensor, "T K"] | None = None
    """Of every scored period, so weighted that their mean is the reward; kept of one replication alone, whose
    periods are all the time that there is."""

    @classmethod
    def of_parts(cls, parts: Sequence[Totals]) -> Totals:
        """Replications that were played one part after the other."""
        first = parts[0]
        if len(parts) == 1:
            return first
        sums, lane_sums = (
            {
                name: torch.cat([getattr(part, kind)[name] for part in parts], -1)
                for name in getattr(first, kind)
            }
            for kind in ("sums", "lane_sums")
        )
        return replace(first, sums=sums, lane_sums=lane_sums)

    @property
    def replications(self) -> int:
        return self.sums["reward"].shape[-1]

    def per_period(self, measure: str) -> Float[Tensor, "K N B"]:
        return self.sums[measure] / self.weight

    @cached_property
    def added_by(self) -> tuple[str, Float[Tensor, "K 1 1"]]:
        """What units of all products are added up by, and what one of each counts: their `value` (the mean
        price), their `volume`, or plain `units` where these are alike."""
        network, plain = self.network, torch.ones(len(self.network.products), 1, 1, dtype=torch.float64)
        plain = plain.to(network.size.device)
        if len(plain) == 1:
            return "units", plain
        if network.price is not None:
            sold = (network.price > 0).double()
            value = (
                network.price.double().sum(1, keepdim=True) / sold.sum(1, keepdim=True).clamp(min=1)
            ) * plain
            if bool((value > 0).all()) and bool((value != value[0]).any()):
                return "value", value
        if bool((network.volume != network.volume[0]).any()):
            return "volume", network.volume.double() * plain
        return "units", plain

    def added_up(self, measure: str) -> Float[Tensor, "N B"]:
        """Sums of a measure in units over all products, as `added_by` says."""
        by, each = self.added_by
        return (self.sums[measure] if by == "units" else self.sums[measure] * each).sum(0)

    def per_lane(self, measure: str) -> Float[Tensor, "K _ B"]:
        return self.lane_sums[measure] / self.weight

    @property
    def fill_rate(self) -> Float[Tensor, " B"]:
        """Served from stock in the period it was asked for, over what was demanded (type 2 service), added up
        by `added_by`."""
        if self.added_by[0] == "units":
            return 1 - self.sums["unmet"].sum((0, 1)) / self.sums["demand"].sum((0, 1)).clamp(min=1e-9)
        return 1 - self.added_up("unmet").sum(0) / self.added_up("demand").sum(0).clamp(min=1e-9)

    @property
    def on_hand(self) -> Float[Tensor, " B"]:
        """Per period on the whole network, added up by `added_by`."""
        if self.added_by[0] == "units":
            return self.per_period("on_hand").sum((0, 1))
        return self.added_up("on_hand").sum(0) / self.weight

    @property
    def moved(self) -> Float[Tensor, "K B"]:
        """Units per period shipped from one warehouse to another, on request or reactively."""
        moved = self.per_lane("shipped")[:, self.network.replenishments :].sum(1)
        return moved + self.per_lane("transshipped").sum(1) if "transshipped" in self.lane_sums else moved

    def lowest_fill_rate(self) -> tuple[float, int, int]:
        """Of all products and warehouses with customers, over all replications, and whose it is; 1 of the
        first where nobody has any."""
        unmet, demand = self.sums["unmet"].sum(-1), self.sums["demand"].sum(-1)
        rates = torch.where(demand > 0, 1 - unmet / demand.clamp(min=1e-9), 1.0)
        product, warehouse = divmod(int(rates.argmin()), rates.shape[1])
        return float(rates.min()), product, warehouse

    @property
    def cycle_service_level(self) -> Float[Tensor, " B"]:
        """Share of periods in which a warehouse with customers met all of a product's demand."""
        served = (self.network.mean_demand > 0).to(torch.float64).unsqueeze(-1)
        return 1 - (self.per_period("stockout") * served).sum((0, 1)) / served.sum().clamp(min=1)

    @property
    def transferred(self) -> Float[Tensor, " B"]:
        """What is shipped per period from one warehouse to another, on request or reactively, added up by
        `added_by`."""
        by, each = self.added_by
        if by != "units":
            return (self.moved * each.squeeze(-1)).sum(0)
        moved = self.per_lane("shipped")[:, self.network.replenishments :].sum((0, 1))
        return (
            moved + self.per_lane("transshipped").sum((0, 1)) if "transshipped" in self.lane_sums else moved
        )


def score(moments: Iterable[Moment], weights: Iterable[float] | None = None) -> Totals:
    """Add up the periods by their weights (see `period_weights`), in float64; without weights each counts
    fully. One of weight 0 is not scored."""
    sums: dict[str, Tensor] = {}
    lane_sums: dict[str, Tensor] = {}
    scored, total = 0, 0.0
    rewards: list[Tensor] = []
    for moment, weight in zip(
        moments, repeat(1.0) if weights is None else weights, strict=weights is not None
    ):
        if not weight:
            continue
        values = {name: measure(moment.flows, moment.costs) for name, measure in MEASURES.items()}
        lane_values = {name: measure(moment.flows) for name, measure in LANE_MEASURES.items()}
        if moment.costs.reward.shape[-1] == 1:
            rewards.append(weight * moment.costs.reward.double().sum(1)[:, 0])
        _accumulate(sums, values, weight)
        _accumulate(lane_sums, lane_values, weight)
        scored, total = scored + 1, total + weight
    if not sums:
        raise ValueError("no period was scored: the warm-up is as long as the episode")
    series = torch.stack(rewards) * (scored / total) if rewards else None
    return Totals(moment.view.network, scored, total, sums, lane_sums, series)


def _accumulate(sums: dict[str, Tensor], values: Mapping[str, Tensor | None], weight: float) -> None:
    for name, value in values.items():
        if value is None:
            continue
        if name not in sums:
            sums[name] = torch.zeros(value.shape, dtype=torch.float64, device=value.device)
        if any(
            value.stride()
        ):  # what a network does not have is a zero that takes no memory, and need not be added
            sums[name].add_(value, alpha=weight)
