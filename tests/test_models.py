"""Who hears whom, in what way, and who learns with whose weights."""

from dataclasses import replace

import pytest
import torch
from marl_inv.baselines.following import FollowingOrderUpTo
from marl_inv.baselines.order_up_to import OrderUpTo

from marl_inv.experiment import training_settings
from marl_inv.interface import View
from marl_inv.learning.settings import TrainSettings
from marl_inv.models.encoding import Encoding
from marl_inv.models.heads import Decider
from marl_inv.models.learned import Actor, LearnedPolicy, encode, load_policy
from marl_inv.models.settings import ModelSettings
from marl_inv.models.sharing import GroupedLinear, groups
from marl_inv.problem import load_problem
from marl_inv.reading import InputError
from marl_inv.rollout import play
from marl_inv.simulator import initial_state
from training import SMALL


def made(scenario: str = "ring_transshipment", **settings) -> tuple[Actor, torch.Tensor]:
    """An actor, and features of five rows for it."""
    torch.manual_seed(0)
    problem = load_problem(scenario)
    encoding = Encoding.of(problem, OrderUpTo.of(problem))
    features = torch.randn(5, len(problem.network.products), len(problem.network.warehouses), encoding.features)
    return Actor(encoding, ModelSettings(hidden=16, **settings)), features


def test_a_policy_that_follows_demand_decides_in_multiples_of_it():
    """Twice the demand lately and twice the stock: the same features, and twice the requests."""
    problem = load_problem("two_warehouses", ["history=3"])
    beginning = FollowingOrderUpTo.of(problem)
    encoding = Encoding.of(problem, beginning)
    trace, doubled = (problem.trace("train", 0, 4) for _ in range(2))
    doubled.demand[:] *= 2
    state = initial_state(problem.network, 4, None)
    twice = replace(state, inventory_level=2 * state.inventory_level, pipeline=2 * state.pipeline)
    once, again = View(problem.network, state, trace, 0, True), View(problem.network, twice, doubled, 0, True)
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
    actor.trunk.neighbours.dense = False
    assert torch.allclose(actor(features).mean, dense, atol=1e-6)


@pytest.mark.parametrize("messages", ["lane", "attention", "mean"])
@pytest.mark.parametrize(
    ("hops", "hearing"), [(0, {3}), (1, {2, 3, 4}), (2, {1, 2, 3, 4, 5}), ("global", {0, 1, 2, 3, 4, 5})], ids=lambda value: str(value)
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
        places = {3} if len(weight) == 6 else set((actor.head.choices.destination == 3).nonzero().flatten().tolist())
        assert set(touched.nonzero().flatten().tolist()) <= places


def requests(policy, problem) -> torch.Tensor:
    return torch.stack([moment.decision.requests for moment in play(problem, policy, problem.trace("evaluate", 0, 4))])


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_a_memory_is_what_a_warehouse_saw_before_in_its_episode(memory, tmp_path):
    """Two pasts and the same present decide differently if there is a memory, which is empty when an episode begins and which a file keeps."""
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
    with pytest.raises(InputError, match="only pathwise trains a memory"):
        training_settings(["memory=gru"], algorithm="mappo")
