"""What can be set about a model."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from marl_inv.reading import Record


class ModelSettings(Record):
    model: Literal["graph", "mlp"] = "graph"
    """graph: a graph network over the transfer lanes. mlp: every warehouse from its own facts."""
    hidden: PositiveInt = 32
    """Width of the hidden layers; a graph network needs a multiple of 4."""
    hops: NonNegativeInt = 2
    """How many lanes away a graph network's agent hears; 0 is only itself. An mlp hears nobody."""
    sigma: PositiveFloat = 0.3
    """Standard deviation of exploration at the start, in raw actions."""
