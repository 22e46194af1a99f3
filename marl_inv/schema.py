"""What a scenario is made of: the records of its YAML file, entry by entry.

Quantities are units, times are whole periods, money is in one currency, volumes in any one unit. A `PerProduct` value is
one number for all products or a list with one for each.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Float, Int
from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    model_validator,
)

from marl_inv.common.records import Record

LARGEST = 1e30
"""Numbers beyond it are refused: in float32 they would soon be infinite."""

LONGEST = 1000
"""Periods beyond which a lead time or delay is refused: the pipeline holds a row for each."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _per_product(value: object) -> object:
    numbers = value if isinstance(value, list) else [value]
    if numbers and all(map(_is_number, numbers)):
        return value
    raise ValueError(f"is {value!r}; give a number, 0 or more, or a list of such numbers with one for each product")


def _stretch(value: object) -> object:
    if isinstance(value, list) and len(value) == 2 and all(type(n) is int for n in value) and 0 <= value[0] < value[1]:
        return tuple(value)
    raise ValueError(f"is {value!r}; give two whole numbers, first period and end: [0, 88]")


def _duration(value: object) -> object:
    if type(value) is int and value >= 1:
        return value
    if isinstance(value, list) and len(value) == 2 and all(type(n) is int for n in value) and 1 <= value[0] <= value[1]:
        return tuple(value)
    raise ValueError(f"is {value!r}; give a whole number of periods, 1 or more, or two: [shortest, longest]")


def _kind_by(*types: type) -> Any:
    """For unions of plain values and records: tells them apart by what was written, so that an error speaks of the one meant."""
    return lambda value: "record" if isinstance(value, (dict, *types)) else "plain"


PerProduct = Annotated[float | list[float], BeforeValidator(_per_product)]
Stretch = Annotated[tuple[int, int], BeforeValidator(_stretch)]
Periods = Annotated[int, Field(ge=0, le=LONGEST)]
Amount = Annotated[float, Field(ge=0, le=LARGEST)]
Share = Annotated[float, Field(ge=0, le=1)]


class Product(Record):
    name: str
    """What demand files and tables call it."""
    volume: PositiveFloat = 1.0
    """What one unit takes of storage, lanes, vehicles, pools and suppliers' limits."""


class ProductRange(Record):
    count: PositiveInt
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
    capacity: PositiveFloat | None = None
    """Volume it can ship in a period, over all its lanes; unlimited when absent."""


class Calendar(Record):
    """Promotions that are planned: known to everybody from the beginning."""

    first: NonNegativeInt
    """The period of the first one."""
    every: PositiveInt | None = None
    """Periods from the beginning of one to the next; there is only the first when absent."""
    length: PositiveInt = 1
    """Periods that each lasts."""
    level: PositiveFloat = 1.0
    """How hard is promoted while one lasts."""


class Promotion(Record):
    """What promoting does to demand: a level that the warehouse decides on for each period and product, or one that is planned."""

    decided: bool = True
    """Whether the warehouse decides on a level from 0 to `max_level`."""
    max_level: PositiveFloat = 1.0
    """The highest level that may be decided on."""
    planned: Calendar | None = None
    """Levels set by a calendar; where one is also decided, the higher counts."""
    notice: NonNegativeInt = 4
    """Coming periods of the calendar that agents observe, besides the present one."""
    uplift: NonNegativeFloat = 0.1
    """Demand is multiplied by 1 + uplift x level."""
    dip: NonNegativeFloat = 0.0
    """After a level of x, demand is multiplied by 1 - dip x x (at least 0): customers have stocked up."""
    recovery: Share = 0.0
    """Share of a dip that is still there a period later; with 0 it lasts one period."""
    cost: NonNegativeFloat = 0.0
    """Cost per level, period and product."""


