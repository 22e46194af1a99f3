"""What `check` tells an author besides mistakes: each piece of advice on a scenario that deserves it, and
none on the library."""

from __future__ import annotations

from pathlib import Path

import pytest

from marl_inv.common.documents import Document
from marl_inv.scenario import Scenario, library, read_document, read_scenario
from marl_inv.scenario.advice import Advice, advise, most_alike, rough_mean
from marl_inv.scenario.demand import DiscreteUniform, KnownDemand, Normal, Poisson, Season

SOUND = """horizon: 50
warm_up: 10
objective: profit
suppliers:
  - {name: mill}
warehouses:
  - {name: depot, faces_demand: false, holding_cost: 1}
  - {name: shop, price: 9, shortage_cost: 1, holding_cost: 1, demand: {kind: poisson, mean: 10}}
  - {name: kiosk, price: 9, holding_cost: 1, demand: {kind: poisson, mean: 5}}
lanes:
  - {origin: mill, destination: depot, lead_time: 2, procurement_cost: 4}
  - {origin: depot, destination: shop, lead_time: 1, transport_cost: 1}
  - {origin: depot, destination: kiosk, lead_time: 1, transport_cost: 1}
"""


def told(folder: Path, text: str) -> list[str]:
    """The advice on a scenario, without the file's name."""
    (folder / "it.yaml").write_text(text, encoding="utf-8")
    document = read_document(folder / "it.yaml")
    return [
        str(advice).removeprefix(f"{folder / 'it.yaml'}:")
        for advice in advise(read_scenario(document), document)
    ]


def test_a_sound_scenario_gets_no_advice(tmp_path: Path):
    assert told(tmp_path, SOUND) == []


@pytest.mark.parametrize("name", sorted(set(library())))
def test_the_library_follows_its_own_advice(name: str):
    document = read_document(name)
    assert [str(advice) for advice in advise(read_scenario(document), document) if advice.warning] == []


