"""Luck: the same for every policy and batch, in streams that never meet, with the moments it claims;
forecasts; demand read from files."""

from __future__ import annotations

from math import pi, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from scipy import stats

from building import problem
from marl_inv.chance.trace import Trace
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem, load_problem

STREAMS = ("train", "tune", "validate", "evaluate")

MIXED = """
  horizon: 6
  history: 2
  products: [{name: cup}, {name: pot}]
  warehouses:
    - {name: a, demand: {kind: poisson, mean: [2, 7]}}
    - {name: hub, faces_demand: false}
    - {name: b, demand: {kind: normal, mean: 3, sd: 2}}
    - {name: c, demand: {kind: negative_binomial, mean: 3, sd: [2, 4]}}
"""


EVERYTHING = """
  horizon: 12
  history: 2
  quantities: integer
  products: [{name: cup}, {name: pot}]
  suppliers: [{name: mill}]
  regimes: {factors: [0.5, 1, 2], stay: 0.7, shared: false}
  forecast: {horizon: 3, error: 0.2}
  events:
    - {kind: surge, probability: 0.2, duration: [1, 3], factor: 1.5}
    - {kind: outage, probability: 0.2, duration: 2, targets: [mill]}
    - {kind: delay, probability: 0.2, periods: 2}
  warehouses:
    - {name: a, initial_stock: {low: 0, high: [1000000, 9]}, demand: {kind: poisson, mean: [2, 7], season: {period: 5, amplitude: 0.5}}}
    - {name: hub, faces_demand: false, initial_stock: 20}
    - {name: b, demand: {kind: normal, mean: 3, sd: 2}}
    - {name: c, demand: {kind: negative_binomial, mean: 3, sd: [2, 4], trend: 0.01}}
    - {name: d, demand: {kind: gamma, mean: 30, sd: 20}}
    - {name: e, demand: {kind: geometric, mean: 3}}
    - {name: f, demand: {kind: discrete_uniform, high: 9}}
  lanes:
    - {origin: hub, destination: a, lead_time: {values: [1, 2]}}
    - {origin: mill, destination: hub, lead_time: {values: [2, 5]}}
"""
CHANCES = ("demand", "lead_time", "available", "forecast", "start")


def chances(trace: Trace) -> dict[str, torch.Tensor]:
    return {name: getattr(trace, name) for name in CHANCES}


def everything(**changes: object) -> Problem:
    return problem(YAML(typ="safe", pure=True).load(EVERYTHING) | changes)


# The same luck


def test_replication_i_of_a_seed_is_the_same_alone_and_in_a_batch():
    mixed = problem(MIXED)
    batch = mixed.trace("evaluate", 7, 5).demand
    for i in range(5):
        assert torch.equal(mixed.trace("evaluate", 7, range(i, i + 1)).demand, batch[..., i : i + 1])
    assert torch.equal(mixed.trace("evaluate", 7, range(2, 4)).demand, batch[..., 2:4])


@pytest.mark.parametrize("correlation", [0, 0.4])
def test_all_of_its_luck_is_the_same_alone_and_in_a_batch(correlation: float):
    shops = everything(correlation=correlation)
    batch = chances(shops.trace("tune", 7, 200))
    for i in (0, 3, 199):
        for name, values in chances(shops.trace("tune", 7, range(i, i + 1))).items():
            assert torch.equal(values, batch[name][..., i : i + 1]), name


def test_all_of_its_luck_differs_between_streams_seeds_and_replications():
    shops = everything()
    drawn = [
        chances(shops.trace(stream, seed, range(replication, replication + 1)))
        for stream in STREAMS
        for seed in (0, 1)
        for replication in range(2)
    ]
    for name in CHANCES:
        assert len({episode[name].numpy().tobytes() for episode in drawn}) > (
            len(drawn) - 1 if name != "available" else 8
        ), name


@pytest.mark.parametrize(
    ("change", "altered"),
    [
        ({"regimes": None}, {"demand", "forecast"}),
        ({"forecast": None}, {"forecast"}),
        ({"lanes": []}, {"lead_time"}),
        (
            {"events": [{"kind": "surge", "probability": 0.2, "duration": [1, 3], "factor": 1.5}]},
            {"lead_time", "available"},
        ),
        ({"correlation": 0.5}, {"demand", "forecast"}),
        ({"demand": {"kind": "poisson", "mean": 1}}, set()),
    ],
)
def test_every_kind_of_chance_leaves_the_others_as_they_are(change: dict[str, object], altered: set[str]):
    """What is taken away alters only what it acts on."""
    full, part = (
        chances(shops.trace("train", 2, 5, horizon=12)) for shops in (everything(), everything(**change))
    )
    for name in CHANCES:
        same = part[name] is not None and torch.equal(full[name], part[name])
        assert same is (name not in altered), name


