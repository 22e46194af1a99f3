"""The simulator reproduces certified costs: every policy that an instance of the literature lists, played
over two million periods.

The instances are in `shared/references` beside the repository, each with its event order;
`reference_scenarios` writes them as scenarios. A cost agrees if it is within 3 standard errors; without
chance it is exact.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import jaxtyping
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import reference_scenarios as scenarios
from marl_inv.baselines import (
    ConstantOrder,
    DualIndex,
    EchelonBaseStock,
    EqualFractile,
    OrderUpTo,
    TailoredBaseSurge,
)
from marl_inv.baselines.bounds.dynamic_programme import Optimal
from marl_inv.baselines.bounds.optimum import solve
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.rollout import play
from marl_inv.evaluation.metrics import Totals, score
from reference_policies import SingleIndex, StermanRule

Entry = dict[str, Any]

INSTANCES = Path(__file__).parents[2] / "shared" / "references" / "instances.json"
ENTRIES: list[Entry] = json.loads(INSTANCES.read_text()) if INSTANCES.exists() else []

LEFT_OUT = {
    "owmr_special_delivery": "its paper does not say when stock is charged; partly reproduced, and no "
    "policy is listed"
}
"""Families of which nothing is tested, and why."""

QUICK = {
    "ls_poisson5_L2_p4",
    "ls_geometric5_L3_p19",
    "nv_fosct_ex4_3",
    "bl_poisson5_L4_p9",
    "serial_shang_song_25",
    "serial_fosct_ex6_1",
    "serial_disc_2stage",
    "dual_gijs_l2_ce105",
    "dual_bot_l3_u8_ce20_b495",
    "trans_normal_2loc_c0.5",
    "trans_poisson_3loc_2",
    "trans_ms_uniform_1_3_rho29",
    "owmr_fz_K3_Ls2_rho0.5_p4",
    "beer_sterman_204",
}
"""Policies and demands of every kind are played each time; the other instances by `pytest -m slow`."""


def each(family: str, start: str = "") -> Any:
    """A test for every entry of a family (whose name starts so)."""
    found = [
        pytest.param(entry, id=entry["id"], marks=_marks(entry))
        for entry in ENTRIES
        if _is(entry, family, start)
    ]
    return pytest.mark.parametrize("entry", found or [_absent(1)])


def each_policy(family: str, *kinds: str) -> Any:
    """A test for every policy that a family lists (of these kinds, if any are given)."""
    found = [
        pytest.param(entry, policy, id=f"{entry['id']}-{policy['kind']}", marks=_marks(entry))
        for entry in ENTRIES
        for policy in entry["policies"]
        if _is(entry, family) and (not kinds or policy["kind"] in kinds)
    ]
    return pytest.mark.parametrize(("entry", "policy"), found or [_absent(2)])


def _is(entry: Entry, family: str, start: str = "") -> bool:
    return entry["family"] == family and entry["id"].startswith(start)


def _marks(entry: Entry) -> Any:
    return [] if entry["id"] in QUICK else pytest.mark.slow


def _absent(parameters: int) -> Any:
    return pytest.param(
        *[None] * parameters, marks=pytest.mark.skip(reason=f"{INSTANCES.name} is not part of the repository")
    )


@pytest.fixture(autouse=True, scope="module")
def _shapes_unchecked() -> Iterator[None]:
    """Other tests check them; here that would take most of the time."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@dataclass(frozen=True)
class Length:
    """How much is played."""

    replications: int = 5000
    warm_up: int = 100
    scored: int = 400


def record(made: Problem, policy: Policy, length: Length, name: str) -> Totals:
    """Every test has luck of its own: its name is the seed."""
    trace = made.trace("validate", crc32(name.encode()), length.replications, length.warm_up + length.scored)
    return score(play(made, policy, trace, trusted=True), [0.0] * length.warm_up + [1.0] * length.scored)


def rewards(made: Problem, policy: Policy, name: str, length: Length = Length()) -> Tensor:
    """Mean reward of a period in every replication, of the whole network."""
    return record(made, policy, length, name).per_period("reward").sum((0, 1))


def deviation(name: str, played: Tensor, certified: float, error: float = 0.0) -> float:
    """Standard errors from the certified value, which may have one of its own, to the mean over
    replications."""
    z = ((played.mean() - certified) / (played.var() / len(played) + error**2).sqrt()).item()
    print(f"{name}: {played.mean():.4f}, certified {certified:.4f}, z = {z:+.2f}")
    return z


def standard_error(policy: Entry) -> float:
    """Of a certified cost that was itself simulated: its `ci` is half of a 95% interval."""
    return policy["ci"] / 1.96


def optimum(made: Problem, certified: float) -> Optimal:
    """The optimal policy, once its cost has been found to be the certified one."""
    found = solve(made)
    assert -found.reward == pytest.approx(certified, rel=1e-5)
    assert found.most - found.least <= 1e-5 * abs(certified)
    return found.policy


def units(*numbers: float) -> Float[Tensor, "1 N"]:
    """A baseline's parameter: for one product, by warehouse."""
    return torch.tensor([numbers], dtype=torch.float64)


