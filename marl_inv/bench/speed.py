"""How fast it is, side by side in one process on one thread: every part that users wait for, beside what the
machine allows and what others do.

Machines are noisy: every figure is the median of several runs, and what counts is the ratio of figures of the
same table. A group of figures is a line in GROUPS.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import networkx
import torch

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.common.documents import Document
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View, observe
from marl_inv.learning.settings import TrainSettings
from marl_inv.network import TransferNetwork, network_from_graph
from marl_inv.scenario import read_scenario
from marl_inv.simulator import Chance, Decision, initial_state, step
from marl_inv.simulator.compiled import Step

REPEATS = 7


MILLION = 1e6


@dataclass(frozen=True)
class Figure:
    what: str
    rate: float
    unit: str
    """million/s: of warehouse-steps (warehouses x periods x replications) where nothing else is said."""
    note: str = ""


def seconds(*runs: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    """The median of each. All are run in turn, so that the machine's moods meet them all, after one round to
    warm up."""
    times: list[list[float]] = [[] for _ in runs]
    for repeat in range(repeats + 1):
        for run, own in zip(runs, times, strict=True):
            begun = time.perf_counter()
            run()
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            if repeat:
                own.append(time.perf_counter() - begun)
    return [statistics.median(own) for own in times]


# What is played


def eight_warehouses(
    kind: str = "poisson", limits: bool = False, products: int = 1, device: str = "cpu"
) -> Problem:
    """Eight warehouses supplied one by one, six lanes between neighbours: 14 lanes, lost sales. With limits
    on everything, if they shall be."""
    warehouses = [
        {"name": f"warehouse_{n}", "initial_stock": 30, "holding_cost": 1, "shortage_cost": 9}
        for n in range(8)
    ]
    lanes: list[dict[str, Any]] = [
        {"origin": "supplier", "destination": f"warehouse_{n}", "lead_time": 2} for n in range(8)
    ]
    lanes += [
        {
            "origin": f"warehouse_{n}",
            "destination": f"warehouse_{n + 1}",
            "lead_time": 1,
            "transport_cost": 1,
            "name": f"transfer_{n}",
        }
        for n in range(6)
    ]
    demand = {"kind": kind, "mean": 10} | ({"sd": 5} if kind != "poisson" else {})
    data = {
        "demand": demand,
        "horizon": 50,
        "suppliers": [{"name": "supplier"}],
        "warehouses": warehouses,
        "lanes": lanes,
    }
    if products > 1:
        data["products"] = {"count": products}
    if limits:
        data["suppliers"] = [{"name": "supplier", "capacity": 90}]
        data["pools"] = [{"name": "trucks", "capacity": 40, "lanes": [f"transfer_{n}" for n in range(6)]}]
        for lane in lanes[:8]:
            lane["capacity"] = 14
        for warehouse in warehouses:
            warehouse["storage"] = 60
    return Problem.of(read_scenario(Document("eight_warehouses", data)), device)


def centre_and_shops(shops: int, kind: str = "normal", device: str = "cpu") -> Problem:
    """A centre that the supplier feeds, and shops that the centre feeds."""
    names = ["centre", *(f"shop_{n}" for n in range(shops))]
    demand = {"kind": kind, "mean": 10} | ({"sd": 3} if kind != "poisson" else {})
    warehouses = [
        {"name": name, "initial_stock": 20, "holding_cost": 1, "shortage_cost": 9, "demand": demand}
        for name in names
    ]
    lanes = [{"origin": "supplier", "destination": "centre", "lead_time": 3}]
    lanes += [{"origin": "centre", "destination": name, "lead_time": 2} for name in names[1:]]
    data = {"horizon": 50, "suppliers": [{"name": "supplier"}], "warehouses": warehouses, "lanes": lanes}
    return Problem.of(read_scenario(Document("centre_and_shops", data)), device)


def ring(size: int) -> TransferNetwork:
    """Every warehouse may order from the supplier and from its two neighbours on either side."""
    graph = networkx.MultiDiGraph()
    graph.add_node("supplier", kind="supplier")
    for n in range(size):
        graph.add_node(
            f"warehouse_{n}",
            initial_stock=20.0,
            holding_cost=1.0,
            shortage_cost=9.0,
            mean_demand=[10.0],
            sd_demand=[3.0],
        )
    for n in range(size):
        graph.add_edge("supplier", f"warehouse_{n}", key=f"supply_{n}", lead_time=2)
        for away in (-2, -1, 1, 2):
            origin = f"warehouse_{(n + away) % size}"
            graph.add_edge(origin, f"warehouse_{n}", key=f"lane_{n}_{away}", lead_time=1, transport_cost=1.0)
    return network_from_graph(graph)


def stepping(
    network: TransferNetwork,
    replications: int,
    periods: int,
    demand: Callable[[int], torch.Tensor] | None = None,
    play_period: Step = step,
) -> Callable[[], None]:
    """The simulator alone, so many periods, with requests given, and demand unless it is drawn for every
    period."""
    like = network.initial_stock
    products = len(network.products)
    decision = Decision(20 * torch.rand(products, len(network.lanes), replications).to(like))
    given = 20 * torch.rand(products, len(network.warehouses), replications).to(like)

    def run() -> None:
        state = initial_state(network, replications)
        with torch.no_grad():
            for period in range(periods):
                state, _, _ = play_period(
                    network, state, decision, Chance(given if demand is None else demand(period))
                )

    return run


# Groups of figures


def machine() -> Iterator[Figure]:
    """Ceilings: nothing on this machine is faster."""
    small, large, square = torch.rand(2**13), torch.rand(2**25), torch.rand(512, 512)
    into, rates = torch.empty_like(large), torch.full((2**20,), 10.0)
    copy, product, call, uniform, poisson = seconds(
        lambda: into.copy_(large),
        lambda: square @ square,
        lambda: [small.clamp(min=0) for _ in range(100)],
        lambda: rates.uniform_(),
        lambda: torch.poisson(rates),
    )
    yield Figure("memory copied", 2 * large.nbytes / copy / 1e9, "GB/s")
    yield Figure("matrix product, 512 x 512", 2 * 512**3 / product / 1e9, "GFLOP/s")
    yield Figure("torch operation on 8,192 numbers", 100 / call / MILLION, "million/s")
    yield Figure("uniform numbers", rates.numel() / uniform / MILLION, "million/s")
    yield Figure("torch's Poisson numbers, mean 10", rates.numel() / poisson / MILLION, "million/s")


def simulator() -> Iterator[Figure]:
    """`step` alone, as it is and compiled: requests and demand given, then with limits on everything, then
    Poisson demand drawn for every episode."""
    plain, limited, shops = eight_warehouses(), eight_warehouses(limits=True), centre_and_shops(50)
    for replications in (1, 64, 1024, 16384):
        periods = min(1000, max(10, 100_000 // replications))
        names = {
            "8 warehouses, 14 lanes": plain,
            "  with capacities, pool and storage": limited,
            "1 centre, 50 shops": shops,
        }
        runs = [stepping(problem.network, replications, periods) for problem in names.values()]
        runs += [
            stepping(problem.network, replications, periods, play_period=problem.compiled().step)
            for problem in names.values()
        ]
        times = seconds(*runs)
        for row, (name, problem) in enumerate(names.items()):
            steps = len(problem.network.warehouses) * replications * periods / MILLION
            for taken, without, how in ((times[row], times[0], ""), (times[row + 3], times[3], ", compiled")):
                note = f"{taken / without:.2f} of the time without" if problem is limited else ""
                yield Figure(f"{name}, batch {replications}{how}", steps / taken, "million/s", note)
    for name, problem in (
        ("8 warehouses, 14 lanes", plain),
        ("1 centre, 50 shops", centre_and_shops(50, "poisson")),
    ):
        for how, played in (("", problem), (", compiled", problem.compiled())):
            yield Figure(
                f"{name}, batch 1024, Poisson demand drawn inside{how}",
                _with_demand(played, 1024) / MILLION,
                "million/s",
            )


def _with_demand(problem: Problem, replications: int) -> float:
    periods, begun = problem.scenario.horizon, iter(range(10**9))

    def run() -> None:
        first = next(begun) * replications
        trace = problem.trace("train", 0, range(first, first + replications))
        stepping(
            problem.network, replications, periods, lambda period: trace.at(period).demand, problem.step
        )()

    return problem.network.size.numel() * replications * periods / seconds(run)[0]


def scaling() -> Iterator[Figure]:
    """Cost is linear in the network: the same work on rings of any size, every warehouse with a supplier and
    four neighbours; and in products."""
    periods, sizes = 20, {size: max(16, 2**17 // size) for size in (8, 64, 512, 4096, 10_000)}
    times = seconds(
        *(stepping(ring(size), replications, periods) for size, replications in sizes.items()), repeats=5
    )
    rates = {size: size * sizes[size] * periods / taken for size, taken in zip(sizes, times, strict=True)}
    for size, rate in rates.items():
        note = f"{rates[64] / rate:.2f} of the time a step of 64 takes, per warehouse"
        yield Figure(
            f"ring of {size}, {4 * size} transfer lanes, batch {sizes[size]}",
            rate / MILLION,
            "million/s",
            note,
        )
    batches = {1: 16_000, 30: 533, 1000: 16}
    times = seconds(
        *(stepping(eight_warehouses(products=count).network, batches[count], periods) for count in batches),
        repeats=5,
    )
    for (count, replications), taken in zip(batches.items(), times, strict=True):
        name = f"8 warehouses, {count} product{'s' * (count > 1)}, batch {replications}"
        yield Figure(
            name,
            8 * count * replications * periods / taken / MILLION,
            "million/s",
            f"{taken / times[0]:.2f} of the time of 1 product",
        )


def traces() -> Iterator[Figure]:
    """Demand of 1,024 replications, 8 warehouses and 50 periods; the reference is torch's Poisson."""
    for kind in ("poisson", "negative_binomial", "normal", "gamma"):
        problem, begun = eight_warehouses(kind), iter(range(10**9))
        [taken] = seconds(lambda problem=problem, begun=begun: problem.trace("train", next(begun), 1024))
        yield Figure(f"demand drawn, {kind}", 1024 * 8 * 50 / taken / MILLION, "million/s")


