"""The simulator reproduces certified costs: every policy that an instance of the literature lists, played over some 10^6 periods.

The instances are in `shared/references` beside the repository, each with its event order; a test for every family writes them as
scenarios. A cost agrees if it is within 3 standard errors; without chance it is exact.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise, permutations
from math import sqrt
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from marl_inv.baselines import OrderUpTo
from scipy import stats
from torch import Tensor

from building import problem
from marl_inv.metrics import Record, score
from marl_inv.policy import Policy
from marl_inv.problem import Problem
from marl_inv.rollout import play
from reference_optima import DualSourcing, LostSales, Optimum, OrderAndTransfer, TransferSeason, geometric, optimum
from reference_policies import (
    CappedBaseStock,
    ConstantOrder,
    DualIndex,
    EchelonBaseStock,
    EqualFractile,
    LookUp,
    SingleIndex,
    StermanRule,
    TailoredBaseSurge,
)

INSTANCES = Path(__file__).parents[2] / "shared" / "references" / "instances.json"
ENTRIES = json.loads(INSTANCES.read_text()) if INSTANCES.exists() else []
TRUSTED = ("certified", "bound_tight", "best_known")

LEFT_OUT = {
    "owmr_special_delivery": "partly reproduced: its paper does not say when stock is charged, and it lists no policy",
}
"""Families of which nothing is tested, and why."""

QUICK = {
    "ls_poisson5_L2_p4": "optimal base_stock base_stock_standard capped_base_stock constant_order",
    "ls_geometric5_L3_p19": "optimal base_stock capped_base_stock",
    "nv_fosct_ex4_3": "base_stock",
    "bl_alvo_normal_L10_p4": "base_stock",
    "bl_poisson5_L4_p9": "base_stock",
    "serial_shang_song_25": "echelon_base_stock",
    "serial_fosct_ex6_1": "echelon_base_stock",
    "serial_disc_2stage": "echelon_base_stock",
    "dual_gijs_l2_ce105": "optimal capped_dual_index dual_index single_index tailored_base_surge",
    "dual_bot_l3_u8_ce20_b495": "optimal",
    "trans_normal_2loc_c0.5": "order_up_to_with_reactive_transshipment",
    "trans_poisson_3loc_2": "order_up_to_with_reactive_transshipment",
    "trans_ms_uniform_1_3_rho29": "season",
    "trans_ms_negbin_6_6_rho29": "season",
    "owmr_fz_K3_Ls2_rho0.5_p4": "order_up_to_with_equal_fractile_allocation lower_bound",
}
"""One of every kind of policy and family is played each time; the others by `pytest -m slow`."""


def listed(family: str, *kinds: str) -> Any:
    """A parameter for every policy of a family that is listed (of these kinds, when any are given)."""
    found = [
        pytest.param(entry, policy, id=f"{entry['id']}-{policy['kind']}", marks=marks(entry, policy["kind"]))
        for entry in ENTRIES
        for policy in entry["policies"]
        if entry["family"] == family and entry["status"] in TRUSTED and (not kinds or policy["kind"] in kinds)
    ]
    return pytest.mark.parametrize(("entry", "policy"), found or [absent(2)])


def entries(family: str, start: str = "") -> Any:
    found = [
        pytest.param(entry, id=entry["id"], marks=marks(entry, "season"))
        for entry in ENTRIES
        if entry["family"] == family and entry["id"].startswith(start)
    ]
    return pytest.mark.parametrize("entry", found or [absent(1)])


def absent(parameters: int) -> Any:
    return pytest.param(*[None] * parameters, marks=pytest.mark.skip(reason=f"{INSTANCES.name} is not part of the repository"))


def marks(entry: dict[str, Any], kind: str) -> Any:
    return [] if kind in QUICK.get(entry["id"], "").split() else pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def _shapes_unchecked() -> Iterator[None]:
    """Other tests check them; here that would take most of the time."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@dataclass(frozen=True)
class Length:
    """How much is played."""

    replications: int = 2500
    warm_up: int = 100
    scored: int = 400


def record(made: Problem, policy: Policy, length: Length, seed: int = 0) -> Record:
    trace = made.trace("validate", seed, length.replications, length.warm_up + length.scored)
    return score(play(made, policy, trace, trusted=True), length.warm_up)


