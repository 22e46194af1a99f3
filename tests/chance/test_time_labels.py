"""Time in data files is what the labels say: any order of rows, dates and numbers, and gaps that count as periods."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from marl_inv.chance.demand_file import read_demand
from marl_inv.chance.time_labels import Timeline, places_in_time
from marl_inv.common.documents import Document
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import load_problem
from marl_inv.scenario import Scenario, read_document, read_scenario
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


DAYS = [f"2024-01-{day:02}" for day in (1, 2, 3, 5, 6, 8, 9, 10)]
"""The shop is shut on the 4th and the 7th."""

SHOP = """horizon: 2
history: 1
ending: continuing
initial_state: given
demand: {kind: empirical, path: sales.csv, period_column: date, train: [2024-01-01, 2024-01-05], evaluate: [5, 8]}
suppliers: [{name: mill}]
warehouses: [{name: north, initial_stock: 20}]
lanes: [{origin: mill, destination: north, lead_time: 1}]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Sells as many as the day of the month."""
    rows = [f"{day},product,{int(day[-2:])}" for day in DAYS]
    (tmp_path / "sales.csv").write_text("\n".join(["date,product,north", *rows]), encoding="utf-8")
    (tmp_path / "it.yaml").write_text(SHOP, encoding="utf-8")
    return tmp_path / "it.yaml"


def evaluated(given: Any, settings: Sequence[str] = ()) -> list[float]:
    problem = load_problem(given, settings) if settings else load_problem(given)
    return problem.trace("evaluate", 0, 1).demand[problem.scenario.history :, 0, 0, 0].tolist()


def test_stretches_are_told_by_date_and_end_before_their_end(shop: Path):
    """1 to 4 January for training, of which the 4th is a gap; the 6th, the 7th (a gap) and 8th are evaluated."""
    problem = load_problem(shop)
    assert problem.demand.mean.item() == (1 + 2 + 3 + 0) / 4
    assert evaluated(shop) == [6, 0]
    for text in ("[2024-01-06, 2024-01-09]", "['2024-01-06', '2024-01-09']"):
        assert evaluated(shop, [f"demand.evaluate={text}"]) == [6, 0]
    assert evaluated(shop, ["demand.evaluate=[2024-01-08, 2024-01-11]", "horizon=3"]) == [8, 9, 10]


def test_stretches_are_dates_in_python_too(shop: Path):
    data = read_document(shop).data
    data["demand"] |= {
        "evaluate": [date(2024, 1, 8), datetime(2024, 1, 11)],
        "train": (date(2024, 1, 1), date(2024, 1, 5)),
    }
    data["demand"]["path"] = str(shop.parent / "sales.csv")
    scenario = read_scenario(Document("python", data))
    assert evaluated(scenario) == [8, 9]
    again = Scenario.model_validate_json(scenario.model_dump_json())
    assert again == scenario
    assert evaluated(again) == [8, 9]


@pytest.mark.parametrize(
    ("stretch", "told"),
    [
        (
            "[2023-12-31, 2024-01-05]",
            "2023-12-31 is none of its periods, which go from 2024-01-01 to 2024-01-10",
        ),
        (
            "[2024-01-01, 2024-01-12]",
            "2024-01-12 is none of its periods, which go from 2024-01-01 to 2024-01-10",
        ),
        ("[week 1, week 3]", "week 1 is none of its periods"),
        ("[2024-01-05, 2024-01-01]", "an episode takes 3 periods"),
        (
            "[2024-01-05, 9]",
            r"is \[2024-01-05, 9\]; give two whole numbers, first period and end: \[0, 88\], or two dates",
        ),
    ],
)
def test_stretches_outside_of_the_data_are_refused(shop: Path, stretch: str, told: str):
    with pytest.raises(InputError, match=told):
        load_problem(shop, [f"demand.train={stretch}"])


@pytest.mark.parametrize(
    ("labels", "label", "end", "place"),
    [
        (["2024-01", "2024-02", "2024-03"], "2024-02-01", False, 1),
        (["2024-01", "2024-02", "2024-03"], "2024-02-15", False, 2),
        (["2024-01", "2024-02", "2024-03"], "2024-04", True, 3),
        (["2024-01-31", "2024-02-01", "2024-02-02"], "2024-02", False, 1),
        (["2024-01-01", "2024-01-08", "2024-01-15"], "2024-01-10", False, 2),
        (["2024-01-01", "2024-01-08", "2024-01-15"], "2024-01-22", True, 3),
        (["2024-01-01", "2024-01-08", "2024-01-15"], "2024-01-23", True, None),
        (["week 7", "week 8"], "week 8", False, 1),
        (["0.5", "0.7", "1.1"], "0.6", False, 1),
    ],
)
def test_a_date_is_the_first_period_at_or_after_it(
    labels: list[str], label: str, end: bool, place: int | None
):
    assert Timeline.of(labels, "sales.csv").place(label, end) == place


def test_files_line_up_by_their_labels(shop: Path):
    """South opened on the 3rd: period 4 is the 5th of January in both files."""
    rows = [f"2024-01-{day:02},product,{100 + day}" for day in range(3, 11)]
    (shop.parent / "south.csv").write_text("\n".join(["date,product,south", *rows]), encoding="utf-8")
    text = SHOP.replace(
        "train: [2024-01-01, 2024-01-05], evaluate: [5, 8]", "train: [2, 5], evaluate: [5, 8]"
    )
    south = "{kind: empirical, path: south.csv, period_column: date, train: [2, 5], evaluate: [5, 8]}"
    text = text.replace("initial_stock: 20}]", f"initial_stock: 20}}, {{name: south, demand: {south}}}]")
    text = text.replace("lanes: [", "lanes: [{origin: mill, destination: south, lead_time: 1}, ")
    shop.write_text(text, encoding="utf-8")
    problem = load_problem(shop)
    assert problem.trace("evaluate", 0, 1).demand[1:, 0, :, 0].tolist() == [[6, 106], [0, 107]]
    drawn = problem.trace("train", 0, 8).demand[:, 0]
    assert ((drawn[:, 1] - 100 == drawn[:, 0]) | (drawn[:, 0] == 0)).all()
    for old, new, told in (
        ("train: [2, 5]", "train: [0, 4]", "south.csv: holds the periods from 2 to 10, but demand.train is"),
        (
            "south.csv, period_column: date, train: [2, 5]",
            "south.csv, period_column: date, train: [2, 4]",
            "line up",
        ),
    ):
        shop.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(InputError, match=told):
            load_problem(shop)
