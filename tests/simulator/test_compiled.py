"""Periods that torch has compiled are those that `step` plays."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from marl_inv.baselines import OrderUpTo
from marl_inv.episodes.problem import load_problem
from marl_inv.episodes.rollout import play
from marl_inv.simulator import step

COMPARE = """
import torch
from marl_inv.baselines import OrderUpTo
from marl_inv.learning.joint_policy import MeanActions
from marl_inv.episodes.problem import load_problem
from marl_inv.episodes.rollout import play
from marl_inv.simulator import Decision, initial_state

torch.set_num_threads(1)
problem = load_problem("reactive_transshipment", ["horizon=3", "warm_up=0", "warehouses.0.storage=40"])
compiled, policy = problem.compiled(), OrderUpTo.of(problem)
for replications in (1, 5):
    trace = problem.trace("train", 0, replications)
    with torch.no_grad():
        for plain, fast in zip(play(problem, policy, trace), play(compiled, policy, trace), strict=True):
            assert torch.allclose(plain.state.pipeline, fast.state.pipeline, rtol=1e-5, atol=1e-5)
            for record in ("flows", "costs"):
                for name, value in vars(getattr(plain, record)).items():
                    other = getattr(getattr(fast, record), name)
                    assert value is other is None or torch.allclose(value, other, rtol=1e-5, atol=1e-5), name
print("forms", len(compiled.step._by_form), compiled.step._plain)
network, gradients = problem.network, []
for play_period in (problem.step, compiled.step):
    requests = (1.5 * network.max_request.unsqueeze(-1).clamp(max=9).expand(-1, -1, 5)).clone().requires_grad_()
    play_period(network, initial_state(network, 5), Decision(requests), trace.at(0))[2].reward.sum().backward()
    gradients.append(requests.grad)
assert torch.allclose(*gradients, rtol=1e-5, atol=1e-6)
print("gradients", bool(gradients[0].any()))
"""


def test_a_compiled_period_is_the_same_for_every_batch_size_and_with_gradients():
    """(In a process of its own, for the checks of shapes in these tests cannot be compiled.)"""
    done = subprocess.run([sys.executable, "-c", COMPARE], capture_output=True, text=True, timeout=400)
    assert done.stdout.splitlines() == ["forms 4 False", "gradients True"], done.stderr


def no_compiler(*_):
    raise RuntimeError("no compiler")


def another_level(network, state, decision, chance):
    after, flows, costs = step(network, state, decision, chance)
    return after, replace(flows, level=flows.level + (flows.level > 0)), costs


@pytest.mark.parametrize(
    ("faulty", "told"),
    [
        (no_compiler, "is played as it is: no compiler"),
        (another_level, "is played as it is: what was compiled plays something else"),
    ],
)
def test_what_cannot_be_compiled_is_played_as_it_is(faulty, told, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda *_, **__: faulty)
    problem = load_problem("two_warehouses")
    compiled, policy, trace = problem.compiled(), OrderUpTo.of(problem), problem.trace("train", 0, 2)
    with pytest.warns(UserWarning, match=told):
        fast = [moment.costs.reward for moment in play(compiled, policy, trace)]
    plain = [moment.costs.reward for moment in play(problem, policy, trace)]
    assert all(torch.equal(*pair) for pair in zip(plain, fast, strict=True))


def test_a_period_is_played_by_the_problems_own_step():
    problem, periods = load_problem("two_warehouses"), []

    def counted(network, state, decision, chance):
        periods.append(1)
        return problem.step(network, state, decision, chance)

    trace = problem.trace("train", 0, 2)
    assert (
        len(list(play(replace(problem, step=counted), OrderUpTo.of(problem), trace)))
        == len(periods)
        == len(trace)
    )
