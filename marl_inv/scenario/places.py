"""What a scenario is made of: the records of its YAML file, entry by entry.

Quantities are units, times are whole periods, money is in one currency, volumes in any one unit. A
`PerProduct` value is one number for all products or a list with one for each.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from marl_inv.common.records import Record
from marl_inv.scenario.demand import Demand
from marl_inv.scenario.fields import (
    LONGEST,
    Amount,
    Between,
    Count,
    Level,
    Periods,
    PerProduct,
    Positive,
    Share,
    Whole,
    kind_by,
)


class Product(Record):
    name: str
    """What demand files and tables call it."""
    volume: Positive = 1.0
    """What one unit takes of storage, lanes, vehicles, pools and suppliers' limits."""


class ProductRange(Record):
    count: Annotated[int, Field(gt=0, le=100_000)]
    """Products are named product_000, product_001 and so on, in as many digits as `count` needs."""

    @property
    def names(self) -> list[str]:
        digits = len(str(self.count - 1))
        return [f"product_{index:0{digits}d}" for index in range(self.count)]


def _products_kind(value: object) -> str:
    return "range" if isinstance(value, dict | ProductRange) else "list"


Products = Annotated[
    Annotated[list[Product], Field(min_length=1), Tag("list")] | Annotated[ProductRange, Tag("range")],
    Discriminator(_products_kind),
]


class Supplier(Record):
    name: str
    """What lanes call it."""
    capacity: Positive | None = None
    """Volume it can ship in a period, over all its lanes; unlimited when absent."""


class Calendar(Record):
    """Promotions that are planned: known to everybody from the beginning."""

    first: Whole
    """The period of the first one."""
    every: Count | None = None
    """Periods from the beginning of one to the next; there is only the first when absent."""
    length: Count = 1
    """Periods that each lasts."""
    level: Positive = 1.0
    """How hard is promoted while one lasts."""


class Promotion(Record):
    """What promoting does to demand: a level that the warehouse decides on for each period and product, or
    one that is planned."""

    decided: bool = True
    """Whether the warehouse decides on a level from 0 to `max_level`."""
    max_level: Positive = 1.0
    """The highest level that may be decided on."""
    planned: Calendar | None = None
    """Levels set by a calendar; where one is also decided, the higher counts."""
    notice: Periods = 4
    """Coming periods of the calendar that agents observe, besides the present one."""
    uplift: Amount = 0.1
    """Demand is multiplied by 1 + uplift x level."""
    dip: Amount = 0.0
    """After a level of x, demand is multiplied by 1 - dip x x (at least 0): customers have stocked up."""
    recovery: Share = 0.0
    """Share of a dip that is still there a period later; with 0 it lasts one period."""
    cost: Amount = 0.0
    """Cost per level, period and product."""


class RandomLeadTime(Record):
    """Drawn for every shipment, so that a later one may overtake."""

    values: list[Periods] = Field(min_length=1)
    """The lead times that a shipment may have, in periods."""
    probabilities: list[Share] | None = None
    """Of the values; equal when absent."""

    @model_validator(mode="after")
    def _adds_up(self) -> RandomLeadTime:
        chances = self.probabilities
        if chances is not None and (len(chances) != len(self.values) or abs(sum(chances) - 1) > 1e-6):
            raise ValueError(
                f"has probabilities {chances} for the values {self.values}; give one for each, adding up to 1"
            )
        return self

    @property
    def chances(self) -> list[float]:
        return self.probabilities or [1 / len(self.values)] * len(self.values)

    @property
    def mean(self) -> float:
        return sum(value * chance for value, chance in zip(self.values, self.chances, strict=True))


Rationing = Literal["proportional", "priority", "even", "full_shipment"]
"""How a warehouse shares its stock among those who ask for more than it has: in proportion to what they ask,
by the lanes' `priority`, as evenly as what they ask allows (max-min), or all of it every period in proportion
to what is asked, equally if nobody asks (a cross-dock)."""


class Warehouse(Record):
    name: str
    """What lanes, events and columns of demand files call it."""
    demand: Demand | None = None
    """Customers' demand here; when absent, the scenario's `demand`."""
    faces_demand: bool = True
    """False for a distribution centre, which has no customers of its own."""
    unmet_demand: Literal["lost", "backordered"] = "lost"
    """Whether customers who find no stock are lost, or wait for it."""
    initial_stock: Annotated[
        Annotated[Level, Tag("plain")] | Annotated[Between, Tag("record")],
        Discriminator(kind_by(Between)),
    ] = 0.0
    """Units on hand when an episode begins: given, or drawn for every replication. Below 0, where demand is
    backordered, so many are waiting."""
    storage: Positive | None = None
    """Volume it can hold; unlimited when absent."""
    overflow: Literal["discarded", "kept"] = "discarded"
    """What becomes of units beyond the storage: thrown away, or kept in rented space."""
    holding_cost: PerProduct = 0.0
    """Per unit on hand at the end of a period (or at its opening, by the scenario's `holding_on`)."""
    shortage_cost: PerProduct = 0.0
    """Per unit lost; per unit backordered, or owed to other warehouses, at the end of a period."""
    overflow_cost: PerProduct = 0.0
    """Per unit discarded; per unit kept beyond the storage, each period."""
    price: PerProduct = 0.0
    """Revenue per unit sold."""
    salvage_value: PerProduct = 0.0
    """Per unit on hand when a finite episode has ended."""
    promotion: Promotion | None = None
    """What promoting does here; nobody promotes when absent."""
    max_reserve: PerProduct | None = None
    """Units it may keep back from the transfers that others ask for; it decides on no reserve when absent."""
    rationing: Rationing | None = None
    """When absent, the scenario's `rationing`."""
    source_lane: str | None = None
    """The inbound lane that order-up-to policies ask on; when absent, the one that is cheapest landed."""


