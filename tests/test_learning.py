"""The learner sees the right data, learns, repeats itself bit for bit, and never waits for the device while it plays."""

import pytest
import torch
from marl_inv.baselines.order_up_to import OrderUpTo
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from marl_inv.evaluate import evaluate
from marl_inv.interface import View
from marl_inv.learning.buffer import TensorBuffer
from marl_inv.learning.ppo import mix_rewards
from marl_inv.learning.settings import TrainSettings
from marl_inv.learning.train import prepare, reward_scale, train
from marl_inv.models.encoding import Encoding
from marl_inv.models.heads import Decider
from marl_inv.models.learned import Actor, load_policy
from marl_inv.problem import load_problem
from marl_inv.reading import InputError
from marl_inv.rollout import play
from marl_inv.simulator import initial_state

SMALL = {
    "decisions": 8_000,
    "decisions_per_update": 2_000,
    "validations": 2,
    "validation_replications": 8,
    "hidden": 16,
    "periods_per_update": 10,
}


class ValueIsTheObservation(nn.Module):
    """A critic that reads the value of every product and warehouse off the observation: (rows, K, N, 1) -> (rows, K, N)."""

    def forward(self, observation):
        return observation.squeeze(-1)


def small_training(scenario="two_warehouses", **settings):
    problem = load_problem(scenario)
    return prepare(problem, TrainSettings(**(SMALL | settings)), OrderUpTo.of(problem))


