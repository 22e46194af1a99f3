"""What a person got wrong, in one line: where, what was given, what would work."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from marl_inv.common.text import message


class InputError(ValueError):
    """Something a person gave is wrong; the message says where, what was given and what would work, in lines
    that are safe to print."""

    def __init__(self, told: str) -> None:
        super().__init__(message(told))


def shown(value: Any) -> str:
    """A value as an error line quotes it, short enough to read."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python writes out no number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


ALSO_CALLED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("cost", "unit_cost"), ("procurement_cost", "transport_cost", "holding_cost", "shortage_cost")
    ),
    **dict.fromkeys(("purchase_cost", "purchase_price", "buying_cost"), ("procurement_cost",)),
    **dict.fromkeys(("freight", "freight_cost", "shipping_cost", "transportation_cost"), ("transport_cost",)),
    **dict.fromkeys(("fixed_cost", "setup_cost", "order_cost", "ordering_cost"), ("shipment_cost",)),
    **dict.fromkeys(("penalty", "penalty_cost", "stockout_cost", "backorder_cost"), ("shortage_cost",)),
    **dict.fromkeys(("selling_price", "sales_price", "unit_price"), ("price",)),
    **dict.fromkeys(("capacity", "max_capacity", "storage_capacity"), ("storage", "capacity")),
    **dict.fromkeys(("stock", "inventory", "on_hand", "opening_stock"), ("initial_stock",)),
    **dict.fromkeys(("min_request", "min_order", "moq", "minimum_quantity"), ("minimum_order",)),
    **dict.fromkeys(("batch_size", "lot_size", "case_size", "order_multiple"), ("pack_size",)),
    **dict.fromkeys(("review", "review_interval", "order_every"), ("review_period",)),
    **dict.fromkeys(("initial_backorders", "backorders"), ("initial_stock",)),
    **dict.fromkeys(("lt", "leadtime", "time", "transit_time", "travel_time", "delay"), ("lead_time",)),
}
"""Keys that other systems have for those of a scenario."""


OPPOSITES = (
    *({"min", "max"}, {"minimum", "maximum"}, {"low", "high"}, {"least", "most"}, {"first", "last"}),
    *({"origin", "destination"}, {"inbound", "outbound"}, {"supplier", "customer"}, {"holding", "shortage"}),
    *({"lost", "backordered"}, {"start", "end"}),
)
"""Words that make of one name another, however alike the two are."""


def _opposite(given: str, name: str) -> bool:
    mine, theirs = (set(re.split(r"[\W_]+", text)) for text in (given, name))
    return any(mine & pair and theirs & pair and not mine & theirs & pair for pair in OPPOSITES)


def suggestion(given: str, known: Iterable[str]) -> str:
    """The end of an error line about an unknown name: what was probably meant, or what there is."""
    known = list(known)
    if others := [key for key in ALSO_CALLED.get(given, ()) if key in known]:
        return f"; did you mean {' or '.join(others)}?"
    alike = [name for name in known if not _opposite(given, name)]
    close = difflib.get_close_matches(given, alike, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known are {', '.join(known)}" if known else ""


class CheckFailed(AssertionError):
    """Something does not hold; the message says where, when and what, in one line."""
