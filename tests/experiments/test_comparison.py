"""A comparison plays the rules that know what matters in a scenario, and the best of them is the reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from building import problem
from marl_inv.common.printed import cells_of
from marl_inv.episodes.problem import load_problem
from marl_inv.experiments import comparison
from marl_inv.experiments.comparison import compare, rules_for

SHOP = """
suppliers: [{name: mill}, {name: press}]
warehouses: [{name: shop}]
lanes: [{origin: mill, destination: shop, lead_time: 2}]
"""


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("lost_sales", []),
        ("two_warehouses", ["threshold_balancing"]),
        ("dual_sourcing", ["dual_index", "capped_dual_index"]),
        ("serial", ["echelon_base_stock"]),
        ("shared_trucks", ["echelon_base_stock", "reorder_point"]),
        ("seasonal_retail", ["threshold_balancing", "echelon_base_stock", "seasonal_order_up_to"]),
    ],
)
def test_the_rules_that_apply_are_played(name: str, rules: list[str]):
    assert rules_for(load_problem(name)) == ["tuned_order_up_to", *(f"tuned_{rule}" for rule in rules)]


def test_known_demand_and_data_have_rules_of_their_own(tmp_path: Path):
    known = problem(SHOP + "demand: {kind: known, values: [3, 9]}")
    assert rules_for(known)[1:] == ["tuned_seasonal_order_up_to"]
    rows = "\n".join(f"{period},product,3" for period in range(12))
    (tmp_path / "sales.csv").write_text(f"period,product,shop\n{rows}", encoding="utf-8")
    data = f"demand: {{kind: empirical, path: {tmp_path / 'sales.csv'}, train: [0, 8], evaluate: [8, 12]}}"
    followed = problem(SHOP + data + "\nhorizon: 4\nhistory: 2")
    assert rules_for(followed)[1:] == ["tuned_following_order_up_to"]


def test_the_best_tuned_rule_is_the_reference(monkeypatch: pytest.MonkeyPatch):
    """Untuned for speed: dual index beats a constant order, and what is printed fits
    80 columns with every number whole."""
    monkeypatch.setattr(comparison, "rules_for", lambda problem: ["constant_order", "dual_index"])
    monkeypatch.setattr(comparison, "REFERENCE", "constant_order")
    monkeypatch.setenv("COLUMNS", "80")
    result = compare("dual_sourcing", train_one=False, replications=16)
    assert result.reference.policy == "dual index"
    text = str(result)
    assert max(map(len, text.splitlines())) <= 80
    for row in cells_of(result.tables()[0])[1:]:
        for cell in row[1:]:
            assert cell in text
