"""Order-up-to that also asks its neighbours, when it holds less than two periods of mean demand."""

from __future__ import annotations

from dataclasses import dataclass, replace

from marl_inv.baselines import OrderUpTo


@dataclass(frozen=True)
class Neighbourly:
    base: OrderUpTo
    periods: float = 2.0
    name: str = "neighbourly"
    knows: str = "own stock, demand distribution"

    @classmethod
    def of(cls, problem):
        return cls(OrderUpTo.of(problem))

    def start(self, network, replications):
        return self.base.start(network, replications)

    def act(self, view, memory):
        decision, memory = self.base.act(view, memory)
        network, first = view.network, view.network.replenishments  # lanes from suppliers come first
        wanted = self.periods * network.mean_demand.unsqueeze(-1)  # (K, N, 1)
        short = (wanted - view.state.on_hand).clamp(min=0)  # (K, N, B)
        requests = decision.requests.clone()  # (K, E, B)
        requests[:, first:] += short[:, network.destination[first:]]
        return replace(decision, requests=requests), memory
