"""The network of `eight_warehouses`, as one writes an environment by hand in NumPy: the same rewards, for
this one network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float
from pettingzoo import ParallelEnv

WAREHOUSES, SENDING, HORIZON = 8, 6, 50
"""The first six may each send to the next one."""

Arrays = dict[str, np.ndarray]


class EightWarehouses(ParallelEnv[str, np.ndarray, np.ndarray]):
    """Observed: stock, what the supplier has under way, the last demand. Action: units from the supplier, and
    from the warehouse before.

    Demand is drawn for every period, Poisson of mean 10; `step` may be given another.
    """

    metadata = {"name": "eight_warehouses", "render_modes": []}
    render_mode = None
    observation_spaces: dict[str, Box]
    action_spaces: dict[str, Box]

    def __init__(self) -> None:
        self.possible_agents = [f"warehouse_{n}" for n in range(WAREHOUSES)]
        self.observation_spaces = dict.fromkeys(self.possible_agents, Box(0, np.inf, (3,)))
        self.action_spaces = dict.fromkeys(self.possible_agents, Box(0, 80, (2,)))
        self.random = np.random.default_rng()

    def observation_space(self, agent: str) -> Box:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Box:
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Arrays, dict[str, Any]]:
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.agents, self.period = self.possible_agents[:], 0
        self.stock, self.due, self.demand = (
            np.full(WAREHOUSES, 30.0),
            np.zeros(WAREHOUSES),
            np.zeros(WAREHOUSES),
        )
        return self._observations(), {agent: {} for agent in self.agents}

    def step(
        self, actions: Mapping[str, np.ndarray], demand: Float[np.ndarray, " 8"] | None = None
    ) -> tuple[Any, ...]:
        asked = np.stack([actions[agent] for agent in self.agents]).clip(0, 80)
        sent = np.minimum(asked[1 : SENDING + 1, 1], self.stock[:SENDING])
        self.stock[:SENDING] -= sent
        self.demand = self.random.poisson(10.0, WAREHOUSES) if demand is None else demand
        after = self.stock - self.demand
        self.stock = after.clip(0)
        cost = self.stock + 9 * (self.stock - after)
        cost[1 : SENDING + 1] += sent
        self.stock += self.due
        self.stock[1 : SENDING + 1] += sent
        self.due = asked[:, 0].astype(float)
        self.period += 1
        observations, over = self._observations(), self.period == HORIZON
        rewards = dict(zip(self.agents, (-cost).tolist(), strict=True))
        ends = dict.fromkeys(self.agents, False), dict.fromkeys(self.agents, over)
        infos: dict[str, Any] = {agent: {} for agent in self.agents}
        if over:
            self.agents = []
        return observations, rewards, *ends, infos

    def _observations(self) -> Arrays:
        return dict(
            zip(
                self.agents,
                np.stack([self.stock, self.due, self.demand], axis=1).astype(np.float32),
                strict=True,
            )
        )
