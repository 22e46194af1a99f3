"""A scenario made ready to play: its network on a device, and the source of its luck."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from marl_inv.network import TransferNetwork, to_graph
from marl_inv.scenario import Scenario, load_scenario
from marl_inv.trace import DemandSource, Stream, Trace


@dataclass(frozen=True)
class Problem:
    scenario: Scenario
    network: TransferNetwork
    demand: DemandSource

    @classmethod
    def of(cls, scenario: Scenario, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Problem:
        demand = DemandSource(scenario)
        graph = to_graph(scenario, demand.mean, demand.sd)
        return cls(scenario, TransferNetwork.from_graph(graph, device, dtype), demand)

    def trace(self, stream: Stream, seed: int, replications: range | int, horizon: int | None = None) -> Trace:
        """Traces of a stream, on the network's device. Evaluation on a data file has one replication: the file's own."""
        if isinstance(replications, int):
            replications = range(1 if stream == "evaluate" and self.demand.from_file else replications)
        trace = self.demand.trace(stream, seed, replications, horizon)
        return trace.to(self.network.destination.device, self.network.mean_demand.dtype)


def load_problem(
    name: str | Path, settings: Iterable[str] = (), device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Problem:
    """Load a scenario by path or bare name, with `key.path=value` settings, and make it ready to play.

    Raises InputError for anything wrong in the scenario or its data.
    """
    return Problem.of(load_scenario(name, settings), device, dtype)
