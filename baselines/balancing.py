"""Transfers as a layer over any policy that orders on source lanes: surplus goes along lateral lanes to where
there is too little.

Shapes: `J` lateral lanes, `C` columns: every product of every replication.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.baselines.parameters import Parameter, per_replication
from marl_inv.episodes.policy import known_above
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision


def lateral(network: TransferNetwork) -> Float[Tensor, "E 1"]:
    """1 on lanes between warehouses that are nobody's source lane."""
    lanes = torch.zeros(len(network.lanes), 1, dtype=network.size.dtype, device=network.size.device)
    lanes[network.replenishments :] = 1
    lanes[network.source_lane[network.source_lane >= 0]] = 0
    return lanes


@dataclass(frozen=True, eq=False)
class ThresholdBalancing:
    """What a warehouse has on hand above `surplus_level` is offered along its lateral lanes to those who
    hold, with what comes within the lane's lead time, less than their `shortage_level`: shared in proportion
    to what they lack, and no more than that."""

    base: Any
    surplus_level: Float[Tensor, "K N *B"]
    shortage_level: Float[Tensor, "K N *B"]
    name: str = ""
    knows: str = "stock of neighbours, demand distribution"

    @classmethod
    def of(cls, problem: Problem, base: Any = None) -> ThresholdBalancing:
        """Over order-up-to: surplus is above half of its level, shortage below a period's mean demand and one
        standard deviation."""
        network, base = problem.network, base or OrderUpTo.of(problem)
        shortage = network.mean_demand + network.sd_demand
        levels = getattr(base, "levels", 2 * network.size)
        knows = known_above(base, cls.knows)
        return cls(
            base, torch.maximum(0.5 * levels, shortage), shortage, name=f"balanced {base.name}", knows=knows
        )

    @property
    def smooth(self) -> bool:
        return self.base.smooth

    @property
    def foresee(self) -> Any:
        """The policy below's, if it has one."""
        return self.base.foresee

    def start(self, network: TransferNetwork, replications: int) -> Any:
        return self.base.start(network, replications)

    def act(self, view: View, memory: Any) -> tuple[Decision, Any]:
        decision, memory = self.base.act(view, memory)
        return replace(decision, requests=decision.requests + self.transfers(view)), memory

    def transfers(self, view: View) -> Float[Tensor, "K E B"]:
        network, state = view.network, view.state
        supplied = network.replenishments
        if not len(network.origin):
            return state.inventory_level.new_zeros(len(network.products), supplied, view.known.replications)
        spare = (state.on_hand - per_replication(self.surplus_level)).clamp(min=0)
        soon = _arriving_within(view)[:, supplied:]
        lacking = (
            per_replication(self.shortage_level).index_select(1, network.destination[supplied:]) - soon
        ).clamp(min=0)
        lacking = lacking * lateral(network)[supplied:]
        offered = spare.index_select(1, network.origin) * _share(
            lacking, network.departures(lacking).index_select(1, network.origin)
        )
        offers = (
            torch.zeros_like(spare)
            .index_add(1, network.destination[supplied:], offered)
            .index_select(1, network.destination[supplied:])
        )
        sent = offered * (lacking / torch.maximum(offers, lacking).clamp(min=1e-9))
        return torch.cat([sent.new_zeros(len(sent), supplied, sent.shape[-1]), sent], dim=1)

    def parameters(self, problem: Problem) -> dict[str, Parameter]:
        """Its own and those of the policy below, all tuned together."""
        unit = problem.network.sd_demand.clamp(min=0.1)
        own = {
            "surplus_level": Parameter(self.surplus_level, unit),
            "shortage_level": Parameter(self.shortage_level, unit),
        }
        return own | {f"base.{name}": parameter for name, parameter in self.base.parameters(problem).items()}

    def beginnings(self, problem: Problem) -> list[ThresholdBalancing]:
        """With the transfers in several strengths, the weakest of them none."""
        network = problem.network
        steps = [(surplus, shortage) for surplus in (0.3, 0.5, 0.8) for shortage in (0.0, 1.0, 2.0)]
        begun = []
        for base in self.base.beginnings(problem):
            levels = getattr(base, "levels", 2 * network.size)
            for surplus, shortage in steps:
                low = network.mean_demand * shortage + network.sd_demand * (shortage > 0)
                begun.append(
                    replace(
                        self,
                        base=base,
                        surplus_level=torch.maximum(surplus * levels, low),
                        shortage_level=low,
                    )
                )
        return begun


