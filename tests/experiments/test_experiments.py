"""Experiments: what a file stands for, that no cell is computed twice, and intervals that count both sources
of chance."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem
from marl_inv.evaluation.evaluate import evaluate
from marl_inv.evaluation.statistics import Spread
from marl_inv.evaluation.tables import markdown
from marl_inv.experiments.cell import Cell, compute
from marl_inv.experiments.experiment import read_experiment
from marl_inv.experiments.results import Results, grid_tables
from marl_inv.experiments.run import run
from marl_inv.models.learned import POLICY, load_policy
from small_grid import SMALL, metrics, same


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    return tmp_path / "small.yaml"


# What a file stands for


def test_a_file_stands_for_every_scenario_policy_and_seed(file: Path):
    file.write_text(
        SMALL.replace(
            "settings: {horizon: 10, warm_up: 0}", "vary: {horizon: [10, 12], warm_up: [0, 2]}"
        ).replace("reward_mix: [0.0]", "hops: [0, global]")
    )
    _, grid = read_experiment(file)
    assert len(grid) == 4 * (1 + 3 * 2)
    assert {cell.scenario for cell in grid} == {
        f"two_warehouses horizon={h} warm_up={w}" for h in (10, 12) for w in (0, 2)
    }
    assert list(dict.fromkeys(cell.policy for cell in grid)) == [
        "order_up_to",
        "mappo",
        "mappo hops=0",
        "mappo hops=global",
    ]
    assert [cell.plan.hops for cell in grid[1:7]] == [2, 2, 0, 0, "global", "global"]
    assert [cell.plan.seed for cell in grid[1:7]] == [0, 1] * 3
    assert grid[-1].problem.horizon == 12
    assert len({cell.folder for cell in grid}) == len(grid)


def test_a_cells_folder_is_named_after_all_that_its_result_depends_on(file: Path):
    def folders(text: str) -> set[str]:
        file.write_text(text)
        return {cell.folder for cell in read_experiment(file)[1]}

    before = folders(SMALL)
    assert folders(SMALL.replace("seeds: 2", "seeds: [1, 0]")) == before
    assert len(folders(SMALL.replace("seeds: 2", "seeds: 3")) & before) == 5
    for change in (("replications: 8", "replications: 9"), ("horizon: 10", "horizon: 11")):
        assert not folders(SMALL.replace(*change)) & before
    assert len(folders(SMALL.replace("hidden: 8", "hidden: 4")) & before) == 1


SHOPS = """
horizon: 8
warm_up: 2
products: {count: 1}
demand: {kind: empirical, path: demand.csv, train: [0, 30], evaluate: [30, 38]}
suppliers: [{name: mill}]
warehouses: [{name: shop_1, holding_cost: 1, shortage_cost: 5}, {name: shop_2, holding_cost: 1, shortage_cost: 5}]
lanes: [{origin: mill, destination: shop_1, lead_time: 1}, {origin: mill, destination: shop_2, lead_time: 1}]
"""

DATA = """
scenarios: [shops.yaml]
policies: [order_up_to, following_order_up_to, policy_of_mine:Mine]
reference: order_up_to
replications: 4
"""


def sold(folder: Path, products: int, least: int) -> None:
    """A file of 40 weeks in two shops."""
    rows = ["period,product,shop_1,shop_2"]
    rows += [
        f"{week},product_{product},{least + week % (3 + product)},{2 + product}"
        for week in range(40)
        for product in range(products)
    ]
    (folder / "demand.csv").write_text("\n".join(rows), encoding="utf-8")
    (folder / "shops.yaml").write_text(SHOPS.replace("count: 1", f"count: {products}"), encoding="utf-8")


def test_a_cells_folder_changes_with_the_files_that_its_result_depends_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Of demand, and of a policy of one's own."""
    (tmp_path / "data.yaml").write_text(DATA, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def folders(least: int, source: str) -> set[str]:
        sold(tmp_path, 1, least)
        (tmp_path / "policy_of_mine.py").write_text(source, encoding="utf-8")
        return {cell.folder for cell in read_experiment(tmp_path / "data.yaml", allow_code=True)[1]}

    source = "from marl_inv.baselines import OrderUpTo as Mine\n"
    before = folders(5, source)
    assert folders(5, source) == before
    assert len(folders(5, source + "# changed") & before) == len(before) - 1 == 2
    assert not folders(6, source) & before


@pytest.mark.parametrize("products", [3, 1])
def test_products_are_samples_of_the_one_trace_that_a_file_has(
    products: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """And one product alone tells nothing of chance."""
    monkeypatch.chdir(tmp_path)
    sold(tmp_path, products, 3)
    (tmp_path / "data.yaml").write_text(DATA.replace(", policy_of_mine:Mine", ""), encoding="utf-8")
    results = run(tmp_path / "data.yaml", tmp_path / "out")
    [table] = map(markdown, grid_tables(results))
    assert (
        f"the one evaluation trace of the data, whose {products} products are samples, the same for all. "
        "95% intervals" in table
    )
    [gain] = results.judged["shops"].gains.values()
    assert math.isinf(gain.half_width) == (products == 1)
    assert math.isnan(gain.p_value) == (products == 1)


def test_tuned_order_up_to_is_the_reference_unless_another_is_named(file: Path):
    file.write_text(SMALL.replace("reference: order_up_to", ""))
    assert [cell.policy for cell in read_experiment(file)[1]][:2] == ["tuned_order_up_to", "order_up_to"]


MISTAKES = {
    "scenario": (
        "two_warehouses",
        "two_warehuoses",
        "2:5: two_warehuoses: is no scenario; did you mean two_warehouses?; or give the path of a .yaml file "
        "or of a network (.json, .graphml, .gexf, .gml)",
    ),
    "twice": (
        "  - order_up_to\n",
        "  - order_up_to\n  - order_up_to\n",
        "3:1: policies has 'order_up_to' twice; leave one out",
    ),
    "settings of a baseline": (
        "- order_up_to",
        "- {policy: order_up_to, settings: {lr: 1}}",
        "4:5: policies[0] has settings for the policy order_up_to; only what is trained has any, by "
        "`algorithm`",
    ),
    "neither": (
        "- order_up_to",
        "- {}",
        "4:5: policies[0] names neither or both of policy and algorithm; give one: {algorithm: mappo}",
    ),
    "reference": (
        "reference: order_up_to",
        "reference: ippo",
        "10:1: reference is 'ippo', which is no policy here; give one of order_up_to, mappo, mappo "
        "reward_mix=0.0",
    ),
    "two places to train at": (
        "- algorithm: mappo",
        "- train_on: {scenario: two_warehouses, vary: {horizon: [9, 10]}}\n    algorithm: mappo",
        "5:5: policies[1] trains on more than one scenario; give an entry for each, with a name",
    ),
    "key": ("seeds:", "sedes:", "8:1: sedes is not a known key; did you mean seeds?"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_place(file: Path, mistake: str):
    old, new, message = MISTAKES[mistake]
    assert old in SMALL
    file.write_text(SMALL.replace(old, new, 1))
    with pytest.raises(InputError) as refusal:
        read_experiment(file)
    assert str(refusal.value).removeprefix(f"{file}:") == message


def test_a_wrong_setting_of_training_is_told_with_its_policy(file: Path):
    file.write_text(SMALL.replace("hidden: 8", "hiden: 8"))
    with pytest.raises(
        InputError, match=r"small.yaml:5:5: mappo: .*hiden is not a known key; did you mean hidden"
    ):
        read_experiment(file)


# Computing


def test_a_grid_is_computed_once_whoever_computes_it_and_becomes_a_table(file: Path, tmp_path: Path):
    results = run(file, tmp_path / "out", workers=2)
    _, grid = read_experiment(file)
    times = {
        path: path.stat().st_mtime_ns
        for path in (tmp_path / "out").rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    said: list[str] = []
    again = run(file, tmp_path / "out", workers=1, say=said.append)
    assert said == [f"{tmp_path / 'out'}: 5 of 5 cells are there already"]
    assert {path: path.stat().st_mtime_ns for path in times} == times
    (tmp_path / "here").mkdir()
    for cell in grid:
        compute(cell, tmp_path / "here")
    assert same(metrics(tmp_path / "here"), metrics(tmp_path / "out"))
    check_outcomes(results, grid)
    assert [outcome.samples.tolist() for outcome in again.outcomes] == [
        outcome.samples.tolist() for outcome in results.outcomes
    ]
    [table] = grid_tables(results)
    page = markdown(table).splitlines()
    assert page[2] == "| policy | profit | fill | on hand | moved | gain | gain % | CPU-min |"
    assert [line.split(" | ")[0] for line in page[4:7]] == [
        "| order_up_to",
        "| mappo",
        "| mappo reward_mix=0.0",
    ]


ELSEWHERE = """scenarios:
  - {name: short, scenario: two_warehouses, settings: {horizon: 6, warm_up: 0}}
  - {name: long, scenario: two_warehouses, settings: {horizon: 12, warm_up: 0}}
policies:
  - order_up_to
  - name: visitor
    algorithm: mappo
    train_on: {scenario: two_warehouses, settings: {horizon: 10, warm_up: 0}}
    settings: {decisions: 2000, decisions_per_update: 500, validations: 2, validation_replications: 4, hidden: 8, model: mlp}
seeds: 2
replications: 8
reference: order_up_to
"""


def test_what_is_trained_elsewhere_is_trained_once_for_all_scenarios(file: Path, tmp_path: Path):
    file.write_text(ELSEWHERE)
    results = run(file, tmp_path / "out", workers=2)
    trained = {path.parent for path in (tmp_path / "out").glob(f"*/{POLICY}")}
    assert len(trained) == 2
    _, grid = read_experiment(file)
    assert {tmp_path / "out" / cell.run for cell in grid if cell.elsewhere} == trained
    problem = Problem.of(grid[-1].problem)
    policies = [load_policy(tmp_path / "out" / cell.run, problem) for cell in grid[-2:]]
    assert problem.scenario.horizon == 12
    for samples, score in zip(
        results.of("long")[-1].samples, evaluate(problem, policies, replications=8), strict=True
    ):
        assert torch.equal(samples, score.samples)


def check_outcomes(results: Results, grid: list[Cell]) -> None:
    order_up_to, mappo, selfish = results.outcomes
    assert order_up_to.samples.shape == (1, 8)
    assert mappo.samples.shape == selfish.samples.shape == (2, 8)
    assert not torch.equal(mappo.samples[0], mappo.samples[1])
    judged = results.judged[order_up_to.scenario]
    assert judged.differences[order_up_to.policy].half_width == 0
    pooled = Spread.of([mappo.samples, selfish.samples])
    assert pooled.degrees == 2
    for outcome in (mappo, selfish):
        assert judged.spreads[outcome.policy] == pooled.at_least(Spread.of([outcome.samples]))
    assert judged.gains[mappo.policy].mean == pytest.approx(
        float((mappo.samples - order_up_to.samples).mean())
    )


def test_a_folder_is_one_runs_at_a_time(file: Path, tmp_path: Path):
    holder = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held', "
        "flush=True); sys.stdin.read()"
    )
    (tmp_path / "out").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "out" / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another run is at work there"):
            run(file, tmp_path / "out")
        other.communicate("")
