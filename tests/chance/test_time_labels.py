"""Time in data files is what the labels say: any order of rows, dates and numbers, and gaps that count as periods."""

from __future__ import annotations

from pathlib import Path

import pytest

from marl_inv.chance.demand_file import read_demand
from marl_inv.chance.time_labels import places_in_time
from marl_inv.common.errors import InputError
from marl_inv.scenario.demand import Empirical


@pytest.mark.parametrize(
    ("labels", "places", "missing"),
    [
        (["0", "1", "2"], [0, 1, 2], 0),
        (["10", "9", "2", "1"], [9, 8, 1, 0], 6),
        (["2024-01-03", "2024-01-01", "2024-01-04"], [2, 0, 3], 1),
        (["20240131", "20240201"], [0, 1], 0),
        (["2024-01-01", "2024-01-08", "2024-01-22"], [0, 1, 3], 1),
        (["2024-11", "2025-01"], [0, 1], 0),
        (["2024-11", "2024-12", "2025-02"], [0, 1, 3], 1),
        (["2024-01-01T06:00", "2024-01-01T00:00", "2024-01-02 00:00"], [1, 0, 2], 0),
        (["0.5", "0.25"], [1, 0], 0),
        (["week 0", "week 2", "week 10"], [0, 1, 5], 3),
        (["d_9", "d_10"], [0, 1], 0),
        (["spring"], [0], 0),
    ],
)
def test_labels_say_when(labels: list[str], places: list[int], missing: int):
    assert places_in_time(labels, "sales.csv") == (dict(zip(labels, places, strict=True)), missing)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["spring", "summer"], "period 'spring' is no number and no date"),
        (["1", "2024-01-01"], "periods '1' and '2024-01-01' cannot be put in order"),
        (["2024-13-01", "2024-01-01"], "cannot be put in order"),
        (["1", "1.0"], "labels one period in two ways"),
        (["1", "2", "4000"], "3997 have no row; number the periods one by one"),
        (["week 1", "day 2"], "cannot be put in order"),
        (["nan", "inf"], "is no number and no date"),
    ],
)
def test_labels_without_an_order_are_refused(labels: list[str], told: str):
    with pytest.raises(InputError, match=r"sales\.csv: ") as refused:
        places_in_time(labels, "sales.csv")
    assert told in str(refused.value)


def test_rows_come_in_any_order_and_blank_lines_are_none(tmp_path: Path):
    file = tmp_path / "sales.csv"
    file.write_text("period, product, shop\n3,tea,30\n\n1,tea,10\n0,tea,5\n,,\n", encoding="utf-8")
    model = Empirical(kind="empirical", path=str(file), train=[0, 2], evaluate=[2, 4])
    found = read_demand(model, ["tea"], ["shop"])
    assert found.demand[:, 0, 0].tolist() == [5, 10, 0, 30]
    assert found.note.endswith("1 gaps among 4 were counted as no demand; 1 periods have no row at all")


@pytest.mark.parametrize(
    ("labels", "places"),
    [
        (["2024/1/31", "2024/2/1"], [0, 1]),
        (["31.01.2024", "1.2.2024"], [0, 1]),
        (["31/01/2024", "01/02/2024"], [0, 1]),
        (["1/31/2024", "2/1/2024"], [0, 1]),
        (["1/31/2024 8:30", "1/31/2024 18:30"], [0, 1]),
        (["3.4.2024", "4.3.2024"], [1, 0]),
        (["2024/12", "2025/1"], [0, 1]),
    ],
)
def test_dates_as_spreadsheets_write_them(labels: list[str], places: list[int]):
    assert list(places_in_time(labels, "sales.csv")[0].values()) == places


def test_a_date_that_may_be_two_days_is_refused():
    told = r"'3/4/2024' does not say which is the day and which the month; write dates as 2024-01-31"
    with pytest.raises(InputError, match=told):
        places_in_time(["3/4/2024", "3/5/2024"], "sales.csv")
