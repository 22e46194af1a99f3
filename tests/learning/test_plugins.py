"""Code of one's own is found by its name and does what it is for; what is wrong with it is one line; and no
file has it run by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_checkpoint import same, trained_for, weights

import marl_inv
from killed_runs import CHANGES, QUICK, settings
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.common.documents import read_yaml
from marl_inv.common.errors import InputError
from marl_inv.common.plugins import imported
from marl_inv.common.progress import say_nothing
from marl_inv.common.sealed import read_sealed
from marl_inv.episodes.problem import load_problem
from marl_inv.experiments.experiment import read_experiment
from marl_inv.experiments.run import run
from marl_inv.experiments.search import read_search
from marl_inv.learning import train
from marl_inv.learning.checkpoint import read_checkpoint, write_checkpoint
from marl_inv.learning.runs import run_training, training_settings
from marl_inv.learning.settings import TrainSettings
from marl_inv.models.learned import POLICY, load_policy
from marl_inv.policies import policy_named
from marl_inv.scenario import load_scenario

OWN = """
import torch
from torch import nn
from pathlib import Path
from marl_inv.baselines import RandomRequests
from marl_inv.learning.algorithms import reinforce, ppo

Path("ran").touch()
DEFAULTS = {"lr": 0.02, "own": {"weight": 2.0, "kind": "plain"}}
number = 3

build = reinforce.build
builds_ppo = ppo.build
returns_nothing = lambda parts: None

class Weighed(reinforce.JointReinforce):
    def loss(self, distribution, action, advantage):
        return self.own["weight"] * super().loss(distribution, action, advantage)

weighed = Weighed.build

class Net(nn.Module):
    def __init__(self, encoding, settings, inputs):
        super().__init__()
        self.layer = nn.Linear(inputs, settings.hidden)

    def forward(self, features):
        return self.layer(features)

class Narrow(Net):
    def forward(self, features):
        return self.layer(features)[..., :3]

no_module = lambda encoding, settings, inputs: "a network"
same_reward = lambda moment, settings: moment.costs.reward
doubled = lambda moment, settings: settings.own["weight"] * moment.costs.reward
total = lambda moment, settings: moment.costs.reward.sum()
constant = lambda moment, settings: torch.ones_like(moment.costs.reward)

class Policy:
    name, knows = "mine", "nothing"
    def start(self, network, replications): ...
    def act(self, view, memory): ...

class Halfway:
    name, knows = "halfway", "nothing"
    def start(self, network, replications): ...
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, with a module of one's own, which `marl-inv` by itself would not find."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (tmp_path / "mine.py").write_text(OWN, encoding="utf-8")
    return tmp_path


def prepared(**changes):
    problem = load_problem("two_warehouses", CHANGES)
    return train.prepare(problem, settings(**changes), OrderUpTo.of(problem))


def trained(**changes):
    return weights(trained_for(prepared(**changes), 2))


# Found by name


@pytest.mark.parametrize("name", ["mine:Policy", "mine.py:Policy", "./mine.py:Policy"])
def test_code_is_found_in_the_current_folder(name: str):
    before = list(sys.path)
    assert imported(name).name == "mine"
    assert policy_named(name, load_problem("two_warehouses")).name == "mine"
    assert sys.path == before


