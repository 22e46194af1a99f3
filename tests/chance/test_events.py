"""What happens besides demand: regimes, surges, outages, delays, random lead times and planned promotions, on
paper and in the long run."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
import torch

from building import problem
from marl_inv.chance.events import chain
from marl_inv.chance.trace import Trace
from marl_inv.scenario.demand import Regimes

ONE = {"kind": "known", "values": [1]}


def trace(replications: int = 1, horizon: int = 8, history: int = 0, **scenario: Any) -> Trace:
    """Two warehouses where demand is 1, so that what is seen of it is the factor."""
    warehouses = [{"name": "a"}, {"name": "b"}]
    given = {"warehouses": warehouses, "demand": ONE, "history": history, "horizon": horizon, **scenario}
    return problem(given).trace("train", 4, replications)


def factors(*events: dict[str, Any], **more: Any) -> list[Any]:
    """What warehouse `a` sells in every period of one episode."""
    return trace(events=list(events), **more).demand[:, 0, 0, 0].tolist()


# Events at set times


def test_a_surge_multiplies_demand_while_it_lasts():
    assert factors({"kind": "surge", "at": [1, 5], "duration": 2, "factor": 3}) == [1, 3, 3, 1, 1, 3, 3, 1]


def test_events_begin_with_the_episode_and_leave_the_past_as_it_was():
    assert factors({"kind": "surge", "at": [0], "duration": 2, "factor": 3}, history=3, horizon=3) == [
        1,
        1,
        1,
        3,
        3,
        1,
    ]


def test_surges_that_overlap_are_multiplied():
    wave, storm = (
        {"kind": "surge", "at": [1], "duration": 3, "factor": 2},
        {"kind": "surge", "at": [3], "duration": 2, "factor": 0.5},
    )
    assert factors(wave, storm) == [1, 2, 2, 1, 0.5, 1, 1, 1]


def test_one_that_begins_again_while_it_lasts_lasts_on():
    """From 1 for three periods, begun again in 2: until 4."""
    assert factors({"kind": "surge", "at": [1, 2], "duration": 3, "factor": 2}) == [1, 2, 2, 2, 2, 1, 1, 1]


def test_a_surge_meets_its_targets_only():
    local = {"kind": "surge", "at": [1], "factor": 4, "targets": ["b"]}
    assert trace(events=[local], horizon=3).demand[:, 0, :, 0].tolist() == [[1, 1], [1, 4], [1, 1]]


LANES = {
    "suppliers": [{"name": "mill"}],
    "lanes": [
        {"origin": "a", "destination": "b", "lead_time": 1},
        {"origin": "mill", "destination": "b", "lead_time": 5},
        {"origin": "b", "destination": "a", "reactive": True},
        {"origin": "mill", "destination": "a", "lead_time": 3},
    ],
}


def test_of_outages_that_overlap_the_worst_counts():
    """Mill, then the lane: as the events name them; the last row is what nothing interrupts."""
    strike = {"kind": "outage", "at": [1], "duration": 3, "factor": 0.5, "targets": ["mill", "a->b"]}
    fire = {"kind": "outage", "at": [2], "targets": ["mill"]}
    slowdown = {"kind": "outage", "at": [0], "duration": 3, "factor": 0.8, "targets": ["mill"]}
    drawn = trace(events=[strike, fire, slowdown], horizon=4, **LANES)
    assert drawn.available[..., 0].T.tolist() == [
        [0.8, 0.5, 0, 0.5, 1],
        [1, 0.5, 0.5, 0.5, 1],
        [1, 1, 1, 1, 1],
    ]
    assert drawn.at(2).available[:, 0].tolist() == [0, 0.5, 1]


def test_delays_add_to_the_lead_times_of_lanes_in_the_networks_order():
    """Mill to b, mill to a, then a to b; the reactive lane has no lead time."""
    everywhere = {"kind": "delay", "at": [1], "duration": 2, "periods": 2}
    transfer = {"kind": "delay", "at": [2], "periods": 1, "targets": ["a->b"]}
    drawn = trace(events=[everywhere, transfer], horizon=4, **LANES)
    assert drawn.lead_time[..., 0].tolist() == [[5, 3, 1], [7, 5, 3], [7, 5, 4], [5, 3, 1]]
    assert drawn.lead_time.dtype == torch.long
    network = problem({"warehouses": [{"name": "a"}, {"name": "b"}], **LANES}).network
    assert network.lanes == ("mill->b", "mill->a", "a->b")


def test_what_a_scenario_does_not_have_is_absent():
    drawn = trace(**LANES)
    assert (drawn.lead_time, drawn.available, drawn.promotion, drawn.forecast, drawn.start) == (None,) * 5
    assert trace(events=[{"kind": "delay", "at": [1], "periods": 2}]).lead_time is None


# Random events


def test_a_random_event_begins_as_often_as_it_says_and_lasts_as_long():
    """It begins with probability 0.2 in a period in which it is not under way, and lasts 2 to 4 periods, each
    as likely.

    So it is under way 3 periods of every 3 + 0.8 / 0.2 = 7.
    """
    surge = {"kind": "surge", "probability": 0.2, "duration": [2, 4], "factor": 0}
    lasting = trace(500, horizon=400, events=[surge]).demand[:, 0, 0].numpy() == 0
    assert lasting[0].mean() == pytest.approx(0.2, abs=5 * sqrt(0.2 * 0.8 / 500))
    assert lasting[50:].mean() == pytest.approx(3 / 7, abs=0.01)
    assert (lasting[:-2] | lasting[2:])[lasting[1:-1]].all(), "no run is of one period"
    idle_before = ~lasting[:-1]
    assert lasting[1:][idle_before].mean() == pytest.approx(0.2, abs=5 * sqrt(0.16 / idle_before.sum()))


def test_durations_are_drawn_evenly_from_the_shortest_to_the_longest():
    surge = {"kind": "surge", "at": [0], "duration": [2, 4], "factor": 0}
    lasted = (trace(6000, events=[surge]).demand[:, 0, 0] == 0).sum(0)
    assert torch.bincount(lasted).tolist() == [0, 0, *[pytest.approx(2000, abs=5 * sqrt(6000 * 2 / 9))] * 3]


def test_a_certain_event_never_ends():
    assert factors({"kind": "surge", "probability": 1, "duration": 3, "factor": 2}) == [2] * 8


def test_every_event_has_luck_of_its_own_and_meets_all_its_targets_at_once():
    two = [
        {"kind": "outage", "probability": 0.3, "targets": targets}
        for targets in (["mill", "mill->a"], ["a->b"])
    ]
    closed = 1 - trace(200, horizon=200, events=two, **LANES).available.numpy()
    assert np.array_equal(closed[:, 0], closed[:, 1])
    assert abs(np.corrcoef(closed[:, 0].ravel(), closed[:, 2].ravel())[0, 1]) < 5 / sqrt(200 * 200)


# Regimes


def test_a_chain_that_is_given_by_staying():
    transition, stationary = chain(Regimes(factors=[0.5, 1, 2], stay=0.8))
    np.testing.assert_allclose(transition, [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(stationary, [1 / 3] * 3)


@pytest.mark.parametrize(
    ("transition", "stationary"),
    [
        ([[0.9, 0.1], [0.3, 0.7]], [0.75, 0.25]),
        ([[0, 1], [1, 0]], [0.5, 0.5]),  # by turns
        ([[1, 0], [0, 1]], [0.5, 0.5]),  # for ever
        ([[0.5, 0.5], [0, 1]], [0, 1]),  # no way back
    ],
)
def test_the_stationary_distribution_of_a_chain(transition: list[list[float]], stationary: list[float]):
    """Of what flows into a regime as much flows out."""
    np.testing.assert_allclose(
        chain(Regimes(factors=[1, 2], transition=transition))[1], stationary, atol=1e-12
    )


def test_regimes_begin_and_stay_in_their_stationary_distribution():
    """3/4 of the time in the first, from the first period of the past on; it is left with 0.1, the other with
    0.3."""
    regimes = {"factors": [1, 5], "transition": [[0.9, 0.1], [0.3, 0.7]]}
    high = trace(4000, horizon=60, history=1, regimes=regimes).demand[:, 0, 0].numpy() == 5
    assert high[0].mean() == pytest.approx(0.25, abs=5 * sqrt(0.25 * 0.75 / 4000))
    assert high.mean() == pytest.approx(0.25, abs=0.01)
    for now, probability in ((False, 0.1), (True, 0.7)):
        followed = high[1:][high[:-1] == now]
        assert followed.mean() == pytest.approx(
            probability, abs=5 * sqrt(probability * (1 - probability) / len(followed))
        )


def test_warehouses_share_a_regime_or_have_each_their_own():
    shared = trace(100, horizon=100, regimes={"factors": [1, 2, 3]}).demand[:, 0]
    assert torch.equal(shared[:, 0], shared[:, 1])
    own = (
        trace(100, horizon=100, regimes={"factors": [1, 2], "stay": 0.5, "shared": False})
        .demand[:, 0]
        .numpy()
    )
    assert abs(np.corrcoef(own[:, 0].ravel(), own[:, 1].ravel())[0, 1]) < 5 / 100


# Lead times and promotions


def test_lead_times_are_drawn_for_every_shipment():
    """Of the random lane 1, 2 and 4 periods with probability 0.5, 0.2, 0.3; the others keep theirs."""
    given = {**LANES, "lanes": [dict(lane) for lane in LANES["lanes"]]}
    given["lanes"][3]["lead_time"] = {"values": [1, 2, 4], "probabilities": [0.5, 0.2, 0.3]}
    lead_time = trace(200, horizon=100, **given).lead_time
    assert lead_time.shape == (100, 3, 200)
    assert set(lead_time[:, 0].unique().tolist()) == {5}
    assert set(lead_time[:, 2].unique().tolist()) == {1}
    shares = torch.bincount(lead_time[:, 1].ravel()) / 20_000
    assert shares.tolist() == [
        0,
        *(pytest.approx(p, abs=5 * sqrt(p * (1 - p) / 20_000)) for p in (0.5, 0.2)),
        0,
        pytest.approx(0.3, abs=0.017),
    ]
    drawn = lead_time[:, 1].double()
    assert abs(np.corrcoef(drawn[1:].ravel(), drawn[:-1].ravel())[0, 1]) < 5 / sqrt(19_800)


def test_equal_chances_where_none_are_given_and_delays_on_top():
    given = {**LANES, "lanes": [{"origin": "mill", "destination": "a", "lead_time": {"values": [0, 3]}}]}
    late = {"kind": "delay", "at": [2], "periods": 10}
    lead_time = trace(4000, horizon=3, events=[late], **given).lead_time[:, 0]
    for period, values in ((0, [0, 3]), (2, [10, 13])):
        assert lead_time[period].unique().tolist() == values
        assert (lead_time[period] == values[0]).double().mean().item() == pytest.approx(
            0.5, abs=5 * 0.5 / sqrt(4000)
        )


def levels(horizon: int, notice: int, **planned: Any) -> list[float]:
    shops = [
        {"name": "a", "promotion": {"decided": False, "planned": planned, "notice": notice}},
        {"name": "b"},
    ]
    promotion = trace(horizon=horizon, warehouses=shops).promotion
    assert not promotion[:, 1].any()
    return promotion[:, 0, 0].tolist()


def test_a_calendar_says_when_promotions_are():
    """`notice` + 1 periods more than are played, so that all that agents observe is there."""
    assert levels(7, 2, first=2, every=4, length=2, level=0.5) == [0, 0, 0.5, 0.5, 0, 0, 0.5, 0.5, 0, 0]
    assert levels(4, 0, first=1) == [0, 1, 0, 0, 0]
    assert levels(3, 0, first=2, every=1) == [0, 0, 1, 1]
    assert trace(warehouses=[{"name": "a", "promotion": {}}, {"name": "b"}]).promotion is None
