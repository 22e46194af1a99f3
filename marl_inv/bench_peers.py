"""What our PPO is measured against: the same networks in a bare torch loop, and Tianshou's stock route for PettingZoo environments."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.interface import View
from marl_inv.learning.settings import TrainSettings
from marl_inv.problem import Problem
from marl_inv.simulator import Decision, initial_state, step


def plain_ppo(problem: Problem, settings: TrainSettings) -> tuple[Callable[[], None], int]:
    """The same networks, simulator, data and number of gradient steps in a bare torch loop, without Tianshou or any bookkeeping."""
    from marl_inv.learning.ppo import advantages
    from marl_inv.learning.train import prepare

    baseline = OrderUpTo.of(problem)
    training = prepare(problem, settings, baseline)
    policy, critic = training.algorithm.policy, training.algorithm.critic
    actor, encoding, network, decide = policy.actor, policy.encoding, problem.network, policy.decide
    owner = actor.head.owner
    optimizer = torch.optim.Adam(nn.ModuleList([actor, critic]).parameters(), lr=settings.lr)
    periods, replications = training.collector.buffer.periods, training.collector.replications
    counter = iter(range(10**9))

    def log_prob(mean: Tensor, sigma: Tensor, action: Tensor) -> Tensor:
        each = -((action - mean) ** 2) / (2 * sigma**2) - sigma.log()
        return each.new_zeros(*each.shape[:2], 8).index_add(2, owner, each)

    def iterate() -> None:
        first = next(counter) * replications
        trace = problem.trace("train", 0, range(first, first + replications))
        state, reference = initial_state(network, replications), initial_state(network, replications)
        rows: list[tuple[Tensor, ...]] = []
        with torch.no_grad():
            for period in range(periods):
                view = View(network, state, trace, period)
                features = encoding(view)
                distribution = actor(features)
                mean, sigma = distribution.mean, distribution.stddev
                action = mean + sigma * torch.randn_like(mean)
                state, _, costs = step(network, state, decide(action, view), trace.at(period))
                decision, _ = baseline.act(View(network, reference, trace, period), None)
                reference, _, reference_costs = step(network, reference, decision, trace.at(period))
                reward = (costs.reward - reference_costs.reward).permute(2, 0, 1)
                rows.append((features, action, log_prob(mean, sigma, action), reward))
            features, action, logp, reward = (torch.stack(column) for column in zip(*rows, strict=True))
            value = critic(features.flatten(0, 1)).unflatten(0, (periods, replications))
            last = critic(encoding(View(network, state, trace, periods))).unsqueeze(0)
            never = torch.zeros(periods, replications, dtype=torch.bool)
            advantage = advantages(reward, value, torch.cat([value[1:], last]), never, never, settings.discount, settings.gae_lambda)
            returns = advantage + value
            advantage = (advantage - advantage.mean()) / advantage.std()
        columns = [column.flatten(0, 1) for column in (features, action, logp, advantage, returns)]
        for _ in range(settings.passes):
            for part in torch.randperm(periods * replications).chunk(settings.minibatches):
                features, action, logp, advantage, returns = (column.index_select(0, part) for column in columns)
                distribution = actor(features)
                ratio = (log_prob(distribution.mean, distribution.stddev, action) - logp).exp()
                gain = torch.min(ratio * advantage, ratio.clamp(1 - settings.clip, 1 + settings.clip) * advantage).mean()
                loss = settings.value_weight * (returns - critic(features)).square().mean() - gain
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(actor.parameters(), settings.max_grad_norm)
                optimizer.step()

    return iterate, periods * replications * 8


def plain_pathwise(problem: Problem, widths: tuple[int, ...], replications: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """One MLP that sees all stock and asks on all lanes: a gradient step with Adam, and playing alone.

    The kind of network, and (512, 512, 512) the size, with which Alvo, Russo, Kanoria and Lee (2023) publish their differentiable simulator.
    """
    network, trace = problem.network, problem.trace("train", 0, replications)
    inputs = network.size.numel() * (1 + len(initial_state(network, 1).due))
    sizes = (inputs, *widths, len(network.lanes) * len(network.products))
    layers = [layer for pair in itertools.pairwise(sizes) for layer in (nn.Linear(*pair), nn.ELU())][:-1]
    policy = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(policy.parameters())

    def earned() -> Tensor:
        state, total = initial_state(network, replications), torch.zeros(())
        for period in range(len(trace)):
            seen = torch.cat([state.inventory_level, *state.due]).flatten(0, 1).T
            asked = nn.functional.softplus(policy(seen)).T.unflatten(0, (len(network.products), -1))
            state, _, costs = problem.step(network, state, Decision(asked), trace.at(period))
            total = total + costs.reward.sum()
        return total / replications

    def learn() -> None:
        optimizer.zero_grad()
        (-earned()).backward()
        optimizer.step()

    return learn, torch.no_grad()(earned)


def stock_ppo(problem: Problem, steps: int = 50) -> tuple[Callable[[], None], int]:
    """Tianshou's own way for PettingZoo: agents step in turn, one PPO with two 64x64 networks each, 4 passes, 4 copies of the environment."""
    from tianshou.algorithm import PPO
    from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
    from tianshou.algorithm.multiagent.marl import MultiAgentOnPolicyAlgorithm
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.env import DummyVectorEnv, PettingZooEnv
    from tianshou.utils.torch_utils import policy_within_training_step

    from marl_inv.environment import env

    logging.getLogger("tianshou").setLevel(logging.ERROR)  # it warns of every batch of rewards that there are several agents
    copies = 4
    environments = DummyVectorEnv([lambda: PettingZooEnv(_for_stock_tianshou(env(problem))) for _ in range(copies)])
    example = PettingZooEnv(_for_stock_tianshou(env(problem)))

    def one() -> PPO:
        inputs, outputs = example.observation_space.shape[0], example.action_space.shape[0]
        actor, critic = _StockActor(inputs, outputs), _StockNetwork(inputs, 1)
        policy = ProbabilisticActorPolicy(
            actor=actor,
            dist_fn=lambda parameters: torch.distributions.Independent(torch.distributions.Normal(*parameters), 1),
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
        self.layers = nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))

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
    """What the stock route asks of an environment: the same action space for all (padded), a mask, infos of one shape."""
    import gymnasium
    import numpy as np
    from pettingzoo.utils import BaseWrapper

    class Padded(BaseWrapper):
        def action_space(self, agent: str) -> gymnasium.spaces.Box:
            largest = max((self.env.action_space(other) for other in self.possible_agents), key=lambda space: space.shape[0])
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