class LPBalancing(ThresholdBalancing):
    """What can be spared goes to those who lack it by the plan that saves most: a minimum-cost flow, solved
    exactly in every period.

    A warehouse can spare what it has on hand, and no more than what is above its `surplus_level` with what
    comes soon: within the lead time of its quickest lateral lane. A unit saves the shortage that it prevents
    and the holding that it ends, less what moving it costs.
    """

    @classmethod
    def of(cls, problem: Problem, base: Any = None) -> LPBalancing:
        begun = ThresholdBalancing.of(problem, base)
        return cls(
            begun.base,
            begun.surplus_level,
            begun.shortage_level,
            name=f"LP-balanced {begun.base.name}",
            knows=begun.knows,
        )

    def transfers(self, view: View) -> Float[Tensor, "K E B"]:
        network, state = view.network, view.state
        lanes = lateral(network).squeeze(-1).nonzero().squeeze(-1)
        sent = state.inventory_level.new_zeros(
            len(network.products), len(network.lanes), view.known.replications
        )
        if not len(lanes):
            return sent
        origin, destination = network.origin[lanes - network.replenishments], network.destination[lanes]
        needed = per_replication(self.shortage_level).index_select(1, destination)
        lacked = (needed - _arriving_within(view).index_select(1, lanes)).clamp(min=0)
        lacking = _highest(
            lacked.transpose(0, 1), destination, torch.zeros_like(state.on_hand).transpose(0, 1)
        ).transpose(0, 1)
        above = state.inventory_level + _due_soon(view, lanes) - per_replication(self.surplus_level)
        spare = torch.minimum(state.on_hand, above.clamp(min=0))
        most = torch.minimum(lacked, _capacity(view).index_select(1, lanes))
        gain = saving(network)[:, lanes - network.replenishments].unsqueeze(-1).expand_as(most)
        flow = best_flow(origin, destination, *(_columns(each) for each in (spare, lacking, most, gain)))
        return sent.index_copy(1, lanes, flow.unflatten(1, (len(sent), -1)).transpose(0, 1))


def saving(network: TransferNetwork) -> Float[Tensor, "K V"]:
    """What a unit saves that is moved along a lane between warehouses to where it would have been short, and
    from where it would have been held."""
    nothing, counted = torch.zeros_like(network.mean_demand), network.counted
    held, short, price = (
        nothing if rate is None else rate[:, :, 0].expand_as(nothing)
        for rate in (network.holding_cost, network.shortage_cost, network.counted_price)
    )
    held, short = held * counted["holding"], short * counted["shortage"]
    short = (
        short
        + price * (1 - network.backordered[:, 0])
        + network.weights["shortfall"] * network.rules.service.price
    )
    transfers = slice(network.replenishments, None)
    return (
        held[:, network.origin] + short[:, network.destination[transfers]] - network.unit_cost[:, transfers]
    )


def best_flow(
    origin: Int[Tensor, " J"],
    destination: Int[Tensor, " J"],
    spare: Float[Tensor, "N C"],
    lacking: Float[Tensor, "N C"],
    most: Float[Tensor, "J C"],
    gain: Float[Tensor, "J C"],
) -> Float[Tensor, "J C"]:
    """The flow along lanes from who can spare to who lacks that gains most, in every column: a transportation
    problem with capacities.

    Successive best paths (Busacker and Gowen 1961): every path sends what it can, and may take back from
    lanes what was sent along them before. Which paths are best does not change the flow's gradient; how much
    they carry does.
    """
    flow = torch.zeros_like(most)
    dust = 64 * torch.finfo(most.dtype).eps * max(1.0, float(lacking.detach().max()))
    while True:
        with torch.no_grad():
            ways, start, end, found = _best_paths(
                origin, destination, spare > dust, lacking > dust, most - flow > dust, flow > dust, gain
            )
        if not bool(found.any()):
            return flow
        room = torch.where(ways > 0, most - flow, torch.where(ways < 0, flow, torch.inf)).amin(
            0, keepdim=True
        )
        room = torch.minimum(room, torch.minimum(spare.gather(0, start), lacking.gather(0, end)))
        room = torch.where(found, room, 0.0)
        flow = flow + ways * room
        spare, lacking = spare.scatter_add(0, start, -room), lacking.scatter_add(0, end, -room)


