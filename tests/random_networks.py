"""Networks at random, as scenario data, and luck to play them with: what the laws are tried on."""

from __future__ import annotations

from random import Random
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from marl_inv.network import TransferNetwork
from marl_inv.simulator import Chance, Decision

PERIODS, REPLICATIONS = 4, 5

FEATURES = (
    "limits",
    "pools",
    "storage",
    "backorders",
    "waiting",
    "rules",
    "reserves",
    "owed",
    "order_delay",
    "order_sizes",
    "reviews",
    "random_lead_times",
    "delays",
    "outages",
    "reactive",
    "promotions",
    "on_the_way",
    "transfer_prices",
    "vehicles",
    "objectives",
    "integer",
)
"""What a network may have besides stock, lanes and costs. Each is there or not, and then at some of the
places where it can be."""

PER_PRODUCT = (
    "initial_stock",
    "holding_cost",
    "shortage_cost",
    "overflow_cost",
    "price",
    "salvage_value",
    "max_reserve",
    "procurement_cost",
    "transport_cost",
    "in_transit_cost",
    "transfer_price",
    "initial_shipments",
    "initial_orders",
    "minimum_order",
    "pack_size",
)
"""Fields that the networks here list product by product."""

RULES = ("proportional", "priority", "even", "full_shipment")

Data = dict[str, Any]


@st.composite
def scenarios(draw: st.DrawFn, without: tuple[str, ...] = ()) -> Data:
    """Any mix of features on up to 5 warehouses, 2 suppliers, 9 lanes, 4 reactive lanes and 3 products; never
    the features in `without`."""
    has = {feature: feature not in without and draw(st.booleans(), label=feature) for feature in FEATURES}
    sizes = [
        draw(st.integers(*bounds))
        for bounds in ((1, 3), (0, 2), (1, 5), (0, 9), (0, 4 * has["reactive"]), (0, 2 * has["pools"]))
    ]
    return _Maker(has, Random(draw(st.integers(0, 2**32 - 1), label="entries"))).scenario(*sizes)


