"""Tables and numbers as a person reads them, whatever they tell of."""

from __future__ import annotations

import math

from rich import box
from rich.table import Table

from marl_inv.common.printed import cells_of
from marl_inv.statistics import Interval


def headed_table(title: str, first: str, columns: list[str], caption: str) -> Table:
    table = Table(
        title=title, caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=0
    )
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    return table


def plus_minus(interval: Interval, sign: bool = False) -> str:
    """`1,234.5 ± 6.7`, with as many digits as the interval justifies; from a million on in thousands. The mean alone where it is exact, or of
    one sample."""
    unit, suffix = (1000, "k") if abs(interval.mean) >= 1e6 else (1, "")
    if interval.half_width in (0, math.inf):
        return f"{interval.mean / unit:{'+' if sign else ''}z,.{2 if unit == 1 else 0}f}{suffix}"
    mean, half = interval.mean / unit, interval.half_width / unit
    digits = 0 if half >= 10 else 1 if half >= 1 else 2
    return f"{mean:{'+' if sign else ''}z,.{digits}f}{suffix} ± {half:,.{digits}f}{suffix}"


def quantity(units: float) -> str:
    """`12.3` or `4,567`; from a million on in thousands."""
    return f"{units / 1000:,.0f}k" if units >= 1e6 else f"{units:,.0f}" if units >= 1000 else f"{units:z,.1f}"


def markdown(table: Table) -> str:
    """The same table for a page."""
    lines = ["| " + " | ".join(cells) + " |" for cells in cells_of(table)]
    aligned = "".join("|---:" if column.justify == "right" else "|---" for column in table.columns) + "|"
    return "\n".join([f"### {table.title}", "", lines[0], aligned, *lines[1:], "", str(table.caption)])


def latex(table: Table) -> str:
    """The same table for a paper, with the package booktabs."""
    aligned = "".join("r" if column.justify == "right" else "l" for column in table.columns)
    heads, *rows = (" & ".join(map(_escaped, cells)) + r" \\" for cells in cells_of(table))
    body = [r"\toprule", heads, r"\midrule", *rows, r"\bottomrule"]
    caption = rf"\caption{{{_escaped(str(table.title))}. {_escaped(str(table.caption))}}}"
    lines = [r"\begin{table}", r"\centering", caption, rf"\begin{{tabular}}{{{aligned}}}", *body, r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """As LaTeX takes it."""
    signs = {"\\": r"\textbackslash{}", "±": r"$\pm$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\N{MINUS SIGN}": "$-$"}
    signs |= {sign: rf"\{sign}" for sign in "&%$#_{}"}
    return "".join(signs.get(sign, sign) for sign in text)
