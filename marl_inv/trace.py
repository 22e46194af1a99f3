"""Everything random or known ahead, drawn before an episode: demand models -> Trace.

Replication i of a seed and stream is the same trace whatever the policy, the batch it is drawn in, or the device it is played on.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from scipy.stats import norm
from torch import Tensor

from marl_inv.demand_file import read_demand
from marl_inv.reading import InputError
from marl_inv.scenario import Scenario
from marl_inv.schema import Demand, Empirical, NegativeBinomial, Normal, Poisson, per_product
from marl_inv.simulator import Chance, State

Stream = Literal["train", "tune", "validate", "evaluate"]
"""Disjoint sources of luck: what a policy was fitted on never scores it. From a data file, train, tune and validate draw stretches of
the same training periods; evaluation has periods of its own."""


@dataclass(frozen=True)
class Trace:
    """The luck of a batch of episodes. Row `history + t` of `demand` is period t; the rows before are the past. S is T + 1."""

    demand: Float[Tensor, "HT K N B"]
    history: int
    lead_time: Int[Tensor, "T E B"] | None = None
    """Of what leaves on each lane; None where all lead times are fixed."""
    available: Float[Tensor, "S M B"] | None = None
    """Share of its capacity that each of `Scenario.interruptible` has, then a row of ones; None without outages."""
    promotion: Float[Tensor, "P N 1"] | None = None
    """Planned promotion levels, of `Scenario.notice` + 1 periods more than are played; None where none are planned."""
    forecast: Float[Tensor, "S A K N B"] | None = None
    """Row t is what is forecast before period t, for it and the periods after it; None where nothing is."""
    start: Float[Tensor, "K N B"] | None = None
    """Starting stock of every replication; None where it is given for all."""
    opening: State | None = None
    """The state that episodes begin with; None where it is the network's own with the starting stock."""

    def __len__(self) -> int:
        return len(self.demand) - self.history

    @property
    def replications(self) -> int:
        return self.demand.shape[-1]

    def at(self, period: int) -> Chance:
        return Chance(
            demand=self.demand[self.history + period],
            lead_time=None if self.lead_time is None else self.lead_time[period],
            available=None if self.available is None else self.available[period],
            promotion=None if self.promotion is None else self.promotion[period],
            last=period == len(self) - 1,
        )

    def past_demand(self, period: int, lag: int) -> Float[Tensor, "K N B"]:
        """Demand `lag` periods before `period`, without the effect of promotions."""
        return self.demand[self.history + period - lag]

    def to(self, device: torch.device, dtype: torch.dtype) -> Trace:
        """Lead times keep their type: they are whole numbers."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
        moved = {name: value.to(device, dtype if value.is_floating_point() else value.dtype) for name, value in tensors.items()}
        return replace(self, **moved)


class DemandSource:
    """A scenario's demand: its moments, and traces from a seed.

    `mean`, `sd`: (K, N) per period, of the training part where demand comes from a file.
    `notes` says what was found in data files and what was done about it.
    """

    def __init__(self, scenario: Scenario) -> None:
        """Raises InputError for a data file that is missing, empty, not numeric, or without a column or product it should have."""
        self.scenario = scenario
        self.notes: list[str] = []
        products, warehouses = len(scenario.product_list), len(scenario.warehouses)
        self.mean, self.sd = np.zeros((products, warehouses)), np.zeros((products, warehouses))
        self._samplers: list[tuple[list[int], Sampler]] = []
        for models in _by_kind(scenario):
            members = [index for index, _ in models]
            if isinstance(models[0][1], Empirical):
                sampler: Sampler = FileSampler(models[0][1], scenario, members, self.notes)
            else:
                sampler = ModelSampler([model for _, model in models], products)
            self._samplers.append((members, sampler))
            self.mean[:, members], self.sd[:, members] = sampler.mean, sampler.sd

    @property
    def from_file(self) -> bool:
        """Whether evaluation has one fixed stretch of real periods instead of many random replications."""
        return any(isinstance(sampler, FileSampler) for _, sampler in self._samplers)

    def trace(self, stream: Stream, seed: int, replications: range, horizon: int | None = None) -> Trace:
        """Draw the given replications of a stream, `horizon` periods each (the scenario's by default). Float64, on the CPU.

        Raises InputError for a negative seed, and for a horizon longer than a data file allows.
        """
        if seed < 0:
            raise InputError(f"seed is {seed}; give a whole number, 0 or more")
        history = self.scenario.history
        periods = history + (horizon or self.scenario.horizon)
        demand = np.zeros((periods, *self.mean.shape, len(replications)))
        for column, replication in enumerate(replications):
            luck = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(get_args(Stream).index(stream), replication)))
            for members, sampler in self._samplers:
                demand[:, :, members, column] = sampler.draw(luck, stream, periods, history)
        return Trace(torch.from_numpy(demand), history)


def _by_kind(scenario: Scenario) -> list[list[tuple[int, Demand]]]:
    """Warehouses and their models, in groups that one sampler can draw together."""
    groups: dict[object, list[tuple[int, Demand]]] = {}
    for index, warehouse in enumerate(scenario.warehouses):
        model = scenario.demand_of(warehouse)
        if model is not None:
            key = model.model_dump_json(exclude={"mean", "sd"})
            groups.setdefault(key, []).append((index, model))
    return list(groups.values())


class ModelSampler:
    """Independent demand of one parametric kind for some warehouses."""

    def __init__(self, models: list[Poisson | Normal | NegativeBinomial], products: int) -> None:
        self.kind = models[0]
        self._mean = np.array([per_product(model.mean, products) for model in models]).T
        self._sd = (
            np.sqrt(self._mean) if isinstance(self.kind, Poisson) else np.array([per_product(model.sd, products) for model in models]).T
        )
        self.mean, self.sd = self._mean, np.where(self._mean > 0, self._sd, 0) if isinstance(self.kind, NegativeBinomial) else self._sd
        if isinstance(self.kind, Normal) and self.kind.cut_at_zero:
            self.mean, self.sd = _moments_cut_at_zero(self._mean, self._sd)

    def draw(self, luck: np.random.Generator, stream: Stream, periods: int, history: int) -> Num[np.ndarray, "{periods} K M"]:
        shape = (periods, *self._mean.shape)
        if isinstance(self.kind, Poisson):
            return luck.poisson(self._mean, shape)
        if isinstance(self.kind, Normal):
            demand = luck.normal(self._mean, self._sd, shape)
            return np.maximum(demand, 0) if self.kind.cut_at_zero else demand
        some = self._mean > 0
        excess = np.where(some, self._sd**2 - self._mean, 1.0)
        return luck.negative_binomial(
            np.where(some, self._mean**2 / excess, 1.0), np.where(some, self._mean / self._sd.clip(1e-9) ** 2, 1.0), shape
        )


def _moments_cut_at_zero(mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of max(X, 0) for normal X."""
    z = mean / np.maximum(sd, 1e-12)
    density, below = norm.pdf(z), norm.cdf(z)
    first = mean * below + sd * density
    second = (mean**2 + sd**2) * below + mean * sd * density
    return first, np.sqrt(np.maximum(second - first**2, 0))


class FileSampler:
    """Real demand: training draws stretches of the training part at random, evaluation plays its own stretch."""

    def __init__(self, model: Empirical, scenario: Scenario, members: list[int], notes: list[str]) -> None:
        self.model = model
        names = [scenario.warehouses[n].name for n in members]
        file = read_demand(model, [product.name for product in scenario.product_list], names)
        notes.append(file.note)
        self._demand = file.demand
        shortest = scenario.history + scenario.horizon
        for key, (first, end), needed in (("train", model.train, shortest), ("evaluate", model.evaluate, scenario.horizon)):
            held, stretch = len(self._demand), f"demand.{key} is [{first}, {end}]"
            if end > held:
                raise InputError(f"{model.path}: holds {held} periods, but {stretch}; end it at {held} or before")
            if end - first < needed:
                raise InputError(f"{model.path}: {stretch}, but an episode takes {needed} periods; lengthen it, or shorten the horizon")
        if model.evaluate[0] < scenario.history:
            remedy = f"start it at {scenario.history} or later, to leave room for the history"
            raise InputError(f"{model.path}: demand.evaluate is {list(model.evaluate)}; {remedy}")
        if model.train[0] < model.evaluate[1] and model.evaluate[0] < model.train[1]:
            stretches = f"demand.train is {list(model.train)} and demand.evaluate is {list(model.evaluate)}"
            raise InputError(f"{model.path}: {stretches}; let them not overlap, or policies are scored on what they were fitted on")
        training = self._demand[slice(*model.train)]
        self.mean, self.sd = training.mean(0), training.std(0)

    def draw(self, luck: np.random.Generator, stream: Stream, periods: int, history: int) -> Num[np.ndarray, "{periods} K M"]:
        first, end = self.model.train
        if stream == "evaluate":
            first, end = self.model.evaluate[0] - history, self.model.evaluate[1]
        if periods > end - first:
            longest = end - first - history
            raise InputError(f"{self.model.path}: has {longest} periods to play in this part; give a horizon of {longest} or less")
        start = first if stream == "evaluate" else luck.integers(first, end - periods + 1)
        return self._demand[start : start + periods]


Sampler = ModelSampler | FileSampler
