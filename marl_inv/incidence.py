"""Lanes to places: what they carry, added up where they leave or arrive."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest

import torch
from jaxtyping import Float, Int
from torch import Tensor

MANY = 1024
"""Lanes from which it pays to add up in rounds: `index_add` takes some 80 ns a lane however few replications there are."""

WASTE = 2.0
"""Rounds that would touch more than so many times the lanes are not used: one place has far more lanes than most."""


@dataclass(frozen=True)
class Incidence:
    """Adds up lanes at their places, always in lane order, so that a batch of one is a column of a batch."""

    place: Int[Tensor, " J"]
    places: int
    rounds: tuple[tuple[Int[Tensor, " N"], Float[Tensor, "N 1"] | None], ...]
    """In round j, every place takes its j-th lane; the factor is 0 at places that have none. Empty for `index_add`."""

    @classmethod
    def of(cls, place: list[int], places: int, like: Float[Tensor, ...], lanes: list[int] | None = None) -> Incidence:
        """`lanes` are those that are added up, if not all; then there must be rounds. `like` gives device and dtype."""
        at: dict[int, list[int]] = defaultdict(list)
        for lane, where in zip(range(len(place)) if lanes is None else lanes, place, strict=True):
            at[where].append(lane)
        index = torch.tensor(place, dtype=torch.long, device=like.device)
        widest = max(map(len, at.values()), default=0)
        if len(place) < MANY or widest * places > WASTE * len(place):
            return cls(index, places, ())
        rounds = []
        for lanes in zip_longest(*(at[where] for where in range(places))):
            has = torch.tensor([[float(lane is not None)] for lane in lanes], dtype=like.dtype, device=like.device)
            first = torch.tensor([lane or 0 for lane in lanes], dtype=torch.long, device=like.device)
            rounds.append((first, None if bool(has.all()) else has))
        return cls(index, places, tuple(rounds))

    def __call__(self, units: Float[Tensor, "K J B"]) -> Float[Tensor, "K N B"]:
        if not self.rounds:
            return units.new_zeros(units.shape[0], self.places, units.shape[-1]).index_add(1, self.place, units)
        total: Tensor | None = None
        for lanes, has in self.rounds:
            each = units.index_select(1, lanes)
            each = each if has is None else each * has
            total = each if total is None else total.add_(each)
        return total
