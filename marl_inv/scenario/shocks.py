"""What may befall demand beyond what a scenario says: shocks to train against, and to play policies under.

A library of them is a YAML list. `chance.shocks` draws from it.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from marl_inv.common.documents import read_yaml
from marl_inv.common.errors import InputError, suggestion
from marl_inv.common.records import Record, validate
from marl_inv.scenario.fields import Amount


def _shares(value: object) -> object:
    if (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(type(share) in (int, float) for share in value)
        and 0 <= value[0] <= value[1] <= 1
    ):
        return tuple(value)
    raise ValueError(f"is {value!r}; give two numbers from 0 to 1, the least first: [0.1, 0.3]")


Shares = Annotated[tuple[float, float], BeforeValidator(_shares)]
"""The least and the most, as shares of the horizon."""


class Shock(Record):
    """Demand is multiplied, from some period of an episode on."""

    name: str = Field(min_length=1)
    """What tables call it."""
    factors: list[Amount] = Field(min_length=1)
    """What demand is multiplied by: one of these, equally likely. Of noise, how much of demand comes and goes
    from one period to the next."""
    shape: Literal["step", "ramp", "noise"] = "step"
    """step: at once; ramp: evenly, until it ends, and it stays; noise: up or down by the factor in every
    period."""
    begins: Shares = (0.0, 0.8)
    """The stretch of the episode in which it begins."""
    lasts: Shares = (1.0, 1.0)
    """How long, at least and at most; it ends with the episode at the latest."""
    where: Literal["all", "one"] = "all"
    """In all warehouses, or in one of them."""

    @property
    def labels(self) -> list[str]:
        """Of every size."""
        sign = "±" if self.shape == "noise" else "x"
        return [f"{self.name} {sign}{factor:g}" for factor in self.factors]


class _Library(Record):
    shocks: list[Shock] = Field(min_length=1)


def shock_library(name: str | Path) -> list[Shock]:
    """Shocks of a library by name, or of a YAML file by its path. Raises InputError."""
    if Path(name).suffix in (".yaml", ".yml"):
        path = Path(name)
    else:
        known = shock_libraries()
        if str(name) not in known:
            raise InputError(
                f"shocks: {name} is no library of shocks{suggestion(str(name), known)}; or give the path "
                "of a .yaml file"
            )
        path = known[str(name)]
    return validate(_Library, read_yaml(path)).shocks


def shock_libraries() -> dict[str, Path]:
    """Those that come with marl_inv, by name."""
    folder = resources.files("marl_inv.scenarios") / "shocks"
    paths = sorted(Path(str(entry)) for entry in folder.iterdir())
    return {path.stem: path for path in paths if path.suffix == ".yaml"}
