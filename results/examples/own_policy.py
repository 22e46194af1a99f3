"""A policy of one's own, on the same traces as tuned order-up-to: nobody orders much more than a period's
demand at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import marl_inv
from marl_inv import Decision, Policy, View


@dataclass(frozen=True)
class Smooth:
    """A policy that asks for at most `most` times the mean demand of the warehouse that asks, whatever
    another would."""

    base: Policy
    most: float = 1.4
    name: str = "smooth"
    knows: str = "own stock, demand distribution"

    def start(self, network, replications):
        return self.base.start(network, replications)

    def act(self, view: View, memory) -> tuple[Decision, object]:
        decision, memory = self.base.act(view, memory)
        mean = view.network.mean_demand[:, view.network.destination].unsqueeze(-1)  # (K, E, 1): product, lane
        return replace(decision, requests=decision.requests.minimum(self.most * mean)), memory


if __name__ == "__main__":
    problem = marl_inv.load_problem("ring_transshipment")
    plain = marl_inv.tune(problem, "order_up_to")
    reference, ours = marl_inv.evaluate(problem, [plain, Smooth(plain)], replications=128)
    gain = ours.gain_in_percent_over(reference)
    told = f"{gain.mean:+.2f}% ({gain.low:+.2f} to {gain.high:+.2f}) over {reference.policy}"
    print(f"{ours.policy}: {told}, p = {gain.p_value:.2g}")