def environment() -> Iterator[Figure]:
    """The PettingZoo environment: 8 agents, a batch of one."""
    from marl_inv.bench.others import stepper
    from marl_inv.environment import parallel_env

    env, seeds = parallel_env(eight_warehouses()), iter(range(10**9))
    env.reset(seed=0)
    played, reset = seconds(stepper(env, 200), lambda: env.reset(seed=next(seeds)))
    yield Figure("PettingZoo, 8 agents: steps", 200 / played, "steps/s")
    yield Figure("PettingZoo, 8 agents: reset", 1000 * reset, "ms")


def peers() -> Iterator[Figure]:
    """Environments with everything that a learner is handed, observations and rewards: ours, one of the same
    network by hand in NumPy, and gym-invmgmt's own network. Needs the extra `bench`."""
    from marl_inv.bench.others import by_hand, extra_is_here, gym_invmgmt, stepper, under_supersuit
    from marl_inv.environment import parallel_env

    if not extra_is_here():
        raise InputError(
            'bench: peers are not installed; add them with `pip install -c constraints.txt -e ".[bench]"`'
        )
    problem = eight_warehouses()
    env = parallel_env(problem)
    env.reset(seed=0)
    runs = {
        "8 warehouses by hand in NumPy": by_hand(),
        "  16 copies under SuperSuit": under_supersuit(16),
        "gym-invmgmt, its own network": gym_invmgmt(),
        "our PettingZoo environment": (stepper(env, 500), 500 * 8),
    }
    batches = (16, 1024)
    times = seconds(
        *(run for run, _ in runs.values()), *(_observed(problem, replications) for replications in batches)
    )
    sizes = [size for _, size in runs.values()] + [
        8 * problem.scenario.horizon * replications for replications in batches
    ]
    names = [
        *runs,
        *(f"  the same as a batch of {replications}, with its traces" for replications in batches),
    ]
    rates = [size / taken / MILLION for size, taken in zip(sizes, times, strict=True)]
    for name, rate in zip(names, rates, strict=True):
        yield Figure(name, rate, "million/s", f"{rate / rates[1]:.2g} x the copies under SuperSuit")


