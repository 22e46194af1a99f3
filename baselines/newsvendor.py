"""Newsvendor levels for a network: critical ratios from landed costs, and the levels that follow."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from marl_inv.episodes.problem import Problem
from marl_inv.network import TransferNetwork


def level_unit(network: TransferNetwork) -> Float[Tensor, "K N"]:
    """The standard deviation of what passes through until what was asked for is used, or a little of a
    period's mean where that is more."""
    return torch.maximum(network.lead_time_demand(network.source_lane)[1], 0.05 * network.size)


def on_source_lanes(network: TransferNetwork, quantities: Float[Tensor, "K N B"]) -> Float[Tensor, "K E B"]:
    """Requests that ask for every warehouse's quantity on its source lane, and for nothing on other lanes."""
    products, _, replications = quantities.shape
    requests = quantities.new_zeros(products, len(network.lanes), replications)
    if not network.lanes:
        return requests
    supplied = (network.source_lane >= 0).to(quantities).unsqueeze(-1)
    return requests.index_add(1, network.source_lane.clamp(min=0), quantities * supplied)


def newsvendor_levels(problem: Problem, alone: bool = False) -> Float[Tensor, "K N"]:
    """The critical quantile of what passes through in lead time + 1 periods; where lead time is 0, of what is
    passed on in 2, since that leaves a period after it has arrived (not if `alone`). Demand over several
    periods keeps its family exactly for normal, Poisson and negative binomial demand of one site; where
    several feed upstream, and for data, moments choose: Poisson or negative binomial, or normal when the
    variance is below the mean.
    """
    network, scenario = problem.network, problem.scenario
    sources = network.source_lane.cpu().numpy()
    lead_time = np.where(
        sources >= 0, network.response_time.cpu().numpy()[sources.clip(0)] if len(network.lanes) else 0, 0
    )
    mean = network.throughput.double().cpu().numpy() * (lead_time + 1)
    variance = network.throughput_sd.double().cpu().numpy() ** 2 * (lead_time + 1)
    if network.lanes and not alone:
        waits = network.waits.cpu().numpy()[sources.clip(0)]
        passed_on = (each.double().cpu().numpy() for each in network.passed_on)
        mean, variance = (
            total + waits * part for total, part in zip((mean, variance), passed_on, strict=True)
        )
    ratio = critical_ratio(network)
    demands = [scenario.demand_of(warehouse) for warehouse in scenario.warehouses]
    normal = np.array([demand is not None and demand.normal for demand in demands]) | (variance < 0.99 * mean)
    sd, safe_mean = np.sqrt(variance.clip(1e-12)), mean.clip(1e-9)
    excess = (variance - safe_mean).clip(1e-9)
    quantile = np.where(
        normal,
        stats.norm.ppf(ratio, mean, sd),
        np.where(
            variance <= 1.01 * mean,
            stats.poisson.ppf(ratio, safe_mean),
            stats.nbinom.ppf(
                ratio,
                (safe_mean**2 / excess).clip(1e-6, 1e9),
                (safe_mean / (safe_mean + excess)).clip(1e-9, 1),
            ),
        ),
    )
    levels = np.where((mean > 0) & (sources >= 0), quantile, 0).clip(0)
    return torch.from_numpy(levels).to(network.throughput)


def critical_ratio(network: TransferNetwork) -> Float[np.ndarray, "K N"]:
    """Underage / (underage + overage), the newsvendor's probability to have enough, from 0.01 to 0.999.

    Underage is the shortage cost, plus the price of a unit that is missing to a service goal, plus the margin
    when the objective is profit; a warehouse without customers takes the mean of those it feeds. Overage is
    holding, and what it costs to have bought a unit a period early, or to be left with it. All count by their
    weights in the objective.
    """
    counted, service = network.counted, network.rules.service
    landed = landed_cost(network).double().cpu().numpy()
    early, left_over = _keeping(network, landed)
    overage = counted["holding"] * _rate(network.holding_cost, network) + early + left_over
    shortage = counted["shortage"] * _rate(network.shortage_cost, network)
    if service.fill_rate > 0:
        shortage = shortage + counted["shortfall"] * service.price
    waiting = early * network.backordered.double().cpu().numpy()[:, 0]
    margin = _rate(network.counted_price, network)
    underage = _underage(network, shortage - waiting, margin, landed)
    return np.where(
        overage < 0,
        0.999,
        np.divide(
            underage, underage + overage, out=np.full_like(underage, 0.5), where=underage + overage > 0
        ),
    ).clip(0.01, 0.999)