class Season(Record):
    """Multiplies mean demand: a cosine of `amplitude` that is highest in period `peak`, or one factor for each period of the cycle."""

    period: PositiveInt | None = None
    """Periods from one peak to the next."""
    amplitude: Share = 0.0
    """Share of the mean that the cosine adds at its peak and takes away half a cycle later."""
    peak: float = 0.0
    """The period in which the cosine is highest."""
    factors: list[Amount] | None = Field(default=None, min_length=1)
    """A factor for every period of the cycle, beginning with period 0."""

    @model_validator(mode="after")
    def _one_way(self) -> Season:
        if (self.period is None) == (self.factors is None):
            raise ValueError("needs either `period` (with `amplitude` and `peak`) or `factors`; give one of them")
        return self


class DemandModel(Record):
    """What everybody may ask about demand of any kind; how it is drawn is in `demand`."""

    normal: ClassVar[bool] = False
    """Whether demand over several periods is taken for normal, whatever its mean and variance."""
    cannot_have: ClassVar[frozenset[str]] = frozenset()
    """Fields of a scenario that would have to act on it, and cannot."""

    @property
    def may_be_negative(self) -> bool:
        """Whether customers may return more than they buy."""
        return False

    @property
    def cycle(self) -> int | None:
        """Periods after which growth repeats itself; None where it does not."""
        return 1

    def growth(self, periods: Int[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
        """The factor that it has in every period; negative periods are the past."""
        return np.ones(len(periods))

    def fault(self, products: int) -> str | None:
        """What is wrong with its numbers, if anything: the end of a sentence about the warehouse that has it."""
        return None


class ParametricModel(DemandModel):
    """What parametric demand has in common: a mean that may change with time."""

    season: Season | None = None
    """How mean demand repeats itself; not at all when absent."""
    trend: float = Field(default=0.0, ge=-LARGEST, le=LARGEST)
    """Mean demand is multiplied by 1 + trend x period (at least 0)."""

    @property
    def cycle(self) -> int | None:
        if self.trend:
            return None
        return 1 if self.season is None else self.season.period or len(self.season.factors)

    def growth(self, periods: Int[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
        """Trend times season, which have been there before."""
        factor, season = np.maximum(1 + self.trend * periods, 0), self.season
        if season is not None and season.factors is not None:
            return factor * np.array(season.factors)[periods % len(season.factors)]
        if season is not None:
            return factor * (1 + season.amplitude * np.cos(2 * np.pi * (periods - season.peak) / season.period))
        return factor

    def mean_units(self, products: int) -> Float[np.ndarray, " K"]:
        """Mean units per period where growth is 1."""
        return np.array(per_product(self.mean, products), dtype=float)


class Poisson(ParametricModel):
    kind: Literal["poisson"]
    """Counts whose variance is their mean."""
    mean: PerProduct
    """Units per period."""


class Normal(ParametricModel):
    normal = True
    kind: Literal["normal"]
    """Normally distributed."""
    mean: PerProduct
    """Units per period, before anything is cut."""
    sd: PerProduct
    """Standard deviation, in units."""
    cut_at_zero: bool = True
    """Whether negative draws count as no demand; otherwise they are returns, which only backordered demand allows."""

    @property
    def may_be_negative(self) -> bool:
        return not self.cut_at_zero

    def mean_units(self, products: int) -> Float[np.ndarray, " K"]:
        mean = super().mean_units(products)
        if not self.cut_at_zero:
            return mean
        return np.array([_cut_at_zero(centre, sd) for centre, sd in zip(mean, per_product(self.sd, products), strict=True)])


def _cut_at_zero(mean: float | int, sd: float | int) -> float:
    """E max(X, 0) of a normal X."""
    if sd == 0:
        return max(mean, 0)
    z = mean / sd
    return mean * (1 + math.erf(z / math.sqrt(2))) / 2 + sd * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


class NegativeBinomial(ParametricModel):
    kind: Literal["negative_binomial"]
    """Counts that vary more than Poisson."""
    mean: PerProduct
    """Units per period."""
    sd: PerProduct
    """Standard deviation; its square must exceed the mean."""

    def fault(self, products: int) -> str | None:
        pairs = zip(per_product(self.mean, products), per_product(self.sd, products), strict=True)
        if any(mean > 0 and sd**2 <= mean for mean, sd in pairs):
            return f"has negative binomial demand with sd {self.sd} and mean {self.mean}; give an sd above the square root of the mean"
        return None


class Geometric(ParametricModel):
    """On 0, 1, 2..: the number of failures before a success."""

    kind: Literal["geometric"]
    """Counts, of which 0 is the likeliest."""
    mean: PerProduct
    """Units per period."""


class Gamma(ParametricModel):
    kind: Literal["gamma"]
    """Above 0 and skewed: now and then much more than the mean."""
    mean: PerProduct
    """Units per period."""
    sd: PerProduct
    """Standard deviation, in units."""


class DiscreteUniform(ParametricModel):
    """Every whole number from `low` to `high`, both included, as likely as any other."""

    kind: Literal["discrete_uniform"]
    """Whole numbers, equally likely."""
    low: NonNegativeInt = 0
    """The least demand, in units."""
    high: NonNegativeInt
    """The most demand, in units."""

    @model_validator(mode="after")
    def _in_order(self) -> DiscreteUniform:
        if self.high < self.low:
            raise ValueError(f"has high {self.high} below low {self.low}; give a higher one")
        return self

    def mean_units(self, products: int) -> Float[np.ndarray, " K"]:
        return np.full(products, (self.low + self.high) / 2)


class KnownDemand(ParametricModel):
    """No chance: the demand of period 0, 1, 2..; the last value stays."""

    cannot_have = frozenset({"correlation"})
    kind: Literal["known"]
    """Listed period by period."""
    values: list[Amount] = Field(min_length=1)
    """Units in period 0, 1, 2.."""

    @property
    def cycle(self) -> None:
        return None

    def growth(self, periods: Int[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
        """Times the demand itself, of which there is 1 unit; before period 0 it was its first value."""
        return super().growth(periods) * np.array(self.values)[periods.clip(0, len(self.values) - 1)]

    def mean_units(self, products: int) -> Float[np.ndarray, " K"]:
        return np.ones(products)


class Empirical(DemandModel):
    """Demand read from a CSV file: one row per period and product, one column per warehouse."""

    cannot_have = frozenset({"correlation", "regimes"})
    kind: Literal["empirical"]
    """As it was, from a file."""
    path: str | None = None
    """The CSV file, seen from the working directory or else from the scenario's folder."""
    period_column: str = "period"
    """The column that says which period a row is of; periods come in the order of their first row."""
    product_column: str = "product"
    """The column that says which product a row is of."""
    train: Stretch
    """First period and end (not included) of the part for training and tuning; an episode is a stretch of it."""
    evaluate: Stretch
    """The same for evaluation, which plays exactly this stretch; the history before it is read, not scored."""


ParametricDemand = Poisson | Normal | NegativeBinomial | Geometric | Gamma | DiscreteUniform | KnownDemand
Demand = Annotated[ParametricDemand | Empirical, Field(discriminator="kind")]


class Regimes(Record):
    """Hidden states of the world, as a Markov chain: each multiplies mean demand by its factor."""

    factors: list[Amount] = Field(min_length=2)
    """What each regime multiplies mean demand by."""
    stay: Share = 0.9
    """Probability to remain in a regime for another period; the others are equally likely next."""
    transition: list[list[Share]] | None = None
    """Probabilities from (row) to (column), instead of `stay`."""
    shared: bool = True
    """Whether all warehouses are in one regime, or each in its own."""

    @model_validator(mode="after")
    def _is_a_chain(self) -> Regimes:
        size = len(self.factors)
        if self.transition is not None:
            if [len(row) for row in self.transition] != [size] * size:
                raise ValueError(f"has a transition that is not {size} x {size}; give a row and a column for each factor")
            if any(abs(sum(row) - 1) > 1e-6 for row in self.transition):
                raise ValueError("has a transition with a row that does not add up to 1; give probabilities")
        return self


class _Happening(Record):
    name: str = ""
    """For who reads the file; nothing depends on it."""
    at: list[NonNegativeInt] = []
    """Periods in which it begins."""
    probability: Share = 0.0
    """That it begins in a period in which it is not under way."""
    duration: Annotated[int | tuple[int, int], BeforeValidator(_duration)] = 1
    """Periods it lasts, 1 or more, or [shortest, longest] to draw from."""

    @model_validator(mode="after")
    def _happens(self) -> _Happening:
        if not self.at and not self.probability:
            raise ValueError("never happens; give `at: [periods]` or a `probability`")
        return self


class Surge(_Happening):
    """Multiplies demand."""

    kind: Literal["surge"]
    """More demand, or less."""
    factor: Amount
    """What demand is multiplied by while it lasts."""
    targets: list[str] = []
    """Warehouses; all when empty."""


class Outage(_Happening):
    """Takes capacity away: a supplier that cannot deliver, a lane that is closed, trucks that are missing."""

    kind: Literal["outage"]
    """Less capacity, or none."""
    factor: Share = 0.0
    """Share of the capacity that is left; with 0 nothing leaves, even where the capacity has no limit."""
    targets: list[str] = Field(min_length=1)
    """Suppliers, lanes or pools."""


class Delay(_Happening):
    """What leaves while it lasts takes longer."""

    kind: Literal["delay"]
    """Longer lead times."""
    periods: Annotated[int, Field(ge=1, le=LONGEST)]
    """Added to the lead time."""
    targets: list[str] = []
    """Lanes; all when empty. A lane of lead time 0 becomes one that delivers later."""


Event = Annotated[Surge | Outage | Delay, Field(discriminator="kind")]


class Forecast(Record):
    """What agents are told of the coming demand, in advance and with an error of stated size."""

    horizon: PositiveInt
    """Periods ahead, the present one included."""
    error: NonNegativeFloat = 0.0
    """Standard deviation of the error one period ahead, as a share of the warehouse's mean demand; it grows with the root of the
    periods ahead. Forecasts are cut at 0 where demand is."""


class Between(Record):
    """Drawn for every replication, uniformly (whole numbers where quantities are)."""

    low: PerProduct
    """The least, in units."""
    high: PerProduct
    """The most, in units."""


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
            raise ValueError(f"has probabilities {chances} for the values {self.values}; give one for each, adding up to 1")
        return self

    @property
    def chances(self) -> list[float]:
        return self.probabilities or [1 / len(self.values)] * len(self.values)

    @property
    def mean(self) -> float:
        return sum(value * chance for value, chance in zip(self.values, self.chances, strict=True))


Rationing = Literal["proportional", "priority", "even", "full_shipment"]
"""How a warehouse shares its stock among those who ask for more than it has: in proportion to what they ask, by the lanes'
`priority`, as evenly as what they ask allows (max-min), or all of it every period in proportion to what is asked, equally if nobody
asks (a cross-dock)."""


class Warehouse(Record):
    name: str
    """What lanes, events and columns of demand files call it."""
    demand: Demand | None = None
    """Customers' demand here; when absent, the scenario's `demand`."""
    faces_demand: bool = True
    """False for a distribution centre, which has no customers of its own."""
    unmet_demand: Literal["lost", "backordered"] = "lost"
    """Whether customers who find no stock are lost, or wait for it."""
    initial_stock: Annotated[Annotated[PerProduct, Tag("plain")] | Annotated[Between, Tag("record")], Discriminator(_kind_by(Between))] = (
        0.0
    )
    """Units on hand when an episode begins: given, or drawn for every replication."""
    storage: PositiveFloat | None = None
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


class Lane(Record):
    """A way for goods into a warehouse: from a supplier (replenishment) or from another warehouse (transfer)."""

    name: str = ""
    """`origin->destination` when absent."""
    origin: str
    """The supplier or warehouse that ships."""
    destination: str
    """The warehouse that asks, receives, and bears what the lane costs."""
    lead_time: Annotated[
        Annotated[Periods, Tag("plain")] | Annotated[RandomLeadTime, Tag("record")], Discriminator(_kind_by(RandomLeadTime))
    ]
    """Whole periods; what leaves in t can be sold in t + lead_time. Or a distribution, drawn for each shipment."""
    reactive: bool = False
    """A reactive lane takes no requests: after demand, it moves surplus to where demand is short, at once, if that saves money."""
    priority: NonNegativeInt | None = None
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
    shipment_cost: NonNegativeFloat = 0.0
    """Per period in which anything is shipped; products bear it by volume."""
    vehicle_capacity: PositiveFloat | None = None
    """Volume of one vehicle; there are as many as are needed."""
    vehicle_cost: NonNegativeFloat = 0.0
    """Per vehicle; products bear it by volume."""
    transfer_price: PerProduct = 0.0
    """Per unit shipped, paid by the destination to the origin."""
    capacity: PositiveFloat | None = None
    """Volume it can carry in a period; unlimited when absent."""
    max_request: PositiveFloat | None = None
    """Largest request per product in an environment's action space; when absent, the capacity or 4 x lead-time demand."""
    initial_shipments: PerProduct = 0.0
    """Units in each of the last `lead_time` shipments before an episode begins; the oldest arrives for its first period."""
    initial_orders: PerProduct = 0.0
    """Units in each of the last `order_delay` requests before an episode begins; the origin hears of the oldest in its first period."""

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
    capacity: PositiveFloat
    """Volume that its lanes can carry together in a period."""


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
"""What is paid. `transfer_payment` is what a warehouse pays others for units less what they pay it; `shortfall` prices a missed
fill-rate floor."""
IncomePart = Literal["revenue", "salvage", "utility"]
"""What is earned; `utility` is no money."""
Part = CostPart | IncomePart
COST_PARTS: tuple[str, ...] = get_args(CostPart)
INCOME_PARTS: tuple[str, ...] = get_args(IncomePart)

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
    price: NonNegativeFloat = 10.0
    """Per unit that is missing to it."""


class Utility(Record):
    """The objective `utility`: log(replenishment) - stock_weight x stock, of each product and warehouse.

    Replenishment is what was shipped to it in the period, stock is on hand after demand.
    """

    stock_weight: NonNegativeFloat = 0.1
    """What a unit of stock takes from the utility."""
    log: Literal["log1p", "log"] = "log1p"
    """log(1 + replenishment), or the plain logarithm, which counts less than `least` as that."""
    least: PositiveFloat = 0.001
    """Units of replenishment that less counts as, under `log`."""


class Rules(Record):
    """What holds on the whole network in every period."""

    objective: Literal["cost", "profit", "service", "utility"] = "cost"
    """What the reward is: minus all costs; revenue less all costs; minus cost with a priced floor on the fill rate; or the utility.
    Every part is reported all the same."""
    weights: dict[Part, Annotated[float, Field(ge=-LARGEST, le=LARGEST)]] = {}
    """How much a part counts in the reward, instead of the 1 or 0 that the objective gives it."""
    service: Service = Service()
    """The floor on the fill rate of the objective `service`, and what missing it costs."""
    utility: Utility = Utility()
    """The terms of the objective `utility`."""
    holding_on: Literal["end", "opening"] = "end"
    """The stock that holding is charged on: after demand, or when the period opens."""
    rationing: Rationing = "proportional"
    """How a warehouse shares its stock among those who ask for more than it has: in proportion to what they ask, by the
    lanes' `priority`, as evenly as what they ask allows, or all of it every period (a cross-dock: `full_shipment`)."""
    quantities: Literal["continuous", "integer"] = "continuous"
    """Whether requests, shipments and demand are rounded to whole units; gradients pass straight through the rounding."""

    @property
    def reward_weights(self) -> dict[str, float]:
        """What every part is multiplied by before costs are taken from incomes."""
        return {part: self.weights.get(part, float(part in _COUNTED[self.objective])) for part in (*COST_PARTS, *INCOME_PARTS)}


def per_product(value: float | list[float], products: int) -> list[float]:
    """One number for each product."""
    return list(value) if isinstance(value, list) else [value] * products
