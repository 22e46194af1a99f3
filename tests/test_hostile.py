"""One scenario whose every text is meant to be something else goes through all that is printed, drawn and
written."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.text
import pytest

from marl_inv import cli
from marl_inv.report.leaderboard import BEGIN, END
from marl_inv.scenario import load_scenario

MILL, SHOP, STALL, KIOSK = (
    "=mill [/x] :100: $\\mathrm{$",
    "[/shop] \x1b]0;pwned\x07 :cat:",
    "_$\\frac$|<b>&\\\u202e",
    "+1[red]",
)
HOSTILE = r"""
name: "../../escape $x$ | <script>alert(1)</script>"
description: "Two lines\n\nof *description* [bold]x[/bold] [/] :cat: $\\frac$ \e[31m & _x_ 100%"
horizon: 6
objective: profit
ending: finite
demand: {kind: poisson, mean: 5}
products: [{name: "$_$"}]
suppliers: [{name: "=mill [/x] :100: $\\mathrm{$", capacity: 30}]
warehouses:
  - {name: "[/shop] \e]0;pwned\a :cat:", initial_stock: 9, holding_cost: 1, shortage_cost: 5, price: 9, storage: 99}
  - {name: "_$\\frac$|<b>&\\\u202e", initial_stock: 9, holding_cost: 1, shortage_cost: 5, price: 9}
  - {name: "+1[red]", initial_stock: 9, holding_cost: 1, shortage_cost: 5, price: 9}
lanes:
  - {name: "[bold]$^$", origin: "=mill [/x] :100: $\\mathrm{$", destination: "[/shop] \e]0;pwned\a :cat:", lead_time: 1, capacity: 40}
  - {origin: "=mill [/x] :100: $\\mathrm{$", destination: "_$\\frac$|<b>&\\\u202e", lead_time: 1}
  - {origin: "=mill [/x] :100: $\\mathrm{$", destination: "+1[red]", lead_time: 1}
  - {origin: "_$\\frac$|<b>&\\\u202e", destination: "+1[red]", lead_time: 1}
pools: [{name: "$pool$ [/]", lanes: ["[bold]$^$"], capacity: 30}]
"""
EXPERIMENT = r"""
description: "</main><script>alert('exp')</script> = 5 < 6 [/x] \e[31m"
scenarios:
  - {scenario: hostile.yaml, name: "../<script>scen</script> \" ' & | _ % ]]> --"}
  - {scenario: hostile.yaml, name: "$\\frac$", settings: {horizon: 7}}
policies:
  - {policy: order_up_to, name: "=HYPERLINK(\"http://x\",\"y\")|<b>&_%$#{}~^\\"}
  - {policy: constant_order, name: "+1</td><script>p</script> -- ]]>"}
  - {policy: order_up_to, name: "_$_$ [/x] \e[31m"}