def _keeping(network: TransferNetwork, landed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a unit costs, per period, that is bought a period before it is wanted, where later money counts
    less; and that is left over when a season ends, less its salvage: (K, N) each.

    The season's periods count by their weights w: with the same level in all, a unit too many is paid in the
    first and salvaged in the last, (landed w_first - salvage w_last) / (w_first + .. + w_last) a period. What
    was there when scoring began has not been paid.
    """
    about, nothing = network.graph.graph, np.zeros_like(landed)
    discount, scored = about.get("discount_factor", 1.0), about.get("horizon", 0) - about.get("warm_up", 0)
    if about.get("ending") != "finite" or scored <= 0:
        return landed * (1 - discount), nothing
    weights = discount ** np.arange(scored)
    bought = 0.0 if about.get("warm_up") else landed
    salvage = network.counted["salvage"] * _rate(network.salvage_value, network)
    return nothing, (bought - salvage * weights[-1]) / weights.sum()


def _rate(rates: Tensor | None, network: TransferNetwork) -> np.ndarray:
    return np.zeros(network.throughput.shape) if rates is None else rates[:, :, 0].double().cpu().numpy()


def _underage(
    network: TransferNetwork, shortage: np.ndarray, price: np.ndarray, landed: np.ndarray
) -> np.ndarray:
    """Cost of a missing unit at every warehouse: (K, N)."""
    sources, feeder = network.source_lane.tolist(), _feeders(network)
    own = shortage.clip(0) + np.where(price > 0, price - landed, 0).clip(0)
    demand = network.mean_demand.double().cpu().numpy()
    weight, total = demand.copy(), own * demand
    for start in range(len(sources)):
        visited, at = {start}, feeder.get(start)
        while at is not None and at not in visited:
            weight[:, at] += demand[:, start]
            total[:, at] += own[:, start] * demand[:, start]
            visited.add(at)
            at = feeder.get(at)
    return np.divide(total, weight, out=own.copy(), where=weight > 0)


def _moving_cost(network: TransferNetwork) -> np.ndarray:
    """`unit_cost` with its parts as they count: (K, E)."""
    cost, lanes = network.unit_cost.double().cpu().numpy().copy(), len(network.lanes)
    parts: dict[str, Tensor | None] = {
        "transport": network.transport_cost,
        "in_transit": network.in_transit_cost,
        "vehicle": network.vehicle_cost,
    }
    for part, rate in parts.items():
        weight = network.counted[part]
        if rate is None or weight == 1:
            continue
        rate = rate[..., :lanes, 0]
        if part == "in_transit":
            rate = rate * network.lead_time
        if part == "vehicle":
            rate = rate * network.volume[..., 0] / network.vehicle_capacity[:lanes, 0]
        cost += (weight - 1) * rate.double().cpu().numpy()
    return cost


def _feeders(network: TransferNetwork) -> dict[int, int]:
    """Which warehouse feeds each of those that are not fed by a supplier."""
    lanes = enumerate(network.source_lane.tolist())
    return {
        place: network.warehouses.index(network.lane_origin[lane])
        for place, lane in lanes
        if lane >= network.replenishments
    }


def landed_cost(network: TransferNetwork) -> Float[Tensor, "K N"]:
    """What a unit has cost when it arrives along the source lanes, as it counts in the objective."""
    feeder = _feeders(network)
    lane_cost = _moving_cost(network)
    if network.procurement_cost is not None:
        lane_cost[:, : network.replenishments] += (
            network.counted["procurement"] * network.procurement_cost[:, :, 0].double().cpu().numpy()
        )
    landed = np.zeros(network.throughput.shape)
    for start, lane in enumerate(network.source_lane.tolist()):
        at, visited = start, set()
        while lane >= 0 and at not in visited:
            landed[:, start] += lane_cost[:, lane]
            visited.add(at)
            if at not in feeder:
                break
            at = feeder[at]
            lane = int(network.source_lane[at])
    return torch.from_numpy(landed).to(network.throughput)
