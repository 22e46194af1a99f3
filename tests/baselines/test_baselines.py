"""Classical policies do what their names say, on every scenario; textbook levels; tuning finds what is known
to be best."""

import pytest
import torch
from scipy import stats

from marl_inv.baselines import BASELINES, JustInTime, Myopic, OrderUpTo, PromotionCalendar
from marl_inv.baselines.bounds.perfect_information import perfect_information, single
from marl_inv.baselines.following import FollowingOrderUpTo
from marl_inv.baselines.newsvendor import newsvendor_levels
from marl_inv.baselines.tuning import mean_reward, reward_by_replication, tune
from marl_inv.common.documents import Document
from marl_inv.common.errors import InputError
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.rollout import play
from marl_inv.episodes.view import View
from marl_inv.evaluation.evaluate import evaluate
from marl_inv.evaluation.metrics import score
from marl_inv.policies import policy_named, tuned
from marl_inv.scenario import read_scenario
from marl_inv.simulator import initial_state
from scenarios_under_test import SCENARIOS, problem_under_test


def one_shop(demand, lead_time=0, unmet="backordered", holding=1.0, shortage=9.0, horizon=120, **also):
    shop = {"name": "shop", "holding_cost": holding, "shortage_cost": shortage, "unmet_demand": unmet}
    lanes = [{"origin": "supplier", "destination": "shop", "lead_time": lead_time}]
    data = {
        "demand": demand,
        "horizon": horizon,
        "warm_up": 20,
        "suppliers": [{"name": "supplier"}],
        "warehouses": [shop],
        "lanes": lanes,
    }
    return Problem.of(read_scenario(Document("one_shop", data | also)))


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_baseline_plays_every_scenario(name, scenario):
    problem = problem_under_test(scenario)
    policy = BASELINES[name].of(problem)
    assert isinstance(policy, Policy)
    record = score(
        play(problem, policy, problem.trace("evaluate", 0, range(2 - problem.demand.from_file), horizon=12))
    )
    assert record.sums["reward"].isfinite().all()
    assert ((record.fill_rate >= 0) & (record.fill_rate <= 1 + 1e-6)).all()


def test_newsvendor_level_of_normal_demand_is_the_textbook_one():
    """Snyder and Shen, example 4.3: N(50, 8), h 0.18, p 0.70: 56.60."""
    problem = one_shop(
        {"kind": "normal", "mean": 50, "sd": 8, "cut_at_zero": False}, holding=0.18, shortage=0.7
    )
    assert newsvendor_levels(problem).item() == pytest.approx(56.604, abs=1e-3)


def test_newsvendor_levels_cover_lead_time_and_review():
    for lead_time in (0, 1, 4):
        problem = one_shop({"kind": "poisson", "mean": 5}, lead_time)
        assert newsvendor_levels(problem).item() == stats.poisson.ppf(0.9, 5 * (lead_time + 1))


def test_a_centre_covers_the_demand_of_those_it_feeds():
    problem = problem_under_test("hub_and_spoke")
    shops = sum(problem.network.mean_demand[0, 1:].tolist())
    assert newsvendor_levels(problem)[0, 0] > shops * 4  # lead time 3, and the period of review


def test_order_up_to_raises_the_position_to_the_level_and_never_transfers():
    problem = problem_under_test("ring_transshipment")
    policy = OrderUpTo.of(problem)
    for moment in play(problem, policy, problem.trace("evaluate", 0, 3, horizon=8)):
        requests = moment.flows.requests
        assert torch.equal(
            requests[:, :6], (policy.levels.unsqueeze(-1) - moment.view.inventory_position).clamp(min=0)
        )
        assert not requests[:, 6:].any()


