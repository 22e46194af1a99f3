"""The scenario file: which warehouses, lanes and products there are, what demand they meet and what everything costs.

A scenario is one YAML mapping with the keys of `Scenario`; its entries are the records of `schema`.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from networkx import Graph
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from marl_inv.common.documents import Document, override, read_yaml
from marl_inv.common.errors import InputError, suggestion
from marl_inv.common.records import validate
from marl_inv.consistency import check, check_supply
from marl_inv.expansion import GRAPH_FILES, expand
from marl_inv.schema import (
    Delay,
    Demand,
    Empirical,
    Event,
    Forecast,
    Lane,
    Outage,
    ParametricDemand,
    Pool,
    Product,
    ProductRange,
    Products,
    Regimes,
    Rules,
    Supplier,
    Warehouse,
)


class Scenario(Rules):
    """A problem as it is written: places, lanes, products, demand, and what everything costs."""

    name: str = ""
    """The file's name without its ending when absent."""
    description: str = ""
    """What it is about, in a line."""
    ending: Literal["continuing", "finite"] = "continuing"
    """`continuing` episodes are cut off (truncated) after the horizon; `finite` ones end there, and agents see the periods left."""
    network: None = None
    """Where warehouses, suppliers and lanes come from when they are not listed: a generator, a graph file or tables."""
    horizon: PositiveInt = 100
    """Periods in an episode."""
    warm_up: NonNegativeInt = 0
    """First periods of an episode that evaluation leaves out."""
    discount_factor: PositiveFloat = Field(default=1.0, le=1)
    """What evaluation multiplies money by for every period that passes; below 1 it reports discounted averages."""
    initial_state: Literal["given", "steady"] = "given"
    """Episodes begin with `initial_stock`, or as ordering up to mean + 1 sd of lead-time demand on source lanes has left the network."""
    history: NonNegativeInt = 1
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
    """Between warehouses' demands for a product in a period (of the Gaussian copula): one number for all pairs, or a matrix over the
    warehouses."""
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
        """Suppliers, lanes and pools whose capacity an outage may take away, each once, in the order of the events."""
        return list(dict.fromkeys(name for event in self.events if isinstance(event, Outage) for name in event.targets))

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
        return max((w.promotion.notice for w in self.warehouses if w.promotion and w.promotion.planned), default=0)

    def __repr__(self) -> str:
        """In one line; `marl_inv.write_scenario` writes all of it."""
        counts = [(self.warehouses, "warehouse"), (self.suppliers, "supplier"), (self.lanes, "lane"), (self.product_list, "product")]
        told = ", ".join(f"{len(entries)} {thing}{'s' * (len(entries) != 1)}" for entries, thing in counts)
        return f"Scenario({self.name}: {told}, {self.ending}, {self.horizon} periods, objective {self.objective})"

    __str__ = __repr__

    def demand_of(self, warehouse: Warehouse) -> ParametricDemand | Empirical | None:
        return (warehouse.demand or self.demand) if warehouse.faces_demand else None

    @property
    def data_files(self) -> list[Path]:
        """That demand is read from."""
        models = (self.demand_of(warehouse) for warehouse in self.warehouses)
        return sorted({Path(model.path) for model in models if isinstance(model, Empirical) and model.path is not None})


def library() -> dict[str, Path]:
    """The scenarios that come with marl_inv, by name."""
    folder = resources.files("marl_inv.scenarios")
    return {Path(str(entry)).stem: Path(str(entry)) for entry in sorted(folder.iterdir(), key=str) if str(entry).endswith(".yaml")}


def scenario_path(name: str | Path) -> Path:
    """A scenario's file, from its path or from the bare name of one in the library."""
    if Path(name).suffix in (".yaml", ".yml", *GRAPH_FILES):
        return Path(name)
    known = library()
    if str(name) not in known:
        raise InputError(f"{name}: is no scenario{suggestion(str(name), known)}; or give the path of a .yaml file")
    return known[str(name)]


def load_scenario(name: str | Path | Graph, settings: Iterable[str] = ()) -> Scenario:
    """Load a scenario by path or bare name, or from a networkx graph, with `key.path=value` settings applied.

    Raises InputError with file, line, value and remedy for anything wrong in it.
    """
    document = read_document(name, settings)
    scenario = read_scenario(document)
    check_supply(scenario, document)
    return scenario


def read_document(name: str | Path | Graph, settings: Iterable[str] = ()) -> Document:
    """What a scenario's file or graph says, with `key.path=value` settings applied and its `network` in full, before it is checked."""
    document, folder = _opened(name)
    settings = list(settings)
    of_network = [setting for setting in settings if setting.partition("=")[0].split(".")[0] == "network"]
    override(document, of_network)
    expand(document, folder, Scenario.model_fields)
    override(document, [setting for setting in settings if setting not in of_network])
    if folder is not None:
        _find_data(document, folder)
    return document


def _opened(name: str | Path | Graph) -> tuple[Document, Path | None]:
    """A scenario as it is written, and the folder that its paths are relative to."""
    if isinstance(name, Graph):
        return Document("graph", {"network": name}), None
    path = scenario_path(name)
    document = Document(str(path), {"network": {"file": path.name}}) if path.suffix in GRAPH_FILES else read_yaml(path)
    document.data.setdefault("name", path.stem)
    return document, path.parent


def _find_data(document: Document, folder: Path) -> None:
    """A relative data path is looked for in `folder` when it is not in the working directory."""
    warehouses = document.data.get("warehouses")
    for part in [document.data, *(warehouses if isinstance(warehouses, list) else [])]:
        demand = part.get("demand") if isinstance(part, dict) else None
        path = demand.get("path") if isinstance(demand, dict) else None
        if isinstance(path, str) and not Path(path).exists() and (folder / path).exists():
            demand["path"] = str(folder / path)


def read_scenario(document: Document) -> Scenario:
    """A scenario from a document whose `network` is in full."""
    document.data.setdefault("name", Path(document.name).stem)
    scenario = validate(Scenario, document)
    check(scenario, document)
    return scenario


def scenario_from_graph(graph: Graph, **fields: Any) -> Scenario:
    """A scenario on a networkx graph, with the attributes that `exchange` describes; `fields` are the scenario's other fields, as plain data."""
    document = Document("graph", {"network": graph, **fields})
    expand(document, None, Scenario.model_fields)
    return read_scenario(document)
