"""Demand files as people have them: separators, ways to write numbers, and layouts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from marl_inv.chance.demand_file import DemandFile, read_demand
from marl_inv.common.errors import InputError
from marl_inv.scenario.demand import Empirical


def read(
    folder: Path,
    text: str,
    products: Sequence[str] = ("tea",),
    warehouses: Sequence[str] = ("shop",),
    **keys: Any,
) -> DemandFile:
    file = folder / "sales.csv"
    file.write_text(text, encoding="utf-8")
    model = Empirical(kind="empirical", path=str(file), train=[0, 1], evaluate=[1, 2], **keys)
    return read_demand(model, [*products], [*warehouses])


def refused(*given: Any, **keys: Any) -> str:
    with pytest.raises(InputError) as error:
        read(*given, **keys)
    return str(error.value).partition("sales.csv:")[2]


# Numbers


@pytest.mark.parametrize(
    ("cells", "keys", "units"),
    [
        (["0,5", "1,200"], {}, [0.5, 1.2]),
        (["1.234,5", "1.200"], {}, [1234.5, 1200]),
        (["1,234.5", "1,200"], {}, [1234.5, 1200]),
        (["1,234,567", "7"], {}, [1234567, 7]),
        (["1.234.567", "7"], {}, [1234567, 7]),
        (["0.5", "1.200"], {}, [0.5, 1.2]),
        (["-3,5", "4"], {}, [0, 4]),
        (["1,200", "4"], {"decimal": ","}, [1.2, 4]),
        (["1,200", "4"], {"thousands": ","}, [1200, 4]),
        (["1.200", "4"], {"decimal": ","}, [1200, 4]),
        (["1.200", "4"], {"decimal": "."}, [1.2, 4]),
        (["1 200", "1'200"], {}, [1200, 1200]),
        (["1\N{NO-BREAK SPACE}200,5", "4"], {}, [1200.5, 4]),
    ],
)
def test_numbers_are_read_as_they_can_only_be_meant(
    tmp_path: Path, cells: list[str], keys: dict[str, str], units: list[float]
):
    rows = "".join(f"{period};tea;{cell}\n" for period, cell in enumerate(cells))
    assert read(tmp_path, f"period;product;shop\n{rows}", **keys).demand[:, 0, 0].tolist() == units


@pytest.mark.parametrize(("cell", "units"), [("1,234.5", 1234.5), ("1,234,567", 1234567)])
def test_commas_in_a_file_that_commas_separate_are_thousands(tmp_path: Path, cell: str, units: float):
    text = f'period,product,shop\n0,tea,"{cell}"\n1,tea,"1,200"\n2,tea,1.200\n'
    assert read(tmp_path, text).demand[:, 0, 0].tolist() == [units, 1200, 1.2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('period,product,shop\n0,tea,7\n1,tea,"1,200"\n', "3: shop is '1,200', in which ',' may part"),
        ('period,product,shop\n0,tea,"1,200"\n1,tea,"1,2100"\n', "2: shop is '1,200', in which ',' may part"),
        (
            'period,product,shop\n0,tea,"0,5"\n',
            "2: shop is '0,5', in which ',' may part thousands or decimals",
        ),
        ("period;product;shop\n0;tea;1.200\n", "2: shop is '1.200', in which '.' may part"),
        ("period;product;shop\n0;tea;0,5\n1;tea;0.5\n", "3: shop is '0.5'; give a number"),
        ("period,product,shop\n0,tea,1_000\n", "2: shop is '1_000'; give a number"),
        ("period,product,shop\n0,tea,1e31\n", "2: shop is '1e31'; give a number"),
    ],
)
def test_numbers_that_may_mean_either_are_asked_about(tmp_path: Path, text: str, told: str):
    assert refused(tmp_path, text).startswith(told)


def test_numbers_are_held_to_what_the_scenario_says(tmp_path: Path):
    text = 'period,product,shop\n0,tea,"1,200"\n1,tea,"1,2100"\n'
    assert refused(tmp_path, text, thousands=",").startswith("3: shop is '1,2100'; give a number")
    assert read(tmp_path, text, decimal=",").demand[:, 0, 0].tolist() == [1.2, 1.21]


# Separators and cells


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("first", ["", "\ufeff", "sep=X\n", "\n"])
def test_the_header_shows_the_separator(tmp_path: Path, separator: str, first: str):
    """Also where names hold other separators, after a byte order mark, a spreadsheet's `sep=;` or nothing."""
    rows = ["period,product,shop", "0, tea ,3", "", " 1,tea, 4", ",,", ""]
    text = (first + "\n".join(rows)).replace("product", '"product"').replace(",", separator)
    assert read(tmp_path, text.replace("X", separator)).demand[:, 0, 0].tolist() == [3, 4]


def test_a_separator_can_be_said(tmp_path: Path):
    text = "period;product;shop, main\n0;tea;3\n"
    assert read(tmp_path, text, warehouses=["shop, main"]).demand.tolist() == [[[3]]]
    assert refused(tmp_path, text, separator=",").startswith(
        "1: has no column 'period'; its columns are period;"
    )


@pytest.mark.parametrize("twice", ["period", "product", "shop"])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, twice: str):
    text = f"period,product,shop, {twice} ,note,note\n0,tea,3,3,,\n"
    assert refused(tmp_path, text) == f"1: has the column '{twice}' twice; keep one of them"
    assert read(tmp_path, text.replace(f" {twice} ", "other")).demand.tolist() == [[[3]]]


