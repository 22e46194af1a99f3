"""The transfer network as tensors."""

from marl_inv.network.building import network_from_graph
from marl_inv.network.graph import network_graph
from marl_inv.network.transfer_network import (
    UNLIMITED,
    ReactiveLanes,
    SharedLimit,
    StockRule,
    TransferNetwork,
    Wave,
    unlimited,
)

__all__ = [
    "UNLIMITED",
    "ReactiveLanes",
    "SharedLimit",
    "StockRule",
    "TransferNetwork",
    "Wave",
    "network_from_graph",
    "network_graph",
    "unlimited",
]
