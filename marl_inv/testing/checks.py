"""All checks of `marl_inv.testing` in one call."""

from __future__ import annotations

from marl_inv.environment import parallel_env
from marl_inv.episodes.problem import AnyScenario, as_problem
from marl_inv.testing.environments import check_environment
from marl_inv.testing.laws import check_laws
from marl_inv.testing.pettingzoo import check_pettingzoo
from marl_inv.testing.processes import check_processes


def check_scenario(scenario: AnyScenario, episodes: int = 1, periods: int | None = None) -> None:
    """Play a scenario in every way and check all that happens; `periods` cuts episodes short.

    Raises CheckFailed, and InputError for a scenario that cannot be played at all.
    """
    problem = as_problem(scenario)
    check_laws(problem, periods)
    check_pettingzoo(problem, periods)
    check_environment(lambda: parallel_env(problem, max_cycles=periods), episodes)
    check_processes([problem], periods)
