"""Every scenario of the library, by glob, with what it needs to be played here."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from marl_inv.problem import Problem, load_problem
from marl_inv.scenario import library

FAVORITA_SALES = Path(__file__).resolve().parents[2] / "shared" / "data" / "favorita" / "weekly_sales.csv"
"""Not part of the repository; tests that need it are skipped where it is absent."""


def settings_for(name: str) -> list[str]:
    """The settings a scenario cannot be loaded without."""
    return [f"demand.path={FAVORITA_SALES}"] if name == "favorita" else []


@cache
def problem_under_test(name: str) -> Problem:
    """A scenario of the library, loaded once for all tests (reading favorita's file takes seconds where shapes are checked)."""
    return load_problem(name, settings_for(name))


def _scenario(name: str) -> pytest.param:
    absent = name == "favorita" and not FAVORITA_SALES.exists()
    return pytest.param(
        name, id=name, marks=[pytest.mark.skip(reason=f"{FAVORITA_SALES.name} is not part of the repository")] if absent else []
    )


SCENARIOS = [_scenario(name) for name in library()]
"""For `pytest.mark.parametrize("name", SCENARIOS)`."""
