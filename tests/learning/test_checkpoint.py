"""A run that is killed at any moment goes on to the same weights, bit for bit; a file is as it was written,
or refused."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import pickle
import random
import shutil
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from killed_runs import CHANGES, LONGER, QUICK, VALIDATIONS, keep_writing, scenario, settings, train_in
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.common.errors import InputError
from marl_inv.common.progress import say_nothing
from marl_inv.common.sealed import read_sealed, write_sealed
from marl_inv.episodes.problem import Problem, load_problem
from marl_inv.learning import checkpoint, train
from marl_inv.learning.checkpoint import CHECKPOINT, read_checkpoint, run_of, write_checkpoint
from marl_inv.learning.runs import run_training
from marl_inv.models.learned import POLICY
from marl_inv.policies import tuned
from test_cli import run

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["killed_runs", "pytest"])
ARGUMENTS = ["two_warehouses", *CHANGES, *(f"{key}={value}" for key, value in QUICK.items())]


def policy_in(folder):
    return read_sealed(folder / POLICY, "")[1]


def same(some, others):
    return some.keys() == others.keys() and all(torch.equal(some[name], others[name]) for name in some)


# A run taken apart and put together


def prepared(**changes):
    problem = load_problem(changes.pop("scenario", "two_warehouses"), ["horizon=10", "warm_up=0"])
    return train.prepare(problem, settings(**changes), OrderUpTo.of(problem))


def trained_for(training, epochs):
    for _ in range(epochs):
        training.trainer.execute_epoch()
    return training


def weights(training):
    tensors = {
        name: tensor for name, tensor in training.algorithm.state_dict().items() if name != "_optimizers"
    }
    return {name: tensor.clone() for name, tensor in (tensors | training.best).items()}


@pytest.fixture(scope="module")
def unbroken():
    """Weights after all epochs, and the state after two, of a run by some settings, once for all tests."""
    found = {}

    def of(**changes):
        key = json.dumps(changes)
        if key not in found:
            training = prepared(**changes)
            training.trainer.reset()
            trained_for(training, 2)
            state = pickle.loads(pickle.dumps(training.state()))  # a copy: training goes on
            found[key] = state, weights(trained_for(training, VALIDATIONS - 2)), training.trainer._best_score
        return found[key]

    return of


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": "mappo"},
        {"algorithm": "mappo", "critic": "privileged", "schedule": "cosine", "value_normalisation": True},
        {"algorithm": "reinforce", "head": "levels"},
        {"algorithm": "ippo", "optimizer": "rmsprop", "scenario": "raw_materials"},
        {"algorithm": "mappo", "memory": "gru"},
        {"algorithm": "pathwise", "memory": "gru"},
        {"algorithm": "qmix"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_a_run_put_together_again_ends_with_the_same_weights_bit_for_bit(changes, unbroken, tmp_path):
    state, expected, best = unbroken(**changes)
    write_checkpoint(tmp_path, {}, state)
    torch.manual_seed(12345)
    again = prepared(**changes)
    again.restore(read_checkpoint(tmp_path, {}, say_nothing))
    assert again.trainer._epoch == 2
    trained_for(again, VALIDATIONS - 2)
    assert same(weights(again), expected)
    assert again.trainer._best_score == best


def test_episodes_go_on_in_the_middle(unbroken):
    state, *_ = unbroken(algorithm="mappo")
    assert state["experience"]["reached"]["period"] == 4  # two updates of 7 periods, and 10 in an episode
    assert state["experience"]["begun"] == 2


@pytest.mark.parametrize(
    ("algorithm", "part"),
    [
        ("mappo", ("experience", "begun")),
        ("mappo", ("experience", "reached")),
        ("mappo", ("experience", "reached", "state", "inventory_level")),
        ("mappo", ("chance", "run")),
        ("mappo", ("algorithm", "modules")),
        ("mappo", ("algorithm", "optimizers")),
        ("mappo", ("algorithm", "schedules")),
        ("pathwise", ("experience", "drawn")),
    ],
    ids=str,
)
def test_no_part_can_be_left_out(algorithm, part, unbroken):
    """With that part as it was at the beginning, or empty shelves, the run ends elsewhere."""
    state, expected, _ = unbroken(algorithm=algorithm)
    again = prepared(algorithm=algorithm)
    fresh, state = pickle.loads(pickle.dumps((again.state(), state)))
    fresh["experience"]["begun"] = 1
    *outer, last = part
    inside = state
    for key in outer:
        inside, fresh = inside[key], fresh and fresh[key]
    inside[last] = torch.zeros_like(inside[last]) if fresh is None else fresh[last]
    again.restore(state)
    trained_for(again, VALIDATIONS - 2)
    assert not same(weights(again), expected)


# Killed


@pytest.fixture(scope="module", autouse=True)
def _one_process_that_has_imported_everything():
    """From which those to be killed are forked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
        forkserver.ensure_running()


