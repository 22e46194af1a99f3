"""What lanes take of requests: least orders, packs and periods of review, for every policy alike."""

from __future__ import annotations

import pytest
import torch

from building import network, play, problem, units
from marl_inv.baselines import BASELINES
from marl_inv.baselines.bounds.optimum import solve
from marl_inv.baselines.newsvendor import newsvendor_levels
from marl_inv.common.errors import InputError
from marl_inv.environment import parallel_env
from marl_inv.episodes.decisions import OrderLevels
from marl_inv.episodes.problem import load_problem
from marl_inv.episodes.rollout import play as play_policy
from marl_inv.episodes.view import View, fact_names, observe
from marl_inv.scenario.export import write_scenario
from marl_inv.scenario.loading import load_scenario
from marl_inv.simulator import Chance, Decision, initial_state, step
from marl_inv.testing.checks import check_scenario

SHOP = """
  products: [{{name: p}}, {{name: q}}]
  suppliers: [{{name: mill}}]
  warehouses: [{{name: shop, initial_stock: 30, holding_cost: 1, shortage_cost: 9}}]
  demand: {{kind: poisson, mean: 20}}
  lanes: [{{origin: mill, destination: shop, lead_time: 2, {lane}}}]
"""


def taken(lane: str, *asked: float) -> list[float]:
    """Of what is asked for, in one period after the other, of the first product."""
    played = play(network(SHOP.format(lane=lane)), [{"mill_to_shop": units} for units in asked])
    return [flows.requests[0, 0, 0].item() for flows in played.flows]


def test_less_than_the_least_is_not_taken():
    assert taken("minimum_order: 100", 99, 100, 250, 0) == [0, 100, 250, 0]
    assert taken("minimum_order: [7, 0]", 6.9, 7) == [0, 7]


def test_requests_are_the_nearest_whole_packs():
    assert taken("pack_size: 25", 12, 13, 62, 63, 100) == [0, 25, 50, 75, 100]
    assert taken("pack_size: [0, 25]", 12.5) == [12.5]


def test_packs_are_counted_before_the_least():
    """95 are four packs, which is enough; 85 are three, which is not."""
    assert taken("minimum_order: 100, pack_size: 25", 95, 85, 110) == [100, 0, 100]


def test_requests_between_reviews_are_not_taken():
    assert taken("review_period: 3", *[5] * 7) == [5, 0, 0, 5, 0, 0, 5]
    assert taken("review_period: 3, first_review: 2", *[5] * 7) == [0, 0, 5, 0, 0, 5, 0]


def test_what_is_taken_is_what_arrives_is_paid_and_is_owed():
    net = network(
        SHOP.format(lane="lead_time: 2, pack_size: 25, procurement_cost: 3").replace("lead_time: 2, ", "", 1)
    )
    played = play(net, [{"mill_to_shop": 60}, {}, {}])
    assert units(played.flows[0].shipments) == [[50], [50]]
    assert units(played.costs[0].procurement) == [[150], [150]]
    assert played.stock() == [[[30], [30]], [[80], [80]], [[80], [80]]]


def test_a_lane_without_conditions_takes_all_beside_one_with_them():
    given = """
      suppliers: [{name: mill}]
      warehouses: [{name: a}]
      lanes:
        - {name: case, origin: mill, destination: a, lead_time: 1, pack_size: 10, review_period: 2, minimum_order: 10}
        - {name: each, origin: mill, destination: a, lead_time: 1}
    """
    played = play(network(given), [{"case": 14, "each": 3}, {"case": 14, "each": 0.5}])
    assert [units(flows.requests) for flows in played.flows] == [[10, 3], [0, 0.5]]


@pytest.mark.parametrize("quantities", ["continuous", "integer"])
def test_gradients_pass_through_packs_and_the_least_and_stop_between_reviews(quantities: str):
    net = network(
        SHOP.format(lane="pack_size: 25, minimum_order: 50, review_period: 2") + f"  quantities: {quantities}"
    )
    asked = torch.full((2, 1, 1), 30.0, dtype=torch.float64, requires_grad=True)
    for period, slope in ((0, 1.0), (1, 0.0)):
        open_now = (net.until_review(period) == 0).unsqueeze(-1)
        chance = Chance(torch.zeros(2, 1, 1).double(), takes_requests=open_now)
        _, flows, _ = step(net, initial_state(net, 1), Decision(asked), chance)
        assert not flows.requests.any()
        assert torch.autograd.grad(flows.requests.sum(), asked)[0].flatten().tolist() == [slope, slope]


ALL = "minimum_order: 100, pack_size: 25, review_period: 7"


def test_every_law_holds_and_the_environment_passes():
    check_scenario(problem(SHOP.format(lane=ALL) + "  horizon: 30").scenario)


