"""Results that a person can look at: as text where they are printed, as tables in a notebook, and as plain
rows for tools of one's own."""

from __future__ import annotations

import io
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from marl_inv.common.errors import InputError
from marl_inv.common.text import html_text, visible

if TYPE_CHECKING:
    from pandas import DataFrame


WIDE = 120
"""Columns where there is no terminal to say how many it has."""


class PlainConsole(Console):
    """Prints text as it is: no markup, no pictures for `:words:`, nothing that moves the cursor."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str("\n".join(map(visible, text.split("\n"))), **options)


class Recorded(ABC):
    """A result that tools of one's own can take: whoever inherits says which `records` it is."""

    @abstractmethod
    def records(self) -> list[dict[str, Any]]:
        """A row of plain values for each line."""

    def to_frame(self) -> DataFrame:
        """The records as a pandas DataFrame."""
        try:
            from pandas import DataFrame  # nothing else here needs it
        except ImportError as error:
            raise InputError(
                "to_frame: needs pandas, which is not installed; `pip install pandas`, or take records()"
            ) from error
        return DataFrame(self.records())


class Printed(Recorded):
    """What a result shows: whoever inherits says which `tables` its records make."""

    @abstractmethod
    def tables(self) -> list[Table]:
        """As the command line prints them."""

    def __str__(self) -> str:
        return "\n".join(map(as_text, self.tables()))

    def _repr_html_(self) -> str:
        return "\n".join(f"<b>{html_text(str(table.title))}</b>\n{as_html(table)}" for table in self.tables())


def as_text(table: Table) -> str:
    """As it looks in a terminal, without colours."""
    file = io.StringIO()
    width = shutil.get_terminal_size((WIDE, 0)).columns
    PlainConsole(file=file, width=width, color_system=None, force_jupyter=False).print(table)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def as_html(table: Table) -> str:
    """The same table for a page, without its title."""
    head, *rows = cells_of(table)
    side = [" class=n" if column.justify == "right" else "" for column in table.columns]

    def line(cells: Sequence[str], tag: str) -> str:
        return (
            "<tr>"
            + "".join(
                f"<{tag}{kind}>{html_text(cell)}</{tag}>" for cell, kind in zip(cells, side, strict=True)
            )
            + "</tr>"
        )

    body = "\n".join(line(row, "td") for row in rows)
    rows_told = f"<table><thead>{line(head, 'th')}</thead>\n<tbody>{body}</tbody></table>"
    return f"<div class=wide>{rows_told}</div><p class=caption>{html_text(str(table.caption))}</p>\n"


def cells_of(table: Table) -> list[tuple[str, ...]]:
    """The head, then the rows."""
    return [
        tuple(str(column.header) for column in table.columns),
        *zip(*(map(str, column.cells) for column in table.columns), strict=True),
    ]
