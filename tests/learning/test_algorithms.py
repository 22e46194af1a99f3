"""Every algorithm's targets are exact, per product and warehouse; its update waits for the device once; and
it learns.

Numbers are of two products at three warehouses, and powers of two away from whole numbers, so that results
are exact.
"""

import pytest
import torch
from torch import nn

from building import problem
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.episodes.problem import load_problem
from marl_inv.episodes.view import View
from marl_inv.evaluation.evaluate import evaluate
from marl_inv.learning.algorithms.ppo import ValueUnits, advantages
from marl_inv.learning.algorithms.reinforce import above_the_others, returns_to_go
from marl_inv.learning.buffer import TensorBuffer
from marl_inv.learning.footprint import Saved
from marl_inv.learning.foresight import Foresight
from marl_inv.learning.parts import minibatches
from marl_inv.learning.settings import TrainSettings
from marl_inv.learning.train import ALGORITHMS, prepare, train
from marl_inv.models.encoding import Encoding
from marl_inv.simulator import initial_state
from training import SMALL, Waits, counts_of_steps, small_training


class ValueIsTheObservation(nn.Module):
    """A critic that reads the value of every product and warehouse off the observation: (rows, K, N, 1) ->
    (rows, K, N)."""

    def forward(self, observation):
        return observation.squeeze(-1)


def reading_values(units=None):
    """PPO with discount 1/2 and lambda 1/2, and the critic's values given."""
    algorithm = small_training().algorithm
    algorithm.critic, algorithm.units = ValueIsTheObservation(), units
    algorithm.gamma, algorithm.gae_lambda, algorithm.reward_mix = 0.5, 0.5, 0.0
    return algorithm


