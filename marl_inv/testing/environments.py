"""What PettingZoo's tests miss: everything that an environment returns, watched and played again."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from gymnasium.spaces import Discrete, MultiDiscrete
from pettingzoo import ParallelEnv
from torch import Tensor

from marl_inv.chance.trace import Trace
from marl_inv.common.errors import CheckFailed
from marl_inv.environment import WarehouseEnv, parallel_env
from marl_inv.episodes.problem import AnyScenario, as_problem
from marl_inv.evaluation.metrics import MONEY

PARTS = ("observation", "reward", "termination", "truncation", "info")
"""What a step returns for every agent; a reset returns the first and the last."""


# What those miss


def check_environment(
    made: AnyScenario | Callable[[], ParallelEnv], episodes: int = 1, seed: int = 0
) -> None:
    """Whole episodes of sampled actions in an environment of marl_inv, or a wrapper that leaves its rewards
    alone: in what a function makes, or in the environment of a scenario.

    At every reset and step: observations and state are finite, of float32 and within their spaces, which stay
    the same objects; every agent is told of in every dict; rewards are exactly the sum of the parts in infos;
    nothing that was returned, or given as an action, is changed by a later step. All agents end together, at
    the horizon: by termination in a finite season, else by truncation. The same seed plays the same episodes,
    in a new environment and in a used one; another seed, and a reset without one, play others. Where actions
    are levels, every info has a mask that they can be sampled with and that allows level 0, and no others are
    sampled.
    """
    make_env = made if callable(made) else partial(parallel_env, as_problem(made))
    watched = _Watched(make_env())
    first = watched.episodes(seed, 1 + episodes)
    _same(
        watched,
        first,
        _Watched(make_env()).episodes(seed, 1 + episodes),
        f"seed {seed}, played in two environments,",
    )
    _same(
        watched, first[:1], watched.episodes(seed, 1), f"seed {seed}, played again in the same environment,"
    )
    if watched.is_left_to_chance(seed):
        if not any(
            _difference(watched, first[0], watched.episode(other)) for other in range(seed + 1, seed + OTHERS)
        ):
            raise CheckFailed(
                f"{watched.name}: seeds {seed} to {seed + OTHERS - 1} play the same episode; let the seed "
                "draw the luck"
            )
        watched.episode(seed)
        if not any(_difference(watched, first[0], watched.episode(None)) for _ in range(1, OTHERS)):
            raise CheckFailed(
                f"{watched.name}: reset() without a seed plays the episode before it again; let it go on to "
                "another one"
            )


OTHERS = 6
"""Episodes among which there is to be one that differs; a data file may hold so few that two are the same by
chance."""


@dataclass(frozen=True)
class _Told:
    """What a reset or a step returned, as it was: what is said of every agent, by PARTS."""

    step: int
    parts: dict[str, dict[str, Any]]


class _Watched:
    """An environment that is played, with an eye on all that it returns."""

    def __init__(self, env: ParallelEnv) -> None:
        self.env, self.core = env, cast(WarehouseEnv, env.unwrapped)
        scenario = self.core.problem.scenario
        self.name, self.agents = scenario.name, list(env.possible_agents)
        self.spaces = {
            agent: (env.observation_space(agent), env.action_space(agent)) for agent in self.agents
        }
        self.periods = min(self.core.max_cycles, scenario.horizon)
        self.terminates = scenario.ending == "finite" and self.periods == scenario.horizon
        self.known: dict[str, list[str]] = {}

    def episodes(self, seed: int, count: int) -> list[list[_Told]]:
        """The first episodes of a seed."""
        return [self.episode(None if index else seed) for index in range(count)]

    def is_left_to_chance(self, seed: int) -> bool:
        """Whether seeds draw different traces."""

        def luck(seed: int) -> Trace:
            return self.core.problem.trace(self.core.stream, seed, range(1), self.periods)

        first, names = luck(seed), [field.name for field in fields(Trace)]
        others = [luck(other) for other in range(seed + 1, seed + OTHERS)]
        drawn = [name for name in names if isinstance(getattr(first, name), Tensor)]
        return any(
            not torch.equal(getattr(first, name), getattr(other, name)) for other in others for name in drawn
        )

    def episode(self, seed: int | None) -> list[_Told]:
        """A whole episode of sampled actions, the same actions whenever it is called."""
        for index, agent in enumerate(self.agents):
            self.spaces[agent][1].seed(index)
        given = self.env.reset(seed=seed)
        told = [self._reset(given)]
        while self.env.agents:
            step = len(told)
            if step > self.periods:
                self._fail(
                    self.env.agents[0],
                    step,
                    f"goes on after the last of {self.periods} periods; end the episode",
                )
            actions = {
                agent: self.spaces[agent][1].sample(given[-1][agent].get("action_mask"))
                for agent in self.agents
            }
            asked, before, was = copy.deepcopy(actions), given, told[-1]
            given = self.env.step(actions)
            told.append(self._step(step, given))
            self._left_alone(step, "observation of the step before", before[0], was.parts["observation"])
            self._left_alone(step, "info of the step before", before[-1], was.parts["info"])
            self._left_alone(step, "action it was given", actions, asked)
        return told

    def _fail(self, agent: str, step: int, what: str) -> None:
        when = f"step {step}" if step else "reset"
        raise CheckFailed(f"{self.name}: {agent}, {when}: {what}")

    def _reset(self, given: Any) -> _Told:
        if not (isinstance(given, tuple) and len(given) == 2):
            self._fail("all", 0, f"returns {type(given).__name__}; return observations and infos")
        if list(self.env.agents) != self.agents:
            self._fail("all", 0, f"agents are {self.env.agents}; begin with all of possible_agents")
        parts: dict[str, Any] = dict(zip(("observation", "info"), given, strict=True))
        self._about_everyone(0, parts)
        self._seen(0, parts["observation"])
        self._choosing(0, parts["info"])
        return _Told(0, copy.deepcopy(parts))

    def _step(self, step: int, given: Any) -> _Told:
        if not (isinstance(given, tuple) and len(given) == len(PARTS)):
            self._fail(
                "all",
                step,
                f"returns {type(given).__name__}; return observations, rewards, terminations, truncations "
                "and infos",
            )
        parts: dict[str, Any] = dict(zip(PARTS, given, strict=True))
        self._about_everyone(step, parts)
        self._seen(step, parts["observation"])
        self._choosing(step, parts["info"])
        for agent in self.agents:
            self._informed(step, agent, parts["info"][agent])
            self._earned(step, agent, parts["reward"][agent], parts["info"][agent])
            self._ended(step, agent, parts["termination"][agent], parts["truncation"][agent])
        left = [] if step == self.periods else self.agents
        if list(self.env.agents) != left:
            self._fail("all", step, f"agents are {self.env.agents} afterwards; leave {left}")
        return _Told(step, copy.deepcopy(parts))

    def _about_everyone(self, step: int, parts: dict[str, Any]) -> None:
        for part, told in parts.items():
            if not isinstance(told, dict):
                self._fail("all", step, f"{part}s are a {type(told).__name__}; return a dict of agents")
            if missing := [agent for agent in self.agents if agent not in told]:
                self._fail(missing[0], step, f"has no {part}; return one for every agent")
            if strangers := [name for name in told if name not in self.spaces]:
                self._fail(str(strangers[0]), step, f"is no agent; leave it out of the {part}s")

    def _seen(self, step: int, observations: dict[str, np.ndarray]) -> None:
        for agent, observation in observations.items():
            spaces = self.env.observation_space(agent), self.env.action_space(agent)
            for kind, space, known in zip(("observation", "action"), spaces, self.spaces[agent], strict=True):
                if space is not known:
                    self._fail(
                        agent,
                        step,
                        f"{kind}_space is another object than before; return the same one at every call",
                    )
            self._within(step, agent, "observation", observation, spaces[0])
        self._within(step, "all", "state", self.env.state(), self.core.state_space)

    def _within(self, step: int, agent: str, kind: str, given: Any, space: Any) -> None:
        if not isinstance(given, np.ndarray) or given.dtype != np.float32 or space.dtype != np.float32:
            what = given.dtype if isinstance(given, np.ndarray) else type(given).__name__
            self._fail(agent, step, f"{kind} is of {what}, its space of {space.dtype}; give float32")
        if given.shape != space.shape:
            self._fail(
                agent, step, f"{kind} has shape {given.shape}, its space {space.shape}; let them agree"
            )
        names = self.core.observation_names(agent) if kind == "observation" else range(given.size)
        for what, right in (
            ("finite", np.isfinite(given)),
            ("in its space", (given >= space.low) & (given <= space.high)),
        ):
            if not right.all():
                entry = int(np.argmin(right))
                bounds = f"{space.low[entry]:g} to {space.high[entry]:g}"
                self._fail(agent, step, f"{kind} {names[entry]} is {given[entry]:g}, not {what} ({bounds})")

    def _informed(self, step: int, agent: str, info: dict[str, Any]) -> None:
        known = self.known.setdefault(agent, sorted(info))
        if sorted(info) != known:
            changed = min(set(info) ^ set(known))
            self._fail(
                agent,
                step,
                f"info {'has' if changed in info else 'lacks'} {changed}; give the same keys at every step",
            )
        for key, value in info.items():
            if not np.isfinite(value).all():
                self._fail(agent, step, f"info {key} is {value}; give finite numbers")

    def _choosing(self, step: int, infos: dict[str, dict[str, Any]]) -> None:
        """What masks say, where actions are levels."""
        for agent in self.agents:
            space, mask = self.spaces[agent][1], infos[agent].get("action_mask")
            if not isinstance(space, Discrete | MultiDiscrete):
                continue
            counts = [space.n] if isinstance(space, Discrete) else space.nvec
            entries: tuple[Any, ...] = mask if isinstance(mask, tuple) else (mask,)
            if [np.shape(levels) for levels in entries] != [(count,) for count in counts]:
                self._fail(
                    agent,
                    step,
                    "info has no action_mask of its action space; give a tuple with an array for every entry"
                    ", or one array for a Discrete",
                )
            allowed = np.array(entries).reshape(len(entries), -1)
            right = np.isin(allowed, (0, 1)).all(1) & (allowed[:, :1] == 1).all(1)
            if not right.all():
                entry = int(np.argmin(right))
                name = self.core.action_names(agent)[entry]
                self._fail(
                    agent, step, f"action_mask of {name} is {entries[entry]}; give 0 or 1, and 1 for level 0"
                )

    def _earned(self, step: int, agent: str, reward: Any, info: dict[str, Any]) -> None:
        if not isinstance(reward, float | np.floating) or not math.isfinite(reward):
            self._fail(agent, step, f"reward is {reward!r}; give a finite number")
        if missing := [part for part in MONEY if part not in info]:
            self._fail(agent, step, f"info lacks {', '.join(missing)}; give every part of the reward")
        total = math.fsum(weight * info[part] for part, weight in self.core.reward_weights.items())
        if reward != total:
            self._fail(
                agent, step, f"reward is {reward!r}, and the parts in info make {total!r}; let them agree"
            )

    def _ended(self, step: int, agent: str, terminated: Any, truncated: Any) -> None:
        for kind, given, due in (
            ("terminated", terminated, self.terminates),
            ("truncated", truncated, not self.terminates),
        ):
            expected = due and step == self.periods
            if not isinstance(given, bool | np.bool_) or given != expected:
                ending = (
                    f"{'terminate' if self.terminates else 'truncate'} all agents after period "
                    f"{self.periods}, and not before"
                )
                self._fail(agent, step, f"is {'' if given else 'not '}{kind}; {ending}")

    def _left_alone(self, step: int, what: str, now: dict[str, Any], was: dict[str, Any]) -> None:
        for agent in self.agents:
            if not _equal(now[agent], was[agent]):
                self._fail(agent, step, f"changes the {what} in place; leave it alone")


def _equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(_equal(ours[key], theirs[key]) for key in ours)
    return bool(np.array_equal(ours, theirs))


def _difference(watched: _Watched, ours: list[_Told], theirs: list[_Told]) -> str:
    """Where two episodes part; empty if they are the same."""
    for one, other in zip(ours, theirs, strict=True):
        for part, told in one.parts.items():
            for agent in watched.agents:
                if not _equal(told[agent], other.parts[part][agent]):
                    names = watched.core.observation_names(agent) if part == "observation" else None
                    when = f"step {one.step}" if one.step else "reset"
                    return (
                        f"{agent}, {when}: {part} "
                        f"{_first_difference(told[agent], other.parts[part][agent], names)}"
                    )
    return ""


def _first_difference(ours: Any, theirs: Any, names: list[str] | None = None) -> str:
    """What is different, and how, in a line."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = [*ours, *theirs]
        key = next(
            key for key in keys if key not in ours or key not in theirs or not _equal(ours[key], theirs[key])
        )
        return f"{key} {_first_difference(ours.get(key), theirs.get(key))}"
    if isinstance(ours, np.ndarray) and ours.shape == np.shape(theirs):
        entry = int(np.argmax(ours != theirs))
        return (
            f"{names[entry] if names else entry} "
            f"{_first_difference(ours[entry].item(), theirs[entry].item())}"
        )
    return f"is {ours!r}, or {theirs!r}"


def _same(watched: _Watched, ours: list[list[_Told]], theirs: list[list[_Told]], what: str) -> None:
    for episode, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if difference := _difference(watched, one, other):
            raise CheckFailed(f"{watched.name}: {what} differs in episode {episode}: {difference}")
