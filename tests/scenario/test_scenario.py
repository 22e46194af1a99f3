"""Scenario files: what is assumed where nothing is said, how settings change them, and where each part
stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from marl_inv.common.documents import Document, override, read_yaml
from marl_inv.common.errors import InputError, suggestion
from marl_inv.episodes.problem import Problem
from marl_inv.scenario import Scenario, library, load_scenario, read_scenario, scenario_path
from marl_inv.scenario.fields import per_product

SHOP = """# A shop
horizon: 5
demand: {kind: poisson, mean: 5}
suppliers:
  - name: mill
warehouses:
  - name: shop
    storage: 20
  - name: kiosk
lanes:
  - origin: mill
    destination: shop
    lead_time: 2
  - {origin: shop, destination: kiosk, lead_time: 1}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(SHOP, encoding="utf-8")
    return tmp_path / "shop.yaml"


# Defaults


def test_what_is_not_said_takes_its_default(shop: Path):
    scenario = load_scenario(shop)
    assert (scenario.name, scenario.objective, scenario.ending, scenario.warm_up, scenario.history) == (
        "shop",
        "cost",
        "continuing",
        0,
        1,
    )
    assert [product.name for product in scenario.product_list] == ["product"]
    assert scenario.lanes[0].name == "mill->shop"
    assert (scenario.warehouses[0].storage, scenario.warehouses[1].storage) == (20, None)
    assert (scenario.warehouses[0].unmet_demand, scenario.warehouses[0].faces_demand) == ("lost", True)


def test_a_warehouse_takes_the_scenarios_demand_unless_it_has_its_own_or_none(shop: Path):
    scenario = load_scenario(shop, ["warehouses.kiosk.demand={kind: poisson, mean: 2}"])
    assert [scenario.demand_of(warehouse).mean for warehouse in scenario.warehouses] == [5, 2]
    assert load_scenario(shop, ["warehouses.kiosk.faces_demand=false"]).warehouses[1].faces_demand is False
    assert (
        scenario.demand_of(load_scenario(shop, ["warehouses.kiosk.faces_demand=false"]).warehouses[1]) is None
    )


def test_products_may_be_counted_instead_of_named(shop: Path):
    assert [product.name for product in load_scenario(shop, ["products={count: 2}"]).product_list] == [
        "product_0",
        "product_1",
    ]
    names = [product.name for product in load_scenario(shop, ["products={count: 11}"]).product_list]
    assert (names[0], names[-1], len(names)) == ("product_00", "product_10", 11)


def test_a_number_stands_for_all_products():
    assert per_product(3.0, 2) == [3, 3]
    assert per_product([3.0, 4.0], 2) == [3, 4]


# Settings


def test_settings_reach_into_lists_by_index_or_by_name(shop: Path):
    scenario = load_scenario(
        shop,
        [
            "horizon=9",
            "warehouses.kiosk.storage=7",
            "lanes.0.lead_time=1",
            "demand.mean=2.5",
            "warehouses.0.promotion.uplift=0.5",
        ],
    )
    assert (
        scenario.horizon,
        scenario.warehouses[1].storage,
        scenario.lanes[0].lead_time,
        scenario.demand.mean,
    ) == (9, 7, 1, 2.5)
    assert scenario.warehouses[0].promotion.uplift == 0.5


def test_a_setting_may_be_a_whole_part(shop: Path):
    scenario = load_scenario(
        shop, ["lanes=[{origin: shop, destination: kiosk, lead_time: 0}]", "suppliers=[]", "ending=finite"]
    )
    assert [lane.name for lane in scenario.lanes] == ["shop->kiosk"]


