"""`step`, compiled by torch: the same period, some times faster after some seconds for every form of its
inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from marl_inv.network import TransferNetwork
from marl_inv.simulator.period import step
from marl_inv.simulator.state import Chance, Costs, Decision, Flows, State

TOLERANCE = 1e-4
"""Of the largest number of a kind, that what is compiled may be off."""


Step = Callable[[TransferNetwork, State, Decision, Chance], tuple[State, Flows, Costs]]


class CompiledStep:
    """Called as `step` is, and with its results but for rounding, on any device and with gradients.

    What is compiled takes its inputs to be of the form that it was compiled for, without looking; so it is
    looked up here by network, shapes and what is None. The first period of every form is played both ways.
    Where torch finds no compiler, or what it compiled does something else, it warns once and plays `step`
    itself.
    """

    def __init__(self) -> None:
        self._by_form: dict[tuple[Any, ...], tuple[Step, TransferNetwork]] = {}
        self._plain = False

    def __call__(
        self, network: TransferNetwork, state: State, decision: Decision, chance: Chance
    ) -> tuple[State, Flows, Costs]:
        if self._plain:
            return step(network, state, decision, chance)
        state, decision, chance = _in_order(state), _in_order(decision), _in_order(chance)
        form = (
            id(network),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            *_form(state),
            *_form(decision),
            *_form(chance),
        )
        known = self._by_form.get(form)
        if known is not None:
            return known[0](network, state, decision, chance)
        played = step(network, state, decision, chance)
        compiled = _compiled()
        try:
            differs = not _alike(played, compiled(network, state, decision, chance))
            trouble = "what was compiled plays something else" if differs else None
        except Exception as error:  # torch raises many kinds, and `step` itself has just gone well
            trouble = str(error)
        if trouble is not None:
            warnings.warn(
                f"a period cannot be compiled here, so it is played as it is: {trouble}",
                UserWarning,
                stacklevel=2,
            )
            self._plain = True
        self._by_form[form] = compiled, network  # which lives on, so that nobody else gets its id
        return played


def _compiled() -> Step:
    """A copy of `step` for torch to compile: what is compiled belongs to a piece of code, and this one is
    nobody else's."""

    def period(
        network: TransferNetwork, state: State, decision: Decision, chance: Chance
    ) -> tuple[State, Flows, Costs]:
        return step(network, state, decision, chance)

    alone = FunctionType(period.__code__.replace(), period.__globals__, closure=period.__closure__)
    options: dict[str, Any] = {
        "max_fusion_size": 1
    }  # torch 2.13 loses sums by index that are fused with what reads them
    try:
        unguarded = {"guard_filter_fn": lambda guards: [False] * len(guards)}
        return torch.compile(alone, dynamic=False, fullgraph=True, options=options | unguarded)
    except RuntimeError:  # older versions have no such option, and guards cost their time
        return torch.compile(alone, dynamic=False, fullgraph=True, options=options)


def _alike(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """But for rounding. Costs are differences of larger numbers, and are compared by what they are of the
    largest."""
    for left, right in zip(map(vars, one), map(vars, other), strict=True):
        for name, value in left.items():
            rows = [each if isinstance(each, tuple) else (each,) for each in (value, right[name])]
            for a, b in zip(*rows, strict=True):
                if (a is None) != (b is None):
                    return False
                if (
                    a is not None
                    and a.numel()
                    and bool((a - b).abs().max() > TOLERANCE * (1 + a.abs().max()))
                ):
                    return False
    return True


def _in_order(data: Any) -> Any:
    """With every tensor contiguous, so that shapes tell all."""
    changed = {
        name: contiguous
        for name, value in vars(data).items()
        if (contiguous := _contiguous(value)) is not value
    }
    return replace(data, **changed) if changed else data


def _contiguous(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.contiguous()
    if isinstance(value, tuple) and not all(units.is_contiguous() for units in value):
        return tuple(units.contiguous() for units in value)
    return value


def _form(data: Any) -> Iterator[Any]:
    """Shapes, which tensors want a gradient, what is None, how many rows there are, and plain values."""
    for value in vars(data).values():
        if isinstance(value, tuple):
            yield len(value)
        for each in value if isinstance(value, tuple) else (value,):
            yield (each.shape, each.requires_grad) if isinstance(each, Tensor) else each
