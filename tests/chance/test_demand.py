"""Every kind of demand: quantiles and distributions against scipy's, however they come about; seasons and
trends on paper; copulas."""

from __future__ import annotations

from math import asin, pi, sqrt
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy import special, stats

from building import problem
from marl_inv.chance.demand import parametric
from marl_inv.common.errors import InputError
from marl_inv.scenario.demand import Demand

DRAWS = 200_000
BEYOND_CHANCE = 1e-6
"""A test that is right fails once in a million seeds, and the seeds are fixed."""

KINDS: dict[str, tuple[dict[str, Any], Any]] = {
    "poisson": ({"mean": 5}, lambda f: stats.poisson(5 * f)),
    "rare poisson": ({"kind": "poisson", "mean": 0.3}, lambda f: stats.poisson(0.3 * f)),
    "many poisson": ({"kind": "poisson", "mean": 3000}, lambda f: stats.poisson(3000 * f)),
    "normal": ({"mean": 10, "sd": 6, "cut_at_zero": False}, lambda f: stats.norm(10 * f, 6 * f)),
    "geometric": ({"mean": 4}, lambda f: stats.nbinom(1, 1 / (1 + 4 * f))),
    "negative_binomial": ({"mean": 10, "sd": 9}, lambda f: stats.nbinom(100 / 71, 100 / (100 + 710 * f))),
    "gamma": ({"mean": 6, "sd": 4}, lambda f: stats.gamma(2.25, scale=f * 16 / 6)),
    "discrete_uniform": (
        {"low": 2, "high": 7},
        lambda f: stats.rv_discrete(2, 8, values=(np.arange(2, 8), [1 / 6] * 6)),
    ),
}
WAYS: dict[str, dict[str, Any]] = {
    "drawn": {},
    "of the copula": {"correlation": 0.6},
    "in season": {"season": {"factors": [1.7]}},
    "in a surge": {"events": [{"kind": "surge", "probability": 1, "factor": 1.7}]},
    "in a slump": {"events": [{"kind": "surge", "probability": 1, "factor": 0.4}]},
    "of the copula in a season and a surge": {
        "correlation": -0.5,
        "season": {"factors": [2]},
        "events": [{"kind": "surge", "probability": 1, "factor": 0.6}],
    },
}
FACTOR = {"drawn": 1, "of the copula": 1, "in season": 1.7, "in a surge": 1.7, "in a slump": 0.4}


def model(kind: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind} | KINDS[kind][0] | more


def draws(
    models: list[dict[str, Any]], periods: int = 2000, episodes: int = 100, **scenario: Any
) -> np.ndarray:
    """Demand (T, N) of warehouses with these models, one episode after the other, without the past."""
    warehouses = [
        {"name": f"w{n}", "unmet_demand": "backordered", "demand": given} for n, given in enumerate(models)
    ]
    trace = problem({"warehouses": warehouses, "history": 0, **scenario}).trace(
        "train", 1, episodes, horizon=periods
    )
    return trace.demand[:, 0].permute(2, 0, 1).reshape(-1, len(models)).numpy()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_demand_has_the_distribution_it_claims(kind: str, way: str):
    """Within the band that holds the whole empirical distribution function (Dvoretzky-Kiefer-Wolfowitz); mean
    and sd to 5 errors."""
    scenario = dict(WAYS[way])
    season = {"season": scenario.pop("season")} if "season" in scenario else {}
    factor = FACTOR.get(way, 1.2)
    found = draws([model(kind, **season), model("normal")], **scenario)[:, 0]
    claimed = KINDS[kind][1](factor)
    if kind == "discrete_uniform":
        found, factor = found / factor, 1
    values = np.unique(found)
    band = sqrt(np.log(2 / BEYOND_CHANCE) / (2 * DRAWS))
    reached = np.searchsorted(np.sort(found), values, side="right") / DRAWS
    assert abs(reached - claimed.cdf(values + 1e-9)).max() < band
    assert found.mean() == pytest.approx(claimed.mean(), abs=5 * claimed.std() / sqrt(DRAWS))
    spread = np.std((found - claimed.mean()) ** 2) / (2 * claimed.std())
    assert found.std() == pytest.approx(claimed.std(), abs=5 * spread / sqrt(DRAWS))


