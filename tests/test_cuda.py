"""On a GPU everything is as on the processor, to 1e-4: the same luck, episodes, gradients and files.

`pytest -m cuda`; skipped where there is none.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from tianshou.utils.torch_utils import policy_within_training_step
from torch import Tensor

from marl_inv import evaluate, train, tune
from marl_inv.baselines import BASELINES
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.episodes.problem import Problem, load_problem
from marl_inv.episodes.rollout import play
from marl_inv.learning.settings import TrainSettings
from marl_inv.learning.train import prepare
from scenarios_under_test import SCENARIOS, periods, settings_for
from training import SMALL, Waits

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here"),
]

CLOSE = 1e-4
"""Relative to the largest number of a kind."""

FITTING = dict.fromkeys(
    ["dual_index", "capped_dual_index", "tailored_base_surge", "constant_order"], "dual_sourcing"
) | {
    "promotion_calendar": "two_warehouses",
    "echelon_base_stock": "serial",
    "equal_fractile": "hub_and_spoke",
}
"""What a rule is for, where it is not for any network."""

ALGORITHMS = ["ippo", "mappo", "reinforce", "pathwise", "iql", "vdn", "qmix"]


def earned(problem: Problem, policy: Any, replications: int = 50) -> float:
    [score] = evaluate(problem, policy, replications=replications)
    return score.reward.mean


def on(device: str, name: str, settings: list[str] | None = None) -> Problem:
    return load_problem(name, settings or settings_for(name), device)


def alike(ours: Any, theirs: Any) -> bool:
    """Tensors, and records and tuples of them, but for rounding."""
    if isinstance(ours, Tensor):
        theirs = theirs.to(ours.device)
        size = theirs.abs().max() if theirs.numel() else 0
        return bool(((ours - theirs).abs() <= CLOSE * (1 + size)).all())
    if isinstance(ours, tuple):
        return len(ours) == len(theirs) and all(map(alike, ours, theirs))
    if ours is None or theirs is None:
        return ours is theirs
    return all(alike(getattr(ours, each.name), getattr(theirs, each.name)) for each in fields(ours))


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_episode_is_the_same(name):
    """Luck, decisions, flows, costs and state of every period; nobody reads a value back on the way."""
    played = []
    for device in ("cpu", "cuda"):
        problem = on(device, name)
        trace = problem.trace("tune", 0, 7, periods(name))
        policy = OrderUpTo.of(problem)
        with Waits() as waits, torch.no_grad():
            played.append(list(play(problem, policy, trace, trusted=True)))
        assert not waits.seen
    for theirs, ours in zip(*played, strict=True):
        assert ours.costs.reward.is_cuda
        assert alike(ours.trace.demand, theirs.trace.demand)
        for part in ("decision", "flows", "costs", "state"):
            assert alike(getattr(ours, part), getattr(theirs, part)), (theirs.view.known.period, part)


def test_demand_drawn_there_is_the_same_luck():
    for name in ("two_warehouses", "seasonal_retail", "hidden_regimes", "grid", "network_50"):
        ours, theirs = (on(device, name).trace("train", 5, range(100, 164)) for device in ("cuda", "cpu"))
        assert torch.equal(ours.demand.cpu(), theirs.demand), name
    ours, theirs = (on(device, "hub_and_spoke").trace("train", 5, 64) for device in ("cuda", "cpu"))
    assert torch.allclose(ours.demand.cpu(), theirs.demand, rtol=1e-6)


@pytest.mark.parametrize("policy", [*BASELINES, "rolling_lp"])
def test_policies_earn_the_same(policy):
    scenario = FITTING.get(policy, "hub_and_spoke_lateral")
    here, there = (
        earned(on(device, scenario, ["horizon=12", "warm_up=0"]), policy) for device in ("cpu", "cuda")
    )
    assert here != 0
    assert there == pytest.approx(here, rel=CLOSE if policy != "random" else 0.1)  # draws on the device


def test_the_optimal_policy_plays_there():
    small = ["demand={kind: poisson, mean: 2}", "horizon=20", "warm_up=0"]
    here, there = (earned(on(device, "lost_sales", small), "optimal") for device in ("cpu", "cuda"))
    assert there == pytest.approx(here, rel=CLOSE)


@pytest.mark.parametrize(
    "name", ["two_warehouses", "shared_trucks", "storage_bound", "reactive_transshipment"]
)
def test_compiled_periods_are_the_same(name):
    problem = on("cuda", name)
    trace, policy = problem.trace("tune", 0, 1000), OrderUpTo.of(problem)
    with torch.no_grad():
        plain, compiled = (
            list(play(each, policy, trace, trusted=True)) for each in (problem, problem.compiled())
        )
    assert all(alike(ours.state, theirs.state) for ours, theirs in zip(compiled, plain, strict=True))


@pytest.mark.parametrize("model", ["graph", "mlp"])
def test_the_gradient_through_an_episode_is_the_same(model):
    gradients = []
    for device in ("cpu", "cuda"):
        problem = on(device, "hub_and_spoke_lateral")
        chosen = TrainSettings(**SMALL | {"algorithm": "pathwise", "model": model, "device": device})
        training = prepare(problem, chosen, OrderUpTo.of(problem))
        trace = problem.trace("train", 0, 64)
        with Waits() as waits:
            earned = training.algorithm.earned(trace).mean()
        assert not waits.seen
        earned.backward()
        weights = dict(training.policy.actor.named_parameters())
        gradients.append({key: each.grad for key, each in weights.items() if each.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    largest = max(float(each.abs().max()) for each in gradients[0].values())
    for key, theirs in gradients[0].items():
        assert (gradients[1][key].cpu() - theirs).abs().max() <= 1e-3 * largest, key


@pytest.mark.parametrize("algorithm", ["ippo", "mappo"])
def test_collecting_reads_nothing_back(algorithm):
    problem = on("cuda", "two_warehouses")
    chosen = TrainSettings(**SMALL | {"algorithm": algorithm, "device": "cuda"})
    training = prepare(problem, chosen, OrderUpTo.of(problem))
    with policy_within_training_step(training.algorithm.policy), torch.no_grad():
        training.collector.gather(5)
        torch.cuda.set_sync_debug_mode("error")
        try:
            training.collector.gather(5)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_training_runs_there_and_its_policy_plays_here(algorithm, tmp_path):
    chosen = TrainSettings(**SMALL | {"algorithm": algorithm, "device": "cuda"})
    trained = train("two_warehouses", chosen, out=tmp_path / "run")
    assert all(value.isfinite().all() for value in trained.policy.actor.state_dict().values())
    here, there = (earned(on(device, "two_warehouses"), tmp_path / "run") for device in ("cpu", "cuda"))
    assert there == pytest.approx(here, rel=CLOSE)


def test_a_run_is_taken_up_again_there(tmp_path):
    """Sums by index add in any order on a GPU, so what follows is alike, not equal."""
    settings = SMALL | {"algorithm": "pathwise", "device": "cuda"}
    whole = train("two_warehouses", TrainSettings(**settings), out=tmp_path / "whole")
    again = train("two_warehouses", TrainSettings(**settings), out=tmp_path / "whole", resume=True)
    for name, value in whole.policy.actor.state_dict().items():
        assert alike(again.policy.actor.state_dict()[name], value), name


def test_a_policy_can_be_tuned_there():
    there = tune(on("cuda", "lost_sales"), "order_up_to", effort=0.2)
    assert there.levels.is_cuda
    tuned, untuned = (earned(on("cuda", "lost_sales"), each, 200) for each in (there, "order_up_to"))
    assert tuned > untuned
