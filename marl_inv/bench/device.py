"""How fast it is on a GPU: batches large enough to fill it, and beside every figure the same work on one
thread of the processor next to it, in a batch that suits that one.

The whole takes some minutes on a machine that has just been started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.bench.speed import (
    GRAPH,
    MILLION,
    MLP,
    Figure,
    centre_and_shops,
    eight_warehouses,
    ppo_parts,
    seconds,
    stepping,
)
from marl_inv.episodes.problem import Problem
from marl_inv.learning.settings import TrainSettings

RUNS = 3


def taken(run: Callable[[], object]) -> float:
    """Seconds."""
    return seconds(run, repeats=RUNS)[0]


def beside(rate: float, here: float) -> str:
    return f"{rate / here:,.0f} x one thread of the processor"


def simulator_there(
    device: str, batches: tuple[int, ...] = (1024, 2**15, 2**18), host: int = 1024
) -> Iterator[Figure]:
    """`step` alone, requests and demand given, as it is and compiled."""
    names = {
        "8 warehouses, 14 lanes": {},
        "  with capacities, pool and storage": {"limits": True},
    }
    for name, options in names.items():
        here = eight_warehouses(**options)
        slow = _stepped(here, host, 20)
        there = eight_warehouses(**options, device=device)
        for batch in batches:
            for how, problem in (("", there), (", compiled", there.compiled())):
                rate = _stepped(problem, batch, 20)
                yield Figure(f"{name}, batch {batch}{how}", rate / MILLION, "million/s", beside(rate, slow))


def _stepped(problem: Problem, batch: int, periods: int) -> float:
    run = stepping(problem.network, batch, periods, play_period=problem.step)
    return problem.network.size.numel() * batch * periods / taken(run)


def traces_there(device: str, batch: int = 2**15, host: int = 1024) -> Iterator[Figure]:
    """Demand of 8 warehouses and 50 periods, drawn where it is played."""
    for kind in ("poisson", "negative_binomial", "normal", "gamma"):
        rates = []
        for problem, count in (
            (eight_warehouses(kind, device=device), batch),
            (eight_warehouses(kind), host),
        ):
            begun = iter(range(10**9))
            drawn = taken(
                lambda problem=problem, count=count, begun=begun: problem.trace("train", next(begun), count)
            )
            rates.append(count * 8 * 50 / drawn)
        yield Figure(f"demand drawn, {kind}", rates[0] / MILLION, "million/s", beside(*rates))


def ppo_there(
    device: str, replications: tuple[int, ...] = (2**11, 2**14), host: int = 128
) -> Iterator[Figure]:
    """An iteration of PPO, and collecting alone; with the matrix products of TF32 beside."""
    for name, settings in (("two 64x64 MLPs", MLP), ("graph network, 2 hops, 64 wide", GRAPH)):
        iterate, _, size = ppo_parts(eight_warehouses(), _wide(settings, host))
        here = size / taken(iterate)
        for count in replications:
            for precision in ("highest", "high"):
                torch.set_float32_matmul_precision(precision)
                iterate, collect, size = ppo_parts(eight_warehouses(device=device), _wide(settings, count))
                how = f"{name}, {count} replications{', TF32' if precision == 'high' else ''}"
                rate, collected = size / taken(iterate), size / taken(collect)
                yield Figure(f"PPO iteration, {how}", rate / MILLION, "million/s", beside(rate, here))
                yield Figure("  collecting alone", collected / MILLION, "million/s")
        torch.set_float32_matmul_precision("highest")


def _wide(settings: TrainSettings, replications: int) -> TrainSettings:
    return settings.model_copy(update={"decisions_per_update": 8 * 50 * replications})


def pathwise_there(
    device: str, replications: tuple[int, ...] = (1024, 2**13), host: int = 256
) -> Iterator[Figure]:
    """A gradient step through the simulator, on 1 centre and 50 shops."""
    for model in ("mlp", "graph"):
        here = _learned(centre_and_shops(50), model, host)
        for count in replications:
            rate = _learned(centre_and_shops(50, device=device), model, count)
            yield Figure(
                f"pathwise gradient step, 50 shops, {model} 32 wide, {count} replications",
                rate / MILLION,
                "million/s",
                beside(rate, here),
            )


def _learned(problem: Problem, model: str, replications: int) -> float:
    from marl_inv.learning.algorithms.pathwise import Pathwise
    from marl_inv.learning.train import prepare

    decisions = problem.network.size.numel() * problem.scenario.horizon * replications
    chosen = TrainSettings(
        algorithm="pathwise", model=model, hidden=32, decisions=decisions, decisions_per_update=decisions
    )
    algorithm = prepare(problem, chosen, OrderUpTo.of(problem)).algorithm
    trace = problem.trace("train", 0, replications)
    assert isinstance(algorithm, Pathwise)
    return decisions / taken(lambda: algorithm._update_with_batch(trace))


DEVICE_GROUPS: dict[str, Callable[[str], Iterator[Figure]]] = {
    "simulator": simulator_there,
    "traces": traces_there,
    "ppo": ppo_there,
    "pathwise": pathwise_there,
}


def figures_on(groups: list[str], device: str) -> Iterator[tuple[str, Figure]]:
    torch.set_num_threads(1)
    for group in groups or DEVICE_GROUPS:
        for figure in DEVICE_GROUPS[group](device):
            yield group, figure
