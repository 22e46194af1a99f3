"""Who hears whom, in what way, and who learns with whose weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from marl_inv.baselines.following import FollowingOrderUpTo
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem, load_problem
from marl_inv.episodes.rollout import play
from marl_inv.episodes.view import View
from marl_inv.learning.runs import training_settings
from marl_inv.learning.settings import TrainSettings
from marl_inv.models.encoding import Encoding, Vocabulary
from marl_inv.models.heads import Decider
from marl_inv.models.learned import Actor, Critic, LearnedPolicy, encode, load_policy
from marl_inv.models.mixers import Monotone
from marl_inv.models.settings import ModelSettings
from marl_inv.models.sharing import GroupedLinear, groups
from marl_inv.simulator import initial_state
from training import SMALL, small_training


def made(scenario: str = "ring_transshipment", **settings) -> tuple[Actor, torch.Tensor]:
    """An actor, and features of five rows for it."""
    torch.manual_seed(0)
    problem = load_problem(scenario)
    encoding = Encoding.of(problem, OrderUpTo.of(problem))
    features = torch.randn(
        5, len(problem.network.products), len(problem.network.warehouses), encoding.features
    )
    return Actor(encoding, ModelSettings(hidden=16, **settings)), features


def test_a_policy_that_follows_demand_decides_in_multiples_of_it():
    """Twice the demand lately and twice the stock: the same features, and twice the requests."""
    problem = load_problem("two_warehouses", ["history=3"])
    beginning = FollowingOrderUpTo.of(problem)
    encoding = Encoding.of(problem, beginning)
    trace, doubled = (problem.trace("train", 0, 4) for _ in range(2))
    doubled.demand[:] *= 2
    state = initial_state(problem.network, 4, None)
    twice = replace(
        state, inventory_level=2 * state.inventory_level, due=tuple(2 * units for units in state.due)
    )
    once, again = (
        View(problem.network, state, trace.known(0, True)),
        View(problem.network, twice, doubled.known(0, True)),
    )
    assert torch.allclose(encoding(once), encoding(again), atol=1e-5)
    decide = Decider(encoding, None, "order_up_to")
    raw = torch.rand(4, 1, decide.factor.shape[1])
    assert torch.allclose(2 * decide(raw, once).requests, decide(raw, again).requests, rtol=1e-5)
    still = decide(torch.zeros_like(raw), once).requests
    assert torch.allclose(still, beginning.act(once, None)[0].requests, atol=1e-4)


@pytest.mark.parametrize("messages", ["lane", "attention", "mean"])
@pytest.mark.parametrize("scenario", ["ring_transshipment", "storage_bound"])
def test_dense_and_sparse_messages_are_the_same(scenario: str, messages: str):
    actor, features = made(scenario, messages=messages)
    dense = actor(features).mean
    actor.trunk.neighbours.blocks = None
    assert torch.allclose(actor(features).mean, dense, atol=1e-6)


@pytest.mark.parametrize("messages", ["lane", "attention", "mean"])
@pytest.mark.parametrize(
    ("hops", "hearing"),
    [(0, {3}), (1, {2, 3, 4}), (2, {1, 2, 3, 4, 5}), ("global", {0, 1, 2, 3, 4, 5})],
    ids=lambda value: str(value),
)
def test_an_agent_hears_as_far_as_its_hops(hops: int | str, hearing: set[int], messages: str):
    actor, features = made(hops=hops, messages=messages)
    changed = features.clone()
    changed[:, 0, 3] += 1
    moved = (actor.trunk(changed) - actor.trunk(features)).abs().sum((0, 1, 3)) > 1e-6
    assert set(moved.nonzero().flatten().tolist()) == hearing


def test_attention_depends_on_who_speaks_to_whom_and_adds_up_to_one():
    trunk, x = made(messages="attention")[0].trunk, torch.randn(5, 1, 6, 16)
    weight = trunk.heard[0].weight(x, trunk.neighbours)
    told = torch.zeros(5, 1, 6, 4).index_add(2, trunk.neighbours.edges[1], weight)
    assert torch.allclose(told, torch.ones_like(told), atol=1e-6)
    assert float(weight.detach().std(0).max()) > 0.01


RINGS = [
    "{generate: ring, size: 4, warehouse: {shortage_cost: 9, holding_cost: 1, demand: {kind: poisson, mean: "
    "5}}, replenishment: {lead_time: 2}}",
    "{generate: ring, size: 7, warehouse: {shortage_cost: 30, holding_cost: 4, demand: {kind: poisson, "
    "mean: 8}}, replenishment: {lead_time: 4}}",
]


def networks(folder: Path, listed: str) -> Problem:
    text = (
        f"network: {{{listed}, supplier: {{capacity_per_warehouse: 9}}, transfer: {{lead_time: 1, "
        f"transport_cost: 0.5}}}}\n"
    )
    (folder / "it.yaml").write_text(f"history: 2\n{text}")
    return load_problem(folder / "it.yaml")


@pytest.fixture
def apart(tmp_path: Path) -> tuple[Problem, list[tuple[Problem, slice]]]:
    """Two rings in one scenario, and each as one of its own, with the places of its warehouses in the
    first."""
    alone = [networks(tmp_path, ring[1:-1]) for ring in RINGS]
    return networks(tmp_path, f"networks: [{', '.join(RINGS)}]"), list(
        zip(alone, (slice(0, 4), slice(4, 11)), strict=True)
    )


@pytest.mark.parametrize("messages", ["lane", "attention"])
@pytest.mark.parametrize("hops", [2, "global"])
def test_networks_apart_from_each_other_are_seen_and_decided_as_if_alone(
    apart, hops: int | str, messages: str
):
    together, each = apart
    torch.manual_seed(0)
    beginning, settings = OrderUpTo.of(together), ModelSettings(hidden=16, hops=hops, messages=messages)
    encoding = Encoding.of(together, beginning)
    actor, critic, mixer = (
        Actor(encoding, settings),
        Critic(encoding, settings, True),
        Monotone(encoding, settings),
    )
    features, worth = torch.randn(5, 1, 11, encoding.features), torch.randn(5, 1, 11)
    for problem, places in each:
        own = Encoding.of(problem, OrderUpTo.of(problem), encoding.vocabulary)
        assert torch.allclose(own.warehouse, encoding.warehouse[:, places], atol=1e-6)
        names = [f"network_{each.index((problem, places))}.{name}" for name in problem.network.lanes]
        rows = [
            together.network.lanes.index(name.replace("->", f"->{name.partition('.')[0]}.")) for name in names
        ]
        assert torch.allclose(own.lane, encoding.lane[:, rows], atol=1e-6)
        for model, kind in (
            (actor, Actor(own, settings)),
            (critic, Critic(own, settings, True)),
            (mixer, Monotone(own, settings)),
        ):
            kind.load_state_dict(model.state_dict())
            if model is actor:
                assert torch.allclose(
                    kind(features[:, :, places]).mean, actor(features).mean[:, :, rows], atol=1e-5
                )
            elif model is critic:
                assert torch.allclose(kind(features[:, :, places]), critic(features)[:, :, places], atol=1e-5)
            else:
                mixed = kind(worth[:, :, places], features[:, :, places])
                assert torch.allclose(
                    mixed.expand(-1, -1, problem.network.size.shape[1]),
                    mixer(worth, features)[:, :, places],
                    atol=1e-5,
                )


def test_a_mean_is_taken_over_ones_own_component(apart):
    together, _ = apart
    values = torch.arange(11.0)
    assert together.network.mean(values).tolist() == [1.5] * 4 + [7.0] * 7
    assert together.network.mean(values.view(1, 11, 1).expand(2, -1, 3), 1)[1, 10].tolist() == [7.0] * 3
    assert load_problem("ring_transshipment").network.component is None


def test_features_of_another_network_are_put_into_the_words_of_training():
    words = Vocabulary(("inventory_level", "due_in_1", "due_in_2", "demand_1_ago"), False, 3)
    matrix = words.translation(
        ("inventory_level", "due_in_1", "due_in_2", "due_in_3", "due_in_4", "demand_1_ago", "demand_2_ago")
    )
    assert (torch.tensor([1.0, 2, 3, 4, 5, 6, 7]) @ matrix).tolist() == [1, 2, 3 + 4 + 5, 6]
    assert (torch.tensor([1.0, 2]) @ words.translation(("inventory_level", "due_in_1"))).tolist() == [
        1,
        2,
        0,
        0,
    ]
    assert words.translation(words.facts) is None
    with pytest.raises(
        InputError, match="periods_left can be seen here or where it was trained, and not in both"
    ):
        words.translation((*words.facts, "periods_left"))


def test_a_policy_plays_networks_it_was_not_trained_on(apart, tmp_path: Path):
    """Other sizes, lead times, and with a lane or a limit that training had not; and those that it has seen,
    as in training."""
    together, _ = apart
    training = small_training(together, algorithm="pathwise", decisions=20_000, start="newsvendor")
    training.trainer.reset()
    training.trainer.execute_epoch()
    learned = training.learned()
    learned.save(tmp_path, training.settings)
    assert torch.equal(requests(load_policy(tmp_path, together), together), requests(learned, together))
    for other in ("network_50", "ring", "lost_sales", "hub_and_spoke"):
        problem = load_problem(other, ["horizon=20", "warm_up=0", "history=0"])
        asked = requests(load_policy(tmp_path, problem), problem)
        assert asked.isfinite().all()
        assert float(asked.sum()) > 0
    with pytest.raises(
        InputError,
        match=r"policy.safetensors: does not fit seasonal_retail: forecast_0_ahead, .* and not in both",
    ):
        load_policy(tmp_path, load_problem("seasonal_retail"))


def test_a_grouped_layer_is_a_linear_layer_for_each_group():
    layer, x = GroupedLinear(2, 3, torch.tensor([0, 1, 0])), torch.randn(4, 3, 2)
    for place, group in enumerate((0, 1, 0)):
        expected = torch.nn.functional.linear(x[:, place], layer.weight[group], layer.bias[group])
        assert torch.allclose(layer(x)[:, place], expected, atol=1e-6)


def test_roles_tell_a_centre_from_its_shops():
    network = load_problem("hub_and_spoke").network
    grouped = groups(network, "grouped").tolist()
    assert len(set(grouped[1:])) == 1
    assert grouped[0] != grouped[1]
    assert groups(network, "separate").tolist() == list(range(9))
    assert groups(network, "shared") is None


@pytest.mark.parametrize("model", ["graph", "mlp"])
def test_with_separate_parameters_only_ones_own_weights_decide(model: str):
    actor, features = made(model=model, hops=0, parameters="separate")
    lane = actor.head.choices.destination.tolist().index(3)
    actor(features).mean[:, 0, lane].sum().backward()
    own = [weight for weight in actor.parameters() if weight.grad is not None and len(weight.shape) == 3]
    assert own
    for weight in own:
        touched = weight.grad.abs().sum((1, 2)) > 0
        places = (
            {3}
            if len(weight) == 6
            else set((actor.head.choices.destination == 3).nonzero().flatten().tolist())
        )
        assert set(touched.nonzero().flatten().tolist()) <= places


def requests(policy, problem) -> torch.Tensor:
    return torch.stack(
        [moment.decision.requests for moment in play(problem, policy, problem.trace("evaluate", 0, 4))]
    )


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_a_memory_is_what_a_warehouse_saw_before_in_its_episode(memory, tmp_path):
    """Two pasts and the same present decide differently if there is a memory, which is empty when an episode
    begins and which a file keeps."""
    problem = load_problem("ring_transshipment")
    settings = TrainSettings(**SMALL | {"algorithm": "pathwise", "memory": memory})
    torch.manual_seed(0)
    encoding = encode(problem, OrderUpTo.of(problem), settings)
    actor = Actor(encoding, settings)
    past = torch.randn(2, 1, len(problem.network.warehouses), encoding.features)
    present = torch.randn(1, *past.shape[1:]).expand_as(past)

    def decided(before):
        return actor(present, actor.remember(present, before)).mode

    afterwards, afresh = decided(actor.remember(past, None)), decided(None)
    assert torch.equal(afterwards[0], afterwards[1]) == (memory == "none")
    assert torch.equal(afresh[0], afresh[1])
    policy = LearnedPolicy("pathwise", actor, encoding, None)
    policy.save(tmp_path, settings)
    assert torch.equal(requests(load_policy(tmp_path, problem), problem), requests(policy, problem))


def test_a_memory_is_refused_where_nobody_trains_it():
    with pytest.raises(
        InputError,
        match="memory is gru and algorithm vdn, which learns from periods out of order; use algorithm=mappo",
    ):
        training_settings(["memory=gru"], algorithm="vdn")
