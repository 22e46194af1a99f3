"""Tables that fit the terminal: text wraps, numbers are never broken in two."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table

LONGEST_WORD = 24
"""Of the first column, which names what a row is of; only longer words are broken."""


class FittedTable(Table):
    """Where it is too wide its first column wraps, then others between words; what still finds no room goes
    on below, beside the first column again."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        blocks = self._blocks(options.max_width)
        for number, columns in enumerate(blocks):
            block = copy(self)
            block.columns = columns
            block.title = self.title if number == 0 else None
            block.caption = self.caption if number == len(blocks) - 1 else None
            yield from Table.__rich_console__(block, console, options)

    def _blocks(self, width: int) -> list[list[Column]]:
        """The columns, side by side as far as there is room."""
        first, *others = self.columns
        heads, least = _width(first), min(_word(first), LONGEST_WORD)
        if not others or _room(width, others) >= heads + sum(map(_width, others)):
            return [self.columns]
        blocks: list[list[Column]] = [[]]
        for column in others:
            together = [*blocks[-1], column]
            if blocks[-1] and _room(width, together) < least + sum(map(_word, together)):
                blocks.append([])
            blocks[-1].append(column)
        return [_fitted(first, columns, _room(width, columns), least) for columns in blocks]


def _fitted(first: Column, columns: list[Column], room: int, least: int) -> list[Column]:
    """With widths: those that give the most are narrowed to their longest word, until the first has room."""
    widths = list(map(_width, columns))
    saved = [_width(column) - _word(column) for column in columns]
    for place in sorted(range(len(columns)), key=lambda place: -saved[place]):
        if room - sum(widths) < least:
            widths[place] -= saved[place]
    left = min(_width(first), max(least, room - sum(widths)))
    named = replace(first, width=left, no_wrap=False, overflow="fold")
    return [named, *(replace(column, width=each) for column, each in zip(columns, widths, strict=True))]


def _room(width: int, columns: list[Column]) -> int:
    """For what cells hold, beside the first column; a sign stands before and after each."""
    return width - len(columns) - 2


def _texts(column: Column) -> list[str]:
    return [str(column.header), *map(str, column.cells)]


def _width(column: Column) -> int:
    return max(map(cell_len, _texts(column)))


def _word(column: Column) -> int:
    """The width of the longest word."""
    return max((cell_len(word) for text in _texts(column) for word in text.split()), default=1)