def test_the_command_line_finds_it_where_it_is_called(folder: Path):
    """-P: as the script `marl-inv`, which does not look into the current folder."""
    words = [
        "train",
        "two_warehouses",
        "--algorithm",
        "mine:build",
        "--model",
        "mine:Net",
        "reward=mine:doubled",
        "own.weight=3",
    ]
    quick = [f"{key}={value}" for key, value in QUICK.items() if key != "model"]
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "marl_inv", *words, *CHANGES, *quick, "--out", "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "trained mine:build" in ran.stdout
    assert "--allow-code" in ran.stdout
    written = read_yaml(folder / "out" / "run.yaml").data
    assert (written["training"]["algorithm"], written["training"]["lr"]) == ("mine:build", 0.02)
    assert written["training"]["own"] == {"weight": 3, "kind": "plain"}
    assert set(written["code"]) == {"mine:build", "mine:Net", "mine:doubled"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere:build", "there is no module nowhere in .* or on PYTHONPATH"),
        ("nowhere/mine.py:build", r"nowhere/mine.py is not there"),
        ("mine:biuld", "has no biuld; did you mean build"),
        ("mine:number", "is 3; name a class or a function"),
        ("mine:", "names no code; give module:name or path/to/file.py:name"),
        ("broken:build", r"cannot be imported \(NameError: name 'oops' is not defined\); mend broken"),
        ("needs:build", r"cannot be imported \(ModuleNotFoundError: No module named 'absent'\); mend needs"),
    ],
)
def test_what_cannot_be_found_is_one_line(name: str, told: str, folder: Path):
    (folder / "broken.py").write_text("oops", encoding="utf-8")
    (folder / "needs.py").write_text("import absent", encoding="utf-8")
    if name == "mine:biuld":
        (folder / "mine.py").write_text("def build(parts): ...", encoding="utf-8")
    with pytest.raises(InputError, match=told) as error:
        training_settings(algorithm=name)
    assert str(error.value).startswith(name)
    assert "\n" not in str(error.value)


def test_a_setting_that_no_code_has_is_refused():
    assert training_settings(["own.weight=5"], algorithm="mine:build").own == {"weight": 5, "kind": "plain"}
    with pytest.raises(InputError, match=r"own.wieght is in no DEFAULTS .*did you mean weight"):
        training_settings(["own.wieght=5"], algorithm="mine:build")
    with pytest.raises(InputError, match=r"own.weight is in no DEFAULTS"):
        training_settings(["own.weight=5"])


# What it gives


def test_an_own_build_that_is_reinforce_trains_what_reinforce_does():
    assert same(trained(algorithm="mine:build"), trained(algorithm="reinforce", lr=0.02))


def test_a_loss_of_ones_own_is_what_is_lowered():
    """Times 1 it is reinforce's; times 0 nothing moves."""
    plain = trained(algorithm="reinforce", lr=0.02)
    assert same(trained(algorithm="mine:weighed", own={"weight": 1.0}), plain)
    still = prepared(algorithm="mine:weighed", own={"weight": 0.0})
    before = weights(still)
    assert same(weights(trained_for(still, 2)), before)
    assert not same(plain, before)


def test_code_of_ones_own_may_be_named_where_python_calls(folder: Path):
    quick = QUICK | {"decisions": 500, "validations": 1, "model": "mine:Net"}
    named = {"algorithm": "mine:build", "reward": "mine:doubled", "own": {"weight": 3}}
    trained = marl_inv.train("two_warehouses", CHANGES, **quick, **named)
    assert trained.policy.name == "mine:build"
    with pytest.raises(InputError, match="elsewhere:Net: cannot be imported"):
        marl_inv.train("two_warehouses", CHANGES, **QUICK | {"model": "elsewhere:Net"})


@pytest.mark.parametrize("algorithm", ["mappo", "reinforce", "pathwise", "iql"])
def test_a_reward_that_is_the_objective_changes_nothing(algorithm: str):
    plain = {"algorithm": algorithm, "lr": 0.01}
    assert same(trained(**plain, reward="mine:same_reward"), trained(**plain))


@pytest.mark.parametrize("algorithm", ["mappo", "reinforce", "pathwise", "vdn"])
def test_another_reward_teaches_something_else_and_is_judged_by_the_same(algorithm: str):
    plain, other = (
        prepared(algorithm=algorithm, lr=0.01, reward=reward) for reward in (None, "mine:constant")
    )
    with torch.no_grad():
        assert (
            plain.validation._play_on(None).returns.tolist()
            == other.validation._play_on(None).returns.tolist()
        )
    if algorithm == "pathwise":
        with pytest.raises(InputError, match="reward: has no gradient; make it of differentiable operations"):
            trained_for(other, 1)
    else:
        assert not same(weights(trained_for(plain, 2)), weights(trained_for(other, 2)))


