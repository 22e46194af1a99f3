"""Whoever computes: the same results bit for bit, and nothing twice, whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from marl_inv.common.errors import InputError
from marl_inv.experiments import engines
from marl_inv.experiments import run as grid
from marl_inv.experiments.cell import SCORES, compute
from marl_inv.experiments.engines import Processes, engine_named
from marl_inv.experiments.experiment import read_experiment
from marl_inv.experiments.run import run
from small_grid import SMALL, metrics, same

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason='Ray is an extra: pip install -c constraints.txt -e ".[ray]"'
)
both = pytest.mark.parametrize("engine", ["processes", pytest.param("ray", marks=needs_ray)])

CUBE = """scenarios:
  - {name: short, scenario: two_warehouses, settings: {horizon: 10, warm_up: 0}}
  - {scenario: ring, settings: {horizon: 10, warm_up: 0}}
policies:
  - tuned_order_up_to
  - algorithm: mappo
    settings: {decisions: 4000, decisions_per_update: 1000, validations: 2, validation_replications: 8, hidden: 8}
  - algorithm: vdn
    settings: {decisions: 4000, decisions_per_update: 1000, validations: 2, validation_replications: 8, hidden: 8}
  - algorithm: pathwise
    settings: {decisions: 4000, decisions_per_update: 1000, validations: 2, validation_replications: 8, hidden: 8}
seeds: 3
replications: 16
"""
"""Two scenarios, three learned policies, three seeds, and the reference."""


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "grid.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "grid.yaml"


def finished(folder: Path) -> dict[str, int]:
    """Every finished cell, and when it was."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob(f"*/{SCORES}")}


@needs_ray
def test_ray_computes_what_this_process_computes(tmp_path: Path):
    file = written(
        tmp_path,
        SMALL.replace("seeds: 2", "seeds: 1").replace("    one_at_a_time: {reward_mix: [0.0]}\n", ""),
    )
    (tmp_path / "here").mkdir()
    for cell in read_experiment(file)[1]:
        compute(cell, tmp_path / "here")
    run(file, tmp_path / "ray", workers=2, engine="ray")
    assert len(metrics(tmp_path / "ray")) == 2
    assert same(metrics(tmp_path / "ray"), metrics(tmp_path / "here"))


@needs_ray
@pytest.mark.slow
def test_two_scenarios_three_policies_and_three_seeds_are_the_same_on_both_engines(tmp_path: Path):
    file = written(tmp_path, CUBE)
    for engine in ("processes", "ray"):
        begun = time.monotonic()
        run(file, tmp_path / engine, workers=2, engine=engine)
        print(f"{engine}: {time.monotonic() - begun:.1f} s")
    assert len(metrics(tmp_path / "ray")) == 2 * (1 + 3 * 3)
    assert same(metrics(tmp_path / "ray"), metrics(tmp_path / "processes"))


def workers(driver: int) -> list[int]:
    """The processes that compute cells for a driver, wherever among its descendants they are."""
    found = []
    for child in descendants(driver):
        try:
            command = Path(f"/proc/{child}/cmdline").read_text()
        except OSError:
            continue
        if "spawn_main" in command or command.startswith("ray::_as_at_home"):
            found.append(child)
    return found


def descendants(process: int) -> Iterator[int]:
    listed = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True, check=False).stdout
    for child in map(int, listed.split()):
        yield child
        yield from descendants(child)


def alive(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


@pytest.mark.slow
@both
def test_a_grid_whose_driver_and_workers_are_killed_ends_as_an_unbroken_one(engine: str, tmp_path: Path):
    """Finished cells are left as they are, and no worker outlives its driver."""
    file = written(
        tmp_path,
        SMALL.replace("decisions: 2000", "decisions: 100000").replace("validations: 2", "validations: 20"),
    )
    run(file, tmp_path / "whole", workers=2)
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "marl_inv",
        "run",
        str(file),
        "--workers",
        "2",
        "--engine",
        engine,
        "--out",
        str(out),
    ]

    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while len(finished(out)) < 2:
        time.sleep(0.1)
    computing = workers(driver.pid)
    assert computing
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    deadline = time.monotonic() + 30
    while left := [worker for worker in computing if alive(worker)]:
        assert time.monotonic() < deadline, f"{left} outlive their driver"
        time.sleep(0.1)
    before = finished(out)
    assert 2 <= len(before) < 5

    driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while not (computing := workers(driver.pid)):
        time.sleep(0.1)
    time.sleep(5)
    os.kill(computing[0], signal.SIGKILL)
    told, _ = driver.communicate()
    assert driver.returncode == 0
    assert "a worker was lost" in told
    assert finished(out).items() >= before.items()
    assert same(metrics(out), metrics(tmp_path / "whole"))


def refuse_thirteen(number: int) -> None:
    if number == 13:
        raise InputError("thirteen: is not to be squared")


def kill_the_first_time(flag: Path) -> None:
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)


@both
def test_what_a_task_raises_is_raised_and_the_lost_are_told(engine: str, tmp_path: Path):
    those = engine_named(engine, 1)
    try:
        assert list(those.each(kill_the_first_time, [tmp_path / "flag"])) == [(tmp_path / "flag", False)]
        assert list(those.each(kill_the_first_time, [tmp_path / "flag"])) == [(tmp_path / "flag", True)]
        with pytest.raises(InputError) as refusal:
            list(those.each(refuse_thirteen, [13]))
        assert str(refusal.value) == "thirteen: is not to be squared"
    finally:
        those.close()


def refuse_or_sleep(seconds: int) -> None:
    if not seconds:
        raise InputError("nothing: is not to be waited for")
    time.sleep(seconds)


@both
def test_what_is_raised_is_told_at_once_whatever_else_is_computed(engine: str):
    those, begun = engine_named(engine, 2), time.monotonic()
    with pytest.raises(InputError, match="is not to be waited for"), closing(those):
        list(those.each(refuse_or_sleep, [600, 0, 600, 600]))
    assert time.monotonic() - begun < 300


class Forgetful(Processes):
    """Computes on a machine whose disk nobody else sees."""

    def each(self, task, work):
        for piece in work:
            yield piece, True


def test_a_cell_that_is_nowhere_to_be_seen_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grid, "ARRIVAL", 0.0)
    monkeypatch.setitem(engines.ENGINES, "processes", Forgetful)
    with pytest.raises(
        InputError, match="was computed, and is not to be seen here; give an --out that all machines share"
    ):
        run(written(tmp_path, SMALL), tmp_path / "out")


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path: Path):
    with pytest.raises(
        InputError, match=r"nowhere: is not there on .*; give an --out that all machines share"
    ):
        grid._in_folder(compute, tmp_path / "nowhere", read_experiment(written(tmp_path, SMALL))[1][0])


def test_an_engine_that_is_not_there_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(
        InputError, match=r"engine: rya is no engine; did you mean ray\?|known are processes, ray"
    ):
        engine_named("rya", 1)
    with pytest.raises(InputError, match="leave it out, or give --engine ray"):
        engine_named("processes", 1, "auto")
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r'ray is not installed; add it with `pip install -c constraints.txt -e "\.\[ray\]"`'
    ):
        engine_named("ray", 1)


@needs_ray
def test_a_cluster_that_cannot_be_reached_is_told(tmp_path: Path):
    those = engine_named("ray", 1, "127.0.0.1:1")
    with pytest.raises(InputError, match=r"Ray cannot be reached at 127\.0\.0\.1:1 \(.*refused\)"):
        list(those.each(refuse_thirteen, [1]))
