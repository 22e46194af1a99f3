"""Where all chance comes from: a uniform number for every cell of every period of every replication."""

from __future__ import annotations

from math import prod
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

Stream = Literal["train", "tune", "validate", "evaluate"]
"""Disjoint sources of luck: what a policy was fitted on never scores it. From a data file, train, tune and
validate draw stretches of the same training periods; evaluation has periods of its own."""


Kind = Literal["demand", "stretch", "regimes", "lead_times", "forecast", "start", "events", "shocks"]
"""What has numbers of its own. New kinds go last: the place in the list is part of the seed."""


APART = 0x9E3779B97F4A7C15F39CC0605CEDC835
"""Numbers between two periods: 2^128 over the golden ratio, so that any few periods lie far apart on the
generator's circle of 2^128."""


class Luck:
    """Uniform numbers for some replications of a stream, from which all that is random is read off.

    A number depends on the seed, stream, kind of chance, period, replication and cell, and on nothing else:
    not on the batch, on what else is drawn, on how many periods there are, or on how long the past is.
    `number` tells chances of one kind apart.
    """

    def __init__(self, seed: int, stream: Stream, replications: range) -> None:
        self._seed, self._stream, self._replications = seed, get_args(Stream).index(stream), replications

    def __len__(self) -> int:
        return len(self._replications)

    def uniform(
        self, kind: Kind, periods: range, *shape: int, number: int = 0
    ) -> Float[np.ndarray, "P *shape B"]:
        """Numbers in [0, 1). Periods before 0 are the past."""
        cells, place = prod(shape), 0
        source = self._source(kind, number)
        generator = np.random.Generator(source)
        drawn, result = np.empty((len(self), cells)), np.empty((len(periods), cells, len(self)))
        for row, period in zip(result, periods, strict=True):
            begin = self._begin(period, cells)
            source.advance((begin - place) % 2**128)
            generator.random(out=drawn)
            row[:], place = drawn.T, begin + drawn.size
        return result.reshape(len(periods), *shape, len(self))

    def generator_at(self, kind: Kind, period: int, cells: int) -> tuple[int, int]:
        """Where the generator stands before a period's first number, and what it adds to itself: 128 bits
        each."""
        source = self._source(kind)
        source.advance(self._begin(period, cells) % 2**128)
        held: Any = source.state["state"]
        return held["state"], held["inc"]

    def _source(self, kind: Kind, number: int = 0) -> np.random.PCG64DXSM:
        key = (self._stream, get_args(Kind).index(kind), number)
        return np.random.PCG64DXSM(np.random.SeedSequence(self._seed, spawn_key=key))

    def _begin(self, period: int, cells: int) -> int:
        """How many numbers come before a period's."""
        apart = 2 * period if period >= 0 else -2 * period - 1
        return apart * APART + self._replications.start * cells


LEAST_RANK, LAST_RANK = 2.0**-54, 1 - 2.0**-53
"""Normal and gamma demand is infinite or nothing at ranks of 0 and 1; uniform numbers are multiples of
2^-53."""
