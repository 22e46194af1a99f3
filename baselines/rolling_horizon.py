"""Rolling-horizon planning: every period, a linear programme over the next ones decides, and only its first
decision is played.

With `paths=0` it plans on forecasts as if they were certain: the scenario's own forecasts as far as they
reach, mean demand beyond. With more it is a two-stage stochastic programme: that many sampled demand paths
share the decisions of now, and each goes its own best way from there (sample average approximation).
Replications are planned one by one, in several processes where asked for.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from marl_inv.baselines.bounds.linear_programme import (
    Model,
    Programme,
    SamplePath,
    check_linear,
    product_groups,
)
from marl_inv.chance.trace import Trace
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision

Decided = tuple[np.ndarray, np.ndarray]
"""Requests (K, E) and promotion levels (K, N) of one replication."""


@dataclass(eq=False)
class RollingHorizon:
    problem: Problem
    samples: Trace
    """What demand may be like, by period: the mean of its replications is the expectation, the first `paths`
    of them are planned on."""
    horizon: int
    paths: int = 0
    workers: int = 1
    name: str = "rolling LP"
    knows: str = "stock everywhere, demand distribution, forecasts"
    _pool: ProcessPoolExecutor | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, problem: Problem, horizon: int | None = None, paths: int = 0, workers: int = 1, seed: int = 0
    ) -> RollingHorizon:
        """The horizon is by default twice the longest time from a supplier's lane to a customer, and four
        periods more.

        Raises InputError where the scenario is not linear, or its demand comes from a file (there is nothing
        to sample).
        """
        check_linear(problem)
        if problem.demand.from_file:
            raise InputError(
                f"{problem.scenario.name}: has demand from a file, which the rolling LP cannot sample; play "
                "another policy"
            )
        horizon = horizon or 2 * _longest_way(problem.network) + 4
        drawn = max(64, paths)
        samples = problem.trace("tune", seed, range(10**6, 10**6 + drawn), problem.scenario.horizon + horizon)
        return cls(
            problem,
            samples,
            horizon,
            paths,
            workers,
            name=f"rolling LP, {paths} paths" if paths else "rolling LP",
        )

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: Any) -> tuple[Decision, None]:
        jobs = [self._paths(view, replication) for replication in range(view.known.replications)]
        if self.workers > 1:
            self._pool = self._pool or ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=_one_thread
            )
            chunk = max(1, len(jobs) // (4 * self.workers))
            decided = list(self._pool.map(decide, [view.network] * len(jobs), jobs, chunksize=chunk))
        else:
            decided = [decide(view.network, job) for job in jobs]
        like = view.state.inventory_level
        requests, promotion = (
            torch.from_numpy(np.stack(parts, axis=-1)).to(like) for parts in zip(*decided, strict=True)
        )
        return Decision(requests, None if view.network.max_promotion is None else promotion), None

    def _paths(self, view: View, replication: int) -> list[SamplePath]:
        """What may come, seen from now: one path of expectations, or samples. Capacity and planned promotions
        are taken as they are now."""
        known, left = view.known, view.known.periods_left
        periods = self.horizon if left is None else min(self.horizon, left)
        here = self.samples.history + known.period
        demand = self.samples.demand[here : here + periods].double().cpu().numpy()
        expected = np.moveaxis(demand[..., : self.paths], -1, 0) if self.paths else [demand.mean(-1)]
        alike = {
            "state": view.state.replication(replication),
            "lead_time": np.tile(view.network.lead_time.cpu().numpy(), (periods, 1)),
            "available": None
            if known.available is None
            else known.available[:, replication].expand(periods, -1),
            "planned": self._planned(view, periods),
            "weight": self.problem.scenario.discount_factor ** np.arange(periods, dtype=float),
            "ends": periods == left,
            "lenient": False,
        }
        return [SamplePath(demand=self._informed(view, replication, one), **alike) for one in expected]

    def _planned(self, view: View, periods: int) -> Float[np.ndarray, "T N"]:
        levels, given = np.zeros((periods, len(view.network.warehouses))), view.known.promotion
        if given is not None:
            notice = given[:periods, :, 0]
            levels[: len(notice)] = notice.double().cpu().numpy()
        return levels

    def _informed(self, view: View, replication: int, demand: np.ndarray) -> np.ndarray:
        """Forecasts where there are some."""
        if view.known.forecast is None:
            return demand
        told = view.known.forecast[: len(demand), ..., replication].double().cpu().numpy()
        return np.concatenate([told, demand[len(told) :]])


def _one_thread() -> None:
    torch.set_num_threads(1)


def decide(network: TransferNetwork, paths: list[SamplePath]) -> Decided:
    """The first decision of a programme in which all paths share it."""
    requests = np.zeros((len(network.products), len(network.lanes)))
    promotion = np.zeros((len(network.products), len(network.warehouses)))
    delay = np.zeros(len(network.lanes), dtype=int)
    if network.order_slot is not None:
        delay = (network.order_slot // len(network.lanes)).cpu().numpy()
    for products in product_groups(network):
        programme = Programme()
        models = [
            Model(network, replace(path, weight=path.weight / len(paths)), products, programme)
            for path in paths
        ]
        heard = np.minimum(delay, models[0].T - 1)
        first = [model.shipped[heard, :, np.arange(len(network.lanes))] for model in models]
        for other, shipped in zip(models[1:], first[1:], strict=True):
            for block, own in ((first[0], shipped), (models[0].extra[0], other.extra[0])):
                same = programme.equal.add(np.zeros(block.shape))
                programme.equal.put(same, block)
                programme.equal.put(same, own, -1.0)
        _, x, _ = programme.solve()
        requests[products] = x[first[0]].T
        promotion[products] = x[models[0].extra[0]] + models[0].planned[0] * (models[0].most_extra[0] > 0)
    owed = paths[0].state.owed
    return (requests if owed is None else (requests - owed[..., 0].double().cpu().numpy()).clip(0)), promotion


def _longest_way(network: TransferNetwork) -> int:
    """Periods from a supplier to the warehouse that is farthest from it along source lanes."""
    longest, sources = 0, network.source_lane.tolist()
    for start in range(len(sources)):
        at, periods, visited = start, 0, set()
        while sources[at] >= 0 and at not in visited:
            visited.add(at)
            lane = sources[at]
            periods += int(network.response_time[lane]) + 1
            if lane < network.replenishments:
                break
            at = int(network.origin[lane - network.replenishments])
        longest = max(longest, periods)
    return longest
