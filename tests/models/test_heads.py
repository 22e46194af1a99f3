"""What raw actions mean under each head, order levels with their masks, and that every head learns, repeats
itself and plays what was saved."""

from __future__ import annotations

import math

import pytest
import torch

from building import problem
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.episodes.decisions import OrderLevels
from marl_inv.episodes.problem import Problem, load_problem
from marl_inv.episodes.view import View
from marl_inv.evaluation.evaluate import evaluate
from marl_inv.learning.settings import TrainSettings
from marl_inv.learning.train import prepare, train
from marl_inv.models.distributions import PerAgentLevels
from marl_inv.models.heads import Decider
from marl_inv.models.learned import encode, load_policy
from marl_inv.simulator import initial_state

SMALL = {
    "decisions": 8_000,
    "decisions_per_update": 2_000,
    "validations": 2,
    "validation_replications": 8,
    "hidden": 16,
    "periods_per_update": 10,
}

TWO_SHOPS = """
name: two_shops
history: 0
objective: profit
suppliers: [{name: far}]
warehouses:
  - {name: shop_0, initial_stock: 10, price: 5, demand: {kind: poisson, mean: 4}, promotion: {max_level: 2, uplift: 0.5, cost: 3}}
  - {name: shop_1, initial_stock: 6, price: 5, demand: {kind: poisson, mean: 9}, max_reserve: 12}
lanes:
  - {origin: far, destination: shop_0, lead_time: 2, max_request: 30}
  - {origin: far, destination: shop_1, lead_time: 2, max_request: 30}
  - {origin: shop_1, destination: shop_0, lead_time: 1, max_request: 8}
"""


def first_view(made: Problem, replications: int = 1) -> View:
    return View(
        made.network, initial_state(made.network, replications), made.trace("train", 0, replications).known(0)
    )


def decided(made: Problem, raw: list[float], **settings) -> dict[str, list[float]]:
    """What raw actions ask for: the requests, then promotions and reserves."""
    encoding = encode(made, OrderUpTo.of(made), TrainSettings(**settings))
    decision = Decider(encoding, None, settings["head"])(
        torch.tensor([[raw]]).to(made.network.size), first_view(made)
    )
    return {kind: getattr(decision, kind)[0, :, 0].tolist() for kind in ("requests", "promotion", "reserve")}


def test_levels_are_steps_of_what_passes_a_warehouse():
    """4 + 3 x 2 and 9 + 3 x 3 in 4 steps, and 8 where a lane takes no more; promotions to 2 and reserves to
    12."""
    asked = decided(problem(TWO_SHOPS), [4, 3, 2, 1, 0, 0, 3], head="levels", levels=5)
    assert asked == {"requests": [10, 13.5, 4], "promotion": [0.5, 0], "reserve": [0, 9]}


def test_the_quantity_head_begins_at_what_passes_a_warehouse_and_without_transfers():
    made = problem(TWO_SHOPS)
    assert decided(made, [0.0] * 7, head="quantity") == {
        "requests": [4, 9, 0],
        "promotion": [0, 0],
        "reserve": [0, 0],
    }
    sd_of_three_periods = 2 * 3**0.5
    asked = decided(made, [1.0, -9.0, 1.0, 0.5, 9.0, 0.5, 0.5], head="quantity")
    assert asked["requests"] == pytest.approx([4 + sd_of_three_periods, 0, 0.8 * 4])
    assert asked["promotion"] == [1, 0]
    assert asked["reserve"] == [0, 6]


