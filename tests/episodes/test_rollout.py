"""What a policy may ask for is checked where it enters: shapes, and quantities that a simulator can play."""

import pytest
import torch

from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import load_problem
from marl_inv.episodes.rollout import play
from marl_inv.simulator import Decision

REQUESTS = torch.ones(1, 4, 2)


class Always:
    name, knows = "always", "nothing"

    def __init__(self, decision):
        self.decision = decision

    def start(self, network, replications):
        return None

    def act(self, view, memory):
        return self.decision, memory


def first_moment(decision):
    problem = load_problem("two_warehouses")
    return next(play(problem, Always(decision), problem.trace("evaluate", 0, 2)))


def with_entry(value):
    requests = REQUESTS.clone()
    requests[0, 2, 1] = value
    return Decision(requests)


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (with_entry(-1), "request for product at warehouse_0->warehouse_1 is -1.0; give a number, 0 or more"),
        (
            with_entry(float("nan")),
            "request for product at warehouse_0->warehouse_1 is nan; give a number, 0 or more",
        ),
        (
            with_entry(float("inf")),
            "request for product at warehouse_0->warehouse_1 is inf; give a number, 0 or more",
        ),
        (Decision(torch.ones(1, 4, 3)), "requests are (1, 4, 3); give (1, 4, 2): products, lanes, batch"),
        (
            Decision(REQUESTS, torch.full((1, 2, 2), 6.0)),
            "promotion for product at warehouse_0 is 6.0; give a number, 0 to 5",
        ),
    ],
)
def test_a_decision_that_cannot_be_played_is_refused(decision, message):
    with pytest.raises(InputError) as refusal:
        first_moment(decision)
    assert str(refusal.value) == message


def test_a_moment_shows_what_was_decided_and_where_it_led():
    moment = first_moment(Decision(REQUESTS))
    assert moment.flows.requests.sum() == 8
    assert torch.equal(moment.following_view.state.inventory_level, moment.state.inventory_level)
    assert (moment.view.period, moment.following_view.period) == (0, 1)