def test_rewards_twice_as_large_are_scaled_to_the_same():
    """By two, which rounds nothing."""
    assert same(
        trained(algorithm="mappo", lr=0.01, reward="mine:doubled"), trained(algorithm="mappo", lr=0.01)
    )


@pytest.mark.parametrize("algorithm", ["mappo", "ippo", "pathwise", "vdn"])
def test_an_own_network_is_trained_by_everyone(algorithm: str):
    training = prepared(algorithm=algorithm, model="mine:Net")
    before = weights(training)
    after = weights(trained_for(training, 1))
    assert any(not torch.equal(before[name], after[name]) for name in before if "trunk.layer" in name)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"algorithm": "mine:returns_nothing"}, "mine:returns_nothing: returns NoneType; return a Built"),
        ({"model": "mine:no_module"}, "mine:no_module: makes str; make a torch.nn.Module"),
        (
            {"model": "mine:Narrow"},
            r"mine:Narrow: gives \(2, 1, 2, 3\); give a tensor \(2, 1, 2, 8\): rows, products, warehouses, hidden",
        ),
        (
            {"reward": "mine:total"},
            r"mine:total: gives \(\); give a tensor \(1, 2, 8\): products, warehouses, replications",
        ),
    ],
)
def test_what_gives_something_else_is_told_what_to_give(changes: dict[str, str], told: str):
    with pytest.raises(InputError, match=told):
        prepared(**changes)


def test_a_policy_that_cannot_act_is_refused():
    with pytest.raises(
        InputError,
        match="mine:Halfway: makes Halfway, which has no act; a policy has name, knows, start and act",
    ):
        policy_named("mine:Halfway", load_problem("two_warehouses"))


# On disk


def test_a_run_by_an_own_algorithm_goes_on_bit_for_bit(folder: Path):
    changes = {"algorithm": "mine:builds_ppo", "model": "mine:Net", "reward": "mine:doubled"}
    whole = trained_for(prepared(**changes), 4)
    half = trained_for(prepared(**changes), 2)
    write_checkpoint(folder, {}, half.state())
    torch.manual_seed(12345)
    again = prepared(**changes)
    again.restore(read_checkpoint(folder, {}, say_nothing))
    assert same(weights(trained_for(again, 2)), weights(whole))


def test_a_run_whose_code_has_changed_is_not_gone_on_with(folder: Path):
    scenario, own = load_scenario("two_warehouses", CHANGES), settings(algorithm="mine:build")
    run_training(scenario, own, folder / "out")
    finished = read_sealed(folder / "out" / POLICY, "")[1]
    run_training(scenario, own, folder / "out", resume=True)
    assert same(read_sealed(folder / "out" / POLICY, "")[1], finished)
    (folder / "mine.py").write_text(OWN + "# changed", encoding="utf-8")
    with pytest.raises(InputError, match=r"code.mine:build was '[0-9a-f]{64}' and is now"):
        run_training(scenario, own, folder / "out", resume=True)


def test_a_run_without_own_code_is_told_as_it_was():
    told = TrainSettings().model_dump_json(exclude_none=True)
    assert '"own"' not in told
    assert '"reward"' not in told


