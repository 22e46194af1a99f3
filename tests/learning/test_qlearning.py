"""Deep Q-learning of order levels: what is remembered, what is learned from it, and what is played."""

import pytest
import torch
from torch import nn

from building import problem
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.common.errors import InputError
from marl_inv.episodes.decisions import OrderLevels
from marl_inv.episodes.problem import load_problem
from marl_inv.episodes.view import View
from marl_inv.learning.buffer import TensorReplay
from marl_inv.learning.runs import training_settings
from marl_inv.learning.settings import TrainSettings
from marl_inv.models.distributions import PerAgentValues
from marl_inv.models.encoding import POSITION
from marl_inv.models.learned import Actor, encode
from marl_inv.models.mixers import Independent, Mean, Monotone
from marl_inv.simulator import initial_state
from training import SMALL, small_training

INF = torch.inf


def worth_of_two_lanes_and_one(exploring: float, rows: int = 1) -> PerAgentValues:
    """Warehouse 0 chooses on two lanes, warehouse 1 on one, where the highest level is closed."""
    values = torch.tensor([[1.0, 4.0, 2.0], [8.0, 0.0, -1.0], [3.0, 5.0, -INF]])
    return PerAgentValues(values.expand(rows, 1, 3, 3), torch.tensor(exploring), torch.tensor([0, 0, 1]), 2)


def test_the_best_levels_are_played_and_a_warehouse_is_worth_the_sum_over_its_lanes():
    distribution = worth_of_two_lanes_and_one(exploring=0.0)
    assert distribution.mode.tolist() == [[[1, 0, 1]]]
    assert torch.equal(distribution.draw(torch.Generator()), distribution.mode)
    assert distribution.worth(torch.tensor([[[2.0, 1.0, 0.0]]])).tolist() == [[[2.0, 3.0]]]


def test_exploration_is_even_over_what_is_open_and_as_likely_as_it_says():
    distribution = worth_of_two_lanes_and_one(exploring=0.5, rows=40_000)
    drawn = distribution.draw(torch.Generator().manual_seed(0))
    shares = torch.stack([(drawn == level).float().mean((0, 1)) for level in range(3)], 1)
    expected = torch.tensor([[1 / 6, 2 / 3, 1 / 6], [2 / 3, 1 / 6, 1 / 6], [0.25, 0.75, 0.0]])
    assert torch.allclose(shares, expected, atol=0.012)
    assert shares[2, 2] == 0
    said = distribution.log_prob(torch.tensor([2.0, 1.0, 1.0]).expand(40_000, 1, 3)).exp()
    assert torch.allclose(said[0], torch.tensor([[1 / 36, 0.75]]))


def remembered(ends: dict[int, bool], periods: int, slots: int, n_step: int = 2) -> TensorReplay:
    """Periods that are observed as, do and earn their number, in two replications; `ends` says after which an
    episode ends, and if for good."""
    replay = TensorReplay(slots, 2, torch.Generator().manual_seed(0), n_step, discount=0.5)
    for period in range(periods):
        number = torch.full((2, 1, 1), float(period))
        replay.add_period(
            obs=number.unsqueeze(-1),
            act=number,
            rew=number,
            terminated=torch.full((2,), ends.get(period, False)),
        )
        if period in ends:
            replay.end_here(torch.full((2, 1, 1, 1), 100.0 + period), over=True)
    if periods - 1 not in ends:
        replay.end_here(torch.full((2, 1, 1, 1), float(periods)), over=False)
    return replay


def learned_from(replay: TensorReplay) -> dict[float, tuple[float, float, float]]:
    """Of every period that is remembered: what is earned ahead, what is observed then, and what that counts
    for."""
    batch, _ = replay.sample(400)
    columns = (batch.obs.flatten(), batch.rew.flatten(), batch.after.flatten(), batch.factor)
    return {period: rest for period, *rest in zip(*(column.tolist() for column in columns), strict=True)}


