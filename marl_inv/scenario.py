"""The scenario file: which warehouses, lanes and products there are, what demand they meet and what everything costs.

A scenario is one YAML mapping with the keys of `Scenario`. Quantities are units, times are whole periods, money is in one
currency, volumes in any one unit. A `PerProduct` value is one number for all products or a list with one for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

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

from marl_inv.reading import Document, InputError, Record, override, read_yaml, suggestion, validate

LARGEST = 1e30
"""Numbers beyond it are refused: in float32 they would soon be infinite."""


def _per_product(value: object) -> object:
    numbers = value if isinstance(value, list) else [value]
    if numbers and all(isinstance(n, int | float) and not isinstance(n, bool) and 0 <= n <= LARGEST for n in numbers):
        return value
    raise ValueError(f"is {value!r}; give a number, 0 or more, or a list of such numbers with one for each product")


def _stretch(value: object) -> object:
    if isinstance(value, list) and len(value) == 2 and all(type(n) is int for n in value) and 0 <= value[0] < value[1]:
        return tuple(value)
    raise ValueError(f"is {value!r}; give two whole numbers, first period and end: [0, 88]")


PerProduct = Annotated[float | list[float], BeforeValidator(_per_product)]
Stretch = Annotated[tuple[int, int], BeforeValidator(_stretch)]


class Product(Record):
    name: str
    volume: PositiveFloat = 1.0
    """What one unit takes of storage, lanes, pools and suppliers' limits."""


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
    capacity: PositiveFloat | None = None
    """Volume it can ship in a period, over all its lanes; unlimited when absent."""


class Promotion(Record):
    """A promotion that the warehouse decides on, each period and product: a level from 0 to `max_level`."""

    max_level: PositiveFloat = 1.0
    uplift: NonNegativeFloat = 0.1
    """Demand is multiplied by 1 + uplift x level."""
    cost: NonNegativeFloat = 0.0
    """Cost per level, period and product."""


class Poisson(Record):
    kind: Literal["poisson"]
    mean: PerProduct
    """Units per period."""


class Normal(Record):
    kind: Literal["normal"]
    mean: PerProduct
    sd: PerProduct
    cut_at_zero: bool = True
    """Whether negative draws count as no demand; otherwise they are returns, which only backordered demand allows."""


class NegativeBinomial(Record):
    kind: Literal["negative_binomial"]
    mean: PerProduct
    sd: PerProduct
    """Standard deviation; its square must exceed the mean."""


class Empirical(Record):
    """Demand read from a CSV file: one row per period and product, one column per warehouse."""

    kind: Literal["empirical"]
    path: str | None = None
    """The CSV file, seen from the working directory or else from the scenario's folder."""
    period_column: str = "period"
    product_column: str = "product"
    train: Stretch
    """First period and end (not included) of the part for training and tuning; an episode is a stretch of it."""
    evaluate: Stretch
    """The same for evaluation, which plays exactly this stretch; the history before it is read, not scored."""


Demand = Annotated[Poisson | Normal | NegativeBinomial | Empirical, Field(discriminator="kind")]


class Warehouse(Record):
    name: str
    demand: Demand | None = None
    """Customers' demand here; when absent, the scenario's `demand`."""
    faces_demand: bool = True
    """False for a distribution centre, which has no customers of its own."""
    unmet_demand: Literal["lost", "backordered"] = "lost"
    initial_stock: PerProduct = 0.0
    storage: PositiveFloat | None = None
    """Volume it can hold; unlimited when absent. What arrives beyond it is discarded."""
    holding_cost: PerProduct = 0.0
    """Per unit on hand at the end of a period."""
    shortage_cost: PerProduct = 0.0
    """Per unit lost, or per unit backordered at the end of a period."""
    overflow_cost: PerProduct = 0.0
    """Per unit discarded for lack of storage."""
    price: PerProduct = 0.0
    """Revenue per unit sold (counted when the objective is profit)."""
    promotion: Promotion | None = None
    source_lane: str | None = None
    """The inbound lane that order-up-to policies ask on; when absent, the one that is cheapest landed."""