def order_up_to(*levels: float) -> OrderUpTo:
    return OrderUpTo(units(*levels))


RULES: dict[str, Callable[..., Policy]] = {
    "base_stock": order_up_to,
    "base_stock_standard": order_up_to,
    "capped_base_stock": lambda level, cap: OrderUpTo(units(level), cap=units(cap)),
    "constant_order": lambda quantity: ConstantOrder(units(quantity)),
    "capped_dual_index": lambda expedited, regular, cap: DualIndex(
        units(expedited), units(regular), units(cap)
    ),
    "dual_index": lambda expedited, regular: DualIndex(units(expedited), units(regular)),
    "single_index": SingleIndex,
    "tailored_base_surge": lambda level, quantity: TailoredBaseSurge(units(level), units(quantity)),
    "order_up_to_with_reactive_transshipment": order_up_to,
}
"""What the listed kinds are called here: the baselines that come with marl_inv wherever there is one."""


@each_policy("lost_sales_single")
def test_lost_sales(entry: Entry, policy: Entry):
    name, kind = f"{entry['id']} {policy['kind']}", policy["kind"]
    made = scenarios.one_warehouse(entry["params"], "lost")
    rule: Policy = optimum(made, policy["cost"]) if kind == "optimal" else RULES[kind](*policy["levels"])
    length = Length(
        warm_up=1000 if kind == "constant_order" else 100
    )  # what never looks at its stock forgets its start slowly
    costs = -rewards(made, rule, name, length)
    assert abs(deviation(name, costs, policy["cost"])) < 3


@each_policy("backlog_single")
def test_backlog(entry: Entry, policy: Entry):
    made = scenarios.one_warehouse(entry["params"], "backordered", *policy["levels"])
    costs = -rewards(made, RULES[policy["kind"]](*policy["levels"]), entry["id"])
    assert abs(deviation(entry["id"], costs, policy["cost"])) < 3


@each_policy("serial", "echelon_base_stock")
def test_serial(entry: Entry, policy: Entry):
    made, beyond = scenarios.chain(entry["params"], policy["levels"])
    rule = replace(EchelonBaseStock.of(made), levels=units(*policy["levels"]))
    costs = beyond - rewards(made, rule, entry["id"])
    assert abs(deviation(entry["id"], costs, policy["cost"])) < 3


@each_policy("dual_sourcing")
def test_dual_sourcing(entry: Entry, policy: Entry):
    """Costs leave the regular price out, but for the one that says "total". What tailored base-surge costs
    without levels is its gap."""
    total, name = policy.get("cost_is") == "optimal total (cr=100)", f"{entry['id']} {policy['kind']}"
    made = scenarios.dual_sourcing(entry["params"], total)
    if policy["kind"] == "optimal":
        rule: Policy = optimum(made, policy["cost"])
    elif policy["levels"]:
        rule = RULES[policy["kind"]](*policy["levels"])
    else:
        assert policy["cost"] == pytest.approx(gap_of(entry, policy["kind"]), rel=1e-6)
        return
    assert abs(deviation(name, -rewards(made, rule, name), policy["cost"])) < 3


def gap_of(entry: Entry, kind: str) -> float:
    """What a policy costs more than the optimal one, in percent of the optimal total."""
    premium, total = (policy["cost"] for policy in entry["policies"] if policy["kind"] == "optimal")
    (cost,) = (policy["cost"] for policy in entry["policies"] if policy["kind"] == kind and policy["levels"])
    return 100 * (cost - premium) / total


@each_policy("lateral_transshipment")
def test_reactive_transshipment(entry: Entry, policy: Entry):
    made = scenarios.reactive_transshipment(entry["params"])
    costs = -rewards(made, RULES[policy["kind"]](*policy["levels"]), entry["id"], Length(warm_up=1))
    assert abs(deviation(entry["id"], costs, policy["cost"], standard_error(policy))) < 3


@each("lateral_transshipment", "trans_ms_")
def test_proactive_transshipment_over_a_season(entry: Entry):
    """With optimal transfers and with none; what they gain on the same luck is sharper than either."""
    periods, made = entry["params"]["T"], scenarios.season(entry["params"])
    best, still = (quantity["value"] for quantity in entry["verified"])
    alone = Problem.of(made.scenario.model_copy(update={"lanes": []}), dtype=torch.float64)
    assert (periods * solve(made).reward, periods * solve(alone).reward) == pytest.approx(
        (best, still), rel=1e-8
    )

    length = Length(20_000, 0, periods)
    moving, staying = (
        periods * rewards(each, solve(each).policy, entry["id"], length) for each in (made, alone)
    )
    assert abs(deviation(f"{entry['id']} optimal", moving, best)) < 3
    assert abs(deviation(f"{entry['id']} no transfers", staying, still)) < 3
    assert abs(deviation(f"{entry['id']} gain", moving - staying, best - still, error=1e-9)) < 3