def test_two_periods_ahead_are_counted_unless_an_episode_ends_before():
    found = learned_from(remembered({2: False, 4: True}, periods=7, slots=20))
    assert found == {
        0: [0 + 1 / 2, 2, 1 / 4],
        1: [1 + 2 / 2, 102, 1 / 4],
        2: [2, 102, 1 / 2],
        3: [3 + 4 / 2, 104, 0],
        4: [4, 104, 0],
        5: [5 + 6 / 2, 7, 1 / 4],
        6: [6, 7, 1 / 2],
    }


def test_what_is_old_is_overwritten_and_never_mixed_with_what_is_new():
    found = learned_from(remembered({3: False, 7: False}, periods=10, slots=6))
    assert found == {
        6: [6 + 7 / 2, 107, 1 / 4],
        7: [7, 107, 1 / 2],
        8: [8 + 9 / 2, 10, 1 / 4],
        9: [9, 10, 1 / 2],
    }


def test_a_collection_goes_on_where_the_last_one_ended():
    replay = remembered({}, periods=3, slots=8)
    replay.begin()
    number = torch.full((2, 1, 1), 3.0)
    replay.add_period(
        obs=number.unsqueeze(-1), act=number, rew=number, terminated=torch.zeros(2, dtype=torch.bool)
    )
    replay.end_here(torch.full((2, 1, 1, 1), 4.0), over=False)
    found = learned_from(replay)
    assert found[2] == [2 + 3 / 2, 4, 1 / 4]
    assert len(replay) == 8


def test_a_sample_covers_time_evenly_and_comes_from_the_seed():
    samples = [remembered({}, periods=50, slots=60).sample(100)[0].obs.flatten() for _ in range(2)]
    assert torch.equal(*samples)
    assert samples[0].long().bincount().tolist() == [2] * 50


class LevelsFromObservation(nn.Module):
    """Values of two levels at each of two warehouses, as observed (rows, 1, 2, 2), times a factor."""

    gru = None

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, observation: torch.Tensor) -> PerAgentValues:
        return PerAgentValues(self.factor * observation, torch.tensor(0.0), torch.arange(2), 2)


@pytest.mark.parametrize(
    ("mixer", "double", "expected"),
    [
        (Independent, False, [1 + 0.5 * -6, 3 + 0.5 * -2]),
        (Independent, True, [1 + 0.5 * -14, 3 + 0.5 * -10]),
        (Mean, False, [2 + 0.5 * -4]),
        (Mean, True, [2 + 0.5 * -12]),
    ],
)
def test_targets_are_exact(mixer, double, expected):
    """After two periods 3 and 7 are seen of warehouse 0 and 5 and 1 of warehouse 1, which counts 1/2. What is
    believed now has 7 and 5 the best; what was believed before is -2 times as much, so that there 3 and 1 are
    the best, at -6 and -2."""
    training = small_training(algorithm="iql")
    algorithm = training.algorithm
    algorithm.policy.actor, algorithm.model_old = LevelsFromObservation(1.0), LevelsFromObservation(-2.0)
    algorithm.policy.mixer = algorithm.mixer_old = mixer(training.policy.encoding, training.settings)
    algorithm.is_double, algorithm.reward_mix = double, 0.0
    replay = TensorReplay(4, 1, torch.Generator(), n_step=1, discount=0.5)
    replay.add_period(
        obs=torch.zeros(1, 1, 2, 2),
        act=torch.zeros(1, 1, 2),
        rew=torch.tensor([[[1.0, 3.0]]]),
        terminated=torch.tensor([False]),
    )
    replay.end_here(torch.tensor([[[[3.0, 7.0], [5.0, 1.0]]]]), over=True)
    batch, indices = replay.sample(1)
    assert algorithm._preprocess_batch(batch, replay, indices).returns.flatten().tolist() == expected


