"""A testbed for multi-agent reinforcement learning in multi-warehouse inventory allocation.

The names below load on first use, so that the command line's help needs neither torch nor PettingZoo.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "animate": "marl_inv.drawing",
    "check_environment": "marl_inv.testing",
    "check_scenario": "marl_inv.testing",
    "compare": "marl_inv.experiment",
    "env": "marl_inv.environment",
    "load_policy": "marl_inv.models.learned",
    "load_problem": "marl_inv.problem",
    "load_scenario": "marl_inv.scenario",
    "parallel_env": "marl_inv.environment",
    "play": "marl_inv.rollout",
    "render": "marl_inv.drawing",
    "run": "marl_inv.grid",
    "InputError": "marl_inv.reading",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'marl_inv' has no attribute {name!r}")