reference: "=HYPERLINK(\"http://x\",\"y\")|<b>&_%$#{}~^\\"
replications: 4
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders deep, so that whatever leaves its place is found."""
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True)
    (folder / "hostile.yaml").write_text(HOSTILE, encoding="utf-8")
    (folder / "experiment.yaml").write_text(EXPERIMENT, encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "300")
    return folder


@pytest.fixture
def marl_inv(folder, monkeypatch, capfd):
    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["marl-inv", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), "".join(capfd.readouterr())

    return run


COMMANDS = [
    "check hostile.yaml --run",
    "simulate hostile.yaml --lanes --replications 4",
    "tune hostile.yaml order_up_to --effort 0.01",
    "compare hostile.yaml --no-train --bound --replications 4",
    "render hostile.yaml --out picture.svg",
    "render hostile.yaml --out picture.png",
    "render hostile.yaml --out film.gif --period 2",
    "train hostile.yaml decisions=200 decisions_per_update=100 validations=1 validation_replications=2 hidden=8 model=mlp start=newsvendor",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_prints_text_as_it_is(marl_inv, folder, command):
    code, printed = marl_inv(*command.split())
    assert code == 0
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", printed)
    assert "\N{CAT FACE}" not in printed
    assert "\N{CAT}" not in printed
    if command.split()[0] in ("simulate", "tune"):
        for name in (r"[/shop] \x1b]0;pwned\x07 :cat:", r"_$\frac$|<b>&\\u202e", "+1[red]"):
            assert name in printed
    outside = {file for file in folder.parents[1].rglob("*") if folder not in (file, *file.parents)}
    assert outside == {folder.parent}


def test_what_cannot_be_solved_is_told_as_it_is(marl_inv):
    code, printed = marl_inv("solve", "hostile.yaml")
    assert code == 2
    assert printed.startswith("marl-inv: ../../escape $x$ | <script>")


@pytest.mark.parametrize("to", ["copy.yaml", "copy.json", "tables"])
def test_what_is_exported_says_the_same_and_stays_in_its_folder(marl_inv, folder, to):
    code, printed = marl_inv("export", "hostile.yaml", to)
    assert code == 0
    written = printed.split()
    assert all(Path(file).exists() for file in written)
    there, back = load_scenario("hostile.yaml").model_dump(), load_scenario(written[0]).model_dump()
    assert back | {"name": ""} == there | {"name": ""}
    assert [each.name for each in folder.parents[1].iterdir()] == ["outer"]
    assert [each.name for each in folder.parent.iterdir()] == ["inner"]


def test_spreadsheets_compute_no_exported_table(marl_inv):
    marl_inv("export", "hostile.yaml", "tables")
    for file in Path("tables").glob("*.csv"):
        assert not [cell for cell in _cells(file) if cell.startswith(("=", "+", "@", "-"))]


def test_graphml_says_what_it_cannot_hold(marl_inv):
    code, printed = marl_inv("export", "hostile.yaml", "copy.graphml")
    assert (code, printed.count("\n")) == (2, 1)
    assert r"cannot hold '\x1b'" in printed
    assert not Path("copy.graphml").exists()


def test_a_line_number_is_no_picture(marl_inv, folder):
    lines = "# filler\n" * 99
    Path("late.yaml").write_text(f"{lines}horizn: 5\n{HOSTILE}", encoding="utf-8")
    code, printed = marl_inv("check", "late.yaml")
    assert code == 2
    assert printed.startswith("marl-inv: late.yaml:100:1: horizn is not a known key")


def test_half_a_character_is_refused(marl_inv):
    Path("half.yaml").write_text(HOSTILE.replace('name: "$_$"', r'name: "\uD800"'), encoding="utf-8")
    code, printed = marl_inv("check", "half.yaml")
    assert code == 2
    assert r"products.0.name is '\ud800', which holds half a character" in printed


def test_a_mistake_is_told_in_a_sensible_length(marl_inv):
    Path("long.yaml").write_text(HOSTILE.replace("horizon: 6", "x" * 100_000 + ": 6"), encoding="utf-8")
    code, printed = marl_inv("check", "long.yaml")
    assert code == 2
    assert len(printed) < 2000


@pytest.mark.slow
def test_a_grid_and_its_report(marl_inv, folder, monkeypatch):
    formulas = []
    monkeypatch.setattr(
        matplotlib.text.Text, "_preprocess_math", _noting(formulas, matplotlib.text.Text._preprocess_math)
    )
    for command in (["run", "experiment.yaml", "--out", "grid"], ["report", "grid"]):
        code, printed = marl_inv(*command)
        assert code == 0
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", printed)
    assert formulas == []
    for file in Path("grid").glob("*.*"):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", file.read_text(encoding="utf-8")), file
    page = Path("grid/report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count("</main>") == 1
    for picture in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ElementTree.fromstring(picture.replace("xlink:href", "href"))
    for file in ("grid/tables.csv", "grid/samples.csv"):
        assert not [
            cell for cell in _cells(Path(file)) if re.match(r"[=+@\t-]", cell) and not _is_number(cell)
        ]
    for file in ("grid/table.md", "grid/report.md"):
        text = Path(file).read_text(encoding="utf-8")
        assert not re.search(r"(?<!\\)<(?!!)", text)
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {7, 9}
    tex = Path("grid/tables.tex").read_text(encoding="utf-8")
    assert r"\$\textbackslash{}frac\$" in tex
    assert "\n\n\\begin" in tex
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 3
    Path("README.md").write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    assert marl_inv("leaderboard", ".")[0] == 0
    board = Path("README.md").read_text(encoding="utf-8")
    assert not re.search(r"(?<!\\)<(?!!)", board)
    assert r"\=HYPERLINK" in board
    assert [each.name for each in folder.parent.iterdir()] == ["inner"]


def _noting(formulas: list[str], real):
    def preprocessed(text, line):
        told, is_math = real(text, line)
        formulas.extend([line] if is_math else [])
        return told, is_math

    return preprocessed


def _cells(file: Path) -> list[str]:
    with file.open(newline="", encoding="utf-8") as opened:
        return [cell for row in csv.reader(opened) for cell in row]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
