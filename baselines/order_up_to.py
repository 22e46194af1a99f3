"""Order-up-to: every warehouse raises its inventory position to a level, each period, on one lane. No transfers.

Levels are newsvendor quantiles of the demand over the lead time and the period of review, or tuned on common random numbers:
the simulator is differentiable, so all levels (and a constant promotion) descend together along the pathwise gradient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from marl_inv.interface import View, rewards
from marl_inv.network import TransferNetwork
from marl_inv.problem import Problem
from marl_inv.progress import Progress, silently
from marl_inv.rollout import play
from marl_inv.schema import Normal
from marl_inv.simulator import Decision
from marl_inv.trace import Trace

SCALES = (0.4, 0.55, 0.7, 0.85, 1.0, 1.15, 1.3, 1.6)
"""Multiples of the newsvendor levels that tuning may start from."""

TUNING_DECISIONS = 400_000
"""An iteration of tuning plays at most so many decisions: fewer replications of a network of many products."""


@dataclass(frozen=True, eq=False)
class OrderUpTo:
    levels: Float[Tensor, "K N"]
    """Order-up-to levels, units."""
    promotion: Float[Tensor, "K N"] | None = None
    """Constant promotion levels; None is no promotion."""
    name: str = "order-up-to"
    knows: str = "own stock, demand distribution"

    @classmethod
    def of(cls, problem: Problem) -> OrderUpTo:
        """With newsvendor levels."""
        return cls(newsvendor_levels(problem))

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: None) -> tuple[Decision, None]:
        shortfall = (self.levels.unsqueeze(-1) - view.inventory_position).clamp(min=0)
        promotion = None if self.promotion is None else self.promotion.unsqueeze(-1).expand_as(shortfall)
        return Decision(on_source_lanes(view.network, shortfall), promotion), None


def on_source_lanes(network: TransferNetwork, quantities: Float[Tensor, "K N B"]) -> Float[Tensor, "K E B"]:
    """Requests that ask for every warehouse's quantity on its source lane, and for nothing on other lanes."""
    products, _, replications = quantities.shape
    requests = quantities.new_zeros(products, len(network.lanes), replications)
    if not network.lanes:
        return requests
    supplied = (network.source_lane >= 0).to(quantities).unsqueeze(-1)
    return requests.index_add(1, network.source_lane.clamp(min=0), quantities * supplied)


def newsvendor_levels(problem: Problem) -> Float[Tensor, "K N"]:
    """The quantile underage / (underage + holding) of what passes through in lead time + 1 periods.

    Underage is the shortage cost, plus the margin when the objective is profit; a warehouse without customers takes the mean of those
    it feeds. Demand over several periods keeps its family exactly for normal, Poisson and negative binomial demand of one site; where
    several feed upstream, and for data, moments choose: Poisson or negative binomial, or normal when the variance is below the mean.
    """
    network, scenario = problem.network, problem.scenario
    sources = network.source_lane.cpu().numpy()
    lead_time = np.where(sources >= 0, network.response_time.cpu().numpy()[sources.clip(0)] if len(network.lanes) else 0, 0)
    mean = network.throughput.double().cpu().numpy() * (lead_time + 1)
    variance = network.throughput_sd.double().cpu().numpy() ** 2 * (lead_time + 1)
    holding = _rate(network.holding_cost, network)
    underage = _underage(network, _rate(network.shortage_cost, network), _rate(network.counted_price, network))
    ratio = np.divide(underage, underage + holding, out=np.full_like(underage, 0.5), where=underage + holding > 0).clip(0.01, 0.999)
    normal = np.array([isinstance(scenario.demand_of(warehouse), Normal) for warehouse in scenario.warehouses]) | (variance < 0.99 * mean)
    sd, safe_mean = np.sqrt(variance.clip(1e-12)), mean.clip(1e-9)
    excess = (variance - safe_mean).clip(1e-9)
    quantile = np.where(
        normal,
        stats.norm.ppf(ratio, mean, sd),
        np.where(
            variance <= 1.01 * mean,
            stats.poisson.ppf(ratio, safe_mean),
            stats.nbinom.ppf(ratio, (safe_mean**2 / excess).clip(1e-6, 1e9), (safe_mean / (safe_mean + excess)).clip(1e-9, 1)),
        ),
    )
    levels = np.where((mean > 0) & (sources >= 0), quantile, 0).clip(0)
    return torch.from_numpy(levels).to(network.throughput)


def _rate(rates: Tensor | None, network: TransferNetwork) -> np.ndarray:
    return np.zeros(network.throughput.shape) if rates is None else rates[:, :, 0].double().cpu().numpy()