def targets_of_an_episode(terminated: bool, units=None, foreseen=False):
    """Two periods, one replication. The critic sees the values, in units of theirs, where it looks: with the
    actor, or by itself."""
    algorithm = reading_values(units)
    rewards = torch.tensor([[[[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]], [[[4.0, 5.0, 6.0], [40.0, 50.0, 60.0]]]])
    values = torch.tensor([[[[2.0, 4.0, 6.0], [8.0, 16.0, 24.0]]], [[[4.0, 8.0, 12.0], [16.0, 32.0, 48.0]]]])
    after = torch.tensor([[[16.0, 32.0, 48.0], [64.0, 80.0, 96.0]]])
    seen, seen_after = (values, after) if units is None else (units.of(values), units.of(after))
    buffer = TensorBuffer(periods=2, replications=1)
    for period in range(2):
        last, sees = torch.tensor([period == 1]), seen[period].unsqueeze(-1)
        buffer.add_period(
            **({"obs": torch.full_like(sees, 1000), "critic_obs": sees} if foreseen else {"obs": sees}),
            rew=rewards[period],
            terminated=last & terminated,
            truncated=last & (not terminated),
            done=last,
        )
    buffer.end_here(seen_after.unsqueeze(-1))
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
    algorithm = reading_values()
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
    assert algorithm._add_returns_and_advantages(batch, buffer, indices).returns.flatten().tolist() == [
        5.0,
        1004.0,
    ]


@pytest.mark.parametrize("terminated", [True, False])
def test_targets_do_not_depend_on_where_a_critic_looks_or_on_the_units_it_speaks_in(terminated):
    plain = targets_of_an_episode(terminated)
    units = ValueUnits(2, 3)
    units.mean.fill_(4.0)
    units.square.fill_(4.0**2 + 2.0**2)
    for other in (targets_of_an_episode(terminated, foreseen=True), targets_of_an_episode(terminated, units)):
        assert torch.equal(other.adv, plain.adv)
        assert torch.equal(other.returns, plain.returns)


def test_value_units_are_the_moments_of_returns_the_latest_counting_most():
    units = ValueUnits(1, 2)
    assert units.value(torch.tensor([[[3.0, 5.0]]])).tolist() == [[[3.0, 5.0]]]
    units.learn(torch.tensor([[[1.0, 10.0]], [[5.0, 30.0]]]))
    assert units.mean.tolist() == [[3.0, 20.0]]
    assert units.sd.flatten().tolist() == pytest.approx([2.0, 10.0])
    units.learn(torch.tensor([[[6.0, 20.0]]]))
    assert units.mean.flatten().tolist() == pytest.approx([(0.9 * 3 + 6) / 1.9, 20.0])
    assert units.sd[0, 1].item() == pytest.approx((0.9 * 100 / 1.9) ** 0.5)
    returns = torch.tensor([[[7.0, -4.0]]])
    assert torch.allclose(units.value(units.of(returns)), returns)


def test_a_critic_that_speaks_in_units_is_taught_in_them_and_a_checkpoint_keeps_them():
    training = small_training()
    algorithm, batch, buffer = training.algorithm, played(training), training.collector.buffer
    returns = algorithm._preprocess_batch(batch, buffer, buffer.sample_indices(0)).returns
    assert torch.allclose(returns.mean(0), torch.zeros(1, 2), atol=1e-5)
    assert torch.allclose(returns.square().mean(0), torch.ones(1, 2), atol=1e-4)
    assert {"units.mean", "units.square", "units.weight"} <= algorithm.state_dict().keys()


def played(training):
    """A rollout, as the algorithm gets it."""
    training.algorithm.policy.is_within_training_step = True
    with torch.no_grad():
        training.collector.gather(training.collector.buffer.periods)
    return training.collector.buffer.sample(0)[0]


@pytest.mark.parametrize("settings", [{}, {"memory": "gru"}, {"memory": "gru", "algorithm": "reinforce"}])
def test_ratios_are_one_before_the_first_step(settings):
    """Every row is in one of the parts that gradient steps are made from, where a memory is what it was when
    the row was played."""
    training = small_training(**settings)
    policy, buffer, batch = training.algorithm.policy, training.collector.buffer, played(training)
    seen = []
    for rows, episodes in minibatches(
        policy, len(buffer), buffer.replications, 3, torch.Generator().manual_seed(0)
    ):
        ratio = (
            policy.distribution(batch.obs[rows], episodes).log_prob(batch.act[rows]) - batch.logp[rows]
        ).exp()
        assert torch.allclose(ratio, torch.ones_like(ratio), atol=1e-4)
        seen.append(rows)
    assert len(seen) == 3
    assert torch.equal(torch.cat(seen).sort().values, torch.arange(len(buffer)))


def test_a_memory_learns_from_all_of_an_episode():
    """What is observed first moves the odds of what is chosen last."""
    training = small_training(memory="gru")
    policy, buffer, batch = training.algorithm.policy, training.collector.buffer, played(training)
    assert buffer.periods == training.collector.problem.scenario.horizon
    seen = batch.obs.clone().requires_grad_()
    odds = policy.distribution(seen, buffer.replications).log_prob(batch.act)
    odds[-1].sum().backward()
    first = seen.grad[: buffer.replications].abs().sum((1, 2, 3)) > 0
    assert first.tolist() == [False] * (buffer.replications - 1) + [True]


def test_tianshous_own_ppo_gives_the_same_advantages_for_one_warehouse_and_product():
    """Its GAE is the reference: one agent's column of ours, row by row."""
    from tianshou.algorithm.algorithm_base import _gae

    generator = torch.Generator().manual_seed(0)
    reward, value, following = (
        torch.randn(40, 1, 2, 3, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    done = torch.rand(40, 1, generator=generator) < 0.1
    terminated = done & (torch.rand(40, 1, generator=generator) < 0.5)
    ours = advantages(reward, value, following, terminated, done, 0.97, 0.9)
    for product in range(2):
        for warehouse in range(3):
            column = (Ellipsis, product, warehouse)
            v_s_ = (following[column] * ~terminated).flatten().numpy()
            theirs = _gae(
                value[column].flatten().numpy(),
                v_s_,
                reward[column].flatten().numpy(),
                done.flatten().numpy(),
                0.97,
                0.9,
            )
            assert torch.allclose(ours[column].flatten(), torch.from_numpy(theirs), atol=1e-12)


def with_other_demand(training, factor):
    """A rollout of a few periods whose demand is `factor` times what it would have been, and as forecast by
    nobody."""
    trace = training.problem.trace("train", 0, training.collector.replications)
    trace.demand[trace.history :] *= factor
    training.collector._trace = lambda batch: trace
    return played(training)


@pytest.mark.parametrize("model", ["graph", "mlp"])
def test_a_privileged_critic_knows_the_coming_demand_and_the_actor_does_not(model):
    usual, doubled = (
        small_training("ring_transshipment", model=model, critic="privileged") for _ in range(2)
    )
    rows = usual.collector.replications
    batches = [with_other_demand(training, factor)[:rows] for training, factor in ((usual, 1), (doubled, 2))]
    assert torch.equal(batches[0].obs, batches[1].obs)
    assert torch.equal(batches[0].act, batches[1].act)
    ours = batches[0].obs.shape[-1]
    assert torch.equal(batches[0].critic_obs[..., :ours], batches[0].obs)
    assert torch.equal(batches[1].critic_obs[..., :ours], batches[0].obs)
    values = [
        training.algorithm._values(batch.critic_obs)
        for training, batch in zip((usual, doubled), batches, strict=True)
    ]
    assert (values[0] != values[1]).float().mean() > 0.9
    assert usual.learned().encoding.features == ours


def test_foresight_is_the_demand_until_an_order_arrives_and_then_the_mean():
    shops = problem(
        """
        horizon: 4
        suppliers: [{name: mill}]
        warehouses: [{name: shop, demand: {kind: known, values: [4, 8, 12, 0]}}]
        lanes: [{origin: mill, destination: shop, lead_time: 1}]
        """
    )
    foresight, trace = Foresight.beyond(Encoding.of(shops, OrderUpTo.of(shops))), shops.trace("train", 0, 2)
    assert shops.network.mean_demand.tolist() == [[6.0]]
    views = [View(shops.network, initial_state(shops.network, 2), trace.known(period)) for period in range(5)]
    coming = [foresight.foresee(view, trace)[1, 0, 0, -2:].mul(6).add(6).tolist() for view in views]
    assert coming == [pytest.approx(pair) for pair in ([4, 8], [8, 12], [12, 0], [0, 6], [6, 6])]


def weighed(terminated: bool, done: bool):
    """Advantages of reinforce on two periods and two replications, discount 1/2."""
    algorithm = small_training(algorithm="reinforce").algorithm
    algorithm.gamma, algorithm.reward_mix = 0.5, 0.0
    first = [[[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]], [[1.0, 0.0, 0.0], [0.0, 0.0, 10.0]]]
    second = [[[4.0, 6.0, 8.0], [40.0, 60.0, 80.0]], [[2.0, 2.0, 2.0], [20.0, 20.0, 20.0]]]
    buffer = TensorBuffer(periods=2, replications=2)
    for period, reward in enumerate((first, second)):
        last = torch.full((2,), period == 1)
        ended = {
            "terminated": last & terminated,
            "truncated": last & (done and not terminated),
            "done": last & done,
        }
        buffer.add_period(rew=torch.tensor(reward), act=torch.zeros(2, 3, 1), **ended)
    batch, indices = buffer.sample(0)
    return buffer.by_period(algorithm._preprocess_batch(batch, buffer, indices).adv)


def test_reinforce_compares_what_is_earned_from_now_on_with_the_other_replications():
    advantage = weighed(terminated=True, done=True)
    # Returns of period 1 are its rewards; of period 0 [[3, 5, 7], [30, 50, 70]] and [[2, 1, 1], [10, 10,
    # 20]].
    assert advantage[1, 0].tolist() == [[2.0, 4.0, 6.0], [20.0, 40.0, 60.0]]
    assert advantage[0, 0].tolist() == [[1.0, 4.0, 6.0], [20.0, 40.0, 50.0]]
    assert torch.equal(advantage[:, 1], -advantage[:, 0])


@pytest.mark.parametrize("done", [True, False])
def test_reinforce_weighs_a_period_by_how_much_of_its_future_it_saw(done):
    """Truncated, or cut off by the end of the rollout: 1 - 1/4 of the future of period 0 was seen, and half
    of that of period 1."""
    advantage, whole = weighed(terminated=False, done=done), weighed(terminated=True, done=True)
    assert torch.equal(advantage[0], 0.75 * whole[0])
    assert torch.equal(advantage[1], 0.5 * whole[1])


def test_a_replication_is_no_part_of_its_own_baseline():
    returns = torch.tensor([1.0, 2.0, 6.0]).reshape(1, 3, 1, 1)
    assert above_the_others(returns).flatten().tolist() == pytest.approx([1 - 4, 2 - 3.5, 6 - 1.5])
    more = returns + torch.tensor([10.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    assert (above_the_others(more) - above_the_others(returns)).flatten().tolist() == pytest.approx(
        [10, -5, -5]
    )


def test_returns_do_not_reach_into_the_next_episode():
    reward, done = (
        torch.tensor([1.0, 2.0, 4.0, 8.0]).reshape(4, 1, 1, 1),
        torch.tensor([False, True, False, True]).reshape(4, 1),
    )
    returns, seen = returns_to_go(reward, done & torch.tensor([[True]] * 2 + [[False]] * 2), done, 0.5)
    assert returns.flatten().tolist() == [2.0, 2.0, 8.0, 8.0]
    assert seen.flatten().tolist() == [1.0, 1.0, 0.75, 0.5]


def test_reinforce_plays_whole_episodes_of_at_least_two_replications():
    training = small_training("ring_transshipment", algorithm="reinforce", decisions_per_update=700)
    batch, buffer = played(training), training.collector.buffer
    assert (buffer.periods, buffer.replications) == (100, 2)
    assert buffer.by_period(batch.truncated).all(1).tolist() == [False] * 99 + [True]
    assert not batch.terminated.any()


THREE_BAKERIES = """
horizon: 2
products: [{name: bread}, {name: cake}]
demand: {kind: known, values: [3]}
suppliers: [{name: mill}]
warehouses:
  - {name: north, initial_stock: 5, holding_cost: 1, shortage_cost: 4}
  - {name: south, initial_stock: 5, holding_cost: 2, shortage_cost: 4}
  - {name: east, initial_stock: 5, holding_cost: 3, shortage_cost: 4}
lanes:
  - {origin: mill, destination: north, lead_time: 1, procurement_cost: [1, 2]}
  - {origin: mill, destination: south, lead_time: 1, procurement_cost: [1, 2]}
  - {origin: mill, destination: east, lead_time: 1, procurement_cost: [1, 2]}
"""


@pytest.mark.parametrize(
    ("ending", "factor", "earned"),
    [
        ("finite", 1, (-49 - 45) / 2),
        ("continuing", 1, (-49 - 45 + 43) / 2),
        ("continuing", 0.5, (-49 - 45 / 2 + 43 / 4) / 1.5),
    ],
)
def test_pathwise_learns_from_what_an_episode_earns_and_leaves(ending, factor, earned):
    """Up to 8 is ordered of all but bread in the east, of which up to 6: so 3 units arrive every period but 1
    there in the first.

    Procurement and holding cost 5, 7, 1 + 6 of bread and 8, 10, 12 of cake in the first period, 3 + 0 of
    bread in the east in the second. Then there are 5, 5 and 3 loaves and 15 cakes, worth 13 + 30, which
    counts if life goes on.
    """
    given = problem(THREE_BAKERIES + f"ending: {ending}\ndiscount_factor: {factor}", torch.float32)
    start = OrderUpTo(torch.tensor([[8.0, 8.0, 6.0], [8.0, 8.0, 8.0]]))
    training = prepare(given, TrainSettings(**(SMALL | {"algorithm": "pathwise"})), start)
    nn.init.zeros_(training.policy.actor.head.choices.amount.weight)
    assert training.algorithm.earned(given.trace("train", 0, 2)).tolist() == pytest.approx([earned, earned])


def test_pathwise_learns_the_transfers_that_a_starving_warehouse_needs():
    """North gets too much and south nothing from the mill: only north's lane can feed south, and at first
    nothing is asked of it."""
    problem = load_problem("two_warehouses", ["horizon=15", "lanes.1.capacity=0.5"])
    settings = TrainSettings(
        algorithm="pathwise",
        decisions=150_000,
        decisions_per_update=3_000,
        hidden=16,
        validations=4,
        model="mlp",
        lr=3e-2,
    )
    start = OrderUpTo.of(problem)
    before, after = evaluate(
        problem, [start, train(problem, settings, baseline=start).policy], replications=128
    )
    assert float(before.record.transferred.mean()) == 0
    assert float(after.record.transferred.mean()) > 1
    assert after.gain_in_percent_over(before).low > 5


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_the_pathwise_gradient_is_that_of_what_an_episode_earns(memory):
    """Along a random direction in weights, to the precision of finite differences; and stock left at the end
    is worth what it cost."""
    problem = load_problem("one_warehouse_many_shops", ["horizon=12", "warm_up=2"], dtype=torch.float64)
    torch.manual_seed(0)
    training = prepare(
        problem, TrainSettings(**(SMALL | {"algorithm": "pathwise", "memory": memory})), OrderUpTo.of(problem)
    )
    training.policy.actor.double()
    trace, weights = problem.trace("train", 0, 40), list(training.policy.actor.parameters())
    direction = [torch.randn_like(weight) for weight in weights]
    training.algorithm.earned(trace).mean().backward()
    slope = sum(
        float((weight.grad * along).sum())
        for weight, along in zip(weights, direction, strict=True)
        if weight.grad is not None
    )

    def moved(step: float) -> float:
        with torch.no_grad():
            for weight, along in zip(weights, direction, strict=True):
                weight += step * along
            return float(training.algorithm.earned(trace).mean())

    above = moved(1e-6)
    below = moved(-2e-6)
    assert slope == pytest.approx((above - below) / 2e-6, rel=1e-3)


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_periods_that_are_played_again_have_the_same_gradient_and_remember_less(memory):
    problem = load_problem("one_warehouse_many_shops", ["horizon=12", "warm_up=2"])
    training = prepare(
        problem, TrainSettings(**(SMALL | {"algorithm": "pathwise", "memory": memory})), OrderUpTo.of(problem)
    )
    trace, found = problem.trace("train", 0, 4), {}
    for recompute in (False, True):
        training.algorithm.recompute = recompute
        training.policy.actor.zero_grad()
        with Saved() as saved:
            training.algorithm.earned(trace).mean().backward()
        found[recompute] = (
            saved.bytes,
            [weight.grad.clone() for weight in training.policy.actor.parameters() if weight.grad is not None],
        )
    assert all(torch.equal(*pair) for pair in zip(found[False][1], found[True][1], strict=True))
    assert found[True][0] < found[False][0] / 10


OFTEN = ("mappo", "reinforce", "pathwise", "iql")
"""One of each family; all learn in `pytest -m slow`."""


@pytest.mark.parametrize(
    ("algorithm", "memory"),
    [
        *(pytest.param(name, "none", marks=[] if name in OFTEN else pytest.mark.slow) for name in ALGORITHMS),
        *(pytest.param(name, "gru", marks=pytest.mark.slow) for name in ("mappo", "reinforce")),
    ],
)
def test_every_algorithm_learns_to_raise_a_level_that_is_far_too_low(algorithm, memory):
    problem = load_problem("lost_sales", ["horizon=40", "warm_up=10"])
    low = OrderUpTo(OrderUpTo.of(problem).levels * 0.6)
    settings = TrainSettings(
        algorithm=algorithm,
        memory=memory,
        decisions=120_000,
        decisions_per_update=4_000,
        hidden=16,
        lr=1e-2,
        validations=4,
        model="mlp",
    )
    before, after = evaluate(problem, [low, train(problem, settings, baseline=low).policy], replications=128)
    assert after.gain_in_percent_over(before).low > 15


@pytest.mark.parametrize(
    ("settings", "reads"),
    [
        ({"algorithm": "mappo", "value_normalisation": False}, ["cpu", "numpy"]),
        ({"algorithm": "mappo", "critic": "privileged"}, ["cpu", "numpy"]),
        ({"algorithm": "reinforce"}, ["cpu", "numpy"]),
        ({"algorithm": "pathwise", "decisions_per_update": 400}, ["_local_scalar_dense"]),
    ],
)
@pytest.mark.parametrize("scenario", ["two_warehouses", "ring_transshipment"])
def test_an_update_waits_for_the_device_once_to_read_its_losses(scenario, settings, reads):
    training = small_training(scenario, **settings)
    algorithm, buffer = (
        training.algorithm,
        training.trainer.params.buffer if training.collector is None else training.collector.buffer,
    )
    arguments = (400,) if training.collector is None else (None, 2)
    algorithm.policy.is_within_training_step = True
    if training.collector is not None:
        played(training)
    algorithm.update(buffer, *arguments)
    with Waits(counts_of_steps(algorithm)) as waits:
        algorithm.update(buffer, *arguments)
    assert waits.seen == reads


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [("linear", [1, 0.75, 0.5, 0.25, 0]), ("cosine", [1, 0.8536, 0.5, 0.1464, 0]), ("constant", [1] * 5)],
)
def test_the_learning_rate_follows_its_schedule(schedule, shares):
    training = small_training(schedule=schedule, lr=0.25)
    rates = []
    for _ in range(4):
        rates += [training.algorithm.optim._optim.param_groups[0]["lr"]]
        played(training)
        training.algorithm.update(training.collector.buffer, None, 1)
    rates += [training.algorithm.optim._optim.param_groups[0]["lr"]]
    assert rates == pytest.approx([0.25 * share for share in shares], abs=1e-4)


@pytest.mark.parametrize(("patience", "validated"), [(0, 8), (1, 2), (2, 3), (3, 7)])
def test_training_stops_when_validations_do_not_get_better_for_long(monkeypatch, patience, validated):
    """Scores of the start and then of eight validations, whose best are the first and the fourth."""
    scores = [5.0, 6.0, 6.0, 5.0, 7.0, 6.0, 7.0, 6.0, 6.5]
    waiting, seen = iter(scores), []
    monkeypatch.setattr(
        "marl_inv.learning.train._score", lambda stats: seen.append(next(waiting)) or seen[-1]
    )
    start = load_problem("two_warehouses")
    settings = TrainSettings(
        **(SMALL | {"decisions_per_update": 1_000, "validations": 8, "patience": patience})
    )
    train(start, settings, baseline=OrderUpTo.of(start))
    assert len(seen) == 1 + validated
