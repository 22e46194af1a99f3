"""Every scenario under PettingZoo's tests and ours (`marl_inv.testing`), then worked examples and what those
tests do not look at."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import time
from collections.abc import Iterator

import numpy as np
import pettingzoo
import pytest
import torch
from gymnasium.spaces import Discrete
from pettingzoo.test import parallel_api_test

from building import problem
from marl_inv.common.errors import InputError
from marl_inv.environment import WarehouseEnv, parallel_env
from marl_inv.episodes.view import View, observe
from marl_inv.scenario import library
from marl_inv.simulator import Decision, step
from marl_inv.testing import check_environment, check_laws, check_pettingzoo, check_processes
from scenarios_under_test import SCENARIOS, SCENARIOS_LARGE_SLOWLY, periods, problem_under_test

every_scenario = pytest.mark.parametrize("name", SCENARIOS)

TWO_SHOPS = """
name: two_shops
ending: finite
horizon: 3
history: 0
objective: profit
suppliers: [{name: far}]
warehouses:
  - {name: shop_0, initial_stock: 10, price: 5, demand: {kind: poisson, mean: 4}, promotion: {max_level: 2, uplift: 0.5, cost: 3}}
  - {name: shop_1, initial_stock: 6, holding_cost: 1, faces_demand: false}
lanes:
  - {origin: far, destination: shop_0, lead_time: 2, procurement_cost: 2, max_request: 30}
  - {origin: shop_1, destination: shop_0, lead_time: 1, transport_cost: 1, max_request: 8}
