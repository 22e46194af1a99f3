"""Lanes to places: what they carry, added up where they leave or arrive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

MANY = 1024
"""Lanes from which they are first added up, and then to what is there; of fewer, each is added to it."""


@dataclass(frozen=True)
class Incidence:
    """Adds up lanes at their places, always in lane order, so that a batch of one is a column of a batch."""

    place: Int[Tensor, " J"]
    """Of each of the lanes that are added up."""
    places: int
    lanes: Int[Tensor, " J"] | None
    """Which they are; None if all."""
    run: tuple[int, int] | None
    """The first lane and its place, if from there both go up one by one; sums are views then, or nearly."""
    bags: Bags | None
    """How rows of products x lanes become rows of products x places; None for a run."""

    @classmethod
    def of(
        cls,
        place: Sequence[int],
        places: int,
        like: Float[Tensor, "K 1 1"],
        lanes: Sequence[int] | None = None,
        among: int = 0,
    ) -> Incidence:
        """`place` is that of each of the `lanes`, which are some `among` so many; by default of all. `like`
        tells products and device."""

        def index(values: Sequence[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.long, device=like.device)

        numbers = range(len(place)) if lanes is None else lanes
        ways = {
            (lane - position, where - position)
            for position, (lane, where) in enumerate(zip(numbers, place, strict=True))
        }
        run = ways.pop() if len(ways) == 1 else None
        some, at = None if lanes is None else index(lanes), index(place)
        bags = None if run else Bags.of(at, places, index(list(numbers)), among or len(place), len(like))
        return cls(at, places, some, run, bags)

    def __call__(
        self, units: Float[Tensor, "K J B"], onto: Float[Tensor, "K N B"] | None = None
    ) -> Float[Tensor, "K N B"]:
        """The sums, added to what is there already, if anything; may be a view of the units."""
        if onto is not None and self.bags is not None and len(self.place) < MANY:
            return onto.index_add(
                1, self.place, units if self.lanes is None else units.index_select(1, self.lanes)
            )
        sums = (
            self._along(units)
            if self.bags is None
            else self.bags(units.flatten(0, 1)).unflatten(0, (-1, self.places))
        )
        return sums if onto is None else onto + sums

    def _along(self, units: Float[Tensor, "K J B"]) -> Float[Tensor, "K N B"]:
        assert self.run is not None
        (lane, place), length = self.run, len(self.place)
        part = units if length == units.shape[1] else units.narrow(1, lane, length)
        return (
            part
            if length == self.places
            else torch.nn.functional.pad(part, (0, 0, place, self.places - place - length))
        )

    def at(self, values: Float[Tensor, "K N B"]) -> Float[Tensor, "K J B"]:
        """What holds at the place of every lane; may be a view."""
        return (
            values.index_select(1, self.place)
            if self.run is None
            else values.narrow(1, self.run[1], len(self.place))
        )


@dataclass(frozen=True)
class Bags:
    """Rows to sums: torch's `embedding_bag`, which reads every row once and writes every sum once, and adds
    up in order on every device."""

    rows: Int[Tensor, " M"]
    """Bag after bag."""
    first: Int[Tensor, " Q"]
    """Where in `rows` every bag begins."""
    bag: Int[Tensor, " M"]
    """Of every entry of `rows`."""

    @classmethod
    def of(
        cls, place: Int[Tensor, " J"], places: int, lanes: Int[Tensor, " J"], among: int, products: int
    ) -> Bags:
        place, order = place.sort(stable=True)
        first = torch.bincount(place, minlength=places).cumsum(0) - torch.bincount(place, minlength=places)
        product = torch.arange(products, device=place.device).unsqueeze(1)
        parts = lanes[order] + among * product, first + len(place) * product, place + places * product
        return cls(*(part.flatten() for part in parts))

    def __call__(self, units: Float[Tensor, "M B"]) -> Float[Tensor, "Q B"]:
        if units.requires_grad and torch.is_grad_enabled():
            return _Bagged.apply(units, self.rows, self.first, self.bag)
        return torch.embedding_bag(units, self.rows, self.first)[0]


class _Bagged(torch.autograd.Function):
    """With the gradient that torch's own has, which it would sort the rows for in every backward pass."""

    @staticmethod
    def forward(context: Any, units: Tensor, rows: Tensor, first: Tensor, bag: Tensor) -> Tensor:
        context.shape = units.shape
        context.save_for_backward(rows, bag)
        return torch.embedding_bag(units, rows, first)[0]

    @staticmethod
    def backward(context: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        rows, bag = context.saved_tensors
        return (
            slope.new_zeros(context.shape).index_copy(0, rows, slope.index_select(0, bag)),
            None,
            None,
            None,
        )