def _best_paths(
    origin: Int[Tensor, " J"],
    destination: Int[Tensor, " J"],
    spares: Bool[Tensor, "N C"],
    lacks: Bool[Tensor, "N C"],
    open_: Bool[Tensor, "J C"],
    used: Bool[Tensor, "J C"],
    gain: Float[Tensor, "J C"],
) -> tuple[Float[Tensor, "J C"], Int[Tensor, "1 C"], Int[Tensor, "1 C"], Bool[Tensor, "1 C"]]:
    """By Bellman and Ford. Returns 1 on lanes that the path goes along and -1 where it takes back, its ends,
    and whether there is one."""
    reach = torch.where(spares, 0.0, -torch.inf).to(gain)
    arriving, back = torch.full_like(reach, -torch.inf), torch.full_like(reach, -1, dtype=torch.long)
    along, noise = back, 64 * torch.finfo(gain.dtype).eps * max(1.0, float(gain.abs().max()))
    for _ in range(len(reach)):
        sent, lane = _best_lane(torch.where(open_, reach[origin] + gain, -torch.inf), destination, reach)
        better = sent > arriving + noise
        arriving, along = torch.where(better, sent, arriving), torch.where(better, lane, along)
        returned, lane = _best_lane(
            torch.where(used, arriving[destination] - gain, -torch.inf), origin, reach
        )
        better = returned > reach + noise
        reach, back = torch.where(better, returned, reach), torch.where(better, lane, back)
        if not bool(better.any()):
            break
    gained, end = torch.where(lacks, arriving, -torch.inf).max(0, keepdim=True)
    found = gained > noise
    ways, at, start, going = torch.zeros_like(gain), end, end, found
    while bool(going.any()):
        lane = along.gather(0, at).clamp(min=0)
        ways.scatter_add_(0, lane, going.to(gain))
        start = torch.where(going, origin[lane], start)
        lane = back.gather(0, start)
        going = going & (lane >= 0)
        ways.scatter_add_(0, lane.clamp(min=0), -going.to(gain))
        at = torch.where(going, destination[lane.clamp(min=0)], at)
    return ways, start, end, found


def _best_lane(
    value: Float[Tensor, "J C"], place: Int[Tensor, " J"], like: Float[Tensor, "N C"]
) -> tuple[Float[Tensor, "N C"], Int[Tensor, "N C"]]:
    """The highest value of the lanes at every place, and the last lane that has it."""
    best = _highest(value, place, torch.full_like(like, -torch.inf))
    number = torch.arange(len(place), device=place.device).unsqueeze(-1)
    number = torch.where(value == best[place], number, -1)
    return best, _highest(number, place, torch.full_like(like, -1, dtype=torch.long))


def _highest(value: Num[Tensor, ...], place: Int[Tensor, " J"], least: Num[Tensor, ...]) -> Num[Tensor, ...]:
    """The highest value of the rows at every place, and at least so much."""
    return least.scatter_reduce(0, place.reshape(-1, *[1] * (value.ndim - 1)).expand_as(value), value, "amax")


def _columns(values: Float[Tensor, "K J B"]) -> Float[Tensor, "J KB"]:
    return values.transpose(0, 1).flatten(1)


def _capacity(view: View) -> Float[Tensor, "K E B"]:
    """What every lane can carry of every product now, if it carries nothing else and its pools and supplier
    serve it alone."""
    network, like = view.network, view.state.inventory_level
    room = like.new_full((len(network.lanes), like.shape[-1]), torch.inf)
    for limit in network.limits:
        room = torch.minimum(room, limit.now(view.known.available).index_select(0, limit.group))
    return room / network.volume


def _due_soon(view: View, lanes: Int[Tensor, " J"]) -> Float[Tensor, "K N B"]:
    """What is due at every warehouse within the lead time of its quickest lateral lane."""
    pipeline, times = view.state.pipeline, view.network.lead_time[lanes]
    quickest = -_highest(
        -times, view.network.destination[lanes], torch.full_like(view.network.source_lane, -pipeline.shape[1])
    )
    due = torch.arange(1, pipeline.shape[1] + 1, device=times.device).unsqueeze(-1) <= quickest
    return (pipeline * due.unsqueeze(-1).to(pipeline)).sum(1)


def _arriving_within(view: View) -> Float[Tensor, "K E B"]:
    """What the destination of every lane has and gets until a shipment that leaves now would arrive."""
    network, state = view.network, view.state
    soon = torch.cat([state.inventory_level.unsqueeze(1), state.pipeline], dim=1).cumsum(1)
    slots = (network.lead_time.clamp(max=soon.shape[1] - 1) * soon.shape[2] + network.destination).long()
    return soon.flatten(1, 2).index_select(1, slots)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return part / whole.clamp(min=1e-9)