"""


def made(name: str, **options) -> WarehouseEnv:
    return parallel_env(problem_under_test(name), **options)


def sampled(env: WarehouseEnv) -> dict[str, np.ndarray]:
    return {agent: env.action_space(agent).sample() for agent in env.agents}


def play(env: WarehouseEnv, seed: int | None = None) -> Iterator[tuple]:
    """A whole episode of random actions, the same at each call: what reset and then every step returns, each
    with the actions."""
    for index, agent in enumerate(env.possible_agents):
        env.action_space(agent).seed(index)
    yield env.reset(seed=seed), None
    while env.agents:
        actions = sampled(env)
        yield env.step(actions), actions


def same(ours, theirs) -> bool:
    """Equal to the last bit, through tuples and dicts."""
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, tuple | list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return np.array_equal(ours, theirs)


@pytest.mark.parametrize("name", SCENARIOS_LARGE_SLOWLY)
def test_pettingzoos_own_tests(name):
    check_pettingzoo(problem_under_test(name), periods(name))


@every_scenario
def test_whole_episodes(name):
    check_environment(lambda: made(name, max_cycles=periods(name)))


@every_scenario
def test_the_laws_hold_in_every_scenario(name):
    check_laws(problem_under_test(name), periods(name))


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["two_warehouses", "seasonal_retail", "supplier_outage"], id="three"),
        pytest.param(
            [scenario.values[0] for scenario in SCENARIOS if not scenario.marks],
            id="all",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_scenario_is_the_same_in_every_process(names):
    check_processes([problem_under_test(name) for name in names], periods=3)


def test_a_period_on_paper():
    """shop_0 asks 7 of the far supplier and 8 of shop_1, which holds 6; it earns 5 a unit sold, pays 2 x 7 +
    1 x 6 and, at level 1, 3."""
    env = parallel_env(problem(TWO_SHOPS), render_mode="ansi")
    env.reset(seed=0)
    assert env.action_names("shop_0") == [
        "product.request.far->shop_0",
        "product.request.shop_1->shop_0",
        "product.promotion",
    ]
    observations, earned, *_, infos = env.step({"shop_0": [7, 8, 1], "shop_1": []})
    assert infos["shop_0"]["requested"].tolist() == [7, 8]
    assert infos["shop_0"]["shipped"].tolist() == [7, 6]
    demand = float(env.problem.trace("train", 0, range(1)).demand[0, 0, 0, 0]) * 1.5
    assert infos["shop_0"]["revenue"] == 5 * min(demand, 10)
    assert earned == {"shop_0": 5 * min(demand, 10) - 14 - 6 - 3, "shop_1": 0}
    seen = dict(zip(env.observation_names("shop_0"), observations["shop_0"].tolist(), strict=True))
    assert seen["product.inventory_level"] == max(10 - demand, 0) + 6
    assert seen["product.due_in_1"] == 7
    assert seen["product.periods_left"] == 2
    assert [line.split()[0] for line in env.render().splitlines()[3:5]] == ["shop_0", "shop_1"]


def test_a_warehouse_that_decides_nothing_is_an_agent_with_an_empty_action():
    env = parallel_env(problem(TWO_SHOPS))
    assert env.action_space("shop_1").shape == (0,)
    assert env.action_names("shop_1") == []
    parallel_api_test(env)


def test_what_is_above_high_counts_as_high():
    env = parallel_env(problem(TWO_SHOPS))
    env.reset(seed=0)
    most = env.step({"shop_0": [30, 8, 2], "shop_1": []})
    env.reset(seed=0)
    assert same(env.step({"shop_0": [1e9, 9, 1e300], "shop_1": []}), most)


def test_what_becomes_of_requests_on_paper():
    """shop asks its depot for 9 of the 5 that it has and 2 of which it keeps, and the mill for 4 of the 3 it
    can make; the rest is owed, and refused. The kiosk, out of stock, is short of 7 and gets what the shop has
    left, 8 - 3, along a reactive lane."""
    env = parallel_env(problem(OWED))
    observations, _ = env.reset(seed=0)
    assert env.action_names("shop") == ["product.request.mill->shop", "product.request.depot->shop"]
    assert env.action_names("depot") == ["product.reserve"]
    assert env.action_space("depot").high.tolist() == [2]
    assert env.action_names("kiosk") == []
    assert env.transshipment_names("kiosk") == ["product.transshipped.shop->kiosk"]
    observations, _, _, _, infos = env.step({"shop": [4, 9], "depot": [5], "kiosk": []})
    assert {key: infos["shop"][key].tolist() for key in ("requested", "shipped", "owed", "refused")} == {
        "requested": [4, 9],
        "shipped": [3, 3],
        "owed": [0, 6],
        "refused": [1, 0],
    }
    assert infos["kiosk"]["transshipped"].tolist() == [5]
    assert "transshipped" not in infos["shop"]
    depot = dict(zip(env.observation_names("depot"), observations["depot"].tolist(), strict=True))
    assert depot["product.inventory_level"] == 2
    assert depot["product.owed_to_others"] == 6
    assert depot["product.inventory_position"] == 2 - 6
    assert (
        dict(zip(env.observation_names("shop"), observations["shop"].tolist(), strict=True))[
            "product.inventory_position"
        ]
        == 6 + 6
    )


OWED = """
name: owed
suppliers: [{name: mill, capacity: 3}]
demand: {kind: known, values: [3]}
warehouses:
  - {name: shop, initial_stock: 8, shortage_cost: 9}
  - {name: depot, initial_stock: 5, faces_demand: false, max_reserve: 2}
  - {name: kiosk, demand: {kind: known, values: [7]}, shortage_cost: 9}
lanes:
  - {origin: mill, destination: shop, lead_time: 1}
  - {origin: depot, destination: shop, lead_time: 1, unfilled: owed}
  - {origin: shop, destination: kiosk, reactive: true, transport_cost: 1}
