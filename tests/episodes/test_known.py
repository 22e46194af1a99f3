"""What is known before deciding, and no more: whatever a trace still holds in store changes no decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from itertools import islice
from typing import Any

import pytest
import torch

from building import problem
from marl_inv.baselines import BASELINES, LAYERS
from marl_inv.chance.trace import Known, Trace
from marl_inv.common.errors import InputError
from marl_inv.episodes.policy import FUTURE, Clairvoyant, Policy, first_memory
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.rollout import play
from marl_inv.episodes.view import View, observe
from marl_inv.learning.settings import ALGORITHM_NAMES
from marl_inv.policies import policy_named
from marl_inv.simulator import Decision, initial_state
from training import SMALL, small_training

CHANCES = ("demand", "lead_time", "available", "promotion", "forecast")

TOWN = """
  horizon: 14
  history: 2
  ending: finite
  suppliers: [{name: mill}, {name: forge}]
  regimes: {factors: [0.5, 2], stay: 0.5, shared: false}
  forecast: {horizon: 2, error: 0.3}
  events:
    - {kind: outage, probability: 0.3, duration: 2, factor: 0.3, targets: [mill, hub->a, a->b]}
    - {kind: surge, probability: 0.2, factor: 2}
    - {kind: delay, probability: 0.3, periods: 1}
  warehouses:
    - {name: hub, faces_demand: false, initial_stock: 30, holding_cost: 0.5}
    - &shop
      name: a
      demand: {kind: poisson, mean: 6}
      initial_stock: 40
      holding_cost: 1
      shortage_cost: 9
      promotion: {max_level: 2, uplift: 0.5, cost: 1, planned: {first: 1, every: 3}, notice: 2}
    - {<<: *shop, name: b, initial_stock: 0}
  lanes:
    - {origin: mill, destination: hub, lead_time: {values: [1, 2]}, capacity: 20}
    - {origin: forge, destination: hub, lead_time: 1, transport_cost: 1, capacity: 20}
    - {origin: hub, destination: a, lead_time: 1}
    - {origin: hub, destination: b, lead_time: {values: [1, 2]}}
    - {origin: a, destination: b, lead_time: 0, transport_cost: 0.1, capacity: 4}
    - {origin: b, destination: a, lead_time: 0, transport_cost: 0.1}
"""
"""All kinds of chance there are: regimes, forecasts, outages, surges, delays, planned promotions and lead
times by luck."""

PAIR = """
  horizon: 14
  quantities: integer
  demand: {kind: poisson, mean: 1}
  suppliers: [{name: mill}]
  warehouses:
    - &shop {name: a, initial_stock: 3, storage: 6, holding_cost: 1, shortage_cost: 4}
    - {<<: *shop, name: b}
  lanes:
    - {origin: mill, destination: a, lead_time: 1, max_request: 3}
    - {origin: mill, destination: b, lead_time: 1, max_request: 3}
    - {origin: a, destination: b, lead_time: 0, max_request: 3}
