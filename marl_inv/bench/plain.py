"""The same networks in bare loops of torch: what an algorithm of ours may cost at most."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View
from marl_inv.learning.settings import TrainSettings
from marl_inv.simulator import Decision, initial_state, step


def plain_ppo(problem: Problem, settings: TrainSettings) -> tuple[Callable[[], None], int]:
    """The same networks, simulator, data and number of gradient steps in a bare torch loop, without Tianshou
    or any bookkeeping."""
    from marl_inv.learning.algorithms.ppo import JointPPO, advantages
    from marl_inv.learning.train import prepare

    baseline = OrderUpTo.of(problem)
    training = prepare(problem, settings, baseline)
    algorithm, collector = training.algorithm, training.collector
    assert isinstance(algorithm, JointPPO)
    assert collector is not None
    policy, critic = algorithm.policy, algorithm.critic
    actor, encoding, network, decide = policy.actor, policy.encoding, problem.network, policy.decide
    owner = actor.head.owner
    optimizer = torch.optim.Adam(nn.ModuleList([actor, critic]).parameters(), lr=settings.lr)
    periods, replications = collector.buffer.periods, collector.replications
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
                view = View(network, state, trace.known(period))
                features = encoding(view)
                distribution = actor(features)
                mean, sigma = distribution.mean, distribution.stddev
                action = mean + sigma * torch.randn_like(mean)
                state, _, costs = step(network, state, decide(action, view), trace.at(period))
                decision, _ = baseline.act(View(network, reference, trace.known(period)), None)
                reference, _, reference_costs = step(network, reference, decision, trace.at(period))
                reward = (costs.reward - reference_costs.reward).permute(2, 0, 1)
                rows.append((features, action, log_prob(mean, sigma, action), reward))
            features, action, logp, reward = (torch.stack(column) for column in zip(*rows, strict=True))
            value = critic(features.flatten(0, 1)).unflatten(0, (periods, replications))
            last = critic(encoding(View(network, state, trace.known(periods)))).unsqueeze(0)
            never = torch.zeros(periods, replications, dtype=torch.bool)
            advantage = advantages(
                reward,
                value,
                torch.cat([value[1:], last]),
                never,
                never,
                settings.discount,
                settings.gae_lambda,
            )
            returns = advantage + value
            advantage = (advantage - advantage.mean()) / advantage.std()
        columns = [column.flatten(0, 1) for column in (features, action, logp, advantage, returns)]
        for _ in range(settings.passes):
            for part in torch.randperm(periods * replications).chunk(settings.minibatches):
                features, action, logp, advantage, returns = (
                    column.index_select(0, part) for column in columns
                )
                distribution = actor(features)
                ratio = (log_prob(distribution.mean, distribution.stddev, action) - logp).exp()
                gain = torch.min(
                    ratio * advantage, ratio.clamp(1 - settings.clip, 1 + settings.clip) * advantage
                ).mean()
                loss = settings.value_weight * (returns - critic(features)).square().mean() - gain
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(actor.parameters(), settings.max_grad_norm)
                optimizer.step()

    return iterate, periods * replications * 8


def plain_pathwise(
    problem: Problem, widths: tuple[int, ...], replications: int
) -> tuple[Callable[[], None], Callable[[], Tensor]]:
    """One MLP that sees all stock and asks on all lanes: a gradient step with Adam, and playing alone.

    The kind of network, and (512, 512, 512) the size, with which Alvo, Russo, Kanoria and Lee (2023) publish
    their differentiable simulator.
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
