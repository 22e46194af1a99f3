"""What happens beside demand: surges of it, outages and delays, at set times or by chance. `chance.events`
draws them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from marl_inv.common.records import Record
from marl_inv.scenario.fields import LONGEST, Amount, Share, Whole, as_duration


class _Happening(Record):
    name: str = ""
    """For who reads the file; nothing depends on it."""
    at: list[Whole] = []
    """Periods in which it begins."""
    probability: Share = 0.0
    """That it begins in a period in which it is not under way."""
    duration: Annotated[int | tuple[int, int], BeforeValidator(as_duration)] = 1
    """Periods it lasts, 1 or more, or [shortest, longest] to draw from."""

    @model_validator(mode="after")
    def _happens(self) -> _Happening:
        if not self.at and not self.probability:
            raise ValueError("never happens; give `at: [periods]` or a `probability`")
        return self


class Surge(_Happening):
    """Multiplies demand."""

    kind: Literal["surge"]
    """More demand, or less."""
    factor: Amount
    """What demand is multiplied by while it lasts."""
    targets: list[str] = []
    """Warehouses; all when empty."""


class Outage(_Happening):
    """Takes capacity away: a supplier that cannot deliver, a warehouse that nothing leaves, a lane that is
    closed, trucks that are missing."""

    kind: Literal["outage"]
    """Less capacity, or none."""
    factor: Share = 0.0
    """Share of the capacity that is left; with 0 nothing leaves, even where the capacity has no limit."""
    targets: list[str] = Field(min_length=1)
    """Suppliers, warehouses, lanes or pools. What is on its way to a warehouse still arrives there, and its
    own customers are still served."""


class Delay(_Happening):
    """What leaves while it lasts takes longer."""

    kind: Literal["delay"]
    """Longer lead times."""
    periods: Annotated[int, Field(ge=1, le=LONGEST)]
    """Added to the lead time."""
    targets: list[str] = []
    """Lanes; all when empty. A lane of lead time 0 becomes one that delivers later."""


Event = Annotated[Surge | Outage | Delay, Field(discriminator="kind")]
