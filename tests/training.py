"""What tests of learning share: a small training run, and a watch on what would make the host wait for a
device."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.episodes.problem import Problem, load_problem
from marl_inv.learning.settings import TrainSettings
from marl_inv.learning.train import Training, prepare

SMALL = {
    "decisions": 8_000,
    "decisions_per_update": 2_000,
    "validations": 2,
    "validation_replications": 8,
    "hidden": 16,
    "periods_per_update": 10,
}


def small_training(scenario: str | Problem = "two_warehouses", **settings: Any) -> Training:
    problem = load_problem(scenario) if isinstance(scenario, str) else scenario
    return prepare(problem, TrainSettings(**(SMALL | settings)), OrderUpTo.of(problem))


class Waits:
    """Within it, `seen` lists every operation that would make the host wait for a device, also where there is
    none.

    What an optimizer keeps `on_the_host` by itself is no such wait: torch's count of steps.
    """

    def __init__(self, on_the_host: Iterable[Tensor] = ()) -> None:
        self.seen: list[str] = []
        self.modes = ExitStack()
        self.dispatched, self.called = (
            _Dispatched(self.seen, {id(tensor) for tensor in on_the_host}),
            _Called(self.seen),
        )

    def __enter__(self) -> Self:
        self.modes.enter_context(self.dispatched)
        self.modes.enter_context(self.called)
        return self

    def __exit__(self, *error: object) -> None:
        self.modes.close()


class _Dispatched(TorchDispatchMode):
    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "item", "equal", "unique", "is_nonzero")

    def __init__(self, seen: list[str], on_the_host: set[int]) -> None:
        super().__init__()
        self.seen, self.on_the_host = seen, on_the_host

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        moves = name == "_to_copy" and (kwargs or {}).get("device") not in (None, args[0].device)
        if (name in self.WAITS or moves) and id(args[0]) not in self.on_the_host:
            self.seen.append(name)
        return function(*args, **(kwargs or {}))


class _Called(TorchFunctionMode):
    """Reads that dispatch nothing for a tensor that is on the host already."""

    READS = (Tensor.cpu, Tensor.numpy, Tensor.tolist)

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in self.READS:
            self.seen.append(function.__name__)
        return function(*args, **(kwargs or {}))


def counts_of_steps(algorithm: Any) -> list[Tensor]:
    """Which the optimizers keep on the host, once they have taken a step."""
    states = [state for optimizer in algorithm._optimizers for state in optimizer._optim.state.values()]
    return [torch.as_tensor(state["step"]) for state in states]
