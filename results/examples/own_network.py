"""A network from networkx: two depots at different distances feed three shops, two of which help each other
out."""

from __future__ import annotations

import networkx

import marl_inv

graph = networkx.MultiDiGraph(
    name="depots", horizon=30, warm_up=10, demand={"kind": "negative_binomial", "mean": 8, "sd": 6}
)
graph.add_node("mill", kind="supplier")
for depot, lead_time in (("near", 2), ("far", 5)):
    graph.add_node(depot, faces_demand=False, holding_cost=0.3, initial_stock=60)
    graph.add_edge("mill", depot, lead_time=lead_time)
for shop in ("north", "centre", "south"):
    graph.add_node(shop, holding_cost=1.0, shortage_cost=12.0, initial_stock=20)
for origin, destination, cost in (("near", "north", 1.0), ("near", "centre", 1.0), ("far", "south", 0.4)):
    graph.add_edge(origin, destination, lead_time=4, transport_cost=cost)
graph.add_edge("north", "centre", lead_time=1, transport_cost=0.5)
graph.add_edge("centre", "north", lead_time=1, transport_cost=0.5)

if __name__ == "__main__":
    compared = marl_inv.compare(graph, replications=64, train_one=False)
    print(compared)
    for score in compared.scores:
        flows = score.record.per_lane("shipped").sum(0).mean(-1).tolist()
        told = ", ".join(
            f"{lane} {flow:.1f}" for lane, flow in zip(compared.problem.network.lanes, flows, strict=True)
        )
        print(f"{score.policy}: units a period: {told}")
