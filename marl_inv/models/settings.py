"""What can be set about a model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from marl_inv.common.plugins import known_or_own
from marl_inv.common.records import Record
from marl_inv.scenario.fields import LONGEST, Positive


class ModelSettings(Record):
    model: Annotated[str, known_or_own(("graph", "mlp"), "module:Class")] = "graph"
    """graph: a graph network over the transfer lanes. mlp: every warehouse from its own facts. module:Class:
    a network of one's own."""
    hidden: Annotated[int, Field(gt=0, le=65_536)] = 32
    """Width of the hidden layers; a graph network needs a multiple of 4."""
    hops: Annotated[int, Field(ge=0, le=LONGEST)] | Literal["global"] = 2
    """How many lanes away a graph network's agent hears; 0 is only itself, global is everybody. An mlp hears
    nobody."""
    messages: Literal["lane", "attention", "mean"] = "lane"
    """How a graph network weighs what it hears: by the lane's facts, by those and who speaks to whom
    (attention), or all the same (mean)."""
    parameters: Literal["shared", "grouped", "separate"] = "shared"
    """Weights are those of all warehouses, of those in one role (with customers or not, feeding others or
    not), or everyone's own."""
    memory: Literal["none", "gru"] = "none"
    """gru: every warehouse remembers what it has seen in this episode, in `hidden` numbers (Cho et al. 2014).
    Not for iql, vdn and qmix."""
    head: Literal["order_up_to", "quantity", "levels", "values"] = "order_up_to"
    """order_up_to: a residual on an order-up-to target. quantity: units, starting near what order-up-to asks
    on average. levels: one of `levels` order quantities. values: the one that is worth most, which is how
    iql, vdn and qmix learn and nobody else."""
    levels: int = Field(default=16, ge=2, le=65_536)
    """Order quantities to choose from, nothing among them; only the levels and values heads have them."""
    dueling: bool = True
    """The values head tells how well a warehouse stands from how much better one level is than another."""
    sigma: Positive = 0.3
    """Standard deviation of exploration at the start, in raw actions."""
    own: dict[str, Any] | None = None
    """Settings of an algorithm, a network or a reward of one's own, as own.key=value; which there are,
    DEFAULTS of its module says."""

    @property
    def remembered(self) -> int:
        """How many numbers."""
        return self.hidden if self.memory == "gru" else 0
