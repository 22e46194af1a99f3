"""Demand of another scale than in training: a product that is launched after it, a shop that grows 30 times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import marl_inv
from marl_inv.baselines import FollowingOrderUpTo
from marl_inv.chance.inspection import inspect
from marl_inv.episodes.decisions import OrderLevels
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.rollout import play
from marl_inv.learning.settings import TrainSettings
from marl_inv.learning.train import train

SCENARIO = """objective: cost
ending: continuing
horizon: 15
warm_up: 3
history: 4
products: [{name: old}, {name: new}, {name: dead}]
demand: {kind: empirical, path: sales.csv, train: [0, 40], evaluate: [44, 60]}
suppliers: [{name: mill}]
warehouses: [{name: north, holding_cost: 1, shortage_cost: 9}, {name: south, holding_cost: 1, shortage_cost: 9}]
lanes:
  - {origin: mill, destination: north, lead_time: 1}
  - {origin: mill, destination: south, lead_time: 1}
"""
"""`old` sells 10 at either shop, from period 40 on 300 at south; `new` sells 20 at both from then on."""


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    rows = ["period,product,north,south"]
    for period in range(60):
        late = period >= 40
        rows += [f"{period},old,10,{300 if late else 10}", f"{period},new,{20 * late},{20 * late}"]
        rows.append(f"{period},dead,0,0")
    (tmp_path / "sales.csv").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "it.yaml").write_text(SCENARIO, encoding="utf-8")
    return tmp_path / "it.yaml"


def asked(problem: Problem, policy: Policy) -> np.ndarray:
    """Per period on every lane, once stock has been built up: (K, E)."""
    moments = list(play(problem, policy, problem.trace("evaluate", 0, 1)))
    return np.mean([moment.flows.requests[..., 0].numpy() for moment in moments[5:]], axis=0)


EVERYTHING = [[10, 300], [20, 20], [0, 0]]


def test_following_asks_for_what_was_sold_lately(moved: Path):
    problem = marl_inv.load_problem(moved)
    assert asked(problem, FollowingOrderUpTo.of(problem)) == pytest.approx(np.array(EVERYTHING), abs=0.01)


def test_learning_begins_there(moved: Path):
    """After a training that is next to none, for what training never saw too."""
    problem = marl_inv.load_problem(moved)
    settings = TrainSettings(
        model="mlp", hidden=8, decisions=360, decisions_per_update=180, validations=1, start="newsvendor"
    )
    trained = train(problem, settings)
    assert asked(problem, trained.policy) == pytest.approx(np.array(EVERYTHING), rel=0.1, abs=0.01)


def test_actions_reach_what_evaluation_sells(moved: Path):
    """4 times what passes in lead time + 1 periods, as everywhere; 8 units of what is never sold."""
    network = marl_inv.load_problem(moved).network
    assert network.max_request.tolist() == [[80, 2400], [160, 160], [8, 8]]
    assert network.size.tolist() == [[10, 10], [1, 1], [1, 1]]  # what is learned by does not look ahead
    reached = OrderLevels.of(network, 11)
    assert (reached.step * 10)[:2].tolist() == [[20, 600], [40, 40]]
    env = marl_inv.parallel_env(moved)
    assert env.action_space("south").high.tolist() == [2400, 160, 8]


def test_check_tells_what_training_never_saw(moved: Path):
    told = [str(advice).partition("warning: ")[2] for advice in inspect(moved).advice]
    assert told[0].startswith(
        "training never saw demand that evaluation holds, of new at north, new at south:"
    )
    assert told[1].startswith("old sells 310 a period in evaluation and 20 in training:")
    assert told[2].startswith("south sells 320 a period in evaluation and 10 in training:")
    assert len(told) == 3
    text = moved.read_text(encoding="utf-8").replace(
        "train: [0, 40], evaluate: [44, 60]", "train: [0, 20], evaluate: [24, 40]"
    )
    moved.write_text(text, encoding="utf-8")
    assert not inspect(moved).advice


def test_what_is_no_longer_sold_is_told(moved: Path):
    text = moved.read_text(encoding="utf-8").replace(
        "train: [0, 40], evaluate: [44, 60]", "train: [40, 60], evaluate: [14, 30]"
    )
    moved.write_text(text, encoding="utf-8")
    told = [str(advice) for advice in inspect(moved).advice]
    assert any("new sells 0 a period in evaluation and 40 in training" in line for line in told)
