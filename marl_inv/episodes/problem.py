"""A scenario made ready to play: its network on a device, and the source of its luck."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, repeat
from operator import mul
from pathlib import Path

import numpy as np
import torch
from networkx import Graph

from marl_inv.chance.luck import Stream
from marl_inv.chance.shocks import Shocks
from marl_inv.chance.source import DemandSource
from marl_inv.chance.trace import Trace
from marl_inv.common.documents import as_settings
from marl_inv.common.errors import InputError
from marl_inv.network import TransferNetwork, network_from_graph, network_graph
from marl_inv.scenario import Scenario, load_scenario
from marl_inv.scenario.fields import Between, per_product
from marl_inv.simulator import Decision, State, initial_state, inventory_position, step
from marl_inv.simulator.compiled import CompiledStep, Step

EXACT = 2**24
"""Units up to which float32 tells whole numbers apart."""


SETTLING = 2**62
"""Added to a seed for the luck before an episode that starts in the steady state."""


@dataclass(frozen=True)
class Problem:
    """A scenario, its network as tensors, and the source of its luck."""

    scenario: Scenario
    network: TransferNetwork
    demand: DemandSource
    step: Step = step
    """Plays a period."""

    @classmethod
    def of(
        cls, scenario: Scenario, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> Problem:
        """In the precision that is asked for, or that units need: see `precision`."""
        demand = DemandSource(scenario)
        dtype = precision(scenario, demand) if dtype is None else dtype
        graph = network_graph(scenario, demand.mean, demand.sd, demand.reach)
        return cls(scenario, network_from_graph(graph, device, dtype), demand)

    def __repr__(self) -> str:
        compiled = ", compiled" if self.step is not step else ""
        return f"Problem({self.scenario!r} on {self.network.size.device}{compiled})"

    def compiled(self) -> Problem:
        """The same problem, its periods compiled by torch, which takes some seconds for every batch size that
        is played."""
        return replace(self, step=CompiledStep())

    def under(self, shocks: Shocks | None) -> Problem:
        """The same problem, with shocks to its demand that nobody reckons with."""
        return replace(self, demand=self.demand.under(shocks))

    def trace(
        self, stream: Stream, seed: int, replications: range | int, horizon: int | None = None
    ) -> Trace:
        """Traces of a stream, on the network's device. Evaluation on a data file has one replication: the
        file's own."""
        if isinstance(replications, int):
            replications = self._first(stream, replications)
        device, dtype = self.network.destination.device, self.network.mean_demand.dtype
        there = None if device.type == "cpu" else device
        trace = self.demand.trace(stream, seed, replications, horizon, there).to(device, dtype)
        if self.scenario.initial_state == "given":
            return trace
        before = self.demand.trace(
            stream, seed + SETTLING, replications, 3 * self.network.longest_lead_time + 20, there
        ).to(device, dtype)
        return replace(trace, opening=self._settled(before))

    def _first(self, stream: Stream, replications: int) -> range:
        return range(1 if stream == "evaluate" and self.demand.from_file else replications)

    @property
    def trace_bytes(self) -> int:
        """That the demand of one replication takes while it is drawn, in float64, and then as it is
        played."""
        periods = self.scenario.history + self.scenario.horizon
        return periods * self.network.size.numel() * (8 + self.network.size.element_size())

    def in_parts(self, stream: Stream, replications: int, at_most: int) -> Iterator[range]:
        """The first replications of a stream, in parts whose demand takes so many bytes at most, or is one
        replication's."""
        each = max(1, at_most // self.trace_bytes)
        whole = self._first(stream, replications)
        yield from (whole[first : first + each] for first in range(0, len(whole), each))

    def opening(self, trace: Trace) -> State:
        """What the trace's episodes begin with: stock given or drawn, or the steady state."""
        return (
            initial_state(self.network, trace.replications, trace.start)
            if trace.opening is None
            else trace.opening
        )

    def _settled(self, before: Trace) -> State:
        """Where ordering up to mean + 1 sd of lead-time demand has led, on source lanes and without
        transfers."""
        network, state = self.network, self.opening(before)
        if not network.lanes:
            return state
        lanes = network.source_lane
        mean, sd = network.lead_time_demand(lanes)
        levels = mean + sd
        orders = (lanes >= 0).to(levels).unsqueeze(-1)
        for period in range(len(before)):
            shortfall = (levels.unsqueeze(-1) - inventory_position(network, state)).clamp(min=0) * orders
            requests = shortfall.new_zeros(len(shortfall), len(network.lanes), before.replications)
            decision = Decision(requests.index_add(1, lanes.clamp(min=0), shortfall))
            state = self.step(network, state, decision, before.at(period))[0]
        return state


def precision(scenario: Scenario, demand: DemandSource) -> torch.dtype:
    """float32 where it tells every unit from the next; float64 where a product may have more of them than
    EXACT, on hand and on the way in the whole network."""
    longest = max((lane.longest + lane.order_delay for lane in scenario.lanes), default=0)
    asked = (demand.mean + 4 * demand.sd).sum(1).max() * (longest + scenario.longest_delay + 2)
    given = sum(
        np.array(per_product(stock.high if isinstance(stock, Between) else stock, len(demand.mean)))
        for stock in (warehouse.initial_stock for warehouse in scenario.warehouses)
    )
    return torch.float32 if asked + np.max(given) <= EXACT else torch.float64


def period_weights(scenario: Scenario, periods: int) -> list[float]:
    """What every period counts in a result: nothing in the warm-up, then 1, and each later one
    `discount_factor` times the one before.

    A mean per period is over their sum.
    """
    factors = accumulate(
        repeat(scenario.discount_factor, max(0, periods - scenario.warm_up - 1)), mul, initial=1.0
    )
    return [*repeat(0.0, scenario.warm_up), *factors][:periods]


AnyScenario = str | Path | Graph | Scenario | Problem
"""What everything public takes for a scenario: a bare name, a path, a networkx graph, a Scenario or a
Problem."""


def as_problem(
    scenario: AnyScenario,
    settings: Iterable[str] = (),
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> Problem:
    """A scenario, however it is given, ready to play; a Problem is so already, and stays where it is.

    `settings` are `key.path=value`, and change what is read: a name, a path or a graph; `dtype` is chosen by
    the size of quantities unless it is given. Raises InputError for
    anything wrong in them, in the scenario or in its data.
    """
    settings = as_settings(settings)
    if isinstance(scenario, str | Path | Graph):
        return Problem.of(load_scenario(scenario, settings), device, dtype)
    if not isinstance(scenario, Scenario | Problem):
        raise InputError(
            f"scenario: is {scenario!r}; give a bare name such as 'two_warehouses', a path, a networkx "
            "graph, a Scenario or a Problem"
        )
    if settings:
        raise InputError(
            f"settings: change a scenario as it is read, and this is a {type(scenario).__name__}; give them "
            "to load_problem"
        )
    return scenario if isinstance(scenario, Problem) else Problem.of(scenario, device, dtype)


load_problem = as_problem
