"""A run goes on for longer, or begins where another ended; one that fails is not in the way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from test_checkpoint import policy_in, same

from killed_runs import CHANGES, QUICK, scenario, settings
from marl_inv.common.documents import read_yaml
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import load_problem
from marl_inv.learning import train
from marl_inv.learning.runs import run_training, training_settings
from marl_inv.learning.settings import TrainSettings
from marl_inv.models.learned import load_policy

TWICE = {"decisions": 2 * QUICK["decisions"], "validations": 2 * QUICK["validations"]}


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """A finished run of a small graph network."""
    folder = tmp_path_factory.mktemp("runs") / "other"
    run_training(scenario(), settings(model="graph", decisions=500, validations=1, lr=0.1), folder)
    return folder


@pytest.mark.parametrize("algorithm", ["mappo", "pathwise"])
def test_n_steps_and_n_more_are_2n_bit_for_bit_where_the_learning_rate_is_constant(algorithm, tmp_path):
    chosen = {"algorithm": algorithm, "schedule": "constant", "keep": "last"}
    run_training(scenario(), settings(**chosen), tmp_path / "longer")
    short = policy_in(tmp_path / "longer")
    told: list[str] = []
    longer = settings(**chosen, decisions=TWICE["decisions"])
    _, ended = run_training(scenario(), longer, tmp_path / "longer", resume=True, say=told.append)
    _, whole = run_training(scenario(), settings(**chosen, **TWICE), tmp_path / "whole")
    assert f"{tmp_path / 'longer'}: goes on after validation 5 of 10" in told
    assert not any("learning rate" in line for line in told)
    assert same(policy_in(tmp_path / "longer"), policy_in(tmp_path / "whole"))
    assert not same(policy_in(tmp_path / "longer"), short)
    assert ended.percent_over_baseline == whole.percent_over_baseline
    trained = read_yaml(tmp_path / "longer" / "run.yaml").data["training"]
    assert trained == read_yaml(tmp_path / "whole" / "run.yaml").data["training"]


def test_a_learning_rate_that_had_fallen_to_0_is_told_to_begin_again(tmp_path):
    """5 updates fell from 0.001 to 0; of 10, the first 5 leave half of it."""
    run_training(scenario(), settings(), tmp_path / "run")
    told: list[str] = []
    longer = settings(decisions=TWICE["decisions"])
    run_training(scenario(), longer, tmp_path / "run", resume=True, say=told.append)
    assert (
        f"{tmp_path / 'run'}: its learning rate had fallen to 0 and falls again from 0.0005; only" in told[0]
    )


def test_a_run_does_not_get_shorter_nor_change_its_validations_alone(tmp_path):
    run_training(scenario(), settings(), tmp_path / "run")
    for changes, told in (
        ({"decisions": 500}, "decisions was 2500 and is now 500"),
        ({"validations": 9}, ""),
    ):
        with pytest.raises(InputError, match=f"training\\.{told or 'validations was 5 and is now 9'}; go on"):
            run_training(scenario(), settings(**changes), tmp_path / "run", resume=True)


def test_training_begins_as_the_policy_of_another_run(other, tmp_path, monkeypatch):
    """No update: what is kept is what it began as."""
    monkeypatch.setattr(train.Training, "over", True)
    chosen = training_settings([f"start={other}", "decisions=500", "validation_replications=4"])
    assert (chosen.hidden, chosen.model) == (8, "graph")
    _, trained = run_training(scenario(), chosen, tmp_path / "run")
    assert same(policy_in(tmp_path / "run"), policy_in(other))
    problem = load_problem("two_warehouses", CHANGES)
    assert trained.policy.encoding.vocabulary == load_policy(other, problem).encoding.vocabulary


def test_it_may_be_of_another_network_and_goes_on_after_a_stop(other, tmp_path, monkeypatch):
    ring = load_problem("ring_transshipment", [*CHANGES, "ending=finite"])
    chosen = training_settings([f"start={other}", *(f"{k}={v}" for k, v in QUICK.items() if k != "model")])
    _, whole = run_training(ring, chosen, tmp_path / "whole")
    kept = train._keep

    def stop(training, folder):
        kept(training, folder)
        if training.trainer._epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "_keep", stop)
        with pytest.raises(KeyboardInterrupt):
            run_training(ring, chosen, tmp_path / "run")
    _, ended = run_training(ring, chosen, tmp_path / "run", resume=True)
    assert same(policy_in(tmp_path / "run"), policy_in(tmp_path / "whole"))
    assert ended.percent_over_baseline == whole.percent_over_baseline
    (tmp_path / "run" / "run.yaml").write_text(
        re.sub("begins_at: .*", "begins_at: 0000", (tmp_path / "run" / "run.yaml").read_text())
    )
    with pytest.raises(InputError, match="begins_at was 0 and is now"):
        run_training(ring, chosen, tmp_path / "run", resume=True)


def test_a_policy_that_does_not_fit_is_refused(other, tmp_path):
    with pytest.raises(InputError, match="its policy has hidden=8, and hidden is 32; leave it away"):
        train.train(load_problem("two_warehouses", CHANGES), TrainSettings(start=str(other)))
    with pytest.raises(
        InputError, match="start is 'tund'; give tuned, newsvendor, or the folder of a run; did"
    ):
        training_settings(["start=tund"])
    with pytest.raises(InputError, match="nowhere: cannot be read"):
        training_settings([f"start={tmp_path}/nowhere"])


@pytest.mark.parametrize("there", [True, False])
def test_a_training_that_fails_leaves_nothing_in_the_way(there, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    if there:
        folder.mkdir()

    def fails(*given):
        (folder / "events.out.tfevents.1").touch()
        (folder / "tuned-order-up-to").mkdir()
        raise InputError("too little memory")

    with monkeypatch.context() as patch:
        patch.setattr(train, "_begun", fails)
        with pytest.raises(InputError, match="too little memory"):
            run_training(scenario(), settings(), folder)
    assert folder.exists() == there
    assert not there or list(folder.iterdir()) == []
    run_training(scenario(), settings(decisions=500, validations=1), folder)
    assert torch.isfinite(next(iter(policy_in(folder).values()))).all()