def kill(target, arguments, moment):
    """Start a process, SIGKILL it when `moment` returns; whether it was still at work."""
    process = FORKS.Process(target=target, args=arguments)
    process.start()
    moment(process)
    working = process.is_alive()
    process.kill()
    process.join()
    assert working or process.exitcode == 0
    return working


def at_the_end(process):
    process.join()


def soon(chance):
    return lambda process: time.sleep(chance.uniform(0, 0.3))


def after_another_checkpoint(folder, chance):
    """At a random moment, but not before something has been gained."""
    file = folder / CHECKPOINT
    before = file.stat().st_mtime_ns if file.exists() else 0

    def moment(process):
        while process.is_alive() and (file.stat().st_mtime_ns if file.exists() else 0) == before:
            time.sleep(0.005)
        process.join(chance.uniform(0, 0.25))

    return moment


def while_writing(folder, chance):
    late = after_another_checkpoint(folder, chance)

    def moment(process):
        late(process)
        while not any(folder.glob("*.tmp")):
            pass

    return moment


def curves(folder):
    """Every curve that TensorBoard draws, but for what the clock says."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    timed = ("time", "speed", "sps")
    names = [name for name in events.Tags()["scalars"] if not any(word in name for word in timed)]
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}


@pytest.mark.parametrize("algorithm", ["mappo", "pathwise", "qmix"])
def test_a_run_that_is_killed_goes_on_to_the_same_policy_and_the_same_curves(algorithm, tmp_path):
    whole, broken, chance = tmp_path / "whole", tmp_path / "broken", random.Random(0)
    assert not kill(train_in, (whole, algorithm), at_the_end)
    kill(train_in, (broken, algorithm), soon(chance))
    in_the_middle = 0
    while in_the_middle < 4 and not (broken / POLICY).exists():
        killed = kill(train_in, (broken, algorithm), after_another_checkpoint(broken, chance))
        in_the_middle += killed and 0 < epochs_in(broken) < LONGER
    assert in_the_middle > 0
    assert not kill(train_in, (broken, algorithm), at_the_end)
    assert same(policy_in(broken), policy_in(whole))
    assert curves(broken) == curves(whole)
    assert curves(broken)["test/fill_rate"][-1][0] > 0
    assert not list(broken.glob("*.tmp"))


def readable_after_kills(kills, folder):
    """The numbers of the checkpoints found after each kill, and how often one was half written."""
    chance, numbers, unfinished = random.Random(1), [], 0
    moments = itertools.cycle([after_another_checkpoint(folder, chance), while_writing(folder, chance)])
    for moment in itertools.islice(moments, kills):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        assert kill(keep_writing, (folder,), moment)
        state = read_checkpoint(folder, {"scenario": "none"}, say_nothing)
        assert state["all"].tolist() == [state["number"]] * 250_000
        numbers.append(state["number"])
        unfinished += any(folder.glob("*.tmp"))
    return numbers, unfinished


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path):
    numbers, _ = readable_after_kills(6, tmp_path / "run")
    assert max(numbers) > 0


@pytest.mark.slow
def test_a_hundred_kills_leave_no_unreadable_checkpoint(tmp_path):
    numbers, unfinished = readable_after_kills(100, tmp_path / "run")
    print(
        f"100 kills, 0 unreadable, {unfinished} while a file was half written, after "
        f"{sum(numbers) + len(numbers)} checkpoints"
    )
    assert unfinished > 10


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["mappo", "pathwise", "qmix"])
def test_twenty_kills_of_the_command_at_random_moments(algorithm, tmp_path):
    """Again and again until 20 were killed at work: every run ends with the policy of an unbroken one."""
    model = "graph" if algorithm == "mappo" else "mlp"
    length = ["decisions=80_000", "decisions_per_update=2_000", "validations=40", f"model={model}"]
    command = [
        sys.executable,
        "-m",
        "marl_inv",
        "train",
        *ARGUMENTS,
        *length,
        "--algorithm",
        algorithm,
        "--resume",
        "--out",
    ]

    def attempt(folder, seconds):
        """Whether it finished within so long."""
        process = subprocess.Popen([*command, str(folder)], stdout=subprocess.DEVNULL)
        try:
            assert process.wait(seconds) == 0
            return True
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False

    begun = time.perf_counter()
    assert attempt(tmp_path / "whole", None)
    takes, chance = time.perf_counter() - begun, random.Random(2)
    killed = {"before the first checkpoint": 0, "in the middle": 0, "after the last checkpoint": 0}
    for number in itertools.count():
        folder = tmp_path / f"run {number}"
        while sum(killed.values()) < 20 and not attempt(folder, chance.uniform(0, takes)):
            epoch = epochs_in(folder)
            killed[list(killed)[(epoch > 0) + (epoch == 40)]] += 1
        if sum(killed.values()) >= 20:
            assert attempt(folder, None)
        assert same(policy_in(folder), policy_in(tmp_path / "whole"))
        if sum(killed.values()) >= 20:
            break
    print(f"{algorithm}: 20 kills over {takes:.0f} s in {number + 1} runs, {killed}")
    assert killed["in the middle"] >= 5


def epochs_in(folder):
    if not (folder / CHECKPOINT).exists():
        return 0
    return json.loads(read_sealed(folder / CHECKPOINT, "")[0]["state"])["trainer"]["numbers"]["_epoch"]


# Files that are not as they were written


def test_every_byte_of_a_file_is_vouched_for(tmp_path):
    file, chance = tmp_path / "small.safetensors", random.Random(3)
    write_sealed(
        file, {"levels": torch.tensor([1.0, 2.0]), "none": torch.zeros(0)}, {"name": 'a "sha256":"0000"'}
    )
    content = file.read_bytes()
    about, tensors = read_sealed(file, "")
    assert about == {"name": 'a "sha256":"0000"'}
    assert tensors["levels"].tolist() == [1.0, 2.0]
    for place, byte in enumerate(content):
        for changed in (byte ^ 1 << chance.randrange(8), (byte + chance.randrange(1, 256)) % 256):
            file.write_bytes(content[:place] + bytes([changed]) + content[place + 1 :])
            with pytest.raises(InputError, match=r"small\.safetensors: cannot be read \(it is damaged"):
                read_sealed(file, "")
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"small\.safetensors: cannot be read \(it is damaged"):
            read_sealed(file, "")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a run that was killed after two validations; tests copy it."""
    folder = tmp_path_factory.mktemp("runs") / "stopped"
    kept = train._keep

    class Stopped(Exception):
        pass

    def keep(training, folder):
        kept(training, folder)
        if training.trainer._epoch == 2:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_keep", keep)
        with pytest.raises(Stopped):
            run_training(scenario(), settings(), folder)
    return folder


