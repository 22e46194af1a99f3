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
    """Underage / (underage + holding), the newsvendor's probability to have enough, from 0.01 to 0.999.

    Underage is the shortage cost, plus the margin when the objective is profit; a warehouse without customers
    takes the mean of those it feeds.
    """
    holding = _rate(network.holding_cost, network)
    underage = _underage(
        network, _rate(network.shortage_cost, network), _rate(network.counted_price, network)
    )
    return np.divide(
        underage, underage + holding, out=np.full_like(underage, 0.5), where=underage + holding > 0
    ).clip(0.01, 0.999)


def _rate(rates: Tensor | None, network: TransferNetwork) -> np.ndarray:
    return np.zeros(network.throughput.shape) if rates is None else rates[:, :, 0].double().cpu().numpy()


def _underage(network: TransferNetwork, shortage: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Cost of a missing unit at every warehouse: (K, N)."""
    sources, feeder = network.source_lane.tolist(), _feeders(network)
    landed = landed_cost(network).double().cpu().numpy()
    own = shortage + np.where(price > 0, price - landed, 0).clip(0)
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


def _feeders(network: TransferNetwork) -> dict[int, int]:
    """Which warehouse feeds each of those that are not fed by a supplier."""
    lanes = enumerate(network.source_lane.tolist())
    return {
        place: network.warehouses.index(network.lane_origin[lane])
        for place, lane in lanes
        if lane >= network.replenishments
    }


def landed_cost(network: TransferNetwork) -> Float[Tensor, "K N"]:
    """What a unit has cost when it arrives along the source lanes."""
    feeder = _feeders(network)
    lane_cost = network.unit_cost.double().cpu().numpy().copy()
    if network.procurement_cost is not None:
        lane_cost[:, : network.replenishments] += network.procurement_cost[:, :, 0].double().cpu().numpy()
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