def costs(made: Problem, policy: Policy, length: Length, seed: int = 0) -> Tensor:
    """Mean cost per period of every replication, of the whole network."""
    return -record(made, policy, length, seed).per_period("reward").sum((0, 1))


def deviation(name: str, costs: Tensor, certified: float, error: float = 0.0) -> float:
    """Standard errors between a mean over replications and the certified cost, which may have a standard error of its own."""
    z = ((costs.mean() - certified) / (costs.var() / len(costs) + error**2).sqrt()).item()
    print(f"{name}: {costs.mean():.4f} against {certified:.4f}, z = {z:+.2f}")
    return z


def standard_error(policy: dict[str, Any]) -> float:
    """Of a certified cost that is itself a simulation's; its `ci` is the half-width of a 95% interval."""
    return policy["ci"] / 1.96 if isinstance(policy.get("ci"), float) else 0.0


def demand(params: dict[str, Any]) -> dict[str, Any]:
    """The schema's words for an instance's demand."""
    if params["demand"] == "normal":
        return {"kind": "normal", "mean": params["mu"], "sd": params["sd"], "cut_at_zero": False}
    return {"kind": params["demand"], "mean": params["mean"]}


def one_warehouse(params: dict[str, Any], unmet_demand: str, stock: float) -> Problem:
    """One warehouse and its supplier."""
    shop = {
        "name": "shop",
        "unmet_demand": unmet_demand,
        "initial_stock": stock,
        "holding_cost": params["h"],
        "shortage_cost": params["p"],
    }
    lane = {"origin": "mill", "destination": "shop", "lead_time": params.get("lead_time", params.get("L"))}
    return problem({"demand": demand(params), "suppliers": [{"name": "mill"}], "warehouses": [shop], "lanes": [lane]})


@cache
def lost_sales_optimum(name: str, mean: float, lead_time: int, holding: float, shortage: float) -> Optimum:
    units = stats.poisson(mean) if name == "poisson" else geometric(mean)
    return optimum(LostSales(units, lead_time, holding, shortage))


def optimum_of(params: dict[str, Any]) -> Optimum:
    return lost_sales_optimum(params["demand"], params["mean"], params["lead_time"], params["h"], params["p"])


LOST_SALES: dict[str, Callable[..., Policy]] = {
    "base_stock": lambda level: OrderUpTo(torch.tensor([[level]], dtype=torch.float64)),
    "base_stock_standard": lambda level: OrderUpTo(torch.tensor([[level]], dtype=torch.float64)),
    "capped_base_stock": CappedBaseStock,
    "constant_order": ConstantOrder,
}


@listed("lost_sales_single")
def test_lost_sales(entry: dict[str, Any], policy: dict[str, Any]):
    params, kind = entry["params"], policy["kind"]
    made = one_warehouse(params, "lost", 0)
    rule = LookUp(torch.from_numpy(optimum_of(params).orders)) if kind == "optimal" else LOST_SALES[kind](*policy["levels"])
    length = Length(warm_up=1000) if kind == "constant_order" else Length()  # without feedback, what was once is slow to be forgotten
    assert abs(deviation(f"{entry['id']} {kind}", costs(made, rule, length), policy["cost"])) < 3


@listed("lost_sales_single", "optimal")
def test_dynamic_programming_finds_the_optimum_of_lost_sales(entry: dict[str, Any], policy: dict[str, Any]):
    found, params = optimum_of(entry["params"]), entry["params"]
    assert (
        LostSales(stats.poisson(5) if params["demand"] == "poisson" else geometric(5), params["lead_time"], params["h"], params["p"]).bounds
        == params["sbar"]
    )
    assert found.cost == pytest.approx(policy["cost"], rel=1e-6)


@listed("backlog_single")
def test_backlog(entry: dict[str, Any], policy: dict[str, Any]):
    made = one_warehouse(entry["params"], "backordered", policy["levels"][0])
    rule = LOST_SALES[policy["kind"]](*policy["levels"])
    assert abs(deviation(entry["id"], costs(made, rule, Length()), policy["cost"])) < 3


