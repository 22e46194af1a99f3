"""How the reference instances of every family are written as scenarios, from an entry's `params`."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import numpy as np
from scipy import stats

from building import problem
from marl_inv.episodes.problem import Problem

Params = dict[str, Any]

MILL = [{"name": "mill"}]


def normal(mean: float, sd: float) -> Params:
    """Not cut at zero: a negative draw is a return."""
    return {"kind": "normal", "mean": mean, "sd": sd, "cut_at_zero": False}


def poisson(mean: float) -> Params:
    return {"kind": "poisson", "mean": mean}


def one_warehouse(params: Params, unmet_demand: str, stock: float = 0.0) -> Problem:
    """One warehouse and its supplier."""
    demand = (
        normal(params["mu"], params["sd"])
        if params["demand"] == "normal"
        else {"kind": params["demand"], "mean": params["mean"]}
    )
    shop = {
        "name": "shop",
        "unmet_demand": unmet_demand,
        "initial_stock": stock,
        "holding_cost": params["h"],
        "shortage_cost": params["p"],
    }
    lane = {"origin": "mill", "destination": "shop", "lead_time": params.get("lead_time", params.get("L"))}
    return problem({"demand": demand, "suppliers": MILL, "warehouses": [shop], "lanes": [lane]})


def chain(params: Params, levels: list[float]) -> tuple[Problem, float]:
    """A chain, downstream first, that begins with its echelon levels on hand; and what its formula charges
    beyond the simulator.

    Echelon rates add up, upstream to downstream, to local ones; units in transit are charged at the local
    rate of where they left. The formula's most downstream lead time includes the period that demand then
    comes in, which here is not in transit: that lead time is a period shorter, and the formula charges its
    units for it. Lead times of 1/4 are a period each, so demand is a quarter of the given.
    """
    family, *moments = params["demand"].replace(",", " ").split()
    moments = [float(moment) for moment in moments]
    lead_times, local = (
        params.get("L", params.get("L_sim")),
        np.cumsum(params["echelon_h"][::-1])[::-1].tolist(),
    )
    if set(lead_times) == {0.25}:
        lead_times, moments = [1] * len(lead_times), [moments[0] / 4]
    beyond = 0.0
    if "L" in params:
        lead_times, beyond = [lead_times[0] - 1, *lead_times[1:]], local[1] * moments[0]
    names = [f"stage_{number}" for number in range(len(levels))]
    stages = [
        {
            "name": name,
            "faces_demand": name == "stage_0",
            "unmet_demand": "backordered",
            "initial_stock": own,
            "holding_cost": rate,
        }
        for name, own, rate in zip(names, np.diff(levels, prepend=0).tolist(), local, strict=True)
    ]
    stages[0]["shortage_cost"] = params["p"]
    lanes = [
        {"origin": origin, "destination": name, "lead_time": lead_time, "in_transit_cost": rate}
        for name, origin, lead_time, rate in zip(
            names, [*names[1:], "mill"], lead_times, [*local[1:], 0], strict=True
        )
    ]
    demand = normal(*moments) if family == "normal" else poisson(*moments)
    return problem({"demand": demand, "suppliers": MILL, "warehouses": stages, "lanes": lanes}), beyond


def clark_scarf(params: Params) -> tuple[list[float], float]:
    """Optimal echelon levels of a chain with Poisson demand, downstream first, and its cost in the formula's
    terms, exactly.

    Clark and Scarf (1960) as in Chen and Zheng (1994): a stage's echelon costs its own holding and what the
    stage below is then expected to cost, which is raised to its level if that much is there.
    """
    rate, position = float(params["demand"].split()[1]), np.arange(-2000, 501)
    below = (params["p"] + sum(params["echelon_h"])) * np.maximum(-position, 0)
    levels: list[float] = []
    for own, lead_time in zip(params["echelon_h"], params["L"], strict=True):
        probability = stats.poisson.pmf(np.arange(200), rate * lead_time)
        cost = np.convolve(own * position + below, probability, "valid")
        position = position[len(probability) - 1 :]
        best = int(cost.argmin())
        levels.append(float(position[best]))
        below = np.where(position > position[best], cost[best], cost)
    return levels, float(cost[best])


def dual_sourcing(params: Params, total: bool) -> Problem:
    """A regular lane and an expedited one, at their prices in total or at what expediting costs more."""
    regular, most = (
        params["cr"] if total else 0,
        int(params["demand"].removeprefix("U{0..").removesuffix("}")),
    )
    expedited = params["ce"] - params["cr"] + regular
    shop = {
        "name": "shop",
        "unmet_demand": "backordered",
        "holding_cost": params["h"],
        "shortage_cost": params["b"],
    }
    lanes = [
        {
            "name": name,
            "origin": "mill",
            "destination": "shop",
            "lead_time": lead_time,
            "procurement_cost": price,
        }
        for name, lead_time, price in (
            ("regular", params["lr"], regular),
            ("expedited", params["le"], expedited),
        )
    ]
    demand = {"kind": "discrete_uniform", "high": most}
    return problem({"demand": demand, "suppliers": MILL, "warehouses": [shop], "lanes": lanes})


def reactive_transshipment(params: Params) -> Problem:
    """Shops that order at lead time 0; after demand, surplus moves from everywhere to everywhere."""
    demands = (
        [poisson(mean) for mean in params["lam"]]
        if "lam" in params
        else list(map(normal, params["mu"], params["sd"]))
    )
    names = [f"shop_{number}" for number in range(len(demands))]
    holding, shortage = (np.broadcast_to(params[key], len(names)).tolist() for key in ("h", "p"))
    shops = [
        {"name": name, "unmet_demand": "backordered", "demand": demand, "holding_cost": h, "shortage_cost": p}
        for name, demand, h, p in zip(names, demands, holding, shortage, strict=True)
    ]
    moving = params.get("c", params.get("c_offdiag"))
    lanes: list[Params] = [{"origin": "mill", "destination": name, "lead_time": 0} for name in names]
    lanes += [
        {"origin": a, "destination": b, "reactive": True, "transport_cost": moving}
        for a, b in permutations(names, 2)
    ]
    return problem({"suppliers": MILL, "warehouses": shops, "lanes": lanes})


def season(params: Params) -> Problem:
    """Two shops that share what they have for some periods. Uniform demand is on 0.. the parameter; negative
    binomial demand counts the failures before so many successes of the given probability."""
    if params["demand"] == "Uniform":
        demands = [{"kind": "discrete_uniform", "high": int(high)} for high in params["par"]]
    elif params["demand"] == "Poisson":
        demands = [poisson(mean) for mean in params["par"]]
    else:
        failures = [stats.nbinom(successes, params["negbin_prob"]) for successes in params["par"]]
        demands = [
            {"kind": "negative_binomial", "mean": float(units.mean()), "sd": float(units.std())}
            for units in failures
        ]
    shops = [
        {"name": name, "demand": demand, "initial_stock": stock, "price": price, "holding_cost": holding}
        for name, demand, stock, price, holding in zip(
            "ab", demands, params["S"], params["p"], params["h"], strict=True
        )
    ]
    lanes = [
        {"origin": a, "destination": b, "lead_time": 0, "transport_cost": params["rho"]}
        for a, b in ("ab", "ba")
    ]
    return problem(
        {
            "objective": "profit",
            "ending": "finite",
            "horizon": params["T"],
            "warehouses": shops,
            "lanes": lanes,
        }
    )


def orders_and_transfers(params: Params, **others: Any) -> Problem:
    """Two warehouses of limited storage; holding is charged on what a period opens with, and all lead times
    are 1. `others` are the scenario's other keys; `stock` is what both begin with."""
    storage, most, stock = params["cap"], params["max_trans"], others.pop("stock", (0, 0))
    costs = params["order_cost"], params["trans_cost"], params["h"], params["lost"], params["price"]
    ordering, moving, holding, shortage, price = costs
    shops = [
        {
            "name": name,
            "demand": poisson(mean),
            "storage": storage,
            "price": price,
            "holding_cost": holding,
            "shortage_cost": shortage,
        }
        | {"initial_stock": units}
        for name, mean, units in zip("ab", params["lam"], stock, strict=True)
    ]
    lanes = [
        {
            "origin": "mill",
            "destination": name,
            "lead_time": 1,
            "capacity": storage,
            "procurement_cost": ordering,
        }
        for name in "ab"
    ]
    lanes += [
        {"origin": a, "destination": b, "lead_time": 1, "capacity": most, "transport_cost": moving}
        for a, b in ("ab", "ba")
    ]
    return problem(
        {
            "objective": "profit",
            "holding_on": "opening",
            "suppliers": MILL,
            "warehouses": shops,
            "lanes": lanes,
        }
        | others
    )