class Lane(Record):
    """A way for goods into a warehouse: from a supplier (replenishment) or from another warehouse (transfer)."""

    name: str = ""
    """`origin->destination` when absent."""
    origin: str
    destination: str
    lead_time: NonNegativeInt
    """Whole periods; what leaves in t can be sold in t + lead_time."""
    procurement_cost: PerProduct = 0.0
    """Per unit shipped, paid to a supplier."""
    transport_cost: PerProduct = 0.0
    """Per unit shipped."""
    capacity: PositiveFloat | None = None
    """Volume it can carry in a period; unlimited when absent."""
    max_request: PositiveFloat | None = None
    """Largest request per product in an environment's action space; when absent, the capacity or 4 x lead-time demand."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: object) -> object:
        if isinstance(data, dict) and "name" not in data and {"origin", "destination"} <= data.keys():
            return {**data, "name": f"{data['origin']}->{data['destination']}"}
        return data


class Pool(Record):
    """A capacity that several lanes share: a truck fleet, a carrier's contract."""

    name: str
    lanes: list[str] = Field(min_length=1)
    capacity: PositiveFloat
    """Volume that its lanes can carry together in a period."""


class Scenario(Record):
    name: str = ""
    """The file's name without its ending when absent."""
    description: str = ""
    objective: Literal["cost", "profit"] = "cost"
    """`cost` leaves revenue out; `profit` is revenue less all costs."""
    ending: Literal["continuing", "finite"] = "continuing"
    """`continuing` episodes are cut off (truncated) after the horizon; `finite` ones end there, and agents see the periods left."""
    horizon: PositiveInt = 100
    """Periods in an episode."""
    warm_up: NonNegativeInt = 0
    """First periods of an episode that evaluation leaves out."""
    history: NonNegativeInt = 1
    """Past periods of demand that agents observe."""
    products: Products = [Product(name="product")]
    suppliers: list[Supplier] = []
    warehouses: list[Warehouse] = Field(min_length=1)
    lanes: list[Lane] = []
    pools: list[Pool] = []
    demand: Demand | None = None
    """Demand of every warehouse that faces demand and states none of its own."""

    @property
    def product_list(self) -> list[Product]:
        if isinstance(self.products, ProductRange):
            return [Product(name=name) for name in self.products.names]
        return self.products

    def demand_of(self, warehouse: Warehouse) -> Poisson | Normal | NegativeBinomial | Empirical | None:
        return (warehouse.demand or self.demand) if warehouse.faces_demand else None


def _check(scenario: Scenario, document: Document) -> None:
    """The rules that tie one entry to another, each with the place of the entry that breaks it."""
    warehouses = [warehouse.name for warehouse in scenario.warehouses]
    suppliers = [supplier.name for supplier in scenario.suppliers]
    lanes = [lane.name for lane in scenario.lanes]
    products = [product.name for product in scenario.product_list]

    def refuse(path: tuple[str | int, ...], message: str) -> InputError:
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
        return InputError(f"{document.place(path)}: {name} {message}")

    def unique(names: Sequence[str], path: str, taken: Iterable[str] = ()) -> None:
        seen = set(taken)
        for index, name in enumerate(names):
            if name in seen:
                raise refuse((path, index, "name"), f"is {name!r}, which is taken; give every entry a name of its own")
            seen.add(name)

    unique(warehouses, "warehouses")
    unique(suppliers, "suppliers", taken=warehouses)
    unique(lanes, "lanes")
    unique([pool.name for pool in scenario.pools], "pools")
    unique(products, "products")
    for path, value in _lists_by_product(scenario):
        if len(value) != len(products):
            raise refuse(path, f"lists {len(value)} numbers for {len(products)} products; give one number, or one for each")
    for index, lane in enumerate(scenario.lanes):
        for key, known in (("origin", suppliers + warehouses), ("destination", warehouses)):
            if getattr(lane, key) not in known:
                kinds = "supplier or warehouse" if key == "origin" else "warehouse"
                given = getattr(lane, key)
                raise refuse(("lanes", index, key), f"is {given!r}, which is no {kinds}{suggestion(given, known)}")
        if lane.origin in warehouses and any(per_product(lane.procurement_cost, 1)):
            raise refuse(
                ("lanes", index, "procurement_cost"), "is paid to suppliers, and this lane leaves a warehouse; give transport_cost"
            )
        if lane.origin == lane.destination:
            raise refuse(("lanes", index, "destination"), f"is {lane.destination!r}, its own origin; a lane joins two places")
    for index, pool in enumerate(scenario.pools):
        for position, name in enumerate(pool.lanes):
            if name not in lanes:
                raise refuse(("pools", index, "lanes", position), f"is {name!r}, which is no lane{suggestion(name, lanes)}")
    for index, warehouse in enumerate(scenario.warehouses):
        inbound = [lane.name for lane in scenario.lanes if lane.destination == warehouse.name]
        if warehouse.source_lane is not None and warehouse.source_lane not in inbound:
            raise refuse(
                ("warehouses", index, "source_lane"),
                f"is {warehouse.source_lane!r}, which is no lane into it{suggestion(warehouse.source_lane, inbound)}",
            )
        demand = scenario.demand_of(warehouse)
        if warehouse.faces_demand and demand is None:
            raise refuse(("warehouses", index), "states no demand; add `demand`, here or for the whole scenario, or `faces_demand: false`")
        if isinstance(demand, Normal) and not demand.cut_at_zero and warehouse.unmet_demand == "lost":
            raise refuse(
                ("warehouses", index), "loses unmet demand that can be negative; set cut_at_zero: true, or unmet_demand: backordered"
            )
        if isinstance(demand, NegativeBinomial):
            pairs = zip(per_product(demand.mean, len(products)), per_product(demand.sd, len(products)), strict=True)
            if any(mean > 0 and sd**2 <= mean for mean, sd in pairs):
                raise refuse(
                    ("warehouses", index),
                    f"has negative binomial demand with sd {demand.sd} and mean {demand.mean}; give an sd above the square root of the mean",
                )
        volume = sum(
            product.volume * stock
            for product, stock in zip(scenario.product_list, per_product(warehouse.initial_stock, len(products)), strict=False)
        )
        if warehouse.storage is not None and volume > warehouse.storage:
            raise refuse(
                ("warehouses", index, "initial_stock"),
                f"takes {volume:g} of a storage of {warehouse.storage:g}; give less stock or more storage",
            )
    if scenario.warm_up >= scenario.horizon:
        raise refuse(("warm_up",), f"is {scenario.warm_up} of a horizon of {scenario.horizon}; leave periods to score")


