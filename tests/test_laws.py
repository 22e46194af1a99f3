"""What holds for any network, any requests and any luck: units, limits, money, batches, names, gradients, and
again the same.

250 networks meet the laws of a period, fewer the others. `MARL_INV_EXAMPLES=20000 pytest tests/test_laws.py`
tries eighty times as many.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from building import network
from marl_inv.network import TransferNetwork
from marl_inv.scenario.objective import COST_PARTS, INCOME_PARTS
from marl_inv.simulator import Chance, Costs, Decision, Flows, State, initial_state, inventory_position, step
from marl_inv.simulator.rationing import ration
from random_networks import PER_PRODUCT, PERIODS, REPLICATIONS, Data, luck, scenarios, takes

EXAMPLES = int(os.environ.get("MARL_INV_EXAMPLES", "250"))

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
"""Relative to the largest quantity that a test adds up."""

dtypes = st.sampled_from([torch.float64, torch.float32])
seeds = st.integers(0, 2**32 - 1)


@dataclass(frozen=True)
class Period:
    number: int
    before: State
    decision: Decision
    chance: Chance
    after: State
    flows: Flows
    costs: Costs


def played(net: TransferNetwork, decisions: list[Decision], chances: list[Chance]) -> list[Period]:
    state, periods = initial_state(net, chances[0].demand.shape[-1]), []
    for number, (decision, chance) in enumerate(zip(decisions, chances, strict=True)):
        after, flows, costs = step(net, state, decision, chance)
        periods.append(Period(number, state, decision, chance, after, flows, costs))
        state = after
    return periods


def close(left: Tensor, right: Tensor, size: Tensor) -> bool:
    """Whether the difference is float noise, next to the size of what was added up."""
    return (
        bool(((left - right).abs() <= TOLERANCE[left.dtype] * (1 + size.abs().max())).all())
        if left.numel()
        else True
    )


def within(used: Tensor, limit: Tensor | float, size: Tensor | float = 1.0) -> bool:
    """Whether a limit is kept, to float noise, next to the size of what it was worked out from."""
    return bool((used <= limit * (1 + TOLERANCE[used.dtype]) + TOLERANCE[used.dtype] * size).all())


@dataclass(frozen=True)
class Laws:
    """The laws of a period, told from the scenario's own words: no rate, order or rule is taken from the
    network under test."""

    scenario: Data
    net: TransferNetwork
    periods: list[Period]

    @property
    def ways(self) -> list[Data]:
        """Lanes and reactive lanes, in the network's order."""
        lane_of = {lane["name"]: lane for lane in self.scenario["lanes"]}
        return [
            lane_of[name]
            for name in (*self.net.lanes, *(self.net.reactive.names if self.net.reactive else ()))
        ]

    def moved(self, flows: Flows) -> Tensor:
        return (
            flows.shipments
            if flows.transshipped is None
            else torch.cat([flows.shipments, flows.transshipped], dim=1)
        )

    def row(self, name: str) -> int:
        return self.net.warehouses.index(name)

    def rates(self, entry: Data, key: str) -> Tensor:
        """A field that is listed by product: (K, 1)."""
        return torch.tensor(
            entry.get(key, [0.0] * len(self.net.products)), dtype=self.net.volume.dtype
        ).reshape(-1, 1)

    def lead_time(self, period: Period, e: int) -> Tensor:
        fixed, given = self.ways[e]["lead_time"], period.chance.lead_time
        return torch.full((REPLICATIONS,), fixed) if given is None else given[e]

    def whole(self, units: Tensor | None) -> Tensor:
        """Reserves and requests as they count."""
        if units is None:
            return torch.zeros(len(self.net.products), len(self.net.warehouses), 1).to(self.net.volume)
        return units.round() if self.scenario["quantities"] == "integer" else units

    def level_after_demand(self, period: Period) -> Tensor:
        """Before anything moves along reactive lanes: what was there, less what left, plus what arrived at
        once, less demand."""
        level = period.before.inventory_level - period.flows.demand
        for e, lane in enumerate(self.ways[: len(self.net.lanes)]):
            shipped = period.flows.shipments[:, e]
            if lane["origin"] in self.net.warehouses:
                level[:, self.row(lane["origin"])] -= shipped
            level[:, self.row(lane["destination"])] += shipped * (self.lead_time(period, e) == 0)
        return level

    # Units

    def units_are_conserved(self, period: Period) -> None:
        """Opening stock + on the way + shipped by suppliers = closing stock + on the way + served, old
        backorders too, + discarded."""
        before, after, flows = period.before, period.after, period.flows
        there = (
            before.on_hand.sum(1)
            + before.in_transit.sum(1)
            + flows.shipments[:, : self.net.replenishments].sum(1)
        )
        here = after.on_hand.sum(1) + after.in_transit.sum(1) + flows.served.sum(1) + flows.discarded.sum(1)
        assert close(there, here, there)
        assert (flows.served >= -TOLERANCE[there.dtype] * (1 + there.max())).all()
        for units in (
            flows.shipments,
            after.pipeline,
            flows.receipts,
            flows.lost,
            flows.discarded,
            flows.refused,
            self.moved(flows),
        ):
            assert (units >= 0).all()
        assert within(flows.discarded, flows.overflow)
        assert within(flows.discarded, flows.receipts, 1 + flows.on_hand.max())

    def integer_units_are_whole(self, period: Period) -> None:
        if self.scenario["quantities"] == "integer":
            flows, after = period.flows, period.after
            for units in (
                self.moved(flows),
                flows.owed,
                flows.demand,
                flows.lost,
                flows.discarded,
                after.inventory_level,
                after.pipeline,
            ):
                assert units is None or torch.equal(units, units.round())

    def goods_arrive_in_time(self) -> None:
        """What left in t with lead time L is received at the end of t + L - 1; at once if L is 0. The rest is
        on its way."""
        longest = PERIODS + self.net.longest_lead_time + 1
        due = torch.zeros(len(self.net.products), longest, len(self.net.warehouses), REPLICATIONS).to(
            self.net.volume
        )
        for lane in self.ways[: len(self.net.lanes)]:
            lead_time = lane["lead_time"]
            lead_time = (
                round(sum(lead_time["values"]) / len(lead_time["values"]))
                if isinstance(lead_time, dict)
                else lead_time
            )
            due[:, :lead_time, self.row(lane["destination"])] += self.rates(
                lane, "initial_shipments"
            ).unsqueeze(1)
            for arrival in lane.get("initial_arrivals", []):
                due[:, arrival["period"], self.row(lane["destination"])] += arrival["units"]
        opening = torch.stack(
            [self.rates(warehouse, "initial_stock") for warehouse in self.scenario["warehouses"]], dim=1
        )
        assert close(self.periods[0].before.inventory_level, opening + due[:, 0], due)
        for period in self.periods:
            for e, lane in enumerate(self.ways[: len(self.net.lanes)]):
                for lead_time in range(1, self.net.longest_lead_time + 1):
                    leaves = self.lead_time(period, e) == lead_time
                    due[:, period.number + lead_time, self.row(lane["destination"])] += (
                        period.flows.shipments[:, e] * leaves
                    )
            assert close(period.flows.receipts, due[:, period.number + 1], due)
            assert close(period.after.in_transit, due[:, period.number + 2 :].sum(1), due)

    def requests_are_taken_as_lanes_take_them(self, period: Period) -> None:
        """In whole packs, the nearest; none for less than the least, or in a period without review."""
        integer = self.scenario["quantities"] == "integer"
        for e, lane in enumerate(self.ways[: len(self.net.lanes)]):
            asked, taken = period.decision.requests[:, e], period.flows.requests[:, e]
            pack, least = self.rates(lane, "pack_size"), self.rates(lane, "minimum_order")
            noise = 4 * TOLERANCE[asked.dtype] * (1 + asked)
            off = torch.where(pack > 0, pack / 2, torch.full_like(pack, 0.5 * integer)) + noise
            packs = taken / torch.where(pack > 0, pack, torch.ones_like(pack))
            assert ((pack == 0) | ((packs - packs.round()).abs() <= noise)).all()
            assert ((taken == 0) | (taken >= least - noise)).all()
            if takes(lane, period.number):
                assert (((taken - asked).abs() <= off) | ((taken == 0) & (asked < least + off))).all()
            else:
                assert not taken.any()

    def requests_are_heard_and_answered(self) -> None:
        """An origin hears of a request after the order delay; what is asked is shipped, owed or refused, and
        on owed lanes never refused."""
        shape = (len(self.net.products), PERIODS + 3, len(self.net.lanes), REPLICATIONS)
        heard = torch.zeros(shape).to(self.net.volume)
        for e, lane in enumerate(self.ways[: len(self.net.lanes)]):
            heard[:, : lane.get("order_delay", 0), e] += self.rates(lane, "initial_orders").unsqueeze(1)
        owed = torch.zeros_like(heard[:, 0])
        for period in self.periods:
            flows = period.flows
            for e, lane in enumerate(self.ways[: len(self.net.lanes)]):
                heard[:, period.number + lane.get("order_delay", 0), e] += flows.requests[:, e]
            assert close(flows.asked, heard[:, period.number] + owed, flows.asked)
            owed = torch.zeros_like(owed) if flows.owed is None else flows.owed
            for e, lane in enumerate(self.ways[: len(self.net.lanes)]):
                answered = flows.shipments[:, e] + owed[:, e] + flows.refused[:, e]
                if self.rule(lane["origin"]) == "full_shipment":
                    assert within(flows.asked[:, e], answered, flows.asked.sum())
                else:
                    assert close(flows.asked[:, e], answered, flows.asked)
                    assert within(flows.shipments[:, e], flows.asked[:, e])
                assert not (flows.refused if lane.get("unfilled") == "owed" else owed)[:, e].any()

    def demand_is_promoted(self) -> None:
        """Level x multiplies demand by 1 + uplift x; in the following periods by 1 - dip x, 1 - dip x
        recovery.. (at least 0)."""
        past = torch.zeros_like(self.periods[0].chance.demand)
        for period in self.periods:
            expected, level = period.chance.demand.clone(), torch.zeros_like(past)
            for n, warehouse in enumerate(self.scenario["warehouses"]):
                promotion = warehouse.get("promotion", {"uplift": 0.0, "decided": False})
                if promotion["decided"] and period.decision.promotion is not None:
                    level[:, n] = period.decision.promotion[:, n]
                if "planned" in promotion and period.number % 2 == 0:
                    level[:, n] = level[:, n].clamp(min=promotion["planned"]["level"])
                slump = (1 - promotion.get("dip", 0) * past[:, n]).clamp(min=0)
                expected[:, n] *= (1 + promotion["uplift"] * level[:, n]) * slump
                past[:, n] = promotion.get("recovery", 0) * past[:, n] + level[:, n]
            if self.scenario["quantities"] == "integer":
                near = (expected - period.flows.demand).abs() <= 0.5 + TOLERANCE[expected.dtype] * (
                    1 + expected.abs()
                )
                assert near.all()
            else:
                assert close(period.flows.demand, expected, expected)

    def unmet_demand_is_lost_or_waits(self, period: Period) -> None:
        for n, warehouse in enumerate(self.scenario["warehouses"]):
            if warehouse["unmet_demand"] == "lost":
                assert (period.after.inventory_level[:, n] >= 0).all()
            else:
                assert not period.flows.lost[:, n].any()

    # Limits

    def rule(self, place: str) -> str | None:
        """By which a warehouse shares its stock; None for a supplier."""
        own = {warehouse["name"]: warehouse.get("rationing") for warehouse in self.scenario["warehouses"]}
        return own[place] or self.scenario.get("rationing", "proportional") if place in own else None

    def no_limit_is_exceeded(self, period: Period) -> None:
        """Of lanes, pools, suppliers and warehouses, as far as they are available, by shipments and reactive
        moves together."""
        hit = dict.fromkeys(name for event in self.scenario["events"] for name in event.get("targets", []))
        left = (
            {} if period.chance.available is None else dict(zip(hit, period.chance.available, strict=False))
        )
        carried = dict(
            zip(
                (way["name"] for way in self.ways),
                (self.moved(period.flows) * self.net.volume).sum(0),
                strict=True,
            )
        )
        places = [*self.scenario["suppliers"], *self.scenario["warehouses"]]
        leaving = {
            place["name"]: [lane["name"] for lane in self.ways if lane["origin"] == place["name"]]
            for place in places
        }
        of_pool = {pool["name"]: pool["lanes"] for pool in self.scenario.get("pools", [])}
        for entry in (*self.scenario["lanes"], *self.scenario.get("pools", []), *places):
            lanes = ({way["name"]: [way["name"]] for way in self.ways} | of_pool | leaving)[entry["name"]]
            volume = (
                torch.stack([carried[lane] for lane in lanes]).sum(0)
                if lanes
                else torch.zeros(REPLICATIONS).to(self.net.volume)
            )
            assert within(
                volume, entry.get("capacity", 1e30) * left.get(entry["name"], torch.ones_like(volume))
            )

    def nobody_ships_what_it_does_not_have(self, period: Period) -> None:
        """Stock at the origin, less its reserve unless it is a cross-dock; reactive lanes: surplus, less the
        reserve, to where it is short."""
        on_hand, flows, reserve = period.before.on_hand, period.flows, self.whole(period.decision.reserve)
        level = self.level_after_demand(period)
        size = 1 + on_hand.sum() + flows.demand.sum() + flows.shipments.sum()
        asking = len(self.net.lanes)
        for n, warehouse in enumerate(self.scenario["warehouses"]):
            free = (
                on_hand
                if self.rule(warehouse["name"]) == "full_shipment"
                else (on_hand - reserve).clamp(min=0)
            )
            leaving = [e for e, way in enumerate(self.ways) if way["origin"] == warehouse["name"]]
            entering = [e for e, way in enumerate(self.ways) if way["destination"] == warehouse["name"]]
            moved = self.moved(flows)
            assert within(moved[:, [e for e in leaving if e < asking]].sum(1), free[:, n])
            assert within(
                moved[:, [e for e in leaving if e >= asking]].sum(1),
                (level - reserve).clamp(min=0)[:, n],
                size,
            )
            assert within(
                moved[:, [e for e in entering if e >= asking]].sum(1), (-level).clamp(min=0)[:, n], size
            )

    def storage_is_kept(self, period: Period) -> None:
        """Where it was kept to when the period began: what is on its way before the first period may be too
        much for it. It is full when anything is discarded, but for what a whole unit would not fit into."""
        gap = 2.5 if self.scenario["quantities"] == "integer" else 0.0
        for n, warehouse in enumerate(self.scenario["warehouses"]):
            if "storage" in warehouse and warehouse["overflow"] == "discarded":
                held_before, held = (
                    (state.on_hand * self.net.volume).sum(0)[n] for state in (period.before, period.after)
                )
                size = 1 + period.flows.receipts.max() + period.flows.demand.max()
                assert within(held * (held_before <= warehouse["storage"]), warehouse["storage"], size)
                room = (warehouse["storage"] - held) * period.flows.discarded[:, n].any(0)
                assert within(room, gap, size + warehouse["storage"])
            else:
                assert not period.flows.discarded[:, n].any()

    # Money

    def money_adds_up(self, period: Period) -> None:
        """Every part is worked out again from the flows and the scenario, and the reward from the parts."""
        expected = self.stock_money(period) | self.lane_money(period)
        for part in (*COST_PARTS, *INCOME_PARTS):
            given, due = getattr(period.costs, part), expected[part]
            assert close(given, due, 1e3 * due), part
        weights = self.net.weights
        reward = sum(weights[part] * expected[part] for part in INCOME_PARTS) - sum(
            weights[part] * expected[part] for part in COST_PARTS
        )
        assert close(period.costs.reward, reward, sum(1e3 * expected[part].abs() for part in expected))
        assert close(
            period.costs.transfer_payment.sum((0, 1)),
            torch.zeros(REPLICATIONS).to(reward),
            expected["transfer_payment"],
        )

    def stock_money(self, period: Period) -> dict[str, Tensor]:
        flows, warehouses = period.flows, self.scenario["warehouses"]

        def rate(key: str) -> Tensor:
            return torch.stack([self.rates(warehouse, key) for warehouse in warehouses], dim=1)

        def of(key: str, default: float) -> Tensor:
            return torch.tensor(
                [warehouse.get(key, default) for warehouse in warehouses], dtype=self.net.volume.dtype
            ).unsqueeze(1)

        opening = self.scenario.get("holding_on") == "opening"
        owed, replenished = torch.zeros_like(flows.demand), torch.zeros_like(flows.demand)
        for e, lane in enumerate(self.ways[: len(self.net.lanes)]):
            replenished[:, self.row(lane["destination"])] += flows.shipments[:, e]
            if lane["origin"] in self.net.warehouses and flows.owed is not None:
                owed[:, self.row(lane["origin"])] += flows.owed[:, e]
        held = (flows.level + flows.receipts).clamp(min=0)
        volume = (held * self.net.volume).sum(0)
        keeps = (
            torch.tensor([warehouse.get("overflow") == "kept" for warehouse in warehouses])
            .to(volume)
            .unsqueeze(1)
        )
        kept = keeps * held * ((volume - of("storage", 1e30)).clamp(min=0) / volume.clamp(min=1e-9))
        costs = (
            torch.tensor([warehouse.get("promotion", {}).get("cost", 0.0) for warehouse in warehouses])
            .to(volume)
            .unsqueeze(1)
        )
        service = self.scenario.get("service", {"fill_rate": 0.95, "price": 10.0})
        floor = self.scenario.get("objective") == "service" or self.scenario.get("weights", {}).get(
            "shortfall", 0
        )
        utility = self.scenario.get("utility", {"stock_weight": 0.1, "log": "log1p"})
        gained = replenished.log1p() if utility["log"] == "log1p" else replenished.clamp(min=0.001).log()
        nothing = torch.zeros_like(flows.demand)
        return {
            "holding": rate("holding_cost") * (period.before.on_hand if opening else flows.on_hand),
            "shortage": rate("shortage_cost") * (flows.lost + flows.backorders + owed),
            "overflow": rate("overflow_cost") * (flows.discarded + kept),
            "promotion": nothing if flows.promotion is None else costs * flows.promotion,
            "shortfall": service["price"]
            * (flows.unmet - (1 - service["fill_rate"]) * flows.demand).clamp(min=0)
            if floor
            else nothing,
            "revenue": rate("price") * flows.served,
            "salvage": rate("salvage_value") * period.after.on_hand * period.chance.last,
            "utility": gained - utility["stock_weight"] * flows.on_hand
            if self.net.weights["utility"]
            else nothing,
        }

    def lane_money(self, period: Period) -> dict[str, Tensor]:
        names = ("procurement", "transport", "in_transit", "shipment", "vehicle", "transfer_payment")
        parts = {name: torch.zeros_like(period.flows.demand) for name in names}
        for e, way in enumerate(self.ways):
            units, to = self.moved(period.flows)[:, e], self.row(way["destination"])
            parts["procurement"][:, to] += self.rates(way, "procurement_cost") * units
            parts["transport"][:, to] += self.rates(way, "transport_cost") * units
            if e < len(self.net.lanes):
                parts["in_transit"][:, to] += (
                    self.rates(way, "in_transit_cost") * units * self.lead_time(period, e)
                )
            parts["transfer_payment"][:, to] += self.rates(way, "transfer_price") * units
            if way["origin"] in self.net.warehouses:
                parts["transfer_payment"][:, self.row(way["origin"])] -= (
                    self.rates(way, "transfer_price") * units
                )
            load = (units * self.net.volume[:, 0]).sum(0)
            share = units * self.net.volume[:, 0] / load.clamp(min=1e-9)
            used = load > self.net.least_load[e]
            parts["shipment"][:, to] += way.get("shipment_cost", 0.0) * used * share
            vehicles = (load / way.get("vehicle_capacity", 1e30) * (1 - 1e-12)).ceil().clamp(min=1)
            parts["vehicle"][:, to] += way.get("vehicle_cost", 0.0) * used * vehicles * share
        return parts


