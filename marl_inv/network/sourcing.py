"""Which lane a warehouse orders on, what passes through it when everybody does, and what a unit costs on the
way."""

from __future__ import annotations

import networkx
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.scenario.fields import per_product
from marl_inv.scenario.places import Lane, Product, Warehouse


def unit_costs(lanes: list[Lane], products: list[Product]) -> Float[np.ndarray, "K E"]:
    cost, volume = np.zeros((len(products), len(lanes))), np.array([product.volume for product in products])
    for column, lane in enumerate(lanes):
        in_transit = np.array(per_product(lane.in_transit_cost, len(products))) * lane.mean_lead_time
        vehicle = lane.vehicle_cost * volume / lane.vehicle_capacity if lane.vehicle_capacity else 0.0
        cost[:, column] = np.array(per_product(lane.transport_cost, len(products))) + in_transit + vehicle
    return cost


def source_lanes(
    lanes: list[Lane], warehouses: list[Warehouse], suppliers: list[str], unit_cost: Float[np.ndarray, "K E"]
) -> list[Lane | None]:
    """For every warehouse the lane it names, or the last one of the cheapest (then quickest, then first) way
    from a supplier; or None."""
    ways = networkx.DiGraph()
    for lane, moving in zip(lanes, unit_cost.T, strict=True):
        cost = float(np.mean(lane.procurement_cost) + moving.mean()) + 1e-6 * (lane.mean_lead_time + 1)
        if (
            not ways.has_edge(lane.origin, lane.destination)
            or cost < ways[lane.origin][lane.destination]["cost"]
        ):
            ways.add_edge(lane.origin, lane.destination, cost=cost, lane=lane)
    starts = [supplier for supplier in suppliers if supplier in ways]
    paths = networkx.multi_source_dijkstra_path(ways, starts, weight="cost") if starts else {}
    named = {lane.name: lane for lane in lanes}
    chosen: list[Lane | None] = []
    for warehouse in warehouses:
        path = paths.get(warehouse.name)
        chosen.append(
            named[warehouse.source_lane]
            if warehouse.source_lane
            else ways[path[-2]][path[-1]]["lane"]
            if path
            else None
        )
    return chosen


def pass_upstream(demand: np.ndarray, sources: list[Lane | None], row: dict[str, int]) -> np.ndarray:
    """Every warehouse's own demand plus that of all who are fed through it along source lanes."""
    total = demand.copy()
    for start in range(demand.shape[1]):
        visited, lane = {start}, sources[start]
        while lane is not None and lane.origin in row and row[lane.origin] not in visited:
            total[:, row[lane.origin]] += demand[:, start]
            visited.add(row[lane.origin])
            lane = sources[row[lane.origin]]
    return total


def usual_size(
    throughput: np.ndarray, demand: np.ndarray, lanes: list[Lane], row: dict[str, int]
) -> np.ndarray:
    """Throughput; for a warehouse that is nobody's source, an equal share of the demand of those it could
    serve; 1 where that is 0."""
    transfers = [(row[lane.origin], row[lane.destination]) for lane in lanes if lane.origin in row]
    ways_in = np.bincount([destination for _, destination in transfers], minlength=demand.shape[1])
    share = np.zeros_like(demand)
    for origin, destination in transfers:
        share[:, origin] += demand[:, destination] / ways_in[destination]
    size = np.where(throughput > 0, throughput, share)
    return np.where(size > 0, size, 1.0)


def request_limits(lanes: list[Lane], size: Tensor, volume: Tensor, destinations: list[int]) -> Tensor:
    """What the lane says, or its capacity, or 4 x the demand over its lead time and the period of review, at
    least the least that may be asked for."""
    columns = []
    for lane, destination in zip(lanes, destinations, strict=True):
        if lane.max_request is not None:
            columns.append(torch.full_like(size[:, 0], lane.max_request))
        elif lane.capacity is not None:
            columns.append(lane.capacity / volume[:, 0, 0])
        else:
            usual = 4 * (lane.mean_lead_time + lane.review_period) * size[:, destination]
            least = per_product(lane.minimum_order, len(size))
            columns.append(torch.maximum(usual, usual.new_tensor(least)) if any(least) else usual)
    return torch.stack(columns, dim=1) if columns else size.new_zeros(len(size), 0)
