"""What a file may say, and how it is loaded, generated, exchanged and checked."""

from marl_inv.scenario.loading import (
    library,
    load_scenario,
    read_document,
    read_scenario,
    scenario_from_graph,
    scenario_path,
)
from marl_inv.scenario.scenario import Scenario

__all__ = [
    "Scenario",
    "library",
    "load_scenario",
    "read_document",
    "read_scenario",
    "scenario_from_graph",
    "scenario_path",
]
