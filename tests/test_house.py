"""The house: imports go down its floors, and in no circle; a module is one room, and a name means one
thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).parents[1]

FLOORS = [
    *(
        "__main__",
        "cli",
        "report",
        "api",
        "experiments",
        "policies",
        "testing",
        "bench",
        "learning",
        "environment",
        "drawing",
    ),
    *(
        "models",
        "baselines",
        "evaluation",
        "episodes",
        "chance",
        "simulator",
        "network",
        "scenario",
        "common",
        "",
    ),
]
"""From the top; a package imports what stands below it. The last is `marl_inv` itself, which loads its names
when they are asked for."""

LONG = {
    "baselines/bounds/dynamic_programme.py": "one programme: its states, its transitions and its sweep",
    "baselines/bounds/linear_programme.py": "one programme: every rule of a period as rows",
    "marl_inv/bench/speed.py": "a list of measurements, each by itself",
    "marl_inv/experiments/results.py": "what was found, judged and put into one table",
    "marl_inv/network/building.py": "one builder, a method for each part of the network",
    "marl_inv/report/pictures.py": "a list of pictures, each by itself",
    "marl_inv/scenario/advice.py": "a list of pieces of advice, each by itself",
}
"""Modules of more than 400 lines, and why they are one room."""

SHARED = {
    "build": "the algorithm of a file, by one contract",
    "Arrays": "arrays by agent",
}
"""Public names that several modules have, and what they all mean."""

FLAT = {"__init__", "__main__", "api", "policies"}
"""What lies in marl_inv itself."""


def modules(root: Path) -> dict[str, ast.Module]:
    """All of `marl_inv` and of `baselines`, by the name they are imported by."""
    files = [*(root / "marl_inv").rglob("*.py"), *(root / "baselines").rglob("*.py")]
    links = {root / "marl_inv" / name for name in ("baselines", "scenarios")}
    found = {}
    for file in files:
        if not links & set(file.parents):
            parts = file.relative_to(root).with_suffix("").parts
            parts = parts if parts[0] == "marl_inv" else ("marl_inv", *parts)
            found[".".join(parts).removesuffix(".__init__")] = ast.parse(file.read_text(encoding="utf-8"))
    return found


def imports(found: dict[str, ast.Module]) -> Iterator[tuple[str, str]]:
    """Every import of one by another, those within functions and for types too."""
    for name, tree in found.items():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module
                and node.module.partition(".")[0] == "marl_inv"
            ):
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield name, inner if inner in found else node.module
            elif isinstance(node, ast.Import):
                yield from (
                    (name, alias.name) for alias in node.names if alias.name.partition(".")[0] == "marl_inv"
                )


def floor(module: str) -> int:
    return FLOORS.index([*module.split("."), ""][1])


def upward(found: dict[str, ast.Module]) -> list[str]:
    """Imports of what stands above; `marl_inv` itself names what it hands on."""
    pairs = sorted(set(imports(found)))
    return [
        f"{name} imports {other}"
        for name, other in pairs
        if name != "marl_inv" and floor(other) < floor(name)
    ]


@pytest.fixture(scope="module")
def house() -> dict[str, ast.Module]:
    return modules(ROOT)


def test_imports_go_down(house):
    assert upward(house) == []


@pytest.mark.parametrize(
    ("where", "line", "told"),
    [
        (
            "marl_inv/simulator/period.py",
            "from marl_inv.learning.train import train",
            "marl_inv.simulator.period imports marl_inv.learning.train",
        ),
        (
            "marl_inv/common/files.py",
            "def late():\n    import marl_inv.scenario",
            "marl_inv.common.files imports marl_inv.scenario",
        ),
        (
            "baselines/myopic.py",
            "from marl_inv import policies",
            "marl_inv.baselines.myopic imports marl_inv.policies",
        ),
    ],
)
def test_an_import_of_what_stands_above_is_found(where: str, line: str, told: str, tmp_path: Path):
    file = tmp_path / where
    for name in (
        where,
        "marl_inv/learning/train.py",
        "marl_inv/scenario/__init__.py",
        "marl_inv/policies.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("", encoding="utf-8")
    file.write_text(line, encoding="utf-8")
    assert upward(modules(tmp_path)) == [told]


def test_nothing_is_imported_in_a_circle(house):
    graph = networkx.DiGraph()
    for name, other in imports(house):
        handed_on = other.startswith(
            f"{name}."
        )  # what a package's __init__ hands on, and marl_inv its public names
        graph.add_edges_from([] if handed_on else [(name, other)])
    assert [circle for circle in networkx.strongly_connected_components(graph) if len(circle) > 1] == []


def test_every_package_has_a_floor_and_few_modules_have_none(house):
    assert {name.split(".")[1] for name in house if name.count(".")} == set(FLOORS) - {""}
    assert {file.stem for file in (ROOT / "marl_inv").glob("*.py")} == FLAT


def test_a_module_is_one_room():
    files = [file for folder in ("marl_inv", "baselines") for file in (ROOT / folder).rglob("*.py")]
    lines = {
        file.relative_to(ROOT).as_posix(): len(file.read_text(encoding="utf-8").splitlines())
        for file in files
    }
    long = {
        name for name, count in lines.items() if count > 400 and not name.startswith("marl_inv/baselines/")
    }
    assert long == set(LONG)


def named(tree: ast.Module) -> Iterator[str]:
    """The public names that a module defines."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        for target in targets:
            inner = target.elts if isinstance(target, ast.Tuple) else [target]
            yield from (getattr(each, "id", getattr(each, "name", "_")) for each in inner)


def test_a_name_means_one_thing(house):
    homes = defaultdict(set)
    doors = ("marl_inv.api", "marl_inv.cli.")  # call what they are named after
    for name, tree in house.items():
        if name.startswith(doors):
            continue
        for public in named(tree):
            if isinstance(public, str) and not public.startswith("_"):
                homes[public].add(name)
    assert {public: where for public, where in homes.items() if len(where) > 1 and public not in SHARED} == {}


def test_every_package_is_in_the_wheel():
    import tomllib

    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    packages = {
        name
        for name, file in (
            (f.parent.relative_to(ROOT), f)
            for folder in ("marl_inv", "baselines", "scenarios")
            for f in (ROOT / folder).rglob("__init__.py")
        )
    }
    dotted = {
        ".".join(path.parts if path.parts[0] == "marl_inv" else ("marl_inv", *path.parts))
        for path in packages
    }
    assert set(listed) == dotted
