"""What a policy may ask for: quantities that can be played, or order levels in their place."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from marl_inv.common.errors import InputError
from marl_inv.network import UNLIMITED, TransferNetwork
from marl_inv.simulator import Decision


def checked(network: TransferNetwork, decision: Decision, replications: int) -> Decision:
    """The decision, if it is one a simulator can play; raises InputError for another shape and for quantities
    beyond their bounds.

    Requests are finite and 0 or more, promotion levels 0 to `max_promotion`, reserves 0 to `max_reserve`.
    Reads values, so it waits for the device: for policies from outside, at the door.
    """
    size = network.size
    promotion = (
        torch.zeros_like(size)
        if network.max_promotion is None
        else network.max_promotion.squeeze(-1).expand_as(size)
    )
    reserve = torch.zeros_like(size) if network.max_reserve is None else network.max_reserve
    unbounded = torch.full_like(network.max_request, torch.finfo(size.dtype).max)
    for kind, quantities, places, names, most in (
        ("request", decision.requests, "lanes", network.lanes, unbounded),
        ("promotion", decision.promotion, "warehouses", network.warehouses, promotion),
        ("reserve", decision.reserve, "warehouses", network.warehouses, reserve),
    ):
        if quantities is None:
            continue
        shape = (len(network.products), len(names), replications)
        if quantities.shape != shape:
            raise InputError(
                f"{kind}s are {tuple(quantities.shape)}; give {shape}: products, {places}, batch"
            )
        bad = ~((quantities >= 0) & (quantities <= most.unsqueeze(-1)))
        if bool(bad.any()):
            product, row, _ = bad.nonzero()[0].tolist()
            bounds = "0 or more" if kind == "request" else f"0 to {most[product, row].item():g}"
            where = f"{kind} for {network.products[product]} at {names[row]}"
            raise InputError(f"{where} is {quantities[bad][0].item()}; give a number, {bounds}")
    return decision


LEAST_STEP = 1e-9
"""Units between two levels where nothing may be asked for; keeps quotients finite."""


@dataclass(frozen=True)
class OrderLevels:
    """Levels 0 to `count` - 1 in place of quantities: level j asks for j steps, and 0 for nothing.

    One level for each of A choices: of the lanes, then of the warehouses where any decides promotions, then
    again where any keeps reserves. Those of a lane reach to what passes its destination in a period and three
    standard deviations more, at least twice as much, as far as `max_request` allows; those of promotions and
    reserves to their most. Where quantities are integer, steps are whole units; they are whole packs, and no
    less than a lane takes.
    """

    network: TransferNetwork
    count: int
    step: Float[Tensor, "K A"]
    most: Float[Tensor, "K A"]
    """What may be asked for at all."""

    @classmethod
    def of(cls, network: TransferNetwork, count: int) -> OrderLevels:
        if count < 2:
            raise InputError(f"levels: is {count}; give a whole number, 2 or more")
        size, integer = network.size, network.integer
        usual = torch.maximum(size + 3 * network.throughput_sd, 2 * network.reach).index_select(
            1, network.destination
        )
        reach, most, whole = [torch.minimum(network.max_request, usual)], [network.max_request], [integer]
        if network.max_promotion is not None:
            most.append(network.max_promotion.squeeze(-1).expand_as(size))
            whole.append(False)
        if network.max_reserve is not None:
            most.append(network.max_reserve)
            whole.append(integer)
        steps = [each / (count - 1) for each in (*reach, *most[1:])]
        steps = [
            step.round().clamp(min=1) if is_whole else step
            for step, is_whole in zip(steps, whole, strict=True)
        ]
        steps[0] = _that_lanes_take(network, steps[0])
        return cls(network, count, torch.cat(steps, 1).clamp(min=LEAST_STEP), torch.cat(most, 1))

    def highest(self, available: Float[Tensor, "M B"] | None = None) -> Int[Tensor, "K A _"]:
        """The highest level that makes sense: within what may be asked for and, where what is not shipped now
        is forgotten, within what the lane, its pools and its supplier can carry now. `available` is that of
        `Trace`; None is everything open."""
        network, lanes = self.network, self.most[:, : len(self.network.lanes)].unsqueeze(-1)
        for limit in network.limits:
            fits = limit.now(available).index_select(0, limit.group) / network.volume
            lanes = torch.minimum(lanes, torch.where(self._kept_in_mind, UNLIMITED, fits))
        own = self.most[:, len(network.lanes) :].unsqueeze(-1).expand(-1, -1, lanes.shape[-1])
        # The tolerance lets the last of evenly spaced levels count as within the most that it was made from.
        return (
            (torch.cat([lanes, own], 1) / self.step.unsqueeze(-1) * (1 + 1e-5))
            .clamp(max=self.count - 1)
            .long()
        )

    @cached_property
    def _kept_in_mind(self) -> Bool[Tensor, "E 1"]:
        """Lanes on which a request outlives the period: it is owed, or heard of later."""
        network = self.network
        delayed = (
            torch.zeros_like(network.lead_time, dtype=torch.bool)
            if network.order_slot is None
            else network.order_slot >= len(network.lanes)
        ).unsqueeze(-1)
        return delayed if self.network.owes is None else delayed | (self.network.owes > 0)

    def as_facts(self, available: Float[Tensor, "M B"] | None) -> Float[Tensor, "B K N D"]:
        """The highest levels as facts of the warehouses that choose, side by side and filled up with 0."""
        highest = self.highest(available).to(self.step)
        products, _, batch = highest.shape
        facts = highest.new_zeros(products, len(self.network.warehouses) * self._widest, batch).index_copy(
            1, self._place, highest
        )
        return facts.unflatten(1, (-1, self._widest)).permute(3, 0, 1, 2)

    def from_facts(self, facts: Float[Tensor, "R K N D"]) -> Int[Tensor, "R K A"]:
        """The highest levels that `as_facts` told."""
        return facts.flatten(2).index_select(2, self._place).long()

    @cached_property
    def _place(self) -> Int[Tensor, " A"]:
        """Where every choice stands among the D of all warehouses."""
        owners = choice_owner(self.network)
        following = [itertools.count() for _ in self.network.warehouses]
        rank = owners.new_tensor([next(following[owner]) for owner in owners.tolist()])
        return owners * self._widest + rank

    @cached_property
    def _widest(self) -> int:
        return int(torch.bincount(choice_owner(self.network)).max())

    def mask(self, available: Float[Tensor, "M B"] | None = None) -> Bool[Tensor, "K A J _"]:
        """Whether a level makes sense; level 0 always does."""
        levels = torch.arange(self.count, device=self.step.device).unsqueeze(-1)
        return levels <= self.highest(available).unsqueeze(2)

    def decision(self, levels: Num[Tensor, "K A B"]) -> Decision:
        """What the levels ask for, at most what may be asked for."""
        return split(self.network, torch.minimum(levels * self.step.unsqueeze(-1), self.most.unsqueeze(-1)))


def _that_lanes_take(network: TransferNetwork, step: Float[Tensor, "K E"]) -> Float[Tensor, "K E"]:
    """Steps of whole packs that are not below the least that may be asked for."""
    if network.minimum_order is not None:
        step = torch.maximum(step, network.minimum_order.squeeze(-1))
    if network.pack_size is not None:
        pack = network.pack_size.squeeze(-1)
        step = torch.where(pack > 0, (step / pack.clamp(min=LEAST_STEP)).ceil() * pack, step)
    return step


def choice_owner(network: TransferNetwork) -> Int[Tensor, " A"]:
    """The warehouse that makes each choice: the destination of a lane, then the one that promotes or keeps a
    reserve."""
    everyone = torch.arange(len(network.warehouses), device=network.destination.device)
    decided = (network.max_promotion is not None) + (network.max_reserve is not None)
    return torch.cat([network.destination] + [everyone] * decided)


def split(network: TransferNetwork, amounts: Float[Tensor, "K A B"]) -> Decision:
    """Amounts of the A choices that `OrderLevels` lists as a decision."""
    decided = [len(network.lanes)] + [len(network.warehouses)] * (
        (network.max_promotion is not None) + (network.max_reserve is not None)
    )
    requests, *own = amounts.split(decided, dim=1)
    promotion = None if network.max_promotion is None else own[0]
    return Decision(requests, promotion, None if network.max_reserve is None else own[-1])