def test_an_event_alters_no_other_of_its_kind():
    """Neither does it matter that an event before it in the file has luck of its own."""
    floods = [
        {"kind": "outage", "probability": 0.3, "targets": [lane]} for lane in ("hub->a", "mill->hub", "mill")
    ]
    three, two = (everything(events=events).trace("train", 2, 5).available for events in (floods, floods[:2]))
    assert torch.equal(three[:, :2], two[:, :2])


@pytest.mark.parametrize("correlation", [0, 0.4])
def test_a_period_is_the_same_in_a_longer_episode_with_a_longer_past(correlation: float):
    events = [{"kind": "surge", "at": [3, 14], "duration": [1, 3], "factor": 1.5}]
    short, long = (
        everything(correlation=correlation, regimes=None, events=events, history=history).trace(
            "train", 0, 4, horizon=horizon
        )
        for history, horizon in ((2, 10), (7, 25))
    )
    assert torch.equal(short.demand, long.demand[5 : 5 + 12])
    assert torch.equal(short.lead_time, long.lead_time[:10])
    assert torch.equal(short.start, long.start)


def test_regimes_and_outages_begin_alike_in_a_longer_episode():
    short, long = (everything().trace("train", 0, 4, horizon=horizon) for horizon in (10, 25))
    assert torch.equal(short.demand, long.demand[:12])
    assert torch.equal(short.available, long.available[:11])


def test_demand_is_read_off_at_ranks_that_are_defined():
    """Published results rest on it: period p is at place 2p (the past at 2|p| - 1) times 2^128 over the
    golden ratio, replications follow."""
    shops = problem(
        "history: 1\nhorizon: 3\nwarehouses: [{name: a, demand: {kind: negative_binomial, mean: 10, sd: "
        "9}}, {name: b}]"
    )
    demand = shops.trace("evaluate", 5, range(2, 4)).demand[:, 0]
    models = stats.nbinom(100 / 71, 10 / 81), stats.poisson(1)
    for row, place in zip(demand, (1, 0, 2, 4), strict=True):
        source = np.random.PCG64DXSM(np.random.SeedSequence(5, spawn_key=(3, 0, 0)))
        source.advance(place * 0x9E3779B97F4A7C15F39CC0605CEDC835 + 2 * 2)
        rank = np.random.Generator(source).random((2, 2))
        assert row.tolist() == [model.ppf(rank[:, n]).tolist() for n, model in enumerate(models)]


def test_streams_seeds_and_replications_never_meet():
    """Neither do large seeds with small ones, though numpy cuts them into words of 32 bits."""
    mixed = problem(MIXED)
    episodes = [
        mixed.trace(stream, seed, range(replication, replication + 1)).demand.numpy().tobytes()
        for stream in STREAMS
        for seed in (0, 1, 2, 3, 2**32, 2**32 + 1, 2**64)
        for replication in range(4)
    ]
    assert len(set(episodes)) == len(episodes) == 4 * 7 * 4


def test_a_trace_knows_its_past():
    trace = problem(MIXED).trace("train", 0, 3)
    assert (len(trace), trace.replications, trace.demand.shape) == (6, 3, (2 + 6, 2, 4, 3))
    assert torch.equal(trace.at(0).demand, trace.demand[2])
    assert torch.equal(trace.known(0).past_demand[-1], trace.demand[1])
    assert torch.equal(trace.known(5).past_demand[-2], trace.at(3).demand)


def test_an_episode_may_be_longer_than_the_scenarios():
    assert len(problem(MIXED).trace("train", 0, 1, horizon=50)) == 50


# Moments