def chain(entry: dict[str, Any], levels: list[float]) -> tuple[Problem, float]:
    """A chain, listed downstream first, and what its formula charges beyond the simulator.

    Echelon rates add up, upstream to downstream, to local ones; what is in transit is charged at the rate of where it left. The formula's
    most downstream lead time counts the period of the order itself, which the simulator does not: it is 1 period shorter here, and the
    formula charges the units in transit for it. Shang and Song's lead times of 1/4 are one period, so demand is a quarter of theirs.
    """
    params = entry["params"]
    family, *numbers = params["demand"].replace(",", " ").split()
    numbers = [float(number) for number in numbers]
    lead_times, local = params.get("L", params.get("L_sim")), np.cumsum(params["echelon_h"][::-1])[::-1].tolist()
    if set(lead_times) == {0.25}:
        lead_times, numbers = [1] * len(lead_times), [numbers[0] / 4]
    beyond = 0.0
    if "L" in params:
        lead_times, beyond = [lead_times[0] - 1, *lead_times[1:]], local[1] * numbers[0]
    names = [f"stage_{number}" for number in range(len(levels))]
    stages = [
        {"name": name, "faces_demand": number == 0, "initial_stock": level - below, "holding_cost": local[number]}
        for number, (name, level, below) in enumerate(zip(names, levels, [0, *levels[:-1]], strict=True))
    ]
    stages[0] |= {"unmet_demand": "backordered", "shortage_cost": params["p"]}
    lanes = [
        {"origin": origin, "destination": name, "lead_time": lead_time, "in_transit_cost": rate}
        for name, origin, lead_time, rate in zip(names, [*names[1:], "mill"], lead_times, [*local[1:], 0], strict=True)
    ]
    normal = {"kind": "normal", "cut_at_zero": False} | dict(zip(("mean", "sd"), numbers, strict=False))
    units = normal if family == "normal" else {"kind": "poisson", "mean": numbers[0]}
    return problem({"demand": units, "suppliers": [{"name": "mill"}], "warehouses": stages, "lanes": lanes}), beyond


@listed("serial")
def test_serial(entry: dict[str, Any], policy: dict[str, Any]):
    made, beyond = chain(entry, policy["levels"])
    played = costs(made, EchelonBaseStock(tuple(policy["levels"])), Length()) + beyond
    assert abs(deviation(entry["id"], played, policy["cost"])) < 3


@cache
def dual_sourcing_optimum(*rates: float) -> tuple[DualSourcing, Optimum]:
    instance = DualSourcing(*rates)
    return instance, optimum(instance)


def dual_sourcing_rates(params: dict[str, Any], policy: dict[str, Any]) -> tuple[float, ...]:
    """Most demand, regular lead time, unit costs of both lanes, holding, shortage. Costs but the total leave the regular price out."""
    left_out = 0 if policy.get("cost_is") == "optimal total (cr=100)" else params["cr"]
    most = int(params["demand"].removeprefix("U{0..").removesuffix("}"))
    return most, params["lr"], params["cr"] - left_out, params["ce"] - left_out, params["h"], params["b"]


DUAL_SOURCING: dict[str, Callable[..., Policy]] = {
    "capped_dual_index": DualIndex,
    "dual_index": DualIndex,
    "single_index": SingleIndex,
    "tailored_base_surge": TailoredBaseSurge,
}


@listed("dual_sourcing")
def test_dual_sourcing(entry: dict[str, Any], policy: dict[str, Any]):
    most, lead_time, regular, expedited, holding, shortage = rates = dual_sourcing_rates(entry["params"], policy)
    shop = {"name": "shop", "unmet_demand": "backordered", "holding_cost": holding, "shortage_cost": shortage}
    lanes = [
        {"name": "regular", "origin": "mill", "destination": "shop", "lead_time": lead_time, "procurement_cost": regular},
        {"name": "expedited", "origin": "mill", "destination": "shop", "lead_time": 0, "procurement_cost": expedited},
    ]
    units = {"kind": "discrete_uniform", "high": most}
    made = problem({"demand": units, "suppliers": [{"name": "mill"}], "warehouses": [shop], "lanes": lanes})
    if policy["kind"] == "optimal":
        rule: Policy = LookUp(torch.from_numpy(dual_sourcing_optimum(*rates)[1].orders), lowest=-most)
    elif policy["levels"]:
        rule = DUAL_SOURCING[policy["kind"]](*policy["levels"])
    else:
        return the_listed_gap_is_that_of_the_listed_costs(entry, policy)
    name = f"{entry['id']} {policy['kind']}"
    assert abs(deviation(name, costs(made, rule, Length()), policy["cost"])) < 3
    return None


