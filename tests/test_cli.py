"""What a person types, and what a person gets wrong: one message that says where, what and how to mend it,
and exit code 2."""

import csv
import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from marl_inv import cli
from marl_inv.baselines import BASELINES
from marl_inv.cli import printing
from marl_inv.common.errors import InputError, suggestion
from marl_inv.learning.settings import ALGORITHM_NAMES, TrainSettings
from marl_inv.scenario import Scenario, library

SHOP = """\
horizon: 10
demand: {kind: poisson, mean: 5}
suppliers:
  - name: supplier
warehouses:
  - {name: shop, initial_stock: 10, holding_cost: 1, shortage_cost: 9}
lanes:
  - {origin: supplier, destination: shop, lead_time: 2}
"""
SALES = (
    "horizon: 4\ndemand: {kind: empirical, path: sales.csv, train: [0, 8], evaluate: [8, 12]}\n"
    + SHOP.split("\n", 2)[2]
)
QUICK = [
    "decisions=400",
    "decisions_per_update=200",
    "validations=1",
    "validation_replications=2",
    "hidden=8",
    "model=mlp",
]


def run(*arguments, monkeypatch, capsys):
    """Exit code, standard output and standard error of `marl-inv ARGUMENTS`, in this process."""
    monkeypatch.setattr(sys, "argv", ["marl-inv", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    printed = capsys.readouterr()
    return end.value.code or 0, printed.out, printed.err


@pytest.fixture
def marl_inv(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("shop.yaml").write_text(SHOP, encoding="utf-8")
    Path("sales.yaml").write_text(SALES, encoding="utf-8")
    return lambda *arguments: run(*arguments, monkeypatch=monkeypatch, capsys=capsys)


def rows(table: str) -> list[str]:
    """The first cell of every row that holds numbers."""
    return [line.split("  ")[0].strip() for line in table.splitlines() if re.search(r" -?[\d,]+\.\d", line)]


BROKEN = {
    "unknown key": (
        ["check", "shop.yaml"],
        {"shop.yaml": SHOP.replace("horizon", "hroizon")},
        "shop.yaml:1:1: hroizon is not a known key; did you mean horizon?",
    ),
    "negative lead time": (
        ["check", "shop.yaml"],
        {"shop.yaml": SHOP.replace("lead_time: 2", "lead_time: -1")},
        "shop.yaml:8:43: lanes[0].lead_time is -1; give a number, 0 or more",
    ),
    "lane to a missing warehouse": (
        ["simulate", "shop.yaml"],
        {"shop.yaml": SHOP.replace("destination: shop", "destination: shed")},
        "shop.yaml:8:24: lanes[0].destination is 'shed', which is no warehouse; known are shop",
    ),
    "duplicate name": (
        ["check", "shop.yaml"],
        {"shop.yaml": SHOP.replace("- name: supplier", "- name: shop")},
        "shop.yaml:4:5: suppliers[0].name is 'shop', which is taken; give every entry a name of its own",
    ),
    "lr: fast": (
        ["train", "shop.yaml", "--settings", "my.yaml"],
        {"my.yaml": "hidden: 8\nlr: fast\n"},
        "my.yaml:2:1: lr is 'fast'; give a number",
    ),
    "missing file": (
        ["compare", "nowhere.yaml"],
        {},
        "nowhere.yaml: cannot be read (No such file or directory); give the path of a YAML file",
    ),
    "missing data": (
        ["compare", "sales.yaml"],
        {},
        "sales.csv: cannot be read (No such file or directory); give a CSV file as demand.path",
    ),
    "empty CSV": (
        ["check", "sales.yaml"],
        {"sales.csv": ""},
        "sales.csv:1: is empty; give a CSV file with a header line and a row per period and product",
    ),
    "non-numeric demand": (
        ["check", "sales.yaml"],
        {"sales.csv": "period,product,shop\n0,product,4\n1,product,many\n"},
        "sales.csv:3: shop is 'many'; give a number, or leave the cell empty for a gap",
    ),
    "unknown algorithm": (
        ["train", "shop.yaml", "--algorithm", "mapo"],
        {},
        "command line: algorithm is 'mapo'; give 'mappo', 'ippo', 'reinforce', 'pathwise', 'iql', 'vdn' or "
        "'qmix'",
    ),
    "negative seed": (
        ["simulate", "shop.yaml", "--seed", "-1"],
        {},
        "seed is -1; give a whole number, 0 or more",
    ),
    "unknown setting": (
        ["train", "shop.yaml", "lrr=1"],
        {},
        "command line: lrr is not a known key; did you mean lr?",
    ),
    "unknown policy": (
        ["simulate", "shop.yaml", "--policy", "order_up"],
        {},
        "order_up: is no policy; did you mean order_up_to?; or give a run folder",
    ),
    "no such device": (
        ["train", "shop.yaml", "device=tpu"],
        {},
        "command line: device is 'tpu'; torch finds no such device here, use cpu",
    ),
    "not a checkpoint": (
        ["compare", "shop.yaml", "policy.safetensors"],
        {"policy.safetensors": "not tensors"},
        "policy.safetensors: cannot be read",
    ),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_mistake_gets_one_line_and_exit_code_2(mistake, marl_inv):
    arguments, files, message = BROKEN[mistake]
    for name, text in files.items():
        Path(name).write_text(text, encoding="utf-8")
    code, _, errors = marl_inv(*arguments)
    assert code == 2
    assert errors.splitlines()[0].startswith(f"marl-inv: {message}")
    assert len(errors.splitlines()) == 1


def test_a_policy_trained_on_another_network_says_so(marl_inv):
    code, out, _ = marl_inv("train", "two_warehouses", *QUICK, "--out", "run")
    assert (code, Path("run/policy.safetensors").exists(), Path("run/run.yaml").exists()) == (0, True, True)
    assert "marl-inv compare two_warehouses run" in out
    code, _, errors = marl_inv("compare", "shop.yaml", "run")
    assert code == 2
    assert (
        "run/policy.safetensors: does not fit shop: periods_left can be seen here or where it was trained"
        in errors
    )
    assert len(errors.splitlines()) == 1


def test_compare_prints_a_row_for_every_policy(marl_inv):
    code, out, _ = marl_inv("compare", "shop.yaml", "--replications", 16, *QUICK)
    assert code == 0
    policies = ["random", "order-up-to", "tuned order-up-to", "mappo"]
    assert all(row.startswith(policy) for row, policy in zip(rows(out), policies, strict=True))
    assert "fill" in out
    assert "Gain: over tuned order-up-to, paired" in out


def test_compare_plays_policies_by_name_beside_the_bound(marl_inv):
    code, out, _ = marl_inv(
        "compare",
        "shop.yaml",
        "capped_order_up_to",
        "rolling_lp",
        "horizon=8",
        "--bound",
        "--replications",
        3,
    )
    assert code == 0
    assert [
        row for row in ("capped order-up-to", "rolling LP", "perfect information") if row not in out
    ] == []
    assert "mappo" not in out


def test_tune_tells_levels(marl_inv):
    code, out, _ = marl_inv("tune", "shop.yaml", "order_up_to", "--effort", 0.02)
    assert code == 0
    assert "levels" in out
    assert marl_inv("tune", "shop.yaml", "random")[0] == 2


def test_compare_plays_given_runs_and_trains_none(marl_inv):
    marl_inv("train", "shop.yaml", *QUICK, "--algorithm", "ippo", "--out", "run")
    code, out, _ = marl_inv("compare", "shop.yaml", "run", "--replications", 8)
    assert code == 0
    assert rows(out)[-1] == "ippo"
    assert "mappo" not in out


def test_a_run_folder_is_never_overwritten(marl_inv):
    Path("run").mkdir()
    Path("run/precious").touch()
    code, _, errors = marl_inv("train", "shop.yaml", *QUICK, "--out", "run")
    assert (code, errors) == (2, "marl-inv: run: is not empty; give another --out\n")


def test_comparing_works_where_nothing_can_be_ordered_or_earned(marl_inv):
    shop = (
        "warehouses:\n  - {name: shop, holding_cost: 1, shortage_cost: 5, demand: {kind: poisson, mean: "
        "MEAN}}\nhorizon: 5\nending: finite\n"
    )
    for mean in ("0", "3"):
        Path("alone.yaml").write_text(shop.replace("MEAN", mean), encoding="utf-8")
        code, out, _ = marl_inv("compare", "alone.yaml", "--replications", 4, *QUICK)
        assert code == 0
        assert rows(out)[-1] == "mappo"


def test_settings_of_a_scenario_that_was_read_already_are_refused():
    from marl_inv import compare, load_problem

    with pytest.raises(InputError, match="give them to load_problem"):
        compare(load_problem("two_warehouses"), settings=["horizon=5"])


def test_simulate_prints_every_warehouse(marl_inv):
    code, out, _ = marl_inv("simulate", "two_warehouses", "--replications", 4)
    assert code == 0
    assert rows(out) == ["warehouse_0", "warehouse_1", "all"]


def test_policies_are_listed_with_what_they_do(marl_inv):
    code, out, _ = marl_inv("policies")
    assert code == 0
    listed = [line.split()[0] for line in out.splitlines() if re.match(r" ?[a-z_]+  ", line)]
    assert listed[1:] == list(BASELINES)
    assert "None" not in out
    assert all(name in out for name in ALGORITHM_NAMES)


def test_the_version_is_told(marl_inv):
    assert marl_inv("--version")[:2] == (0, f"{version('marl_inv')}\n")


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(monkeypatch, capsys):
    times = iter([0.0, 10.0, 70.0, 80.0, 140.0])
    monkeypatch.setattr(printing.time, "monotonic", lambda: next(times))
    assert list(printing.progress_bar(range(3), "cells")) == [0, 1, 2]
    assert capsys.readouterr().err == "cells: 1 of 3\n"


def test_list_shows_every_scenario_with_its_size(marl_inv):
    code, out, _ = marl_inv("list")
    assert code == 0
    sizes = {line.split()[0]: line.split()[1:3] for line in out.splitlines() if re.match(r" ?[a-z]", line)}
    assert sizes.keys() >= library().keys()
    assert sizes["ring_transshipment"] == ["6", "18"]
    assert sizes["network_200"] == ["204", "804"]  # as it is generated


def test_check_tells_stretches_of_a_file_that_are_too_short(marl_inv):
    rows = ["period,product,shop", *(f"{week},product,{week}" for week in range(12))]
    Path("sales.csv").write_text("\n".join(rows), encoding="utf-8")
    Path("shop.yaml").write_text(SALES.replace("horizon: 4", "horizon: 9"), encoding="utf-8")
    code, _, errors = marl_inv("check", "shop.yaml")
    assert code == 2
    assert (
        "demand.train is [0, 8], but an episode takes 10 periods; lengthen it, or shorten the horizon"
        in errors
    )


def test_check_tells_warnings_and_still_ends_well(marl_inv):
    Path("shop.yaml").write_text(SHOP.replace("shortage_cost: 9", "price: 9"), encoding="utf-8")
    code, out, errors = marl_inv("check", "shop.yaml")
    assert (code, errors) == (0, "")
    assert "shop.yaml:6:5: warning: shop gains nothing by serving its customers" in out
    assert out.splitlines()[-1] == "The scenario can be played; 2 warnings."


def test_check_is_quiet_about_a_sound_scenario(marl_inv):
    code, out, _ = marl_inv("check", "network_50")
    assert code == 0
    assert "50 warehouses, 1 supplier, 50 replenishment" in out
    assert out.splitlines()[-1] == "The scenario is in order."


def test_export_writes_what_can_be_loaded_again(marl_inv):
    for target in ("grid.yaml", "grid.json", "grid.graphml", "tables"):
        code, out, _ = marl_inv("export", "grid", target, "network.rows=2")
        assert code == 0
        code, checked, _ = marl_inv("check", out.splitlines()[0])
        assert (code, "8 warehouses" in checked) == (0, True)


LIGHT = [
    ["--help"],
    ["list"],
    ["check", "ring_transshipment"],
    ["check", "network_50"],
    ["export", "ring", "ring.graphml"],
    ["train", "--help"],
]


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_light_commands_import_neither_torch_nor_pettingzoo(arguments, tmp_path):
    program = (
        "import sys, atexit; atexit.register(lambda: sys.stderr.write(' '.join(sys.modules))); from "
        "marl_inv.cli.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert not {"torch", "pettingzoo", "tianshou", "scipy"} & set(done.stderr.split())
    assert done.stdout


def test_every_training_setting_says_what_it_does():
    assert all(field.description for field in TrainSettings.model_fields.values())


def test_settings_of_scenario_and_training_never_share_a_name():
    assert not Scenario.model_fields.keys() & TrainSettings.model_fields.keys()


def test_simulate_writes_tables(marl_inv, tmp_path: Path):
    files = [tmp_path / name for name in ("periods.csv", "found.csv", "found.json")]
    options = [
        part for pair in zip(("--out", "--csv", "--json"), map(str, files), strict=True) for part in pair
    ]
    code, out, _ = marl_inv("simulate", "two_warehouses", "--replications", 2, "horizon=3", *options)
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("wrote")] == list(
        map(str, files)
    )
    with files[0].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lanes = {row["lane"] for row in rows} - {""}
    assert len(rows) == 2 * 3 * (2 + len(lanes))
    found = json.loads(files[2].read_text(encoding="utf-8"))
    assert [row["warehouse"] or row["lane"] for row in found] == [
        "warehouse_0",
        "warehouse_1",
        *sorted(lanes),
    ]
    sold = [float(row["revenue"]) for row in rows if row["warehouse"] == "warehouse_1" and not row["lane"]]
    assert found[1]["revenue"] == pytest.approx(sum(sold) / 6)
    with files[1].open(encoding="utf-8") as file:
        assert [float(row["revenue"] or 0) for row in csv.DictReader(file)] == [
            row["revenue"] or 0 for row in found
        ]
    code, _, err = marl_inv("simulate", "two_warehouses", "--csv", str(tmp_path))
    assert code == 2
    assert "is a folder; give a file in a folder that is there" in err


FEW = ["two_warehouses", "horizon=5", "--replications", 4]


def test_compare_keeps_what_it_trains_and_tells_two_runs_apart(marl_inv, tmp_path: Path):
    code, out, _ = marl_inv("compare", *FEW, "decisions=500", "validations=1", "--reference", "order_up_to")
    assert code == 0
    assert "over order-up-to, paired" in " ".join(out.split())
    [first] = Path("runs").iterdir()
    assert f"the policy trained here is kept in {first}; play it again with" in out
    assert f"marl-inv compare two_warehouses {first} horizon=5" in out
    second = first.rename(first.with_name("second"))
    shutil.copytree(second, first)
    code, out, _ = marl_inv(
        *("compare", *FEW, str(first), str(second), "--reference", str(second)),
        *("--csv", "found.csv", "--json", "found.json"),
    )
    assert code == 0
    assert len(list(Path("runs").iterdir())) == 2
    assert "kept in" not in out
    told = " ".join(out.split())
    assert f"mappo 1 is {first}; mappo 2 is {second}." in told
    assert "Gain: over mappo 2, paired" in told
    found = {row["policy"]: row for row in json.loads(Path("found.json").read_text(encoding="utf-8"))}
    assert list(found)[-2:] == ["mappo 1", "mappo 2"]
    assert found["mappo 1"]["run"] == str(first)
    assert found["mappo 1"]["reference"] == "mappo 2"
    assert (found["mappo 1"]["gain"], found["mappo 2"]["gain"]) == (0, None)
    assert found["mappo 1"]["mean"] == found["mappo 2"]["mean"]
    with Path("found.csv").open(encoding="utf-8") as file:
        assert [row["mean"] for row in csv.DictReader(file)] == [str(row["mean"]) for row in found.values()]


def test_a_reference_that_is_nobody_is_refused_and_one_that_was_not_named_is_played(marl_inv):
    code, _, err = marl_inv("compare", *FEW, "--no-train", "--reference", "order_up")
    assert (code, err.strip()[:40]) == (2, "marl-inv: order_up: is no policy; did yo")
    code, out, _ = marl_inv("compare", *FEW, "--no-train", "--reference", "capped_order_up_to")
    assert code == 0
    assert "Gain: over capped order-up-to, paired" in " ".join(out.split())


def test_help_says_when_compare_trains(marl_inv):
    _, out, _ = marl_inv("compare", "--help")
    assert "Where none is named, mappo is trained first" in " ".join(out.replace("│", " ").split())


@pytest.mark.parametrize(
    ("given", "known", "told"),
    [
        ("min_request", ["max_request", "capacity"], "; known are max_request, capacity"),
        ("min_request", ["max_request", "request"], "; did you mean request?"),
        ("max_requests", ["max_request"], "; did you mean max_request?"),
        ("origin_cost", ["destination_cost"], "; known are destination_cost"),
    ],
)
def test_what_is_meant_is_not_the_opposite(given: str, known: list[str], told: str):
    assert suggestion(given, known) == told


def test_a_note_on_a_file_that_two_demands_read_is_told_once(marl_inv):
    Path("sales.csv").write_text(
        "period,product,a,b\n" + "".join(f"{week},tea,1,2\n" for week in range(12)), encoding="utf-8"
    )
    Path("shops.yaml").write_text(
        "horizon: 2\nending: finite\nproducts: [{name: tea}]\nwarehouses:\n"
        "  - {name: a, demand: {kind: empirical, path: sales.csv, train: [0, 8], evaluate: [8, 12]}}\n"
        "  - {name: b, demand: {kind: empirical, path: sales.csv, separator: ',', train: [0, 8], evaluate: [8, 12]}}\n",
        encoding="utf-8",
    )
    code, out, _ = marl_inv("simulate", "shops.yaml")
    assert code == 0
    assert " ".join(out.split()).count("were counted as no demand") == 1
    code, out, _ = marl_inv("check", "shops.yaml")
    assert " ".join(out.split()).count("were counted as no demand") == 1
