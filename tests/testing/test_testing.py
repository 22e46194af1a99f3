"""The tests of the tests: a sound environment and a sound period pass, and every fault planted in them is
found and named."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from building import network, play, problem
from marl_inv import cli
from marl_inv.chance.trace import Trace
from marl_inv.common.errors import CheckFailed
from marl_inv.environment import WarehouseEnv, parallel_env
from marl_inv.episodes.rollout import Moment
from marl_inv.episodes.view import View
from marl_inv.simulator import Decision, State, initial_state
from marl_inv.testing import (
    check_environment,
    check_laws,
    check_pettingzoo,
    check_processes,
    check_scenario,
    laws,
)

SHOPS = """
name: shops
horizon: 9
objective: profit
suppliers: [{name: far}]
warehouses:
  - {name: east, initial_stock: 30, price: 5, holding_cost: 0.1, demand: {kind: poisson, mean: 4}}
  - {name: west, initial_stock: 30, price: 5, holding_cost: 0.1, demand: {kind: poisson, mean: 4}}
lanes:
  - {origin: far, destination: east, lead_time: 2, procurement_cost: 2, max_request: 30}
  - {origin: east, destination: west, lead_time: 1, transport_cost: 1, max_request: 8}
"""
ONGOING = problem(SHOPS, torch.float32)
SEASON = problem(SHOPS.replace("horizon", "ending: finite\nhorizon"), torch.float32)


# Environments


class Env(WarehouseEnv):
    """Sound; faults are planted in what it returns (`spoil`), and in its methods."""

    given = ONGOING
    levels = None

    def __init__(self):
        super().__init__(self.given, None, None, "train", self.levels)

    def step(self, actions):
        told = super().step(actions)
        self.spoil(self._moment.period, *told)
        return told

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        pass


class SoundSeason(Env):
    given = SEASON


class InfiniteReward(Env):
    """east, step 4: reward is -inf"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        if period == 4:
            rewards["east"] = -math.inf


class SeedIgnored(Env):
    """seed 0, played in two environments, differs in episode 0:"""

    def reset(self, seed=None, options=None):
        return super().reset()


class AlwaysTheSameSeed(Env):
    """seeds 0 to 5 play the same episode"""

    def reset(self, seed=None, options=None):
        return super().reset(None if seed is None else 7)


class AlwaysTheSameEpisode(Env):
    """reset() without a seed plays the episode before it again"""

    def reset(self, seed=None, options=None):
        self._episode = -1
        return super().reset(seed)


class NeverEnding(Env):
    """east, step 9: is not truncated; truncate all agents after period 9"""

    def step(self, actions):
        agents = self.agents
        observations, rewards, terminations, truncations, infos = super().step(actions)
        self.agents = agents
        return observations, rewards, terminations, dict.fromkeys(truncations, False), infos


class NobodyLeaves(Env):
    """all, step 9: agents are ['east', 'west'] afterwards; leave []"""

    def step(self, actions):
        agents = self.agents
        told = super().step(actions)
        self.agents = agents
        return told


class TerminatesInsteadOfTruncating(Env):
    """east, step 9: is terminated; truncate all agents after period 9"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        terminations |= truncations
        truncations |= dict.fromkeys(truncations, False)


class TruncatesInsteadOfTerminating(SoundSeason):
    """east, step 9: is not terminated; terminate all agents after period 9"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        truncations |= terminations
        terminations |= dict.fromkeys(terminations, False)


class Both(SoundSeason):
    """east, step 9: is truncated; terminate all agents"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        truncations |= terminations


class OneLeavesEarlier(Env):
    """west, step 5: is truncated"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        truncations["west"] |= period == 5


class OnePeriodTooShort(Env):
    """east, step 8: is truncated"""

    def __init__(self):
        super().__init__()
        self.cut = self.max_cycles - 1

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        if period == self.cut:
            truncations |= dict.fromkeys(truncations, True)
            self.agents = []


class NaN(Env):
    """west, step 7: observation product.due_in_1 is nan, not finite"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        if period == 7:
            observations["west"][2] = math.nan


class Float64(Env):
    """east, step 1: observation is of float64, its space of float32; give float32"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        observations |= {agent: observation.astype(np.float64) for agent, observation in observations.items()}


class OutOfItsSpace(Env):
    """east, step 2: observation product.inventory_level is -1, not in its space (0 to inf)"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        observations["east"][0] = -1 if period == 2 else observations["east"][0]


class AnotherShape(Env):
    """east, step 1: observation has shape (3,), its space (4,)"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        observations["east"] = observations["east"][1:]


