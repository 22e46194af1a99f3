"""What every policy is, learned or classical: something that looks at a view and decides for all warehouses
at once."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from marl_inv.chance.trace import Trace
from marl_inv.common.errors import InputError
from marl_inv.episodes.view import View
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision

FUTURE = "the future"
"""What a policy that is shown the whole trace says that it knows."""


@runtime_checkable
class Policy(Protocol):
    """A frozen dataclass with these two fields and two methods is one; nothing has to be inherited."""

    @property
    def name(self) -> str: ...

    @property
    def knows(self) -> str:
        """What it decides on, in a few words: own stock, network, demand distribution, forecast, the future.
        Tables print it."""
        ...

    def start(self, network: TransferNetwork, replications: int) -> Any:
        """The memory it begins an episode with; None for a policy that needs none."""
        ...

    def act(self, view: View, memory: Any) -> tuple[Decision, Any]:
        """Decide for one period of a batch; requests are (K, E, B), finite and not negative."""
        ...


@runtime_checkable
class Clairvoyant(Policy, Protocol):
    """A policy that looks ahead, and says so: its `knows` tells of the future. Nobody else is ever shown a
    trace."""

    def foresee(self, network: TransferNetwork, trace: Trace) -> Any:
        """In place of `start`: the memory it begins the episodes of a trace with, and keeps what it wants of
        it in."""


def first_memory(policy: Policy, network: TransferNetwork, trace: Trace) -> Any:
    """The memory that a policy begins the episodes of a trace with. Raises InputError for one that looks
    ahead and does not say so."""
    foresee = getattr(policy, "foresee", None)
    if foresee is None:
        return policy.start(network, trace.replications)
    if FUTURE not in policy.knows:
        raise InputError(
            f"{policy.name}: has `foresee`, and knows {policy.knows!r}; let `knows` say {FUTURE!r} too"
        )
    return foresee(network, trace)


def known_above(base: Policy, own: str) -> str:
    """What a layer over a policy knows: its own, and the future where the policy below does."""
    return f"{own}, {FUTURE}" if FUTURE in base.knows else own