def test_log_probabilities_of_the_lanes_of_a_warehouse_add_up():
    """Levels of probability 1/2, 1/4, 1/4 on two lanes into one warehouse, and 1, 0, 0 on one into the
    other."""
    logits = torch.tensor([[[[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]]]).log()
    levels = PerAgentLevels(logits, owner=torch.tensor([1, 1, 0]), warehouses=2)
    assert levels.log_prob(torch.tensor([[[0.0, 2.0, 0.0]]]))[0, 0].exp().tolist() == pytest.approx(
        [1, 1 / 8]
    )
    assert levels.log_prob(torch.tensor([[[0.0, 2.0, 1.0]]]))[0, 0, 0] < -20
    assert levels.entropy()[0, 0].tolist() == pytest.approx([0, 2 * 1.5 * math.log(2)], abs=1e-6)
    assert levels.mode[0, 0].tolist() == [0, 0, 0]
    assert levels.mean[0, 0].tolist() == [0.75, 0.75, 0]


def test_levels_are_drawn_as_often_as_they_are_likely_and_masked_ones_never():
    logits = torch.tensor([0.5, 0.3, 0.2, 0.0]).log().expand(1000, 1, 100, 4)
    drawn = PerAgentLevels(logits, torch.zeros(100, dtype=torch.long), 1).draw(
        torch.Generator().manual_seed(0)
    )
    often = [float((drawn == level).float().mean()) for level in range(4)]
    assert often == pytest.approx([0.5, 0.3, 0.2, 0], abs=3 * (0.25 / 100_000) ** 0.5)
    assert often[3] == 0


def test_the_likeliest_level_has_the_gradient_of_the_mean_level():
    """The mean of levels 0 and 1 at logits (a, 0) is 1/(1 + e^a), whose slope at 0 is -1/4."""
    logits = torch.zeros(1, 1, 1, 2, requires_grad=True)
    mode = PerAgentLevels(logits + torch.tensor([0.0, 1e-6]), torch.tensor([0]), 1).mode
    mode.sum().backward()
    assert float(mode.detach()) == 1
    assert logits.grad.flatten().tolist() == pytest.approx([-0.25, 0.25], abs=1e-4)


OUTAGE = {**SMALL, "head": "levels", "levels": 8, "periods_per_update": 20}


def test_what_is_masked_is_neither_drawn_nor_played_and_ratios_know_it():
    """Where the supplier overseas is closed, half of the lanes leave only level 0; there is exploration
    everywhere else."""
    made = load_problem("supplier_outage", ["events.0.probability=0.3", "horizon=20", "warm_up=5"])
    training = prepare(made, TrainSettings(**OUTAGE, model="mlp"), OrderUpTo.of(made))
    policy, collector = training.policy, training.collector
    policy.is_within_training_step = True
    with torch.no_grad():
        played = collector.gather(20)
        batch = collector.buffer.sample(0)[0]
        distribution = policy.distribution(batch.obs)
        ratio = (distribution.log_prob(batch.act) - batch.logp).exp()
        likeliest = collector.buffer.by_period(distribution.mode)
    levels, acts, closed = OrderLevels.of(made.network, 8), collector.buffer.by_period(batch.act), 0
    for period, moment in enumerate(played):
        mask = levels.mask(moment.view.known.available)
        for chosen in (acts[period], likeliest[period]):
            assert mask.permute(3, 0, 1, 2).gather(-1, chosen.long().unsqueeze(-1)).all()
        shut = mask.sum(2) == 1
        closed += int(shut.sum())
        assert not moment.decision.requests[shut].any()
    assert closed > 100
    assert torch.allclose(ratio, torch.ones_like(ratio), atol=1e-4)
    assert len(batch.act.unique()) > 4


def test_masks_come_back_from_what_is_observed():
    made = load_problem("supplier_outage", ["events.0.probability=0.5"])
    levels, available = OrderLevels.of(made.network, 8), made.trace("train", 0, 6).available[10]
    facts = levels.as_facts(available)
    assert facts.shape == (6, 1, 4, 4)  # two suppliers and two neighbours
    assert torch.equal(levels.from_facts(facts).permute(1, 2, 0), levels.highest(available))
    encoding = encode(made, OrderUpTo.of(made), TrainSettings(**OUTAGE))
    assert encoding(first_view(made)).shape[-1] == encoding.features + 4


@pytest.mark.parametrize("algorithm", ["mappo", "pathwise"])
@pytest.mark.parametrize("head", ["quantity", "levels"])
def test_same_seed_same_run_bit_for_bit_and_what_is_saved_plays_the_same(head, algorithm, tmp_path):
    made = load_problem("two_warehouses", ["horizon=30", "warm_up=5"])
    settings = TrainSettings(
        **SMALL | {"decisions": 4_000, "model": "mlp"}, head=head, levels=6, algorithm=algorithm
    )

    def trained():
        return train(made, settings, baseline=OrderUpTo.of(made)).policy

    first, again = trained(), trained()
    weights = [
        torch.cat([weight.flatten() for weight in policy.actor.state_dict().values()])
        for policy in (first, again)
    ]
    assert torch.equal(*weights)
    first.save(tmp_path, settings)
    scores = evaluate(made, [first, load_policy(tmp_path, made)], replications=8)
    assert torch.equal(scores[0].samples, scores[1].samples)


AT_A_LOSS = """
name: at_a_loss
horizon: 10
objective: profit
quantities: integer
demand: {kind: poisson, mean: 6}
suppliers: [{name: bakery}]
warehouses: [{name: shop, price: 5, holding_cost: 1}]
lanes: [{origin: bakery, destination: shop, lead_time: 0, procurement_cost: 7, max_request: 12}]
"""


@pytest.mark.parametrize("algorithm", ["mappo", "pathwise"])
@pytest.mark.parametrize("head", ["quantity", "levels"])
def test_every_head_learns_not_to_buy_what_sells_at_a_loss(head, algorithm):
    """At first about 6 a period are bought and lose 2 each; who asks for nothing loses nothing."""
    made = problem(AT_A_LOSS, torch.float32)
    start = OrderUpTo.of(made)
    size = {"decisions": 30_000, "decisions_per_update": 1_000, "validations": 3, "hidden": 16, "sigma": 1.0}
    settings = TrainSettings(**size, head=head, algorithm=algorithm, model="mlp", lr=0.02)
    beginning = prepare(made, settings, start).learned()
    before, after = evaluate(made, [beginning, train(made, settings, baseline=start).policy], replications=64)
    assert float(before.samples.mean()) < -8
    assert float(after.samples.mean()) > -0.5
