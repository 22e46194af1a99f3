"""Tests for scenarios and environments of one's own: does what is played keep to the rules?

    check_scenario("my_scenario.yaml")
    check_environment(lambda: MyWrapper(parallel_env("two_warehouses")))

Both return nothing, or raise a CheckFailed that says in one line what does not hold, where and when.
`check_scenario` is all of this module: the laws of the simulator, PettingZoo's own tests, what those miss,
and the same luck in every process.
"""

from marl_inv.testing.checks import check_scenario
from marl_inv.testing.environments import check_environment
from marl_inv.testing.laws import check_laws, laws
from marl_inv.testing.pettingzoo import check_pettingzoo
from marl_inv.testing.processes import check_processes, fingerprint

__all__ = [
    "check_environment",
    "check_laws",
    "check_pettingzoo",
    "check_processes",
    "check_scenario",
    "fingerprint",
    "laws",
]
