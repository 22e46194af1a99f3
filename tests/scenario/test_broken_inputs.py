"""What a person can get wrong in a file: each is told in one line, with the place, what was given, and what
would work."""

from __future__ import annotations

from pathlib import Path

import pytest

from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import load_problem

SCENARIO = """horizon: 5
demand: {kind: poisson, mean: 5}
suppliers:
  - name: mill
warehouses:
  - name: shop
    storage: 20
  - name: kiosk
lanes:
  - {origin: mill, destination: shop, lead_time: 2}
ending: finite
"""

NAMED = "write `name: value`, the name in quotes if need be"

CHANGED = {
    # what is changed: (old, new, the message after "file:")
    "unknown key": ("horizon: 5", "horizn: 5", "1:1: horizn is not a known key; did you mean horizon?"),
    "unknown key in a list": (
        "storage: 20",
        "storge: 20",
        "7:5: warehouses[0].storge is not a known key; did you mean storage?",
    ),
    "unknown key of a demand": (
        "mean: 5",
        "mean: 5, std: 2",
        "2:34: demand.std is not a known key; known are season, trend, kind, mean",
    ),
    "unknown key of a product": (
        "horizon: 5",
        "products: [{name: cup, volum: 2}]",
        "1:24: products[0].volum is not a known key; did you mean volume?",
    ),
    "outage of part of a warehouse": (
        "ending: finite",
        "ending: finite\nevents: [{kind: outage, at: [1], factor: 0.5, targets: [shop]}]",
        "12:34: events[0].factor is 0.5, and shop is a warehouse, which has no capacity for a share to be left of; "
        "give 0, or its lanes as targets",
    ),
    "missing key": (", lead_time: 2", "", "10:5: lanes[0].lead_time is missing; add it"),
    "no warehouses": (
        "warehouses:\n  - name: shop\n    storage: 20\n  - name: kiosk\n",
        "",
        "1:1: warehouses is missing; add it",
    ),
    "negative lead time": (
        "lead_time: 2",
        "lead_time: -1",
        "10:39: lanes[0].lead_time is -1; give a number, 0 or more",
    ),
    "fractional lead time": (
        "lead_time: 2",
        "lead_time: 1.5",
        "10:39: lanes[0].lead_time is 1.5; give a whole number",
    ),
    "word for a number": (
        "lead_time: 2",
        "lead_time: two",
        "10:39: lanes[0].lead_time is 'two'; give a whole number",
    ),
    "truth for a number": (
        "storage: 20",
        "storage: true",
        "7:5: warehouses[0].storage is True; give a number",
    ),
    "number for a name": (
        "name: kiosk",
        "name: 7",
        "8:5: warehouses[1].name is 7; give text, in quotes if it looks like a number",
    ),
    "word for a truth": (
        "storage: 20",
        "faces_demand: yes",
        "7:5: warehouses[0].faces_demand is 'yes'; give true or false",
    ),
    "infinite storage": (
        "storage: 20",
        "storage: .inf",
        "7:5: warehouses[0].storage is inf; give an ordinary number",
    ),
    "no storage": ("storage: 20", "storage: 0", "7:5: warehouses[0].storage is 0; give a number above 0"),
    "no horizon": ("horizon: 5", "horizon: 0", "1:1: horizon is 0; give a number above 0"),
    "negative cost": (
        "storage: 20",
        "holding_cost: -1",
        "7:5: warehouses[0].holding_cost is -1; give a number, 0 or more, or a list of such numbers with "
        "one for each product",
    ),
    "unknown demand": (
        "kind: poisson",
        "kind: poison",
        "2:10: demand.kind is 'poison'; give one of 'poisson', 'normal', 'negative_binomial', 'geometric', "
        "'gamma', 'discrete_uniform', 'known', 'empirical'",
    ),
    "demand without a kind": ("kind: poisson, ", "", "2:1: demand.kind is missing; add it"),
    "word for a demand": (
        "{kind: poisson, mean: 5}",
        "poisson",
        "2:1: demand is 'poisson'; give a mapping of `key: value` lines",
    ),
    "no demand": (
        "demand: {kind: poisson, mean: 5}\n",
        "",
        "5:5: warehouses[0] states no demand; add `demand`, here or for the whole scenario, or "
        "`faces_demand: false`",
    ),
    "returns where sales are lost": (
        "kind: poisson, mean: 5",
        "kind: normal, mean: 5, sd: 1, cut_at_zero: false",
        "6:5: warehouses[0] loses unmet demand that can be negative; set cut_at_zero: true, or "
        "unmet_demand: backordered",
    ),
    "narrow negative binomial": (
        "kind: poisson, mean: 5",
        "kind: negative_binomial, mean: 5, sd: 2",
        "6:5: warehouses[0] has negative binomial demand with sd 2.0 and mean 5.0; give an sd above the "
        "square root of the mean",
    ),
    "too few numbers": (
        "kind: poisson, mean: 5",
        "kind: negative_binomial, mean: [1, 2], sd: 9",
        "2:35: demand.mean lists 2 numbers for 1 products; give one number, or one for each",
    ),
    "missing warehouse": (
        "destination: shop",
        "destination: sohp",
        "10:20: lanes[0].destination is 'sohp', which is no warehouse; did you mean shop?",
    ),
    "missing origin": (
        "origin: mill",
        "origin: depot",
        "10:6: lanes[0].origin is 'depot', which is no supplier or warehouse; known are mill, shop, kiosk",
    ),
    "lane to itself": (
        "origin: mill",
        "origin: shop",
        "10:20: lanes[0].destination is 'shop', its own origin; a lane joins two places",
    ),
    "duplicate name": (
        "kiosk",
        "shop",
        "8:5: warehouses[1].name is 'shop', which is taken; give every entry a name of its own",
    ),
    "supplier named as a warehouse": (
        "name: mill",
        "name: shop",
        "4:5: suppliers[0].name is 'shop', which is taken; give every entry a name of its own",
    ),
    "unnamed parallel lanes": (
        "lanes:\n",
        "lanes:\n  - {origin: mill, destination: shop, lead_time: 1}\n",
        "11:5: lanes[1].name is 'mill->shop', which is taken; give every entry a name of its own",
    ),
    "pool of no lane": (
        "horizon: 5",
        "pools: [{name: fleet, lanes: [mill-shop], capacity: 3}]",
        "1:31: pools[0].lanes[0] is 'mill-shop', which is no lane; did you mean mill->shop?",
    ),
    "empty pool": (
        "horizon: 5",
        "pools: [{name: fleet, lanes: [], capacity: 3}]",
        "1:23: pools[0].lanes is []; give a list with at least 1 entry",
    ),
    "no products": ("horizon: 5", "products: []", "1:1: products is []; give a list with at least 1 entry"),
    "source lane from elsewhere": (
        "storage: 20",
        "source_lane: mill->shp",
        "7:5: warehouses[0].source_lane is 'mill->shp', which is no lane into it that takes requests; did "
        "you mean mill->shop?",
    ),
    "stock beyond storage": (
        "storage: 20",
        "storage: 20\n    initial_stock: 21",
        "8:5: warehouses[0].initial_stock takes 21 of a storage of 20; give less stock or more storage",
    ),
    "nobody supplies it": (
        "ending: finite",
        "ending: continuing",
        "8:5: warehouses[1] (kiosk) is reached by no supplier, and the episode goes on for ever; add a lane "
        "to it, or give `ending: finite`",
    ),
    "nothing to score": (
        "horizon: 5",
        "horizon: 5\nwarm_up: 5",
        "2:1: warm_up is 5 of a horizon of 5; leave periods to score",
    ),
    "stretch backwards": (
        "kind: poisson, mean: 5",
        "kind: empirical, path: x.csv, train: [5, 2], evaluate: [0, 3]",
        "2:40: demand.train is [5, 2]; give two whole numbers, first period and end: [0, 88], or two "
        "dates (labels of the period column), the end not included: [2013-01-01, 2014-09-01]",
    ),
    "number for a list": (
        "warehouses:\n  - name: shop\n    storage: 20\n  - name: kiosk\n",
        "warehouses: 5\n",
        "5:1: warehouses is 5; give a list",
    ),
    "nothing for a list": (
        "warehouses:\n  - name: shop\n    storage: 20\n  - name: kiosk\n",
        "warehouses:\n",
        "5:1: warehouses is None; give a list",
    ),
    "duplicate YAML key": (
        "lanes:",
        "horizon: 7\nlanes:",
        '9:1: is not valid YAML (found duplicate key "horizon" with value "7" (original value: "5"))',
    ),
    "alias": (
        "horizon: 5",
        "suppliers: &all [{name: a}]\nlanes: *all",
        "2:8: holds the alias *all; write the value out",
    ),
    "list as a key": ("horizon: 5", "? [a, b]\n: 5", f"1:3: has a key that is no name; {NAMED}"),
    "number as a key": ("horizon: 5", "horizon: 5\n7: 5", f"2:1: has a key that is no name; {NAMED}"),
    "merge key": ("horizon: 5", "<<: {horizon: 5}", f"1:1: has a key that is no name; {NAMED}"),
    "Python object": (
        "horizon: 5",
        "description: !!python/object/apply:os.system ['true']",
        "1:14: is not valid YAML (could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:os.system')",
    ),
    "open bracket": (
        "horizon: 5",
        "horizon: [5",
        "2:7: is not valid YAML (expected ',' or ']', but got ':')",
    ),
    "two documents": ("suppliers:", "---\nsuppliers:", "3:1: is not valid YAML (but found another document)"),
}