"""


def test_whole_units_are_asked_for_where_quantities_are_integer():
    env = parallel_env(problem(OWED + "quantities: integer"))
    env.reset(seed=0)
    *_, infos = env.step({"shop": [0.6, 1.4], "depot": [0.4], "kiosk": []})
    assert infos["shop"]["requested"].tolist() == [1, 1]
    assert infos["shop"]["shipped"].tolist() == [1, 1]


def test_facts_are_bounded_where_they_truly_are():
    """By what is lost, owed, planned, recovered (a level of 2 each period, half of which lasts: at most 4)
    and left of the season."""
    env = parallel_env(problem(BOUNDED))
    low, high = bounds(env, "shop")
    assert low["product.inventory_level"] == low["product.inventory_position"] == 0
    assert high["product.planned_promotion_0_ahead"] == 1.5
    assert high["product.past_promotion"] == pytest.approx(4, rel=0.01)
    assert high["product.source_available"] == 1
    assert high["product.periods_left"] == 6
    assert math.isinf(high["product.inventory_level"])
    assert low["product.demand_1_ago"] == low["product.forecast_0_ahead"] == 0
    low, _ = bounds(env, "depot")
    assert low["product.inventory_level"] == 0
    assert low["product.inventory_position"] == -math.inf, "it may owe more than it has"
    low, _ = bounds(env, "yard")
    assert (
        low["product.inventory_level"]
        == low["product.demand_1_ago"]
        == low["product.forecast_1_ahead"]
        == -math.inf
    )
    check_environment(lambda: parallel_env(env.problem))


def bounds(env: WarehouseEnv, agent: str) -> list[dict[str, float]]:
    """Least and most of every fact, by name."""
    space = env.observation_space(agent)
    return [
        dict(zip(env.observation_names(agent), limits.tolist(), strict=True))
        for limits in (space.low, space.high)
    ]


BOUNDED = """
name: bounded
ending: finite
horizon: 6
suppliers: [{name: mill}]
forecast: {horizon: 2, error: 0.3}
events: [{kind: outage, targets: [mill], probability: 0.5}]
warehouses:
  - name: shop
    initial_stock: 3
    promotion: {max_level: 2, uplift: 0.2, dip: 0.1, recovery: 0.5, planned: {first: 1, level: 1.5}, notice: 1}
  - {name: depot, initial_stock: 5, faces_demand: false}
  - {name: yard, unmet_demand: backordered, demand: {kind: normal, mean: 2, sd: 3, cut_at_zero: false}}
lanes:
  - {origin: mill, destination: depot, lead_time: 1}
  - {origin: mill, destination: yard, lead_time: 1}
  - {origin: depot, destination: shop, lead_time: 1, unfilled: owed}
