"""What counts: the parts of money, how the objective weighs them, and the rules that hold for everybody."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from marl_inv.common.records import Record
from marl_inv.scenario.fields import LARGEST, Amount, Positive, Share
from marl_inv.scenario.places import Rationing

CostPart = Literal[
    "holding",
    "in_transit",
    "shortage",
    "procurement",
    "transport",
    "shipment",
    "vehicle",
    "overflow",
    "promotion",
    "transfer_payment",
    "shortfall",
]
"""What is paid. `transfer_payment` is what a warehouse pays others for units less what they pay it;
`shortfall` prices a missed fill-rate floor."""


IncomePart = Literal["revenue", "salvage", "utility"]
"""What is earned; `utility` is no money."""


Part = CostPart | IncomePart


COST_PARTS: tuple[CostPart, ...] = get_args(CostPart)


INCOME_PARTS: tuple[IncomePart, ...] = get_args(IncomePart)


_COUNTED = {
    "cost": {*COST_PARTS, "salvage"} - {"shortfall"},
    "profit": {*COST_PARTS, "salvage", "revenue"} - {"shortfall"},
    "service": {*COST_PARTS, "salvage"},
    "utility": {"utility"},
}
"""The parts that each objective counts."""


class Service(Record):
    """The objective `service`: cost, with a floor on the fill rate."""

    fill_rate: Share = 0.95
    """Share of a period's demand that is to be met at once, at every warehouse."""
    price: Amount = 10.0
    """Per unit that is missing to it."""


class Utility(Record):
    """The objective `utility`: log(replenishment) - stock_weight x stock, of each product and warehouse.

    Replenishment is what was shipped to it in the period, stock is on hand after demand.
    """

    stock_weight: Amount = 0.1
    """What a unit of stock takes from the utility."""
    log: Literal["log1p", "log"] = "log1p"
    """log(1 + replenishment), or the plain logarithm, which counts less than `least` as that."""
    least: Positive = 0.001
    """Units of replenishment that less counts as, under `log`."""


class Rules(Record):
    """What holds on the whole network in every period."""

    objective: Literal["cost", "profit", "service", "utility"] = "cost"
    """What the reward is: minus all costs; revenue less all costs; minus cost with a priced floor on the fill
    rate; or the utility. Every part is reported all the same."""
    weights: dict[Part, Annotated[float, Field(ge=-LARGEST, le=LARGEST)]] = {}
    """How much a part counts in the reward, instead of the 1 or 0 that the objective gives it."""
    service: Service = Service()
    """The floor on the fill rate of the objective `service`, and what missing it costs."""
    utility: Utility = Utility()
    """The terms of the objective `utility`."""
    holding_on: Literal["end", "opening"] = "end"
    """The stock that holding is charged on: after demand, or when the period opens."""
    rationing: Rationing = "proportional"
    """How a warehouse shares its stock among those who ask for more than it has: in proportion to what they
    ask, by the lanes' `priority`, as evenly as what they ask allows, or all of it every period (a cross-dock:
    `full_shipment`)."""
    quantities: Literal["continuous", "integer"] = "continuous"
    """Whether requests, shipments and demand are rounded to whole units; gradients pass straight through the
    rounding."""

    @property
    def reward_weights(self) -> dict[str, float]:
        """What every part is multiplied by before costs are taken from incomes."""
        return {
            part: self.weights.get(part, float(part in _COUNTED[self.objective]))
            for part in (*COST_PARTS, *INCOME_PARTS)
        }
