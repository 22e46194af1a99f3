"""One period: state, decision, what moves, what it costs."""

from marl_inv.simulator.costs import charge, vehicles
from marl_inv.simulator.period import accept, hear, owe, promote, receive, serve, ship, step, whole_units
from marl_inv.simulator.state import (
    Chance,
    Costs,
    Decision,
    Flows,
    State,
    initial_state,
    inventory_position,
    none_of,
    on_order,
    owed_to_others,
)

__all__ = [
    "Chance",
    "Costs",
    "Decision",
    "Flows",
    "State",
    "accept",
    "charge",
    "hear",
    "initial_state",
    "inventory_position",
    "none_of",
    "on_order",
    "owe",
    "owed_to_others",
    "promote",
    "receive",
    "serve",
    "ship",
    "step",
    "vehicles",
    "whole_units",
]
