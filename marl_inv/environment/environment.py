"""The environments that `marl_inv.environment` tells of, and their registration with PettingZoo."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast, get_args

import gymnasium
import numpy as np
import pettingzoo
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from jaxtyping import Float, UInt8
from pettingzoo.utils.conversions import parallel_to_aec_wrapper
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from marl_inv.chance.luck import Stream
from marl_inv.common.errors import InputError, suggestion
from marl_inv.drawing.layout import Layout, lay_out
from marl_inv.environment.actions import ActionLayout
from marl_inv.environment.bounds import fact_bounds
from marl_inv.environment.text import Turn, table
from marl_inv.episodes.problem import AnyScenario, Problem, as_problem
from marl_inv.episodes.view import View, fact_names, observe
from marl_inv.evaluation.metrics import MONEY
from marl_inv.scenario import library
from marl_inv.scenario.objective import COST_PARTS, INCOME_PARTS
from marl_inv.simulator import Costs, Flows

if TYPE_CHECKING:
    from marl_inv.drawing.film import Window


Arrays = dict[str, np.ndarray]


Infos = dict[str, dict[str, Any]]


VERSION = 0
"""Of the registered ids; raised when what an environment does changes."""


TOLD = ("requested", "shipped", "owed", "refused", *MONEY)
"""What every agent's info holds after a step; agents that reactive lanes lead to are also told what was
`transshipped`."""


MONEY_PARTS = (*INCOME_PARTS, *COST_PARTS)
"""As `Costs` calls what `MONEY` lists."""


def parallel_env(
    scenario: AnyScenario,
    settings: Iterable[str] = (),
    render_mode: str | None = None,
    max_cycles: int | None = None,
    stream: Stream = "train",
    levels: int | None = None,
    flat: bool = False,
) -> WarehouseEnv:
    """All warehouses act at once. `scenario` is a bare name, a path, a networkx graph, a Scenario or a
    Problem; `settings` are `key.path=value`, as on the command line.

    An episode lasts the scenario's horizon, or `max_cycles` if that is fewer. `stream` is where its luck
    comes from. With `levels` agents choose among so many order levels instead of giving quantities, and with
    `flat` every agent by one number. Raises InputError.
    """
    return WarehouseEnv(as_problem(scenario, settings), render_mode, max_cycles, stream, levels, flat)


def env(scenario: AnyScenario, **options: Any) -> OrderEnforcingWrapper:
    """The same for PettingZoo's agent-environment cycle: agents act in turn, the period is played when the
    last one has.

    Takes the options of `parallel_env`; `env.unwrapped` is that environment.
    """
    return OrderEnforcingWrapper(raw_env(scenario, **options))


def raw_env(scenario: AnyScenario, **options: Any) -> parallel_to_aec_wrapper:
    """`env` without the check that calls come in order."""
    # The wrapper's stub wants an environment that takes None for an action; the wrapper never gives it one.
    return parallel_to_aec_wrapper(parallel_env(scenario, **options))  # pyright: ignore[reportArgumentType]


def register_library() -> None:
    """Give every scenario of the library an id in PettingZoo's registries; reads the names of the files
    only."""
    for name in library():
        id = f"marl_inv/{name}-v{VERSION}"
        if id not in pettingzoo.parallel_registry:
            pettingzoo.register(
                "parallel", id, "marl_inv.environment:parallel_env", kwargs={"scenario": name}
            )
            pettingzoo.register("aec", id, "marl_inv.environment:env", kwargs={"scenario": name})


class WarehouseEnv(pettingzoo.ParallelEnv[str, np.ndarray, np.ndarray]):
    """What `parallel_env` makes.

    `reset(seed=s)` plays replication 0 of seed s in the stream, and each `reset()` after it the next
    replication; without any seed the first one is drawn at random. The stream `evaluate` of a data file has
    one episode, the file's own weeks, which every seed and reset plays again. Continuing episodes truncate at
    the horizon, finite ones terminate there; cut short by `max_cycles`, either truncates.

    `infos[agent]`, after a step: `requested`, `shipped`, `owed` and `refused`, units by product x inbound
    lane in the order of `action_names`; `transshipped`, in the order of `transshipment_names`, where reactive
    lanes lead in; and every part of its money (`metrics.MONEY`): their sum (`math.fsum`), each times its
    entry in `reward_weights`, is exactly the reward. With `levels` there is an `action_mask` too, after a
    reset as well.
    """

    metadata = {
        "render_modes": ["human", "ansi", "rgb_array"],
        "render_fps": 4,
        "is_parallelizable": True,
        "name": "marl_inv",
    }

    def __init__(
        self,
        problem: Problem,
        render_mode: str | None,
        max_cycles: int | None,
        stream: Stream,
        levels: int | None = None,
        flat: bool = False,
    ) -> None:
        _check_options(render_mode, max_cycles, stream, levels)
        if flat and levels is None:
            raise InputError("flat: needs levels to choose from; give levels too, as in levels=8")
        self.problem, self.network, self.render_mode = problem, problem.network, render_mode
        self.stream: Stream = stream
        self.max_cycles = problem.scenario.horizon if max_cycles is None else max_cycles
        self.metadata = {**self.metadata, "name": f"marl_inv/{problem.scenario.name}-v{VERSION}"}
        self.possible_agents = list(self.network.warehouses)
        self.agents: list[str] = []
        weights = [self.network.weights[part] for part in INCOME_PARTS] + [
            -self.network.weights[part] for part in COST_PARTS
        ]
        self.reward_weights = dict(zip(MONEY, weights, strict=True))
        self._weights = np.array(weights)
        self._layout = ActionLayout.of(self.network, levels, flat)
        self._facts = fact_names(self.network, problem.scenario)
        low, high = fact_bounds(problem, self._facts)
        self.observation_spaces: dict[str, Box] = {
            agent: Box(low[n], high[n]) for n, agent in enumerate(self.possible_agents)
        }
        self.action_spaces: dict[str, Box | Discrete | MultiDiscrete] = {
            agent: self._layout.space(agent) for agent in self.possible_agents
        }
        self.state_space = Box(low.ravel(), high.ravel())
        self._seed: int | None = None
        self._drawn_in: int | None = os.getpid()
        """The process that draws the seed; None where one was given."""
        self._episode = -1
        self._moment: Turn | None = None

    @property
    def _finite(self) -> bool:
        return self.problem.scenario.ending == "finite"

    def observation_space(self, agent: str) -> Box:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Box | Discrete | MultiDiscrete:
        return self.action_spaces[agent]

    def observation_names(self, agent: str) -> list[str]:
        """`product.fact` for every entry of the agent's observation."""
        self._known(agent)
        return [f"{product}.{fact}" for product in self.network.products for fact in self._facts]

    def action_names(self, agent: str) -> list[str]:
        """`product.request.lane`, then `product.promotion`, then `product.reserve`, for every entry of the
        agent's action."""
        self._known(agent)
        return self._layout.names(agent)

    def level_units(self, agent: str) -> Float[np.ndarray, "_ J"]:
        """What every level of every entry of the agent's action asks for; raises InputError for an
        environment without levels."""
        self._known(agent)
        if self._layout.levels is None:
            raise InputError(
                "level_units: the environment takes quantities; make it with levels, as in "
                "parallel_env(..., levels=8)"
            )
        return self._layout.units_of_levels()[self._layout.entries[agent]]

    def transshipment_names(self, agent: str) -> list[str]:
        """`product.transshipped.lane` for what reactive lanes bring to the agent; it decides nothing about
        that."""
        self._known(agent)
        lanes = self._layout.reactive.get(agent, [])
        names = () if self.network.reactive is None else self.network.reactive.names
        return [
            f"{product}.transshipped.{names[lane]}" for product in self.network.products for lane in lanes
        ]

    def _known(self, agent: str) -> None:
        if agent not in self.action_spaces:
            raise InputError(f"agent: {agent!r} is no agent{suggestion(str(agent), self.possible_agents)}")

    def __getstate__(self) -> dict[str, Any]:
        """A copy goes on with the episode; after it, it has luck of its own unless a seed was given."""
        return vars(self) | ({} if self._drawn_in is None else {"_seed": None})

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Arrays, Infos]:
        """Begin an episode; PettingZoo's `options` are not used."""
        if seed is not None:
            self._seed, self._episode, self._drawn_in = _whole("seed", seed, least=0), -1, None
        elif self._seed is None or self._drawn_in not in (None, os.getpid()):
            self._seed, self._episode = cast(int, np.random.SeedSequence().entropy), -1
            self._drawn_in = os.getpid()
        self._episode += 1
        trace = self.problem.trace(self.stream, self._seed, range(self._episode, self._episode + 1))
        self.agents = self.possible_agents[:]
        self._show(Turn(trace, 0, self.problem.opening(trace)))
        return self._observations(), self._masked({agent: {} for agent in self.agents})

    @torch.inference_mode()
    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[Arrays, dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Play one period. Raises InputError for actions that are missing, of another shape, negative or not
        finite."""
        if not self.agents:
            if actions:
                raise InputError("step: no episode is under way; call reset() first")
            return {}, {}, {}, {}, {}
        now = self._now()
        decision = self._layout.decision(self._layout.read(actions))
        state, flows, costs = self.problem.step(self.network, now.state, decision, now.trace.at(now.period))
        self._show(Turn(now.trace, now.period + 1, state, flows, costs))
        over = now.period + 1 == len(now.trace)
        terminated = over and self._finite
        truncated = not terminated and (over or now.period + 1 >= self.max_cycles)
        observations, (rewards, infos) = self._observations(), self._account(flows, costs)
        infos = self._masked(infos)
        terminations, truncations = (
            dict.fromkeys(self.agents, terminated),
            dict.fromkeys(self.agents, truncated),
        )
        if terminated or truncated:
            self.agents = []
        return observations, rewards, terminations, truncations, infos

    def _show(self, moment: Turn) -> None:
        """Make a moment the present one: its facts are what is observed until the next."""
        self._moment = moment
        view = View(self.network, moment.state, moment.trace.known(moment.period, self._finite))
        facts = observe(view)[0].cpu().numpy().swapaxes(0, 1)
        self._facts_now = facts.reshape(len(facts), -1).astype(np.float32, copy=False)
        if self.render_mode == "human":
            self.render()

    def _now(self) -> Turn:
        if self._moment is None:
            raise InputError("environment: no episode has begun; call reset() first")
        return self._moment

    def _observations(self) -> Arrays:
        return dict(zip(self.agents, self._facts_now.copy(), strict=True))

    def _masked(self, infos: Infos) -> Infos:
        """The infos with what makes sense now, where actions are levels."""
        if self._layout.levels is not None:
            now = self._now()
            available = None if now.trace.available is None else now.trace.available[now.period]
            for agent, mask in self._layout.masks(available).items():
                infos[agent]["action_mask"] = mask
        return infos

    def _account(self, flows: Flows, costs: Costs) -> tuple[dict[str, float], Infos]:
        """Rewards and infos. Money is added up over products in float64 and over its parts exactly, whatever
        their order."""
        money = np.zeros((len(self.possible_agents), len(MONEY)))
        for column, part in enumerate(MONEY_PARTS):
            amounts = getattr(costs, part)
            if any(
                amounts.stride()
            ):  # what a network does not have is a zero that takes no memory, and need not be read
                money[:, column] = amounts.cpu().numpy()[..., 0].sum(0, dtype=np.float64)
        rewards = dict(zip(self.agents, map(math.fsum, (money * self._weights).tolist()), strict=True))
        requested, shipped, refused = map(
            self._layout.by_agent, (flows.requests, flows.shipments, flows.refused)
        )
        owed = np.zeros_like(refused) if flows.owed is None else self._layout.by_agent(flows.owed)
        infos = {}
        for (agent, own), amounts in zip(self._layout.requests.items(), money.tolist(), strict=True):
            infos[agent] = dict(
                zip(TOLD, (requested[own], shipped[own], owed[own], refused[own], *amounts), strict=True)
            )
        if flows.transshipped is not None:
            transshipped = flows.transshipped.cpu().numpy()[..., 0]
            for agent, lanes in self._layout.reactive.items():
                infos[agent]["transshipped"] = transshipped[:, lanes].ravel()
        return rewards, infos

    def state(self) -> Float[np.ndarray, " NKF"]:
        """The global state: every warehouse's observation, one after the other."""
        self._now()
        return self._facts_now.ravel().copy()

    def render(self) -> str | UInt8[np.ndarray, "H W 3"] | None:
        """`ansi`: a table of the warehouses; `rgb_array`: a picture of the network; `human`: that picture in
        a window, after every step too, or the table in print where there is no screen."""
        now = self._now()
        if self.render_mode is None:
            gymnasium.logger.warn(
                "render() shows nothing without a render_mode; give one of "
                f"{', '.join(self.metadata['render_modes'])}"
            )
            return None
        if self.render_mode == "rgb_array":
            return self._picture(now)
        if self.render_mode == "human" and self._window is not None:
            return self._window.show(self._picture(now))
        text = f"{self._title(now)}\n{table(self.network, now)}"
        return text if self.render_mode == "ansi" else print(text)

    def _title(self, now: Turn) -> str:
        return f"{self.problem.scenario.name}, after {now.period} of {len(now.trace)} periods"

    def _picture(self, now: Turn) -> UInt8[np.ndarray, "H W 3"]:
        from marl_inv.drawing.picture import (
            draw_network,
            figure_to_rgb,
        )  # matplotlib takes long to import, and only pictures need it

        available = now.trace.at(now.period - 1).available if now.period else None
        return figure_to_rgb(
            draw_network(
                self.network, now.state, now.flows, self._title(now), available, layout=self._layout_drawn
            )
        )

    @cached_property
    def _layout_drawn(self) -> Layout:
        return lay_out(self.network)

    @cached_property
    def _window(self) -> Window | None:
        from marl_inv.drawing.film import open_window

        return open_window(self.metadata["name"])

    def close(self) -> None:
        """Close the window, if one is open. A closed environment can still be looked at and reset."""
        if window := vars(self).pop("_window", None):
            window.close()


def _check_options(render_mode: str | None, max_cycles: int | None, stream: str, levels: int | None) -> None:
    modes, streams = WarehouseEnv.metadata["render_modes"], get_args(Stream)
    if render_mode not in (None, *modes):
        raise InputError(f"render_mode: is {render_mode!r}; give one of {', '.join(modes)}, or None")
    if stream not in streams:
        raise InputError(f"stream: is {stream!r}; give one of {', '.join(streams)}")
    if max_cycles is not None:
        _whole("max_cycles", max_cycles, least=1)
    if levels is not None:
        _whole("levels", levels, least=2)


def _whole(name: str, given: Any, least: int) -> int:
    try:
        number = operator.index(given)
    except TypeError:
        number = least - 1
    if number < least:
        raise InputError(f"{name}: is {given!r}; give a whole number, {least} or more")
    return number


register_library()