@pytest.mark.parametrize("way", ["drawn", "of the copula", "in a surge", "in a slump"])
@pytest.mark.parametrize(
    "kind", ["poisson", "rare poisson", "geometric", "negative_binomial", "discrete_uniform"]
)
def test_every_count_is_as_frequent_as_it_claims(kind: str, way: str):
    """Chi-square over the counts that are expected 20 times and more."""
    factor = FACTOR[way]
    found = draws([model(kind), model("normal")], **WAYS[way])[:, 0]
    counts = found / factor if kind == "discrete_uniform" else found
    claimed = KINDS[kind][1](factor)
    assert np.allclose(counts, counts.round())
    common = np.arange(100)[claimed.pmf(np.arange(100)) * DRAWS >= 20]
    observed = np.array([(abs(counts - value) < 0.5).sum() for value in common])
    expected = claimed.pmf(common) * DRAWS
    rest = max(DRAWS - expected.sum(), 0)
    statistic = ((observed - expected) ** 2 / expected).sum() + (DRAWS - observed.sum() - rest) ** 2 / max(
        rest, 1
    )
    assert stats.chi2.sf(statistic, len(common)) > BEYOND_CHANCE


RANKS = np.r_[2.0**-53, 1e-10, np.random.default_rng(1).random(20_000), 1 - 1e-10, 1 - 2.0**-53]


@pytest.mark.parametrize("mean", [0.01, 0.3, 1, 10, 100, 500, 100_000])
def test_counts_are_the_quantiles_of_their_rank(mean: float):
    """Of many means at once, and of means so many and so large that only some probabilities are tabulated."""
    kinds = {stats.poisson: ("poisson", {}, lambda m: (m,))}
    kinds[stats.nbinom] = ("negative_binomial", {"sd": 2 * mean + 1}, lambda m: (r, r / (r + m)))
    for distribution, (kind, more, parameters) in kinds.items():
        counts = parametric([TypeAdapter(Demand).validate_python({"kind": kind, "mean": mean, **more})], 1)
        factors = np.array([1, 1.7, 0.4] if distribution is stats.poisson else [1, 1.7])
        r = mean**2 / ((2 * mean + 1) ** 2 - mean)
        found = counts.at_rank(factors[:, None, None])(
            np.broadcast_to(RANKS, (len(factors), 1, 1, len(RANKS))).copy(), slice(None)
        )
        for factor, row in zip(factors, found[:, 0, 0], strict=True):
            sure = slice(1, -1)
            np.testing.assert_array_equal(
                row[sure], distribution(*parameters(mean * factor)).ppf(RANKS)[sure]
            )


@pytest.mark.parametrize("shape", [0.01, 0.3, 1, 2.25, 50, 10_000])
def test_gamma_demand_is_the_quantile_of_its_rank(shape: float):
    model = TypeAdapter(Demand).validate_python({"kind": "gamma", "mean": 6, "sd": 6 / sqrt(shape)})
    found = parametric([model], 1).at_rank(np.ones((1, 1, 1)))(RANKS[None, None, None], slice(None)).ravel()
    np.testing.assert_allclose(found, special.gammaincinv(shape, RANKS) * 6 / shape, rtol=1e-8, atol=1e-290)


@pytest.mark.slow
@pytest.mark.parametrize("mean", [0.1, 1, 10, 100, 500])
def test_ten_million_poisson_counts_are_as_frequent_as_they_claim(mean: float):
    shop = problem({"warehouses": [{"name": "a", "demand": {"kind": "poisson", "mean": mean}}], "history": 0})
    found = np.bincount(shop.trace("train", 1, 10_000, horizon=1000).demand.numpy().astype(np.int64).ravel())
    expected = stats.poisson(mean).pmf(np.arange(len(found))) * found.sum()
    common = expected >= 20
    rest, seen = found.sum() - expected[common].sum(), found[~common].sum()
    statistic = ((found - expected) ** 2 / expected)[common].sum() + (seen - rest) ** 2 / max(rest, 1)
    assert found.sum() == 10**7
    assert stats.chi2.sf(statistic, common.sum()) > BEYOND_CHANCE


def test_cut_normal_demand_is_zero_as_often_as_the_normal_is_negative():
    """Mean 1, sd 2: P(X < 0) = 0.3085; also under a copula and in a surge, which scales it."""
    cut = {"kind": "normal", "mean": 1, "sd": 2}
    for scenario in (
        {},
        {"correlation": 0.5},
        {"events": [{"kind": "surge", "probability": 1, "factor": 3}]},
    ):
        found = draws([cut, cut], **scenario)
        assert found.min() == 0
        assert (found == 0).mean() == pytest.approx(0.3085, abs=5 * sqrt(0.3085 * 0.6915 / DRAWS))