def the_listed_gap_is_that_of_the_listed_costs(entry: dict[str, Any], policy: dict[str, Any]) -> None:
    """Without levels, tailored base-surge's "cost" is its gap to the optimum in percent of the total: nothing to play."""
    premium, total = (listed["cost"] for listed in entry["policies"] if listed["kind"] == "optimal")
    (cost,) = (listed["cost"] for listed in entry["policies"] if listed["kind"] == policy["kind"] and listed["levels"])
    assert policy["cost"] == pytest.approx(100 * (cost - premium) / total, rel=1e-6)


@listed("dual_sourcing", "optimal")
def test_dynamic_programming_finds_the_optimum_of_dual_sourcing(entry: dict[str, Any], policy: dict[str, Any]):
    _, found = dual_sourcing_optimum(*dual_sourcing_rates(entry["params"], policy))
    assert found.cost == pytest.approx(policy["cost"], rel=1e-6)


@listed("lateral_transshipment")
def test_reactive_transshipment(entry: dict[str, Any], policy: dict[str, Any]):
    """Every period begins with order-up-to at lead time 0; surplus moves to shortage after demand, from everywhere to everywhere."""
    params, levels = entry["params"], policy["levels"]
    count = len(levels)
    rates = {key: params[key] if isinstance(params[key], list) else [params[key]] * count for key in ("h", "p")}
    units = (
        [{"kind": "poisson", "mean": mean} for mean in params["lam"]]
        if "lam" in params
        else [{"kind": "normal", "mean": mean, "sd": sd, "cut_at_zero": False} for mean, sd in zip(params["mu"], params["sd"], strict=True)]
    )
    names = [f"shop_{number}" for number in range(count)]
    shops = [
        {"name": name, "unmet_demand": "backordered", "demand": unit, "holding_cost": holding, "shortage_cost": shortage}
        for name, unit, holding, shortage in zip(names, units, rates["h"], rates["p"], strict=True)
    ]
    lanes: list[dict[str, Any]] = [{"origin": "mill", "destination": name, "lead_time": 0} for name in names]
    moving = params.get("c", params.get("c_offdiag"))
    lanes += [{"origin": a, "destination": b, "reactive": True, "transport_cost": moving} for a, b in permutations(names, 2)]
    made = problem({"suppliers": [{"name": "mill"}], "warehouses": shops, "lanes": lanes})
    rule = OrderUpTo(torch.tensor([levels], dtype=torch.float64))
    played = costs(made, rule, Length(warm_up=1, scored=400))
    assert abs(deviation(entry["id"], played, policy["cost"], standard_error(policy))) < 3


def season_demand(params: dict[str, Any]) -> tuple[list[dict[str, Any]], tuple[Any, ...]]:
    """In the schema's words and as distributions. Uniform is on 0.. the parameter; negative binomial counts failures before so many
    successes of the given probability."""
    rates, chance = params["par"], params["negbin_prob"]
    if params["demand"] == "Uniform":
        return [{"kind": "discrete_uniform", "high": int(high)} for high in rates], tuple(stats.randint(0, int(high) + 1) for high in rates)
    if params["demand"] == "Poisson":
        return [{"kind": "poisson", "mean": mean} for mean in rates], tuple(stats.poisson(mean) for mean in rates)
    exact = tuple(stats.nbinom(successes, chance) for successes in rates)
    return [{"kind": "negative_binomial", "mean": float(units.mean()), "sd": float(units.std())} for units in exact], exact