@pytest.fixture
def folder(stopped, tmp_path):
    return Path(shutil.copytree(stopped, tmp_path / "run"))


@pytest.fixture
def marl_inv(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: run(*arguments, monkeypatch=monkeypatch, capsys=capsys)


def refusal(result):
    """The one line that a mistake gets."""
    code, _, errors = result
    assert code == 2
    [line] = errors.splitlines()
    return line


def test_a_checkpoint_with_a_changed_byte_or_a_lost_end_is_refused(folder):
    file, chance = folder / CHECKPOINT, random.Random(4)
    content = file.read_bytes()
    for place in [0, 7, 8, len(content) - 1, *(chance.randrange(len(content)) for _ in range(60))]:
        file.write_bytes(
            content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]
        )
        with pytest.raises(InputError, match=r"checkpoint\.safetensors: cannot be read"):
            read_checkpoint(folder, {}, say_nothing)
    for length in (0, 7, 8, 1000, len(content) - 1):
        file.write_bytes(content[:length])
        with pytest.raises(
            InputError,
            match=r"checkpoint\.safetensors: cannot be read .*; delete it to train from the beginning",
        ):
            run_training(scenario(), settings(), folder, resume=True)


class Bomb:
    """Unpickled, it leaves a crater."""

    def __reduce__(self):
        return open, ("crater", "w")


@pytest.mark.parametrize(
    "write", [lambda file: torch.save(Bomb(), file), lambda file: file.write_bytes(pickle.dumps(Bomb()))]
)
def test_nothing_in_a_file_is_run(write, folder, marl_inv):
    write(folder / CHECKPOINT)
    assert "run/checkpoint.safetensors: cannot be read" in refusal(
        marl_inv("train", *ARGUMENTS, "--out", "run", "--resume")
    )
    write(folder / POLICY)
    assert "run/policy.safetensors: cannot be read" in refusal(marl_inv("compare", "two_warehouses", "run"))
    assert not Path("crater").exists()
    write(folder / "armed")
    pickle.loads(pickle.dumps(Bomb()))
    assert Path("crater").exists()


# The same run, or none


