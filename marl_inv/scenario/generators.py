"""Networks drawn by a generator: the records behind `network: {generate: ring, size: 12, ...}` in a scenario.

A record says which warehouses there are and which lanes join them, as a graph. What they are like is said in
templates: `supplier`, `warehouse`, `replenishment` (lanes from suppliers), `transfer` (lanes between
warehouses), with the fields of `schema`. In a template `{draw: [2, 8]}` may stand for any number: it is drawn
once for each entry, uniformly, and whole where both ends are. What is drawn depends on the seed, the entry's
name and the key alone.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Literal

import networkx
import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from marl_inv.common.errors import suggestion
from marl_inv.common.records import Record
from marl_inv.scenario.fields import Amount, Count, Positive, Seed, Whole
from marl_inv.scenario.places import Lane, Supplier, Warehouse

MOST_WAREHOUSES = 100_000


MOST_LANES = 1_000_000


Some = Annotated[int, Field(ge=1, le=MOST_WAREHOUSES)]


Size = Annotated[int, Field(ge=2, le=MOST_WAREHOUSES)]


def _fed(value: object) -> object:
    named = isinstance(value, list) and all(isinstance(name, str) for name in value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    if value == "all" or named:
        return value
    raise ValueError(f"is {value!r}; give `all`, a share from 0 to 1, or a list of warehouses")


class Template(Record):
    """An entry without what tells it from others."""

    @model_validator(mode="before")
    @classmethod
    def _nameless(cls, data: object) -> object:
        if isinstance(data, dict) and (given := {"name", "origin", "destination"} & data.keys()):
            raise ValueError(f"is for many entries and gives {min(given)}; leave it out")
        return data


class SupplierTemplate(Template, Supplier):
    name: str = ""
    capacity_per_warehouse: Amount = 0.0
    """Added to the capacity, for every warehouse that it feeds."""


class WarehouseTemplate(Template, Warehouse):
    name: str = ""


class LaneTemplate(Template, Lane):
    """Distances are in the unit square of `random_geometric`, or as a file states them; elsewhere they count
    links."""

    origin: str = ""
    destination: str = ""
    lead_time_per_distance: Amount = 0.0
    """Added to the lead time, rounded up."""
    transport_cost_per_distance: Amount = 0.0
    """Added to the transport cost."""


class Generated(Record):
    """What all kinds have in common."""

    seed: Seed = 0
    """Of what is drawn."""
    suppliers: Whole = 1
    """Each feeds the same warehouses; named supplier, or supplier_0, supplier_1.. where there are several."""
    supplier: SupplierTemplate = SupplierTemplate()
    """What suppliers are like."""
    warehouse: WarehouseTemplate = WarehouseTemplate()
    """What warehouses are like."""
    replenishment: LaneTemplate | None = None
    """What lanes from suppliers are like; needed where there are suppliers."""
    transfer: LaneTemplate
    """What lanes between warehouses are like."""

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Generated:
        if self.suppliers and self.replenishment is None:
            raise ValueError(
                "has suppliers and no template for their lanes; add `replenishment: {lead_time: 2}`, or "
                "`suppliers: 0`"
            )
        warehouses, lanes = self.counts()
        if warehouses > MOST_WAREHOUSES or lanes > MOST_LANES:
            raise ValueError(
                f"would have {warehouses:,} warehouses and {lanes:,} lanes; give at most "
                f"{MOST_WAREHOUSES:,} and {MOST_LANES:,}"
            )
        return self

    @abstractmethod
    def counts(self) -> tuple[int, int]:
        """How many warehouses and lanes between them there will be, at most."""

    @abstractmethod
    def links(self) -> networkx.DiGraph:
        """The warehouses and the lanes between them: attributes of a node are fields of its warehouse, and
        its `_template`; an edge has a `distance`, and its `_template`."""

    @abstractmethod
    def supplied(self, warehouses: list[str]) -> Iterable[str]:
        """The warehouses that suppliers feed."""

    def distance_to_supplier(self, attributes: dict[str, Any]) -> float:
        return 1.0

    def graph(self) -> networkx.MultiDiGraph:
        links = self.links()
        network = networkx.MultiDiGraph()
        suppliers = ["supplier"] if self.suppliers == 1 else numbered("supplier", self.suppliers)
        network.add_nodes_from(suppliers, kind="supplier", _template="supplier")
        for name, attributes in links.nodes(data=True):
            network.add_node(name, **{"kind": "warehouse", "_template": "warehouse"} | attributes)
        for name in self.supplied(list(links)):
            for supplier in suppliers:
                network.add_edge(
                    supplier,
                    name,
                    _template="replenishment",
                    distance=self.distance_to_supplier(links.nodes[name]),
                )
        for origin, destination, attributes in links.edges(data=True) if self.transfer is not None else ():
            network.add_edge(origin, destination, **{"_template": "transfer", "distance": 1.0} | attributes)
        return network


class Lateral(Generated):
    """Warehouses of one rank, which help each other out along lanes in both directions."""

    fed: Annotated[str | float | list[str], BeforeValidator(_fed)] = "all"
    """The warehouses that suppliers feed: all, a share of them (spread evenly over their order), or those
    that are named."""
    transfer: LaneTemplate | None
    """What lanes between warehouses are like; null for none, which helping each other out is compared
    with."""

    @model_validator(mode="after")
    def _feeds_its_own(self) -> Lateral:
        if isinstance(self.fed, list) and (
            strangers := [name for name in self.fed if name not in (known := self.neighbours_graph())]
        ):
            raise ValueError(
                f"feeds {strangers[0]!r}, which is no warehouse{suggestion(strangers[0], list(known)[:20])}"
            )
        return self

    @abstractmethod
    def neighbours_graph(self) -> networkx.Graph:
        """The links, with names for nodes."""

    def links(self) -> networkx.DiGraph:
        return self.neighbours_graph().to_directed()

    def supplied(self, warehouses: list[str]) -> Iterable[str]:
        if isinstance(self.fed, list):
            return self.fed
        count = len(warehouses) if isinstance(self.fed, str) else math.ceil(self.fed * len(warehouses) - 1e-9)
        return [warehouses[position * len(warehouses) // count] for position in range(count)]


class Ring(Lateral):
    """Warehouses on a circle: warehouse_0, warehouse_1 and so on."""

    generate: Literal["ring"]
    """A circle."""
    size: Size
    """Warehouses."""
    neighbours: Count = 1
    """On each side that a warehouse is linked with; size / 2 links all with all."""

    def counts(self) -> tuple[int, int]:
        return self.size, 2 * self.size * min(self.neighbours, self.size // 2)

    def neighbours_graph(self) -> networkx.Graph:
        steps = range(1, min(self.neighbours, self.size // 2) + 1)
        circle = networkx.circulant_graph(self.size, list(steps))
        for one, other, attributes in circle.edges(data=True):
            attributes["distance"] = float(min((one - other) % self.size, (other - one) % self.size))
        return networkx.relabel_nodes(circle, dict(enumerate(numbered("warehouse", self.size))))


class Grid(Lateral):
    """Warehouses in rows and columns, linked with those beside, above and below: warehouse_0_0, warehouse_0_1
    and so on."""

    generate: Literal["grid"]
    """Rows and columns."""
    rows: Some
    """Warehouses from top to bottom."""
    columns: Some
    """Warehouses from left to right."""
    wrapped: bool = False
    """Whether the last row and column are linked with the first: no warehouse is then at an edge."""

    def counts(self) -> tuple[int, int]:
        return self.rows * self.columns, 4 * self.rows * self.columns

    def neighbours_graph(self) -> networkx.Graph:
        squares = networkx.grid_2d_graph(self.rows, self.columns, periodic=self.wrapped)
        rows, columns = numbered("warehouse", self.rows), digits(self.columns)
        return networkx.relabel_nodes(
            squares, {(row, column): f"{rows[row]}_{column:0{columns}d}" for row, column in squares}
        )


class RandomGeometric(Lateral):
    """Warehouses thrown into a unit square, linked where they are near each other. Suppliers are in its
    middle."""

    generate: Literal["random_geometric"]
    """Thrown at random."""
    size: Size
    """Warehouses."""
    radius: Positive
    """Warehouses up to so far apart are linked."""
    connected: bool = True
    """Whether groups of warehouses that no link joins are joined by the shortest one."""

    def counts(self) -> tuple[int, int]:
        return self.size, int(self.size**2 * min(1.0, math.pi * self.radius**2))

    def neighbours_graph(self) -> networkx.Graph:
        place = np.random.default_rng(self.seed).random((self.size, 2))
        names = numbered("warehouse", self.size)
        near = networkx.Graph()
        for name, (x, y) in zip(names, place.tolist(), strict=True):
            near.add_node(name, _x=x, _y=y)
        for index in range(self.size - 1):
            distance = np.hypot(*(place[index + 1 :] - place[index]).T)
            for step in np.flatnonzero(distance <= self.radius).tolist():
                near.add_edge(names[index], names[index + 1 + step], distance=float(distance[step]))
        if self.connected:
            self._join(near, place, {name: index for index, name in enumerate(names)})
        return near

    def _join(self, near: networkx.Graph, place: np.ndarray, row: dict[str, int]) -> None:
        names = list(row)
        while len(groups := sorted(networkx.connected_components(near), key=len)) > 1:
            for group in groups[:-1]:
                inside = [row[name] for name in group]
                outside = np.setdiff1d(np.arange(len(names)), inside)
                distance = np.linalg.norm(place[inside][:, None] - place[outside], axis=2)
                one, other = np.unravel_index(distance.argmin(), distance.shape)
                near.add_edge(names[inside[one]], names[outside[other]], distance=float(distance[one, other]))

    def distance_to_supplier(self, attributes: dict[str, Any]) -> float:
        return math.hypot(attributes["_x"] - 0.5, attributes["_y"] - 0.5)


class Serial(Generated):
    """A chain: the supplier feeds the last stage, each stage the one before, and stage_1 faces the
    customers."""

    generate: Literal["serial"]
    """A chain."""
    size: Size
    """Stages."""

    def counts(self) -> tuple[int, int]:
        return self.size, self.size

    def links(self) -> networkx.DiGraph:
        stages = [f"stage_{number:0{len(str(self.size))}d}" for number in range(1, self.size + 1)]
        chain = networkx.DiGraph()
        chain.add_node(stages[0])
        chain.add_nodes_from(stages[1:], **without_customers(self.warehouse))
        chain.add_edges_from((upstream, stage) for stage, upstream in pairwise(stages))
        return chain

    def supplied(self, warehouses: list[str]) -> Iterable[str]:
        return warehouses[-1:]


class Branching(Generated):
    """Centres that feed what is further out, and shops at the ends, which face the customers."""

    centre: WarehouseTemplate = WarehouseTemplate()
    """The template of the centres, in the place of `warehouse`."""

    def inner(self) -> dict[str, Any]:
        return {"_template": "centre"} | without_customers(self.centre)


class HubAndSpoke(Branching):
    """Shops on a circle around their centres: centre (or centre_0..) and shop_0, shop_1 and so on."""

    generate: Literal["hub_and_spoke"]
    """Centres and shops."""
    shops: Size
    """How many shops there are, all centres together."""
    centres: Some = 1
    """Each feeds an equal part of the circle."""
    sources: Count = 1
    """Centres that each shop may ask: its own and the next ones."""
    lateral: LaneTemplate | None = None
    """When given, shops next to each other on the circle are joined by such lanes, both ways."""

    def counts(self) -> tuple[int, int]:
        return self.shops + self.centres, self.shops * (min(self.sources, self.centres) + 2)

    def links(self) -> networkx.DiGraph:
        centres = ["centre"] if self.centres == 1 else numbered("centre", self.centres)
        shops = numbered("shop", self.shops)
        star = networkx.DiGraph()
        star.add_nodes_from(centres, **self.inner())
        star.add_nodes_from(shops)
        for index, shop in enumerate(shops):
            own = index * self.centres // self.shops
            star.add_edges_from(
                (centres[(own + step) % self.centres], shop)
                for step in range(min(self.sources, self.centres))
            )
        if self.lateral is not None:
            circle = networkx.relabel_nodes(networkx.circulant_graph(self.shops, [1]), dict(enumerate(shops)))
            star.add_edges_from(circle.to_directed().edges, _template="lateral")
        return star

    def supplied(self, warehouses: list[str]) -> Iterable[str]:
        return warehouses[: self.centres]


class Tree(Branching):
    """A centre feeds depots, which feed depots or shops: centre, depot_0, depot_0_1.., and shop_0, shop_1 and
    so on at the ends."""

    generate: Literal["tree"]
    """A centre, depots and shops."""
    branching: Some
    """How many each one feeds."""
    depth: Some
    """Lanes from the centre to a shop."""

    def counts(self) -> tuple[int, int]:
        warehouses = ends = 1
        for _ in range(self.depth):
            ends *= self.branching
            warehouses += ends
            if warehouses > MOST_WAREHOUSES:
                break
        return warehouses, warehouses - 1

    def links(self) -> networkx.DiGraph:
        shape = networkx.balanced_tree(self.branching, self.depth, create_using=networkx.DiGraph)
        names = {0: "centre"}
        ends = [node for node in shape if not shape.out_degree(node)]
        for node in shape:
            stem = "depot" if node == 0 else names[node]
            names |= {
                child: f"{stem}_{position:0{digits(self.branching)}d}"
                for position, child in enumerate(shape.successors(node))
            }
        names |= dict(zip(ends, numbered("shop", len(ends)), strict=True))
        tree = networkx.DiGraph()
        for node in shape:
            tree.add_node(names[node], **(self.inner() if shape.out_degree(node) else {}))
        tree.add_edges_from((names[origin], names[destination]) for origin, destination in shape.edges)
        return tree

    def supplied(self, warehouses: list[str]) -> Iterable[str]:
        return warehouses[:1]


AnyKind = Annotated[
    Ring | Grid | RandomGeometric | Serial | HubAndSpoke | Tree, Field(discriminator="generate")
]


def without_customers(template: WarehouseTemplate) -> dict[str, Any]:
    """What makes a warehouse one that only passes stock on, unless its template says whether it does."""
    return {} if "faces_demand" in template.model_fields_set else {"faces_demand": False}


def digits(count: int) -> int:
    return len(str(count - 1))


def numbered(stem: str, count: int) -> list[str]:
    """Names that sort: as many digits as are needed."""
    return [f"{stem}_{index:0{digits(count)}d}" for index in range(count)]
