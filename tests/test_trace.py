"""Luck: the same for every policy and batch, in streams that never meet, with the moments it claims; and demand read from files."""

from __future__ import annotations

from math import pi, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch

from building import problem
from marl_inv.problem import Problem, load_problem
from marl_inv.reading import InputError

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


# The same luck


def test_replication_i_of_a_seed_is_the_same_alone_and_in_a_batch():
    mixed = problem(MIXED)
    batch = mixed.trace("evaluate", 7, 5).demand
    for i in range(5):
        assert torch.equal(mixed.trace("evaluate", 7, range(i, i + 1)).demand, batch[..., i : i + 1])
    assert torch.equal(mixed.trace("evaluate", 7, range(2, 4)).demand, batch[..., 2:4])


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
    assert torch.equal(trace.past_demand(0, lag=1), trace.demand[1])
    assert torch.equal(trace.past_demand(5, lag=2), trace.at(3).demand)


def test_an_episode_may_be_longer_than_the_scenarios():
    assert len(problem(MIXED).trace("train", 0, 1, horizon=50)) == 50


# Moments


@pytest.mark.parametrize(
    ("model", "mean", "sd"),
    [
        ("kind: poisson, mean: 5", 5, sqrt(5)),
        ("kind: poisson, mean: 0", 0, 0),
        ("kind: normal, mean: 50, sd: 8", 50, 8),
        ("kind: normal, mean: 0, sd: 1", 1 / sqrt(2 * pi), sqrt(1 / 2 - 1 / (2 * pi))),  # half of it is cut to zero
        ("kind: normal, mean: 3, sd: 0", 3, 0),
        ("kind: normal, mean: 1, sd: 2, cut_at_zero: false", 1, 2),
        ("kind: negative_binomial, mean: 5, sd: 5.477225575051661", 5, sqrt(5 + 5**2)),  # geometric: variance mean + mean^2
        ("kind: negative_binomial, mean: 8, sd: 3", 8, 3),
        ("kind: negative_binomial, mean: 0, sd: 3", 0, 0),
    ],
)
def test_demand_has_the_moments_it_claims(model: str, mean: float, sd: float):
    """Claimed exactly; found in 200 000 draws within 5 standard errors (of the sd: by the delta method, from the fourth moment)."""
    source = problem(f"warehouses: [{{name: a, unmet_demand: backordered, demand: {{{model}}}}}]").demand
    assert source.mean[0, 0] == pytest.approx(mean)
    assert source.sd[0, 0] == pytest.approx(sd)
    draws = source.trace("train", 1, range(1), horizon=200_000).demand.numpy().ravel()
    assert draws.mean() == pytest.approx(mean, abs=1e-12 + 5 * sd / sqrt(len(draws)))
    spread = np.std((draws - mean) ** 2) / (2 * sd) if sd else 0
    assert draws.std() == pytest.approx(sd, abs=1e-6 + 5 * spread / sqrt(len(draws)))


def test_geometric_demand_is_negative_binomial():
    """Of mean 5 on 0, 1, 2..: P(0) = 1/6, P(1) = 5/36."""
    source = problem("warehouses: [{name: a, demand: {kind: negative_binomial, mean: 5, sd: 5.477225575051661}}]").demand
    draws = source.trace("train", 1, range(1), horizon=200_000).demand
    assert (draws == 0).double().mean().item() == pytest.approx(1 / 6, abs=5 * sqrt(1 / 6 * 5 / 6 / 200_000))
    assert (draws == 1).double().mean().item() == pytest.approx(5 / 36, abs=5 * sqrt(5 / 36 * 31 / 36 / 200_000))


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
            problem({"warehouses": [{"name": "a", "unmet_demand": "backordered", "demand": demand}]}).trace("train", 0, 100).demand < 0
        )
        assert bool(returns.any()) is not cut


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
""",
        encoding="utf-8",
    )
    return load_problem(folder / "shops.yaml", settings, dtype=torch.float64)


COUNTING = [f"{period},tea,{period},{100 + period}" for period in range(12)]


def test_training_draws_stretches_of_the_training_part_at_random(tmp_path: Path):
    """2 periods of history and 3 to play: stretches begin in period 0, 1, 2 or 3, and both warehouses live through the same one."""
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
    assert shops.demand.notes == ["sales.csv: 1 negative numbers (returns) and 23 gaps among 48 were counted as no demand"]
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
        with pytest.raises(InputError, match=f"has {periods} periods to play in this part; give a horizon of {periods} or less"):
            shops.trace(stream, 0, 1, horizon=periods + 1)