def test_agents_see_when_their_source_takes_requests():
    made = problem(SHOP.format(lane="review_period: 4, first_review: 1") + "  ending: finite\n  horizon: 6")
    trace, place = (
        made.trace("train", 0, 2),
        fact_names(made.network, made.scenario).index("periods_to_review"),
    )
    state = made.opening(trace)
    seen = [
        observe(View(made.network, state, trace.known(period, True)))[0, 0, 0, place].item()
        for period in range(6)
    ]
    assert seen == [1, 0, 3, 2, 1, 0]
    assert "periods_to_review" not in fact_names(load_problem("two_warehouses").network, made.scenario)


def test_levels_are_whole_packs_and_no_less_than_the_least():
    net = network(SHOP.format(lane="minimum_order: [0, 30], pack_size: 25"))
    step_of = OrderLevels.of(net, 8).step[:, 0].tolist()
    assert step_of == [25, 50]
    assert net.max_request[:, 0].tolist() == [240, 240]
    assert network(SHOP.format(lane="minimum_order: 500")).max_request[:, 0].tolist() == [500, 500]


def test_ordering_up_to_covers_the_lead_time_and_the_period_of_review():
    """Poisson demand of mean 20 in 2 + 7 periods; its 0.9 quantile."""
    from scipy import stats

    made = problem(SHOP.format(lane="review_period: 7"))
    assert newsvendor_levels(made).flatten().tolist() == [stats.poisson.ppf(0.9, 180)] * 2
    at_once = problem(SHOP.format(lane="review_period: 1"))
    assert newsvendor_levels(at_once).flatten().tolist() == [stats.poisson.ppf(0.9, 60)] * 2


@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"optimal"}))
def test_every_rule_is_held_to_the_conditions(name: str):
    made = problem(SHOP.format(lane=ALL) + "  horizon: 16", dtype=torch.float32)
    try:
        policy = BASELINES[name].of(made)
    except InputError:
        pytest.skip("does not play this scenario")
    for moment in play_policy(made, policy, made.trace("validate", 0, 3), trusted=True):
        requests = moment.flows.requests
        assert ((requests == 0) | (requests >= 100)).all()
        assert not (requests % 25).any()
        assert moment.view.period % 7 == 0 or not requests.any()


def test_they_are_written_and_read_again(tmp_path):
    given = problem(
        SHOP.format(lane="minimum_order: [100, 0], pack_size: 25, review_period: 7, first_review: 2")
    ).scenario
    for way in ("it.yaml", "it.json", "it.graphml", "it"):
        written = write_scenario(given, tmp_path / way if way != "it" else tmp_path / "out" / way)
        assert load_scenario(written[0]).lanes == given.lanes


def test_an_environment_sees_and_plays_them():
    env = parallel_env(problem(SHOP.format(lane="review_period: 4, minimum_order: 50") + "  horizon: 9"))
    env.reset(seed=0)
    while env.agents:
        seen, *_ = env.step({"shop": env.action_space("shop").sample()})
        assert env.observation_space("shop").contains(seen["shop"])


@pytest.mark.parametrize(
    ("lane", "also", "says"),
    [
        ("review_period: 0", "", r"lanes\[0\]\.review_period is 0; give a number, 1 or more"),
        (
            "review_period: 3, first_review: 3",
            "",
            r"first_review is 3, and review_period 3; give a number below that",
        ),
        ("first_review: 1", "", r"first_review is 1, and review_period 1; give a number below that"),
        (
            "pack_size: 2.5",
            "quantities: integer",
            r"pack_size is 2\.5, and quantities are integer; give whole units",
        ),
        ("minimum_order: 9, max_request: 5", "", r"minimum_order is 9, more than the max_request of 5"),
        ("minimum_order: -1", "", r"minimum_order is -1; give a number, 0 or more"),
        ("min_request: 3", "", r"lanes\[0\]\.min_request is not a known key; did you mean minimum_order\?"),
        ("batch_size: 3", "", r"lanes\[0\]\.batch_size is not a known key; did you mean pack_size\?"),
    ],
)
def test_conditions_that_cannot_be_are_told(lane: str, also: str, says: str):
    with pytest.raises(InputError, match=says):
        problem(SHOP.format(lane=lane) + f"  {also}")


def test_the_exact_solver_does_not_know_them():
    one = SHOP.format(lane="review_period: 2").replace("  products: [{name: p}, {name: q}]\n", "")
    with pytest.raises(InputError, match="minimum orders, packs or periods of review"):
        solve(problem(one))


def test_a_reactive_lane_takes_no_requests_and_has_no_conditions():
    given = "warehouses: [{name: a}, {name: b}]\nlanes: [{origin: a, destination: b, reactive: true, pack_size: 3}]"
    with pytest.raises(InputError, match=r"pack_size is given for a reactive lane"):
        problem(given + "\nending: finite")
