from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from marl_inv.scenario.demand import Demand, Empirical, Forecast, ParametricDemand, Regimes
from marl_inv.scenario.events import Delay, Event, Outage
from marl_inv.scenario.fields import LONGEST_EPISODE, Periods
from marl_inv.scenario.objective import Rules
from marl_inv.scenario.places import Lane, Pool, Product, ProductRange, Products, Supplier, Warehouse


class Scenario(Rules):
    """A problem as it is written: places, lanes, products, demand, and what everything costs."""

    name: str = ""
    """The file's name without its ending when absent."""
    description: str = ""
    """What it is about, in a line."""
    ending: Literal["continuing", "finite"] = "continuing"
    """`continuing` episodes are cut off (truncated) after the horizon; `finite` ones end there, and agents
    see the periods left."""
    network: None = None
    """Where warehouses, suppliers and lanes come from when they are not listed: a generator, a graph file or
    tables."""
    horizon: Annotated[int, Field(gt=0, le=LONGEST_EPISODE)] = 100
    """Periods in an episode."""
    warm_up: Annotated[int, Field(ge=0, le=LONGEST_EPISODE)] = 0
    """First periods of an episode that evaluation leaves out."""
    discount_factor: float = Field(default=1.0, gt=0, le=1)
    """What evaluation multiplies money by for every period that passes; below 1 it reports discounted
    averages."""
    initial_state: Literal["given", "steady"] = "given"
    """Episodes begin with `initial_stock`, or as ordering up to mean + 1 sd of lead-time demand on source
    lanes has left the network."""
    history: Periods = 1
    """Past periods of demand that agents observe."""
    products: Products = [Product(name="product")]
    """What is stocked; a list, or `{count: 288}` for that many alike. Coupled by capacities only."""
    suppliers: list[Supplier] = []
    """Where goods come from: sources without stock."""
    warehouses: list[Warehouse] = Field(min_length=1)
    """Who holds stock and decides: the agents."""
    lanes: list[Lane] = []
    """The ways into warehouses, from suppliers (replenishment) and from each other (transfer)."""
    pools: list[Pool] = []
    """Capacities that several lanes share."""
    demand: Demand | None = None
    """Demand of every warehouse that faces demand and states none of its own."""
    correlation: float | list[list[float]] | None = None
    """Between warehouses' demands for a product in a period (of the Gaussian copula): one number for all
    pairs, or a matrix over the warehouses."""
    regimes: Regimes | None = None
    """Hidden states of the world that change mean demand."""
    events: list[Event] = []
    """Surges, outages and delays."""
    forecast: Forecast | None = None
    """What agents are told of coming demand; nothing when absent."""

    @property
    def product_list(self) -> list[Product]:
        if isinstance(self.products, ProductRange):
            return [Product(name=name) for name in self.products.names]
        return self.products

    @property
    def measured(self) -> str:
        """What tables call the result: `cost` is minus the reward; `profit` and `reward` are the reward."""
        return {"profit": "profit", "utility": "reward"}.get(self.objective, "cost")

    @property
    def interruptible(self) -> list[str]:
        """Suppliers, warehouses, lanes and pools whose capacity an outage may take away, each once, in the
        order of the events."""
        return list(
            dict.fromkeys(
                name for event in self.events if isinstance(event, Outage) for name in event.targets
            )
        )

    @property
    def longest_delay(self) -> int:
        """Periods that delays may add to a lead time when all fall together."""
        return sum(event.periods for event in self.events if isinstance(event, Delay))

    @property
    def plans_promotions(self) -> bool:
        return any(w.promotion is not None and w.promotion.planned is not None for w in self.warehouses)

    @property
    def notice(self) -> int:
        """Coming periods of planned promotions that agents observe, besides the present one."""
        return max(
            (w.promotion.notice for w in self.warehouses if w.promotion and w.promotion.planned), default=0
        )

    def __repr__(self) -> str:
        """In one line; `marl_inv.write_scenario` writes all of it."""
        counts = [
            (self.warehouses, "warehouse"),
            (self.suppliers, "supplier"),
            (self.lanes, "lane"),
            (self.product_list, "product"),
        ]
        told = ", ".join(f"{len(entries)} {thing}{'s' * (len(entries) != 1)}" for entries, thing in counts)
        return (
            f"Scenario({self.name}: {told}, {self.ending}, {self.horizon} periods, objective "
            f"{self.objective})"
        )

    __str__ = __repr__

    def demand_of(self, warehouse: Warehouse) -> ParametricDemand | Empirical | None:
        return (warehouse.demand or self.demand) if warehouse.faces_demand else None

    @property
    def data_files(self) -> list[Path]:
        """That demand is read from."""
        models = (self.demand_of(warehouse) for warehouse in self.warehouses)
        return sorted(
            {Path(model.path) for model in models if isinstance(model, Empirical) and model.path is not None}
        )