"""


@pytest.mark.parametrize("name", SCENARIOS_LARGE_SLOWLY)
def test_pettingzoos_own_tests_of_order_levels(name):
    check_pettingzoo(
        problem_under_test(name), 2, levels=5, only=("parallel_api_test", "api_test", "seed_test")
    )


@pytest.mark.parametrize("name", ["supplier_outage", "medical_supplies", "e_commerce"])
def test_whole_episodes_of_order_levels(name):
    check_pettingzoo(problem_under_test(name), 4, levels=5)
    check_environment(lambda: made(name, max_cycles=4, levels=5))


def test_order_levels_on_paper():
    """Poisson demand of 4: from the far supplier, who limits nothing, levels reach to 4 + 3 x 2 = 10, and to
    8 on the lane that takes no more; promotions reach to 2."""
    env = parallel_env(problem(TWO_SHOPS), levels=5)
    assert env.action_space("shop_0").nvec.tolist() == [5, 5, 5]
    assert env.level_units("shop_0").tolist() == [[0, 2.5, 5, 7.5, 10], [0, 2, 4, 6, 8], [0, 0.5, 1, 1.5, 2]]
    _, infos = env.reset(seed=0)
    assert [levels.tolist() for levels in infos["shop_0"]["action_mask"]] == [[1] * 5] * 3
    assert infos["shop_1"]["action_mask"] == ()
    *_, infos = env.step({"shop_0": [3, 2, 4], "shop_1": []})
    assert infos["shop_0"]["requested"].tolist() == [7.5, 4]
    assert infos["shop_0"]["promotion_cost"] == 3 * 2
    assert infos["shop_1"]["action_mask"] == ()


def test_an_agent_with_one_choice_has_a_discrete_space():
    env = parallel_env(problem(CLOSED), levels=5)
    _, infos = env.reset(seed=0)
    assert env.action_space("depot") == Discrete(5)
    assert infos["depot"]["action_mask"].tolist() == [1, 1, 1, 1, 0]
    for given in (3, np.int64(3), [3], np.array(3)):
        env.reset(seed=0)
        *_, infos = env.step({"shop": [0, 0, 0], "depot": given})
        assert infos["depot"]["requested"].tolist() == [6]
        assert infos["depot"]["action_mask"].dtype == np.int8
    env.reset(seed=0)
    with pytest.raises(InputError, match=r"action of depot: .*mill->depot is 5\.0; give a level"):
        env.step({"shop": [0, 0, 0], "depot": 5})
    with pytest.raises(InputError, match=r"action of depot: has shape \(2,\); give one whole number"):
        env.step({"shop": [0, 0, 0], "depot": [1, 1]})


def test_flat_actions_number_all_choices_of_levels():
    """Levels (2, 1, 3) of 5 are number 2 x 25 + 1 x 5 + 3 = 58; the mask has 4 x 5 x 2 levels that make
    sense."""
    levels, flat = parallel_env(problem(CLOSED), levels=5), parallel_env(problem(CLOSED), levels=5, flat=True)
    assert flat.action_space("shop") == Discrete(125)
    assert flat.action_space("depot") == Discrete(5)
    _, masked = levels.reset(seed=0)
    _, infos = flat.reset(seed=0)
    by_entry, mask = masked["shop"]["action_mask"], infos["shop"]["action_mask"]
    assert mask.sum() == 4 * 5 * 2
    assert all(
        mask[number] == all(entry[level] for entry, level in zip(by_entry, choice, strict=True))
        for number, choice in enumerate(itertools.product(range(5), repeat=3))
    )
    expected = levels.step({"shop": [2, 1, 3], "depot": 1})
    given = flat.step({"shop": 58, "depot": 1})
    assert expected[1] == given[1]
    assert given[-1]["shop"]["requested"].tolist() == [4, 2, 6]
    assert flat.action_names("shop") == levels.action_names("shop")
    for wrong in (125, -1, 0.5, math.nan):
        with pytest.raises(InputError, match=r"action of shop: is .*; give a whole number from 0 to 124"):
            flat.step({"shop": wrong, "depot": 0})
    with pytest.raises(InputError, match=r"action of shop: has shape \(3,\); give one whole number"):
        flat.step({"shop": [2, 1, 3], "depot": 0})


def test_flat_actions_of_an_agent_that_decides_nothing_and_of_too_many():
    env = parallel_env(problem(TWO_SHOPS), levels=5, flat=True)
    _, infos = env.reset(seed=0)
    assert env.action_space("shop_1") == Discrete(1)
    assert infos["shop_1"]["action_mask"].tolist() == [1]
    env.step({"shop_0": 3 * 25 + 2 * 5 + 4, "shop_1": 0})
    with pytest.raises(
        InputError, match=r"flat: shop_0 has 41\^3 choices, and 65536 are the most; give fewer"
    ):
        parallel_env(problem(TWO_SHOPS), levels=41, flat=True)
    with pytest.raises(
        InputError, match="flat: needs levels to choose from; give levels too, as in levels=8"
    ):
        parallel_env(problem(TWO_SHOPS), flat=True)


@pytest.mark.parametrize("name", ["two_warehouses", "lost_sales", "supplier_outage"])
def test_pettingzoos_own_tests_of_flat_actions(name):
    check_pettingzoo(problem_under_test(name), 4, levels=3, flat=True)
    check_environment(lambda: made(name, max_cycles=4, levels=3, flat=True))


def test_a_step_between_levels_is_a_whole_unit_where_quantities_are_integer():
    """10 units in 3 steps are 3 apart; 15 steps go beyond the 8 that the other lane takes, and what does is
    masked."""
    whole = problem(TWO_SHOPS + "quantities: integer")
    assert parallel_env(whole, levels=4).level_units("shop_0")[0].tolist() == [0, 3, 6, 9]
    env = parallel_env(whole, levels=16)
    _, infos = env.reset()
    assert env.level_units("shop_0")[1].tolist() == [*range(9), *[8] * 7]
    assert infos["shop_0"]["action_mask"][1].tolist() == [1] * 9 + [0] * 7


def test_levels_that_cannot_be_shipped_now_are_masked_and_ship_what_can_be():
    """The mill makes 6 and is closed in period 1, when the lane of the owing depot still takes requests; the
    van carries 5 of volume 2."""
    env = parallel_env(problem(CLOSED), levels=5)
    _, infos = env.reset(seed=0)
    assert env.action_names("shop") == [
        "product.request.mill->shop",
        "product.request.depot->shop",
        "product.request.van",
    ]
    assert env.level_units("shop")[:, 1].tolist() == [2, 2, 2]
    assert env.level_units("depot").tolist() == [[0, 2, 4, 6, 8]]
    masks = [infos["shop"]["action_mask"]]
    for _ in range(2):
        *_, infos = env.step({"shop": [4, 4, 4], "depot": [4]})
        masks.append(infos["shop"]["action_mask"])
    mill, depot, van = zip(*([levels.tolist() for levels in mask] for mask in masks), strict=True)
    assert mill == ([1, 1, 1, 1, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 0])
    assert depot == ([1] * 5,) * 3
    assert van == ([1, 1, 0, 0, 0],) * 3
    assert infos["shop"]["shipped"].tolist()[0] == 0
    assert infos["shop"]["requested"].tolist() == [8, 8, 8]


CLOSED = """
name: closed
products: [{name: product, volume: 2}]
suppliers: [{name: mill, capacity: 12}]
demand: {kind: known, values: [4]}
events: [{kind: outage, targets: [mill], at: [1]}]
warehouses:
  - {name: shop}
  - {name: depot, faces_demand: false, initial_stock: 40}