def test_a_mixing_network_never_falls_and_knows_no_order_of_warehouses():
    made = load_problem("ring_transshipment")
    settings = TrainSettings(algorithm="qmix")
    encoding = encode(made, OrderUpTo.of(made), settings)
    mixer, warehouses = Monotone(encoding, settings), len(made.network.warehouses)
    worth, observation = (
        torch.randn(64, 1, warehouses, requires_grad=True),
        torch.randn(64, 1, warehouses, encoding.features),
    )
    total = mixer(worth, observation)
    assert total.shape == (64, 1, 1)
    total.sum().backward()
    assert (worth.grad >= 0).all()
    assert (worth.grad > 0).any(0).all()
    order = torch.randperm(warehouses)
    mixer.fixed = mixer.fixed[:, order]
    assert torch.allclose(mixer(worth[..., order], observation[:, :, order]), total, atol=1e-5)


TWO_BAKERIES = """
horizon: 10
quantities: integer
demand: {kind: poisson, mean: 4}
suppliers: [{name: mill}]
warehouses: [{name: north, initial_stock: 3}, {name: south, initial_stock: 9}]
lanes:
  - {origin: mill, destination: north, lead_time: 1}
  - {origin: mill, destination: south, lead_time: 1}
  - {origin: north, destination: south, lead_time: 1}
"""


def test_values_begin_at_what_the_starting_policy_asks_for():
    """Levels of 8 and 10 with 3 and 9 in stock: 5 and 1, and no transfer."""
    made = problem(TWO_BAKERIES, torch.float32)
    start = OrderUpTo(torch.tensor([[8.0, 10.0]]))
    settings = TrainSettings(**SMALL | {"algorithm": "iql"})
    encoding = encode(made, start, settings)
    view = View(made.network, initial_state(made.network, 1), made.trace("train", 0, 1).known(0))
    observation = encoding(view)
    assert observation[0, 0, :, POSITION].abs().max() < 5
    torch.manual_seed(0)
    chosen = Actor(encoding, settings)(observation).mode
    assert OrderLevels.of(made.network, settings.levels).decision(
        chosen.permute(1, 2, 0)
    ).requests.flatten().tolist() == [5, 1, 0]


def test_closed_levels_are_worth_nothing_and_dueling_takes_no_mean_of_them():
    made = load_problem("supplier_outage", ["events.0.probability=0.5"])
    settings = TrainSettings(**SMALL | {"algorithm": "iql", "levels": 8})
    encoding = encode(made, OrderUpTo.of(made), settings)
    trace = made.trace("train", 0, 6)
    view = View(made.network, initial_state(made.network, 6), trace.known(10))
    mask = OrderLevels.of(made.network, 8).mask(trace.available[10]).permute(3, 0, 1, 2)
    assert not mask.all()
    torch.manual_seed(0)
    actor = Actor(encoding, settings)
    values = actor(encoding(view)).values
    assert torch.equal(values.isfinite(), mask)
    nn.init.zeros_(actor.head.level.weight)
    nn.init.zeros_(actor.head.level.bias)
    assert torch.allclose(
        actor(encoding(view)).values.masked_fill(~mask, 0).sum(-1), torch.zeros(()), atol=1e-4
    )


def test_less_and_less_is_left_to_chance():
    """Shared among a network's four lanes and two promotions."""
    training = small_training(algorithm="iql", exploring=0.1)
    head, algorithm = training.policy.actor.head, training.algorithm
    algorithm.exploring_for = 4
    seen = []
    for algorithm._iter in (0, 2, 4, 9):
        algorithm._explore()
        seen.append(6 * float(head.exploring))
    assert seen == pytest.approx([0.3, 0.2, 0.1, 0.1])


@pytest.mark.parametrize(("algorithm", "head"), [("iql", "levels"), ("mappo", "values")])
def test_only_q_learning_has_the_values_head(algorithm, head):
    with pytest.raises(InputError, match=f"head is {head} and algorithm {algorithm}"):
        training_settings([f"head={head}"], algorithm=algorithm)