@pytest.mark.parametrize(
    ("model", "mean", "sd"),
    [
        ("kind: poisson, mean: 5", 5, sqrt(5)),
        ("kind: poisson, mean: 0", 0, 0),
        ("kind: normal, mean: 50, sd: 8", 50, 8),
        (
            "kind: normal, mean: 0, sd: 1",
            1 / sqrt(2 * pi),
            sqrt(1 / 2 - 1 / (2 * pi)),
        ),  # half of it is cut to zero
        ("kind: normal, mean: 3, sd: 0", 3, 0),
        ("kind: normal, mean: 1, sd: 2, cut_at_zero: false", 1, 2),
        (
            "kind: negative_binomial, mean: 5, sd: 5.477225575051661",
            5,
            sqrt(5 + 5**2),
        ),  # geometric: variance mean + mean^2
        ("kind: negative_binomial, mean: 8, sd: 3", 8, 3),
        ("kind: negative_binomial, mean: 0, sd: 3", 0, 0),
    ],
)
def test_demand_has_the_moments_it_claims(model: str, mean: float, sd: float):
    """Claimed exactly; found in 200 000 draws within 5 standard errors (of the sd: by the delta method, from
    the fourth moment)."""
    source = problem(f"warehouses: [{{name: a, unmet_demand: backordered, demand: {{{model}}}}}]").demand
    assert source.mean[0, 0] == pytest.approx(mean)
    assert source.sd[0, 0] == pytest.approx(sd)
    draws = source.trace("train", 1, range(1), horizon=200_000).demand.numpy().ravel()
    assert draws.mean() == pytest.approx(mean, abs=1e-12 + 5 * sd / sqrt(len(draws)))
    spread = np.std((draws - mean) ** 2) / (2 * sd) if sd else 0
    assert draws.std() == pytest.approx(sd, abs=1e-6 + 5 * spread / sqrt(len(draws)))


def test_geometric_demand_is_negative_binomial():
    """Of mean 5 on 0, 1, 2..: P(0) = 1/6, P(1) = 5/36."""
    source = problem(
        "warehouses: [{name: a, demand: {kind: negative_binomial, mean: 5, sd: 5.477225575051661}}]"
    ).demand
    draws = source.trace("train", 1, range(1), horizon=200_000).demand
    assert (draws == 0).double().mean().item() == pytest.approx(1 / 6, abs=5 * sqrt(1 / 6 * 5 / 6 / 200_000))
    assert (draws == 1).double().mean().item() == pytest.approx(
        5 / 36, abs=5 * sqrt(5 / 36 * 31 / 36 / 200_000)
    )


def test_every_warehouse_and_product_has_demand_of_its_own():
    source = problem(MIXED).demand
    assert source.mean[:, :2].tolist() == [[2, 0], [7, 0]]
    assert source.sd[:, 3].tolist() == [2, 4]
    demand = source.trace("train", 0, range(1), horizon=20_000).demand[..., 0]
    np.testing.assert_allclose(demand.mean(0), source.mean, rtol=0.05)
    correlation = np.corrcoef(demand.reshape(len(demand), -1)[:, [0, 2, 3, 4, 6, 7]].T)
    assert abs(correlation - np.eye(6)).max() < 0.04


def test_cut_demand_is_never_negative_and_uncut_demand_is():
    for cut in (True, False):
        demand = {"kind": "normal", "mean": 1, "sd": 1, "cut_at_zero": cut}
        returns = (
            problem({"warehouses": [{"name": "a", "unmet_demand": "backordered", "demand": demand}]})
            .trace("train", 0, 100)
            .demand
            < 0
        )
        assert bool(returns.any()) is not cut


LONG_RUN = {
    "season": {
        "demand": {"kind": "negative_binomial", "mean": 8, "sd": 5, "season": {"factors": [0.5, 1, 2]}},
        "horizon": 60,
    },
    "cosine": {
        "demand": {"kind": "gamma", "mean": 8, "sd": 5, "season": {"period": 12, "amplitude": 0.8}},
        "horizon": 60,
    },
    "part of a season": {
        "demand": {"kind": "poisson", "mean": 8, "season": {"period": 52, "amplitude": 0.8}},
        "horizon": 26,
    },
    "trend": {"demand": {"kind": "geometric", "mean": 8, "trend": 0.02}, "horizon": 50},
    "known": {"demand": {"kind": "known", "values": [1, 2, 9]}, "horizon": 4},
    "uniform": {"demand": {"kind": "discrete_uniform", "low": 2, "high": 9}},
    "regimes": {
        "demand": {"kind": "negative_binomial", "mean": 8, "sd": 5},
        "regimes": {"factors": [1, 3], "transition": [[0.8, 0.2], [0.6, 0.4]]},
    },
    "regimes and season": {
        "demand": {"kind": "normal", "mean": 8, "sd": 5, "season": {"factors": [0.5, 2]}},
        "regimes": {"factors": [1, 3], "stay": 0.5},
    },
    "surges": {
        "demand": {"kind": "poisson", "mean": 8},
        "events": [{"kind": "surge", "probability": 0.3, "duration": [1, 3], "factor": 3}],
        "horizon": 400,
    },
    "surges at set times": {
        "demand": {"kind": "poisson", "mean": 8},
        "events": [{"kind": "surge", "at": [2, 6], "duration": [1, 3], "factor": 3}],
        "horizon": 10,
    },
}


