"""Transfers over any policy: what is spared goes where it is short, and LP balancing is as good as an exact
solver's plan."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from building import problem
from marl_inv.baselines.balancing import LPBalancing, ThresholdBalancing, best_flow, saving
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.rollout import play
from marl_inv.episodes.view import View
from marl_inv.policies import policy_named, tuned, tuning_result
from marl_inv.simulator import initial_state

ROW = {
    "horizon": 30,
    "demand": {"kind": "poisson", "mean": 5},
    "suppliers": [{"name": "mill", "capacity": 24}],
    "warehouses": [
        {"name": name, "holding_cost": 1, "shortage_cost": 9, "initial_stock": 15} for name in "abcd"
    ],
    "lanes": [{"origin": "mill", "destination": name, "lead_time": 4} for name in "abcd"]
    + [{"origin": a, "destination": b, "lead_time": 1, "transport_cost": 1} for a, b in ("ab", "cb", "cd")],
}
"""Four shops: a and c can help b, and c alone can help d."""


def asked(
    made: Problem, layer: type[ThresholdBalancing], stock: list[float], surplus: float, shortage: float
) -> list[float]:
    """What is asked for on the lanes between shops, given what they have."""
    level = torch.full_like(made.network.size, 1.0)
    policy = layer(OrderUpTo(0 * level), surplus * level, shortage * level)
    state = initial_state(made.network, 1, torch.tensor(stock, dtype=torch.float64).reshape(1, -1, 1))
    view = View(made.network, state, made.trace("evaluate", 0, 1).known(0))
    return policy.act(view, None)[0].requests[0, made.network.replenishments :, 0].tolist()


def test_the_linear_programme_leaves_to_others_whom_others_can_help():
    """b and d lack 5 units; c has 5 to spare and is the only one that can help d, so a helps b. Shares of
    what is lacking help b twice."""
    made = problem(ROW)
    assert asked(made, LPBalancing, [15, 0, 15, 0], surplus=10, shortage=5) == [5, 0, 5]
    assert asked(made, ThresholdBalancing, [15, 0, 15, 0], surplus=10, shortage=5) == pytest.approx(
        [10 / 3, 5 / 3, 2.5]
    )


def test_what_is_too_dear_to_move_stays():
    """A unit saves 9 of shortage and 1 of holding: at 10 and more a lane carries nothing."""
    dear = problem(ROW | {"lanes": [lane | {"transport_cost": 10} for lane in ROW["lanes"]]})
    assert saving(dear.network).tolist() == [[0, 0, 0]]
    assert asked(dear, LPBalancing, [15, 0, 15, 0], surplus=10, shortage=5) == [0, 0, 0]


def test_a_lane_is_asked_for_no_more_than_it_carries():
    narrow = problem(
        ROW
        | {"lanes": [lane | ({"capacity": 3} if lane["origin"] != "mill" else {}) for lane in ROW["lanes"]]}
    )
    assert asked(narrow, LPBalancing, [15, 0, 15, 0], surplus=10, shortage=5) == [3, 2, 3]


def exact(
    origin: np.ndarray,
    destination: np.ndarray,
    spare: np.ndarray,
    lacking: np.ndarray,
    most: np.ndarray,
    gain: np.ndarray,
) -> float:
    """What the best flow gains, by HiGHS."""
    places = np.arange(len(spare))[:, None]
    limits = np.concatenate([origin == places, destination == places]).astype(float)
    solved = linprog(
        -gain,
        A_ub=limits,
        b_ub=np.concatenate([spare, lacking]),
        bounds=list(zip(0 * most, most, strict=True)),
        method="highs",
    )
    return -solved.fun


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("places", [2, 6, 15])
def test_no_flow_gains_more(places: int, dtype: torch.dtype):
    """Random networks with lanes of every cost, some the same and some not worth it, and capacities; 100
    columns on each."""
    luck = np.random.default_rng(places)
    origin, destination = (luck.integers(places, size=4 * places) for _ in range(2))
    have = luck.integers(-12, 13, size=(places, 100)) * luck.choice([1, 0.37], size=(places, 100))
    spare, lacking = have.clip(0), (-have).clip(0)
    most = luck.choice([2.0, 5.0, 1e6], size=(len(origin), 100))
    gain = luck.choice([-1.0, 0.5, 2.0, 2.7, 9.0], size=(len(origin), 1)).repeat(100, axis=1)
    tensors = [torch.from_numpy(each).to(dtype) for each in (spare, lacking, most, gain)]
    flow = best_flow(torch.from_numpy(origin), torch.from_numpy(destination), *tensors).double().numpy()
    sent, got = (
        np.array([flow[ends == place].sum(0) for place in range(places)]) for ends in (origin, destination)
    )
    noise = 1e-9 if dtype == torch.float64 else 1e-4
    for used, limit in ((-flow, 0), (flow, most), (sent, spare), (got, lacking)):
        assert (used <= limit + noise).all()
    best = [
        exact(origin, destination, *(each[:, column] for each in (spare, lacking, most, gain)))
        for column in range(100)
    ]
    assert (flow * gain).sum(0) == pytest.approx(np.array(best), rel=noise)


def test_the_gradient_is_the_price_of_a_unit():
    """a gives its 3 to b; of 6 at c, 5 go to d and the last to b, who still lacks 1. If d lacked one more, it
    would get that last one: 8 for 7."""
    origin, destination = torch.tensor([0, 2, 2]), torch.tensor([1, 1, 3])
    spare, lacking = (
        torch.tensor(row, dtype=torch.float64)[:, None].requires_grad_()
        for row in ([3, 0, 6, 0], [0, 5, 0, 5])
    )
    gain = torch.tensor([[9.0], [7.0], [8.0]], dtype=torch.float64)
    flow = best_flow(origin, destination, spare, lacking, torch.full_like(gain, 100), gain)
    assert flow.tolist() == [[3], [1], [5]]
    (flow * gain).sum().backward()
    assert spare.grad.tolist() == [[9], [0], [7], [0]]
    assert lacking.grad.tolist() == [[0], [0], [0], [1]]


def test_a_layer_lies_over_any_base_by_name():
    made = problem(ROW)
    plain, layered = (
        policy_named(name, made) for name in ("capped_order_up_to", "capped_order_up_to+lp_balancing")
    )
    assert (layered.base.name, layered.name) == (plain.name, "LP-balanced capped order-up-to")
    before, after = (next(play(made, policy, made.trace("evaluate", 0, 2))) for policy in (plain, layered))
    assert torch.equal(before.decision.requests[:, :4], after.decision.requests[:, :4])


def test_a_layer_is_tuned_with_its_base_and_remembered(monkeypatch, tmp_path):
    monkeypatch.setenv("MARL_INV_CACHE", str(tmp_path))
    made = problem(ROW)
    found, [before, after] = tuning_result(made, "capped_order_up_to+threshold_balancing", effort=0.05)
    assert {"surplus_level", "shortage_level", "base.levels", "base.cap"} == found.parameters(made).keys()
    assert after.reward.mean > before.reward.mean
    again = tuned(made, policy_named("capped_order_up_to+threshold_balancing", made), effort=0.05)
    assert torch.equal(again.base.cap, found.base.cap)
    assert torch.equal(again.surplus_level, found.surplus_level)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("order_up_to+order_up_to", "order_up_to is no layer; give one of threshold_balancing, lp_balancing"),
        ("capped+lp_balancing", "capped.lp_balancing: is no policy"),
        ("order_up_to+lp", "lp is no layer"),
        ("tuned_random+lp_balancing", "there is nothing to tune in random"),
    ],
)
def test_what_is_no_layer_is_refused(name: str, says: str):
    with pytest.raises(InputError, match=says):
        policy_named(name, problem(ROW))