class _Maker:
    def __init__(self, has: dict[str, bool], random: Random) -> None:
        self.has, self.random, self.products = has, random, 1

    def some(self, feature: str | None = None, of: float = 0.5, **fields: Any) -> Data:
        """The fields, if the network has the feature, at some of the places."""
        return fields if (feature is None or self.has[feature]) and self.random.random() < of else {}

    def each(self, *sizes: float) -> list[float]:
        """A size for every product."""
        return [self.random.choice(sizes or (0, 1, 4, 25)) for _ in range(self.products)]

    def scenario(
        self, products: int, suppliers: int, warehouses: int, lanes: int, reactive: int, pools: int
    ) -> Data:
        self.products, choice = products, self.random.choice
        places = {
            "suppliers": [f"supplier_{s}" for s in range(suppliers)],
            "warehouses": [f"warehouse_{n}" for n in range(warehouses)],
        }
        data: Data = {
            "products": [{"name": f"product_{k}", "volume": choice([1.0, 2.5])} for k in range(products)],
            "suppliers": [
                {"name": name} | self.some("limits", capacity=choice([0.7, 3.0, 11.0]))
                for name in places["suppliers"]
            ],
            "warehouses": [self.warehouse(name) for name in places["warehouses"]],
            "lanes": [],
            "quantities": "integer" if self.has["integer"] else "continuous",
        }
        data |= self.rules()
        for e in range(lanes + reactive):
            destination = choice(places["warehouses"])
            origins = [
                name
                for name in places["suppliers"] * (e < lanes) + places["warehouses"]
                if name != destination
            ]
            if origins:
                lane = {"name": f"lane_{e}", "origin": choice(origins), "destination": destination}
                data["lanes"].append(
                    lane | (self.lane(lane["origin"]) if e < lanes else self.reactive_lane())
                )
        for name in places["warehouses"]:  # priority rationing wants some lane to have one
            outbound = [lane for lane in data["lanes"] if lane["origin"] == name and "reactive" not in lane]
            if outbound and all("priority" not in lane for lane in outbound):
                outbound[0]["priority"] = 1
        names = [lane["name"] for lane in data["lanes"]]
        if names:
            data["pools"] = [
                {
                    "name": f"pool_{p}",
                    "lanes": self.random.sample(names, self.random.randint(1, len(names))),
                    "capacity": choice([1.3, 9.0]),
                }
                for p in range(pools)
            ]
        data["events"] = self.events(
            places["suppliers"]
            + places["warehouses"]
            + names
            + [pool["name"] for pool in data.get("pools", [])]
        )
        return data

    def warehouse(self, name: str) -> Data:
        choice = self.random.choice
        promotion = {"max_level": 2.0, "uplift": 0.5, "cost": 3.0, "decided": choice([True, False])}
        promotion |= self.some(dip=choice([0.3, 0.9]), recovery=choice([0.0, 0.6])) | self.some(
            planned={"first": 0, "every": 2, "level": 1.5}
        )
        stock, unmet = self.each(), choice(["lost", "backordered"]) if self.has["backorders"] else "lost"
        if unmet == "backordered" and self.some("waiting", waits=True):
            stock = self.each(0, 4, -3, -11)
        return (
            {
                "name": name,
                "initial_stock": stock,
                "holding_cost": self.each(),
                "shortage_cost": self.each(),
                "overflow_cost": self.each(),
                "price": self.each(),
                "salvage_value": self.each(0, 2),
                "unmet_demand": unmet,
            }
            | self.some(
                "storage",
                0.8,
                storage=2.5 * sum(max(units, 0) for units in stock) + choice([1.3, 20.0]),
                overflow=choice(["discarded", "kept"]),
            )
            | self.some("reserves", max_reserve=self.each(0, 3, 20))
            | self.some("rules", 0.7, rationing=choice(RULES))
            | self.some("promotions", promotion=promotion)
        )

    def rules(self) -> Data:
        choice = self.random.choice
        parts = ("holding", "shortage", "procurement", "revenue", "shortfall", "utility", "transfer_payment")
        return (
            {"ending": "finite"}
            | self.some("rules", 0.7, rationing=choice(RULES))
            | self.some("objectives", objective=choice(["cost", "profit", "service", "utility"]))
            | self.some(
                "objectives",
                weights={part: choice([0.0, 0.5, 2.0, -1.0]) for part in parts if self.random.random() < 0.4},
            )
            | self.some("objectives", service={"fill_rate": 0.9, "price": 7.0})
            | self.some("objectives", utility={"stock_weight": 0.3, "log": choice(["log1p", "log"])})
            | self.some("objectives", holding_on="opening")
        )

    def lane(self, origin: str) -> Data:
        choice = self.random.choice
        supplied = origin.startswith("supplier")
        fields: Data = {
            "lead_time": choice([0, 1, 2, 3]),
            "transport_cost": self.each(),
            "in_transit_cost": self.each(0, 1),
        }
        fields |= (
            {"procurement_cost": self.each()}
            if supplied
            else self.some("transfer_prices", transfer_price=self.each())
        )
        fields |= self.some("random_lead_times", lead_time={"values": choice([[0, 2], [1, 2, 4], [3]])})
        fields |= self.some("limits", 0.3, capacity=choice([0.7, 3.0, 11.0])) | self.some(
            "owed", unfilled="owed"
        )
        fields |= self.some("order_delay", order_delay=choice([1, 2])) | self.some(
            "rules", priority=choice([1, 2])
        )
        fields |= self.some("order_sizes", minimum_order=self.each(0, 2, 7)) | self.some(
            "order_sizes", pack_size=self.each(0, 2, 5)
        )
        fields |= self.some("reviews", review_period=3, first_review=choice([0, 2]))
        if fields["lead_time"] != 0:
            fields |= self.some("on_the_way", initial_shipments=self.each(0, 1, 4))
        fields |= self.some(
            "on_the_way",
            initial_arrivals=[{"period": choice([0, 1, 5]), "units": choice([1, 4])} for _ in range(2)],
        )
        if "order_delay" in fields:
            fields |= self.some("on_the_way", initial_orders=self.each(0, 1, 4))
        return fields | self.fixed_costs()

    def reactive_lane(self) -> Data:
        """At a cost of its own, so that no two lanes save the same."""
        cost = [2 * self.random.random() for _ in range(self.products)]
        price = self.some("transfer_prices", transfer_price=self.each())
        limit = self.some("limits", 0.3, capacity=self.random.choice([0.7, 3.0, 11.0]))
        return {"reactive": True, "transport_cost": cost} | limit | price | self.fixed_costs()

    def fixed_costs(self) -> Data:
        return self.some("vehicles", shipment_cost=5.0) | self.some(
            "vehicles", vehicle_cost=3.0, vehicle_capacity=self.random.choice([0.8, 7.0])
        )

    def events(self, names: list[str]) -> list[Data]:
        targets = self.random.sample(names, min(len(names), 3))
        outages = (
            [{"kind": "outage", "at": [1], "targets": targets}] if self.has["outages"] and targets else []
        )
        return outages + ([{"kind": "delay", "at": [1], "periods": 2}] if self.has["delays"] else [])