def cross_dock(params: Params) -> Problem:
    """A centre that passes on all it gets, and its shops."""
    names = [f"shop_{number}" for number in range(len(params["mu"]))]
    shops = [
        {
            "name": name,
            "unmet_demand": "backordered",
            "demand": demand,
            "holding_cost": params["h"],
            "shortage_cost": params["p"],
        }
        for name, demand in zip(names, map(normal, params["mu"], params["sd"]), strict=True)
    ]
    centre = {"name": "centre", "faces_demand": False, "rationing": "full_shipment"}
    lanes = [{"origin": "mill", "destination": "centre", "lead_time": params["Lw"]}]
    lanes += [{"origin": "centre", "destination": name, "lead_time": params["Ls"]} for name in names]
    return problem(
        {"correlation": params["rho"], "suppliers": MILL, "warehouses": [centre, *shops], "lanes": lanes}
    )


def cross_dock_bound(params: Params) -> float:
    """What a period costs at least: as if all stock could be shared out anew in every period (Eppen and
    Schrage 1981)."""
    sd = np.array(params["sd"])
    apart, together = sd.sum() ** 2, (1 - params["rho"]) * (sd**2).sum() + params["rho"] * sd.sum() ** 2
    density = stats.norm.pdf(stats.norm.ppf(params["p"] / (params["p"] + params["h"])))
    return float(
        (params["h"] + params["p"]) * density * np.sqrt((params["Ls"] + 1) * apart + params["Lw"] * together)
    )


def beer_game(params: Params) -> Problem:
    """A chain, downstream first. An order that the book places at the end of a week is placed here when the
    next one begins, with that week's receipts at hand. Orders take a week more to reach a supplier; the
    factory makes its own at once, in two weeks."""
    names = ["retailer", "wholesaler", "distributor", "factory"]
    rates = {"holding_cost": params["h"], "shortage_cost": params["b"]}
    stages = [
        {
            "name": name,
            "unmet_demand": "backordered",
            "faces_demand": name == "retailer",
            "initial_stock": params["inv0"],
        }
        | rates
        for name in names
    ]
    shipping: Params = {"lead_time": 2, "initial_shipments": params["pipeline"]}
    ordering = {"unfilled": "owed", "order_delay": 1, "initial_orders": params["pipeline"]}
    lanes = [
        {"origin": origin, "destination": name} | shipping | ordering for name, origin in pairwise(names)
    ]
    lanes.append({"origin": "brewery", "destination": "factory"} | shipping)
    demand = {"kind": "known", "values": [4, 4, 4, 4, 8]}
    return problem(
        {
            "horizon": params["weeks"],
            "demand": demand,
            "suppliers": [{"name": "brewery"}],
            "warehouses": stages,
            "lanes": lanes,
        }
    )
