"""How fast it is, side by side in one process on one thread: the simulator, and a PPO loop next to plain torch and to Tianshou's stock route.

Machines are noisy: every figure is the median of several runs, and what counts is the ratio of figures of the same table.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import networkx
import torch
from torch import Tensor, nn

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.learning.settings import TrainSettings
from marl_inv.network import TransferNetwork
from marl_inv.problem import Problem
from marl_inv.reading import Document
from marl_inv.scenario import read_scenario
from marl_inv.simulator import Chance, Decision, initial_state, step

REPEATS = 7


@dataclass(frozen=True)
class Figure:
    what: str
    rate: float
    """Warehouse-steps per second: warehouses x periods x replications."""
    note: str = ""


def median_seconds(run: Callable[[], object], repeats: int = REPEATS) -> float:
    """After one run to warm up."""
    run()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def eight_warehouses() -> Problem:
    """Eight warehouses supplied one by one, six lanes between neighbours: 14 lanes, lost sales."""
    warehouses = [{"name": f"warehouse_{n}", "initial_stock": 30, "holding_cost": 1, "shortage_cost": 9} for n in range(8)]
    lanes = [{"origin": "supplier", "destination": f"warehouse_{n}", "lead_time": 2} for n in range(8)]
    lanes += [{"origin": f"warehouse_{n}", "destination": f"warehouse_{n + 1}", "lead_time": 1, "transport_cost": 1} for n in range(6)]
    demand = {"kind": "poisson", "mean": 10}
    data = {"demand": demand, "horizon": 50, "suppliers": [{"name": "supplier"}], "warehouses": warehouses, "lanes": lanes}
    return Problem.of(read_scenario(Document("eight_warehouses", data)))


def centre_and_shops(shops: int) -> TransferNetwork:
    graph = networkx.MultiDiGraph()
    graph.add_node("supplier", kind="supplier")
    for n in range(shops + 1):
        graph.add_node(f"warehouse_{n}", initial_stock=20.0, holding_cost=1.0, shortage_cost=9.0, mean_demand=[10.0], sd_demand=[3.0])
    graph.add_edge("supplier", "warehouse_0", key="supply", lead_time=3)
    for n in range(1, shops + 1):
        graph.add_edge("warehouse_0", f"warehouse_{n}", key=f"lane_{n}", lead_time=2)
    return TransferNetwork.from_graph(graph)


RING_WORK = 2**17
"""Warehouses x replications of every ring."""


def ring(size: int) -> TransferNetwork:
    """Every warehouse may order from the supplier and from its two neighbours on either side."""
    graph = networkx.MultiDiGraph()
    graph.add_node("supplier", kind="supplier")
    for n in range(size):
        graph.add_node(f"warehouse_{n}", initial_stock=20.0, holding_cost=1.0, shortage_cost=9.0, mean_demand=[10.0], sd_demand=[3.0])
    for n in range(size):
        graph.add_edge("supplier", f"warehouse_{n}", key=f"supply_{n}", lead_time=2)
        for away in (-2, -1, 1, 2):
            origin = f"warehouse_{(n + away) % size}"
            graph.add_edge(origin, f"warehouse_{n}", key=f"lane_{n}_{away}", lead_time=1, transport_cost=1.0)
    return TransferNetwork.from_graph(graph)


def simulator_figures() -> Iterator[Figure]:
    """`step` alone: requests and demand given."""
    networks = {"8 warehouses, 14 lanes": eight_warehouses().network, "1 centre, 50 shops": centre_and_shops(50)}
    for name, network in networks.items():
        for replications in (1, 1024, 16384):
            rate = step_rate(network, replications, periods=min(1000, max(10, 100_000 // replications)))
            yield Figure(f"simulator, {name}, batch {replications}", rate)


def step_rate(network: TransferNetwork, replications: int, periods: int) -> float:
    """Warehouse-steps per second of `step` alone, with requests and demand given."""
    like = network.initial_stock
    decision = Decision(20 * torch.rand(1, len(network.lanes), replications).to(like))
    chance = Chance(20 * torch.rand(1, len(network.warehouses), replications).to(like))

    def run() -> None:
        state = initial_state(network, replications)
        for _ in range(periods):
            state, _, _ = step(network, state, decision, chance)

    with torch.no_grad():
        return len(network.warehouses) * replications * periods / median_seconds(run)


def scaling_figures() -> Iterator[Figure]:
    """Cost is linear in the network: the same work on rings of any size, every warehouse with a supplier and four neighbours."""
    first = None
    for size in (8, 64, 512, 4096):
        rate = step_rate(ring(size), replications=RING_WORK // size, periods=20)
        first = rate if first is None else first
        yield Figure(
            f"simulator, ring of {size}, batch {RING_WORK // size}", rate, f"{first / rate:.2f} of the time a step on a ring of 8 takes"
        )


PPO_SETTINGS = TrainSettings(
    model="mlp", hidden=64, algorithm="ippo", periods_per_update=50, decisions_per_update=8 * 50 * 128, passes=4, minibatches=4
)


def our_ppo(settings: TrainSettings = PPO_SETTINGS) -> tuple[Callable[[], None], Callable[[], None], int]:
    """One iteration (collect, then update), collecting alone, and the warehouse-steps in it."""
    from tianshou.utils.torch_utils import policy_within_training_step

    from marl_inv.learning.train import prepare

    problem = eight_warehouses()
    training = prepare(problem, settings, OrderUpTo.of(problem))
    collector, algorithm = training.collector, training.algorithm
    steps = collector.buffer.maxsize

    def collect() -> None:
        with policy_within_training_step(algorithm.policy):
            collector.collect(n_step=steps)

    def iterate() -> None:
        with policy_within_training_step(algorithm.policy):
            collector.collect(n_step=steps)
            algorithm.update(collector.buffer, None, settings.passes)

    return iterate, collect, steps * 8


def plain_ppo(settings: TrainSettings = PPO_SETTINGS) -> tuple[Callable[[], None], int]:
    """The same networks, simulator, data and number of gradient steps in a bare torch loop, without Tianshou or any bookkeeping."""
    from marl_inv.learning.ppo import advantages
    from marl_inv.learning.train import prepare

    problem = eight_warehouses()
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
        from marl_inv.interface import View

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


def stock_ppo(steps: int = 50) -> tuple[Callable[[], None], int]:
    """Tianshou's own way for PettingZoo: agents step in turn, one PPO with two 64x64 networks each, 4 passes, 4 copies of the environment."""
    from tianshou.algorithm import PPO
    from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
    from tianshou.algorithm.multiagent.marl import MultiAgentOnPolicyAlgorithm
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.env import DummyVectorEnv, PettingZooEnv
    from tianshou.utils.torch_utils import policy_within_training_step

    from marl_inv.environment import env

    problem = eight_warehouses()
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