def test_settings_change_the_document_and_not_the_file(shop: Path):
    load_scenario(shop, ["horizon=9"])
    assert load_scenario(shop).horizon == 5


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("horizon", "'horizon' is not a setting; write key.path=value"),
        ("=3", "'=3' is not a setting; write key.path=value"),
        ("horizon=", "horizon is None; give a whole number"),
        ("horizon=soon", "horizon is 'soon'; give a whole number"),
        ("horizon=2024-02-30", "horizon is '2024-02-30'; give a whole number"),
        ("horizn=3", "horizn is not a known key; did you mean horizon?"),
        (
            "warehouses.depot.storage=3",
            "warehouses.depot.storage: there is no entry 'depot'; give an index below 2 or one of shop, "
            "kiosk",
        ),
        (
            "warehouses.2.storage=3",
            "warehouses.2.storage: there is no entry '2'; give an index below 2 or one of shop, kiosk",
        ),
        ("warehouses=5", "warehouses is 5; give a list"),
        (
            "demand={kind: poisson, mean: -1}",
            "demand.mean is -1; give a number, 0 or more, or a list of such numbers with one for each "
            "product",
        ),
        (
            "lanes=[{origin: mill, destination: shops, lead_time: 1}]",
            "lanes[0].destination is 'shops', which is no warehouse; did you mean shop?",
        ),
    ],
)
def test_a_wrong_setting_is_told_from_a_wrong_file(shop: Path, setting: str, message: str):
    with pytest.raises(InputError) as refusal:
        load_scenario(shop, [setting])
    assert str(refusal.value) == f"command line: {message}"


def test_a_setting_cannot_reach_into_a_number():
    document = Document("file", {"stock": [3]})
    with pytest.raises(
        InputError, match=r"^command line: stock\.0\.x: 'x' would stand inside 3; give a shorter key$"
    ):
        override(document, ["stock.0.x=1"])


# Places


def test_every_part_of_a_document_knows_its_line_and_column(shop: Path):
    document = read_yaml(shop)
    paths = [
        ("horizon",),
        ("demand", "mean"),
        ("warehouses", 1, "name"),
        ("lanes", 0),
        ("lanes", 0, "lead_time"),
    ]
    assert [document.place(path) for path in paths] == [
        f"{shop}:{place}" for place in ("2:1", "3:25", "9:5", "11:5", "13:5")
    ]
    assert document.place(("lanes", 0, "transport_cost")) == document.place(
        ("lanes", 0)
    )  # the nearest place above


def test_every_mistake_is_a_line_of_its_own(shop: Path):
    shop.write_text(
        SHOP.replace("horizon: 5", "horizon: 0").replace("storage: 20", "storag: 20"), encoding="utf-8"
    )
    with pytest.raises(InputError) as refusal:
        load_scenario(shop)
    assert str(refusal.value).splitlines() == [
        f"{shop}:2:1: horizon is 0; give a number above 0",
        f"{shop}:8:5: warehouses[0].storag is not a known key; did you mean storage?",
    ]


def test_a_suggestion_is_the_nearest_name_or_all_there_are():
    assert suggestion("horizn", ["horizon", "history"]) == "; did you mean horizon?"
    assert suggestion("x", ["a", "b"]) == "; known are a, b"
    assert suggestion("x", []) == ""


# Finding files


def test_a_scenario_is_named_by_path_or_by_its_bare_name(shop: Path):
    assert scenario_path(shop) == shop
    assert scenario_path("two_warehouses") == library()["two_warehouses"]
    assert load_scenario("two_warehouses").name == "two_warehouses"


def test_data_is_looked_for_beside_the_scenario(shop: Path, monkeypatch: pytest.MonkeyPatch):
    (shop.parent / "sales.csv").write_text(
        "period,product,shop,kiosk\n" + "".join(f"{t},product,1,2\n" for t in range(20)), encoding="utf-8"
    )
    demand = "demand={kind: empirical, path: sales.csv, train: [0, 10], evaluate: [10, 20]}"
    assert Problem.of(load_scenario(shop, [demand])).demand.mean.tolist() == [[1, 2]]
    monkeypatch.chdir(shop.parent)
    assert Problem.of(load_scenario(shop, [demand])).demand.mean.tolist() == [[1, 2]]


@pytest.mark.parametrize("name", sorted(library()))
def test_every_scenario_of_the_library_is_sound(name: str):
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.description


def test_a_scenario_is_plain_data(shop: Path):
    """It can be written out, as JSON for instance, and read back."""
    scenario = load_scenario(shop)
    document = Document("again", scenario.model_dump(mode="json", exclude_none=True))
    assert read_scenario(document) == scenario == Scenario.model_validate_json(scenario.model_dump_json())