def test_a_run_goes_on_only_with_the_scenario_and_settings_it_began_with(folder, marl_inv):
    again = ["--out", "run", "--resume"]
    assert "run.yaml:" in (line := refusal(marl_inv("train", *ARGUMENTS, "lr=0.01", *again)))
    assert (
        "training.lr was 0.001 and is now 0.01; go on with what the run began with, or give another --out"
        in line
    )
    line = refusal(marl_inv("train", *ARGUMENTS, "warehouses.1.price=99", *again))
    assert "scenario.warehouses.1.price was " in line
    assert " and is now 99.0" in line
    assert "scenario.objective was 'profit' and is now 'cost'" in refusal(
        marl_inv("train", "ring_transshipment", *ARGUMENTS[1:], *again)
    )


def test_a_checkpoint_of_another_run_is_refused(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(folder / "run.yaml", other)
    state = prepared(seed=7).state()
    write_checkpoint(other, run_of(scenario(), settings(seed=7)), state | {"events": {}})
    with pytest.raises(InputError, match=r"checkpoint\.safetensors: training\.seed was 7 and is now 0"):
        run_training(scenario(), settings(), other, resume=True)
    write_sealed(other / CHECKPOINT, {}, {"name": "no checkpoint"})
    with pytest.raises(InputError, match=r"checkpoint\.safetensors: is no checkpoint; delete it"):
        run_training(scenario(), settings(), other, resume=True)
    write_checkpoint(other, run_of(scenario(), settings()), {"events": {}})
    with pytest.raises(
        InputError,
        match=r"checkpoint\.safetensors: does not fit this version of marl_inv \('baseline'\); train again",
    ):
        run_training(scenario(), settings(), other, resume=True)


def test_resume_needs_the_folder_of_a_run(marl_inv, tmp_path):
    assert "--resume is given without the folder of the run; add --out" in refusal(
        marl_inv("train", *ARGUMENTS, "--resume")
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    line = refusal(marl_inv("train", *ARGUMENTS, "--out", "mine", "--resume"))
    assert line == "marl-inv: mine: is not empty, and holds no run; give another --out"
    (tmp_path / "mine" / "run.yaml").touch()
    line = refusal(marl_inv("train", *ARGUMENTS, "--out", "mine"))
    assert line == "marl-inv: mine: is not empty; give another --out, or --resume to go on"
    line = refusal(marl_inv("train", *ARGUMENTS, "--out", "mine/thesis.tex"))
    assert line == "marl-inv: mine/thesis.tex: cannot be made (File exists); give another --out"


def test_a_run_without_a_checkpoint_yet_begins_and_one_that_has_finished_says_so(
    folder, marl_inv, monkeypatch
):
    left = next(iter(folder.glob("events.out.tfevents.*"))).name
    (folder / CHECKPOINT).unlink()
    (folder / "checkpoint.safetensors.123.tmp").touch()
    arguments = ["train", *ARGUMENTS, "--out", "run", "--resume"]
    code, out, _ = marl_inv(*arguments)
    assert code == 0
    assert "goes on" not in out
    assert not (folder / left).exists()
    assert not list(folder.glob("*.tmp"))
    first, drawn = policy_in(folder), curves(folder)
    monkeypatch.setattr(train, "tune", None)
    code, out, _ = marl_inv(*arguments)
    assert code == 0
    assert "run: has finished already" in out
    assert same(policy_in(folder), first)
    assert curves(folder) == drawn
    (folder / CHECKPOINT).unlink()
    assert "holds a policy and no checkpoint to go on from" in refusal(marl_inv(*arguments))


def test_other_versions_are_said_and_tuning_is_not_repeated(folder, monkeypatch):
    monkeypatch.setattr(checkpoint, "version", lambda package: "9.9" if package == "torch" else "2.0.1")
    monkeypatch.setattr(train, "tune", None)
    lines = []
    _, trained = run_training(scenario(), settings(), folder, resume=True, say=lines.append)
    assert any(
        "was written with torch " in line and ", and this is 9.9; results may differ" in line
        for line in lines
    )
    assert f"{folder}: goes on after validation 2 of {VALIDATIONS}" in lines
    assert trained.baseline.name == "tuned order-up-to"


def test_a_damaged_tuning_is_tuned_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MARL_INV_CACHE", str(tmp_path))
    problem = Problem.of(scenario())
    levels = tuned(problem, OrderUpTo.of(problem), effort=0.1).levels
    [file] = tmp_path.iterdir()
    whole = file.read_bytes()
    assert torch.equal(read_sealed(file, "")[1]["levels"], levels)
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert torch.equal(tuned(problem, OrderUpTo.of(problem), effort=0.1).levels, levels)
    assert torch.equal(read_sealed(file, "")[1]["levels"], levels)
