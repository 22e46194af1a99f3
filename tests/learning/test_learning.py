"""The learner sees the right data, learns, repeats itself bit for bit, and never waits for the device while
it plays."""

import pytest
import torch

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import load_problem
from marl_inv.episodes.rollout import play
from marl_inv.episodes.view import View
from marl_inv.evaluation.evaluate import evaluate
from marl_inv.learning.parts import mix_rewards, reward_scale
from marl_inv.learning.settings import TrainSettings
from marl_inv.learning.train import train
from marl_inv.models.encoding import Encoding
from marl_inv.models.heads import Decider
from marl_inv.models.learned import load_policy
from marl_inv.simulator import initial_state
from training import SMALL, Waits, small_training


def test_reward_mix_goes_from_ones_own_to_the_teams_mean():
    network, reward = load_problem("two_warehouses").network, torch.tensor([[[3.0, 9.0]]])
    assert mix_rewards(network, reward, 0.0).tolist() == [[[3.0, 9.0]]]
    assert mix_rewards(network, reward, 0.5).tolist() == [[[4.5, 7.5]]]
    assert mix_rewards(network, reward, 1.0).tolist() == [[[6.0, 6.0]]]


def test_the_collector_stores_what_the_simulator_paid_to_every_warehouse():
    training = small_training("hub_and_spoke", control_variate=False)
    collector, policy = training.collector, training.algorithm.policy
    policy.is_within_training_step = True
    with torch.no_grad():
        played = collector.gather(10)
    stored = (
        collector.buffer.by_period(collector.buffer.sample(0)[0].rew) * collector.reward_scale
        + collector.usual
    )
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


@pytest.mark.parametrize("scenario", ["two_warehouses", "ring_transshipment", "hub_and_spoke"])
@pytest.mark.parametrize("model", ["graph", "mlp"])
def test_the_collectors_loop_never_waits_for_the_device(scenario, model):
    training = small_training(scenario, model=model)
    training.algorithm.policy.is_within_training_step = True
    with torch.no_grad(), Waits() as waits:
        assert len(training.collector.gather(10)) == 10
    assert waits.seen == []
    with Waits() as waits:
        float(torch.ones(1).sum())
    assert waits.seen == ["_local_scalar_dense"]


def test_a_policy_begins_as_order_up_to_without_transfers():
    problem = load_problem("ring_transshipment")
    baseline = OrderUpTo.of(problem)
    encoding = Encoding.of(problem, baseline)
    trace = problem.trace("evaluate", 0, 4)
    view = View(problem.network, initial_state(problem.network, 4), trace.known(0))
    decision = Decider(encoding, None, "order_up_to")(torch.zeros(4, 1, 18), view)
    assert torch.equal(decision.requests, baseline.act(view, None)[0].requests)


@pytest.mark.parametrize(
    ("algorithm", "model", "optimizer"),
    [
        ("mappo", "graph", "adam"),
        ("ippo", "mlp", "rmsprop"),
        ("mappo", "mlp", "adamw"),
        ("ippo", "graph", "adam"),
        ("reinforce", "graph", "adamw"),
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
        decisions=80_000,
        decisions_per_update=4_000,
        hidden=16,
        lr=3e-3,
        validations=4,
        model="mlp",
        periods_per_update=15,
    )
    policy = train(problem, settings, baseline=low).policy
    before, after = evaluate(problem, [low, policy], replications=128)
    assert after.gain_in_percent_over(before).low > 5
    policy.save(tmp_path, settings)
    again = evaluate(problem, [load_policy(tmp_path, problem)], replications=128)[0]
    assert torch.equal(again.samples, after.samples)


def test_a_graph_policy_plays_a_larger_network_and_an_mlp_says_that_it_cannot(tmp_path):
    small, large = load_problem("two_warehouses", ["ending=continuing"]), load_problem("ring_transshipment")
    trained_on = load_problem("hub_and_spoke")
    for model in ("graph", "mlp"):
        settings = TrainSettings(**SMALL, model=model, start="newsvendor")
        policy = train(trained_on, settings, baseline=OrderUpTo.of(trained_on)).policy
        policy.save(tmp_path, settings)
        if model == "graph":
            assert evaluate(large, [load_policy(tmp_path, large)], replications=4)[0].fill_rate > 0.5
        else:
            with pytest.raises(
                InputError,
                match=r"policy\.safetensors: holds a mlp policy of 9 warehouses, which does not fit two_warehouses",
            ):
                load_policy(tmp_path, small)


def test_reward_scale_is_per_product():
    problem = load_problem(
        "two_warehouses",
        ["products=[{name: a}, {name: b}]", "warehouses.0.price=[10, 1000]", "warehouses.1.price=[10, 1000]"],
    )
    scale = reward_scale(problem, OrderUpTo.of(problem), seed=0)
    assert scale.shape == (2, 1)
    assert scale[1] > 20 * scale[0]


def test_settings_of_an_optimizer_reach_it():
    for name, kind in (
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("rmsprop", torch.optim.RMSprop),
    ):
        optimizer = small_training(optimizer=name, lr=0.0123).algorithm.optim._optim
        assert type(optimizer) is kind
        assert optimizer.defaults["lr"] == 0.0123


def test_training_plays_episodes_one_after_the_other_with_new_luck():
    training = small_training(periods_per_update=30)
    training.algorithm.policy.is_within_training_step = True
    with torch.no_grad():
        first, second = training.collector.gather(30), training.collector.gather(30)
    assert [moment.view.period for moment in first] == list(range(30))
    assert not torch.equal(first[0].trace.demand, second[0].trace.demand)


def test_what_is_kept_is_the_best_or_the_last():
    """With a ruinous learning rate the best is where training began, whose actions are all 0, and the last is
    much worse."""
    problem, ruin = (
        load_problem("two_warehouses"),
        SMALL | {"lr": 1.0, "schedule": "constant", "max_grad_norm": 100.0},
    )
    baseline = OrderUpTo.of(problem)
    best, last = (
        train(problem, TrainSettings(**ruin, keep=keep), baseline=baseline) for keep in ("best", "last")
    )
    assert best.percent_over_baseline == pytest.approx(0, abs=1)
    assert last.percent_over_baseline < -10
    trace = problem.trace("validate", 0, range(8))
    for trained in (best, last):
        ours, theirs = (
            sum(
                moment.costs.reward.sum()
                for moment in play(problem, policy, trace)
                if moment.view.period >= problem.scenario.warm_up
            )
            for policy in (trained.policy, baseline)
        )
        assert float(100 * (ours - theirs) / theirs.abs()) == pytest.approx(
            trained.percent_over_baseline, abs=0.01
        )