@given(scenarios(), seeds, dtypes)
@settings(max_examples=EXAMPLES)
def test_units_limits_and_money_of_every_period(scenario: Data, seed: int, dtype: torch.dtype):
    net = network(scenario, dtype)
    laws = Laws(scenario, net, played(net, *luck(scenario, net, seed)))
    for period in laws.periods:
        laws.units_are_conserved(period)
        laws.requests_are_taken_as_lanes_take_them(period)
        laws.integer_units_are_whole(period)
        laws.unmet_demand_is_lost_or_waits(period)
        laws.no_limit_is_exceeded(period)
        laws.nobody_ships_what_it_does_not_have(period)
        laws.storage_is_kept(period)
        if dtype is torch.float64:
            laws.money_adds_up(period)
    laws.goods_arrive_in_time()
    laws.requests_are_heard_and_answered()
    laws.demand_is_promoted()


UNLIMITED = ("limits", "pools", "outages", "storage")


@given(scenarios(without=UNLIMITED), seeds)
@settings(max_examples=EXAMPLES // 5)
def test_stock_is_shared_by_the_origins_rule(scenario: Data, seed: int):
    """As much is shipped as can be, and: in proportion; nothing to the next priority before the first has
    all; to nobody more than to one who still wants some; or all there is. Whole units may be one off."""
    net = network(scenario)
    laws = Laws(scenario, net, played(net, *luck(scenario, net, seed)))
    one = float(net.integer)
    for period in laws.periods:
        reserve = laws.whole(period.decision.reserve)
        for n, warehouse in enumerate(net.warehouses):
            lanes = [e for e, lane in enumerate(laws.ways[: len(net.lanes)]) if lane["origin"] == warehouse]
            asked, shipped = period.flows.asked[:, lanes], period.flows.shipments[:, lanes]
            on_hand, total, rule = period.before.on_hand[:, n], asked.sum(1), laws.rule(warehouse)
            free = (
                on_hand
                if rule == "full_shipment"
                else torch.minimum((on_hand - reserve[:, n]).clamp(min=0), total)
            )
            if not lanes:
                continue
            assert close(shipped.sum(1), free, free)
            if rule in ("proportional", "full_shipment"):
                parts = torch.where(
                    (total > 1e-9).unsqueeze(1), asked / total.clamp(min=1e-9).unsqueeze(1), 1 / len(lanes)
                )
                assert (
                    (shipped - parts * free.unsqueeze(1)).abs() <= one + 1e-9 * (1 + free.unsqueeze(1))
                ).all()
            unfilled = asked - shipped
            for i, first in enumerate(lanes):
                for j, second in enumerate(lanes):
                    ranks = [laws.ways[lane].get("priority", 3) for lane in (first, second)]
                    if rule == "priority" and ranks[0] < ranks[1]:
                        assert close(
                            torch.minimum(unfilled[:, i], shipped[:, j]), torch.zeros_like(free), asked
                        )
                    if rule == "even":
                        envied = torch.minimum(unfilled[:, i], shipped[:, j] - shipped[:, i])
                        assert (envied <= one + 1e-12 * (1 + asked.max())).all()


@given(scenarios(without=UNLIMITED), seeds)
@settings(max_examples=EXAMPLES // 5)
def test_reactive_lanes_move_all_that_saves_money_and_nothing_else(scenario: Data, seed: int):
    net = network(scenario)
    if net.reactive is None:
        return
    for period in played(net, *luck(scenario, net, seed)):
        flows, reserve = period.flows, Laws(scenario, net, []).whole(period.decision.reserve)
        surplus, short = (flows.on_hand - reserve).clamp(min=0), flows.lost + flows.backorders
        saves = net.reactive.saving > 0
        assert not (flows.transshipped * ~saves).any()
        left = torch.minimum(surplus[:, net.reactive.origin], short[:, net.reactive.destination]) * saves
        assert close(left, torch.zeros_like(left), period.before.on_hand + flows.demand + flows.receipts)


@given(scenarios(without=("waiting",)), seeds)
@settings(max_examples=EXAMPLES // 10)
def test_backorders_come_from_customers_only(scenario: Data, seed: int):
    """Without demand nobody ever has a backorder, whatever is asked for."""
    net = network(scenario)
    decisions, chances = luck(scenario, net, seed)
    for period in played(
        net, decisions, [replace(chance, demand=torch.zeros_like(chance.demand)) for chance in chances]
    ):
        assert not period.after.backorders.any()
        assert not period.flows.backorders.any()


def tensors(record: Any) -> dict[str, Tensor]:
    return {name: value for name, value in vars(record).items() if isinstance(value, Tensor)}


def column(record: Any, i: int) -> Any:
    """Replication i of a decision or a chance, as a batch of one."""
    several = {name: value for name, value in tensors(record).items() if value.shape[-1] > 1}
    return replace(record, **{name: value[..., i : i + 1].contiguous() for name, value in several.items()})


def alone(net: TransferNetwork, decisions: list[Decision], chances: list[Chance], i: int) -> list[Period]:
    return played(
        net, [column(decision, i) for decision in decisions], [column(chance, i) for chance in chances]
    )


def same_bits(one: Period, many: Period, i: int) -> bool:
    """Whether a batch of one is replication i of a batch, bit for bit, in every field."""
    pairs = [(one.after, many.after), (one.flows, many.flows), (one.costs, many.costs)]
    return all(
        torch.equal(value, tensors(right)[name][..., i : i + 1])
        for left, right in pairs
        for name, value in tensors(left).items()
    )


@given(scenarios(), seeds, dtypes)
@settings(max_examples=EXAMPLES // 5)
def test_a_batch_of_one_is_a_column_of_a_batch_bit_for_bit(scenario: Data, seed: int, dtype: torch.dtype):
    net = network(scenario, dtype)
    decisions, chances = luck(scenario, net, seed)
    batch = played(net, decisions, chances)
    for i in (0, REPLICATIONS - 1):
        for one, many in zip(alone(net, decisions, chances, i), batch, strict=True):
            assert same_bits(one, many, i)
            assert torch.equal(
                inventory_position(net, one.after), inventory_position(net, many.after)[..., i : i + 1]
            )


@pytest.mark.parametrize("products", [1, 9, 20, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_products_and_periods_on_the_way_add_up_the_same_in_any_batch(products: int, dtype: torch.dtype):
    """Sums over 9 products and more, and over 12 periods of pipeline, are where torch changes the order with
    the size of the batch."""
    scenario = {
        "products": {"count": products},
        "suppliers": [{"name": "mill", "capacity": 4.1 * products}],
        "warehouses": [{"name": "shop", "storage": 7.3 * products}],
        "lanes": [
            {"origin": "mill", "destination": "shop", "lead_time": lead_time, "name": f"{lead_time}"}
            for lead_time in (0, 12)
        ],
        "events": [],
    }
    net = network(scenario, dtype)
    decisions, chances = luck(scenario, net, 0, replications=64)
    batch = played(net, decisions * 4, chances * 4)
    for i in range(REPLICATIONS):
        by_itself = alone(net, decisions * 4, chances * 4, i)
        assert all(same_bits(one, many, i) for one, many in zip(by_itself, batch, strict=True))
        last = (
            inventory_position(net, by_itself[-1].after),
            inventory_position(net, batch[-1].after)[..., i : i + 1],
        )
        assert torch.equal(*last)


def renumbered(scenario: Data, order: list[int], random: Any) -> Data:
    """Products in the given order, and suppliers, warehouses and lanes in any."""

    def entry(given: Data) -> Data:
        return {
            key: [value[k] for k in order] if key in PER_PRODUCT else value for key, value in given.items()
        }

    shuffled = {
        key: random.sample(scenario[key], len(scenario[key])) for key in ("suppliers", "warehouses", "lanes")
    }
    return (
        scenario
        | {key: list(map(entry, entries)) for key, entries in shuffled.items()}
        | {"products": [scenario["products"][k] for k in order]}
    )


def differ(saving: Tensor) -> bool:
    """Whether no two reactive lanes save the same, as where the objective does not count what moving
    costs."""
    saved = sorted(saving[saving > 0].tolist(), reverse=True)
    return all(more > 1.00001 * less for more, less in pairwise(saved))


@given(scenarios(without=("integer",)), seeds, st.randoms(use_true_random=False))
@settings(max_examples=EXAMPLES // 5)
def test_renumbering_renumbers_the_result(scenario: Data, seed: int, random: Any):
    """Products, suppliers, warehouses and lanes in another order: the same happens to the same names. (Pools
    cut in their order, and which of two equal remainders becomes a whole unit, or of two reactive lanes that
    save the same moves first, is up to the order of lanes.)"""
    net = network(scenario)
    assume(net.reactive is None or differ(net.reactive.saving / net.volume[:, :1]))
    order = random.sample(range(len(net.products)), len(net.products))
    other = network(renumbered(scenario, order, random))
    warehouses, lanes = (
        [net.warehouses.index(name) for name in other.warehouses],
        [net.lanes.index(name) for name in other.lanes],
    )

    def there(units: Tensor | None, rows: list[int]) -> Tensor | None:
        return None if units is None else units[order][:, rows]

    decisions, chances = luck(scenario, net, seed)
    moved = [
        Decision(
            there(decision.requests, lanes),
            there(decision.promotion, warehouses),
            there(decision.reserve, warehouses),
        )
        for decision in decisions
    ]
    luck_there = [
        replace(
            chance,
            demand=there(chance.demand, warehouses),
            lead_time=None if chance.lead_time is None else chance.lead_time[lanes],
            promotion=None if chance.promotion is None else chance.promotion[warehouses],
            takes_requests=None if chance.takes_requests is None else chance.takes_requests[lanes],
        )
        for chance in chances
    ]
    for here, again in zip(played(net, decisions, chances), played(other, moved, luck_there), strict=True):
        size = here.flows.shipments.sum() + here.after.on_hand.sum() + here.flows.demand.sum()
        assert close(there(here.after.inventory_level, warehouses), again.after.inventory_level, size)
        assert close(here.after.pipeline[order][:, :, warehouses], again.after.pipeline, size)
        assert close(there(here.flows.shipments, lanes), again.flows.shipments, size)
        if net.reactive is not None:
            reactive = [net.reactive.names.index(name) for name in other.reactive.names]
            assert close(there(here.flows.transshipped, reactive), again.flows.transshipped, size)
        assert close(there(here.costs.reward, warehouses), again.costs.reward, 1000 * size)
    torch.testing.assert_close(net.throughput[order][:, warehouses].sum(), other.throughput.sum())
    torch.testing.assert_close(net.max_request[order][:, lanes], other.max_request)


@given(scenarios(), seeds)
@settings(max_examples=EXAMPLES // 10)
def test_a_step_changes_nothing_it_was_given(scenario: Data, seed: int):
    net = network(scenario)
    decisions, chances = luck(scenario, net, seed)
    state = initial_state(net, REPLICATIONS)
    for decision, chance in zip(decisions, chances, strict=True):
        given = [net, state, decision, chance]
        before = [{name: value.clone() for name, value in tensors(record).items()} for record in given]
        once, again = step(net, state, decision, chance), step(net, state, decision, chance)
        for record, copy in zip(given, before, strict=True):
            assert all(torch.equal(value, copy[name]) for name, value in tensors(record).items())
        for left, right in zip(once, again, strict=True):
            assert all(torch.equal(value, tensors(right)[name]) for name, value in tensors(left).items())
        state = once[0]


@given(scenarios(), seeds, dtypes, st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0]))
@settings(max_examples=EXAMPLES // 5)
def test_gradients_are_finite_even_with_nothing_asked_for_and_nothing_there(
    scenario: Data, seed: int, dtype: torch.dtype, stock: float, asked: float
):
    net = network(scenario, dtype)
    decisions, chances = luck(scenario, net, seed)
    state = initial_state(net, REPLICATIONS)
    start = (state.inventory_level * stock).requires_grad_()
    leaves = [start]
    state, total = replace(state, inventory_level=start), torch.zeros((), dtype=dtype)
    for decision, chance in zip(decisions, chances, strict=True):
        given = {
            name: (quantities * asked).requires_grad_() for name, quantities in tensors(decision).items()
        }
        leaves += given.values()
        state, _, costs = step(net, state, Decision(**given), chance)
        total = (
            total
            + sum(getattr(costs, part).sum() for part in (*COST_PARTS, *INCOME_PARTS))
            + inventory_position(net, state).sum()
        )
    total.backward()
    assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in leaves)


def directions(net: TransferNetwork, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.rand(len(net.products), len(net.lanes), 1, generator=generator, dtype=torch.float64)


@given(scenarios(without=("integer",)), seeds)
@settings(max_examples=EXAMPLES // 10)
def test_gradients_are_slopes(scenario: Data, seed: int):
    """Between the kinks: requests at random are at none, and the gradient of shipments is the difference
    quotient."""
    net = network(scenario)
    some = directions(net, seed)
    asked, weights, direction = (next(some) * 9 + 0.5).requires_grad_(), next(some), next(some)
    on_hand = (
        torch.rand(
            len(net.products),
            len(net.warehouses),
            1,
            generator=torch.Generator().manual_seed(seed),
            dtype=torch.float64,
        )
        * 9
    )

    def shipped(requests: Tensor) -> Tensor:
        return (ration(net, requests, on_hand) * weights).sum()

    if len(net.lanes):
        slope = (torch.autograd.grad(shipped(asked), asked)[0] * direction).sum()
        width = 1e-6
        quotient = (shipped(asked + width * direction) - shipped(asked - width * direction)) / (2 * width)
        torch.testing.assert_close(slope, quotient.detach(), rtol=1e-4, atol=1e-6)


PLAY_AND_PRINT = """
import hashlib, torch
from marl_inv.episodes.problem import load_problem
from marl_inv.simulator import Decision, step

torch.set_num_threads(1)
problem = load_problem("{scenario}")
network, trace = problem.network, problem.trace("evaluate", 5, 4)
state, seen = problem.opening(trace), hashlib.sha256(repr((network.lanes, network.source_lane.tolist())).encode())
reserve = network.max_reserve.unsqueeze(-1).expand(-1, -1, 4)
for period in range(len(trace)):
    requests = (network.max_request * (0.1 + period % 7 / 7)).unsqueeze(-1).expand(-1, -1, 4)
    state, flows, costs = step(network, state, Decision(requests, None, reserve), trace.at(period))
    for tensor in (state.inventory_level, state.pipeline, state.owed, state.orders, flows.shipments, flows.transshipped, costs.reward):
        seen.update(tensor.contiguous().numpy().tobytes())
print(seen.hexdigest())
"""

TWO_MILLS = """
demand: {kind: normal, mean: 5, sd: 3}
quantities: integer
initial_state: steady
suppliers: [{name: mill}, {name: forge}]
warehouses:
  - {name: a, initial_stock: 9, holding_cost: 1, shortage_cost: 5, max_reserve: 2, rationing: even}
  - {name: b, storage: 30, holding_cost: 1, shortage_cost: 5}
  - {name: c, shortage_cost: 7}
lanes:
  - {origin: forge, destination: a, lead_time: 1, order_delay: 1, pack_size: 2, review_period: 3}
  - {origin: mill, destination: a, lead_time: {values: [1, 3]}, capacity: 7, minimum_order: 4}
  - {origin: a, destination: b, lead_time: 1, transport_cost: 1, unfilled: owed}
  - {origin: b, destination: c, lead_time: 0, transport_cost: 1}
  - {origin: a, destination: c, lead_time: 2, transport_cost: 2}
  - {name: a=>c, origin: a, destination: c, reactive: true, transport_cost: 1}
  - {name: b=>c, origin: b, destination: c, reactive: true, transport_cost: 1}
  - {name: c=>b, origin: c, destination: b, reactive: true, transport_cost: 2}
pools: [{name: fleet, lanes: [b->c, a->b, a=>c, b=>c], capacity: 4}]
events:
  - {kind: outage, targets: [fleet, mill], probability: 0.2, duration: [1, 3]}
  - {kind: delay, targets: [b->c], probability: 0.2, periods: 1}
"""


def test_a_scenario_plays_the_same_in_every_process(tmp_path: Any):
    """Python shuffles its sets from process to process; no result may hang on their order."""
    (tmp_path / "mills.yaml").write_text(TWO_MILLS, encoding="utf-8")
    program = PLAY_AND_PRINT.replace("{scenario}", str(tmp_path / "mills.yaml"))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2", "3")
    ]
    printed = {process.communicate(timeout=120)[0] for process in processes}
    assert len(printed) == 1
    assert len(printed.pop().strip()) == 64


COMPILE_AND_COMPARE = """
import torch
from marl_inv.episodes.problem import load_problem
from marl_inv.simulator import Decision, step

torch.set_num_threads(1)
for quantities in ("continuous", "integer"):
    problem = load_problem("{scenario}", ["quantities=" + quantities])
    network, trace = problem.network, problem.trace("evaluate", 5, 4)
    state, compiled = problem.opening(trace), torch.compile(step, backend="eager", fullgraph=True)
    decision = Decision(network.max_request.unsqueeze(-1).expand(-1, -1, 4), None, network.max_reserve.unsqueeze(-1).expand(-1, -1, 4))
    for period in range(5):
        plain, graph = (play(network, state, decision, trace.at(period)) for play in (step, compiled))
        for left, right in zip(plain, graph, strict=True):
            for name, value in vars(left).items():
                if value is None:
                    continue
                rows = (each if isinstance(each, tuple) else (each,) for each in (value, getattr(right, name)))
                assert all(torch.equal(*pair) for pair in zip(*rows, strict=True)), name
        state = plain[0]
print("same")
"""


def test_a_step_compiles_to_one_graph_and_to_the_same_numbers(tmp_path: Any):
    """Nothing in it waits for a value. (In a process of its own, for the checks of shapes in these tests
    cannot be compiled.)"""
    (tmp_path / "mills.yaml").write_text(TWO_MILLS, encoding="utf-8")
    program = COMPILE_AND_COMPARE.replace("{scenario}", str(tmp_path / "mills.yaml"))
    assert (
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=300
        ).stdout.strip()
        == "same"
    )
