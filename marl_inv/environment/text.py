"""A period as text, for `render_mode="ansi"`."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from marl_inv.chance.trace import Trace
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Costs, Flows, State, on_order


@dataclass(frozen=True)
class Turn:
    """Where an episode stands before period `period`, and what happened in the one before it."""

    trace: Trace
    period: int
    state: State
    flows: Flows | None = None
    costs: Costs | None = None


def table(network: TransferNetwork, now: Turn) -> str:
    """The warehouses and their sum as lines of text, over all products: stock now, flows and profit of the
    period before."""
    columns = {
        "on hand": now.state.on_hand,
        "backorders": now.state.backorders,
        "on order": on_order(network, now.state),
    }
    if now.flows is not None and now.costs is not None:
        nothing, flows = torch.zeros_like(now.flows.demand), now.flows
        requested, shipped = (
            nothing.index_add(1, network.destination, units) for units in (flows.requests, flows.shipments)
        )
        columns |= {
            "demand": flows.demand,
            "unmet": flows.unmet,
            "requested": requested,
            "shipped": shipped,
            "reward": now.costs.reward,
        }
    amounts = torch.stack(list(columns.values()), dim=-1)[:, :, 0].sum(0, dtype=torch.float64)
    amounts = torch.cat([amounts, amounts.sum(0, keepdim=True)]).tolist()
    rows = [["warehouse", *columns]]
    rows += [
        [name, *(f"{amount:z,.1f}" for amount in row)]
        for name, row in zip((*network.warehouses, "all"), amounts, strict=True)
    ]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [
                f"{row[0]:<{widths[0]}}",
                *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