@pytest.mark.parametrize("way", ["drawn", "of the copula", "in a surge"])
def test_demand_without_a_mean_or_without_a_spread_is_certain(way: str):
    certain = [
        ({"kind": "poisson", "mean": 0}, 0),
        ({"kind": "geometric", "mean": 0}, 0),
        ({"kind": "negative_binomial", "mean": 0, "sd": 3}, 0),
        ({"kind": "gamma", "mean": 0, "sd": 3}, 0),
        ({"kind": "gamma", "mean": 4, "sd": 0}, 4),
        ({"kind": "normal", "mean": 4, "sd": 0}, 4),
        ({"kind": "discrete_uniform", "low": 4, "high": 4}, 4),
    ]
    found = draws([given for given, _ in certain], periods=50, episodes=1, **WAYS[way])
    np.testing.assert_allclose(
        found, np.tile([FACTOR[way] * value for _, value in certain], (50, 1)), rtol=1e-12
    )


def test_a_season_without_demand_is_empty():
    for kind in KINDS:
        found = draws([model(kind, season={"factors": [1, 0]})], periods=400, episodes=1)[:, 0]
        assert found[::2].any()
        assert not found[1::2].any()


# On paper


def known(values: list[float], periods: int = 6, history: int = 0, **more: Any) -> list[float]:
    demand = {"kind": "known", "values": values, **more}
    trace = problem({"warehouses": [{"name": "a", "demand": demand}], "history": history}).trace(
        "evaluate", 3, 1, horizon=periods
    )
    return trace.demand[:, 0, 0, 0].tolist()


def test_known_demand_is_as_written_and_its_last_value_stays():
    assert known([4, 0, 2.5]) == [4, 0, 2.5, 2.5, 2.5, 2.5]
    assert known([4, 0, 2.5], periods=2, history=2) == [4, 4, 4, 0]


def test_the_season_runs_through_the_past():
    """Period -1 is the last of the cycle."""
    assert known([10], history=4, season={"factors": [1, 2, 3]}) == [30, 10, 20, 30, 10, 20, 30, 10, 20, 30]


def test_a_cosine_season_is_highest_at_its_peak():
    """10 x (1 + 0.5 cos(2 pi (t - 1) / 4)): 10, 15, 10, 5, and again."""
    assert known([10], season={"period": 4, "amplitude": 0.5, "peak": 1}) == pytest.approx(
        [10, 15, 10, 5, 10, 15]
    )


def test_a_trend_grows_from_period_0_and_stops_at_nothing():
    assert known([10], trend=0.1, history=1) == pytest.approx([9, 10, 11, 12, 13, 14, 15])
    assert known([10], trend=-0.4, history=1) == pytest.approx([14, 10, 6, 2, 0, 0, 0])


def test_trend_season_and_what_is_known_are_multiplied():
    """10, 20, 20.. x 1, 2, 1, 2.. x 1, 1.5, 2, 2.5.."""
    assert known([10, 20], trend=0.5, season={"factors": [1, 2]}, periods=4) == pytest.approx(
        [10, 60, 40, 100]
    )


def test_the_mean_of_random_demand_follows_the_season():
    for kind, (_, distribution) in KINDS.items():
        found = draws([model(kind, season={"factors": [0.5, 2]})])[:, 0]
        for phase, factor in enumerate((0.5, 2)):
            claimed = distribution(1).mean() * factor
            half = found[phase::2]
            assert half.mean() == pytest.approx(claimed, abs=5 * half.std() / sqrt(len(half)))


def test_integer_quantities_round_demand_to_whole_units():
    certain = [
        {"kind": "known", "values": [2.4, 2.6]},
        {"kind": "discrete_uniform", "low": 3, "high": 3, "season": {"factors": [1.2]}},
    ]
    assert draws(certain, periods=2, episodes=1, quantities="integer").tolist() == [[2, 4], [3, 4]]
    random = draws([model("normal"), model("gamma")], periods=200, episodes=1, quantities="integer")
    assert np.array_equal(random, random.round())


# Together


def test_normal_demands_have_the_correlation_of_the_copula():
    matrix = [[1, 0.8, -0.3], [0.8, 1, 0], [-0.3, 0, 1]]
    found = draws([model("normal")] * 3, correlation=matrix)
    np.testing.assert_allclose(np.corrcoef(found.T), matrix, atol=5 / sqrt(DRAWS))


