"""A testbed for multi-agent reinforcement learning in multi-warehouse inventory allocation.

The names below load on first use, so that the command line's help needs neither torch nor PettingZoo. What
takes a scenario takes a bare name, a path, a networkx graph, a Scenario or a Problem; what takes policies
takes their names and run folders too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marl_inv.api import evaluate as evaluate
    from marl_inv.api import render as render
    from marl_inv.api import stress as stress
    from marl_inv.api import train as train
    from marl_inv.api import tune as tune
    from marl_inv.baselines import BASELINES as BASELINES
    from marl_inv.baselines.bounds.optimum import solve as solve
    from marl_inv.common.errors import InputError as InputError
    from marl_inv.drawing.film import animate as animate
    from marl_inv.environment import env as env
    from marl_inv.environment import parallel_env as parallel_env
    from marl_inv.episodes.policy import Policy as Policy
    from marl_inv.episodes.problem import Problem as Problem
    from marl_inv.episodes.problem import load_problem as load_problem
    from marl_inv.episodes.rollout import play as play
    from marl_inv.episodes.view import View as View
    from marl_inv.evaluation.evaluate import Score as Score
    from marl_inv.experiments.comparison import Comparison as Comparison
    from marl_inv.experiments.comparison import bounds as bounds
    from marl_inv.experiments.comparison import compare as compare
    from marl_inv.experiments.results import Results as Results
    from marl_inv.experiments.results import read_results as read_results
    from marl_inv.experiments.run import run as run
    from marl_inv.learning.settings import TrainSettings as TrainSettings
    from marl_inv.models.learned import load_policy as load_policy
    from marl_inv.policies import policy_named as policy_named
    from marl_inv.scenario import Scenario as Scenario
    from marl_inv.scenario import library as library
    from marl_inv.scenario import load_scenario as load_scenario
    from marl_inv.scenario import scenario_from_graph as scenario_from_graph
    from marl_inv.scenario.export import write_scenario as write_scenario
    from marl_inv.simulator import Decision as Decision
    from marl_inv.testing import check_environment as check_environment
    from marl_inv.testing import check_scenario as check_scenario

__version__ = "0.1.0"

_HOMES = {
    "BASELINES": "marl_inv.baselines",
    "Comparison": "marl_inv.experiments.comparison",
    "Decision": "marl_inv.simulator",
    "InputError": "marl_inv.common.errors",
    "Policy": "marl_inv.episodes.policy",
    "Problem": "marl_inv.episodes.problem",
    "Results": "marl_inv.experiments.results",
    "Scenario": "marl_inv.scenario",
    "Score": "marl_inv.evaluation.evaluate",
    "TrainSettings": "marl_inv.learning.settings",
    "View": "marl_inv.episodes.view",
    "animate": "marl_inv.drawing.film",
    "bounds": "marl_inv.experiments.comparison",
    "check_environment": "marl_inv.testing",
    "check_scenario": "marl_inv.testing",
    "compare": "marl_inv.experiments.comparison",
    "env": "marl_inv.environment",
    "evaluate": "marl_inv.api",
    "library": "marl_inv.scenario",
    "load_policy": "marl_inv.models.learned",
    "load_problem": "marl_inv.episodes.problem",
    "load_scenario": "marl_inv.scenario",
    "parallel_env": "marl_inv.environment",
    "play": "marl_inv.episodes.rollout",
    "policy_named": "marl_inv.policies",
    "read_results": "marl_inv.experiments.results",
    "render": "marl_inv.api",
    "run": "marl_inv.experiments.run",
    "scenario_from_graph": "marl_inv.scenario",
    "solve": "marl_inv.baselines.bounds.optimum",
    "stress": "marl_inv.api",
    "train": "marl_inv.api",
    "tune": "marl_inv.api",
    "write_scenario": "marl_inv.scenario.export",
}
"""Where every public name is from; the imports above tell editors and type checkers the same."""

__all__ = [
    "BASELINES",
    "Comparison",
    "Decision",
    "InputError",
    "Policy",
    "Problem",
    "Results",
    "Scenario",
    "Score",
    "TrainSettings",
    "View",
    "animate",
    "bounds",
    "check_environment",
    "check_scenario",
    "compare",
    "env",
    "evaluate",
    "library",
    "load_policy",
    "load_problem",
    "load_scenario",
    "parallel_env",
    "play",
    "policy_named",
    "read_results",
    "render",
    "run",
    "scenario_from_graph",
    "solve",
    "stress",
    "train",
    "tune",
    "write_scenario",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'marl_inv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