lanes:
  - {origin: mill, destination: shop, lead_time: 1}
  - {origin: mill, destination: depot, lead_time: 1}
  - {origin: depot, destination: shop, lead_time: 1, unfilled: owed}
  - {name: van, origin: depot, destination: shop, lead_time: 1, capacity: 5, max_request: 20}
"""


@every_scenario
def test_every_entry_has_a_name_of_its_own(name):
    env = made(name)
    observations, _ = env.reset(seed=0)
    *_, infos = env.step(sampled(env))
    for agent in env.possible_agents[:5]:
        for names, entries in (
            (env.observation_names(agent), observations[agent]),
            (env.action_names(agent), env.action_space(agent).low),
            (env.transshipment_names(agent), infos[agent].get("transshipped", [])),
        ):
            assert len(set(names)) == len(names) == len(entries)
        requests = [entry for entry in env.action_names(agent) if ".request." in entry]
        assert all(
            len(infos[agent][key]) == len(requests) for key in ("requested", "shipped", "owed", "refused")
        )


@every_scenario
def test_the_env_is_a_column_of_a_batch(name):
    """Three episodes after reset(seed=5) are replications 0, 1 and 2 of that seed; a batch of them leads to
    the same stock, to the bit."""
    env, problem = made(name, max_cycles=periods(name)), problem_under_test(name)
    episodes = [list(play(env, 5 if episode == 0 else None)) for episode in range(3)]
    network, trace = problem.network, problem.trace("train", 5, 3)
    state = problem.opening(trace)
    for period in range(len(episodes[0]) - 1):
        decisions = [env._layout.decision(env._layout.read(episode[period + 1][1])) for episode in episodes]
        joined = [
            [getattr(decision, kind) for decision in decisions]
            for kind in ("requests", "promotion", "reserve")
        ]
        decision = Decision(
            *(None if columns[0] is None else torch.cat(columns, dim=-1) for columns in joined)
        )
        state, _, costs = step(network, state, decision, trace.at(period))
        facts = observe(View(network, state, trace.known(period + 1, problem.scenario.ending == "finite")))
        for column, episode in enumerate(episodes):
            observations, earned, *_, infos = episode[period + 1][0]
            for n, agent in enumerate(env.possible_agents):
                assert np.array_equal(observations[agent], facts[column, :, n].flatten().numpy())
                assert infos[agent]["holding_cost"] == pytest.approx(
                    float(costs.holding[:, n, column].double().sum()), rel=1e-12
                )
            assert sum(earned.values()) == pytest.approx(
                float(costs.reward[..., column].double().sum()), rel=1e-4, abs=1e-3
            )


def test_a_new_environment_without_a_seed_has_luck_of_its_own():
    episodes = [parallel_env("two_warehouses") for _ in range(5)]
    for env in episodes:
        env.reset()
    assert not all(same(env._now().trace.demand, episodes[0]._now().trace.demand) for env in episodes[1:])


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_with_the_episode_and_has_luck_of_its_own_after_it(copied):
    env = parallel_env("two_warehouses")
    env.reset()
    other = copied(env)
    assert same(env._now().trace.demand, other._now().trace.demand)
    env.reset()
    other.reset()
    assert not same(env._now().trace.demand, other._now().trace.demand)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_of_a_seeded_environment_has_the_same_luck(copied):
    env = parallel_env("two_warehouses")
    env.reset(seed=3)
    other = copied(env)
    env.reset()
    other.reset()
    assert same(env._now().trace.demand, other._now().trace.demand)


def test_a_forked_environment_has_luck_of_its_own(monkeypatch):
    env = parallel_env("two_warehouses")
    env.reset()
    seed = env._seed
    monkeypatch.setattr("marl_inv.environment.environment.os.getpid", lambda: -1)
    env.reset()
    assert env._seed != seed
    env.reset(seed=3)
    monkeypatch.undo()
    env.reset()
    assert (env._seed, env._episode) == (3, 1)


def test_evaluation_on_a_data_file_plays_the_files_own_weeks_whatever_the_seed(tmp_path):
    weeks = "\n".join(f"{week},product,{week}" for week in range(12))
    (tmp_path / "sales.csv").write_text(f"period,product,shop\n{weeks}\n", encoding="utf-8")
    shop = TWO_SHOPS.split("suppliers")[0] + "warehouses: [{name: shop, initial_stock: 100, price: 5}]\n"
    (tmp_path / "shop.yaml").write_text(
        shop.replace(
            "history: 0", "demand: {kind: empirical, path: sales.csv, train: [0, 8], evaluate: [9, 12]}"
        ),
        encoding="utf-8",
    )
    env = parallel_env(tmp_path / "shop.yaml", stream="evaluate")
    for seed in (0, None, 3):
        assert [told[-1]["shop"]["revenue"] for told, actions in play(env, seed) if actions] == [
            5 * 9,
            5 * 10,
            5 * 11,
        ]


def test_a_season_terminates_and_an_ongoing_business_is_truncated():
    for ending, finite in (("finite", True), ("continuing", False)):
        env = parallel_env(problem(TWO_SHOPS.replace("finite", ending)))
        *before, ((_, _, terminations, truncations, _), _) = play(env, seed=0)
        assert len(before) == env.problem.scenario.horizon
        assert set(terminations.values()) == {finite}
        assert set(truncations.values()) == {not finite}
        assert not any(any({**moment[2], **moment[3]}.values()) for moment, actions in before if actions)
        assert env.step({}) == ({}, {}, {}, {}, {})


@every_scenario
def test_an_episode_cut_short_is_truncated_and_changes_no_luck(name):
    short, longer = list(play(made(name, max_cycles=2), seed=1)), list(play(made(name, max_cycles=3), seed=1))
    assert len(short) == 3
    assert set(short[-1][0][3].values()) == {True}
    assert set(short[-1][0][2].values()) == {False}
    assert same(short[-1][0][:2], longer[2][0][:2])


def test_the_environment_of_a_network_five_times_as_large_takes_about_five_times_as_long():
    """Ten thousand warehouses with forty thousand lanes take seconds."""

    def seconds(size: int) -> float:
        ring = {
            "generate": "ring",
            "size": size,
            "replenishment": {"lead_time": 2},
            "transfer": {"lead_time": 1},
        }
        large = problem({"network": ring, "horizon": 3})
        begun = time.process_time()
        env = parallel_env(large)
        env.reset(seed=0)
        env.step({agent: env.action_space(agent).high for agent in env.agents})
        return time.process_time() - begun

    assert seconds(1500) < 5 * 3 * seconds(300)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (
            {"shop_0": [7, math.nan, 0]},
            r"action of shop_0: product.request.shop_1->shop_0 is nan; give a number, 0 or more",
        ),
        ({"shop_0": [7, 1, math.inf]}, r"action of shop_0: product.promotion is inf; give"),
        ({"shop_0": [-1, 1, 0]}, r"action of shop_0: product.request.far->shop_0 is -1.0; give"),
        ({"shop_0": [1, 2]}, r"action of shop_0: has shape \(2,\); give \(3,\)"),
        ({"shop_0": ["lots", 1, 0]}, r"action of shop_0: is \['lots', 1, 0\]; give an array of numbers"),
        ({"shop_0": [1, 1, 0], "shop_9": [1]}, r"actions: 'shop_9' is no agent; did you mean shop_1?"),
        (
            {"shop_0": None},
            r"action of shop_0: has shape \(\); give \(3,\), as in env.action_names\('shop_0'\)",
        ),
    ],
)
def test_a_bad_action_is_refused_in_words_and_changes_nothing(actions, message):
    env = parallel_env(problem(TWO_SHOPS))
    env.reset(seed=0)
    before = env.state()
    with pytest.raises(InputError, match=message):
        env.step({"shop_1": [], **actions})
    assert same(before, env.state())


@pytest.mark.parametrize(
    ("level", "told"),
    [(5, "5.0"), (-1, "-1.0"), (2.5, "2.5"), (math.nan, "nan")],
)
def test_a_bad_level_is_refused_in_words(level, told):
    env = parallel_env(problem(TWO_SHOPS), levels=5)
    env.reset(seed=0)
    message = (
        f"action of shop_0: product.request.shop_1->shop_0 is {told}; give a level, a whole number "
        "from 0 to 4"
    )
    with pytest.raises(InputError, match=message):
        env.step({"shop_0": [0, level, 0], "shop_1": []})


def test_calls_out_of_order_and_wrong_options_are_refused_in_words():
    env = parallel_env(problem(TWO_SHOPS))
    for call in (env.state, env.render, lambda: env.step({"shop_0": [0, 0, 0], "shop_1": []})):
        with pytest.raises(InputError, match="call reset"):
            call()
    env.reset()
    with pytest.raises(InputError, match="actions: hold none for shop_1; give one for every agent"):
        env.step({"shop_0": [0, 0, 0]})
    with pytest.raises(InputError, match="seed: is -1; give a whole number, 0 or more"):
        env.reset(seed=-1)
    with pytest.raises(InputError, match="render_mode: is 'video'; give one of human, ansi, rgb_array"):
        parallel_env("two_warehouses", render_mode="video")
    with pytest.raises(
        InputError,
        match="settings: change a scenario as it is read, and this is a Problem; give them to load_problem",
    ):
        parallel_env(env.problem, settings=["horizon=4"])
    assert parallel_env(env.problem.scenario).possible_agents == env.possible_agents
    with pytest.raises(InputError, match="agent: 'shop_2' is no agent; did you mean"):
        env.action_names("shop_2")
    with pytest.raises(InputError, match="max_cycles: is 0; give a whole number, 1 or more"):
        parallel_env("two_warehouses", max_cycles=0)
    with pytest.raises(InputError, match="levels: is 1; give a whole number, 2 or more"):
        parallel_env("two_warehouses", levels=1)
    with pytest.raises(
        InputError, match="level_units: the environment takes quantities; make it with levels"
    ):
        env.level_units("shop_0")


WRONG_TYPES = {
    "parallel_env(5)": "scenario: is 5; give a bare name such as 'two_warehouses', a path, a networkx "
    "graph, a Scenario or a Problem",
    "parallel_env(None)": "scenario: is None; give a bare name",
    "parallel_env('two_warehouses', "
    "settings='horizon=3')": "settings: are 'horizon=3'; give a list of texts, like ['horizon=50']",
    "parallel_env('two_warehouses', settings=['horizon=3', "
    "4])": "settings: are ['horizon=3', 4]; give a list of texts",
    "parallel_env('two_warehouses', settings=None)": "settings: are None; give a list of texts",
    "parallel_env('two_warehouses', "
    "stream=None)": "stream: is None; give one of train, tune, validate, evaluate",
    "parallel_env('two_warehouses', max_cycles=2.5)": "max_cycles: is 2.5; give a whole number, 1 or more",
    "parallel_env('two_warehouses').reset(seed='a')": "seed: is 'a'; give a whole number, 0 or more",
}


@pytest.mark.parametrize(("call", "told"), WRONG_TYPES.items())
def test_wrong_types_are_refused_in_words(call: str, told: str, unchecked: None):
    with pytest.raises(InputError) as error:
        eval(call)
    assert str(error.value).startswith(told)


def test_every_scenario_is_registered_under_a_versioned_id():
    assert {
        f"marl_inv/{name}-v0" for name in library()
    } <= pettingzoo.parallel_registry.keys() & pettingzoo.aec_registry.keys()
    env = pettingzoo.make("parallel", "marl_inv/two_warehouses-v0", max_cycles=4, settings=["horizon=20"])
    assert env.problem.scenario.horizon == 20
    assert isinstance(env, WarehouseEnv)
    assert len(list(play(env))) == 5
    assert (
        pettingzoo.make("aec", "marl_inv/two_warehouses", render_mode="ansi").unwrapped.render_mode == "ansi"
    )
