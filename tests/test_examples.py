"""Every example runs as it is, and prints what it is about; so do the cells of the notebook, one after the
other."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import pytest

from marl_inv.experiments.experiment import read_experiment
from marl_inv.experiments.search import read_search

EXAMPLES = Path(__file__).parents[1] / "results" / "examples"

SAYS = {
    "own_policy.py": ["smooth: +2.", "over tuned order-up-to"],
    "own_algorithm.py": ["own_algorithm:build: mlp", "+3.", "over tuned order-up-to"],
    "own_model.py": ["pathwise: own_model:DeepSet", "+0.", "over tuned order-up-to"],
    "own_reward.py": ["plain: cost 4.8", "fill rate 0.89", "own_reward:careful: cost 6.", "fill rate 0.95"],
    "own_network.py": ["tuned balanced order-up-to: units", "north->centre"],
    "graph_to_policy.py": ["Trained(LearnedPolicy(pathwise: mlp", "n.s.: not told from 0", " pathwise "],
    "train_and_compare.py": ["pathwise: +", "tuned capped order-up-to: +"],
}


@pytest.fixture
def printed(
    unchecked: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> Callable[[Path], str]:
    """What a script prints where it is run in an empty folder. What one has tuned others remember: tuning finds
    the same again."""
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")

    def run(script: Path) -> str:
        monkeypatch.syspath_prepend(str(script.parent))
        for name in SAYS:
            monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
        runpy.run_path(str(script), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_an_example_is_short(name: str):
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) < 40


@pytest.mark.parametrize("name", SAYS)
def test_an_example_prints_what_it_is_about(name: str, printed: Callable[[Path], str]):
    told = printed(EXAMPLES / name)
    for words in SAYS[name]:
        assert words in told


def test_the_notebook_runs_from_the_first_cell_to_the_last(tmp_path: Path, printed: Callable[[Path], str]):
    cells = json.loads((EXAMPLES / "tour.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] or "import" in "".join(cell["source"]) for cell in code), (
        "committed as it was run"
    )
    script = "\n\n".join("".join(cell["source"]) for cell in code)
    (tmp_path / "tour.py").write_text(script, encoding="utf-8")
    assert "tuned order-up-to" in printed(tmp_path / "tour.py")


def test_the_experiment_that_explains_the_file_can_be_read_and_searched(tmp_path: Path):
    page = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    [text] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "experiment.yaml").write_text(text, encoding="utf-8")
    _, cells = read_experiment(tmp_path / "experiment.yaml")
    scenarios, policies = (
        list(dict.fromkeys(getattr(cell, kind) for cell in cells)) for kind in ("scenario", "policy")
    )
    assert scenarios == [
        "short",
        *(f"grid network.rows={rows} warm_up={warm_up}" for rows in (3, 4) for warm_up in (0, 20)),
    ]
    learned = ["mappo", "mappo hops=0", "mappo hops=1", "mappo critic=local", "elsewhere", "searched"]
    assert policies == ["tuned_order_up_to", "tuned_capped_order_up_to", *learned]
    assert len(cells) == 5 * (2 + 6 * 5)
    assert set(read_search(tmp_path / "experiment.yaml").entry.search) == {"lr", "hidden"}
