"""What every policy is, learned or classical: something that looks at a view and decides for all warehouses at once."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from marl_inv.interface import View
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision


@runtime_checkable
class Policy(Protocol):
    """A frozen dataclass with these two fields and two methods is one; nothing has to be inherited."""

    @property
    def name(self) -> str: ...

    @property
    def knows(self) -> str:
        """What it decides on, in a few words: own stock, network, demand distribution, forecast, the future. Tables print it."""
        ...

    def start(self, network: TransferNetwork, replications: int) -> Any:
        """The memory it begins an episode with; None for a policy that needs none."""
        ...

    def act(self, view: View, memory: Any) -> tuple[Decision, Any]:
        """Decide for one period of a batch; requests are (K, E, B), finite and not negative."""
        ...
