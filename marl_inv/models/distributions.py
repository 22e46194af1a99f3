"""Distributions over raw actions whose log-probability and entropy are (rows, K, N): summed over what each
warehouse decides."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Categorical, Normal


def by_warehouse(
    values: Float[Tensor, "R K A"], owner: Int[Tensor, " A"], warehouses: int
) -> Float[Tensor, "R K N"]:
    return values.new_zeros(*values.shape[:2], warehouses).index_add(2, owner, values)


class PerAgentNormal(Normal):
    """Independent normals."""

    def __init__(
        self,
        mean: Float[Tensor, "R K A"],
        sigma: Float[Tensor, " A"],
        owner: Int[Tensor, " A"],
        warehouses: int,
    ) -> None:
        super().__init__(mean, sigma.expand_as(mean), validate_args=False)
        self.owner, self.warehouses = owner, warehouses

    def draw(self, generator: torch.Generator) -> Float[Tensor, "R K A"]:
        mean = self.mean
        return mean + self.stddev * torch.randn(
            mean.shape, generator=generator, device=mean.device, dtype=mean.dtype
        )

    def log_prob(self, value: Float[Tensor, "R K A"]) -> Float[Tensor, "R K N"]:
        return by_warehouse(super().log_prob(value), self.owner, self.warehouses)

    def entropy(self) -> Float[Tensor, "1 K N"]:
        """The same for all rows, since the standard deviation is."""
        return by_warehouse(super().entropy()[:1], self.owner, self.warehouses)


class PerAgentLevels(Categorical):
    """Independent choices of a level, 0 to J - 1; one whose logit is -inf is never chosen."""

    def __init__(self, logits: Float[Tensor, "R K A J"], owner: Int[Tensor, " A"], warehouses: int) -> None:
        super().__init__(logits=logits, validate_args=False)
        self.owner, self.warehouses = owner, warehouses

    @property
    def mean(self) -> Float[Tensor, "R K A"]:
        return self.probs @ torch.arange(self.logits.shape[-1], device=self.logits.device).to(self.logits)

    @property
    def mode(self) -> Float[Tensor, "R K A"]:
        """The likeliest levels, with the gradient of the mean ones (a straight-through estimate)."""
        mean = self.mean
        return mean + (self.logits.argmax(-1) - mean).detach()

    def draw(self, generator: torch.Generator) -> Float[Tensor, "R K A"]:
        """The largest of logits with Gumbel noise is a draw (Gumbel 1954)."""
        logits = self.logits
        uniform = torch.rand(logits.shape, generator=generator, device=logits.device, dtype=logits.dtype)
        return (logits - (-uniform.log()).log()).argmax(-1).to(logits)

    def log_prob(self, value: Float[Tensor, "R K A"]) -> Float[Tensor, "R K N"]:
        return by_warehouse(super().log_prob(value), self.owner, self.warehouses)

    def entropy(self) -> Float[Tensor, "R K N"]:
        return by_warehouse(super().entropy(), self.owner, self.warehouses)


class PerAgentValues:
    """What every level is worth to the warehouse that chooses it; -inf if it makes no sense. The best is
    played, and `exploring` of the times any.

    A warehouse's value is the sum over its choices.
    """

    def __init__(
        self,
        values: Float[Tensor, "R K A J"],
        exploring: Float[Tensor, ""],
        owner: Int[Tensor, " A"],
        warehouses: int,
    ) -> None:
        self.values, self.exploring, self.owner, self.warehouses = values, exploring, owner, warehouses

    @property
    def mode(self) -> Float[Tensor, "R K A"]:
        return self.values.argmax(-1).to(self.values)

    def draw(self, generator: torch.Generator) -> Float[Tensor, "R K A"]:
        values = self.values
        chance = torch.rand(
            (2, *values.shape[:-1]), generator=generator, device=values.device, dtype=values.dtype
        )
        open_levels = values.isfinite().sum(-1)
        return torch.where(chance[0] < self.exploring, (chance[1] * open_levels).floor(), self.mode)

    def log_prob(self, value: Float[Tensor, "R K A"]) -> Float[Tensor, "R K N"]:
        """Of a draw."""
        at_random = self.exploring / self.values.isfinite().sum(-1)
        probability = torch.where(value == self.mode, 1 - self.exploring + at_random, at_random)
        return by_warehouse(probability.log(), self.owner, self.warehouses)

    def worth(self, levels: Float[Tensor, "R K A"]) -> Float[Tensor, "R K N"]:
        return by_warehouse(
            self.values.gather(-1, levels.long().unsqueeze(-1)).squeeze(-1), self.owner, self.warehouses
        )