@pytest.mark.parametrize("case", LONG_RUN)
def test_moments_count_everything_that_varies(case: str):
    """The total of all periods and episodes; to 1.5%, about 5 standard errors of these runs."""
    given = problem({"warehouses": [{"name": "a"}], "history": 0, **LONG_RUN[case]})
    demand = given.trace(
        "train", 1, 200_000 // given.scenario.horizon // (1 if case != "known" else 100)
    ).demand
    assert given.demand.mean[0, 0] == pytest.approx(demand.mean().item(), rel=0.015)
    assert given.demand.sd[0, 0] == pytest.approx(demand.std().item(), rel=0.015)


def test_moments_on_paper():
    """Known 4 in a season of 1 and 3: 4 or 12. Poisson of mean 2 in regimes of 1 and 3: variance 4 within, 4
    between."""
    season = problem(
        "horizon: 8\nwarehouses: [{name: a, demand: {kind: known, values: [4], season: {factors: [1, 3]}}}]"
    ).demand
    assert (season.mean.item(), season.sd.item()) == (8, 4)
    regimes = problem(
        "regimes: {factors: [1, 3]}\nwarehouses: [{name: a, demand: {kind: poisson, mean: 2}}]"
    ).demand
    assert (regimes.mean.item(), regimes.sd.item() ** 2) == (pytest.approx(4), pytest.approx(8))


# Forecasts and starting stock


def test_a_forecast_without_error_is_the_demand_to_come():
    """Row t tells of periods t, t + 1, t + 2; the last row looks beyond the episode."""
    demand = {"kind": "known", "values": [0, 1, 2, 3, 4, 5, 6, 7, 8]}
    told = problem(
        {"horizon": 4, "forecast": {"horizon": 3}, "warehouses": [{"name": "a", "demand": demand}]}
    ).trace("train", 0, 2)
    assert told.demand.shape == (1 + 4, 1, 1, 2)
    assert told.forecast[:, :, 0, 0, 0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 6]]
    assert torch.equal(told.forecast[..., 0], told.forecast[..., 1])


def test_what_a_forecast_sees_beyond_an_episode_is_what_a_longer_one_would_bring():
    told = problem(
        "history: 0\nforecast: {horizon: 6}\nwarehouses: [{name: a, demand: {kind: normal, mean: 50, sd: 5}}]"
    )
    assert torch.equal(
        told.trace("train", 0, 3, horizon=4).forecast[-1], told.trace("train", 0, 3, horizon=10).demand[4:]
    )


def test_the_error_of_a_forecast_grows_with_the_root_of_the_periods_ahead():
    """0.1 of a mean of 50 one period ahead, twice that four ahead; unbiased; each row errs anew."""
    shops = (
        "[{name: a, demand: {kind: normal, mean: 50, sd: 5}}, {name: b, demand: {kind: normal, mean: "
        "20, sd: 1}}]"
    )
    told = problem(f"horizon: 97\nforecast: {{horizon: 4, error: 0.1}}\nwarehouses: {shops}").trace(
        "train", 0, 100
    )
    truth = told.demand[1:].unfold(0, 4, 1).movedim(-1, 1)
    error = (told.forecast[: len(truth)] - truth)[:, :, 0]
    count = error[:, 0, 0].numel()
    for n, mean in enumerate((50, 20)):
        for ahead in range(4):
            sd = 0.1 * mean * sqrt(ahead + 1)
            assert error[:, ahead, n].std().item() == pytest.approx(sd, abs=5 * sd / sqrt(2 * count))
            assert error[:, ahead, n].mean().item() == pytest.approx(0, abs=5 * sd / sqrt(count))
    assert abs(np.corrcoef(error[1:, 0, 0].ravel(), error[:-1, 1, 0].ravel())[0, 1]) < 5 / sqrt(count)


