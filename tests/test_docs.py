"""The documentation tells of every key, its examples load and run, and it is built without a warning."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

import marl_inv
from marl_inv.experiments.experiment import read_experiment
from marl_inv.learning.settings import TrainSettings
from marl_inv.scenario import Scenario
from marl_inv.scenario.shocks import shock_library

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))
import reference  # noqa: E402

PAGES = sorted(path.name for path in DOCS.glob("*.md"))


def records_in(kind: Any) -> dict[str, type[BaseModel]]:
    """All records that a value may hold, by name."""
    found: dict[str, type[BaseModel]] = {}
    waiting = [kind]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if kind.__name__ not in found:
                found[kind.__name__] = kind
                waiting += [field.annotation for field in kind.model_fields.values()]
        else:
            waiting += get_args(kind)
    return found


def told(page: str) -> dict[str, dict[str, list[str]]]:
    """The rows of each record's table, by key; those of the page's own under no name."""
    tables = {}
    for part in re.split(r"^\(record-", page, flags=re.MULTILINE):
        name = part.partition(")=")[0] if ")=" in part else ""
        rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", part, re.MULTILINE)
        tables[name] = {key: re.split(r"(?<!\\)\|", rest) for key, rest in rows}
    return tables


def anchor(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def own_keys(record: type[BaseModel]) -> set[str]:
    """Of a template, those that the record lacks that it is a template of."""
    if not record.__name__.endswith("Template"):
        return set(record.model_fields)
    of = records_in(Scenario)[record.__name__.removeprefix("Optional").removesuffix("Template")]
    return set(record.model_fields) - set(of.model_fields)


@pytest.mark.parametrize(
    ("page", "record"),
    [
        (reference.scenario_keys, Scenario),
        (reference.experiment_keys, reference.Experiment),
        (reference.network_keys, tuple[tuple(reference.SOURCES.values())]),
    ],
)
def test_every_key_of_every_record_is_told_with_a_meaning(page, record):
    tables, elsewhere = told(page()), set() if record is Scenario else set(records_in(Scenario))
    for name, each in records_in(record).items():
        if name in elsewhere:
            continue
        rows = tables["" if each is record else anchor(name)]
        assert own_keys(each) <= set(rows), f"{name}: {own_keys(each) - set(rows)}"
        assert all(row[-1].strip() for row in rows.values()), (
            f"{name}: say what it means in a docstring at the field"
        )


@pytest.mark.parametrize("page", [reference.scenario_keys, reference.network_keys])
def test_every_number_of_a_scenario_has_a_unit(page):
    for name, rows in told(page()).items():
        for key, (value, *_) in rows.items():
            bare = "number" in value and "<br>*" not in value and key != "seed"
            assert not bare, f"{name}.{key}: say its unit in UNITS of docs/reference.py"


def test_every_setting_of_training_is_told_with_a_meaning():
    settings = told(reference.training_settings().partition("## Defaults of algorithms")[0])[""]
    assert set(settings) == set(TrainSettings.model_fields)
    assert all(row[-1].strip() for row in settings.values())


def test_every_command_and_every_public_name_is_told():
    usage = reference.commands()
    for command in ("list", "check", "compare", "train", "run", "report"):
        assert f"\n## {command}\n" in usage
    assert all(f"marl_inv.{name}" in reference.public_names() for name in marl_inv.__all__)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def example(text: str, beside: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Load an example as what it is; an excerpt of a scenario is laid over the page's first one. Returns what
    it says."""
    data = YAML(typ="safe", pure=True).load(text)
    file = folder / "example.yaml"
    if "policies" in data:
        file.write_text(text, encoding="utf-8")
        read_experiment(file)
    elif set(data) <= set(TrainSettings.model_fields):
        TrainSettings.model_validate(data)
    elif set(data) == {"shocks"}:
        file.write_text(text, encoding="utf-8")
        shock_library(file)
    else:
        whole = data if "network" in data or not beside else beside | data
        with file.open("w", encoding="utf-8") as stream:
            YAML(typ="safe", pure=True).dump(whole, stream)
        marl_inv.load_scenario(file)
    return data


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")])
def test_examples_load(page: str, tmp_path: Path):
    beside: dict[str, Any] = {}
    for text in blocks(page, "yaml"):
        data = example(text, beside, tmp_path)
        beside = beside or data


def test_the_first_scenario_is_the_same_wherever_it_is_shown():
    file = (DOCS / "examples" / "two_shops.yaml").read_text(encoding="utf-8")
    assert blocks("scenarios.md", "yaml")[0] == file.partition("\n")[2]
    assert marl_inv.load_scenario(DOCS / "examples" / "two_shops.yaml").name == "two_shops"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_examples_run(page: str):
    names: dict[str, Any] = {}
    for text in blocks(page, "python"):
        exec(compile(text, page, "exec"), names)


def test_the_policy_of_the_example_helps(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(DOCS / "examples"))
    from neighbourly import Neighbourly

    problem = marl_inv.load_problem(DOCS / "examples" / "two_shops.yaml")
    trace, ours = problem.trace("evaluate", 0, 64), Neighbourly.of(problem)
    ours, plain = (
        sum(-moment.costs.reward.sum() for moment in marl_inv.play(problem, policy, trace))
        for policy in (ours, ours.base)
    )
    assert ours < plain


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("sphinx", "furo", "myst_nb"))),
    reason='needs pip install -c constraints.txt -e ".[docs]"',
)
def test_the_pages_are_built_without_a_warning(tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "-q",
        "-b",
        "html",
        "-d",
        str(tmp_path / "doctrees"),
        str(DOCS),
        str(tmp_path / "html"),
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert built.returncode == 0, built.stderr[-3000:]
    assert "in_transit_cost" in (tmp_path / "html" / "keys.html").read_text(encoding="utf-8")
