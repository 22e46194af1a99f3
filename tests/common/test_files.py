"""Files as they are on real disks: pipes and devices, links that lead elsewhere, no room, two at once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from marl_inv.chance import demand_file
from marl_inv.common import files
from marl_inv.common.documents import read_yaml
from marl_inv.common.errors import InputError
from marl_inv.common.files import LOCK, check_ordinary, is_there, locked, read_bytes, write_whole
from marl_inv.common.sealed import read_sealed
from marl_inv.episodes.problem import load_problem
from marl_inv.experiments.results import LISTING, read_results
from marl_inv.experiments.run import run
from marl_inv.learning.runs import run_training, training_settings
from marl_inv.policies import check_policy_name, policy_named
from marl_inv.scenario import load_scenario
from marl_inv.scenario.graph_files import read_graph

QUICK = [
    "decisions=100",
    "decisions_per_update=100",
    "validations=1",
    "validation_replications=2",
    "hidden=8",
]


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe.yaml")
    return tmp_path / "pipe.yaml"


def test_no_pipe_is_read(pipe, tmp_path):
    told = "cannot be read (it is no ordinary file)"
    for read in (
        lambda: read_yaml(pipe),
        lambda: read_graph(pipe.rename(tmp_path / "pipe.json")),
        lambda: read_sealed(tmp_path / "pipe.json", "train again"),
        lambda: load_problem("favorita", [f"demand.path={tmp_path / 'pipe.json'}"]),
    ):
        with pytest.raises(InputError) as refused:
            read()
        assert told in str(refused.value)


def test_no_device_and_no_folder_is_read(tmp_path):
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="no ordinary file"):
        read_yaml(tmp_path / "zero.yaml")
    (tmp_path / LISTING).mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        read_results([tmp_path])


def test_nothing_larger_than_its_kind_is_read(tmp_path):
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(2**40)  # takes no room
    with pytest.raises(InputError, match=r"it is larger than 67,108,864 bytes"):
        read_graph(large)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_bytes(large, 10)


def test_names_that_can_be_none_are_of_nothing():
    assert not is_there("x" * 5000)
    assert not is_there("a\0b")
    with pytest.raises(OSError, match="null character"):
        check_ordinary(Path("a\0b"), 1)
    with pytest.raises(InputError, match="is no policy"):
        check_policy_name("x" * 5000)


def test_data_files_that_no_memory_holds_are_refused(tmp_path, monkeypatch):
    rows = [f"{period},product,1" for period in range(40)]
    (tmp_path / "sales.csv").write_text("\n".join(["period,product,shop", *rows]), encoding="utf-8")
    (tmp_path / "shop.yaml").write_text(
        "demand: {kind: empirical, path: sales.csv, train: [0, 20], evaluate: [20, 30]}\nhorizon: 5\n"
        "suppliers: [{name: mill}]\nwarehouses: [{name: shop}]\n"
        "lanes: [{origin: mill, destination: shop, lead_time: 1}]\n",
        encoding="utf-8",
    )
    load_problem(tmp_path / "shop.yaml")
    monkeypatch.setattr(demand_file, "MOST_NUMBERS", 39)
    with pytest.raises(InputError, match="would hold 40 numbers, 40 periods x 1 products x 1 warehouses"):
        load_problem(tmp_path / "shop.yaml")


@pytest.mark.parametrize("text", ["1e39", "1e13", "-1e300", "1e999", "9" * 400])
def test_numbers_of_data_files_have_bounds(tmp_path, text):
    (tmp_path / "sales.csv").write_text(f"week,product,shop\n0,product,{text}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"sales.csv:2: shop is '.*; give a number"):
        load_problem("favorita", [f"demand.path={tmp_path / 'sales.csv'}", "warehouses=[{name: shop}]", "lanes=[]",
                                  "products=[{name: product}]", "ending=finite", "suppliers=[]", "pools=[]"])  # fmt: skip


def test_what_is_written_replaces_a_link_and_not_what_it_leads_to(tmp_path):
    (tmp_path / "precious").write_text("mine", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    write_whole(tmp_path / "link", "theirs")
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "mine"
    assert (tmp_path / "link").read_text(encoding="utf-8") == "theirs"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "precious"]


def test_a_file_where_a_folder_is_is_told(tmp_path):
    (tmp_path / "out.yaml").mkdir()
    with pytest.raises(InputError, match=r"out.yaml: cannot be written \(Is a directory\)"):
        write_whole(tmp_path / "out.yaml", "text")
    assert [file.name for file in tmp_path.iterdir()] == ["out.yaml"]


def test_one_at_a_time_works_in_a_folder(tmp_path):
    with locked(tmp_path):
        code = f"from pathlib import Path\nfrom marl_inv.common.files import locked\nwith locked(Path({str(tmp_path)!r})): pass"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another run is at work there" in other.stderr
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("name", [LOCK, "run.yaml", "tuned-order-up-to/events.out.tfevents.1"])
def test_nothing_is_written_through_somebody_elses_links(tmp_path, name):
    precious = tmp_path / "precious"
    precious.write_text("mine", encoding="utf-8")
    link = tmp_path / "given" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(precious)
    with pytest.raises(InputError, match="is a symbolic link"), locked(tmp_path / "given"):
        pass
    (tmp_path / "small.yaml").write_text(
        "scenarios: [two_warehouses]\npolicies: [order_up_to]\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match="is a symbolic link"):
        run(tmp_path / "small.yaml", tmp_path / "given")
    assert precious.read_text(encoding="utf-8") == "mine"


def test_two_trainings_in_one_folder(tmp_path):
    scenario = load_scenario("two_warehouses", ["horizon=5", "warm_up=0"])
    settings = training_settings([*QUICK, "model=mlp", "start=newsvendor"])
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"), pytest.raises(InputError, match="another run is at work there"):
        run_training(scenario, settings, tmp_path / "out")
    folder, trained = run_training(scenario, settings, tmp_path / "out")
    assert (folder, trained.policy.name) == (tmp_path / "out", "mappo")


def no_room(*arguments: object, **options: object) -> None:
    raise OSError(28, "No space left on device")


def test_what_was_tuned_is_used_where_it_cannot_be_remembered(tmp_path, monkeypatch, caplog):
    problem = load_problem("two_warehouses", ["horizon=8", "warm_up=0"])
    monkeypatch.setenv("MARL_INV_CACHE", str(tmp_path / "there"))
    remembered = policy_named("tuned_order_up_to", problem)
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("MARL_INV_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING, "marl_inv"):
        tuned = policy_named("tuned_order_up_to", problem)
    assert torch.equal(tuned.levels, remembered.levels)
    assert "is used, and not remembered" in caplog.text
    monkeypatch.setenv("MARL_INV_CACHE", str(tmp_path / "full"))
    monkeypatch.setattr(files.os, "fsync", no_room)
    assert torch.equal(policy_named("tuned_order_up_to", problem).levels, remembered.levels)
    assert list((tmp_path / "full").iterdir()) == []


def test_a_trained_policy_is_saved_before_anything_else_is_done_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr("marl_inv.learning.train.dashboard.end", no_room)
    scenario = load_scenario("two_warehouses", ["horizon=5", "warm_up=0"])
    with pytest.raises(OSError, match="No space left"):
        run_training(scenario, training_settings([*QUICK, "model=mlp", "start=newsvendor"]), tmp_path / "out")
    assert policy_named(tmp_path / "out", scenario).name == "mappo"
