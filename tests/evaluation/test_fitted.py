"""Tables fit the terminal, and no number is broken in two."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from marl_inv.evaluation.tables import headed_table

HEADS = ["profit", "fill", "on hand", "moved", "gain", "gain %", "gap %"]
ROWS = [
    ["random", "-10,353 ± 93", "0.917", "12,491", "748.4", "-11,295 ± 93", "-1,199.1", "+1,199.1"],
    [
        "tuned balanced order-up-to",
        "1,036.4 ± 4.2",
        "0.917",
        "149.6",
        "0.7",
        "+0.27 ± 0.38",
        "+0.0 n.s.",
        "+0.1",
    ],
]


def printed(width: int) -> list[str]:
    table = headed_table("Who does best", "policy", HEADS, "Per period.")
    for row in ROWS:
        table.add_row(*row)
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(table)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [120, 100, 80, 72, 60, 50, 40, 30])
def test_every_word_of_every_cell_is_there_whole(width: int):
    lines = printed(width)
    words = " ".join(lines).split()
    for cell in (*HEADS, *ROWS[0], *ROWS[1]):
        for word in cell.split():
            assert word in words, (width, word)
    assert max(map(len, lines)) <= width
    assert words.count("profit") == 1
    assert "\N{HORIZONTAL ELLIPSIS}" not in "".join(lines)


def test_names_give_way_before_numbers_do():
    lines = printed(80)
    assert any(line.split() == ["tuned", *" ".join(ROWS[1][1:]).split()] for line in lines)
    assert [line.strip() for line in lines if line.strip() in ("balanced", "order-up-to")] == [
        "balanced",
        "order-up-to",
    ]


def test_what_has_no_room_goes_on_below_beside_the_names_again():
    lines = printed(40)
    assert sum(line.split()[:1] == ["policy"] for line in lines) == 2
    assert sum("Who does best" in line for line in lines) == sum("Per period." in line for line in lines) == 1