@entries("lateral_transshipment", "trans_ms_")
def test_proactive_transshipment_over_a_season(entry: dict[str, Any]):
    """Two shops share what they have for 4 periods. On the same luck, what transferring gains is a sharper test than either profit."""
    params, start = entry["params"], tuple(entry["params"]["S"])
    best, still = (quantity["value"] for quantity in entry["verified"])
    words, exact = season_demand(params)
    season = TransferSeason(exact, sum(start), params["rho"], tuple(params["h"]), tuple(params["p"]))
    ahead = alone = np.zeros((sum(start) + 1,) * 2)
    tables = []
    for _ in range(params["T"]):
        ahead, orders = season.improve(ahead)
        alone = season.met(alone)
        tables.insert(0, orders)
    assert (-ahead[start], -alone[start]) == pytest.approx((best, still), abs=1e-8)

    shops = [
        {"name": name, "demand": unit, "initial_stock": stock, "price": price, "holding_cost": holding}
        for name, unit, stock, price, holding in zip("ab", words, start, params["p"], params["h"], strict=True)
    ]
    lanes = [{"origin": a, "destination": b, "lead_time": 0, "transport_cost": params["rho"]} for a, b in ("ab", "ba")]
    made = problem({"objective": "profit", "ending": "finite", "horizon": params["T"], "warehouses": shops, "lanes": lanes})
    policies = (LookUp(torch.from_numpy(np.stack(tables, 1) * share)) for share in (1, 0))
    transferring, staying = (-params["T"] * costs(made, policy, Length(20_000, 0, params["T"])) for policy in policies)
    gain = transferring - staying
    assert abs(deviation(f"{entry['id']} optimal", transferring, best)) < 3
    assert abs(deviation(f"{entry['id']} no transfers", staying, still)) < 3
    if gain.any():
        assert abs(deviation(f"{entry['id']} gain", gain, best - still)) < 3
    else:
        assert best == pytest.approx(still, rel=1e-3)


@entries("order_plus_transshipment_mdp")
def test_orders_and_transfers(entry: dict[str, Any]):
    """Two warehouses of 10 units, discounted and in the long run; holding is charged on what the period opens with."""
    params = entry["params"]
    limit, most = params["cap"], params["max_trans"]
    instance = OrderAndTransfer(
        tuple(stats.poisson(mean) for mean in params["lam"]),
        limit,
        most,
        params["order_cost"],
        params["trans_cost"],
        params["h"],
        params["lost"],
        params["price"],
    )
    _, discounted, average = (quantity["value"] for quantity in entry["verified"])
    values = np.zeros((limit + 1, limit + 1))
    for _ in range(300):
        values = instance.improve(params["gamma"] * values)[0]
    assert [-values[0, 0], -values[5, 5], -values[1, 8]] == pytest.approx(discounted, abs=1e-6)
    found = optimum(instance)
    assert -found.cost == pytest.approx(average, rel=1e-6)

    shops = [
        {
            "name": name,
            "demand": {"kind": "poisson", "mean": mean},
            "storage": limit,
            "price": params["price"],
            "holding_cost": params["h"],
            "shortage_cost": params["lost"],
        }
        for name, mean in zip("ab", params["lam"], strict=True)
    ]
    lanes = [
        {"origin": "mill", "destination": name, "lead_time": 1, "capacity": limit, "procurement_cost": params["order_cost"]}
        for name in "ab"
    ]
    lanes += [
        {"origin": a, "destination": b, "lead_time": 1, "capacity": most, "transport_cost": params["trans_cost"]} for a, b in ("ab", "ba")
    ]
    rules = {"objective": "profit", "holding_on": "opening"}
    made = problem({**rules, "suppliers": [{"name": "mill"}], "warehouses": shops, "lanes": lanes})
    rewards = -costs(made, LookUp(torch.from_numpy(found.orders)), Length())
    assert abs(deviation(entry["id"], rewards, average)) < 3


def cross_dock(params: dict[str, Any]) -> Problem:
    """A centre that passes on all it gets, and its shops."""
    names = [f"shop_{number}" for number in range(len(params["mu"]))]
    shops = [
        {
            "name": name,
            "unmet_demand": "backordered",
            "demand": {"kind": "normal", "mean": mean, "sd": sd, "cut_at_zero": False},
            "holding_cost": params["h"],
            "shortage_cost": params["p"],
        }
        for name, mean, sd in zip(names, params["mu"], params["sd"], strict=True)
    ]
    related = np.full((len(names) + 1,) * 2, params["rho"])
    np.fill_diagonal(related, 1)
    centre = {"name": "centre", "faces_demand": False, "rationing": "full_shipment"}
    lanes = [{"origin": "mill", "destination": "centre", "lead_time": params["Lw"]}]
    lanes += [{"origin": "centre", "destination": name, "lead_time": params["Ls"]} for name in names]
    return problem({"correlation": related.tolist(), "suppliers": [{"name": "mill"}], "warehouses": [centre, *shops], "lanes": lanes})


