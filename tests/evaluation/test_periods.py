"""What happened in every period, as a table."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem, load_problem
from marl_inv.evaluation.evaluate import Score, evaluate
from marl_inv.evaluation.metrics import LANE_MEASURES, MEASURES
from marl_inv.evaluation.periods import COLUMNS, period_table
from marl_inv.policies import policy_named


@pytest.fixture
def shop(tmp_path: Path) -> Problem:
    """Asks for up to 15 on a lane that carries 5 and takes two periods; customers want 4 and then 6."""
    (tmp_path / "shop.yaml").write_text(
        """
horizon: 4
suppliers: [{name: mill}]
warehouses:
  - {name: shop, unmet_demand: backordered, initial_stock: 5, holding_cost: 1, shortage_cost: 9,
     demand: {kind: known, values: [4, 6]}}
lanes: [{origin: mill, destination: shop, lead_time: 2, capacity: 5}]
ending: finite
""",
        encoding="utf-8",
    )
    return load_problem(tmp_path / "shop.yaml", dtype=torch.float64)


def written(
    problem: Problem, file: Path, policy: str, replications: int
) -> tuple[list[dict[str, str]], Score]:
    with period_table(file) as table:
        [score] = evaluate(problem, [policy_named(policy, problem)], 0, replications, table=table)
    with file.open(newline="", encoding="utf-8") as disk:
        return list(csv.DictReader(disk)), score


def numbers(rows: list[dict[str, str]], column: str) -> list[float]:
    return [float(row[column]) for row in rows]


def test_every_period_of_a_shop_by_hand(shop: Problem, tmp_path: Path):
    """5 - 4 = 1; 1 - 6 = -5; 5 come for the third period, and 5 more for the last."""
    rows, _ = written(shop, tmp_path / "periods.csv", "order_up_to", 2)
    first = [row for row in rows if row["replication"] == "0"]
    at_shop, on_lane = [row for row in first if not row["lane"]], [row for row in first if row["lane"]]
    assert [row["period"] for row in at_shop] == ["0", "1", "2", "3"]
    assert {row["warehouse"] for row in rows} == {"shop"}
    assert {row["lane"] for row in on_lane} == {"mill->shop"}
    assert numbers(at_shop, "opening") == [5, 1, 0, -1]
    assert numbers(at_shop, "demand") == [4, 6, 6, 6]
    assert numbers(at_shop, "on_hand") == [1, 0, 0, 0]
    assert numbers(at_shop, "backorders") == [0, 5, 6, 7]
    assert numbers(at_shop, "received") == [0, 5, 5, 5]
    assert numbers(at_shop, "due") == [5, 5, 5, 5]
    assert numbers(at_shop, "shortage_cost") == [0, 45, 54, 63]
    assert numbers(on_lane, "shipped") == [5, 5, 5, 5]
    assert all(numbers(on_lane, "requested")[t] >= 5 for t in range(4))
    assert {row["shipped"] for row in at_shop} == {""}


def test_rows_of_several_products_places_and_lanes_add_up_to_the_score(tmp_path: Path):
    problem = load_problem(
        "reactive_transshipment", ["horizon=3", "warm_up=0", "products=[{name: a}, {name: b}]"]
    )
    rows, score = written(problem, tmp_path / "periods.csv", "order_up_to", 5)
    network, record = problem.network, score.record
    reactive = network.reactive.names if network.reactive else []
    assert len(rows) == 5 * 3 * 2 * (len(network.warehouses) + len(network.lanes) + len(reactive))
    assert list(rows[0]) == list(COLUMNS)
    assert record.periods == 3
    for measure in set(MEASURES) & set(COLUMNS):
        for k, product in enumerate(network.products):
            for n, warehouse in enumerate(network.warehouses):
                found = [
                    float(row[measure])
                    for row in rows
                    if (row["product"], row["warehouse"], row["lane"]) == (product, warehouse, "")
                ]
                assert sum(found) == pytest.approx(float(record.sums[measure][k, n].sum()), abs=1e-3), measure
    for measure, sums in record.lane_sums.items():
        names = reactive if measure == "transshipped" else network.lanes
        for e, lane in enumerate(names):
            found = [float(row[measure]) for row in rows if row["lane"] == lane and row[measure]]
            assert sum(found) == pytest.approx(float(sums[:, e].sum()), abs=1e-3), measure
    assert set(record.lane_sums) <= set(LANE_MEASURES)


def test_parts_of_an_evaluation_number_their_replications(shop: Problem, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("marl_inv.evaluation.evaluate.TRACE_BYTES", 1)
    rows, _ = written(shop, tmp_path / "periods.csv", "order_up_to", 3)
    assert [row["replication"] for row in rows[::8]] == ["0", "1", "2"]


def test_a_table_that_is_not_finished_is_not_there(shop: Problem, tmp_path: Path):
    def stops(loop: Iterator, title: str) -> Iterator:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), period_table(tmp_path / "periods.csv") as table:
        evaluate(shop, [policy_named("order_up_to", shop)], 0, 2, stops, table=table)
    assert [file.name for file in tmp_path.iterdir()] == ["shop.yaml"]


def test_parquet_needs_pyarrow_and_other_files_are_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    told = r"^periods\.parquet: needs pyarrow, which is not installed; `pip install pyarrow`, or give a \.csv file$"
    with pytest.raises(InputError, match=told), period_table(tmp_path / "periods.parquet"):
        pass
    told = r"ends in .*; give a file that ends in \.csv or \.parquet"
    with pytest.raises(InputError, match=told), period_table(tmp_path / "periods.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_parquet_holds_the_same_rows(shop: Problem, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows, _ = written(shop, tmp_path / "periods.csv", "order_up_to", 2)
    with period_table(tmp_path / "periods.parquet") as table:
        evaluate(shop, [policy_named("order_up_to", shop)], 0, 2, table=table)
    for told, row in zip(parquet.read_table(tmp_path / "periods.parquet").to_pylist(), rows, strict=True):
        assert {key: "" if value is None else str(value) for key, value in told.items()} == row
