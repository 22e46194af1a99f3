"""What a picture shows, as numbers: gauges of places, ways between them, capacities; of a moment, or of an
average."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.drawing.style import REACTIVE, REPLENISHMENT, TRANSFER, short
from marl_inv.evaluation.metrics import Totals
from marl_inv.network import TransferNetwork, unlimited
from marl_inv.simulator import Flows, State, on_order

ALARMING = 0.02
"""Share of demand that is not met above which a warehouse's frame is red."""


PLACE_UNITS = ("on_hand", "on_order", "backorders", "unmet", "demand", "promotion")


LANE_UNITS = ("shipments", "asked", "owed", "transshipped")


FULL = 0.999
"""Share of a capacity that counts as all of it."""


# What is drawn


@dataclass(frozen=True)
class Capacity:
    """A supplier's or a pool's."""

    name: str
    used: float
    most: float
    """Now; infinite where it has no limit."""
    open: float
    """Share of it that is there."""

    @property
    def full(self) -> bool:
        return bool(0 < FULL * self.most <= self.used)


@dataclass(frozen=True)
class Way:
    """A lane, with or without requests, and what it carried."""

    name: str
    origin: str
    destination: str
    colour: str
    shipped: float
    asked: float
    owed: float
    open: float
    limited: bool
    full: bool
    reactive: bool = False


@dataclass(frozen=True)
class Gauge:
    """A warehouse; units."""

    name: str
    full: float
    """What fills the gauge."""
    stored: bool
    """Whether that is its storage."""
    on_hand: float
    on_order: float
    backorders: float
    unmet: float
    demand: float
    promotion: float
    size: float
    """Typical units per period."""

    @property
    def short(self) -> float:
        """Demand not met in the last period, or what customers still wait for if that is more."""
        return max(self.unmet, self.backorders)

    @property
    def short_share(self) -> float:
        return self.short / max(self.demand, self.short, 1e-9)

    @property
    def alarming(self) -> bool:
        return self.short_share > ALARMING

    @property
    def level(self) -> float:
        return min(self.on_hand / self.full, 1.0)

    @property
    def coming(self) -> float:
        """How much fuller it is with what is on order."""
        return min((self.on_hand + self.on_order) / self.full, 1.0) - self.level


@dataclass(frozen=True)
class Scene:
    """One replication's moment in plain numbers: units over all products, volume where there are
    capacities."""

    gauges: list[Gauge]
    ways: list[Way]
    suppliers: list[Capacity]
    pools: list[Capacity]
    typical: float
    """Units per period of the largest warehouse: what arrows are scaled by."""

    @classmethod
    def of(
        cls,
        network: TransferNetwork,
        state: State,
        flows: Flows | None,
        available: Float[Tensor, "M B"] | None,
        replication: int,
    ) -> Scene:
        def units(tensor: Tensor | None, entries: int) -> np.ndarray:
            return (
                np.zeros(entries)
                if tensor is None
                else tensor[..., replication].detach().double().sum(0).cpu().numpy()
            )

        lanes, places = len(network.lanes), len(network.warehouses)
        reactive = 0 if network.reactive is None else len(network.reactive.names)
        flown = (
            {} if flows is None else {name: getattr(flows, name) for name in ("unmet", "demand", "promotion")}
        )
        moved = (
            {}
            if flows is None
            else {name: getattr(flows, name) for name in ("shipments", "asked", "owed", "transshipped")}
        )
        held = {
            "on_hand": state.on_hand,
            "on_order": on_order(network, state),
            "backorders": state.backorders,
        }
        return cls._of_units(
            network,
            {name: units(flown.get(name, held.get(name)), places) for name in PLACE_UNITS},
            {
                name: units(moved.get(name), reactive if name == "transshipped" else lanes)
                for name in LANE_UNITS
            },
            _limits(network, flows, available, replication),
        )

    @classmethod
    def average(
        cls,
        network: TransferNetwork,
        places: dict[str, np.ndarray],
        lanes: dict[str, np.ndarray],
        volume: np.ndarray,
    ) -> Scene:
        """Of means over periods: units of PLACE_UNITS by warehouse and of LANE_UNITS by lane, 0 where they
        are left out, and the volume that every lane and then every reactive lane carried. What is on order is
        what is shipped times its lead time (Little 1961)."""
        count, reactive = len(network.lanes), 0 if network.reactive is None else len(network.reactive.names)
        coming = np.zeros(len(network.warehouses))
        shipped = lanes.get("shipments", np.zeros(count))
        np.add.at(coming, network.destination.cpu().numpy(), shipped * network.lead_time.cpu().numpy())
        places = {"on_order": coming} | places
        return cls._of_units(
            network,
            {name: places.get(name, np.zeros(len(coming))) for name in PLACE_UNITS},
            {
                name: lanes.get(name, np.zeros(reactive if name == "transshipped" else count))
                for name in LANE_UNITS
            },
            average_capacities(network, volume),
        )

    @classmethod
    def _of_units(
        cls,
        network: TransferNetwork,
        places: dict[str, np.ndarray],
        lanes: dict[str, np.ndarray],
        limits: dict[str, Capacity],
    ) -> Scene:
        reactive = () if network.reactive is None else network.reactive.names
        asked, owed = ([*lanes[key].tolist(), *[0.0] * len(reactive)] for key in ("asked", "owed"))
        shipped = [*lanes["shipments"].tolist(), *lanes["transshipped"].tolist()]
        origins = network.lane_origin + [
            network.warehouses[n]
            for n in ([] if network.reactive is None else network.reactive.origin.tolist())
        ]
        ways = []
        for index, (name, origin, end) in enumerate(
            zip((*network.lanes, *reactive), origins, network.way_destination.tolist(), strict=True)
        ):
            own = limits.get(name)
            over = [limits[limit] for limit in (name, origin) if limit in limits]
            between = TRANSFER if index < len(network.lanes) else REACTIVE
            ways.append(
                Way(
                    name,
                    origin,
                    network.warehouses[end],
                    REPLENISHMENT if index < network.replenishments else between,
                    shipped[index],
                    asked[index],
                    owed[index],
                    min((limit.open for limit in over), default=1.0),
                    own is not None,
                    own is not None and own.full,
                    index >= len(network.lanes),
                )
            )
        sent = dict.fromkeys(network.suppliers, 0.0)
        for way in ways[: network.replenishments]:
            sent[way.origin] += way.shipped
        suppliers = [
            limits.get(name, Capacity(name, sent[name], math.inf, 1.0)) for name in network.suppliers
        ]
        known = {*network.lanes, *reactive, *network.suppliers, *network.warehouses}
        full, stored = _full(network)
        size = network.size.double().sum(0).cpu().numpy()
        columns = [full, stored, *(places[name] for name in PLACE_UNITS), size]
        gauges = [
            Gauge(name, *row)
            for name, *row in zip(network.warehouses, *(column.tolist() for column in columns), strict=True)
        ]
        return cls(
            gauges,
            ways,
            suppliers,
            [limit for name, limit in limits.items() if name not in known],
            float(size.max()),
        )

    @property
    def summary(self) -> str:
        demand, unmet = sum(gauge.demand for gauge in self.gauges), sum(gauge.unmet for gauge in self.gauges)
        return f"demand {short(demand)}, {1 - unmet / demand:.0%} met at once" if demand > 0 else ""


