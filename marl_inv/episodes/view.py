"""Between the simulator and those who decide: state to named facts, and actions to a Decision."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.chance.trace import Known
from marl_inv.network import TransferNetwork
from marl_inv.scenario import Scenario
from marl_inv.simulator import State, inventory_position, owed_to_others


@dataclass(frozen=True)
class View:
    """What there is to see before deciding. A policy says which of it it uses."""

    network: TransferNetwork
    state: State
    known: Known

    @property
    def period(self) -> int:
        """The number of the period, from 0."""
        return self.known.period

    @cached_property
    def inventory_position(self) -> Float[Tensor, "K N B"]:
        """On hand plus on order, minus what is owed to customers and to other warehouses."""
        return inventory_position(self.network, self.state)

    def __repr__(self) -> str:
        return f"View(before period {self.period}, {self.network!r})"


def fact_names(network: TransferNetwork, scenario: Scenario) -> list[str]:
    """Names of what is known about a product at a warehouse, in the order of `observe`."""
    names = ["inventory_level", "inventory_position"]
    names += [f"due_in_{lead}" for lead in range(1, network.longest_lead_time)]
    names += ["owed_to_others"] * (network.owes is not None)
    names += [f"demand_{lag}_ago" for lag in range(1, scenario.history + 1)]
    names += [
        f"forecast_{ahead}_ahead" for ahead in range(scenario.forecast.horizon if scenario.forecast else 0)
    ]
    names += [
        f"planned_promotion_{ahead}_ahead"
        for ahead in range(scenario.notice + 1 if scenario.plans_promotions else 0)
    ]
    names += ["past_promotion"] * (network.dip is not None)
    names += ["source_available"] * network.interruptible
    names += ["periods_to_review"] * (network.review is not None)
    return names + ["periods_left"] * (scenario.ending == "finite")


def observe(view: View) -> Float[Tensor, "B K N F"]:
    """The facts of every product and warehouse, in units (and periods), named by `fact_names`."""
    network, state, known = view.network, view.state, view.known
    like = state.inventory_level
    facts = [like, view.inventory_position]
    facts += state.due
    if network.owes is not None:
        facts.append(owed_to_others(network, state))
    facts += reversed(known.past_demand.unbind(0))
    if known.forecast is not None:
        facts += known.forecast.unbind(0)
    if known.promotion is not None:
        facts += [level.expand_as(like) for level in known.promotion]
    if state.dip is not None:
        facts.append(state.dip)
    if network.interruptible:
        assert known.available is not None
        facts.append(source_available(network, known.available).expand_as(like))
    if network.review is not None:
        facts.append(periods_to_review(network, known.period).unsqueeze(-1).expand_as(like))
    if known.periods_left is not None:
        facts.append(like.new_full((), known.periods_left).expand_as(like))
    return torch.stack(facts).permute(3, 1, 2, 0)


def periods_to_review(network: TransferNetwork, period: int) -> Float[Tensor, " N"]:
    """Until every warehouse's source lane takes requests; 0 where it does now, and without a source lane."""
    waits = network.until_review(period)[network.source_lane.clamp(min=0)] * (network.source_lane >= 0)
    return waits.to(network.size)


def source_available(network: TransferNetwork, available: Float[Tensor, "M B"]) -> Float[Tensor, "N B"]:
    """Share of its capacity that every warehouse's source lane has now: the least of the lane's own, its
    pools' and its supplier's. 1 without a source lane."""
    share = available.new_ones(len(network.warehouses), available.shape[-1])
    for limit in network.limits:
        if limit.outage is not None:
            unlimited = limit.group.new_full((1,), len(limit.names))
            group = torch.cat([limit.group, unlimited])[network.source_lane]
            share = torch.minimum(share, available.index_select(0, limit.outage[group]))
    return share