def _observed(problem: Problem, replications: int) -> Callable[[], None]:
    """An episode with all that a learner is handed: its trace, and every period's observations and
    rewards."""
    network, begun = problem.network, iter(range(10**9))
    decision = Decision(torch.full((1, len(network.lanes), replications), 5.0))

    def run() -> None:
        first = next(begun) * replications
        trace = problem.trace("train", 0, range(first, first + replications))
        state = problem.opening(trace)
        with torch.no_grad():
            for period in range(len(trace)):
                observe(View(network, state, trace.known(period)))
                state, _, _ = problem.step(network, state, decision, trace.at(period))

    return run


MLP = TrainSettings(
    model="mlp",
    hidden=64,
    algorithm="ippo",
    periods_per_update=50,
    decisions_per_update=8 * 50 * 128,
    passes=4,
    minibatches=4,
)


GRAPH = TrainSettings(**MLP.model_dump() | {"model": "graph", "hops": 2})


def ppo_parts(
    problem: Problem, settings: TrainSettings
) -> tuple[Callable[[], None], Callable[[], None], int]:
    """One iteration (collect, then update), collecting alone, and the warehouse-steps in it."""
    from tianshou.utils.torch_utils import policy_within_training_step

    from marl_inv.learning.algorithms.ppo import JointPPO
    from marl_inv.learning.train import prepare

    training = prepare(problem, settings, OrderUpTo.of(problem))
    collector, algorithm = training.collector, training.algorithm
    assert isinstance(algorithm, JointPPO)
    assert collector is not None
    steps = collector.buffer.maxsize

    def collect() -> None:
        with policy_within_training_step(algorithm.policy):
            collector.collect(n_step=steps)

    def iterate() -> None:
        with policy_within_training_step(algorithm.policy):
            collector.collect(n_step=steps)
            algorithm.update(collector.buffer, None, settings.passes)

    return iterate, collect, steps * len(problem.network.warehouses)