def test_forecasts_are_cut_at_nothing_where_demand_is():
    demand = "{kind: normal, mean: 1, sd: 1, cut_at_zero: %s}"
    shops = (
        f"[{{name: a, demand: {demand % 'true'}}}, {{name: b, unmet_demand: backordered, demand: "
        f"{demand % 'false'}}}, {{name: hub, faces_demand: false}}]"
    )
    told = (
        problem(f"forecast: {{horizon: 2, error: 1}}\nwarehouses: {shops}")
        .trace("train", 0, 5)
        .forecast[:, :, 0]
    )
    assert told[:, :, 0].min() == 0
    assert told[:, :, 1].min() < -1
    assert not told[:, :, 2].any()


def test_starting_stock_is_drawn_where_it_lies_between_two_numbers():
    shops = "[{name: a, initial_stock: {low: [0, 5], high: [3, 5]}}, {name: b, initial_stock: [7, 8]}]"
    products = "products: [{name: cup}, {name: pot}]"
    whole = problem(f"quantities: integer\n{products}\nwarehouses: {shops}").trace("train", 0, 4000).start
    assert torch.bincount(whole[0, 0].long()).tolist() == [pytest.approx(1000, abs=5 * sqrt(750))] * 4
    assert [whole[k, n].unique().tolist() for k, n in ((1, 0), (0, 1), (1, 1))] == [[5], [7], [8]]
    drawn = problem(f"{products}\nwarehouses: {shops}").trace("train", 0, 4000).start[0, 0]
    assert 0 <= drawn.min() < 0.01 < 2.99 < drawn.max() < 3
    assert drawn.mean().item() == pytest.approx(1.5, abs=5 * 3 / sqrt(12 * 4000))


def test_a_trace_moves_as_a_whole_and_lead_times_stay_whole_numbers():
    moved = everything().trace("train", 0, 2).to(torch.device("cpu"), torch.float32)
    assert {name: values.dtype for name, values in chances(moved).items()} == {
        name: torch.long if name == "lead_time" else torch.float32 for name in CHANCES
    }
    chance = moved.at(3)
    assert torch.equal(chance.lead_time, moved.lead_time[3])
    assert torch.equal(chance.available, moved.available[3])
    assert [moved.at(period).last for period in (0, 10, 11)] == [False, False, True]


# Files