def ppo_figures() -> Iterator[Figure]:
    """Ours, plain torch and the stock route in turn, so that the machine's moods meet all three."""
    iterate, collect, size = our_ppo()
    plain, plain_size = plain_ppo()
    stock, stock_size = stock_ppo()
    runs = {"ours": (iterate, size), "plain": (plain, plain_size), "stock": (stock, stock_size), "collect": (collect, size)}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(REPEATS + 1):
        for name, (run, _) in runs.items():
            begun = time.perf_counter()
            run()
            if repeat:
                times[name].append(time.perf_counter() - begun)
    rate = {name: runs[name][1] / statistics.median(times[name]) for name in runs}
    yield Figure("PPO iteration, 8 warehouses, two 64x64 MLPs, 4 passes: marl_inv", rate["ours"])
    yield Figure("  the same in plain torch", rate["plain"], f"plain / ours = {rate['plain'] / rate['ours']:.2f}")
    yield Figure("  Tianshou's stock multi-agent route", rate["stock"], f"ours / stock = {rate['ours'] / rate['stock']:.1f}")
    yield Figure("  marl_inv, collecting alone", rate["collect"], f"/ stock = {rate['collect'] / rate['stock']:.1f}")


def figures() -> Iterator[Figure]:
    """All of them, on one thread."""
    torch.set_num_threads(1)
    yield from simulator_figures()
    yield from scaling_figures()
    yield from ppo_figures()
