"""What agents are told of the coming demand: the truth with noise, or a mean given what is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import ndtr, ndtri
from torch import Tensor

from marl_inv.chance.luck import LAST_RANK, LEAST_RANK, Kind, Luck
from marl_inv.scenario.demand import Evolution, TruthPlusNoise

EDGE, CELLS = 6.0, 480
"""Normal numbers at which demand is tabulated: cells of equal width between the edges."""


SIGNALS = np.linspace(-5.0, 5.0, 101)
"""Normal numbers at which forecasts are tabulated; between them they are straight."""


KNOWN_SHARES = np.linspace(0.0, 1.0, 41)
"""Shares of what moves demand that are known, for which forecasts are tabulated."""


TABULATED_AT_ONCE = 64
"""Distributions that are tabulated together."""


def normal(luck: Luck, kind: Kind, periods: range, *shape: int) -> Float[np.ndarray, "P *shape B"]:
    """Standard normal numbers."""
    return ndtri(np.maximum(luck.uniform(kind, periods, *shape), LEAST_RANK))


def truth_plus_noise(
    told: TruthPlusNoise,
    coming: Float[Tensor, "P K N B"],
    mean: Float[np.ndarray, "K N"],
    lowest: Float[Tensor, "N 1"],
    luck: Luck,
) -> Float[Tensor, "S A K N B"]:
    """Demand as it will be, plus an error; cut at 0 where demand is."""
    truth = coming.unfold(0, told.horizon, 1).movedim(-1, 1)
    if told.error == 0:
        return truth
    noise = torch.from_numpy(normal(luck, "forecast", range(len(truth)), *truth.shape[1:-1]))
    size = torch.from_numpy(told.error * mean) * torch.arange(1, told.horizon + 1).sqrt()[:, None, None]
    return (truth + size.unsqueeze(-1) * noise).maximum(lowest)


def ranks_of_cells() -> Float[np.ndarray, " Z"]:
    """At which the demand that `Evolving` is made of is read off."""
    return ndtr(_middles()).clip(max=LAST_RANK)


class Evolving:
    """Forecasts that evolve as a martingale, for demand of any distribution.

    The normal number Z that demand is read off at is a sum of independent parts, one of which becomes known
    in every period before the demand: what is known `a` periods ahead is a normal number of variance v(a),
    and the forecast is the mean of demand given that. So it is unbiased, and two revisions have nothing in
    common. v is such that the forecast explains the share of demand's variance that the scenario says.
    Distributions are tabulated: D of them.
    """

    def __init__(self, told: Evolution, demand: Float[np.ndarray, "D Z"]) -> None:
        """`demand` is what is asked for at `ranks_of_cells`."""
        self.known = np.empty((len(demand), told.horizon))
        self._table = np.empty((len(demand), told.horizon, len(SIGNALS)))
        for first in range(0, len(demand), TABULATED_AT_ONCE):
            part = slice(first, first + TABULATED_AT_ONCE)
            for row, (level, explained, tables) in enumerate(_tabulated(demand[part]), first):
                for ahead, wanted in enumerate(told.by_lead):
                    place = float(np.interp(wanted, explained, np.arange(len(KNOWN_SHARES))))
                    below = min(int(place), len(KNOWN_SHARES) - 2)
                    above = place - below
                    self.known[row, ahead] = (1 - above) * KNOWN_SHARES[below] + above * KNOWN_SHARES[
                        below + 1
                    ]
                    self._table[row, ahead] = level + (1 - above) * tables[below] + above * tables[below + 1]

    def forecast(
        self,
        rank: Float[np.ndarray, "P K N B"],
        row: Int[np.ndarray, "P K N"],
        luck: Luck,
    ) -> Float[Tensor, "S A K N B"]:
        """`rank` is what the demand of periods 0, 1, ... is read off at, `row` whose distribution it has."""
        horizon = self.known.shape[1]
        noise = normal(luck, "forecast", range(len(rank)), horizon, *rank.shape[1:-1])
        issued = len(rank) - horizon + 1
        result = np.empty((issued, horizon, *rank.shape[1:]))
        signal, before = ndtri(rank.clip(LEAST_RANK, LAST_RANK)), np.ones((*row.shape, 1))
        width = SIGNALS[1] - SIGNALS[0]
        for ahead in range(horizon):
            now = self.known[row, ahead][..., None]
            share = np.divide(now, before, out=np.zeros_like(now), where=before > 0)
            signal = signal * share + np.sqrt(now * (1 - share)) * noise[:, ahead]
            at = np.divide(signal, np.sqrt(now), out=np.zeros_like(signal), where=now > 0)
            at = ((at - SIGNALS[0]) / width).clip(0, len(SIGNALS) - 1)
            below = at.astype(np.int64).clip(max=len(SIGNALS) - 2)
            part, table = at - below, self._table[:, ahead].ravel()
            place = row[..., None] * len(SIGNALS) + below
            mean = (1 - part) * table.take(place) + part * table.take(place + 1)
            result[:, ahead], before = mean[ahead : ahead + issued], now
        return torch.from_numpy(result)


def _tabulated(
    demand: Float[np.ndarray, "D Z"],
) -> Iterator[tuple[float, Float[np.ndarray, " J"], Float[np.ndarray, "J G"]]]:
    """Of every distribution its mean, the share of its variance that forecasts explain, by the share of Z
    that is known, and their distance from the mean, by the signal.

    Products of matrices round by their shapes, so there are always equally many rows.
    """
    rows = np.zeros((TABULATED_AT_ONCE, CELLS))
    rows[: len(demand)] = demand
    edges = np.linspace(-EDGE, EDGE, CELLS + 1)
    edges[[0, -1]] = -np.inf, np.inf
    chance = np.diff(ndtr(edges))
    seen = np.diff(ndtr(np.concatenate([[-np.inf], (SIGNALS[1:] + SIGNALS[:-1]) / 2, [np.inf]])))
    mean = rows @ chance
    rows -= mean[:, None]
    variance = rows**2 @ chance
    tables = np.stack([rows @ _given(share, edges) for share in KNOWN_SHARES], 1)
    explained = tables**2 @ seen / np.where(variance > 0, variance, 1)[:, None]
    for row in range(len(demand)):
        varies = explained[row, -1] > 0
        yield mean[row], np.maximum.accumulate(explained[row]) if varies else KNOWN_SHARES, tables[row]


def _middles() -> Float[np.ndarray, " Z"]:
    edges = np.linspace(-EDGE, EDGE, CELLS + 1)
    return (edges[1:] + edges[:-1]) / 2


def _given(share: float, edges: Float[np.ndarray, " Y"]) -> Float[np.ndarray, "Z G"]:
    """Chance of every cell of Z, given the signal, when so much of its variance is known."""
    left = np.sqrt(1 - share)
    at = (edges[:, None] - np.sqrt(share) * SIGNALS) / max(left, 1e-9)
    return np.diff(ndtr(at), axis=0)