def table(folder: Path, rows: list[str], header: str = "period,product,a,b") -> Path:
    (folder / "sales.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


def sales(folder: Path, more: str = "", *settings: str) -> Problem:
    """Twelve periods (or what the file holds): 0-7 are for training, 8-11 for evaluation."""
    (folder / "shops.yaml").write_text(
        f"""
horizon: 3
history: 2
products: [{{name: tea}}]
demand: {{kind: empirical, path: sales.csv, train: [0, 8], evaluate: [8, 12]}}
warehouses: [{{name: a}}, {{name: b}}{more}]
ending: finite
""",
        encoding="utf-8",
    )
    return load_problem(folder / "shops.yaml", settings, dtype=torch.float64)


COUNTING = [f"{period},tea,{period},{100 + period}" for period in range(12)]


def test_training_draws_stretches_of_the_training_part_at_random(tmp_path: Path):
    """2 periods of history and 3 to play: stretches begin in period 0, 1, 2 or 3, and both warehouses live
    through the same one."""
    shops = sales(table(tmp_path, COUNTING))
    for stream in ("train", "tune", "validate"):
        demand = shops.trace(stream, 0, 200).demand[:, 0]
        assert torch.equal(demand[:, 1], demand[:, 0] + 100)
        assert torch.equal(demand[1:, 0], demand[:-1, 0] + 1)
        assert set(demand[0, 0].tolist()) == {0, 1, 2, 3}


def test_evaluation_plays_its_own_stretch_with_the_history_before_it(tmp_path: Path):
    trace = sales(table(tmp_path, COUNTING)).trace("evaluate", seed=3, replications=50)
    assert trace.replications == 1
    assert trace.demand[:, 0, 0, 0].tolist() == [6, 7, 8, 9, 10]
    assert trace.at(0).demand[0, :, 0].tolist() == [8, 108]


def test_moments_are_those_of_the_training_part(tmp_path: Path):
    source = sales(table(tmp_path, COUNTING)).demand
    assert source.from_file
    assert source.mean.tolist() == [[3.5, 103.5]]
    assert source.sd.tolist() == [[pytest.approx(sqrt(63 / 12))] * 2]


def test_returns_and_gaps_count_as_no_demand_and_are_noted(tmp_path: Path):
    """A return of 3, an empty cell, and for pots everything but one row: 1 return, 1 + 2 x 11 gaps."""
    rows = ["0,tea,-3,1", "1,tea,,2", "1,pot,5,6", *COUNTING[2:]]
    shops = sales(table(tmp_path, rows), "", "products=[{name: tea}, {name: pot}]")
    assert shops.demand.notes == [
        "sales.csv: 1 negative numbers (returns) and 23 gaps among 48 were counted as no demand"
    ]
    past = shops.trace("evaluate", 0, 1, horizon=4).demand
    assert past[:, 1].sum() == 0
    assert shops.demand.mean[0, 0] == pytest.approx((0 + 0 + 2 + 3 + 4 + 5 + 6 + 7) / 8)


def test_periods_follow_the_file_and_other_columns_do_not_matter(tmp_path: Path):
    rows = [f"x,{row.split(',')[3]},week {row.split(',')[0]},tea,{row.split(',')[2]}" for row in COUNTING]
    shops = sales(table(tmp_path, rows, header="colour,b,week,product,a"), "", "demand.period_column=week")
    assert shops.trace("evaluate", 0, 1).at(0).demand[0, :, 0].tolist() == [8, 108]


def test_a_file_as_a_spreadsheet_saves_it_can_be_read(tmp_path: Path):
    """With a byte order mark and Windows line ends."""
    folder = table(tmp_path, COUNTING)
    plain = (folder / "sales.csv").read_bytes()
    (folder / "sales.csv").write_bytes(b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"))
    assert sales(folder).demand.mean.tolist() == [[3.5, 103.5]]


def test_a_file_may_stand_beside_modelled_demand(tmp_path: Path):
    shops = sales(table(tmp_path, COUNTING), ", {name: c, demand: {kind: poisson, mean: 4}}")
    assert shops.demand.mean.tolist() == [[3.5, 103.5, 4]]
    demand = shops.trace("train", 0, 40).demand
    assert torch.equal(demand[:, :, 1], demand[:, :, 0] + 100)
    assert demand[:, :, 2].mean() == pytest.approx(4, abs=5 * 2 / sqrt(200))


def test_an_episode_longer_than_the_file_allows_is_refused(tmp_path: Path):
    shops = sales(table(tmp_path, COUNTING))
    for stream, periods in (("train", 6), ("evaluate", 4)):
        assert len(shops.trace(stream, 0, 1, horizon=periods)) == periods
        with pytest.raises(
            InputError,
            match=f"has {periods} periods to play in this part; give a horizon of {periods} or less",
        ):
            shops.trace(stream, 0, 1, horizon=periods + 1)


def test_forecasts_look_on_in_the_file_and_see_the_mean_beyond_its_part(tmp_path: Path):
    """Evaluation plays 8, 9, 10 and has 11 left; the mean of the training part is 3.5."""
    shops = sales(table(tmp_path, COUNTING), "", "forecast={horizon: 3}")
    assert shops.trace("evaluate", 0, 1).forecast[:, :, 0, 0, 0].tolist() == [
        [8, 9, 10],
        [9, 10, 11],
        [10, 11, 3.5],
        [11, 3.5, 3.5],
    ]
    assert shops.trace("evaluate", 0, 1).demand[:, 0, 0, 0].tolist() == [6, 7, 8, 9, 10]
    training, plain = shops.trace("train", 0, 50), sales(table(tmp_path, COUNTING)).trace("train", 0, 50)
    assert torch.equal(training.demand, plain.demand)
    assert set(training.forecast[:, :, 0, 0].unique().tolist()) == {2, 3, 3.5, 4, 5, 6, 7}, (
        "periods 8 to 11 are for evaluation"
    )


def test_surges_multiply_what_the_file_says_and_integer_quantities_round_it(tmp_path: Path):
    surge = "events=[{kind: surge, at: [1], factor: 1.25, targets: [a]}]"
    shops = sales(table(tmp_path, COUNTING), "", surge)
    assert shops.trace("evaluate", 0, 1).demand[2:, 0, :, 0].tolist() == [[8, 108], [11.25, 109], [10, 110]]
    assert shops.demand.mean[0, 0] == pytest.approx(3.5 * (1 + 1.25 + 1) / 3)
    whole = sales(table(tmp_path, COUNTING), "", surge, "quantities=integer")
    assert whole.trace("evaluate", 0, 1).demand[3, 0, :, 0].tolist() == [11, 109]
