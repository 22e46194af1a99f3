"""PettingZoo's own tests on every scenario, then worked examples and what those tests do not look at."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
import pettingzoo
import pytest
import torch
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, render_test, seed_test
from pettingzoo.test.state_test import state_test

from building import problem
from marl_inv.drawing import lay_out
from marl_inv.environment import WarehouseEnv, env, parallel_env
from marl_inv.interface import View, observe, rewards
from marl_inv.metrics import MONEY
from marl_inv.reading import InputError
from marl_inv.scenario import library
from marl_inv.simulator import Decision, initial_state, step
from scenarios_under_test import SCENARIOS, problem_under_test

ADVICE = [
    "(min|max)imum (observation|state) space value is -?infinity",  # nothing bounds stock from above
    "different (observation space sizes|shapes)",  # warehouses have different lanes
    "maximum and minimum action space values are equal",
    "(Observation numpy array|State numpy array) is all zeros",  # favorita starts empty
    "We recommend agents to be named",
]
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


def made_aec(name: str, **options) -> pettingzoo.AECEnv:
    return env(problem_under_test(name), **options)


def sampled(env: WarehouseEnv) -> dict[str, np.ndarray]:
    return {agent: env.action_space(agent).sample() for agent in env.agents}


def play(env: WarehouseEnv, seed: int | None = None) -> Iterator[tuple]:
    """A whole episode of random actions, the same at each call: what reset and then every step returns, each with the actions."""
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


@pytest.fixture
def strict(recwarn):
    """PettingZoo says much of what is wrong as a warning: anything but the advice above fails the test."""
    yield
    said = [str(warning.message) for warning in recwarn if "pettingzoo" in warning.filename]
    assert not [text for text in said if not any(re.search(known, text) for known in ADVICE)]


@every_scenario
def test_pettingzoo_parallel_api(name, strict):
    parallel_api_test(made(name))


@every_scenario
def test_pettingzoo_agent_cycle_api(name, strict):
    api_test(made_aec(name))


@every_scenario
def test_pettingzoo_seeds(name):
    parallel_seed_test(lambda: made(name))
    seed_test(lambda: made_aec(name))


@every_scenario
def test_pettingzoo_state(name):
    with pytest.warns(UserWarning, match="infinity"):
        state_test(made_aec(name), made(name))


@every_scenario
def test_pettingzoo_render(name, capsys):
    render_test(lambda render_mode: made_aec(name, render_mode=render_mode))
    assert "warehouse" in capsys.readouterr().out, "human prints the table"


def test_a_period_on_paper():
    """shop_0 asks 7 of the far supplier and 8 of shop_1, which holds 6; it earns 5 a unit sold, pays 2 x 7 + 1 x 6 and, at level 1, 3."""
    env = parallel_env(problem(TWO_SHOPS), render_mode="ansi")
    env.reset(seed=0)
    assert env.action_names("shop_0") == ["product.request.far->shop_0", "product.request.shop_1->shop_0", "product.promotion"]
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


@every_scenario
def test_every_number_is_named_finite_and_within_its_space(name):
    env = made(name)
    for (observations, *rest), actions in play(env, seed=3):
        for agent, observation in observations.items():
            space = env.observation_space(agent)
            assert space is env.observation_space(agent)
            assert observation.dtype == space.dtype == np.float32
            assert space.contains(observation)
            assert np.isfinite(observation).all()
            assert len(env.observation_names(agent)) == len(set(env.observation_names(agent))) == len(observation)
        if actions is not None:
            assert all(math.isfinite(reward) for reward in rest[0].values())
            assert all(len(env.action_names(agent)) == len(actions[agent]) for agent in actions)
        assert env.state_space.contains(env.state())
        assert np.array_equal(env.state(), np.concatenate(list(observations.values())))


@every_scenario
def test_the_parts_in_infos_make_the_reward_exactly(name):
    env = made(name)
    for (_, earned, _, _, infos), _ in list(play(env, seed=4))[1:]:
        for agent, info in infos.items():
            assert earned[agent] == math.fsum(env.reward_weights[part] * info[part] for part in MONEY)


@every_scenario
def test_the_env_is_a_column_of_a_batch(name):
    """Three episodes after reset(seed=5) are replications 0, 1 and 2 of that seed; a batch of them leads to the same stock, to the bit."""
    env, problem = made(name), problem_under_test(name)
    episodes = [list(play(env, 5 if episode == 0 else None)) for episode in range(3)]
    network, trace = problem.network, problem.trace("train", 5, 3)
    state = initial_state(network, 3)
    for period in range(len(trace)):
        decisions = [env._layout.decision(env._layout.read(episode[period + 1][1])) for episode in episodes]
        requests = torch.cat([decision.requests for decision in decisions], dim=-1)
        promotion = None if decisions[0].promotion is None else torch.cat([decision.promotion for decision in decisions], dim=-1)
        state, _, costs = step(network, state, Decision(requests, promotion), trace.at(period))
        facts = observe(View(network, state, trace, period + 1, problem.scenario.ending == "finite"))
        for column, episode in enumerate(episodes):
            observations, earned, *_, infos = episode[period + 1][0]
            for n, agent in enumerate(env.possible_agents):
                assert np.array_equal(observations[agent], facts[column, :, n].flatten().numpy())
                assert infos[agent]["holding_cost"] == pytest.approx(float(costs.holding[:, n, column].double().sum()), rel=1e-12)
            assert sum(earned.values()) == pytest.approx(float(rewards(costs)[..., column].double().sum()), rel=1e-5)


@every_scenario
def test_a_seed_fixes_the_whole_episode_and_those_after_it(name):
    first, second = made(name), made(name)
    for seed in (7, None, None, 8):
        assert same(list(play(first, seed)), list(play(second, seed)))


@every_scenario
def test_episodes_vary_with_the_seed_with_each_reset_and_without_a_seed(name):
    """Not every two differ: favorita's training weeks hold 43 stretches."""

    def luck(env: WarehouseEnv, seed: int | None = None) -> np.ndarray:
        env.reset(seed)
        return env._now().trace.demand.numpy()

    env = made(name)
    with_a_seed_each = [luck(env, seed) for seed in range(5)]
    one_after_another = [luck(env) for _ in range(5)]
    without_a_seed = [luck(made(name)) for _ in range(5)]
    for episodes in (with_a_seed_each, one_after_another, without_a_seed):
        assert not all(same(episode, episodes[0]) for episode in episodes[1:])


