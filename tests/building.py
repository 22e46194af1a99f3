"""What the worked examples are written with: a network from a few lines of YAML, and a play from plain
numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from ruamel.yaml import YAML
from torch import Tensor

from marl_inv.common.documents import Document
from marl_inv.episodes.problem import Problem
from marl_inv.network import TransferNetwork
from marl_inv.scenario import Scenario, read_scenario
from marl_inv.scenario.expansion import expand
from marl_inv.simulator import Chance, Costs, Decision, Flows, State, initial_state, step

PerProduct = float | Sequence[float]


def problem(given: str | dict[str, Any], dtype: torch.dtype = torch.float64) -> Problem:
    """A problem from YAML text or the same as a dict; demand is Poisson with mean 1 where it states none."""
    data = YAML(typ="safe", pure=True).load(given) if isinstance(given, str) else given
    document = Document("example", {"demand": {"kind": "poisson", "mean": 1}} | data)
    expand(document, None, Scenario)
    return Problem.of(read_scenario(document), dtype=dtype)


def network(given: str | dict[str, Any], dtype: torch.dtype = torch.float64) -> TransferNetwork:
    return problem(given, dtype).network


def units(tensor: Tensor) -> list[Any]:
    """Plain numbers of a one-replication tensor, without float noise; without the product dimension where
    there is one product."""
    tensor = tensor[..., 0].double()
    return (tensor[0] if len(tensor) == 1 else tensor).mul(1e9).round().div(1e9).tolist()


@dataclass
class Played:
    """What happened, period by period."""

    states: list[State]
    flows: list[Flows]
    costs: list[Costs]

    def stock(self) -> list[Any]:
        """Inventory level that the next period begins with, of every warehouse (for one product)."""
        return [units(state.inventory_level) for state in self.states]


def _rows(given: dict[str, PerProduct], names: Sequence[str], products: int) -> Tensor:
    assert given.keys() <= set(names), f"{given.keys()} are not all among {names}"
    rows = [given.get(name, 0.0) for name in names]
    return (
        torch.tensor(
            [[row] * products if isinstance(row, int | float) else list(row) for row in rows],
            dtype=torch.float64,
        )
        .reshape(-1, products)
        .T[..., None]
    )


def requests(network: TransferNetwork, **asked: PerProduct) -> Tensor:
    """Requests by lane name, with `_to_` for `->`: 0 on the lanes that are not named."""
    return _rows(
        {name.replace("_to_", "->"): value for name, value in asked.items()},
        network.lanes,
        len(network.products),
    ).to(network.volume)


Periods = Sequence[dict[str, PerProduct]]
"""For every period, quantities by name; 0, or what is usual, where none is given."""


def play(
    network: TransferNetwork,
    ask: Periods,
    demand: Periods | None = None,
    promote: Periods | None = None,
    reserve: Periods | None = None,
    planned: Periods | None = None,
    lead_time: Periods | None = None,
    available: Periods | None = None,
    finite: bool = False,
) -> Played:
    """Play as many periods as `ask` has entries: requests and lead times by lane, the share that is available
    by the name of lane, pool or supplier, everything else by warehouse. `finite` ends the episode with the
    last of them."""
    products, played, state = len(network.products), Played([], [], []), initial_state(network, 1)
    like, interruptible = network.volume, network.graph.graph["interruptible"]

    def by_warehouse(given: Periods | None, period: int) -> Tensor | None:
        return None if given is None else _rows(given[period], network.warehouses, products).to(like)

    for period, asked in enumerate(ask):
        decision = Decision(
            requests(network, **asked), by_warehouse(promote, period), by_warehouse(reserve, period)
        )
        chance = Chance(
            demand=_rows(demand[period] if demand else {}, network.warehouses, products).to(like),
            lead_time=None
            if lead_time is None
            else _given(lead_time[period], network.lanes, network.lead_time),
            available=None
            if available is None
            else _given(available[period], [*interruptible, ""], torch.ones(len(interruptible) + 1)).to(like),
            promotion=None if planned is None else _rows(planned[period], network.warehouses, 1)[0].to(like),
            takes_requests=None
            if network.review is None
            else (network.until_review(period) == 0).unsqueeze(-1),
            last=finite and period == len(ask) - 1,
        )
        state, flows, costs = step(network, state, decision, chance)
        played.states.append(state)
        played.flows.append(flows)
        played.costs.append(costs)
    return played


def _given(given: dict[str, PerProduct], names: Sequence[str], usual: Tensor) -> Tensor:
    """A column of what is given by name (of a lane with `_to_` for `->`), and the usual where nothing is."""
    given = {name.replace("_to_", "->"): value for name, value in given.items()}
    assert given.keys() <= set(names), f"{given.keys()} are not all among {names}"
    column = [given.get(name, common) for name, common in zip(names, usual.tolist(), strict=True)]
    return torch.tensor(column, dtype=usual.dtype).unsqueeze(-1)