def test_different_kinds_are_correlated_by_rank():
    """At correlation 1/2, both are below their medians with probability 1/4 + asin(1/2) / 2 pi = 1/3."""
    assert 1 / 4 + asin(1 / 2) / (2 * pi) == pytest.approx(1 / 3)
    found = draws([model("gamma"), model("normal"), model("poisson")], correlation=0.5)
    below = found[:, :2] < [stats.gamma(2.25, scale=16 / 6).median(), 10]
    assert below.all(1).mean() == pytest.approx(1 / 3, abs=5 * sqrt(2 / 9 / DRAWS))


def test_counts_are_correlated_as_the_normals_behind_them():
    """Both Poisson demands of mean 1 are 0 when both normals are below the 1/e quantile."""
    found = draws([{"kind": "poisson", "mean": 1}, {"kind": "poisson", "mean": 1}], correlation=0.7)
    quantile = stats.norm.ppf(np.exp(-1))
    both = stats.multivariate_normal(cov=[[1, 0.7], [0.7, 1]]).cdf([quantile, quantile])
    assert (found == 0).all(1).mean() == pytest.approx(both, abs=5 * sqrt(both * (1 - both) / DRAWS))


def test_at_correlation_1_equal_warehouses_sell_alike():
    found = draws([model("negative_binomial")] * 3, periods=1000, episodes=1, correlation=1)
    assert np.ptp(found, axis=1).max() == 0
    assert len(np.unique(found)) > 20


def test_warehouses_may_be_as_opposed_as_their_number_allows():
    """Three normals of correlation -1/2 add up to what is certain."""
    found = draws([model("normal")] * 3, periods=1000, episodes=1, correlation=-0.5)
    np.testing.assert_allclose(found.sum(1), 30, atol=1e-6)


def test_products_and_periods_stay_independent():
    shops = {"warehouses": [{"name": "a"}, {"name": "b"}], "demand": {"kind": "normal", "mean": 10, "sd": 1}}
    given = {"products": [{"name": "cup"}, {"name": "pot"}], "correlation": 0.9, **shops}
    demand = problem(given).trace("train", 1, 1, horizon=40_000).demand[..., 0].reshape(-1, 4).numpy()
    expected = np.array([[1, 0.9, 0, 0], [0.9, 1, 0, 0], [0, 0, 1, 0.9], [0, 0, 0.9, 1]])
    np.testing.assert_allclose(np.corrcoef(demand.T), expected, atol=5 / sqrt(40_000))
    lagged = np.corrcoef(demand[1:].T, demand[:-1].T)[:4, 4:]
    assert abs(lagged).max() < 5 / sqrt(40_000)


def test_a_correlation_of_nothing_changes_nothing():
    models = [model("negative_binomial"), model("normal")]
    plain = draws(models, periods=20, episodes=1)
    for nothing in (0, [[1, 0], [0, 1]]):
        assert np.array_equal(draws(models, periods=20, episodes=1, correlation=nothing), plain)


def test_a_surge_leaves_the_rest_of_demand_as_it_was_and_keeps_its_rank():
    """Only periods 5 to 9 change; more customers in a surge, fewer in a slump, never the other way."""
    for scenario in ({}, {"correlation": 0.4}):
        for kind in KINDS:
            plain = draws([model(kind), model("normal")], periods=40, episodes=1, **scenario)
            for factor, direction in ((3, 1), (0.3, -1)):
                surge = {"kind": "surge", "at": [5], "duration": 5, "factor": factor, "targets": ["w0"]}
                changed = draws(
                    [model(kind), model("normal")], periods=40, episodes=1, events=[surge], **scenario
                )
                outside = np.r_[0:5, 10:40]
                assert np.array_equal(changed[outside], plain[outside])
                assert np.array_equal(changed[:, 1], plain[:, 1])
                difference = direction * (changed - plain)[5:10, 0]
                assert (difference * np.sign(plain[5:10, 0] + 1e-9) >= 0).all()
                assert difference.any()


@pytest.mark.parametrize("way", ["drawn", "of the copula"])
def test_counts_beyond_what_can_be_told_apart_are_refused(way: str):
    given = {"kind": "poisson", "mean": 1e12, "season": {"factors": [1e5]}}
    with pytest.raises(
        InputError, match=r"has up to 1e\+17 units; give at most 1e15, or kind normal or gamma"
    ):
        draws([given, given], periods=2, episodes=1, **WAYS[way])
