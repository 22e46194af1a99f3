"""What the benchmarks measure is what they say; how fast it is, is not tested."""

import json
import sys

import numpy as np
import pytest
import torch

from marl_inv import cli
from marl_inv.bench import device as on_device
from marl_inv.bench import others
from marl_inv.bench import speed as bench
from marl_inv.bench.by_hand import EightWarehouses
from marl_inv.bench.plain import plain_pathwise, plain_ppo
from marl_inv.bench.speed import GRAPH, MLP, centre_and_shops, eight_warehouses, ring, seconds, stepping
from marl_inv.cli import bench as commands
from marl_inv.common.errors import InputError
from marl_inv.environment import parallel_env
from marl_inv.learning.settings import TrainSettings
from marl_inv.simulator import step

TINY = {"decisions_per_update": 8 * 5 * 4, "periods_per_update": 5}


def test_seconds_are_medians_of_runs_taken_in_turn(monkeypatch):
    """The clock moves as each run says; the first round warms up and does not count."""
    clock, order = [0.0], []

    def run(name, durations):
        def timed():
            order.append(name)
            clock[0] += next(durations)

        return timed

    monkeypatch.setattr(bench.time, "perf_counter", lambda: clock[0])
    taken = seconds(run("a", iter([90, 1, 2, 30])), run("b", iter([90, 5, 50, 6])), repeats=3)
    assert taken == [2, 6]
    assert order == ["a", "b"] * 4


def test_workloads_are_of_the_size_they_are_called():
    plain, limited = eight_warehouses().network, eight_warehouses(limits=True).network
    assert (len(plain.warehouses), len(plain.lanes), plain.limits, plain.storage) == (8, 14, (), None)
    assert [len(limit.names) for limit in limited.limits] == [8, 1, 1]
    assert limited.storage.tolist() == [[60]] * 8
    assert (len(centre_and_shops(50).network.warehouses), len(centre_and_shops(50).network.lanes)) == (51, 51)
    assert (len(ring(64).lanes), ring(64).replenishments) == (5 * 64, 64)


def test_stepping_plays_as_many_periods_with_the_demand_that_it_is_given():
    asked = []

    def counting(network, state, decision, chance):
        asked.append(chance.demand)
        return step(network, state, decision, chance)

    network = eight_warehouses().network
    stepping(network, 3, 5, lambda period: torch.full((1, 8, 3), float(period)), counting)()
    assert [float(demand.mean()) for demand in asked] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "loop", [lambda *given: bench.ppo_parts(*given)[::2], plain_ppo], ids=["ours", "plain torch"]
)
@pytest.mark.parametrize("settings", [MLP, GRAPH], ids=["mlp", "graph"])
def test_an_iteration_of_either_loop_takes_the_same_gradient_steps(
    loop, settings: TrainSettings, monkeypatch
):
    """4 passes of 4 minibatches over 5 periods of 4 episodes of 8 warehouses."""
    steps, real = [], torch.optim.Adam.step

    def counted(self, *arguments, **named):
        steps.append(1)
        return real(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.Adam, "step", counted)
    iterate, size = loop(eight_warehouses(), TrainSettings(**settings.model_dump() | TINY))
    assert size == 8 * 5 * 4
    assert not steps
    iterate()
    assert len(steps) == 16


def test_the_joint_network_of_peers_learns_through_the_simulator():
    problem = centre_and_shops(3)
    learn, played = plain_pathwise(problem, (16, 16), 8)
    before = float(played())
    for _ in range(40):
        learn()
    assert float(played()) > before + 0.02 * abs(before)


def test_the_environment_by_hand_is_the_same_network():
    """Warehouse 0 and the last two have only the supplier to ask; what is asked is random, and at times more
    than is there."""
    problem, random = eight_warehouses(), np.random.default_rng(0)
    env, hand = parallel_env(problem), EightWarehouses()
    env.reset(seed=3)
    hand.reset()
    demand, earned = (
        problem.trace("train", 3, range(1)).demand[problem.scenario.history :, 0, :, 0].numpy(),
        0.0,
    )
    for period in range(len(demand)):
        asked = random.uniform(0, 20, (8, 2)).astype(np.float32)
        actions = {agent: asked[n] for n, agent in enumerate(hand.agents)}
        ours = env.step(
            {agent: action[: env.action_space(agent).shape[0]] for agent, action in actions.items()}
        )
        _, rewards, _, over, _ = hand.step(actions, demand[period])
        assert list(rewards.values()) == pytest.approx(list(ours[1].values()), abs=1e-3)
        earned += sum(rewards.values())
    assert all(over.values())
    assert not hand.agents
    assert not env.agents
    assert earned < -1000


def test_figures_are_a_line_of_json_each(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["marl-inv", "bench", "machine", "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"group": "machine", "unit": "GB/s", "threads": 1}.items() <= lines[0].items()
    assert all(line["rate"] > 0 for line in lines)


def test_peers_are_left_out_where_they_are_not_installed(monkeypatch):
    monkeypatch.setattr(others, "find_spec", lambda name: None)
    monkeypatch.setattr(
        bench, "GROUPS", {"machine": lambda: iter([bench.Figure("one", 1.0, "GB/s")]), "peers": bench.peers}
    )
    assert [group for group, _ in bench.figures([])] == ["machine"]
    with pytest.raises(
        InputError,
        match=r'peers are not installed; add them with `pip install -c constraints.txt -e "\.\[bench\]"`',
    ):
        list(bench.figures(["peers"]))


def test_a_group_that_is_none_is_told(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["marl-inv", "bench", "simulater"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "marl-inv: bench: simulater is no group; did you mean simulator?\n"


TINY_DEVICE = {
    "simulator": {"batches": (4,), "host": 2},
    "traces": {"batch": 8, "host": 4},
    "ppo": {"replications": (2,), "host": 2},
    "pathwise": {"replications": (2,), "host": 2},
}


@pytest.mark.parametrize("group", [group for group in on_device.DEVICE_GROUPS if group != "simulator"])
def test_what_is_measured_on_a_device_can_be_measured(group, monkeypatch):
    """On this processor, which stands for both; every figure is beside one thread's."""
    monkeypatch.setattr(on_device, "RUNS", 1)
    told = list(on_device.DEVICE_GROUPS[group]("cpu", **TINY_DEVICE[group]))
    assert all(figure.rate > 0 for figure in told)
    assert any("x one thread of the processor" in figure.note for figure in told)


def test_a_device_that_is_not_there_is_said():
    with pytest.raises(InputError, match="bench: --device is 'tpu'; torch finds no such device here"):
        commands.bench([], device="tpu")
