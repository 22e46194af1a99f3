"""From a networkx graph to a trained policy, compared with tuned order-up-to on the same luck."""

import networkx

import marl_inv

graph = networkx.MultiDiGraph(horizon=60, warm_up=10, demand={"kind": "poisson", "mean": 5})
graph.add_node("mill", kind="supplier")
graph.add_nodes_from(["north", "south"], holding_cost=1, shortage_cost=9)
graph.add_edges_from([("mill", "north", {"lead_time": 3}), ("mill", "south", {"lead_time": 5})])
trained = marl_inv.train(
    graph, algorithm="pathwise", model="mlp", decisions=500_000, validations=5, validation_replications=256
)
print(trained)
print(marl_inv.compare(graph, trained.policy, replications=256))
