"""Every scenario of the library, by glob, with what it needs to be played here."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from marl_inv.episodes.problem import Problem, load_problem
from marl_inv.scenario import library

FAVORITA_SALES = Path(__file__).resolve().parents[2] / "shared" / "data" / "favorita" / "weekly_sales.csv"
"""Not part of the repository; tests that need it are skipped where it is absent."""


def settings_for(name: str) -> list[str]:
    """The settings a scenario cannot be loaded without."""
    return [f"demand.path={FAVORITA_SALES}"] if name == "favorita" else []


@cache
def problem_under_test(name: str) -> Problem:
    """A scenario of the library, loaded once for all tests (reading favorita's file takes seconds where
    shapes are checked)."""
    return load_problem(name, settings_for(name))


def periods(name: str) -> int | None:
    """How much of an episode tests play where any part of it serves: less of large ones, all of a season,
    which has to end."""
    scenario = problem_under_test(name).scenario
    size = len(scenario.product_list) * len(scenario.warehouses)
    return None if scenario.ending == "finite" and size < 50 else 3 if size > 100 else 8


def _scenario(name: str) -> pytest.param:
    absent = name == "favorita" and not FAVORITA_SALES.exists()
    return pytest.param(
        name,
        id=name,
        marks=[pytest.mark.skip(reason=f"{FAVORITA_SALES.name} is not part of the repository")]
        if absent
        else [],
    )


SCENARIOS = [_scenario(name) for name in library()]
"""For `pytest.mark.parametrize("name", SCENARIOS)`."""

LARGE = {"many_networks", "network_50", "network_200", "favorita"}

SCENARIOS_LARGE_SLOWLY = [
    pytest.param(*each.values, id=each.id, marks=[*each.marks, *[pytest.mark.slow] * (each.id in LARGE)])
    for each in SCENARIOS
]
"""The same, the large ones by `pytest -m slow`."""
