"""The classical policies that the reference instances list, for one product: each is a small record that asks for a whole batch at once.

Order-up-to is not among them: `marl_inv.baselines.OrderUpTo` is played.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Float, Int
from marl_inv.baselines.order_up_to import on_source_lanes
from torch import Tensor

from marl_inv.interface import View
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision


class Memoryless:
    """Begins every episode with no memory."""

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None


@dataclass(frozen=True, eq=False)
class LookUp(Memoryless):
    """Reads its requests off a table, by the state: the period (in a season), the inventory level of every warehouse, then what is due
    in 1, 2.. periods at every warehouse, as many of them as the table has axes for."""

    orders: Int[Tensor, "E ..."]
    lowest: int = 0
    """The inventory level that index 0 stands for."""
    name: str = "optimal"
    knows: str = "network, demand distribution"

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        levels = (view.state.inventory_level - self.lowest)[0]
        coordinates = torch.cat([levels, view.state.pipeline[0].flatten(0, 1)]).round().long()
        if view.finite:
            coordinates = torch.cat([torch.full_like(coordinates[:1], view.period), coordinates])
        lanes, *sizes = self.orders.shape
        index = torch.zeros_like(coordinates[0])
        for size, coordinate in zip(sizes, coordinates, strict=False):
            assert coordinate.min() >= 0, "the table is of a closed set of states"
            assert coordinate.max() < size, "the table is of a closed set of states"
            index = index * size + coordinate
        return Decision(self.orders.reshape(lanes, -1)[None, :, index].to(levels)), memory


@dataclass(frozen=True)
class CappedBaseStock(Memoryless):
    """Orders up to a level, but never more than the cap in a period (Xin 2021)."""

    level: float
    cap: float
    name: str = "capped base-stock"
    knows: str = "own stock"

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        return Decision((self.level - view.inventory_position).clamp(0, self.cap)), memory


@dataclass(frozen=True)
class ConstantOrder(Memoryless):
    """Orders the same every period, whatever it has."""

    quantity: float
    name: str = "constant order"
    knows: str = "nothing"

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        return Decision(torch.full_like(view.state.inventory_level, self.quantity)), memory


@dataclass(frozen=True)
class EchelonBaseStock(Memoryless):
    """A chain, warehouses listed downstream first: each raises the stock of its echelon, all that is at or on its way to it and those
    below it less the customers' backorders, to a level (Clark and Scarf 1960)."""

    levels: tuple[float, ...]
    name: str = "echelon base-stock"
    knows: str = "stock of all downstream"

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        positions = view.inventory_position.cumsum(1)
        levels = positions.new_tensor(self.levels).unsqueeze(-1)
        return Decision(on_source_lanes(view.network, (levels - positions).clamp(min=0))), memory


@dataclass(frozen=True)
class DualIndex(Memoryless):
    """One warehouse with a regular lane and, second, an expedited one of lead time 0: expedites up to a level of what is there, and
    orders regularly up to a level of the inventory position, what it expedites now included, never more than the cap (capped dual
    index: Sun and Van Mieghem 2019)."""

    expedited_level: float
    regular_level: float
    cap: float = inf
    name: str = "dual index"
    knows: str = "own stock"

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        expedited = (self.expedited_level - view.state.inventory_level).clamp(min=0)
        regular = (self.regular_level - view.inventory_position - expedited).clamp(0, self.cap)
        return Decision(torch.cat([regular, expedited], 1)), memory


@dataclass(frozen=True)
class SingleIndex(Memoryless):
    """Dual sourcing that sees only the inventory position: expedites it up to one level, then orders regularly up to a higher one."""

    expedited_level: float
    regular_level: float
    name: str = "single index"
    knows: str = "own stock"

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        expedited = (self.expedited_level - view.inventory_position).clamp(min=0)
        regular = (self.regular_level - view.inventory_position - expedited).clamp(min=0)
        return Decision(torch.cat([regular, expedited], 1)), memory


@dataclass(frozen=True)
class TailoredBaseSurge(Memoryless):
    """Dual sourcing with a constant regular order; expedites up to a level (Allon and Van Mieghem 2010)."""

    expedited_level: float
    quantity: float
    name: str = "tailored base-surge"
    knows: str = "own stock"

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        expedited = (self.expedited_level - view.state.inventory_level).clamp(min=0)
        return Decision(torch.cat([torch.full_like(expedited, self.quantity), expedited], 1)), memory


@dataclass(frozen=True)
class EqualFractile(Memoryless):
    """A cross-dock, the first warehouse, and its shops: everything there is and comes is raised to a level, and what reaches the centre is
    shared out so that the shops are equally safe (Eppen and Schrage 1981; Federgruen and Zipkin 1984)."""

    level: float
    name: str = "equal fractile"
    knows: str = "network, demand distribution"

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        network, position = view.network, view.inventory_position
        order = (self.level - position.sum(1, keepdim=True)).clamp(min=0)
        periods = (network.lead_time[1:] + 1).to(position)
        mean, sd = network.mean_demand[:, 1:] * periods, network.sd_demand[:, 1:] * periods.sqrt()
        allocation = equally_safe(view.state.on_hand[:, :1], position[:, 1:], mean.unsqueeze(-1), sd.unsqueeze(-1))
        return Decision(torch.cat([order, allocation], 1)), memory


def equally_safe(
    stock: Float[Tensor, "K 1 B"], position: Float[Tensor, "K S B"], mean: Float[Tensor, "K S 1"], sd: Float[Tensor, "K S 1"]
) -> Float[Tensor, "K S B"]:
    """Shares of the stock that raise the lowest of (position - mean) / sd to one height: of the heights that the lowest 1, 2.. shops
    would reach if they alone shared the stock, the least is the one that all who get something reach."""
    safety = (position - mean) / sd
    lowest, order = safety.sort(1)
    weight = sd.expand_as(safety).gather(1, order)
    height = ((stock + (weight * lowest).cumsum(1)) / weight.cumsum(1)).amin(1, keepdim=True)
    return (sd * (height - safety)).clamp(min=0)


@dataclass(frozen=True)
class StermanRule(Memoryless):
    """Beer game: orders what is expected to leave, and all that is missing of the target, once `held` periods have been played."""

    targets: tuple[float, ...]
    """Stock and supply line that each stage wants (Sterman 1989: S')."""
    expected: float
    held: int
    """First periods, in which everybody orders `expected`."""
    name: str = "Sterman's rule"
    knows: str = "own stock"

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        missing = view.inventory_position.new_tensor(self.targets).unsqueeze(-1) - view.inventory_position
        quantity = (self.expected + missing * (view.period >= self.held)).round().clamp(min=0)
        return Decision(on_source_lanes(view.network, quantity)), memory