@each("serial")
def test_clark_and_scarfs_recursion_finds_the_levels_and_costs_that_are_listed(entry: Entry):
    if "poisson" not in entry["params"]["demand"] or "L" not in entry["params"]:
        pytest.skip("normal demand, or other lead times")
    levels, cost = scenarios.clark_scarf(entry["params"])
    assert levels == entry["policies"][0]["levels"]
    assert cost == pytest.approx(entry["policies"][0]["cost"], abs=1e-4)


@each("order_plus_transshipment_mdp")
def test_orders_and_transfers(entry: Entry):
    """The optimum of the discounted problem is certified in three states; that of the average is played
    too."""
    params, (_, discounted, average) = entry["params"], (quantity["value"] for quantity in entry["verified"])
    discounting, counted = (
        {"discount_factor": params["gamma"], "horizon": 150},
        (1 - params["gamma"] ** 150) / (1 - params["gamma"]),
    )
    for stock, certified in zip(((0, 0), (5, 5), (1, 8)), discounted, strict=True):
        made = scenarios.orders_and_transfers(params, stock=stock, **discounting)
        assert counted * solve(made).reward == pytest.approx(certified, abs=1e-4)
    made = scenarios.orders_and_transfers(params)
    assert abs(deviation(entry["id"], rewards(made, optimum(made, -average), entry["id"]), average)) < 3


def cross_dock_costs(entry: Entry, level: float, name: str) -> Tensor:
    """The level is that of the centre's echelon, which is everything; shops take what the centre gives."""
    made = scenarios.cross_dock(entry["params"])
    rule = EqualFractile.of(made)
    return -rewards(made, replace(rule, levels=rule.levels.index_fill(1, torch.tensor(0), level)), name)


@each_policy("owmr_transshipment_centre", "order_up_to_with_equal_fractile_allocation")
def test_cross_dock(entry: Entry, policy: Entry):
    costs = cross_dock_costs(entry, *policy["levels"], name=entry["id"])
    assert abs(deviation(entry["id"], costs, policy["cost"], standard_error(policy))) < 3


@each_policy("owmr_transshipment_centre", "lower_bound")
def test_a_cross_dock_never_costs_less_than_its_bound(entry: Entry, policy: Entry):
    """And the policy that is listed comes within 0.3% of it."""
    name, bound = f"{entry['id']} bound", scenarios.cross_dock_bound(entry["params"])
    assert bound == pytest.approx(policy["cost"], rel=1e-9)
    (level,) = (level for listed in entry["policies"] for level in listed.get("levels", ()))
    costs = cross_dock_costs(entry, level, name)
    assert deviation(name, costs, bound) > -3
    assert deviation(f"{name} + 0.3%", costs, 1.003 * bound) < 3


@each_policy("beer_game", "sterman_rule")
def test_beer_game(entry: Entry, policy: Entry):
    """To the last half dollar. Orders are held in weeks 1 to 4, and so is the one that lies in the box when
    week 1 begins."""
    params = entry["params"]
    rule = StermanRule(tuple(policy["levels"]), expected=4, held=5)
    played = record(scenarios.beer_game(params), rule, Length(1, 0, params["weeks"]), entry["id"])
    costs = -params["weeks"] * played.per_period("reward")[0, :, 0]
    assert costs.tolist() == policy["per_stage"]
    assert costs.sum() == policy["cost"]


def test_nothing_is_left_out_without_a_reason():
    if not ENTRIES:
        pytest.skip(f"{INSTANCES.name} is not part of the repository")
    tested = {
        "lost_sales_single",
        "backlog_single",
        "serial",
        "dual_sourcing",
        "lateral_transshipment",
        "order_plus_transshipment_mdp",
        "owmr_transshipment_centre",
        "beer_game",
    }
    assert {entry["family"] for entry in ENTRIES} == tested | LEFT_OUT.keys()
    assert not any(entry["policies"] for entry in ENTRIES if entry["family"] in LEFT_OUT)
    assert {entry["id"] for entry in ENTRIES} >= QUICK


@pytest.mark.parametrize(("lead_time", "cost"), [(1, 4.04), (2, 4.40), (3, 4.60), (4, 4.73)])
def test_zipkins_optimal_costs(lead_time: int, cost: float):
    """Zipkin (2008), table 3: Poisson demand of mean 5, lost sales at 4."""
    made = scenarios.one_warehouse(
        {"demand": "poisson", "mean": 5, "lead_time": lead_time, "h": 1, "p": 4}, "lost"
    )
    assert -solve(made).reward == pytest.approx(cost, abs=0.005)


def test_float32_gives_the_same_costs():
    """On the same luck to 5 digits."""
    double = scenarios.one_warehouse(
        {"demand": "poisson", "mean": 5, "lead_time": 2, "h": 1, "p": 4}, "lost", 16
    )
    single = Problem.of(double.scenario, dtype=torch.float32)
    first, second = (
        rewards(made, OrderUpTo(units(16).to(made.network.size)), "float", Length(100, 10, 90)).mean().item()
        for made in (double, single)
    )
    assert first == pytest.approx(second, rel=1e-5)