def test_a_policy_with_an_own_network_runs_it_only_when_that_is_allowed(folder: Path):
    scenario, problem = load_scenario("two_warehouses", CHANGES), load_problem("two_warehouses", CHANGES)
    _, result = run_training(scenario, settings(model="mine:Net"), folder / "out")
    (folder / "ran").unlink()
    del sys.modules["mine"]
    for load in (load_policy, lambda path, problem: policy_named(str(path), problem)):
        with pytest.raises(
            InputError,
            match=r"policy.safetensors: names mine:Net, which is code .*; if you trust it, add --allow-code",
        ):
            load(folder / "out", problem)
    assert not (folder / "ran").exists()
    loaded = load_policy(folder / "out", problem, allow_code=True)
    assert same(loaded.actor.state_dict(), result.policy.actor.state_dict())
    (folder / "mine.py").unlink()
    del sys.modules["mine"]
    with pytest.raises(InputError, match="mine:Net: cannot be imported"):
        load_policy(folder / "out", problem, allow_code=True)


FILES = {
    "a policy": "policies: [order_up_to, 'mine:Policy']",
    "an algorithm": "policies: [order_up_to, {algorithm: 'mine:build'}]",
    "a network": "policies: [order_up_to, {algorithm: mappo, settings: {model: 'mine:Net'}}]",
    "a reward": "policies: [order_up_to, {algorithm: mappo, vary: {reward: ['mine:doubled']}}]",
}
EXPERIMENT = (
    "scenarios: [{scenario: two_warehouses, settings: {horizon: 10, warm_up: 0}}]\nreference: "
    "order_up_to\nseeds: 1\nreplications: 4\n"
)


@pytest.mark.parametrize("line", FILES.values(), ids=FILES)
def test_an_experiment_runs_no_code_by_itself(line: str, folder: Path):
    (folder / "grid.yaml").write_text(EXPERIMENT + line, encoding="utf-8")
    with pytest.raises(
        InputError,
        match=r"grid.yaml:5:.*: names mine:\w+, which is code that would be run; .* add --allow-code",
    ):
        read_experiment("grid.yaml")
    assert not (folder / "ran").exists()
    assert len(read_experiment("grid.yaml", allow_code=True)[1]) == 2


def test_neither_do_a_search_nor_a_file_of_settings(folder: Path):
    line = "policies: [order_up_to, {algorithm: mappo, search: {model: [mlp, 'mine:Net']}}]"
    (folder / "grid.yaml").write_text(EXPERIMENT + line, encoding="utf-8")
    (folder / "best.yaml").write_text("algorithm: mine:build", encoding="utf-8")
    with pytest.raises(InputError, match="model: names mine:Net"):
        read_search("grid.yaml")
    with pytest.raises(InputError, match=r"best.yaml:1:1: algorithm: names mine:build"):
        training_settings((), Path("best.yaml"))
    assert not (folder / "ran").exists()
    assert read_search("grid.yaml", allow_code=True).entry.search == {"model": ["mlp", "mine:Net"]}
    assert training_settings((), Path("best.yaml"), allow_code=True).lr == 0.02
    assert training_settings(["algorithm=mine:build"], Path("best.yaml")).algorithm == "mine:build"


@pytest.mark.slow
def test_a_grid_with_own_code_is_computed_by_workers_and_anew_when_it_changes(folder: Path):
    quick = ", ".join(
        f"{key}: {value}"
        for key, value in (QUICK | {"decisions": 500, "validations": 1, "start": "newsvendor"}).items()
    )
    named = f"{quick}, reward: 'mine:doubled'".replace("model: mlp", "model: 'mine:Net'")
    (folder / "grid.yaml").write_text(
        EXPERIMENT + f"policies: [order_up_to, {{algorithm: 'mine:build', settings: {{{named}}}}}]"
    )
    results = run("grid.yaml", out="out", allow_code=True)
    assert [outcome.policy for outcome in results.outcomes] == ["order_up_to", "mine:build"]
    before = [cell.folder for cell in read_experiment("grid.yaml", allow_code=True)[1]]
    (folder / "mine.py").write_text(OWN + "# changed", encoding="utf-8")
    after = [cell.folder for cell in read_experiment("grid.yaml", allow_code=True)[1]]
    assert after[0] == before[0]
    assert after[1] != before[1]
