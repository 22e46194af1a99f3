"""No byte of a run or of a grid changes a result in silence, nor does a file in the place of another."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from marl_inv.common.documents import read_yaml
from marl_inv.common.errors import InputError
from marl_inv.common.progress import say_nothing
from marl_inv.common.sealed import write_sealed
from marl_inv.episodes.problem import Problem, load_problem
from marl_inv.experiments.cell import SCORES, scores_in
from marl_inv.experiments.results import LISTING, read_results
from marl_inv.experiments.run import run
from marl_inv.learning.checkpoint import CHECKPOINT, read_checkpoint, run_of
from marl_inv.learning.runs import training_settings
from marl_inv.models.learned import POLICY, load_policy
from marl_inv.policies import policy_named
from marl_inv.report.measurements import learning_curve

GRID = """scenarios:
  - {scenario: two_warehouses, settings: {horizon: 10, warm_up: 0}}
policies:
  - order_up_to
  - algorithm: mappo
    settings: {decisions: 2000, decisions_per_update: 500, validations: 2, validation_replications: 4, hidden: 8, model: mlp, start: newsvendor}
seeds: 2
replications: 4
reference: order_up_to
"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("grid")
    (place / "small.yaml").write_text(GRID, encoding="utf-8")
    run(place / "small.yaml", place / "out")
    return place / "out"


def trained(grid: Path) -> Path:
    return min(file.parent for file in grid.glob(f"*/{CHECKPOINT}"))


def told_by_results(grid: Path) -> Any:
    """All numbers of a grid, or that some of it is missing."""
    results = read_results([grid])
    if results.missing:
        raise InputError(results.missing[0])
    return results.records(), [outcome.problem for outcome in results.outcomes]


def told_by_policy(grid: Path) -> Any:
    policy = load_policy(trained(grid), load_problem("two_warehouses", ["horizon=10", "warm_up=0"]))
    return {name: tensor.tolist() for name, tensor in policy.actor.state_dict().items()}, policy.name


def told_by_checkpoint(grid: Path) -> Any:
    folder = trained(grid)
    begun = read_yaml(folder / "run.yaml").data
    settings = training_settings([], None, **begun["training"])
    problem = load_problem("two_warehouses", ["horizon=10", "warm_up=0"])
    state = read_checkpoint(folder, run_of(problem.scenario, settings), say_nothing)
    assert state is not None
    return {name: tensor.tolist() for name, tensor in state["best"].items()}, state["trainer"]


def told_by_events(grid: Path) -> Any:
    results = read_results([grid])
    [outcome] = [outcome for outcome in results.outcomes if outcome.trained]
    found = learning_curve(Problem.of(outcome.problem), outcome)
    assert found is not None
    return [np.asarray(part).tolist() for part in found]


KINDS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any]]] = {
    LISTING: (lambda grid: grid / LISTING, told_by_results),
    SCORES: (lambda grid: trained(grid) / SCORES, told_by_results),
    POLICY: (lambda grid: trained(grid) / POLICY, told_by_policy),
    "run.yaml": (lambda grid: trained(grid) / "run.yaml", told_by_policy),
    CHECKPOINT: (lambda grid: trained(grid) / CHECKPOINT, told_by_checkpoint),
    "events": (lambda grid: min(trained(grid).glob("events.*")), told_by_events),
}


def changed_in_silence(grid: Path, kind: str, times: int) -> list[str]:
    """Bytes (and bits) whose change is not noticed, and changes what is told."""
    where, told = KINDS[kind]
    file, before = where(grid), told(grid)
    content = file.read_bytes()
    chance, found = Random(kind), []
    try:
        for _ in range(times):
            place, bit = chance.randrange(len(content)), chance.randrange(8)
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            file.write_bytes(flipped)
            try:
                after = told(grid)
            except InputError:
                continue
            if after != before:
                found.append(f"byte {place}, bit {bit}")
    finally:
        file.write_bytes(content)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_flipped_bytes(grid, kind):
    assert changed_in_silence(grid, kind, 5) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes(grid, kind):
    assert changed_in_silence(grid, kind, 200) == []


def test_scores_in_the_place_of_others_are_noticed(grid, tmp_path):
    copy = shutil.copytree(grid, tmp_path / "copy")
    one, other, *_ = sorted(file.parent for file in copy.glob(f"*/{SCORES}"))
    shutil.copy(one / SCORES, other / SCORES)
    with pytest.raises(InputError, match=f"{SCORES}: is of another cell"):
        scores_in(other)
    assert len(read_results([copy]).missing) == 1


def test_a_policy_in_the_place_of_another_is_noticed(grid, tmp_path):
    copy = shutil.copytree(grid, tmp_path / "copy")
    one, other = sorted(file.parent for file in copy.glob(f"*/{POLICY}"))
    shutil.copy(one / POLICY, other / POLICY)
    with pytest.raises(InputError, match=r"was trained in another run than .*run.yaml"):
        load_policy(other, "two_warehouses")


def test_a_remembered_tuning_in_the_place_of_another_is_tuned_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MARL_INV_CACHE", str(tmp_path))
    problem = load_problem("two_warehouses", ["horizon=8", "warm_up=0"])
    first = policy_named("tuned_order_up_to", problem)
    [file] = tmp_path.iterdir()
    content = file.read_bytes()
    write_sealed(file, {"levels": first.levels * 7}, {"of": "another"})
    again = policy_named("tuned_order_up_to", problem)
    assert torch.equal(first.levels, again.levels)
    assert file.read_bytes() == content


@pytest.mark.slow
def test_the_same_grid_writes_the_same_bytes(grid, tmp_path):
    run(grid.parent / "small.yaml", tmp_path / "out")
    for file in (LISTING, f"{trained(grid).name}/{POLICY}", f"{trained(grid).name}/run.yaml"):
        assert (tmp_path / "out" / file).read_bytes() == (grid / file).read_bytes(), file