def takes(lane: Data, period: int) -> bool:
    """Whether a lane takes requests in a period."""
    return (period - lane.get("first_review", 0)) % lane.get("review_period", 1) == 0


def luck(
    scenario: Data, net: TransferNetwork, seed: int, replications: int = REPLICATIONS
) -> tuple[list[Decision], list[Chance]]:
    """Random decisions, with requests from none to huge, and random chance, with periods and places without
    any demand."""
    generator = torch.Generator().manual_seed(seed)
    lane_of = {lane["name"]: lane for lane in scenario["lanes"]}
    hit = len(dict.fromkeys(name for event in scenario["events"] for name in event.get("targets", [])))
    delays = [
        delay
        for delay in (0, 2)
        if not delay or any(event["kind"] == "delay" for event in scenario["events"])
    ]
    products, warehouses = len(net.products), len(net.warehouses)

    def pick(sizes: list[float], *shape: int) -> Tensor:
        return torch.tensor(sizes, dtype=torch.float64)[
            torch.randint(len(sizes), shape, generator=generator)
        ].to(net.volume)

    def uniform(sizes: list[float], *shape: int) -> Tensor:
        return pick(sizes, *shape) * torch.rand(shape, generator=generator, dtype=torch.float64).to(
            net.volume
        )

    def decision() -> Decision:
        requests = uniform([0, 0, 0.1, 5, 5, 50, 1e5], products, len(net.lanes), replications)
        promotion = (
            None
            if net.max_promotion is None
            else uniform([0, 1], products, warehouses, replications) * net.max_promotion
        )
        reserve = (
            None
            if net.max_reserve is None
            else uniform([0, 1], products, warehouses, replications) * net.max_reserve.unsqueeze(-1)
        )
        return Decision(requests, promotion, reserve)

    def lead_times() -> Tensor:
        rows = [lane_of[name]["lead_time"] for name in net.lanes]
        values = [row["values"] if isinstance(row, dict) else [row] for row in rows]
        picked = [
            pick([value + delay for value in each for delay in delays], replications) for each in values
        ]
        return torch.stack(picked).long() if picked else torch.zeros(0, replications, dtype=torch.long)

    def chance(period: int) -> Chance:
        demand = uniform([0, 3, 10, 40], products, warehouses, replications)
        varied = len(delays) > 1 or any(
            isinstance(lane["lead_time"], dict) for lane in scenario["lanes"] if "reactive" not in lane
        )
        planned = [
            1.5 * (period % 2 == 0 and "planned" in warehouse.get("promotion", {}))
            for warehouse in scenario["warehouses"]
        ]
        return Chance(
            demand=demand.round() if net.integer else demand,
            lead_time=lead_times() if varied else None,
            available=torch.cat(
                [pick([0, 0.5, 1], hit, replications), torch.ones(1, replications).to(net.volume)]
            )
            if hit
            else None,
            takes_requests=torch.tensor([takes(lane_of[name], period) for name in net.lanes]).reshape(-1, 1)
            if any("review_period" in lane_of[name] for name in net.lanes)
            else None,
            promotion=torch.tensor(planned).to(net.volume).unsqueeze(-1) if any(planned) else None,
            last=period == PERIODS - 1,
        )

    return [decision() for _ in range(PERIODS)], [chance(period) for period in range(PERIODS)]
