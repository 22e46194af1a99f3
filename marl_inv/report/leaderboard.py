"""Who does best on every scenario of all experiments in a folder, from the tables that `marl-inv report` left
there."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from marl_inv.common.errors import InputError
from marl_inv.common.files import LARGEST_NETWORK, is_there, read_bytes, write_whole
from marl_inv.common.text import from_csv_cell, markdown_text

TABLES_FILE = "tables.csv"


BEGIN, END = "<!-- leaderboard -->", "<!-- end of the leaderboard -->"
"""What is between them in README.md is written anew."""


PLACES = 3
"""Places on a scenario."""


def write_leaderboard(folder: Path) -> Path:
    """Put the leaderboard of `folder`'s experiments into its README.md.

    Raises InputError where there is no README.md with the marks, or no tables.
    """
    page = folder / "README.md"
    text = _text(page) if is_there(page) else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise InputError(f"{page}: has no place for the leaderboard; add the lines {BEGIN} and {END}")
    write_whole(page, f"{before}{begin}\n{leaderboard(folder)}\n{end}{after}")
    return page


def leaderboard(folder: Path) -> str:
    """A Markdown table: the best policies on each scenario, what they gain over the experiment's reference,
    and who cannot be told from the first."""
    tables = sorted(folder.glob(f"*/{TABLES_FILE}"))
    if not tables:
        raise InputError(
            f"{folder}: holds no experiment's {TABLES_FILE}; run `marl-inv report RUN --out {folder}/NAME`"
        )
    lines = ["| experiment | scenario | first | second | third |", "|---|---|---|---|---|"]
    for table in tables:
        rows = [
            {key: from_csv_cell(cell or "") for key, cell in row.items() if key}
            for row in csv.DictReader(io.StringIO(_text(table), newline=""))
        ]
        for scenario in dict.fromkeys(row["scenario"] for row in rows):
            there = [row for row in rows if row["scenario"] == scenario]
            costs = there[0]["measured"] == "cost"
            best = sorted(there, key=lambda row: float(row["mean"]) * (1 if costs else -1))[:PLACES]
            places = [_place(row) for row in best] + [""] * (PLACES - len(best))
            told = f"{scenario}, {there[0]['measured']}"
            lines.append(f"| {' | '.join(map(markdown_text, [table.parent.name, told, *places]))} |")
    lines += [
        "",
        "In brackets the gain over the experiment's reference; n.s.: not told from 0; ≈: not told from the "
        "first (5%, after Holm).",
    ]
    if without := sorted(
        {file.parent.name for file in folder.glob("*/experiment.yaml")}
        - {table.parent.name for table in tables}
    ):
        lines.append(f"Experiments without {TABLES_FILE} are not in it: {markdown_text(', '.join(without))}.")
    return "\n".join(lines)


def _text(file: Path) -> str:
    try:
        return read_bytes(file, LARGEST_NETWORK).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(f"{file}: cannot be read ({reason}); give a folder of experiments") from error


def _place(row: dict[str, str]) -> str:
    half = (float(row["high"]) - float(row["low"])) / 2
    told = f"{row['policy']} {float(row['mean']):,.1f} ± {half:,.1f}"
    if row["gain_percent"]:
        told += (
            f" ({float(row['gain_percent']):+z.1f}%{'' if float(row['p_value_holm']) < 0.05 else ' n.s.'})"
        )
    behind = row["p_value_holm_of_best"]
    return told if not behind or float(behind) < 0.05 else f"{told} ≈"
