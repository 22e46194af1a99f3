"""PettingZoo's own tests, without what they warn of and marl_inv means as it is."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from types import SimpleNamespace
from typing import Any

from pettingzoo import AECEnv, ParallelEnv

from marl_inv.common.errors import CheckFailed
from marl_inv.environment import env, parallel_env
from marl_inv.episodes.problem import Problem

ADVICE = [
    "(min|max)imum (observation|state) space value is -?infinity",  # nothing bounds stock from above
    "different (observation space sizes|shapes)",  # warehouses have different lanes
    "maximum and minimum action space values are equal",  # of an agent that decides nothing
    "(Observation numpy array|State numpy array) is all zeros",  # a network may start empty
    "Action space for each agent probably should be",  # one of several lanes' order levels is a MultiDiscrete
    "We recommend agents to be named",
]
"""What PettingZoo warns of and marl_inv means as it is."""


# PettingZoo's own tests


def check_pettingzoo(
    problem: Problem,
    periods: int | None = None,
    levels: int | None = None,
    only: Sequence[str] = (),
    flat: bool = False,
) -> None:
    """PettingZoo's tests for both of its interfaces, or `only` those; what they only warn of fails too, but
    for ADVICE. With `levels` actions are order levels, with `flat` by one number."""
    from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, render_test, seed_test
    from pettingzoo.test.max_cycles_test import max_cycles_test
    from pettingzoo.test.state_test import state_test

    chosen: dict[str, Any] = {"max_cycles": periods, "levels": levels, "flat": flat}

    def parallel(**options: Any) -> ParallelEnv:
        return parallel_env(problem, **chosen | options)

    def agent_cycle(**options: Any) -> AECEnv:
        return env(problem, **chosen | options)

    def without_window(render_mode: str) -> AECEnv:
        drawn = agent_cycle(render_mode=render_mode)
        drawn.metadata["render_modes"] = [mode for mode in drawn.metadata["render_modes"] if mode != "human"]
        return drawn

    horizon, agents = problem.scenario.horizon, len(problem.network.warehouses)
    cycles = min(periods or horizon, horizon)
    tests: dict[str, Callable[[], None]] = {
        "parallel_api_test": lambda: parallel_api_test(parallel(), num_cycles=cycles),
        "api_test": lambda: api_test(agent_cycle(), num_cycles=min(cycles * agents, 1000)),
        "parallel_seed_test": lambda: parallel_seed_test(parallel),
        "seed_test": lambda: seed_test(agent_cycle),
        "state_test": lambda: state_test(agent_cycle(), parallel()),
        "render_test": lambda: render_test(without_window),  # pyright: ignore[reportArgumentType]  # it passes render_mode
    }
    if cycles >= 4:
        tests["max_cycles_test"] = lambda: max_cycles_test(
            SimpleNamespace(parallel_env=parallel, env=agent_cycle)
        )
    for name, test in tests.items():
        if only and name not in only:
            continue
        with _told(f"{problem.scenario.name}: PettingZoo's {name}"):
            test()


@contextmanager
def _told(test: str) -> Iterator[None]:
    """A failed assertion, and a warning of PettingZoo's, as a CheckFailed; what the test prints is
    dropped."""
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        try:
            yield
        except AssertionError as error:
            raise CheckFailed(f"{test} fails: {error or 'an assertion without a message'}") from error
    said = [str(warning.message) for warning in caught if "pettingzoo" in warning.filename]
    if unknown := [text for text in said if not any(re.search(known, text) for known in ADVICE)]:
        raise CheckFailed(f"{test} warns: {unknown[0]}")
