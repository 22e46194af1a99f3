"""Lanes to places: what they carry, added up where they leave or arrive."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest

import torch
from jaxtyping import Float, Int
from torch import Tensor

FEW = 4
"""Runs of lanes that are added up one by one: a view and a sum each, where `index_add` takes some 80 ns a lane however few replications."""

MANY = 1024
"""Lanes from which it pays to add up in rounds."""

WASTE = 2.0
"""Rounds that would touch more than so many times the lanes are not used: one place has far more lanes than most."""


@dataclass(frozen=True)
class Run:
    """Lanes next to each other that belong to places next to each other."""

    lane: int
    place: int
    length: int

    def of(self, units: Float[Tensor, "K J B"], places: int) -> Float[Tensor, "K N B"]:
        """What its lanes carry, and nothing at other places."""
        part = units if self.length == units.shape[1] else units.narrow(1, self.lane, self.length)
        return part if self.length == places else torch.nn.functional.pad(part, (0, 0, self.place, places - self.place - self.length))


@dataclass(frozen=True)
class Incidence:
    """Adds up lanes at their places, always in lane order, so that a batch of one is a column of a batch."""

    place: Int[Tensor, " J"]
    places: int
    lanes: Int[Tensor, " J"] | None
    """Those that are added up; None if all."""
    runs: tuple[Run, ...]
    """Of which the lanes consist, where they are few."""
    rounds: tuple[tuple[Int[Tensor, " N"], Float[Tensor, "N 1"] | None], ...]
    """In round j, every place takes its j-th lane; the factor is 0 at places that have none. Empty for runs and `index_add`."""

    @classmethod
    def of(cls, place: list[int], places: int, like: Float[Tensor, ...], lanes: list[int] | None = None) -> Incidence:
        """`place` is that of each of the `lanes`, of all lanes by default. `like` gives device and dtype."""

        def index(values: list[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.long, device=like.device)

        numbers = list(range(len(place))) if lanes is None else lanes
        runs, some = _runs(numbers, place), None if lanes is None else index(lanes)
        if len(runs) <= FEW:
            return cls(index(place), places, some, runs, ())
        at: dict[int, list[int]] = defaultdict(list)
        for lane, where in zip(numbers, place, strict=True):
            at[where].append(lane)
        if len(place) < MANY or max(map(len, at.values())) * places > WASTE * len(place):
            return cls(index(place), places, some, (), ())
        rounds = []
        for each in zip_longest(*(at[where] for where in range(places))):
            has = torch.tensor([[float(lane is not None)] for lane in each], dtype=like.dtype, device=like.device)
            rounds.append((index([lane or 0 for lane in each]), None if bool(has.all()) else has))
        return cls(index(place), places, some, (), tuple(rounds))

    def __call__(self, units: Float[Tensor, "K J B"], onto: Float[Tensor, "K N B"] | None = None) -> Float[Tensor, "K N B"]:
        """The sums, added to what is there already, if anything; may be a view of the units."""
        if self.runs:
            for run in self.runs:
                part = run.of(units, self.places)
                onto = part if onto is None else onto + part
            return onto
        if self.rounds:
            return self._in_rounds(units) if onto is None else onto + self._in_rounds(units)
        some = units if self.lanes is None else units.index_select(1, self.lanes)
        if onto is None:
            onto = units.new_zeros(units.shape[0], self.places, units.shape[-1])
        return onto.index_add(1, self.place, some)

    def _in_rounds(self, units: Float[Tensor, "K J B"]) -> Float[Tensor, "K N B"]:
        total: Tensor | None = None
        for lanes, has in self.rounds:
            each = units.index_select(1, lanes)
            each = each if has is None else each * has
            total = each if total is None else total.add_(each)
        return total

    def at(self, values: Float[Tensor, "K N B"]) -> Float[Tensor, "K J B"]:
        """What holds at the place of every lane; may be a view."""
        if len(self.runs) == 1:
            return values.narrow(1, self.runs[0].place, self.runs[0].length)
        return values.index_select(1, self.place)


def _runs(lanes: list[int], place: list[int]) -> tuple[Run, ...]:
    runs: list[Run] = []
    for lane, where in zip(lanes, place, strict=True):
        last = runs[-1] if runs else None
        if last and (lane, where) == (last.lane + last.length, last.place + last.length):
            runs[-1] = Run(last.lane, last.place, last.length + 1)
        else:
            runs.append(Run(lane, where, 1))
    return tuple(runs)