def test_tuning_finds_the_optimum_of_one_location():
    """Backlog, Poisson 5, lead time 2, h 1, p 9: the best level is 20, whose cost is 7.12 (newsvendor on 3
    periods' demand)."""
    problem = one_shop({"kind": "poisson", "mean": 5}, lead_time=2)
    tuned = tune(problem, OrderUpTo.of(problem), effort=0.3)
    best = min(
        evaluate(problem, [OrderUpTo(torch.tensor([[level]])) for level in (18.0, 19.0, 20.0, 21.0, 22.0)]),
        key=lambda s: -s.reward.mean,
    )
    assert -evaluate(problem, [tuned])[0].reward.mean < -best.reward.mean * 1.01


def test_episodes_that_begin_in_the_steady_state_are_tuned_and_bounded_from_there():
    """At lead time 3 two shipments are on their way at the start; without their share of them, members of a
    population would differ."""
    demand = {"kind": "poisson", "mean": 4}
    shop = one_shop(demand, lead_time=3, horizon=30, initial_state="steady", ending="finite")
    found = tune(shop, OrderUpTo.of(shop), seed=0)
    trace = shop.trace("evaluate", 0, 64)
    earned = reward_by_replication(shop, found, trace)
    bounds = [plan.reward for plan in perfect_information(shop, trace)]
    assert earned.mean() >= reward_by_replication(shop, OrderUpTo.of(shop), trace).mean() - 0.1
    for replication in (0, 63):
        alone = reward_by_replication(shop, found, single(trace, replication))
        assert alone.item() == pytest.approx(earned[replication].item(), abs=1e-4)
        assert bounds[replication] >= alone.item() - 1e-4


def test_tuning_promotes_where_it_pays_and_not_where_it_does_not():
    for cost, expected in ((0.0, 3.0), (1000.0, 0.0)):
        shop = {
            "name": "shop",
            "holding_cost": 1,
            "price": 10,
            "initial_stock": 30,
            "promotion": {"max_level": 3, "uplift": 0.2, "cost": cost},
        }
        lanes = [{"origin": "supplier", "destination": "shop", "lead_time": 1, "procurement_cost": 2}]
        data = {"objective": "profit", "horizon": 30, "demand": {"kind": "poisson", "mean": 10}}
        problem = Problem.of(
            read_scenario(
                Document(
                    "shop", data | {"suppliers": [{"name": "supplier"}], "warehouses": [shop], "lanes": lanes}
                )
            )
        )
        promotion = tune(problem, OrderUpTo.of(problem), effort=0.3).promotion
        assert (0.0 if promotion is None else promotion.item()) == pytest.approx(expected, abs=0.05)


SHOPS = {
    "demand": {"kind": "poisson", "mean": 5},
    "horizon": 40,
    "warm_up": 10,
    "suppliers": [{"name": "mill", "capacity": 16}],
    "warehouses": [
        {"name": name, "holding_cost": 1, "shortage_cost": 9, "initial_stock": 15} for name in "abc"
    ],
    "lanes": [{"origin": "mill", "destination": name, "lead_time": 4} for name in "abc"]
    + [
        {"origin": a, "destination": b, "lead_time": 1, "transport_cost": 0.2}
        for a in "abc"
        for b in "abc"
        if a != b
    ],
}


def test_balancing_pays_where_neighbours_are_quicker_than_the_mill():
    """Three shops that share a tight mill four periods away and are one period from each other."""
    problem = Problem.of(read_scenario(Document("shops", SHOPS)))
    alone, balanced = (
        tune(problem, BASELINES[name].of(problem), method="evolution", effort=0.3)
        for name in ("order_up_to", "threshold_balancing")
    )
    before, after = evaluate(problem, [alone, balanced], replications=256)
    gain = after.gain_in_percent_over(before)
    assert gain.low > 1


def test_evolution_and_gradient_find_the_same_levels():
    problem = Problem.of(read_scenario(Document("shops", SHOPS)))
    found = [
        tune(problem, OrderUpTo.of(problem), method=method, effort=0.25)
        for method in ("gradient", "evolution")
    ]
    left, right = evaluate(problem, found, replications=256)
    assert abs(left.gain_in_percent_over(right).mean) < 0.5