WORTH_TELLING = {
    # what is changed: (old, new, what is told)
    "no way from a supplier": (
        "  - {origin: depot, destination: kiosk, lead_time: 1, transport_cost: 1}\n",
        "",
        "9:5: warning: no supplier can reach kiosk: no lanes lead from one to it, and it has 0 units of "
        "initial stock",
    ),
    "a supplier of nobody": (
        "{name: mill}",
        "{name: mill}\n  - {name: forge}",
        "6:5: warning: no lane leaves forge, so it supplies nobody",
    ),
    "a warehouse for nobody": (
        "  - {name: depot,",
        "  - {name: shed, faces_demand: false}\n  - {name: depot,",
        "7:5: warning: shed has no customers and no lane leaves it, so what it holds is of no use",
    ),
    "a season that nobody sees": (
        "{kind: poisson, mean: 5}",
        "{kind: poisson, mean: 5, season: {period: 52, amplitude: 0.5}}",
        "9:5: note: demand of kiosk changes with time, and agents see neither the period nor what is coming; "
        "give a forecast (seasonal_order_up_to knows the calendar)",
    ),
    "a small supplier": (
        "{name: mill}",
        "{name: mill, capacity: 12}",
        "5:18: warning: of a mean demand of 15 a period (in volume) at most 12 can be met, for mill limits "
        "it",
    ),
    "a small lane": (
        "{origin: depot, destination: shop, lead_time: 1, transport_cost: 1}",
        "{origin: depot, destination: shop, lead_time: 1, transport_cost: 1, capacity: 7}",
        "12:73: warning: of a mean demand of 15 a period (in volume) at most 12 can be met, for depot->shop "
        "limits it",
    ),
    "a small depot": (
        "{name: depot,",
        "{name: depot, storage: 14,",
        "7:19: warning: of a mean demand of 15 a period (in volume) at most 14 can be met, for depot limits "
        "it",
    ),
    "a small fleet": (
        "horizon: 50",
        "horizon: 50\npools: [{name: fleet, lanes: [depot->shop, depot->kiosk], capacity: 13}]",
        "2:59: warning: 15 a period (in volume) have to take the lanes of fleet, which carries 13",
    ),
    "storage of less than lead-time demand": (
        "{name: shop,",
        "{name: shop, storage: 15,",
        "8:18: note: shop can store 15, less than its mean demand over lead time + 1 (20, in volume): "
        "orders that come together overflow",
    ),
    "a vehicle too small": (
        "lead_time: 2,",
        "lead_time: 2, vehicle_capacity: 0.5,",
        "11:54: warning: mill->depot has a vehicle_capacity of 0.5, and one product takes 1: it will never "
        "fit",
    ),
    "selling at a loss": (
        "{name: kiosk, price: 9,",
        "{name: kiosk, price: 4,",
        "9:19: warning: serving a unit at kiosk gains 4 and costs 5 to buy and bring there, so not to order "
        "is best",
    ),
    "nothing gained": (
        "{name: kiosk, price: 9,",
        "{name: kiosk,",
        "9:5: warning: kiosk gains nothing by serving its customers, so not to order is best; give a "
        "shortage_cost",
    ),
    "a reactive lane that never saves": (
        "lanes:\n",
        "lanes:\n  - {origin: shop, destination: kiosk, reactive: true, transport_cost: 11}\n",
        "11:56: warning: shop->kiosk is reactive and never saves money: a unit moved costs 11 and saves 10",
    ),
    "a promotion that never pays": (
        "{name: shop,",
        "{name: shop, promotion: {uplift: 0.1, cost: 5},",
        "8:18: warning: promoting at shop costs 5 a level and sells for 4 more at mean demand, so it never "
        "pays",
    ),
    "a lane too long": (
        "lead_time: 2,",
        "lead_time: 50,",
        "11:40: warning: mill->depot takes 50 periods and the episode 50: what is asked for there comes too "
        "late",
    ),
    "an event too late": (
        "horizon: 50",
        "horizon: 50\nevents: [{kind: surge, factor: 2, at: [60]}]",
        "2:10: warning: this surge begins after the horizon of 50 periods",
    ),
    "an empty start": (
        "warm_up: 10\n",
        "",
        "5:1: note: episodes begin with empty warehouses and are scored from the first period; give "
        "initial_stock, warm_up or initial_state: steady",
    ),
    "a priority nobody asks for": (
        "destination: shop, lead_time: 1,",
        "destination: shop, lead_time: 1, priority: 1,",
        "12:54: warning: depot->shop has a priority, which depot does not ration by; give it rationing: "
        "priority",
    ),
    "a reserve against nobody": (
        "{name: shop,",
        "{name: shop, max_reserve: 5,",
        "8:18: warning: shop may keep a reserve, and nobody can ask for its stock: no lane leaves it",
    ),
}


@pytest.mark.parametrize("case", WORTH_TELLING)
def test_what_is_probably_not_meant_is_told_in_one_sentence(tmp_path: Path, case: str):
    old, new, message = WORTH_TELLING[case]
    assert old in SOUND
    assert told(tmp_path, SOUND.replace(old, new, 1)) == [message]


def test_prices_that_no_objective_counts_are_told(tmp_path: Path):
    plain = SOUND.replace("objective: profit\n", "")
    assert [line for line in told(tmp_path, plain) if "price" in line] == [
        "8:5: warning: kiosk gains nothing by serving its customers, so not to order is best; give a "
        "shortage_cost, or a price and objective: profit",
        "7:18: warning: shop has a price, and the objective cost counts no revenue; give objective: profit",
        "8:19: warning: kiosk has a price, and the objective cost counts no revenue; give objective: profit",
    ]