# Layouts


PRODUCTS, SHOPS = ["tea", "pot"], ["a", "b"]

WANTED = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
"""By period, product and shop."""

LAYOUTS: dict[str, tuple[str, dict[str, str]]] = {
    "a column a shop": ("period,product,a,b\n1,tea,5,6\n0,tea,1,2\n0,pot,3,4\n1,pot,7,8\n", {}),
    "a column a shop, product found": ("period,item,a,b\n1,tea,5,6\n0,tea,1,2\n0,pot,3,4\n1,pot,7,8\n", {}),
    "a column a product": ("period,store,tea,pot\n0,a,1,3\n0,b,2,4\n1,a,5,7\n1,b,6,8\n", {}),
    "a column a day": (
        "id,item_id,store_id,d_2,d_1\n1,tea,a,5,1\n2,tea,b,6,2\n3,pot,a,7,3\n4,pot,b,8,4\n",
        {},
    ),
    "a column a date": (
        "item,store,2024-01-31,2024-02-01\ntea,a,1,5\ntea,b,2,6\npot,a,3,7\npot,b,4,8\n",
        {},
    ),
    "one column of sales": (
        "date,store,item,sales\n"
        "2024-01-01,a,tea,1\n2024-01-01,b,tea,2\n2024-01-01,a,pot,3\n2024-01-01,b,pot,4\n"
        "2024-01-02,a,tea,5\n2024-01-02,b,tea,6\n2024-01-02,a,pot,7\n2024-01-02,b,pot,8\n",
        {"period_column": "date"},
    ),
    "one column of sales among others": (
        "date,store,item,sales,price\n"
        "0,a,tea,1,9\n0,b,tea,2,9\n0,a,pot,3,9\n0,b,pot,4,9\n"
        "1,a,tea,5,9\n1,b,tea,6,9\n1,a,pot,7,9\n1,b,pot,8,9\n",
        {"period_column": "date", "demand_column": "sales"},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout(tmp_path: Path, layout: str):
    text, keys = LAYOUTS[layout]
    assert read(tmp_path, text, PRODUCTS, SHOPS, **keys).demand.tolist() == WANTED


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Date,shop\n2024/1/9,3\n2024/1/10,4\n", {"period_column": "Date"}),
        ("period,tea\n0,3\n1,4\n", {}),
        ("period,sold\n0,3\n1,4\n", {"demand_column": "sold"}),
        ("w1,w2\n3,4\n", {}),
    ],
    ids=["column of the shop", "column of the product", "column of demand", "one row"],
)
def test_one_shop_and_product_need_no_columns_that_say_so(tmp_path: Path, text: str, keys: dict[str, str]):
    assert read(tmp_path, text, **keys).demand[:, 0, 0].tolist() == [3, 4]


@pytest.mark.parametrize(
    ("text", "keys", "told"),
    [
        (
            "period,product,shp\n0,tea,3\n",
            {},
            "1: has no column 'a'; its columns are period, product, shp; give a",
        ),
        (
            "date,a,b\n0,1,2\n",
            {},
            "1: has no column 'period'; its columns are date, a, b; give demand.period_",
        ),
        (
            "period,a,b\n0,1,2\n",
            {},
            "1: has no column 'product'; its columns are period, a, b; give demand.prod",
        ),
        (
            "period,item,from,to,sold\n0,tea,a,b,1\n0,pot,b,a,1\n",
            {},
            "1: its columns are period, item, from, to, sold; from, to all name 'a': say in demand.warehouse_c",
        ),
        (
            "period,item,store,sold,price\n0,tea,a,1,1\n0,pot,b,1,1\n",
            {},
            "1: its columns are period, item, store, sold, price; give a column for each warehouse, or say in "
            "demand.demand_column which one holds demand",
        ),
        (
            "period,item,store,sold\n0,tea,a,1\n0,tea,b,1\n0,pot,a,1\n0,tea,a,2\n",
            {},
            "5: has tea at a in period 0 a second time; give one row per period, product and warehouse",
        ),
    ],
)
def test_a_layout_that_is_not_plain_is_asked_about(tmp_path: Path, text: str, keys: dict, told: str):
    assert refused(tmp_path, text, PRODUCTS, SHOPS, **keys).startswith(told)


def test_products_and_shops_by_name_out_of_a_larger_file(tmp_path: Path):
    text, keys = LAYOUTS["one column of sales"]
    found = read(tmp_path, text, ["pot"], ["b"], **keys)
    assert found.demand.tolist() == [[[4]], [[8]]]
    assert found.note.endswith("; 1 other products were left out; 1 other warehouses were left out")


def test_names_that_are_not_there_are_told(tmp_path: Path):
    """A name that no row has, and a row or two of a name that is nearly another's, whose gap they fill."""
    rows = "".join(f"{period},product_0{number},{period}\n" for period in range(5) for number in (0, 1))
    text = f"period,product,shop\n{rows}"
    told = " has no row whose product is 'product_0'; did you mean product_01?"
    assert refused(tmp_path, text, ["product_0"]) == told
    assert read(tmp_path, text.replace("3,product_01", "3,product_02"), ["product_01"]).demand[3] == 0
    misspelt = text.replace("3,product_01", "3,prodct_01")
    told = "9: product is 'prodct_01', which is no product of the scenario; did you mean product_01?"
    assert refused(tmp_path, misspelt, ["product_01"]) == told
    assert read(tmp_path, misspelt + "3,product_01,3\n", ["product_01"]).demand[3] == 3
