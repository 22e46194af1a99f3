"""Settings are searched on validation traces alone, to the same end however often the search is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from marl_inv.common.errors import InputError
from marl_inv.experiments import cell as grid
from marl_inv.learning.runs import training_settings

pytest.importorskip("optuna", reason="Optuna is not installed")
from marl_inv.experiments.search import search

FILE = """scenarios:
  - {scenario: lost_sales, settings: {horizon: 20, warm_up: 5}}
policies:
  - order_up_to
  - algorithm: pathwise
    settings: {decisions: 4000, decisions_per_update: 1000, validations: 2, validation_replications: 64, hidden: 8, model: mlp, start: newsvendor}
    search: {lr: {low: 1.0e-6, high: 0.1, log: true}, hops: [0, 1]}
seeds: 1
replications: 64
reference: order_up_to
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(FILE, encoding="utf-8")
    return tmp_path / "small.yaml"


def test_a_search_goes_on_where_it_was_stopped_and_never_sees_evaluation_traces(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    found = search(file, trials=4, out=tmp_path / "whole", batch=2)
    search(file, trials=2, out=tmp_path / "parts", batch=2)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").glob(f"*/{grid.SCORES}")}
    again = search(file, trials=4, out=tmp_path / "parts", batch=2)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [(trial.number, trial.values, trial.gain) for trial in again.trials] == [
        (trial.number, trial.values, trial.gain) for trial in found.trials
    ]
    assert [trial.gain for trial in found.trials] == sorted(
        (trial.gain for trial in found.trials), reverse=True
    )
    assert all(cell.stream == "validate" for cell in [*found.search.own, *found.search.references])
    rows = found.records()
    assert [row["trial"] for row in rows] == [trial.number for trial in found.trials]
    assert set(rows[0]) == {"trial", "lr", "hops", "gain_percent", "seconds"}
    assert "gain %" in str(found)
    assert repr(found).startswith(f"Found({tmp_path / 'whole'}: 4 trials, the best is {rows[0]['trial']}: ")
    best = training_settings((), found.best)
    assert best.algorithm == "pathwise"
    assert best.lr == found.trials[0].values["lr"]


def test_an_experiment_without_a_search_says_what_to_add(file: Path, tmp_path: Path):
    file.write_text("\n".join(line for line in FILE.splitlines() if "search" not in line), encoding="utf-8")
    with pytest.raises(InputError, match="0 policies have `search`; give it to one"):
        search(file, out=tmp_path / "out")
