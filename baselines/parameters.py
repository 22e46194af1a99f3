"""What may be tuned in a policy: its parameters, by name, within bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem


@dataclass(frozen=True)
class Parameter:
    """A number of a policy that may be tuned, of every product and warehouse (or another shape)."""

    value: Float[Tensor, ...]
    unit: Float[Tensor, ...]
    """How far a step of 1 goes: the size of what it is uncertain about."""
    least: float = 0.0
    most: Float[Tensor, ...] | float = torch.inf
    whole: bool = True
    """Whether it counts units, which are whole where the scenario's quantities are."""

    def at(self, step: Tensor) -> Tensor:
        """The value some steps away, within bounds; a trailing dimension of `step` is the batch."""
        extra = step.ndim - self.value.ndim
        value, unit = (part[(...,) + (None,) * extra] for part in (self.value, self.unit))
        most = (
            self.most[(...,) + (None,) * extra]
            if isinstance(self.most, Tensor)
            else torch.as_tensor(self.most).to(value)
        )
        return torch.minimum((value + unit * step).clamp(min=self.least), most)


@runtime_checkable
class Tunable(Policy, Protocol):
    """A policy that has numbers to tune."""

    @property
    def smooth(self) -> bool:
        """Whether what it asks for changes continuously with its parameters."""
        ...

    def parameters(self, problem: Problem) -> dict[str, Parameter]:
        """What may be tuned, by field; `dataclasses.replace` puts other values in, of the same shape or with
        a batch dimension last."""
        ...

    def beginnings(self, problem: Problem) -> list[Any]:
        """Policies that tuning may start from; they differ in nothing but their parameters."""
        ...


def per_replication(values: Float[Tensor, "K N *B"]) -> Float[Tensor, "K N _"]:
    """With the batch last: the same for every replication, unless every one has its own (as when a population
    plays at once)."""
    return values.unsqueeze(-1) if values.ndim == 2 else values


def set_parameters(policy: Any, values: dict[str, Tensor]) -> Any:
    """Other values for some fields; `base.levels` is the field of the policy that a layer lies over."""
    own = {name: value for name, value in values.items() if "." not in name}
    inner = {name.removeprefix("base."): value for name, value in values.items() if "." in name}
    return (
        replace(policy, **own, base=set_parameters(policy.base, inner)) if inner else replace(policy, **own)
    )
