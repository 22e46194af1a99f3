"""The laws of the simulator: units are conserved, limits are kept, rewards add up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from marl_inv.common.errors import CheckFailed
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.rollout import Moment, play
from marl_inv.network import network_from_graph
from marl_inv.scenario.objective import COST_PARTS, INCOME_PARTS
from marl_inv.simulator import whole_units

PRECISION = 1e-9
"""Float noise that laws allow, in float64, next to the size of what is added up."""


# The laws of the simulator


def check_laws(problem: Problem, periods: int | None = None, replications: int = 4, seed: int = 0) -> None:
    """A batch of random requests and one of order-up-to: in every period units are conserved, limits kept,
    and money adds up."""
    from marl_inv.baselines.order_up_to import (
        OrderUpTo,
    )  # baselines see the simulator, and are seen from here alone
    from marl_inv.baselines.random_requests import RandomRequests

    precise = replace(problem, network=network_from_graph(problem.network.graph, dtype=torch.float64))
    trace = precise.trace("validate", seed, replications, periods)
    for policy in (RandomRequests.of(precise), OrderUpTo.of(precise)):
        for moment in play(precise, policy, trace):
            where = f"{problem.scenario.name}: {policy.name}, period {moment.view.period}"
            for broken, names, excess, size in laws(moment):
                _hold(where, broken, names, excess, size)


def _hold(where: str, broken: str, names: Sequence[str], excess: Tensor, size: Tensor) -> None:
    """`excess` is (..., names, B), 0 or less where the law holds."""
    bad = ~(excess <= PRECISION * (1 + size.abs().amax())) if excess.numel() else torch.zeros(0)
    if bool(bad.any()):
        first = bad.nonzero()[0].tolist()
        name, by = names[first[-2]], excess[bad][0].item()
        raise CheckFailed(f"{where}, replication {first[-1]}, {name}: {broken}, by {by:g}")


def laws(moment: Moment) -> Iterator[tuple[str, Sequence[str], Tensor, Tensor]]:
    """For every law how its breach is told, of whom it speaks, by how much it is broken (0 or less is not at
    all), and the size of what was added up."""
    network, flows, costs, before, after = (
        moment.view.network,
        moment.flows,
        moment.costs,
        moment.view.state,
        moment.state,
    )
    supplied, on_hand = flows.shipments[:, : network.replenishments].sum(1), before.on_hand
    there = on_hand.sum(1) + before.in_transit.sum(1) + supplied
    here = after.on_hand.sum(1) + after.in_transit.sum(1) + (flows.served + flows.discarded).sum(1)
    yield "units are lost or made", network.products, (there - here).abs(), there
    parts = [network.weights[part] * getattr(costs, part) for part in INCOME_PARTS]
    parts += [-network.weights[part] * getattr(costs, part) for part in COST_PARTS]
    size = sum((part.abs() for part in parts), start=torch.zeros_like(parts[0]))
    yield (
        "the reward is not the sum of its parts",
        network.warehouses,
        (costs.reward - sum(parts)).abs(),
        size,
    )
    paid = costs.transfer_payment
    yield (
        "what warehouses pay each other does not add up to nothing",
        network.products,
        paid.sum(1).abs(),
        paid,
    )
    yield from _order_laws(moment)
    yield "less than nothing is shipped", network.lanes, -flows.shipments, flows.shipments
    yield "less than nothing is on its way", network.warehouses, -after.in_transit, there
    if network.full_shipment is None:
        yield "more is sent than was asked for", network.lanes, flows.shipments - flows.asked, flows.asked
    if network.integer:
        yield (
            "part of a unit is shipped",
            network.lanes,
            (flows.shipments - flows.shipments.round()).abs(),
            flows.shipments,
        )
    sent = network.departures(flows.shipments[:, network.replenishments :])
    yield "more is shipped than it held", network.warehouses, sent - on_hand, on_hand
    if moment.decision.reserve is not None and network.full_shipment is None:
        reserve = whole_units(network, moment.decision.reserve)
        assert reserve is not None
        yield "its reserve is shipped", network.warehouses, sent - (on_hand - reserve).clamp(min=0), on_hand
    yield (
        "there are backorders where unmet demand is lost",
        network.warehouses,
        after.backorders * (1 - network.backordered),
        on_hand,
    )
    if network.storage is not None:
        room = (
            network.storage
            if network.keeps_overflow is None
            else network.storage.where(~network.keeps_overflow.gt(0), torch.inf)
        )
        held, opened = ((state.on_hand * network.volume).sum(0) for state in (after, before))
        yield "more is held than its storage", network.warehouses, held - torch.maximum(room, opened), held
    available = moment.view.known.available
    for limit in network.limits:
        carried = torch.zeros_like(limit.capacity).expand(-1, before.inventory_level.shape[-1])
        carried = carried.index_add(0, limit.group, (flows.shipments * network.volume).sum(0))
        if flows.transshipped is not None:
            carried = carried.index_add(0, limit.reactive_group, (flows.transshipped * network.volume).sum(0))
        yield (
            "more is carried than its capacity",
            (*limit.names, "the rest"),
            carried - limit.now(available),
            carried,
        )


def _order_laws(moment: Moment) -> Iterator[tuple[str, Sequence[str], Tensor, Tensor]]:
    """What lanes take of requests."""
    network, taken, trace = moment.view.network, moment.flows.requests, moment.trace
    if network.minimum_order is not None:
        short = (network.minimum_order - taken) * (taken > 0)
        yield "less than its minimum order is taken", network.lanes, short, taken
    if network.pack_size is not None:
        packs = (taken / network.pack_size.clamp(min=PRECISION)).round()
        part = (taken - packs * network.pack_size).abs() * (network.pack_size > 0)
        yield "part of a pack is taken", network.lanes, part, taken
    if trace.takes_requests is not None:
        closed = ~trace.takes_requests[moment.view.period]
        yield "a request is taken between its reviews", network.lanes, taken * closed, taken
