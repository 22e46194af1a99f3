"""Everything random or known ahead, drawn before an episode: a scenario's chance -> Trace.

Replication i of a seed and stream is the same trace whatever the policy, the batch it is drawn in, or the
device it is played on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marl_inv.simulator import Chance, State


@dataclass(frozen=True)
class Known:
    """What is known before deciding in a period, besides the state: the past, and what is told of what comes.
    There is no more to look at.

    `Trace.known` makes it of a period that is simulated, a service of its records. H is how many periods are
    remembered.
    """

    period: int
    """The number of the period, from 0."""
    past_demand: Float[Tensor, "H K N B"]
    """Units asked for, without the effect of promotions. The last row is the period before this one: row -lag
    is `lag` periods ago."""
    forecast: Float[Tensor, "A K N B"] | None = None
    """What is forecast now, in units: for this period and those after it. None where nothing is."""
    promotion: Float[Tensor, "P N 1"] | None = None
    """Planned promotion levels of this period and those of which there is notice; None where none are
    planned."""
    available: Float[Tensor, "M B"] | None = None
    """Share of its capacity that each of `Scenario.interruptible` has in this period, then a row of ones;
    None without outages."""
    periods_left: int | None = None
    """This one and those after it, of a season that ends; None where business goes on beyond the episode."""

    @property
    def replications(self) -> int:
        return self.past_demand.shape[-1]


@dataclass(frozen=True)
class Trace:
    """The luck of a batch of episodes. Row `history + t` of `demand` is period t; the rows before are the
    past. S is T + 1."""

    demand: Float[Tensor, "HT K N B"]
    history: int
    lead_time: Int[Tensor, "T E B"] | None = None
    """Of what leaves on each lane; None where all lead times are fixed."""
    available: Float[Tensor, "S M B"] | None = None
    """Share of its capacity that each of `Scenario.interruptible` has, then a row of ones; None without
    outages."""
    promotion: Float[Tensor, "P N 1"] | None = None
    """Planned promotion levels, of `Scenario.notice` + 1 periods more than are played; None where none are
    planned."""
    takes_requests: Bool[Tensor, "T E 1"] | None = None
    """Whether each lane takes requests; None where all do in every period."""
    forecast: Float[Tensor, "S A K N B"] | None = None
    """Row t is what is forecast before period t, for it and the periods after it; None where nothing is."""
    start: Float[Tensor, "K N B"] | None = None
    """Starting stock of every replication; None where it is given for all."""
    opening: State | None = None
    """The state that episodes begin with; None where it is the network's own with the starting stock."""

    def __repr__(self) -> str:
        products, warehouses = self.demand.shape[1:3]
        return (
            f"Trace({len(self)} periods, {products} products, {warehouses} warehouses, "
            f"{self.replications} replications)"
        )

    def __len__(self) -> int:
        return len(self.demand) - self.history

    @property
    def replications(self) -> int:
        return self.demand.shape[-1]

    def at(self, period: int) -> Chance:
        return Chance(
            demand=self.demand[self.history + period],
            lead_time=None if self.lead_time is None else self.lead_time[period],
            available=None if self.available is None else self.available[period],
            promotion=None if self.promotion is None else self.promotion[period],
            takes_requests=None if self.takes_requests is None else self.takes_requests[period],
            last=period == len(self) - 1,
        )

    def known(self, period: int, finite: bool = False) -> Known:
        """What there is to know before deciding in a period, or after the last. `finite`: the season ends
        with the trace."""
        promotion = self.promotion
        return Known(
            period,
            past_demand=self.demand[period : period + self.history],
            forecast=None if self.forecast is None else self.forecast[period],
            promotion=None if promotion is None else promotion[period : period + len(promotion) - len(self)],
            available=None if self.available is None else self.available[period],
            periods_left=len(self) - period if finite else None,
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> Trace:
        """Lead times keep their type: they are whole numbers."""
        return changed(
            self, lambda values: values.to(device, dtype if values.is_floating_point() else values.dtype)
        )

    def by_replication(self, change: Callable[[Tensor], Tensor]) -> Trace:
        """All that replications have of their own, the last dimension of every tensor, changed alike."""
        return replace(changed(self, change), promotion=self.promotion, takes_requests=self.takes_requests)


def changed(record: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A record with its tensors changed, and those of what is within it."""
    if isinstance(record, Tensor):
        return change(record)
    if isinstance(record, tuple):
        return tuple(changed(part, change) for part in record)
    if is_dataclass(record) and not isinstance(record, type):
        return replace(
            record, **{field.name: changed(getattr(record, field.name), change) for field in fields(record)}
        )
    return record