class NoReward(Env):
    """west, step 3: has no reward"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        if period == 3:
            del rewards["west"]


class Stranger(Env):
    """north, step 1: is no agent; leave it out of the observations"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        observations["north"] = observations["east"]


class OneBuffer(Env):
    """east, step 2: changes the observation of the step before in place"""

    def __init__(self):
        super().__init__()
        self.buffer = {
            agent: np.zeros(space.shape, np.float32) for agent, space in self.observation_spaces.items()
        }

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        for agent, observation in observations.items():
            self.buffer[agent][:] = observation
        observations |= self.buffer


class ActionsChanged(Env):
    """east, step 1: changes the action it was given in place"""

    def step(self, actions):
        told = super().step(actions)
        actions["east"] *= 0
        return told


class NewSpaces(Env):
    """east, reset: action_space is another object than before"""

    def action_space(self, agent):
        space = super().action_space(agent)
        return Box(space.low, space.high)


class RewardOfItsOwn(Env):
    """east, step 1: reward is"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        rewards["east"] = float(np.nextafter(rewards["east"], math.inf))


class NoInfos(Env):
    """east, step 2: info lacks holding_cost; give the same keys at every step"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        if period > 1:
            infos |= {agent: {} for agent in infos}


class InfiniteInfos(Env):
    """east, step 6: info shipped is"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        if period == 6:
            infos["east"]["shipped"][:] = math.inf


class SharedLuck(Env):
    """seed 0, played in two environments, differs in episode 0: east, step 1: info luck is"""

    number = itertools.count()

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        infos["east"]["luck"] = next(self.number)


class Remembers(Env):
    """seed 0, played again in the same environment, differs in episode 0: west, step 1: info steps is 1, or
    19"""

    def __init__(self):
        super().__init__()
        self.steps = 0

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        self.steps += 1
        infos["west"]["steps"] = self.steps


class AgentsLost(Env):
    """all, reset: agents are ['east']; begin with all of possible_agents"""

    def reset(self, seed=None, options=None):
        told = super().reset(seed)
        self.agents = self.agents[:1]
        return told


class StateOfAnotherType(Env):
    """all, reset: state is of float64"""

    def state(self):
        return super().state().astype(np.float64)


class SoundLevels(Env):
    levels = 4


class NoMask(SoundLevels):
    """east, step 3: info has no action_mask of its action space; give a tuple with an array for every
    entry"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        if period == 3:
            del infos["east"]["action_mask"]


class NothingAllowed(SoundLevels):
    """west, step 2: action_mask of product.request.east->west is [0 1 1 1]; give 0 or 1, and 1 for level 0"""

    def spoil(self, period, observations, rewards, terminations, truncations, infos):
        if period == 2:
            infos["west"]["action_mask"][0] = 0


SOUND = [Env, SoundSeason, SoundLevels]
FAULTY = [each for sound in SOUND for each in sound.__subclasses__() if each not in SOUND]


@pytest.mark.parametrize("sound", SOUND)
def test_a_sound_environment_passes(sound):
    check_environment(sound, episodes=2)


@pytest.mark.parametrize("faulty", FAULTY, ids=lambda faulty: faulty.__name__)
def test_a_planted_fault_is_found_and_named(faulty):
    with pytest.raises(CheckFailed) as failure:
        check_environment(faulty)
    message = str(failure.value)
    assert message.startswith("shops: ")
    assert " ".join(faulty.__doc__.split()) in message
    assert "\n" not in message


def test_without_chance_every_seed_may_play_the_same():
    check_environment(
        lambda: parallel_env(
            problem(SHOPS.replace("kind: poisson, mean: 4", "kind: known, values: [4]"), torch.float32)
        )
    )


# Laws


def a_period(**asked: float) -> Moment:
    """west asks east for 5 of its 30; 3 and 4 are demanded."""
    played = play(network(LIMITED), ask=[{"east_to_west": 5} | asked], demand=[{"east": 3, "west": 4}])
    net = network(LIMITED)
    trace = Trace(torch.zeros(1, 1, 2, 1, dtype=torch.float64), 0)
    view = View(net, initial_state(net, 1), trace.known(0))
    return Moment(
        view,
        None,
        Decision(played.flows[0].requests),
        played.flows[0],
        played.costs[0],
        played.states[0],
        trace,
    )


LIMITED = SHOPS.replace("initial_stock: 30", "initial_stock: 30, storage: 40", 1).replace(
    "max_request: 8}", "max_request: 8, capacity: 7}\nquantities: integer"
)


def broken(moment: Moment) -> set[str]:
    return {
        broken
        for broken, _, excess, size in laws(moment)
        if bool((excess > 1e-9 * (1 + size.abs().max())).any())
    }