def ppo() -> Iterator[Figure]:
    """An iteration of PPO: ours, the same networks in plain torch, and Tianshou's stock multi-agent route.
    Needs no extra."""
    from marl_inv.bench.others import stock_ppo
    from marl_inv.bench.plain import plain_ppo

    problem = eight_warehouses()
    iterate, collect, size = ppo_parts(problem, MLP)
    graph, _, graph_size = ppo_parts(problem, GRAPH)
    plain, plain_size = plain_ppo(problem, MLP)
    stock, stock_size = stock_ppo(problem)
    times = seconds(iterate, plain, stock, collect, graph)
    ours, bare, others, collecting, graphs = (
        amount / taken
        for amount, taken in zip((size, plain_size, stock_size, size, graph_size), times, strict=True)
    )
    unit = "million/s"
    yield Figure(
        "PPO iteration, 8 agents, two 64x64 MLPs, 4 passes",
        ours / MILLION,
        unit,
        f"{ours / others:.1f} x the stock route",
    )
    yield Figure(
        "  collecting alone",
        collecting / MILLION,
        unit,
        f"{collecting / others:.1f} x the stock route's iteration",
    )
    yield Figure(
        "  graph network, 2 hops, 64 wide", graphs / MILLION, unit, f"{graphs / others:.1f} x the stock route"
    )
    yield Figure("  the MLPs in plain torch", bare / MILLION, unit, f"{bare / ours:.2f} x ours")
    yield Figure("  Tianshou's stock route", others / MILLION, unit)


def pathwise() -> Iterator[Figure]:
    """A gradient step through the simulator, and playing alone, on 1 centre and 50 shops, batch 1024."""
    from marl_inv.bench.plain import plain_pathwise
    from marl_inv.episodes.rollout import play
    from marl_inv.learning.joint_policy import MeanActions
    from marl_inv.learning.train import prepare

    problem, replications = centre_and_shops(50), 1024
    decisions = problem.network.size.numel() * problem.scenario.horizon * replications
    for model in ("mlp", "graph"):
        settings = TrainSettings(
            algorithm="pathwise", model=model, hidden=32, decisions=decisions, decisions_per_update=decisions
        )
        training = prepare(problem, settings, OrderUpTo.of(problem))
        trace = problem.trace("train", 0, replications)

        def learn(algorithm: Any = training.algorithm, trace: Any = trace) -> None:
            algorithm._update_with_batch(trace)

        def played(policy: Any = training.policy, trace: Any = trace) -> None:
            with torch.no_grad():
                for _ in play(problem, MeanActions(policy), trace, trusted=True):
                    pass

        learned, rolled = seconds(learn, played, repeats=3)
        yield Figure(
            f"pathwise gradient step, 50 shops, {model} 32 wide for every warehouse",
            decisions / learned / MILLION,
            "million/s",
        )
        yield Figure(f"  playing alone, {model}", decisions / rolled / MILLION, "million/s")
    for widths in ((128, 128), (512, 512, 512)):
        learned, rolled = seconds(*plain_pathwise(problem, widths, replications), repeats=3)
        name = f"one MLP for all, {' x '.join(map(str, widths))} wide"
        yield Figure(
            f"pathwise gradient step, 50 shops, {name}",
            decisions / learned / MILLION,
            "million/s",
            "plain torch on our simulator",
        )
        yield Figure("  playing alone", decisions / rolled / MILLION, "million/s")


def planning() -> Iterator[Figure]:
    """What a person waits for once: tuned order-up-to, and the perfect-information bound of an episode."""
    from marl_inv.baselines.bounds.perfect_information import perfect_information
    from marl_inv.baselines.tuning import tune
    from marl_inv.episodes.problem import load_problem

    problem = load_problem("ring_transshipment")
    tuning, bound = seconds(
        lambda: tune(problem, OrderUpTo.of(problem)),
        lambda: perfect_information(problem, problem.trace("evaluate", 0, 1)),
        repeats=3,
    )
    yield Figure("order-up-to tuned, ring_transshipment", tuning, "s")
    yield Figure("perfect-information bound, one episode of it", bound, "s")


GROUPS: dict[str, Callable[[], Iterator[Figure]]] = {
    "machine": machine,
    "simulator": simulator,
    "scaling": scaling,
    "traces": traces,
    "environment": environment,
    "peers": peers,
    "ppo": ppo,
    "pathwise": pathwise,
    "planning": planning,
}


def figures(groups: list[str]) -> Iterator[tuple[str, Figure]]:
    """Those of the groups, by default all but peers that are not installed, on one thread."""
    from marl_inv.bench.others import extra_is_here

    torch.set_num_threads(1)
    for group in groups or [group for group in GROUPS if group != "peers" or extra_is_here()]:
        for figure in GROUPS[group]():
            yield group, figure