@every_scenario
def test_a_season_terminates_and_an_ongoing_business_is_truncated(name):
    env = made(name)
    *before, ((_, _, terminations, truncations, _), _) = play(env, seed=0)
    assert len(before) == env.problem.scenario.horizon
    finite = env.problem.scenario.ending == "finite"
    assert set(terminations.values()) == {finite}
    assert set(truncations.values()) == {not finite}
    assert not any(any({**moment[2], **moment[3]}.values()) for moment, actions in before if actions)
    assert env.step({}) == ({}, {}, {}, {}, {})


@every_scenario
def test_an_episode_cut_short_is_truncated_and_changes_no_luck(name):
    short, whole = list(play(made(name, max_cycles=2), seed=1)), list(play(made(name), seed=1))
    assert len(short) == 3
    assert set(short[-1][0][3].values()) == {True}
    assert set(short[-1][0][2].values()) == {False}
    assert same(short[-1][0][:2], whole[2][0][:2])


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ({"shop_0": [7, math.nan, 0]}, r"action of shop_0: product.request.shop_1->shop_0 is nan; give a number, 0 or more"),
        ({"shop_0": [7, 1, math.inf]}, r"action of shop_0: product.promotion is inf; give"),
        ({"shop_0": [-1, 1, 0]}, r"action of shop_0: product.request.far->shop_0 is -1.0; give"),
        ({"shop_0": [1, 2]}, r"action of shop_0: has shape \(2,\); give \(3,\)"),
        ({"shop_0": ["lots", 1, 0]}, r"action of shop_0: is \['lots', 1, 0\]; give an array of numbers"),
        ({"shop_0": [1, 1, 0], "shop_9": [1]}, r"actions: 'shop_9' is no agent; did you mean shop_1?"),
    ],
)
def test_a_bad_action_is_refused_in_words_and_changes_nothing(actions, message):
    env = parallel_env(problem(TWO_SHOPS))
    env.reset(seed=0)
    before = env.state()
    with pytest.raises(InputError, match=message):
        env.step({"shop_1": [], **actions})
    assert same(before, env.state())


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
    with pytest.raises(InputError, match="settings: change a scenario as it is read"):
        parallel_env(env.problem, settings=["horizon=4"])
    with pytest.raises(InputError, match="max_cycles: is 0; give a whole number, 1 or more"):
        parallel_env("two_warehouses", max_cycles=0)


@every_scenario
def test_a_picture_is_as_large_at_every_step_and_a_closed_env_stays_sane(name):
    env = made(name, render_mode="rgb_array")
    env.reset(seed=0)
    begun = env.render()
    env.step(sampled(env))
    env.close()
    assert env.render().shape == begun.shape
    assert not np.array_equal(env.render(), begun)
    env.close()
    assert env.reset(seed=0)[0].keys() == set(env.agents)


@every_scenario
def test_every_place_has_room_of_its_own_in_the_picture(name):
    network = problem_under_test(name).network
    layout = lay_out(network)
    boxes = np.array([layout.box(place) for place in (*network.suppliers, *network.warehouses)])
    left, bottom, right, top = boxes[:, 0], boxes[:, 1], boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    assert min(left.min(), bottom.min()) > 0
    assert right.max() < layout.width
    assert top.max() < layout.height
    apart = (left[:, None] > right) | (right[:, None] < left) | (bottom[:, None] > top) | (top[:, None] < bottom)
    assert (apart | np.eye(len(boxes), dtype=bool)).all()


def test_every_scenario_is_registered_under_a_versioned_id():
    assert {f"marl_inv/{name}-v0" for name in library()} <= pettingzoo.parallel_registry.keys() & pettingzoo.aec_registry.keys()
    env = pettingzoo.make("parallel", "marl_inv/two_warehouses-v0", max_cycles=4, settings=["horizon=20"])
    assert env.problem.scenario.horizon == 20
    assert isinstance(env, WarehouseEnv)
    assert len(list(play(env))) == 5
    assert pettingzoo.make("aec", "marl_inv/two_warehouses", render_mode="ansi").unwrapped.render_mode == "ansi"
