"""A scenario's network as a networkx graph, with the moments of its customers' demand."""

from __future__ import annotations

import networkx
import numpy as np
from jaxtyping import Float

from marl_inv.scenario import Scenario
from marl_inv.scenario.objective import Rules


def network_graph(
    scenario: Scenario,
    mean_demand: Float[np.ndarray, "K N"],
    sd_demand: Float[np.ndarray, "K N"],
    reach: Float[np.ndarray, "K N"] | None = None,
) -> networkx.MultiDiGraph:
    """The scenario's network with the moments of its customers' demand per period, and the mean that requests
    have to reach where that is another."""
    graph = networkx.MultiDiGraph(
        products=[product.model_dump() for product in scenario.product_list],
        pools=[pool.model_dump() for pool in scenario.pools],
        lanes=[lane.name for lane in scenario.lanes],
        interruptible=scenario.interruptible,
        longest_delay=scenario.longest_delay,
        ending=scenario.ending,
        horizon=scenario.horizon,
        warm_up=scenario.warm_up,
        discount_factor=scenario.discount_factor,
        **{key: value for key, value in scenario.model_dump().items() if key in Rules.model_fields},
    )
    for supplier in scenario.suppliers:
        graph.add_node(supplier.name, kind="supplier", **supplier.model_dump(exclude={"name"}))
    for index, warehouse in enumerate(scenario.warehouses):
        moments = {"mean_demand": mean_demand[:, index].tolist(), "sd_demand": sd_demand[:, index].tolist()}
        if reach is not None:
            moments["reach"] = reach[:, index].tolist()
        graph.add_node(
            warehouse.name, kind="warehouse", **moments, **warehouse.model_dump(exclude={"name", "demand"})
        )
    for lane in scenario.lanes:
        graph.add_edge(
            lane.origin,
            lane.destination,
            key=lane.name,
            **lane.model_dump(exclude={"name", "origin", "destination"}),
        )
    return graph