def _lists_by_product(record: Record, path: tuple[str | int, ...] = ()) -> Iterable[tuple[tuple[str | int, ...], list[float]]]:
    """Every list of numbers in a record (these are the per-product ones: tuples and names are not lists of floats)."""
    for key in type(record).model_fields:
        value = getattr(record, key)
        if isinstance(value, Record):
            yield from _lists_by_product(value, (*path, key))
        elif isinstance(value, list) and value and isinstance(value[0], Record):
            for index, entry in enumerate(value):
                yield from _lists_by_product(entry, (*path, key, index))
        elif isinstance(value, list) and value and isinstance(value[0], int | float):
            yield (*path, key), value


def per_product(value: float | list[float], products: int) -> list[float]:
    """One number for each product."""
    return list(value) if isinstance(value, list) else [value] * products


def library() -> dict[str, Path]:
    """The scenarios that come with marl_inv, by name."""
    folder = resources.files("marl_inv.scenarios")
    return {Path(str(entry)).stem: Path(str(entry)) for entry in sorted(folder.iterdir(), key=str) if str(entry).endswith(".yaml")}


def scenario_path(name: str | Path) -> Path:
    """A scenario's file, from its path or from the bare name of one in the library."""
    if Path(name).suffix in (".yaml", ".yml"):
        return Path(name)
    known = library()
    if str(name) not in known:
        raise InputError(f"{name}: is no scenario{suggestion(str(name), known)}; or give the path of a .yaml file")
    return known[str(name)]


def read_scenario(document: Document, folder: Path | None = None) -> Scenario:
    """A scenario from a document; a relative data path is looked for in `folder` when it is not in the working directory."""
    document.data.setdefault("name", Path(document.name).stem)
    warehouses = document.data.get("warehouses")
    for part in [document.data, *(warehouses if isinstance(warehouses, list) else [])]:
        demand = part.get("demand") if isinstance(part, dict) else None
        path = demand.get("path") if isinstance(demand, dict) else None
        if isinstance(path, str) and folder is not None and not Path(path).exists() and (folder / path).exists():
            demand["path"] = str(folder / path)
    scenario = validate(Scenario, document)
    _check(scenario, document)
    return scenario


def load_scenario(name: str | Path, settings: Iterable[str] = ()) -> Scenario:
    """Load a scenario by path or bare name, with `key.path=value` settings applied.

    Raises InputError with file, line, value and remedy for anything wrong in it.
    """
    path = scenario_path(name)
    document = read_yaml(path)
    override(document, settings)
    return read_scenario(document, path.parent)
