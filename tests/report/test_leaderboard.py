"""The leaderboard: who is first, on costs and on profits, from small files."""

from __future__ import annotations

from pathlib import Path

import pytest

from marl_inv.common.errors import InputError
from marl_inv.report.leaderboard import BEGIN, END, write_leaderboard

TABLE = """scenario,policy,measured,mean,low,high,gain_percent,p_value_holm,p_value_holm_of_best
ring,tuned,cost,200,198,202,,,0.001
ring,learned,cost,180,175,185,10,0.001,
ring,random,cost,500,490,510,-150,0.0001,0.0001
ring,lucky,cost,199,190,208,0.5,0.7,0.2
shop,tuned,profit,50,49,51,,,0.01
shop,learned,profit,60,58,62,20,0.01,
"""


def test_the_least_cost_and_the_most_profit_are_first(tmp_path: Path):
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "tables.csv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "planned").mkdir()
    (tmp_path / "planned" / "experiment.yaml").touch()
    page = tmp_path / "README.md"
    page.write_text(f"Before\n{BEGIN}\nwhat was there\n{END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        write_leaderboard(tmp_path)
    assert page.read_text(encoding="utf-8").splitlines() == [
        "Before",
        BEGIN,
        "| experiment | scenario | first | second | third |",
        "|---|---|---|---|---|",
        "| trial | ring, cost | learned 180.0 ± 5.0 (+10.0%) | lucky 199.0 ± 9.0 (+0.5% n.s.) ≈ | tuned "
        "200.0 ± 2.0 |",
        "| trial | shop, profit | learned 60.0 ± 2.0 (+20.0%) | tuned 50.0 ± 1.0 |  |",
        "",
        "In brackets the gain over the experiment's reference; n.s.: not told from 0; ≈: not told from the "
        "first (5%, after Holm).",
        "Experiments without tables.csv are not in it: planned.",
        END,
        "after",
    ]


def test_a_page_without_the_marks_and_a_folder_without_tables_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"README.md: has no place for the leaderboard"):
        write_leaderboard(tmp_path)
    (tmp_path / "README.md").write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"holds no experiment's tables.csv"):
        write_leaderboard(tmp_path)
