"""What a period costs and earns, part by part."""

from __future__ import annotations

from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.network import TransferNetwork
from marl_inv.scenario.objective import COST_PARTS, INCOME_PARTS
from marl_inv.simulator.rationing import NOTHING, add_up, noise, rounded
from marl_inv.simulator.state import Chance, Costs, Flows, none_of


def charge(network: TransferNetwork, flows: Flows, chance: Chance) -> Costs:
    """Price the period. A cost belongs to the warehouse that caused it: a lane's to the destination that
    asked."""
    nothing = none_of(flows.demand)
    parts = (
        _stock_costs(network, flows) | _lane_costs(network, flows, chance) | _incomes(network, flows, chance)
    )
    counted = [
        (parts[name], -network.weights[name])
        for name in COST_PARTS
        if name in parts and network.weights[name]
    ]
    counted += [
        (parts[name], network.weights[name])
        for name in INCOME_PARTS
        if name in parts and network.weights[name]
    ]
    reward = reduce(_add_weighted, counted, None)
    return Costs(
        **{name: parts.get(name, nothing) for name in (*COST_PARTS, *INCOME_PARTS)},
        reward=nothing if reward is None else reward,
    )


def _add_weighted(total: Tensor | None, counted: tuple[Tensor, float]) -> Tensor:
    part, weight = counted
    if total is None:
        return part if weight == 1 else -part if weight == -1 else part * weight
    return torch.add(total, part, alpha=weight)


def _stock_costs(network: TransferNetwork, flows: Flows) -> dict[str, Tensor]:
    parts: dict[str, Tensor] = {}
    if network.holding_cost is not None:
        held = flows.opening_level.clamp(min=0) if network.rules.holding_on == "opening" else flows.on_hand
        parts["holding"] = network.holding_cost * held
    if network.shortage_cost is not None:
        short = flows.lost + flows.backorders if network.any_backordered else flows.lost
        if flows.owed is not None:
            short = short + network.departures(flows.owed[:, network.replenishments :])
        parts["shortage"] = network.shortage_cost * short
    if network.overflow_cost is not None:
        parts["overflow"] = network.overflow_cost * flows.overflow
    if flows.promotion is not None:
        parts["promotion"] = network.promotion_cost * flows.promotion
    if network.rules.objective == "service" or network.weights["shortfall"]:
        allowed = (1 - network.rules.service.fill_rate) * flows.demand.clamp(min=0)
        parts["shortfall"] = network.rules.service.price * (flows.unmet - allowed).clamp(min=0)
    return parts


def _lane_costs(network: TransferNetwork, flows: Flows, chance: Chance) -> dict[str, Tensor]:
    """What moving units costs, to their destination."""
    parts: dict[str, Tensor] = {}
    moved = (
        flows.shipments
        if flows.transshipped is None
        else torch.cat([flows.shipments, flows.transshipped], dim=1)
    )
    supplied = network.replenishments
    if network.procurement_cost is not None:
        parts["procurement"] = network.supply_arrivals(
            network.procurement_cost * flows.shipments[:, :supplied]
        )
    if network.transport_cost is not None:
        parts["transport"] = network.way_arrivals(network.transport_cost * moved)
    if network.in_transit_cost is not None:
        periods = network.lead_time.unsqueeze(-1) if chance.lead_time is None else chance.lead_time
        parts["in_transit"] = network.arrivals(network.in_transit_cost * periods * flows.shipments)
    if network.shipment_cost is not None or network.vehicle_cost is not None:
        loads = moved * network.volume
        load = add_up(loads, 0)
        shares, used = loads / load.clamp(min=NOTHING), load > network.least_load
        if network.shipment_cost is not None:
            parts["shipment"] = network.way_arrivals(network.shipment_cost * used * shares)
        if network.vehicle_cost is not None:
            full = loads / network.vehicle_capacity
            parts["vehicle"] = network.way_arrivals(
                network.vehicle_cost * rounded(full, (vehicles(network, load) * used * shares).detach())
            )
    if network.transfer_price is not None:
        paid = network.transfer_price * moved[:, supplied:]
        received = torch.zeros_like(flows.demand).index_add(1, network.way_origin, paid)
        spent = torch.zeros_like(flows.demand).index_add(1, network.way_destination[supplied:], paid)
        parts["transfer_payment"] = spent - received
    return parts


def vehicles(network: TransferNetwork, load: Float[Tensor, "W B"]) -> Float[Tensor, "W B"]:
    """Whole vehicles that a load takes, at least one; the cost's gradient is that of load over capacity."""
    exact = load / network.vehicle_capacity
    return (exact - noise(exact)).ceil().clamp(min=1)


def _incomes(network: TransferNetwork, flows: Flows, chance: Chance) -> dict[str, Tensor]:
    parts: dict[str, Tensor] = {}
    if network.price is not None:
        parts["revenue"] = network.price * flows.served
    if network.salvage_value is not None and chance.last:
        parts["salvage"] = network.salvage_value * flows.closing_level.clamp(min=0)
    if network.weights["utility"]:
        parts["utility"] = _utility(network, flows)
    return parts


def _utility(network: TransferNetwork, flows: Flows) -> Tensor:
    rule = network.rules.utility
    replenishment = network.arrivals(flows.shipments)
    value = replenishment.log1p() if rule.log == "log1p" else replenishment.clamp(min=rule.least).log()
    return value - rule.stock_weight * flows.on_hand
