"""Training under shocks: which traces it sees, what it maximises, and that it is taken up again to the bit."""

from __future__ import annotations

import pytest
import torch

from marl_inv import InputError, train
from marl_inv.learning.algorithms.pathwise import mean_of_worst
from marl_inv.learning.runs import training_settings
from training import SMALL, small_training

FALL = "shocks: [{name: fall, factors: [0.2], begins: [0, 0]}]"


@pytest.fixture
def fall(tmp_path):
    path = tmp_path / "fall.yaml"
    path.write_text(FALL, encoding="utf-8")
    return str(path)


def test_the_mean_of_the_worst():
    earned = torch.tensor([5.0, -3.0, 1.0, 0.0, 9.0])
    assert mean_of_worst(earned, 1.0) == earned.mean()
    assert mean_of_worst(earned, 0.4) == -1.5
    assert mean_of_worst(earned, 0.01) == -3


def test_its_gradient_is_of_the_worst_alone():
    earned = torch.tensor([5.0, -3.0, 1.0, 0.0, 9.0], requires_grad=True)
    mean_of_worst(earned, 0.4).backward()
    assert earned.grad.tolist() == [0, 0.5, 0, 0.5, 0]


@pytest.mark.parametrize("algorithm", ["pathwise", "mappo"])
def test_training_and_validation_are_shocked_and_what_the_policy_is_told_is_not(algorithm, fall):
    robust = {"shocks": fall, "share": 1.0}
    calm, shocked = (small_training(algorithm=algorithm, robust=each) for each in (None, robust))
    for traces in (
        [each.validation.trace for each in (calm, shocked)],
        [drawn(each) for each in (calm, shocked)],
    ):
        expected, found = (trace.demand[trace.history :].mean() for trace in traces)
        assert found == pytest.approx(0.2 * float(expected), rel=0.05)
    assert torch.equal(calm.policy.encoding.network.mean_demand, shocked.policy.encoding.network.mean_demand)


def drawn(training):
    problem = training.experience.problem
    return problem.trace("train", 0, 20)


@pytest.mark.parametrize("objective", ["mean", "cvar"])
def test_a_run_under_shocks_is_taken_up_again_to_the_bit(objective, tmp_path):
    settings = SMALL | {"algorithm": "pathwise", "robust": {"shocks": "market", "objective": objective}}
    whole = train("two_warehouses", out=tmp_path / "whole", **settings)
    half = tmp_path / "half"
    with pytest.raises(KeyboardInterrupt):
        train("two_warehouses", out=half, progress=stopping_after(1), **settings)
    again = train("two_warehouses", out=half, resume=True, **settings)
    for name, value in whole.policy.actor.state_dict().items():
        assert torch.equal(again.policy.actor.state_dict()[name], value), name


def stopping_after(epochs: int):
    def progress(items, what):
        for number, item in enumerate(items):
            if what.startswith("training") and number == epochs:
                raise KeyboardInterrupt
            yield item

    return progress


def test_settings_are_given_by_path_and_refused_where_they_make_no_sense():
    chosen = training_settings(["algorithm=pathwise", "robust.shocks=unseen", "robust.objective=cvar"])
    assert (chosen.robust.shocks, chosen.robust.objective, chosen.robust.share) == ("unseen", "cvar", 0.75)
    with pytest.raises(InputError, match=r"robust.objective is cvar and algorithm mappo"):
        training_settings(["algorithm=mappo", "robust.objective=cvar"])
    with pytest.raises(InputError, match="no library of shocks"):
        train("two_warehouses", **SMALL | {"robust": {"shocks": "weather"}})
