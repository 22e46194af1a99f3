"""The rules that tie one entry of a scenario to another, each told with the place of the entry that breaks
it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from marl_inv.common.documents import Document, KeyPath
from marl_inv.common.errors import InputError, suggestion
from marl_inv.scenario.demand import Empirical, Evolution
from marl_inv.scenario.events import Delay, Outage, Surge
from marl_inv.scenario.fields import Between, lists_by_product, per_product
from marl_inv.scenario.places import Lane, Warehouse

if TYPE_CHECKING:
    from marl_inv.scenario.scenario import Scenario


def check_consistency(scenario: Scenario, document: Document) -> None:
    """Raises InputError for the first entry that does not fit the others."""
    checks = Checks(scenario, document)
    checks.names()
    checks.lists()
    checks.lanes()
    checks.pools()
    checks.warehouses()
    checks.demands()
    checks.events()
    checks.episodes()


def check_supply(scenario: Scenario, document: Document) -> None:
    """Raises InputError where demand goes on for ever at a warehouse that no supplier reaches: its long run
    has no meaning."""
    if scenario.ending == "finite":
        return
    checks = Checks(scenario, document)
    reached, waiting = set(checks.supplier_names), list(checks.supplier_names)
    while waiting:
        there = [
            lane.destination for lane in checks.outbound[waiting.pop()] if lane.destination not in reached
        ]
        reached.update(there)
        waiting += there
    for index, warehouse in enumerate(scenario.warehouses):
        wanted = warehouse.faces_demand and any(
            per_product(getattr(scenario.demand_of(warehouse), "mean", 1.0), checks.products)
        )
        if wanted and warehouse.name not in reached:
            remedy = "add a lane to it, or give `ending: finite`"
            raise checks.error(
                ("warehouses", index),
                f"({warehouse.name}) is reached by no supplier, and the episode goes on for ever; {remedy}",
            )


class Checks:
    def __init__(self, scenario: Scenario, document: Document) -> None:
        self.scenario, self.document = scenario, document
        self.warehouse_names = [warehouse.name for warehouse in scenario.warehouses]
        self.supplier_names = [supplier.name for supplier in scenario.suppliers]
        self.lane_names = [lane.name for lane in scenario.lanes]
        self.pool_names = [pool.name for pool in scenario.pools]
        self.products = len(scenario.product_list)
        self.inbound: dict[str, list[Lane]] = defaultdict(list)
        self.outbound: dict[str, list[Lane]] = defaultdict(list)
        for lane in scenario.lanes:
            self.inbound[lane.destination].append(lane)
            self.outbound[lane.origin].append(lane)

    def error(self, path: KeyPath, message: str) -> InputError:
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
        return InputError(f"{self.document.place(path)}: {name} {message}")

    def known(self, path: KeyPath, given: str, known: Sequence[str], kind: str) -> None:
        if given not in set(known):
            raise self.error(path, f"is {given!r}, which is no {kind}{suggestion(given, known)}")

    def names(self) -> None:
        products = [product.name for product in self.scenario.product_list]
        for key, names, taken in (
            ("warehouses", self.warehouse_names, ()),
            ("suppliers", self.supplier_names, self.warehouse_names),
            ("lanes", self.lane_names, ()),
            ("pools", self.pool_names, ()),
            ("products", products, ()),
        ):
            seen = set(taken)
            for index, name in enumerate(names):
                if name in seen:
                    raise self.error(
                        (key, index, "name"),
                        f"is {name!r}, which is taken; give every entry a name of its own",
                    )
                seen.add(name)

    def lists(self) -> None:
        for path, value in lists_by_product(self.scenario):
            if len(value) != self.products:
                raise self.error(
                    path,
                    f"lists {len(value)} numbers for {self.products} products; give one number, or one for "
                    "each",
                )

    def lanes(self) -> None:
        places, warehouses = set(self.supplier_names) | set(self.warehouse_names), set(self.warehouse_names)
        for index, lane in enumerate(self.scenario.lanes):
            if lane.origin not in places:
                self.known(
                    ("lanes", index, "origin"),
                    lane.origin,
                    self.supplier_names + self.warehouse_names,
                    "supplier or warehouse",
                )
            if lane.destination not in warehouses:
                self.known(
                    ("lanes", index, "destination"), lane.destination, self.warehouse_names, "warehouse"
                )
            if lane.origin == lane.destination:
                raise self.error(
                    ("lanes", index, "destination"),
                    f"is {lane.destination!r}, its own origin; a lane joins two places",
                )
            from_warehouse = lane.origin in warehouses
            if from_warehouse and any(per_product(lane.procurement_cost, 1)):
                remedy = "is paid to suppliers, and this lane leaves a warehouse; give transport_cost"
                raise self.error(("lanes", index, "procurement_cost"), remedy)
            if not from_warehouse and any(per_product(lane.transfer_price, 1)):
                remedy = "is paid to warehouses, and this lane leaves a supplier; give procurement_cost"
                raise self.error(("lanes", index, "transfer_price"), remedy)
            if lane.vehicle_cost and lane.vehicle_capacity is None:
                raise self.error(
                    ("lanes", index, "vehicle_cost"),
                    "is given without vehicle_capacity; say how much a vehicle carries",
                )
            for key, boxes, what in (
                ("initial_shipments", lane.longest, "lead time"),
                ("initial_orders", lane.order_delay, "order delay"),
            ):
                if any(per_product(getattr(lane, key), 1)) and not boxes:
                    raise self.error(
                        ("lanes", index, key),
                        f"are on their way on a lane without {what}; give initial_stock instead",
                    )
                if self.scenario.quantities == "integer" and any(
                    units % 1 for units in per_product(getattr(lane, key), self.products)
                ):
                    raise self.error(
                        ("lanes", index, key),
                        f"is {getattr(lane, key)}, and quantities are integer; give whole units",
                    )
            for place, arrival in enumerate(lane.initial_arrivals):
                if self.scenario.quantities == "integer" and any(
                    n % 1 for n in per_product(arrival.units, 1)
                ):
                    raise self.error(
                        ("lanes", index, "initial_arrivals", place, "units"),
                        f"is {arrival.units}, and quantities are integer; give whole units",
                    )
            self._order_sizes(index, lane)
            if lane.reactive:
                self._reactive(index, lane, from_warehouse)

    def _order_sizes(self, index: int, lane: Lane) -> None:
        if self.scenario.quantities == "integer" and any(n % 1 for n in per_product(lane.pack_size, 1)):
            raise self.error(
                ("lanes", index, "pack_size"),
                f"is {lane.pack_size}, and quantities are integer; give whole units",
            )
        if lane.first_review >= lane.review_period:
            raise self.error(
                ("lanes", index, "first_review"),
                f"is {lane.first_review}, and review_period {lane.review_period}; give a number below that",
            )
        least = max(per_product(lane.minimum_order, 1))
        if lane.max_request is not None and least > lane.max_request:
            raise self.error(
                ("lanes", index, "minimum_order"),
                f"is {least:g}, more than the max_request of {lane.max_request:g}; nothing could be ordered",
            )

    def _reactive(self, index: int, lane: Lane, from_warehouse: bool) -> None:
        if not from_warehouse:
            raise self.error(
                ("lanes", index, "origin"),
                f"is {lane.origin!r}, and reactive lanes move surplus between warehouses",
            )
        for key, default in (
            ("lead_time", 0),
            ("order_delay", 0),
            ("unfilled", "forgotten"),
            ("max_request", None),
            ("priority", None),
            ("initial_arrivals", []),
            ("minimum_order", 0.0),
            ("pack_size", 0.0),
            ("review_period", 1),
        ):
            if getattr(lane, key) != default:
                raise self.error(
                    ("lanes", index, key),
                    "is given for a reactive lane, which delivers at once and takes no requests",
                )

    def pools(self) -> None:
        lanes = set(self.lane_names)
        for index, pool in enumerate(self.scenario.pools):
            for position, name in enumerate(pool.lanes):
                if name not in lanes:
                    self.known(("pools", index, "lanes", position), name, self.lane_names, "lane")

    def warehouses(self) -> None:
        for index, warehouse in enumerate(self.scenario.warehouses):
            path = ("warehouses", index)
            sources = [lane.name for lane in self.inbound[warehouse.name] if not lane.reactive]
            if warehouse.source_lane is not None and warehouse.source_lane not in sources:
                raise self.error(
                    (*path, "source_lane"),
                    f"is {warehouse.source_lane!r}, which is no lane into it that takes "
                    f"requests{suggestion(warehouse.source_lane, sources)}",
                )
            asked = [lane for lane in self.outbound[warehouse.name] if not lane.reactive]
            rule = warehouse.rationing or self.scenario.rationing
            if rule == "priority" and len(asked) > 1 and all(lane.priority is None for lane in asked):
                where = path if warehouse.rationing else ("rationing",)
                raise self.error(
                    where,
                    f"rations by priority, and no lane out of {warehouse.name} has one; give `priority: 1` "
                    "to the first",
                )
            if any(per_product(warehouse.salvage_value, 1)) and self.scenario.ending != "finite":
                raise self.error(
                    (*path, "salvage_value"), "counts when an episode has ended; set ending: finite"
                )
            self._initial_stock(path, warehouse)

    def _initial_stock(self, path: KeyPath, warehouse: Warehouse) -> None:
        given = warehouse.initial_stock
        low, high = (given.low, given.high) if isinstance(given, Between) else (given, given)
        lows, highs = per_product(low, self.products), per_product(high, self.products)
        if any(a > b for a, b in zip(lows, highs, strict=True)):
            raise self.error(
                (*path, "initial_stock"),
                f"is drawn from {low} to {high}; give a high that is not below the low",
            )
        if self.scenario.quantities == "integer" and any(units % 1 for units in lows + highs):
            raise self.error(
                (*path, "initial_stock"), f"is {given}, and quantities are integer; give whole units"
            )
        waits = warehouse.unmet_demand == "backordered" and warehouse.faces_demand
        if min(lows) < 0 and not waits:
            why = "unmet demand is lost here" if warehouse.faces_demand else "it has no customers of its own"
            raise self.error(
                (*path, "initial_stock"),
                f"is {min(lows):g}, and {why}, so nobody waits; give 0 or more, or unmet_demand: backordered",
            )
        volume = sum(
            product.volume * max(stock, 0)
            for product, stock in zip(self.scenario.product_list, highs, strict=True)
        )
        if warehouse.storage is not None and volume > warehouse.storage and warehouse.overflow == "discarded":
            raise self.error(
                (*path, "initial_stock"),
                f"takes {volume:g} of a storage of {warehouse.storage:g}; give less stock or more storage",
            )

    def demands(self) -> None:
        scenario = self.scenario
        for index, warehouse in enumerate(scenario.warehouses):
            path, demand = ("warehouses", index), scenario.demand_of(warehouse)
            if demand is None:
                if warehouse.faces_demand:
                    raise self.error(
                        path,
                        "states no demand; add `demand`, here or for the whole scenario, or `faces_demand: "
                        "false`",
                    )
                continue
            if demand.may_be_negative and warehouse.unmet_demand == "lost":
                raise self.error(
                    path,
                    "loses unmet demand that can be negative; set cut_at_zero: true, or unmet_demand: "
                    "backordered",
                )
            if fault := demand.fault(self.products):
                raise self.error(path, fault)
            if scenario.initial_state == "steady" and isinstance(demand, Empirical):
                raise self.error(
                    ("initial_state",),
                    "is steady, which takes periods before those of a data file; give initial_stock",
                )
            for key in ("correlation", "regimes"):
                if getattr(scenario, key) is not None and key in demand.cannot_have:
                    raise self.error(
                        (key,), f"cannot act on the {demand.kind} demand of {warehouse.name}; leave it out"
                    )
        if scenario.correlation is not None:
            self._correlation()
        if isinstance(scenario.forecast, Evolution):
            self._evolution()

    def _evolution(self) -> None:
        """It is worked out from distributions that are known when demand is forecast."""
        scenario = self.scenario
        models = map(scenario.demand_of, scenario.warehouses)
        for what, there in (
            ("regimes", scenario.regimes is not None),
            ("surges", any(isinstance(event, Surge) for event in scenario.events)),
            ("demand from a file", any(isinstance(model, Empirical) for model in models)),
        ):
            if there:
                remedy = "leave one of the two out, or give kind: truth_plus_noise"
                raise self.error(
                    ("forecast",), f"is of kind evolution, which is not made for {what}; {remedy}"
                )

    def _correlation(self) -> None:
        size, given = len(self.warehouse_names), self.scenario.correlation
        assert given is not None
        if not isinstance(given, list):
            least = -1 / max(size - 1, 1)
            if not least <= given <= 1:
                raise self.error(
                    ("correlation",),
                    f"is {given}; give a number from {least:.4g} (for {size} warehouses) to 1",
                )
            return
        if [len(row) for row in given] != [size] * size:
            raise self.error(
                ("correlation",),
                f"is no {size} x {size} matrix; give a row and a column for each of {size} warehouses",
            )
        matrix = np.array(given, dtype=float)
        if not (
            np.allclose(matrix, matrix.T)
            and np.allclose(matrix.diagonal(), 1)
            and np.linalg.eigvalsh(matrix).min() > -1e-9
        ):
            raise self.error(
                ("correlation",),
                "is no correlation matrix; give a symmetric, positive semidefinite one with 1 on the "
                "diagonal",
            )

    def events(self) -> None:
        moving = [lane.name for lane in self.scenario.lanes if not lane.reactive]
        limited = self.supplier_names + self.warehouse_names + self.lane_names + self.pool_names
        known, warehouses = (
            {Surge: self.warehouse_names, Delay: moving, Outage: limited},
            set(self.warehouse_names),
        )
        for index, event in enumerate(self.scenario.events):
            for position, name in enumerate(event.targets):
                kind = {
                    Surge: "warehouse",
                    Delay: "lane that takes requests",
                    Outage: "supplier, warehouse, lane or pool",
                }[type(event)]
                self.known(("events", index, "targets", position), name, known[type(event)], kind)
                if isinstance(event, Outage) and limited.count(name) > 1:
                    raise self.error(
                        ("events", index, "targets", position),
                        f"is {name!r}, which names two things; rename one",
                    )
                if isinstance(event, Outage) and name in warehouses and event.factor:
                    raise self.error(
                        ("events", index, "factor"),
                        f"is {event.factor:g}, and {name} is a warehouse, which has no capacity for a share "
                        "to be left of; give 0, or its lanes as targets",
                    )

    def episodes(self) -> None:
        scenario = self.scenario
        if scenario.warm_up >= scenario.horizon:
            raise self.error(
                ("warm_up",),
                f"is {scenario.warm_up} of a horizon of {scenario.horizon}; leave periods to score",
            )