def targets_of_an_episode(terminated: bool):
    """Two periods, one replication, two products, three warehouses; discount 1/2, lambda 1/2, the critic's values given.

    Everything is a power of two away from whole numbers, so that results are exact.
    """
    algorithm = small_training().algorithm
    algorithm.critic, algorithm.gamma, algorithm.gae_lambda, algorithm.reward_mix = ValueIsTheObservation(), 0.5, 0.5, 0.0
    rewards = torch.tensor([[[[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]], [[[4.0, 5.0, 6.0], [40.0, 50.0, 60.0]]]])
    values = torch.tensor([[[[2.0, 4.0, 6.0], [8.0, 16.0, 24.0]]], [[[4.0, 8.0, 12.0], [16.0, 32.0, 48.0]]]])
    after = torch.tensor([[[16.0, 32.0, 48.0], [64.0, 80.0, 96.0]]])
    buffer = TensorBuffer(periods=2, replications=1)
    for period in range(2):
        last = torch.tensor([period == 1])
        buffer.add_period(
            obs=values[period].unsqueeze(-1),
            rew=rewards[period],
            terminated=last & terminated,
            truncated=last & (not terminated),
            done=last,
        )
    buffer.end_here(after.unsqueeze(-1))
    batch, indices = buffer.sample(0)
    return algorithm._add_returns_and_advantages(batch, buffer, indices)


def test_targets_of_a_terminated_episode_are_exact_for_every_product_and_warehouse():
    batch = targets_of_an_episode(terminated=True)
    # Period 1: r - V.  Period 0: (r + V'/2 - V) + (advantage of period 1)/4.
    assert batch.adv[1].tolist() == [[0.0, -3.0, -6.0], [24.0, 18.0, 12.0]]
    assert batch.adv[0].tolist() == [[1.0, 1.25, 1.5], [16.0, 24.5, 33.0]]
    assert batch.returns[1].tolist() == [[4.0, 5.0, 6.0], [40.0, 50.0, 60.0]]
    assert batch.returns[0].tolist() == [[3.0, 5.25, 7.5], [24.0, 40.5, 57.0]]


def test_targets_of_a_truncated_episode_count_on_the_state_it_was_cut_off_in():
    batch = targets_of_an_episode(terminated=False)
    # Period 1: r + V(after)/2 - V.
    assert batch.adv[1].tolist() == [[8.0, 13.0, 18.0], [56.0, 58.0, 60.0]]
    assert batch.adv[0].tolist() == [[3.0, 5.25, 7.5], [24.0, 34.5, 45.0]]
    assert batch.returns[1].tolist() == [[12.0, 21.0, 30.0], [72.0, 90.0, 108.0]]
    assert batch.returns[0].tolist() == [[5.0, 9.25, 13.5], [32.0, 50.5, 69.0]]


def test_an_episode_does_not_see_the_next_one():
    algorithm = small_training().algorithm
    algorithm.critic, algorithm.gamma, algorithm.gae_lambda, algorithm.reward_mix = ValueIsTheObservation(), 0.5, 0.5, 0.0
    buffer = TensorBuffer(periods=2, replications=1)
    for reward in (1.0, 1000.0):
        buffer.add_period(
            obs=torch.zeros(1, 1, 1, 1),
            rew=torch.full((1, 1, 1), reward),
            terminated=torch.tensor([False]),
            truncated=torch.tensor([True]),
            done=torch.tensor([True]),
        )
        buffer.end_here(torch.full((1, 1, 1, 1), 8.0))
    batch, indices = buffer.sample(0)
    assert algorithm._add_returns_and_advantages(batch, buffer, indices).returns.flatten().tolist() == [5.0, 1004.0]


def test_reward_mix_goes_from_ones_own_to_the_teams_mean():
    reward = torch.tensor([[[3.0, 9.0]]])
    assert mix_rewards(reward, 0.0).tolist() == [[[3.0, 9.0]]]
    assert mix_rewards(reward, 0.5).tolist() == [[[4.5, 7.5]]]
    assert mix_rewards(reward, 1.0).tolist() == [[[6.0, 6.0]]]


def test_the_collector_stores_what_the_simulator_paid_to_every_warehouse():
    training = small_training("hub_and_spoke", control_variate=False)
    collector, policy = training.collector, training.algorithm.policy
    policy.is_within_training_step = True
    with torch.no_grad():
        played = collector.gather(10)
    stored = collector.buffer.by_period(collector.buffer.sample(0)[0].rew) * collector.reward_scale
    for period, moment in enumerate(played):
        assert torch.allclose(stored[period], moment.costs.reward.permute(2, 0, 1), rtol=1e-5, atol=1e-5)
    assert (stored.abs().sum((0, 1, 2)) > 0).all()  # the centre and every shop
    observed = collector.buffer.by_period(collector.buffer.sample(0)[0].obs)
    assert torch.equal(observed[3], policy.encoding(played[3].view))
    assert torch.equal(collector.buffer.after[9], policy.encoding(played[9].following_view))


def test_the_control_variate_takes_off_what_the_baseline_earns_on_the_same_trace():
    training = small_training(control_variate=True)
    problem, collector = training.problem, training.collector
    training.algorithm.policy.is_within_training_step = True
    with torch.no_grad():
        played = collector.gather(5)
        trace = problem.trace("train", 0, range(collector.replications))
        reference = [moment.costs.reward for moment in play(problem, training.baseline, trace)][:5]
    stored = collector.buffer.by_period(collector.buffer.sample(0)[0].rew) * collector.reward_scale
    for period, moment in enumerate(played):
        expected = (moment.costs.reward - reference[period]).permute(2, 0, 1)
        assert torch.allclose(stored[period], expected, rtol=1e-4, atol=1e-3)


class NoWaiting(TorchDispatchMode):
    """Fails on every operation that would make the host wait for a device."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "item", "equal", "unique", "is_nonzero")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert name not in self.WAITS, f"{name} waits for the device"
        if name == "_to_copy":
            assert (kwargs or {}).get("device") in (None, args[0].device), "copies between devices"
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("scenario", ["two_warehouses", "ring_transshipment", "hub_and_spoke"])
@pytest.mark.parametrize("model", ["graph", "mlp"])
def test_the_collectors_loop_never_waits_for_the_device(scenario, model):
    training = small_training(scenario, model=model)
    training.algorithm.policy.is_within_training_step = True
    with torch.no_grad(), NoWaiting():
        assert len(training.collector.gather(10)) == 10
    with pytest.raises(AssertionError, match="waits for the device"), NoWaiting():
        float(torch.ones(1).sum())


def test_a_policy_begins_as_order_up_to_without_transfers():
    problem = load_problem("ring_transshipment")
    baseline = OrderUpTo.of(problem)
    encoding = Encoding.of(problem, baseline.levels)
    trace = problem.trace("evaluate", 0, 4)
    view = View(problem.network, initial_state(problem.network, 4), trace, 0)
    decision = Decider(encoding, None, "order_up_to")(torch.zeros(4, 1, 18), view)
    assert torch.equal(decision.requests, baseline.act(view, None)[0].requests)


@pytest.mark.parametrize(
    ("algorithm", "model", "optimizer"),
    [
        ("mappo", "graph", "adam"),
        ("ippo", "mlp", "rmsprop"),
        ("mappo", "mlp", "adamw"),
        ("ippo", "graph", "adam"),
        ("pathwise", "graph", "adam"),
    ],
)
def test_same_seed_same_run_bit_for_bit(algorithm, model, optimizer):
    def weights(seed):
        problem = load_problem("two_warehouses")
        trained = train(
            problem,
            TrainSettings(**SMALL, algorithm=algorithm, model=model, optimizer=optimizer, seed=seed),
            baseline=OrderUpTo.of(problem),
        )
        return torch.cat([parameter.flatten() for parameter in trained.policy.actor.state_dict().values()])

    first = weights(seed=1)
    assert torch.equal(first, weights(seed=1))
    assert not torch.equal(first, weights(seed=2))


def test_mappo_learns_to_raise_a_level_that_is_far_too_low(tmp_path):
    problem = load_problem("two_warehouses", ["horizon=15"])
    low = OrderUpTo(OrderUpTo.of(problem).levels * 0.6)
    settings = TrainSettings(
        decisions=80_000, decisions_per_update=4_000, hidden=16, lr=3e-3, validations=4, model="mlp", periods_per_update=15
    )
    policy = train(problem, settings, baseline=low).policy
    before, after = evaluate(problem, [low, policy], replications=128)
    assert after.gain_in_percent_over(before).low > 5
    policy.save(tmp_path, settings)
    again = evaluate(problem, [load_policy(tmp_path, problem)], replications=128)[0]
    assert torch.equal(again.samples, after.samples)


def test_a_graph_policy_plays_a_larger_network_and_an_mlp_says_that_it_cannot(tmp_path):
    small, large = load_problem("two_warehouses"), load_problem("ring_transshipment")
    trained_on = load_problem("hub_and_spoke", ["lanes.0.lead_time=4"])  # the ring's longest lead time
    for model in ("graph", "mlp"):
        settings = TrainSettings(**SMALL, model=model)
        policy = train(trained_on, settings, baseline=OrderUpTo.of(trained_on)).policy
        policy.save(tmp_path, settings)
        if model == "graph":
            assert evaluate(large, [load_policy(tmp_path, large)], replications=4)[0].fill_rate > 0.5
        else:
            with pytest.raises(
                InputError, match=r"policy\.safetensors: holds a mlp policy of 9 warehouses, which does not fit two_warehouses"
            ):
                load_policy(tmp_path, small)


def test_dense_and_sparse_messages_are_the_same():
    problem = load_problem("ring_transshipment")
    encoding = Encoding.of(problem, OrderUpTo.of(problem).levels)
    actor = Actor(encoding, TrainSettings(**SMALL))
    features = torch.randn(5, 1, 6, encoding.features)
    dense = actor(features).mean
    actor.trunk.dense = False
    assert torch.allclose(actor(features).mean, dense, atol=1e-6)


def test_an_agent_hears_as_far_as_its_hops():
    problem = load_problem("ring_transshipment")
    encoding = Encoding.of(problem, OrderUpTo.of(problem).levels)
    features = torch.randn(1, 1, 6, encoding.features)
    changed = features.clone()
    changed[0, 0, 3] += 1
    for hops, hearing in ((0, {3}), (1, {2, 3, 4}), (2, {1, 2, 3, 4, 5})):
        trunk = Actor(encoding, TrainSettings(**(SMALL | {"hops": hops}))).trunk
        moved = (trunk(changed) - trunk(features)).abs().sum((0, 1, 3)) > 1e-6
        assert set(moved.nonzero().flatten().tolist()) == hearing


def test_reward_scale_is_per_product():
    problem = load_problem(
        "two_warehouses", ["products=[{name: a}, {name: b}]", "warehouses.0.price=[10, 1000]", "warehouses.1.price=[10, 1000]"]
    )
    scale = reward_scale(problem, OrderUpTo.of(problem), seed=0)
    assert scale.shape == (2, 1)
    assert scale[1] > 20 * scale[0]


def test_ratios_are_one_before_the_first_step():
    training = small_training()
    policy = training.algorithm.policy
    policy.is_within_training_step = True
    with torch.no_grad():
        training.collector.gather(10)
        batch = training.collector.buffer.sample(0)[0]
        ratio = (policy.distribution(batch.obs).log_prob(batch.act) - batch.logp).exp()
    assert torch.allclose(ratio, torch.ones_like(ratio), atol=1e-4)


def test_tianshous_own_ppo_gives_the_same_advantages_for_one_warehouse_and_product():
    """Its GAE is the reference: one agent's column of ours, row by row."""
    from tianshou.algorithm.algorithm_base import _gae

    from marl_inv.learning.ppo import advantages

    generator = torch.Generator().manual_seed(0)
    reward, value, following = (torch.randn(40, 1, 2, 3, generator=generator, dtype=torch.float64) for _ in range(3))
    done = torch.rand(40, 1, generator=generator) < 0.1
    terminated = done & (torch.rand(40, 1, generator=generator) < 0.5)
    ours = advantages(reward, value, following, terminated, done, 0.97, 0.9)
    for product in range(2):
        for warehouse in range(3):
            column = (Ellipsis, product, warehouse)
            v_s_ = (following[column] * ~terminated).flatten().numpy()
            theirs = _gae(value[column].flatten().numpy(), v_s_, reward[column].flatten().numpy(), done.flatten().numpy(), 0.97, 0.9)
            assert torch.allclose(ours[column].flatten(), torch.from_numpy(theirs), atol=1e-12)


def test_pathwise_learns_the_transfers_that_a_starving_warehouse_needs():
    """North gets too much and south nothing from the mill: only north's lane can feed south, and at first nothing is asked of it."""
    problem = load_problem("two_warehouses", ["horizon=15", "lanes.1.capacity=0.5"])
    settings = TrainSettings(
        algorithm="pathwise", decisions=150_000, decisions_per_update=3_000, hidden=16, validations=4, model="mlp", lr=3e-2
    )
    start = OrderUpTo.of(problem)
    before, after = evaluate(problem, [start, train(problem, settings, baseline=start).policy], replications=128)
    assert float(before.record.transferred.mean()) == 0
    assert float(after.record.transferred.mean()) > 1
    assert after.gain_in_percent_over(before).low > 5


def test_the_pathwise_gradient_is_that_of_what_an_episode_earns():
    """Along a random direction in weights, to the precision of finite differences; and stock left at the end is worth what it cost."""
    problem = load_problem("one_warehouse_many_shops", ["horizon=12", "warm_up=2"], dtype=torch.float64)
    torch.manual_seed(0)
    training = prepare(problem, TrainSettings(**(SMALL | {"algorithm": "pathwise"})), OrderUpTo.of(problem))
    training.policy.actor.double()
    trace, weights = problem.trace("train", 0, 40), list(training.policy.actor.parameters())
    direction = [torch.randn_like(weight) for weight in weights]
    training.algorithm.earned(trace).mean().backward()
    slope = sum(float((weight.grad * along).sum()) for weight, along in zip(weights, direction, strict=True) if weight.grad is not None)

    def moved(step: float) -> float:
        with torch.no_grad():
            for weight, along in zip(weights, direction, strict=True):
                weight += step * along
            return float(training.algorithm.earned(trace).mean())

    above = moved(1e-6)
    below = moved(-2e-6)
    assert slope == pytest.approx((above - below) / 2e-6, rel=1e-3)


def test_settings_of_an_optimizer_reach_it():
    for name, kind in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("rmsprop", torch.optim.RMSprop)):
        optimizer = small_training(optimizer=name, lr=0.0123).algorithm.optim._optim
        assert type(optimizer) is kind
        assert optimizer.defaults["lr"] == 0.0123


def test_training_plays_episodes_one_after_the_other_with_new_luck():
    training = small_training(periods_per_update=30)
    training.algorithm.policy.is_within_training_step = True
    with torch.no_grad():
        first, second = training.collector.gather(30), training.collector.gather(30)
    assert [moment.view.period for moment in first] == list(range(30))
    assert not torch.equal(first[0].view.trace.demand, second[0].view.trace.demand)
