"""Shocks as they befall the demand of every episode: a factor for each period, warehouse and replication."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from marl_inv.chance.luck import Luck
from marl_inv.scenario.shocks import Shock, shock_library


@dataclass(frozen=True)
class Shocks:
    """An episode is befallen with probability `share`, by one of the shocks, each equally likely."""

    shocks: tuple[Shock, ...]
    share: float = 1.0

    @classmethod
    def of(cls, library: str | Path, share: float = 1.0) -> Shocks:
        """Those of a library, by its name or path. Raises InputError."""
        return cls(tuple(shock_library(library)), share)

    def factor(self, horizon: int, periods: range, warehouses: int, luck: Luck) -> Float[np.ndarray, "P N B"]:
        """What demand is multiplied by. Shocks are laid into episodes of `horizon` periods; periods before 0
        are as ever."""
        result = np.ones((len(periods), warehouses, len(luck)))
        befallen, which, size, begins, lasts, place = luck.uniform("shocks", range(1), 6)[0]
        chosen = np.where(befallen < self.share, (which * len(self.shocks)).astype(int), -1)
        for number, shock in enumerate(self.shocks):
            for replication in np.flatnonzero(chosen == number):
                begin = round(horizon * _between(shock.begins, begins[replication]))
                length = max(1, round(horizon * _between(shock.lasts, lasts[replication])))
                course = _course(
                    shock,
                    shock.factors[int(size[replication] * len(shock.factors))],
                    np.array(periods) - begin,
                    length,
                )
                where = slice(None) if shock.where == "all" else [int(place[replication] * warehouses)]
                result[:, where, replication] = course[:, None]
            if shock.shape == "noise" and (chosen == number).any():
                up = luck.uniform("shocks", periods, warehouses, number=1) < 0.5
                befell = (chosen == number) & (result != 1)
                result = np.where(befell & ~up, 2 - result, result)
        return result


def _between(bounds: tuple[float, float], share: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * share


def _course(shock: Shock, factor: float, since: np.ndarray, length: int) -> Float[np.ndarray, " P"]:
    """What demand is multiplied by, so many periods after the shock began."""
    if shock.shape == "ramp":
        steps = np.round((since + 1).clip(0, length) / length * RAMP_STEPS) / RAMP_STEPS
        return 1 + (factor - 1) * steps
    befallen = (since >= 0) & (since < length)
    return np.where(befallen, 1 + factor if shock.shape == "noise" else factor, 1.0)


RAMP_STEPS = 16
"""Of a ramp, so that demand has few distributions."""


def on_their_own(shocks: Sequence[Shock], begin: float = 1 / 3) -> dict[str, Shocks]:
    """Every size of every shock, befalling all episodes from the same period on; by name."""
    return {
        label: Shocks((shock.model_copy(update={"factors": [factor], "begins": (begin, begin)}),))
        for shock in shocks
        for label, factor in zip(shock.labels, shock.factors, strict=True)
    }