def _limits(
    network: TransferNetwork, flows: Flows | None, available: Tensor | None, replication: int
) -> dict[str, Capacity]:
    """Every capacity by name, with the volume that uses it."""
    limits: dict[str, Capacity] = {}
    share = None if available is None else available[:, replication : replication + 1]
    for limit in network.limits:
        now = limit.now(share).expand(-1, 1)[:, 0].double()
        used = torch.zeros_like(now)
        if flows is not None:
            moved = [(limit.group, flows.shipments), (limit.reactive_group, flows.transshipped)]
            for group, units in ((group, units) for group, units in moved if units is not None):
                used = used.index_add(
                    0, group, (units[..., replication] * network.volume[..., 0]).sum(0).double()
                )
        opened = (
            torch.ones_like(now) if limit.outage is None or share is None else share[limit.outage, 0].double()
        )
        for name, volume, most, part in zip(
            limit.names, used.tolist(), now.tolist(), opened.tolist(), strict=False
        ):
            limits[name] = Capacity(name, volume, math.inf if unlimited(most) else most, part)
    return limits


def average_scene(record: Totals) -> Scene:
    """The average period of a record."""
    places = {
        name: record.per_period(name).sum(0).mean(-1).cpu().numpy()
        for name in ("on_hand", "backorders", "unmet", "demand")
    }
    names = {"requested": "asked", "shipped": "shipments", "owed": "owed", "transshipped": "transshipped"}
    lanes = {
        key: record.per_lane(name).sum(0).mean(-1).cpu().numpy()
        for name, key in names.items()
        if name in record.lane_sums
    }
    moved = [
        record.per_lane(name) * record.network.volume
        for name in ("shipped", "transshipped")
        if name in record.lane_sums
    ]
    return Scene.average(record.network, places, lanes, torch.cat(moved, 1).sum(0).mean(-1).cpu().numpy())


def average_capacities(network: TransferNetwork, volume: np.ndarray) -> dict[str, Capacity]:
    """Every capacity by name, as if there were no outages, with what uses it of the volume that lanes and
    then reactive lanes carry."""
    limits: dict[str, Capacity] = {}
    for limit in network.limits:
        group = torch.cat([limit.group, limit.reactive_group]).cpu()
        used = torch.zeros(len(limit.capacity), dtype=torch.float64).index_add(
            0, group, torch.from_numpy(volume[: len(group)]).double()
        )
        for name, amount, most in zip(
            limit.names, used.tolist(), limit.capacity[:, 0].tolist(), strict=False
        ):
            limits[name] = Capacity(name, amount, math.inf if unlimited(most) else most, 1.0)
    return limits


def _full(network: TransferNetwork) -> tuple[np.ndarray, np.ndarray]:
    """Units in a full gauge, and whether that is the storage."""
    source = network.source_lane.cpu().numpy()
    lead_time = np.where(source >= 0, network.lead_time.cpu().numpy()[source] if len(network.lanes) else 0, 0)
    full = 2 * (lead_time + 1) * network.size.double().sum(0).cpu().numpy()
    full = np.maximum(full, network.initial_stock.double().sum((0, 2)).cpu().numpy())
    if network.storage is None:
        return full, np.zeros(len(full), dtype=bool)
    storage = network.storage.double().cpu().numpy().ravel()
    limited = ~unlimited(storage)
    return np.where(limited, storage / float(network.volume.mean()), full), limited
