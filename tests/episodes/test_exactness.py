"""Units are not lost in rounding, and laws raise no false alarm."""

import torch

from marl_inv.baselines import BASELINES
from marl_inv.common.documents import Document
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.rollout import play
from marl_inv.scenario.loading import read_scenario
from marl_inv.testing.laws import check_laws


def shop(**fields):
    data = {
        "horizon": 5,
        "suppliers": [{"name": "mill"}],
        "warehouses": [{"name": "shop"}],
        "lanes": [{"origin": "mill", "destination": "shop", "lead_time": 2}],
        "demand": {"kind": "poisson", "mean": 5},
    }
    return read_scenario(Document("shop", data | fields))


def test_precision_follows_the_size_of_quantities():
    assert Problem.of(shop()).network.size.dtype == torch.float32
    many = shop(demand={"kind": "poisson", "mean": 10**8}, quantities="integer")
    assert Problem.of(many).network.size.dtype == torch.float64
    assert Problem.of(many, dtype=torch.float32).network.size.dtype == torch.float32


def test_every_unit_of_a_hundred_million_is_accounted_for():
    problem = Problem.of(shop(demand={"kind": "poisson", "mean": 10**8}, quantities="integer"))
    for moment in play(problem, BASELINES["order_up_to"].of(problem), problem.trace("evaluate", 0, 4)):
        before, after, flows = moment.view.state, moment.state, moment.flows
        there = before.on_hand.sum(1) + before.in_transit.sum(1) + flows.shipments.sum(1)
        here = after.on_hand.sum(1) + after.in_transit.sum(1) + flows.served.sum(1)
        assert torch.equal(there, here)
        assert torch.equal(flows.demand, flows.demand.round())


def test_overflow_that_some_keep_is_no_alarm():
    kept = [{"name": "shop", "storage": 20, "overflow": "kept"}, {"name": "kiosk", "storage": 20}]
    lanes = [{"origin": "mill", "destination": name, "lead_time": 2} for name in ("shop", "kiosk")]
    check_laws(Problem.of(shop(warehouses=kept, lanes=lanes)))