def test_a_season_that_lives_on_its_stock_is_only_noted(tmp_path: Path):
    text = (
        "ending: finite\nhorizon: 4\nwarehouses:\n  - {name: shop, initial_stock: 9, demand: {kind: "
        "poisson, mean: 2}}\n"
    )
    sentence = "there are no suppliers: 9 units of initial stock meet a mean demand of 8 in 4 periods"
    assert told(tmp_path, text) == [f"3:1: note: {sentence}"]
    assert told(tmp_path, text.replace("ending: finite\n", "")) == [f"2:1: warning: {sentence}"]


def test_stock_that_an_episode_begins_with_counts_as_supply(tmp_path: Path):
    """50 periods x 15 units need 750; the mill makes 600 and 150 are there."""
    season = SOUND.replace("{name: mill}", "{name: mill, capacity: 12}").replace(
        "horizon: 50", "horizon: 50\nending: finite"
    )
    assert told(tmp_path, season) != []
    assert told(tmp_path, season.replace("{name: depot,", "{name: depot, initial_stock: 150,")) == []


def test_products_share_capacities_by_volume(tmp_path: Path):
    """10 + 5 chairs of 3 and as many lamps of 1 take 60 a period."""
    two = SOUND.replace("horizon: 50", "horizon: 50\nproducts: [{name: lamp}, {name: chair, volume: 3}]")
    assert told(tmp_path, two.replace("{name: mill}", "{name: mill, capacity: 60}")) == []
    [line] = told(tmp_path, two.replace("{name: mill}", "{name: mill, capacity: 59}"))
    assert "a mean demand of 60 a period (in volume) at most 59" in line


def test_of_many_alike_the_first_few_are_printed():
    alike = [Advice("file:1:1", "idle", f"{number}") for number in range(7)]
    assert list(most_alike([*alike, Advice("file:2:1", "worth", "x", False)])) == [
        *(f"file:1:1: warning: {number}" for number in range(5)),
        "... and 2 more like this",
        "file:2:1: note: x",
    ]


# Mean demand, by hand


@pytest.mark.parametrize(
    ("demand", "mean"),
    [
        (Poisson(kind="poisson", mean=[2, 3.5]), [2, 3.5]),
        (DiscreteUniform(kind="discrete_uniform", low=1, high=4), [2.5, 2.5]),
        (KnownDemand(kind="known", values=[1, 3, 5]), [3.5, 3.5]),  # 1, 3, 5, 5
        (Poisson(kind="poisson", mean=10, trend=0.1), [11.5, 11.5]),  # 10, 11, 12, 13
        (Poisson(kind="poisson", mean=10, season=Season(factors=[0.5, 1.0])), [7.5, 7.5]),
        (
            Poisson(kind="poisson", mean=10, season=Season(period=8, amplitude=0.5, peak=1.5)),
            [13.2664, 13.2664],
        ),  # half of it, at its peak
        (Normal(kind="normal", mean=0, sd=1, cut_at_zero=False), [0, 0]),
        (Normal(kind="normal", mean=0, sd=1), [0.3989, 0.3989]),  # 1 / sqrt(2 pi)
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_rough_means(demand, mean: list[float]):
    assert rough_mean(demand, 2, 4).tolist() == pytest.approx(mean, abs=1e-4)


def test_regimes_scale_demand_by_their_long_run_mean(tmp_path: Path):
    """In the long run three quarters of the periods are in the first regime: 0.75 x 1 + 0.25 x 2 = 1.25."""
    regimes = "horizon: 50\nregimes: {factors: [1, 2], transition: [[0.9, 0.1], [0.3, 0.7]]}"
    [line] = told(
        tmp_path, SOUND.replace("horizon: 50", regimes).replace("{name: mill}", "{name: mill, capacity: 15}")
    )
    assert "a mean demand of 18.75 a period" in line


def test_advice_needs_no_document_with_places():
    scenario = Scenario.model_validate(
        {"warehouses": [{"name": "shop"}], "demand": {"kind": "poisson", "mean": 1}}
    )
    assert [advice.place for advice in advise(scenario, Document("graph", {}))] == ["graph", "graph"]