"""
"""Whole units and independent demand, which the exact solver knows."""


@cache
def town() -> Problem:
    return problem(TOWN, torch.float32)


@cache
def pair() -> Problem:
    return problem(PAIR, torch.float32)


def with_another_future(made: Problem, trace: Trace, now: int) -> Trace:
    """What is known before deciding in period `now` stays as it is; all else is that of other luck, and plans
    beyond notice are dropped."""
    other = made.trace("evaluate", 1, trace.replications, len(trace))
    first_new = {"demand": trace.history + now, "lead_time": now, "available": now + 1, "forecast": now + 1}
    changed = {"opening": trace.opening}
    for name, first in first_new.items():
        ours, theirs = getattr(trace, name), getattr(other, name)
        changed[name] = None if ours is None else torch.cat([ours[:first], theirs[first:]])
    if trace.promotion is not None:
        beyond = now + len(trace.promotion) - len(trace)
        changed["promotion"] = torch.cat(
            [trace.promotion[:beyond], 1 - trace.promotion[beyond:].clamp(max=1)]
        )
    return replace(trace, **changed)


def decisions(made: Problem, policy: Policy, trace: Trace, periods: int) -> list[Decision]:
    with torch.no_grad():
        return [moment.decision for moment in islice(play(made, policy, trace), periods)]


def first_told_by_the_future(
    made: Problem, policy: Policy, replications: int = 3, periods: tuple[int, ...] = (0, 3, 8)
) -> str | None:
    """What a decision owes to the future, if one does: it differs where only what comes after it does."""
    trace = made.trace("evaluate", 0, replications)
    usual = decisions(made, policy, trace, max(periods) + 1)
    for now in periods:
        elsewhere = decisions(made, policy, with_another_future(made, trace, now), now + 1)
        for period, (ours, theirs) in enumerate(zip(usual, elsewhere, strict=False)):
            for field in fields(Decision):
                one, other = getattr(ours, field.name), getattr(theirs, field.name)
                if one is not None and not torch.equal(one, other):
                    return (
                        f"{policy.name}: {field.name} of period {period} depend on what comes after "
                        f"period {now} begins"
                    )
    return None


# What is known


def test_another_future_is_another_in_all_that_is_drawn_and_in_nothing_that_is_known():
    made, now = town(), 3
    trace = made.trace("evaluate", 0, 3)
    other = with_another_future(made, trace, now)
    assert not any(torch.equal(getattr(trace, chance), getattr(other, chance)) for chance in CHANCES)
    for period in range(now + 1):
        ours, theirs = trace.known(period, True), other.known(period, True)
        for field in fields(Known):
            assert torch.equal(*(torch.as_tensor(getattr(known, field.name)) for known in (ours, theirs)))
    for chance in ("demand", "forecast", "available"):
        first = trace.history + now if chance == "demand" else now + 1
        assert not torch.equal(getattr(trace, chance)[first], getattr(other, chance)[first]), chance


def test_what_is_known_can_be_read_off_a_trace():
    """Two periods are remembered, forecasts reach over two, and plans are told three periods ahead, this one
    included."""
    trace = town().trace("evaluate", 0, 3)
    known = trace.known(4, finite=True)
    assert (known.period, known.replications, known.periods_left) == (4, 3, 10)
    assert torch.equal(known.past_demand, torch.stack([trace.at(2).demand, trace.at(3).demand]))
    assert torch.equal(known.forecast, trace.forecast[4])
    assert known.promotion[..., 0].tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert torch.equal(known.available, trace.at(4).available)
    assert trace.known(14, finite=True).periods_left == 0
    assert trace.known(4).periods_left is None


def test_a_service_makes_what_is_known_without_a_trace():
    """And every policy that needs no more decides on it."""
    made = town()
    network, shape = made.network, (1, 3, 1)
    known = Known(
        period=70,
        past_demand=torch.full((2, *shape), 6.0),
        forecast=torch.full((2, *shape), 7.0),
        promotion=torch.zeros(3, 3, 1),
        available=torch.ones(4, 1),
        periods_left=12,
    )
    view = View(network, initial_state(network, 1), known)
    assert observe(view).shape[:3] == (1, 1, 3)
    assert observe(view)[0, 0, 1, -1] == 12
    for name in ("order_up_to+lp_balancing", "following_order_up_to"):
        policy = policy_named(name, made)
        decided, _ = policy.act(view, policy.start(network, known.replications))
        assert decided.requests.shape == (1, 6, 1)


def test_nothing_but_what_is_known_can_be_reached_from_a_view():
    def reachable(record: Any) -> set[type]:
        inside = [value for value in vars(record).values() if hasattr(value, "__dict__")]
        return {type(record)}.union(
            *(reachable(value) for value in inside if type(value).__module__.startswith("marl_inv"))
        )

    moment = next(play(town(), policy_named("order_up_to", town()), town().trace("evaluate", 0, 2)))
    assert Known in reachable(moment.view)
    assert Trace not in reachable(moment.view)


# Whoever decides on it

NAMES = [name for name in BASELINES if name != "just_in_time"]
LAYERED = [
    "capped_order_up_to+" + "+".join(layers) for layers in (LAYERS, ("lp_balancing", "promotion_calendar"))
]


@pytest.mark.parametrize("name", [*NAMES, *LAYERED, "following_order_up_to+threshold_balancing"])
def test_no_baseline_looks_ahead(name: str):
    for made in (town(), pair()):
        assert first_told_by_the_future(made, policy_named(name, made)) is None


@pytest.mark.parametrize("name", ["rolling_lp", "rolling_lp_2"])
def test_no_rolling_plan_looks_ahead(name: str):
    assert (
        first_told_by_the_future(town(), policy_named(name, town()), replications=1, periods=(0, 4)) is None
    )


def test_the_optimal_policy_does_not_look_ahead():
    assert first_told_by_the_future(pair(), policy_named("optimal", pair())) is None


TRAINED: list[dict[str, Any]] = [{"algorithm": algorithm} for algorithm in ALGORITHM_NAMES]
TRAINED += [
    {"critic": "privileged"},
    {"head": "levels"},
    {"head": "quantity", "model": "mlp"},
    {"memory": "gru"},
]


@pytest.mark.parametrize("settings", TRAINED, ids=lambda settings: " ".join(settings.values()))
def test_no_learned_policy_looks_ahead(settings: dict[str, Any]):
    """As it is before training, with weights that are not near zero."""
    training = small_training(town(), **SMALL | settings)
    policy, chance = training.learned(), torch.Generator().manual_seed(0)
    for weights in policy.actor.parameters():
        weights.data += 0.3 * torch.randn(weights.shape, generator=chance)
    assert first_told_by_the_future(town(), policy, periods=(0, 6)) is None


# Whoever looks ahead


def test_just_in_time_says_that_it_looks_ahead_and_does():
    for name in (
        "just_in_time",
        "just_in_time+threshold_balancing",
        "just_in_time+lp_balancing+promotion_calendar",
    ):
        policy = policy_named(name, town())
        assert FUTURE in policy.knows
        assert "requests of period 0" in first_told_by_the_future(town(), policy)
    assert isinstance(BASELINES["just_in_time"].of(town()), Clairvoyant)


class Peeking:
    """Asks on every lane for what `peek` finds in a view."""

    name, knows = "peeking", "own stock"

    def __init__(self, peek: Callable[[View], Any]) -> None:
        self.peek = peek

    def start(self, network: Any, replications: int) -> None:
        return None

    def act(self, view: View, memory: Any) -> tuple[Decision, Any]:
        sought = self.peek(view).sum((0, 1, 2))
        return Decision(sought.clamp(min=0).expand(1, len(view.network.lanes), -1)), memory


@pytest.mark.parametrize(
    "peek",
    [
        lambda view: view.trace.demand[view.period + 2 :],
        lambda view: view._trace.demand,
        lambda view: view.future.demand,
        lambda view: view.known.trace.demand,
        lambda view: view.known.demand,
        lambda view: view.known.lead_time,
    ],
)
def test_who_looks_for_the_future_in_a_view_finds_none(peek: Callable[[View], Any]):
    with pytest.raises(AttributeError):
        first_told_by_the_future(town(), Peeking(peek))


def test_who_is_told_the_future_by_others_is_found_out():
    """A cheat that was handed the luck of both episodes: the check tells what it owes to it, and is silent on
    what is known."""
    ours = town().trace("evaluate", 0, 3)
    handed = iter([ours] * 9 + [with_another_future(town(), ours, 0)])
    cheat = Peeking(lambda view: next(handed).demand[view.period + 2 :][:1])
    assert (
        first_told_by_the_future(town(), cheat)
        == "peeking: requests of period 0 depend on what comes after period 0 begins"
    )
    assert first_told_by_the_future(town(), Peeking(lambda view: view.known.past_demand)) is None
    assert first_told_by_the_future(town(), Peeking(lambda view: view.known.forecast)) is None


def test_who_looks_ahead_without_saying_so_is_refused():
    class Seer(Peeking):
        def foresee(self, network: Any, trace: Trace) -> Trace:
            return trace

    seer, trace = Seer(lambda view: view.known.past_demand), town().trace("evaluate", 0, 3)
    with pytest.raises(
        InputError, match="peeking: has `foresee`, and knows 'own stock'; let `knows` say 'the future' too"
    ):
        decisions(town(), seer, trace, 1)
    seer.knows = "own stock, the future"
    assert first_memory(seer, town().network, trace) is trace
