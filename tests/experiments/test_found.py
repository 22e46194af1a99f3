"""What a search has found can be looked at, and taken on, where Optuna is not installed too."""

from __future__ import annotations

from pathlib import Path

from marl_inv.experiments.search import Found, Trial, read_search

FILE = """scenarios: [lost_sales]
policies: [order_up_to, {algorithm: pathwise, search: {lr: [0.01, 0.001], hops: [0, 1]}}]
seeds: 1
replications: 64
reference: order_up_to
"""


def test_trials_are_a_table_and_records_best_first(tmp_path: Path):
    (tmp_path / "small.yaml").write_text(FILE, encoding="utf-8")
    trials = [Trial(2, {"lr": 0.01, "hops": 1}, 1.5, 90.0), Trial(1, {"lr": 0.001, "hops": 0}, -0.5, 60.0)]
    found = Found(read_search(tmp_path / "small.yaml"), trials, Path("runs/small"))
    assert repr(found) == f"Found({Path('runs/small')}: 2 trials, the best is 2: +1.50%)"
    assert found.records() == [
        {"trial": 2, "lr": 0.01, "hops": 1, "gain_percent": 1.5, "seconds": 90.0},
        {"trial": 1, "lr": 0.001, "hops": 0, "gain_percent": -0.5, "seconds": 60.0},
    ]
    assert [line.split() for line in str(found).splitlines() if line.startswith((" 2 ", " 1 "))] == [
        ["2", "0.01", "1", "+1.50", "1.5"],
        ["1", "0.001", "0", "-0.50", "1.0"],
    ]
