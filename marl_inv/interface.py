"""Between the simulator and those who decide: state to named facts, actions to a Decision, costs to rewards."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.network import TransferNetwork
from marl_inv.reading import InputError
from marl_inv.simulator import Costs, Decision, State
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


def fact_names(network: TransferNetwork, history: int, finite: bool) -> list[str]:
    """Names of what is known about a product at a warehouse, in the order of `observe`."""
    names = ["inventory_level", "inventory_position"]
    names += [f"due_in_{lead}" for lead in range(1, network.longest_lead_time)]
    names += [f"demand_{lag}_ago" for lag in range(1, history + 1)]
    return names + ["periods_left"] * finite


def observe(view: View) -> Float[Tensor, "B K N F"]:
    """The facts of every product and warehouse, in units (and periods), named by `fact_names`."""
    state, trace = view.state, view.trace
    facts = [state.inventory_level, state.inventory_position]
    facts += [state.pipeline[:, row] for row in range(view.network.longest_lead_time - 1)]
    facts += [trace.past_demand(view.period, lag) for lag in range(1, trace.history + 1)]
    if view.finite:
        facts.append(state.inventory_level.new_full((), len(trace) - view.period).expand_as(state.inventory_level))
    return torch.stack(facts).permute(3, 1, 2, 0)


def rewards(costs: Costs) -> Float[Tensor, "K N B"]:
    """What every product earned its warehouse: profit, or minus the cost. They add up to the system's."""
    return costs.profit


def checked(network: TransferNetwork, decision: Decision) -> Decision:
    """The decision, if its quantities are ones a simulator can play; raises InputError for NaN, infinite or negative ones.

    Reads values, so it waits for the device: for policies from outside, at the door.
    """
    for kind, quantities, names in (("request", decision.requests, network.lanes), ("promotion", decision.promotion, network.warehouses)):
        if quantities is None:
            continue
        bad = ~(torch.isfinite(quantities) & (quantities >= 0))
        if bool(bad.any()):
            product, row, _ = bad.nonzero()[0].tolist()
            value = quantities[bad][0].item()
            raise InputError(f"{kind} for {network.products[product]} at {names[row]} is {value}; give a number, 0 or more")
    return decision