def _underage(network: TransferNetwork, shortage: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Cost of a missing unit at every warehouse: (K, N)."""
    sources = network.source_lane.tolist()
    feeder = {n: network.warehouses.index(network.lane_origin[lane]) for n, lane in enumerate(sources) if lane >= network.replenishments}
    landed = _landed_cost(network, feeder)
    own = shortage + np.where(price > 0, price - landed, 0).clip(0)
    demand = network.mean_demand.double().cpu().numpy()
    weight, total = demand.copy(), own * demand
    for start in range(len(sources)):
        visited, at = {start}, feeder.get(start)
        while at is not None and at not in visited:
            weight[:, at] += demand[:, start]
            total[:, at] += own[:, start] * demand[:, start]
            visited.add(at)
            at = feeder.get(at)
    return np.divide(total, weight, out=own.copy(), where=weight > 0)


def _landed_cost(network: TransferNetwork, feeder: dict[int, int]) -> np.ndarray:
    """What a unit has cost when it arrives along the source lanes: (K, N)."""
    lane_cost = network.unit_cost.double().cpu().numpy().copy()
    if network.procurement_cost is not None:
        lane_cost[:, : network.replenishments] += network.procurement_cost[:, :, 0].double().cpu().numpy()
    landed = np.zeros(network.throughput.shape)
    for start, lane in enumerate(network.source_lane.tolist()):
        at, visited = start, set()
        while lane >= 0 and at not in visited:
            landed[:, start] += lane_cost[:, lane]
            visited.add(at)
            if at not in feeder:
                break
            at = feeder[at]
            lane = int(network.source_lane[at])
    return landed


def tune(problem: Problem, seed: int = 0, iterations: int = 200, replications: int = 128, progress: Progress = silently) -> OrderUpTo:
    """Levels (and constant promotions) that do best on traces of the tuning stream.

    Starts from the best of newsvendor levels scaled by a common factor, descends the pathwise gradient with Adam, and keeps
    what scores best on tuning traces of its own that the descent has not seen.
    """
    network, warm_up = problem.network, problem.scenario.warm_up
    replications = min(replications, max(4, TUNING_DECISIONS // network.throughput.numel() // problem.scenario.horizon))
    fitting = problem.trace("tune", seed, range(replications))
    checking = problem.trace("tune", seed, range(replications, 2 * replications))

    def best(policies: list[OrderUpTo], trace: Trace) -> OrderUpTo:
        with torch.no_grad():
            return max(policies, key=lambda policy: float(_profit(problem, policy, trace, warm_up)))

    newsvendor = OrderUpTo.of(problem)
    start = best([replace(newsvendor, levels=newsvendor.levels * factor) for factor in SCALES], fitting)
    lead_time = network.response_time[network.source_lane.clamp(min=0)] if network.lanes else network.source_lane
    unit = torch.maximum(network.throughput_sd * (lead_time + 1).sqrt(), 0.05 * network.size)
    shift, effort = torch.zeros_like(unit), torch.zeros_like(unit)
    parameters = [shift.requires_grad_()] if network.max_promotion is None else [shift.requires_grad_(), effort.requires_grad_()]
    optimizer = torch.optim.Adam(parameters, lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations, eta_min=0.002)

    def policy(shift: Tensor, effort: Tensor) -> OrderUpTo:
        promotion = None if network.max_promotion is None else network.max_promotion.squeeze(-1) * effort
        return replace(start, levels=(start.levels + unit * shift).clamp(min=0), promotion=promotion)

    candidates = [newsvendor, start]
    for iteration in progress(range(iterations), "tuning order-up-to"):
        optimizer.zero_grad()
        profit = _profit(problem, policy(shift, effort), fitting, warm_up)
        if not profit.requires_grad:
            break  # nothing that is earned depends on the levels
        (-profit / network.size.sum()).backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            effort.clamp_(0, 1)
        if iteration % 50 == 49 or iteration == iterations - 1:
            candidates.append(policy(shift.detach().clone(), effort.detach().clone()))
    return replace(best(candidates, checking), name="tuned order-up-to")


def _profit(problem: Problem, policy: OrderUpTo, trace: Trace, warm_up: int) -> Tensor:
    """Mean profit of a period over the scored periods, of the whole network."""
    total = torch.zeros((), dtype=problem.network.throughput.dtype, device=problem.network.throughput.device)
    for period, moment in enumerate(play(problem, policy, trace, trusted=True)):
        if period >= warm_up:
            total = total + rewards(moment.costs).sum()
    return total / (trace.replications * (len(trace) - warm_up))