def told(path: Path, *settings: str) -> str:
    """The message that loading gives, after the file's name."""
    with pytest.raises(InputError) as refusal:
        load_problem(path, settings)
    message = str(refusal.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}:")


@pytest.mark.parametrize("mistake", CHANGED)
def test_a_broken_scenario(tmp_path: Path, mistake: str):
    old, new, message = CHANGED[mistake]
    assert old in SCENARIO
    path = tmp_path / "shop.yaml"
    path.write_text(SCENARIO.replace(old, new, 1), encoding="utf-8")
    load_problem(_written(tmp_path / "sound.yaml", SCENARIO))
    assert told(path) == message


def _written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: holds nothing; give a mapping of `key: value` lines"),
        ("- shop\n", "1:1: holds list; give a mapping of `key: value` lines"),
        ("just words\n", "1:1: holds str; give a mapping of `key: value` lines"),
        ("name: é\n".encode("latin-1"), " is not UTF-8 text; give a YAML file"),
        ('name: "\x00"\n', " is not valid YAML (special characters are not allowed)"),
        (
            "description: " + "[" * 10**6,
            "1:63: is nested more than 50 levels deep; a scenario needs a handful",
        ),
        (
            "description: " + "{a: " * 10**5,
            "1:210: is nested more than 50 levels deep; a scenario needs a handful",
        ),
        ("- " * 10**5, "1:101: is nested more than 50 levels deep; a scenario needs a handful"),
        ("name: 2024-02-30\n", " is not valid YAML (day is out of range for month)"),
        ("a: " + "x" * 2**22, " is larger than 4194304 bytes; give large tables as CSV"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_file_that_is_no_scenario(tmp_path: Path, text: str | bytes, message: str):
    assert told(_written(tmp_path / "shop.yaml", text)) == message


def test_an_alias_bomb_is_refused_at_its_first_alias(tmp_path: Path):
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{y}: &{y} [{', '.join([f'*{x}'] * 9)}]\n" for x, y in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert told(_written(tmp_path / "bomb.yaml", bomb)) == "2:8: holds the alias *a; write the value out"


@pytest.mark.parametrize("digits", [400, 4000, 5000])
def test_a_number_of_any_length_is_refused_in_a_few_words(tmp_path: Path, digits: int):
    message = told(
        _written(tmp_path / "shop.yaml", SCENARIO.replace("storage: 20", f"storage: {'9' * digits}"))
    )
    assert len(message) < 200


def test_a_number_too_large_to_reckon_with_is_refused(tmp_path: Path):
    message = told(
        _written(tmp_path / "shop.yaml", SCENARIO.replace("storage: 20", "initial_stock: 1.0e+200"))
    )
    assert message.startswith("7:5: warehouses[0].initial_stock is 1e+200; give a number, 0 or more")


def test_files_that_are_not_there(tmp_path: Path):
    assert (
        told(tmp_path / "nowhere.yaml")
        == " cannot be read (No such file or directory); give the path of a YAML file"
    )
    (tmp_path / "folder.yaml").mkdir()
    assert told(tmp_path / "folder.yaml") == " cannot be read (Is a directory); give the path of a YAML file"
    with pytest.raises(
        InputError,
        match=r"^two_warehose: is no scenario; did you mean two_warehouses\?; or give the path of a \.yaml file or of a network \(\.json, \.graphml, \.gexf, \.gml\)$",
    ):
        load_problem("two_warehose")


# Data files

SALES = "period,product,shop,kiosk\n" + "".join(f"{period},tea,{period},{period}\n" for period in range(10))

EMPIRICAL = """horizon: 3
products: [{name: tea}]
demand: {kind: empirical, path: FILE, train: [0, 5], evaluate: [5, 8]}
warehouses: [{name: shop}, {name: kiosk}]
ending: finite
"""


def told_of_data(folder: Path, sales: str | bytes | None, *settings: str) -> str:
    """The message that a data file gives, after its name."""
    if sales is not None:
        _written(folder / "sales.csv", sales)
    scenario = _written(folder / "shop.yaml", EMPIRICAL.replace("FILE", str(folder / "sales.csv")))
    return told(scenario, *settings).removeprefix(f"{folder / 'sales.csv'}:")


def test_sound_sales_can_be_read(tmp_path: Path):
    _written(tmp_path / "sales.csv", SALES)
    assert load_problem(
        _written(tmp_path / "shop.yaml", EMPIRICAL.replace("FILE", "sales.csv"))
    ).demand.mean.tolist() == [[2, 2]]


@pytest.mark.parametrize(
    ("sales", "message"),
    [
        (None, " cannot be read (No such file or directory); give a CSV file as demand.path"),
        ("", "1: is empty; give a CSV file with a header line and a row per period and product"),
        ("period,product,shop,kiosk\n", "1: holds no rows; give a row per period and product"),
        (
            SALES.replace("kiosk", "kisok"),
            "1: has no column 'kiosk'; its columns are period, product, shop, kisok",
        ),
        (
            SALES.replace("3,tea,3", "3,tea,three"),
            "5: shop is 'three'; give a number, or leave the cell empty for a gap",
        ),
        (
            SALES.replace("3,tea,3,3", "3,tea,3,nan"),
            "5: kiosk is 'nan'; give a number, or leave the cell empty for a gap",
        ),
        (
            SALES.replace("3,tea,3,3", "3,tea,3,1e999"),
            "5: kiosk is '1e999'; give a number, or leave the cell empty for a gap",
        ),
        (SALES.replace("3,tea,3,3", "3,tea,3"), "5: has 3 cells for 4 columns; give one for each"),
        (
            SALES.replace("3,tea", "3,tee"),
            "5: product is 'tee', which is no product of the scenario; did you mean tea?",
        ),
        (SALES + "9,tea,1,1\n", "12: has tea in period 9 a second time; give one row per period and product"),
        (
            SALES.replace("3,tea", "3,té").encode("latin-1"),
            " cannot be read (not UTF-8 text); give a CSV file as demand.path",
        ),
        (
            SALES + '10,"tea' + "x" * 200_000,
            " cannot be read (field larger than field limit (131072)); give a CSV file as demand.path",
        ),
        (
            SALES[: SALES.index("6,tea")],
            " holds 6 periods, but demand.evaluate is [5, 8]; end it at 6 or before",
        ),
    ],
    ids=lambda value: str(value)[-25:],
)
def test_a_broken_data_file(tmp_path: Path, sales: str | bytes | None, message: str):
    assert told_of_data(tmp_path, sales) == message


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("demand.train=[0, 40]", " holds 10 periods, but demand.train is [0, 40]; end it at 10 or before"),
        (
            "demand.train=[0, 3]",
            " demand.train is [0, 3], but an episode takes 4 periods; lengthen it, or shorten the horizon",
        ),
        (
            "demand.evaluate=[0, 3]",
            " demand.evaluate is [0, 3]; start it at 1 or later, to leave room for the history",
        ),
        (
            "demand.evaluate=[4, 7]",
            " demand.train is [0, 5] and demand.evaluate is [4, 7]; let them not overlap, or policies are "
            "scored on what they were fitted on",
        ),
    ],
)
def test_a_stretch_that_the_file_does_not_hold(tmp_path: Path, setting: str, message: str):
    assert told_of_data(tmp_path, SALES, setting) == message


def test_a_scenario_that_waits_for_its_data_says_so(tmp_path: Path):
    scenario = _written(tmp_path / "shop.yaml", EMPIRICAL.replace("path: FILE, ", ""))
    assert told(scenario) == "demand.path is not given; give the CSV file of demand: demand.path=FILE.csv"