def test_whole_quantities_end_in_whole_levels_that_no_neighbour_beats():
    """Backlog, Poisson 5, lead time 2, h 1, p 9: the best level is 20 (newsvendor on 3 periods' demand)."""
    problem = one_shop({"kind": "poisson", "mean": 5}, lead_time=2, quantities="integer")
    assert tune(problem, OrderUpTo.of(problem)).levels.item() == 20


def test_tuning_is_remembered(monkeypatch, tmp_path):
    monkeypatch.setenv("MARL_INV_CACHE", str(tmp_path))
    problem = one_shop({"kind": "poisson", "mean": 5}, lead_time=2)
    first = tuned(problem, OrderUpTo.of(problem), effort=0.05)
    monkeypatch.setattr("marl_inv.policies.tune", None)
    again = tuned(problem, OrderUpTo.of(problem), effort=0.05)
    assert torch.equal(first.levels, again.levels)
    assert again.name == "tuned order-up-to"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(TypeError):
        tuned(problem, OrderUpTo.of(problem), seed=1, effort=0.05)


def test_an_own_policy_is_played_by_module_and_class():
    problem = one_shop({"kind": "poisson", "mean": 5})
    assert policy_named("marl_inv.baselines.random_requests:RandomRequests", problem).name == "random"
    with pytest.raises(InputError, match="cannot be imported"):
        policy_named("no_such_module:Policy", problem)


def test_levels_follow_demand():
    """Two periods are remembered, and two covered: with 12 units asked for lately, where 8 are usual, three
    halves of 16 are held."""
    problem = one_shop({"kind": "known", "values": [8] * 40}, lead_time=1, horizon=2, warm_up=0, history=2)
    trace, policy = problem.trace("evaluate", 0, range(3)), FollowingOrderUpTo.of(problem)
    trace.demand[:2, 0, 0] = torch.tensor([[12.0, 4.0, 0.0], [12.0, 4.0, 0.0]])
    view = View(problem.network, initial_state(problem.network, 3, None), trace.known(0))
    assert policy.act(view, None)[0].requests[0, 0].tolist() == pytest.approx(
        [24, 8, 1.6]
    )  # never less than a tenth of the usual


def test_just_in_time_never_holds_stock_and_never_lacks_it():
    """A centre two periods from its supplier feeds a shop a period away, which begins with what it sells
    until the first order has come."""
    demand = [3, 0, 5, 2, 7, 0, 0, 4, 6, 1, 2, 8]
    centre = {"name": "centre", "faces_demand": False, "holding_cost": 0.5}
    shop = {"name": "shop", "holding_cost": 1, "shortage_cost": 9, "initial_stock": sum(demand[:3])}
    lanes = [
        {"origin": "mill", "destination": "centre", "lead_time": 2},
        {"origin": "centre", "destination": "shop", "lead_time": 1},
    ]
    data = {"demand": {"kind": "known", "values": demand}, "horizon": 12, "suppliers": [{"name": "mill"}]}
    problem = Problem.of(
        read_scenario(Document("chain", data | {"warehouses": [centre, shop], "lanes": lanes}))
    )
    moments = list(play(problem, JustInTime.of(problem), problem.trace("evaluate", 0, range(1))))
    requests = torch.stack([moment.decision.requests[0, :, 0] for moment in moments])
    assert requests[:, 0].tolist() == [*demand[3:], 0, 0, 0]
    assert requests[:, 1].tolist() == [0, 0, *demand[3:], 0]
    assert [float(moment.costs.holding.sum()) for moment in moments] == [5, 5, *[0] * 10]
    assert all(float(moment.flows.unmet.sum()) == 0 for moment in moments)


