"""What the reference instances play besides `marl_inv.baselines`: two rules of thumb. One product."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from marl_inv.baselines.newsvendor import on_source_lanes
from marl_inv.episodes.view import View
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision


@dataclass(frozen=True)
class SingleIndex:
    """One warehouse with a regular lane and, second, an expedited one: sees only its inventory position,
    which it expedites up to one level and then orders up to a higher one."""

    expedited_level: float
    regular_level: float
    name: str = "single index"
    knows: str = "own stock"

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        expedited = (self.expedited_level - view.inventory_position).clamp(min=0)
        regular = (self.regular_level - view.inventory_position - expedited).clamp(min=0)
        return Decision(torch.cat([regular, expedited], 1)), memory


@dataclass(frozen=True)
class StermanRule:
    """Beer game: orders what is expected to leave, and all that is missing of the target, once `held` periods
    have been played."""

    targets: tuple[float, ...]
    """Stock and supply line that each stage wants (Sterman 1989: S')."""
    expected: float
    held: int
    """First periods, in which everybody orders `expected`."""
    name: str = "Sterman's rule"
    knows: str = "own stock"

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        missing = view.inventory_position.new_tensor(self.targets).unsqueeze(-1) - view.inventory_position
        quantity = (self.expected + missing * (view.period >= self.held)).round().clamp(min=0)
        return Decision(on_source_lanes(view.network, quantity)), memory