def shipping(units: float) -> Any:
    return lambda moment: replace(
        moment,
        flows=replace(
            moment.flows,
            shipments=torch.tensor([[[0.0], [units]]], dtype=torch.float64),
            asked=moment.flows.asked * 99,
        ),
    )


def _more(units, by):
    return tuple(_more(each, by) for each in units) if isinstance(units, tuple) else units + by


def ending_with(**changes: float) -> Any:
    def change(moment: Moment) -> Moment:
        values = {key: _more(getattr(moment.state, key), value) for key, value in changes.items()}
        return replace(moment, state=replace(moment.state, **values))

    return change


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (ending_with(due=1.0), "units are lost or made"),
        (ending_with(inventory_level=-100.0), "there are backorders where unmet demand is lost"),
        (ending_with(inventory_level=50.0), "more is held than its storage"),
        (shipping(8.0), "more is carried than its capacity"),
        (shipping(31.0), "more is shipped than it held"),
        (shipping(-1.0), "less than nothing is shipped"),
        (shipping(4.5), "part of a unit is shipped"),
        (
            lambda moment: replace(moment, flows=replace(moment.flows, asked=moment.flows.asked * 0)),
            "more is sent than was asked for",
        ),
        (
            lambda moment: replace(
                moment,
                decision=replace(moment.decision, reserve=torch.full((1, 2, 1), 26.0, dtype=torch.float64)),
            ),
            "its reserve is shipped",
        ),
        (
            lambda moment: replace(moment, costs=replace(moment.costs, reward=moment.costs.reward + 1e-6)),
            "the reward is not the sum of its parts",
        ),
        (
            lambda moment: replace(
                moment, costs=replace(moment.costs, transfer_payment=moment.costs.transfer_payment + 1)
            ),
            "what warehouses pay each other does not add up to nothing",
        ),
    ],
)
def test_a_broken_law_is_told(fault, told):
    moment = a_period()
    assert not broken(moment)
    assert told in broken(fault(moment))


def test_a_simulator_that_breaks_a_law_is_found():
    def generous(net, state, decision, chance):
        after, flows, costs = ONGOING.step(net, state, decision, chance)
        return State(after.inventory_level + (after.inventory_level > 25), after.due), flows, costs

    check_laws(ONGOING)
    with pytest.raises(
        CheckFailed,
        match=r"^shops: random, period \d, replication \d, product: units are lost or made, by \d$",
    ):
        check_laws(replace(ONGOING, step=generous))


# PettingZoo, and new processes


def test_pettingzoos_failures_and_its_warnings_are_told(monkeypatch):
    monkeypatch.setattr("marl_inv.testing.pettingzoo.parallel_env", lambda given, **options: NewSpaces())
    with pytest.raises(
        CheckFailed,
        match="shops: PettingZoo's parallel_api_test fails: action_space should return the exact same",
    ):
        check_pettingzoo(ONGOING)
    monkeypatch.undo()
    monkeypatch.setattr("marl_inv.testing.pettingzoo.ADVICE", [])
    with pytest.raises(
        CheckFailed, match="shops: PettingZoo's api_test warns: We recommend agents to be named"
    ):
        check_pettingzoo(ONGOING)


def test_processes_that_play_something_else_are_found(monkeypatch):
    monkeypatch.setattr("marl_inv.testing.processes.fingerprint", lambda given, periods: "0" * 64)
    with pytest.raises(CheckFailed, match=r"shops: seed 0 differs between processes: 0000"):
        check_processes([ONGOING])


def test_a_scenario_is_checked_in_one_call(tmp_path):
    (tmp_path / "shops.yaml").write_text(SHOPS, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_scenario(tmp_path / "shops.yaml", periods=5)


@pytest.mark.parametrize(("fails", "code"), [(False, 0), (True, 1)])
def test_the_command_line_plays_a_scenario_and_says_what_does_not_hold(
    fails, code, tmp_path, monkeypatch, capsys
):
    def check(scenario):
        if fails:
            raise CheckFailed(
                f"{scenario.name}: random, period 3, replication 0, shop: more is shipped than it held, by 4"
            )

    monkeypatch.setattr("marl_inv.testing.check_scenario", check)
    (tmp_path / "shops.yaml").write_text(SHOPS, encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["marl-inv", "check", str(tmp_path / "shops.yaml"), "--run"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    printed = capsys.readouterr()
    assert (end.value.code or 0) == code
    assert ("units are conserved" in printed.out) == (not fails)
    assert ("marl-inv: shops: random, period 3" in printed.err) == fails
