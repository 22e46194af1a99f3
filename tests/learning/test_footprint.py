"""Memory that does not surprise: what an update will need is told before, and evaluation takes what it has
place for."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.common import machine
from marl_inv.common.progress import say_nothing
from marl_inv.episodes.problem import load_problem
from marl_inv.evaluation import evaluate as evaluation
from marl_inv.learning import footprint as memory
from marl_inv.learning.footprint import Saved, check_memory, needed
from marl_inv.learning.settings import TrainSettings
from marl_inv.learning.train import prepare


def prepared(scenario="ring_transshipment", changes=("horizon=20", "warm_up=0"), **settings):
    problem = load_problem(scenario, changes)
    chosen = {
        "decisions": 8_000,
        "decisions_per_update": 4_000,
        "hidden": 16,
        "validations": 1,
        "validation_replications": 2,
    }
    return prepare(problem, TrainSettings(**chosen | settings), OrderUpTo.of(problem))


@pytest.mark.parametrize(
    "settings", [{}, {"memory": "gru"}, {"model": "mlp"}, {"decisions_per_update": 1_000}]
)
@pytest.mark.parametrize("scenario", ["ring_transshipment", "storage_bound"])
def test_what_a_pathwise_gradient_remembers_is_foreseen(scenario, settings):
    training = prepared(scenario, algorithm="pathwise", **settings)
    trace, _ = training.trainer.params.buffer.sample(training.trainer.params.batch_size)
    with Saved() as saved:
        training.algorithm.earned(trace).mean()
    assert needed(training).gradient == pytest.approx(saved.bytes, rel=0.15)


def test_playing_again_remembers_two_periods_and_what_each_began_with():
    """What a period begins with: its stock, and with lead times of up to 4 what is due in three later ones; 6
    warehouses, in float32."""
    training = prepared(algorithm="pathwise")
    plain = needed(training).gradient
    training.algorithm.recompute = True
    replications = training.trainer.params.batch_size // 20
    begins = (1 + training.problem.network.longest_lead_time - 1) * 6 * 4
    assert needed(training).gradient == pytest.approx(2 * plain / 20 + 20 * replications * begins, rel=1e-3)


def test_what_ppo_keeps_is_foreseen():
    training = prepared(algorithm="mappo", critic="privileged")
    training.algorithm.policy.is_within_training_step = True
    with torch.no_grad():
        training.collector.gather(training.collector.buffer.periods)
    batch, _ = training.collector.buffer.sample(0)
    own = sum(batch[key].nbytes for key in batch.get_keys())
    assert own + training.problem.trace_bytes * training.collector.replications == pytest.approx(
        needed(training).experience, rel=0.2
    )
    rows = len(batch.obs) // training.settings.minibatches
    with Saved() as saved:
        training.policy.distribution(batch.obs[:rows].clone())
        training.algorithm.critic(batch.critic_obs[:rows].clone())
    valued = min(len(batch.obs), training.algorithm.max_batchsize)
    assert needed(training).gradient == pytest.approx(saved.bytes * (1 + valued / rows / 3), rel=0.15)


@pytest.mark.parametrize("algorithm", ["pathwise", "mappo", "reinforce", "qmix"])
def test_more_than_there_is_is_refused_and_what_is_advised_fits(algorithm, monkeypatch):
    settings = {"algorithm": algorithm, "decisions_per_update": 40_000, "replay": 1_000}
    training = prepared(**settings)
    there = needed(training).total // 3
    monkeypatch.setattr(memory, "free_memory", lambda device: there)
    with pytest.raises(
        memory.InputError, match=r"an update needs about .* and .* are free; give decisions_per_update=\d+"
    ) as refusal:
        check_memory(training, say_nothing)
    advised = int(re.search(r"decisions_per_update=(\d+)", str(refusal.value))[1])
    said = []
    check_memory(prepared(**settings | {"decisions_per_update": advised}), said.append)
    assert said[0].startswith("an update needs about ")


def test_what_is_free_is_told_where_the_system_tells():
    there = machine.free_memory(torch.device("cpu"))
    assert there is None or 10**6 < there < 10**15


def test_memory_is_kept_where_the_c_library_can_be_told():
    """In a process of its own: freed arrays of 20 MB are handed out again without the system's help, which a
    page fault would show."""
    script = """
import resource, torch
from marl_inv.common.machine import keep_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(5_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), keep_memory(), faults(), faults())
"""
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    if told[1] == "True":
        assert int(told[3]) < int(told[0]) / 10


def test_evaluation_in_parts_is_the_same(monkeypatch):
    problem = load_problem("two_warehouses", ["horizon=12", "warm_up=2"])
    policy = OrderUpTo.of(problem)
    [whole] = evaluation.evaluate(problem, [policy], replications=10)
    monkeypatch.setattr(evaluation, "TRACE_BYTES", 4 * problem.trace_bytes)
    assert [len(part) for part in problem.in_parts("evaluate", 10, evaluation.TRACE_BYTES)] == [4, 4, 2]
    for score in evaluation.evaluate(problem, [policy, policy], replications=10):
        assert torch.equal(score.samples, whole.samples)
        assert all(torch.equal(score.record.sums[name], sums) for name, sums in whole.record.sums.items())
        assert all(
            torch.equal(score.record.lane_sums[name], sums) for name, sums in whole.record.lane_sums.items()
        )
