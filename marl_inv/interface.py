"""Between the simulator and those who decide: state to named facts, actions to a Decision, costs to rewards."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.network import TransferNetwork
from marl_inv.reading import InputError
from marl_inv.scenario import Scenario
from marl_inv.simulator import Costs, Decision, State, inventory_position, owed_to_others
from marl_inv.trace import Trace


@dataclass(frozen=True)
class View:
    """What there is to see before deciding. A policy says which of it it uses; only a clairvoyant looks ahead in the trace."""

    network: TransferNetwork
    state: State
    trace: Trace
    period: int
    finite: bool = False
    """Whether the season ends with the trace, so that the periods left matter."""

    @cached_property
    def inventory_position(self) -> Float[Tensor, "K N B"]:
        """On hand plus on order, minus what is owed to customers and to other warehouses."""
        return inventory_position(self.network, self.state)


def fact_names(network: TransferNetwork, scenario: Scenario) -> list[str]:
    """Names of what is known about a product at a warehouse, in the order of `observe`."""
    names = ["inventory_level", "inventory_position"]
    names += [f"due_in_{lead}" for lead in range(1, network.longest_lead_time)]
    names += ["owed_to_others"] * (network.owes is not None)
    names += [f"demand_{lag}_ago" for lag in range(1, scenario.history + 1)]
    names += [f"forecast_{ahead}_ahead" for ahead in range(scenario.forecast.horizon if scenario.forecast else 0)]
    names += [f"planned_promotion_{ahead}_ahead" for ahead in range(scenario.notice + 1 if scenario.plans_promotions else 0)]
    names += ["past_promotion"] * (network.dip is not None)
    names += ["source_available"] * network.interruptible
    return names + ["periods_left"] * (scenario.ending == "finite")


def observe(view: View) -> Float[Tensor, "B K N F"]:
    """The facts of every product and warehouse, in units (and periods), named by `fact_names`."""
    network, state, trace, period = view.network, view.state, view.trace, view.period
    like = state.inventory_level
    facts = [like, view.inventory_position]
    facts += [state.pipeline[:, row] for row in range(network.longest_lead_time - 1)]
    if network.owes is not None:
        facts.append(owed_to_others(network, state))
    facts += [trace.past_demand(period, lag) for lag in range(1, trace.history + 1)]
    if trace.forecast is not None:
        facts += trace.forecast[period].unbind(0)
    if trace.promotion is not None:
        facts += [level.expand_as(like) for level in trace.promotion[period : period + len(trace.promotion) - len(trace)]]
    if state.dip is not None:
        facts.append(state.dip)
    if network.interruptible:
        facts.append(source_available(network, trace.available[period]).expand_as(like))
    if view.finite:
        facts.append(like.new_full((), len(trace) - period).expand_as(like))
    return torch.stack(facts).permute(3, 1, 2, 0)


def source_available(network: TransferNetwork, available: Float[Tensor, "M B"]) -> Float[Tensor, "N B"]:
    """Share of its capacity that every warehouse's source lane has now: the least of the lane's own, its pools' and its supplier's. 1 without
    a source lane."""
    share = available.new_ones(len(network.warehouses), available.shape[-1])
    for limit in network.limits:
        if limit.outage is not None:
            unlimited = limit.group.new_full((1,), len(limit.names))
            group = torch.cat([limit.group, unlimited])[network.source_lane]
            share = torch.minimum(share, available.index_select(0, limit.outage[group]))
    return share


def rewards(costs: Costs) -> Float[Tensor, "K N B"]:
    """What every product earned its warehouse, as the objective counts it. They add up to the system's."""
    return costs.reward


def checked(network: TransferNetwork, decision: Decision, replications: int) -> Decision:
    """The decision, if it is one a simulator can play; raises InputError for another shape and for quantities beyond their bounds.

    Requests are finite and 0 or more, promotion levels 0 to `max_promotion`, reserves 0 to `max_reserve`. Reads values, so it waits for
    the device: for policies from outside, at the door.
    """
    size = network.size
    promotion = torch.zeros_like(size) if network.max_promotion is None else network.max_promotion.squeeze(-1).expand_as(size)
    reserve = torch.zeros_like(size) if network.max_reserve is None else network.max_reserve
    unbounded = torch.full_like(network.max_request, torch.finfo(size.dtype).max)
    for kind, quantities, places, names, most in (
        ("request", decision.requests, "lanes", network.lanes, unbounded),
        ("promotion", decision.promotion, "warehouses", network.warehouses, promotion),
        ("reserve", decision.reserve, "warehouses", network.warehouses, reserve),
    ):
        if quantities is None:
            continue
        shape = (len(network.products), len(names), replications)
        if quantities.shape != shape:
            raise InputError(f"{kind}s are {tuple(quantities.shape)}; give {shape}: products, {places}, batch")
        bad = ~((quantities >= 0) & (quantities <= most.unsqueeze(-1)))
        if bool(bad.any()):
            product, row, _ = bad.nonzero()[0].tolist()
            bounds = "0 or more" if kind == "request" else f"0 to {most[product, row].item():g}"
            where = f"{kind} for {network.products[product]} at {names[row]}"
            raise InputError(f"{where} is {quantities[bad][0].item()}; give a number, {bounds}")
    return decision