class Arrival(Record):
    """Goods that are on their way when an episode begins: an open purchase order."""

    period: Periods
    """The period for whose demand they arrive; 0 is the first."""
    units: PerProduct
    """How many arrive."""


class Lane(Record):
    """A way for goods into a warehouse: from a supplier (replenishment) or from another warehouse
    (transfer)."""

    name: str = ""
    """`origin->destination` when absent."""
    origin: str
    """The supplier or warehouse that ships."""
    destination: str
    """The warehouse that asks, receives, and bears what the lane costs."""
    lead_time: Annotated[
        Annotated[Periods, Tag("plain")] | Annotated[RandomLeadTime, Tag("record")],
        Discriminator(kind_by(RandomLeadTime)),
    ]
    """Whole periods; what leaves in t can be sold in t + lead_time. Or a distribution, drawn for each
    shipment."""
    reactive: bool = False
    """A reactive lane takes no requests: after demand, it moves surplus to where demand is short, at once, if
    that saves money."""
    priority: Whole | None = None
    """Under `priority` rationing: lower numbers are served first, equal ones in proportion."""
    unfilled: Literal["forgotten", "owed"] = "forgotten"
    """What becomes of a request that is not shipped: the warehouse asks again, or the origin owes it."""
    order_delay: Periods = 0
    """Periods until the origin hears of a request."""
    procurement_cost: PerProduct = 0.0
    """Per unit shipped, paid to a supplier."""
    transport_cost: PerProduct = 0.0
    """Per unit shipped."""
    in_transit_cost: PerProduct = 0.0
    """Per unit and period of lead time, charged when shipped."""
    shipment_cost: Amount = 0.0
    """Per period in which anything is shipped; products bear it by volume."""
    vehicle_capacity: Positive | None = None
    """Volume of one vehicle; there are as many as are needed."""
    vehicle_cost: Amount = 0.0
    """Per vehicle; products bear it by volume."""
    transfer_price: PerProduct = 0.0
    """Per unit shipped, paid by the destination to the origin."""
    capacity: Positive | None = None
    """Volume it can carry in a period; unlimited when absent."""
    max_request: Positive | None = None
    """Largest request per product in an environment's action space; when absent, the capacity or 4 x
    lead-time demand."""
    minimum_order: PerProduct = 0.0
    """Units of a product that must be asked for at least; a request for less counts as none."""
    pack_size: PerProduct = 0.0
    """Units in a pack: requests are rounded to whole packs; 0 is any quantity."""
    review_period: Annotated[int, Field(ge=1, le=LONGEST)] = 1
    """Periods from one in which the lane takes requests to the next; requests in between count as none."""
    first_review: Periods = 0
    """The first period in which the lane takes requests, below `review_period`."""
    initial_shipments: PerProduct = 0.0
    """Units in each of the last `lead_time` shipments before an episode begins; the oldest arrives for its
    first period."""
    initial_orders: PerProduct = 0.0
    """Units in each of the last `order_delay` requests before an episode begins; the origin hears of the
    oldest in its first period."""

    initial_arrivals: list[Arrival] = []
    """Open purchase orders: what is on its way besides `initial_shipments` when an episode begins, by the
    period it arrives for."""

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        if "name" not in data and {"origin", "destination"} <= data.keys():
            data = {**data, "name": f"{data['origin']}->{data['destination']}"}
        return {"lead_time": 0, **data} if data.get("reactive") is True else data

    @property
    def longest(self) -> int:
        return max(self.lead_time.values) if isinstance(self.lead_time, RandomLeadTime) else self.lead_time

    @property
    def mean_lead_time(self) -> float:
        return self.lead_time.mean if isinstance(self.lead_time, RandomLeadTime) else float(self.lead_time)


class Pool(Record):
    """A capacity that several lanes share: a truck fleet, a carrier's contract."""

    name: str
    """What events call it."""
    lanes: list[str] = Field(min_length=1)
    """Names of the lanes that share it."""
    capacity: Positive
    """Volume that its lanes can carry together in a period."""
