"""The floor of every comparison: requests, promotions and reserves drawn uniformly from what an environment
allows."""

from __future__ import annotations

import torch

from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision


class RandomRequests:
    """Requests, promotions and reserves drawn uniformly from what an environment allows: the floor of every
    comparison."""

    name = "random"
    knows = "nothing"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    @classmethod
    def of(cls, problem: Problem) -> RandomRequests:
        return cls()

    def start(self, network: TransferNetwork, replications: int) -> torch.Generator:
        return torch.Generator(network.max_request.device).manual_seed(self.seed)

    def act(self, view: View, memory: torch.Generator) -> tuple[Decision, torch.Generator]:
        """Requests are uniform on 0 to `max_request`, promotion levels on 0 to `max_promotion`, reserves on 0
        to `max_reserve`."""
        network, like = view.network, view.state.inventory_level
        products, warehouses, replications = like.shape
        options = {"generator": memory, "dtype": like.dtype, "device": like.device}
        requests = torch.rand(
            products, len(network.lanes), replications, **options
        ) * network.max_request.unsqueeze(-1)
        promotion = reserve = None
        if network.max_promotion is not None:
            promotion = torch.rand(products, warehouses, replications, **options) * network.max_promotion
        if network.max_reserve is not None:
            reserve = torch.rand(
                products, warehouses, replications, **options
            ) * network.max_reserve.unsqueeze(-1)
        return Decision(requests, promotion, reserve), memory
