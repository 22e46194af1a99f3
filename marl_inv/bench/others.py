"""What others offer for the same, as PyPI has it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from marl_inv.episodes.problem import Problem

EXTRA = ("supersuit", "gym_invmgmt")
"""What the extra `bench` brings."""


def extra_is_here() -> bool:
    return all(map(find_spec, EXTRA))


def under_supersuit(copies: int, steps: int = 100) -> tuple[Callable[[], None], int]:
    """Copies of the environment by hand in one process, as SuperSuit makes a vector of them; and the
    warehouse-steps of a run."""
    import numpy as np
    import supersuit  # pyright: ignore[reportMissingImports]  # an optional extra

    from marl_inv.bench.by_hand import WAREHOUSES, EightWarehouses

    one = supersuit.pettingzoo_env_to_vec_env_v1(EightWarehouses())
    vector = supersuit.concat_vec_envs_v1(one, copies, num_cpus=0, base_class="gymnasium")
    vector.reset(seed=0)
    actions = np.full((copies * WAREHOUSES, 2), 5.0, np.float32)

    def play() -> None:
        for _ in range(steps):
            vector.step(actions)

    return play, steps * copies * WAREHOUSES


def by_hand(steps: int = 1000) -> tuple[Callable[[], None], int]:
    """One of them, without anything around it."""
    from marl_inv.bench.by_hand import WAREHOUSES, EightWarehouses

    env = EightWarehouses()
    env.reset(seed=0)
    return stepper(env, steps), steps * WAREHOUSES


def stepper(env: Any, steps: int) -> Callable[[], None]:
    """Plays so many steps of a parallel environment that has been reset, each agent asking for 5 units
    everywhere."""
    import numpy as np

    actions = {agent: np.full(env.action_space(agent).shape, 5.0, np.float32) for agent in env.agents}

    def play() -> None:
        for _ in range(steps):
            if not env.agents:
                env.reset()
            env.step(actions)

    return play


def gym_invmgmt(steps: int = 500) -> tuple[Callable[[], None], int]:
    """The network that gym-invmgmt registers: one agent decides for six places that hold stock."""
    import gym_invmgmt  # pyright: ignore[reportMissingImports]  # an optional extra
    import numpy as np

    env = gym_invmgmt.CoreEnv(scenario="network")
    env.reset(seed=0)
    action = np.full(env.action_space.shape, 5.0)

    def play() -> None:
        for _ in range(steps):
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return play, steps * len(env.network.main_nodes)


def stock_ppo(problem: Problem, steps: int = 50) -> tuple[Callable[[], None], int]:
    """Tianshou's own way for PettingZoo: agents step in turn, one PPO with two 64x64 networks each, 4 passes,
    4 copies of the environment."""
    from tianshou.algorithm.modelfree.ppo import PPO
    from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
    from tianshou.algorithm.multiagent.marl import MultiAgentOnPolicyAlgorithm
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.env import DummyVectorEnv, PettingZooEnv
    from tianshou.utils.torch_utils import policy_within_training_step

    from marl_inv.environment import env

    logging.getLogger("tianshou").setLevel(
        logging.ERROR
    )  # it warns of every batch of rewards that there are several agents
    copies = 4
    environments = DummyVectorEnv(
        [lambda: PettingZooEnv(_for_stock_tianshou(env(problem))) for _ in range(copies)]
    )
    example = PettingZooEnv(_for_stock_tianshou(env(problem)))

    def one() -> PPO:
        inputs, outputs = example.observation_space.shape[0], example.action_space.shape[0]
        actor, critic = _StockActor(inputs, outputs), _StockNetwork(inputs, 1)
        policy = ProbabilisticActorPolicy(
            actor=actor,  # pyright: ignore[reportArgumentType]  # any module of its signature will do
            dist_fn=lambda parameters: torch.distributions.Independent(
                torch.distributions.Normal(parameters[0], parameters[1]), 1
            ),
            action_space=example.action_space,
            action_scaling=False,
            action_bound_method=None,
        )
        return PPO(policy=policy, critic=critic, optim=AdamOptimizerFactory(lr=1e-3))

    algorithm = MultiAgentOnPolicyAlgorithm(algorithms=[one() for _ in example.agents], env=example)
    buffer = VectorReplayBuffer(copies * 8 * (steps + 1), copies)
    collector = Collector(algorithm, environments, buffer)
    collector.reset()

    def iterate() -> None:
        with policy_within_training_step(algorithm.policy):
            for member in algorithm.policy.policies.values():
                member.is_within_training_step = True
            collector.collect(n_step=copies * 8 * steps)
            algorithm.update(buffer, max(1, copies * steps // 4), 4)
            collector.reset_buffer()

    return iterate, copies * 8 * steps


class _StockNetwork(nn.Module):
    """Two hidden layers of 64 on the observation that Tianshou's PettingZoo wrapper hands over."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
        )

    def forward(self, obs: Any) -> Tensor:
        return self.layers(torch.as_tensor(obs.obs, dtype=torch.float32))


class _StockActor(_StockNetwork):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.log_sigma = nn.Parameter(torch.zeros(outputs))

    def forward(self, obs: Any, state: Any = None, info: Any = None) -> tuple[tuple[Tensor, Tensor], Any]:
        mean = super().forward(obs)
        return (mean, self.log_sigma.exp().expand_as(mean)), state


def _for_stock_tianshou(environment: Any) -> Any:
    """What the stock route asks of an environment: the same action space for all (padded), a mask, infos of
    one shape."""
    import gymnasium
    import numpy as np
    from pettingzoo.utils import BaseWrapper

    class Padded(BaseWrapper):
        env: Any

        def action_space(self, agent: str) -> gymnasium.spaces.Box:
            largest = max(
                (self.env.action_space(other) for other in self.possible_agents),
                key=lambda space: space.shape[0],
            )
            return gymnasium.spaces.Box(np.zeros_like(largest.low), largest.high)

        def observe(self, agent: str) -> dict[str, np.ndarray]:
            return {"observation": self.env.observe(agent), "action_mask": np.ones(1)}

        def last(self, observe: bool = True) -> tuple[Any, float, bool, bool, dict]:
            return (*super().last(observe)[:-1], {})

        def step(self, action: Any) -> None:
            if action is not None:
                action = np.abs(action[: self.env.action_space(self.agent_selection).shape[0]])
            super().step(action)

    return Padded(environment)