def lower_bound(params: dict[str, Any]) -> float:
    """As if the shops' stock could be shared out anew in every period (Eppen and Schrage 1981)."""
    sd = np.array(params["sd"])
    apart, together = sd.sum() ** 2, (1 - params["rho"]) * (sd**2).sum() + params["rho"] * sd.sum() ** 2
    density = stats.norm.pdf(stats.norm.ppf(params["p"] / (params["p"] + params["h"])))
    return (params["h"] + params["p"]) * density * sqrt((params["Ls"] + 1) * apart + params["Lw"] * together)


@listed("owmr_transshipment_centre", "order_up_to_with_equal_fractile_allocation")
def test_cross_dock(entry: dict[str, Any], policy: dict[str, Any]):
    played = costs(cross_dock(entry["params"]), EqualFractile(*policy["levels"]), Length())
    assert abs(deviation(entry["id"], played, policy["cost"], standard_error(policy))) < 3


@listed("owmr_transshipment_centre", "lower_bound")
def test_no_cross_dock_costs_less_than_its_bound(entry: dict[str, Any], policy: dict[str, Any]):
    """And the best policy known comes within 0.3% of it."""
    (near,) = (listed for listed in entry["policies"] if listed["kind"] == "order_up_to_with_equal_fractile_allocation")
    bound = lower_bound(entry["params"])
    assert bound == pytest.approx(policy["cost"], rel=1e-9)
    played = costs(cross_dock(entry["params"]), EqualFractile(*near["levels"]), Length(), seed=1)
    assert deviation(f"{entry['id']} bound", played, bound) > -3
    assert deviation(f"{entry['id']} bound + 0.3%", played, 1.003 * bound) < 3


@listed("beer_game")
def test_beer_game(entry: dict[str, Any], policy: dict[str, Any]):
    """Sterman's benchmark, week by week, to the last half dollar.

    An order that the book places at the end of a week is placed here when the next one begins, with that week's receipts at hand. Stock in
    week 1 includes the box that arrives in it. Orders on their way to a supplier take a week more; the factory makes its own at once.
    """
    params = entry["params"]
    names = ["retailer", "wholesaler", "distributor", "factory"]
    stages = [
        {
            "name": name,
            "unmet_demand": "backordered",
            "faces_demand": name == "retailer",
            "initial_stock": params["inv0"],
            "holding_cost": params["h"],
            "shortage_cost": params["b"],
        }
        for name in names
    ]
    box = params["pipeline"]
    lanes: list[dict[str, Any]] = [
        {
            "origin": origin,
            "destination": name,
            "lead_time": 2,
            "initial_shipments": box,
            "unfilled": "owed",
            "order_delay": 1,
            "initial_orders": box,
        }
        for name, origin in pairwise(names)
    ]
    lanes.append({"origin": "brewery", "destination": "factory", "lead_time": 2, "initial_shipments": box})
    known = {"kind": "known", "values": [4] * 4 + [8]}
    made = problem({"horizon": params["weeks"], "demand": known, "suppliers": [{"name": "brewery"}], "warehouses": stages, "lanes": lanes})
    played = record(made, StermanRule(tuple(params["S_prime"]), expected=box, held=5), Length(1, 0, params["weeks"]))
    by_stage = -params["weeks"] * played.per_period("reward")[0, :, 0]
    assert by_stage.tolist() == policy["per_stage"]
    assert by_stage.sum() == policy["cost"]


def test_nothing_is_left_out_without_a_reason():
    """Every family has a test here, or a reason in LEFT_OUT; the quick instances exist."""
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
    assert not any(entry["policies"] for entry in ENTRIES if entry["family"] in LEFT_OUT or entry["status"] not in TRUSTED)
    assert {entry["id"] for entry in ENTRIES} >= QUICK.keys()


def test_float32_gives_the_same_costs():
    """On the same luck to 5 digits."""
    double = one_warehouse({"demand": "poisson", "mean": 5, "lead_time": 2, "h": 1, "p": 4}, "lost", 16)
    single = Problem.of(double.scenario, dtype=torch.float32)
    rule = OrderUpTo(torch.tensor([[16.0]]))
    first, second = (costs(made, replace(rule, levels=rule.levels.to(made.network.size)), Length(100, 10, 90)) for made in (double, single))
    assert first.mean().item() == pytest.approx(second.mean().item(), rel=1e-5)