@pytest.mark.parametrize("mean", [0, 5])
@pytest.mark.parametrize("lead_time", [0, 2])
@pytest.mark.parametrize(
    "name", [name for name, policy in BASELINES.items() if hasattr(policy, "parameters")]
)
def test_one_warehouse_is_tuned_at_lead_time_0_and_without_demand(name, lead_time, mean):
    """And is no worse than untuned on the traces that chose: the second 256 of the tuning stream."""
    problem = one_shop({"kind": "poisson", "mean": mean}, lead_time, unmet="lost", horizon=30)
    untuned = BASELINES[name].of(problem)
    found = tune(problem, untuned, effort=0.05)
    assert all(parameter.value.isfinite().all() for parameter in found.parameters(problem).values())
    choosing = problem.trace("tune", 0, range(256, 512))
    assert mean_reward(problem, found, choosing) >= mean_reward(problem, untuned, choosing)


def test_myopic_counts_what_will_really_be_left():
    """4 units are wanted every period. Lead time 2, 6 on hand, 1 due next period: 6 - 4 + 1 = 3 meet the next
    demand, 1 unit of it is lost, none is left, and 4 are missing when the order arrives. If demand waited,
    the lost unit would be owed too: 5."""
    for unmet, missing in (("lost", 4.0), ("backordered", 5.0)):
        problem = one_shop({"kind": "known", "values": [4]}, lead_time=2, unmet=unmet)
        trace = problem.trace("evaluate", 0, 3)
        state = initial_state(problem.network, 3)
        state.inventory_level.fill_(6)
        state.due[0].fill_(1)
        decision, _ = Myopic.of(problem).act(View(problem.network, state, trace.known(0)), None)
        assert decision.requests.flatten().tolist() == [missing] * 3


def test_myopic_costs_what_the_literature_certifies():
    """Zipkin (2008), Poisson demand of mean 5, lost sales at 4, lead time 1: 4.111; as against 4.1628 of the
    best order-up-to level, 12."""
    problem = one_shop({"kind": "poisson", "mean": 5}, lead_time=1, unmet="lost", shortage=4.0, horizon=200)
    trace = problem.trace("validate", 0, 1000)
    myopic, up_to = (
        -reward_by_replication(problem, policy, trace)
        for policy in (Myopic.of(problem, paths=2048), OrderUpTo(torch.tensor([[12.0]])))
    )
    assert (myopic - up_to).mean().item() + 4.1628 == pytest.approx(4.1113, rel=5e-3)


def test_a_calendar_lets_demand_come_back_after_a_promotion():
    """A promotion doubles demand of 6 and takes 30% of it from the next period, 15% from the one after, ...
    One in four periods gains more than it costs; promoting always, which tuning of a constant level can only
    choose or leave, does not."""
    promotion = {"max_level": 1, "uplift": 1.0, "cost": 1, "dip": 0.3, "recovery": 0.5}
    shop = {"name": "shop", "price": 10, "holding_cost": 0.1, "initial_stock": 40, "promotion": promotion}
    lanes = [{"origin": "supplier", "destination": "shop", "lead_time": 0, "procurement_cost": 2}]
    data = {
        "objective": "profit",
        "horizon": 60,
        "demand": {"kind": "known", "values": [6]},
        "suppliers": [{"name": "supplier"}],
    }
    problem = Problem.of(read_scenario(Document("shop", data | {"warehouses": [shop], "lanes": lanes})))
    trace, up_to = problem.trace("evaluate", 0, 2), OrderUpTo(torch.tensor([[12.0]]))
    one = torch.ones(1, 1)

    def earned(level, cycle):
        return float(mean_reward(problem, PromotionCalendar(up_to, level * one, cycle * one, one), trace))

    assert earned(1, 4) > earned(0, 4) > earned(1, 1)
    assert earned(1, 1) == pytest.approx(float(mean_reward(problem, OrderUpTo(up_to.levels, one), trace)))
    found = tune(problem, PromotionCalendar.of(problem), effort=0.3)
    assert float(mean_reward(problem, found, trace)) > earned(1, 4) - 0.01
