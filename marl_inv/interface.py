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


def checked(network: TransferNetwork, decision: Decision, replications: int) -> Decision:
    """The decision, if it is one a simulator can play; raises InputError for another shape and for quantities beyond their bounds.

    Requests are finite and 0 or more, promotion levels 0 to `max_promotion`. Reads values, so it waits for the device: for
    policies from outside, at the door.
    """
    largest = torch.zeros_like(network.backordered) if network.max_promotion is None else network.max_promotion
    for kind, quantities, names, most in (
        ("request", decision.requests, network.lanes, torch.full_like(network.max_request, torch.finfo(network.max_request.dtype).max)),
        ("promotion", decision.promotion, network.warehouses, largest.squeeze(-1).expand(len(network.products), -1)),
    ):
        if quantities is None:
            continue
        shape = (len(network.products), len(names), replications)
        if quantities.shape != shape:
            raise InputError(
                f"{kind}s are {tuple(quantities.shape)}; give {shape}: products, {'lanes' if kind == 'request' else 'warehouses'}, batch"
            )
        bad = ~((quantities >= 0) & (quantities <= most.unsqueeze(-1)))
        if bool(bad.any()):
            product, row, _ = bad.nonzero()[0].tolist()
            bounds = "0 or more" if kind == "request" else f"0 to {most[product, row].item():g}"
            raise InputError(
                f"{kind} for {network.products[product]} at {names[row]} is {quantities[bad][0].item()}; give a number, {bounds}"
            )
    return decision
