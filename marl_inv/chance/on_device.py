"""The same luck, drawn where it is played: demand that need not travel from the processor to the device.

The numbers of `Luck` come from a generator that can be asked for its n-th number at once, so every cell of
every replication is worked out by itself: PCG64 DXSM (O'Neill 2014, and NumPy's documentation of
`PCG64DXSM`), a state of 128 bits that is multiplied and added to, in 64-bit whole numbers of torch.
Whole-number demand is the processor's to the last bit; measured demand is it to a rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from marl_inv.chance.counts import Counts, Quantiles
from marl_inv.chance.luck import LAST_RANK, LEAST_RANK, Kind, Luck
from marl_inv.chance.measures import Measures
from marl_inv.scenario.demand import Gamma, Normal

MULTIPLIER = 0xDA942042E4DD58B5
"""By which the generator's state is multiplied."""


HALF = 2**32 - 1


def uniform(
    luck: Luck, kind: Kind, period: int, shape: tuple[int, ...], device: torch.device
) -> Float[Tensor, "*shape B"]:
    """What `luck.uniform` draws for one period, in float64, on a device."""
    begin, increment = luck.generator_at(kind, period, prod(shape))
    by_cell, by_replication = _jumps(prod(shape), len(luck), increment, device)
    state = _jump(by_cell[:, :, None], _jump(by_replication, _halves(begin, device))[:, None])
    return (_output(state) >> 11 & 2**53 - 1).double().mul_(2.0**-53).reshape(*shape, len(luck))


def _halves(number: int, device: torch.device) -> Int[Tensor, "2 1"]:
    return torch.tensor([[_signed(half)] for half in divmod(number, 2**64)], device=device)


def _signed(number: int) -> int:
    """The 64-bit whole number with these bits."""
    return number - 2**64 if number >= 2**63 else number


@lru_cache(maxsize=4)
def _jumps(
    cells: int, replications: int, increment: int, device: torch.device
) -> tuple[Int[Tensor, "4 C"], Int[Tensor, "4 B"]]:
    """The factors and sums that lead c, and b x cells, numbers ahead; of each the high and the low half."""

    def ahead(step: tuple[int, int], count: int) -> Tensor:
        known = torch.tensor([[0], [1], [0], [0]], device=device)
        while known.shape[1] < count:
            far = torch.cat([_halves(part, device) for part in step])
            first = _product(far[:2], known[:2])
            known = torch.cat([known, torch.cat([first, _sum(_product(far[:2], known[2:]), far[2:])])], 1)
            step = _twice(step)
        return known[:, :count].contiguous()

    one = MULTIPLIER, increment
    return ahead(one, cells), ahead(_power(one, cells), replications)


def _twice(step: tuple[int, int]) -> tuple[int, int]:
    factor, summand = step
    return factor * factor % 2**128, (factor + 1) * summand % 2**128


def _power(step: tuple[int, int], count: int) -> tuple[int, int]:
    """The step, so many times."""
    factor, summand = 1, 0
    while count:
        if count % 2:
            factor, summand = factor * step[0] % 2**128, (step[0] * summand + step[1]) % 2**128
        step, count = _twice(step), count // 2
    return factor, summand


def _jump(jump: Tensor, state: Tensor) -> Tensor:
    return _sum(_product(jump[:2], state), jump[2:])


def _sum(one: Tensor, other: Tensor) -> Tensor:
    """Modulo 2^128. A sum of low halves that is less than one of them, as numbers without a sign, has
    carried."""
    low = one[1] + other[1]
    carried = (low ^ -(2**63)) < (other[1] ^ -(2**63))
    return torch.stack([one[0] + other[0] + carried, low])


def _product(one: Tensor, other: Tensor) -> Tensor:
    """Modulo 2^128, of 32-bit halves where it passes 64 bits."""
    high, low = one
    up, down = other
    a, b, c, d = low >> 32 & HALF, low & HALF, down >> 32 & HALF, down & HALF
    corner = b * d
    cross = a * d + (corner >> 32 & HALF)
    middle = b * c + (cross & HALF)
    top = a * c + (cross >> 32 & HALF) + (middle >> 32 & HALF)
    return torch.stack([top + high * down + low * up, low * down])


def _output(state: Tensor) -> Tensor:
    """DXSM: of the high half, shifted and multiplied twice."""
    high, low = state[0], state[1] | 1
    high = high ^ (high >> 32 & HALF)
    high = high * _signed(MULTIPLIER)
    high = high ^ (high >> 48 & 2**16 - 1)
    return high * low


Read = Callable[[Tensor, int], Tensor]
"""Demand (K, M, B) at ranks of that shape, in a period: by its place among those that are drawn."""


def reader(group: Counts | Measures, factor: Float[np.ndarray, "P V C"], device: torch.device) -> Read:
    """Gamma demand, and counts of so many distributions that their table has gaps, are read off by the
    processor."""
    if isinstance(group, Counts):
        quantiles, rows = group.quantiles(factor)
        if quantiles.step == 1:
            return _counts(quantiles, rows, device)
    elif not isinstance(group.model, Gamma):
        return _measures(group, factor, device)
    at_rank = group.at_rank(factor)

    def on_processor(rank: Tensor, period: int) -> Tensor:
        demand = at_rank(rank.cpu().numpy()[None], slice(period, period + 1))[0]
        return torch.from_numpy(demand).to(device)

    return on_processor


def _measures(group: Measures, factor: Float[np.ndarray, "P V C"], device: torch.device) -> Read:
    model, factors = group.model, torch.from_numpy(factor)[:, None].to(device)
    if isinstance(model, Normal):
        mean, sd = (torch.from_numpy(each)[..., None].to(device) for each in group.uncut)

        def normal(rank: Tensor, period: int) -> Tensor:
            demand = mean + sd * torch.special.ndtri(rank.clamp(LEAST_RANK, LAST_RANK))
            return (demand.clamp(min=0) if model.cut_at_zero else demand) * factors[period]

        return normal
    low, high = group.between
    return lambda rank, period: (low + rank * (high - low + 1)).floor().clamp(max=high) * factors[period]


def _counts(quantiles: Quantiles, rows: Int[np.ndarray, "P K M C"], device: torch.device) -> Read:
    """By bisection in the table of probabilities, in as many halvings as the widest place of the guide needs:
    nothing waits for what is found."""
    table, position, lowest, first = (
        torch.from_numpy(each).to(device)
        for each in (quantiles.table, quantiles.position, quantiles.lowest, quantiles.first)
    )
    guided = quantiles.guided
    low, high = position[:, :-1].flatten(), position[:, 1:].flatten()
    halvings = int(np.diff(quantiles.position).max()).bit_length()
    row = torch.from_numpy(rows).to(device)

    def count(rank: Tensor, period: int) -> Tensor:
        place = (rank * guided).long() + row[period]
        distribution = place // guided
        least, most, begin = low[place], high[place], first[distribution]
        for _ in range(halvings):
            middle = (least + most) // 2
            found = table[begin + middle] >= rank
            least, most = torch.where(found, least, middle + 1), torch.where(found, middle, most)
        return (lowest[distribution] + most).to(rank)

    return count
