"""A scenario's chance: the moments of its demand, and traces from a seed."""

from __future__ import annotations

from copy import copy
from math import prod

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import ndtr
from torch import Tensor

from marl_inv.chance.counts import Counts
from marl_inv.chance.demand import mixing, parametric
from marl_inv.chance.demand_file import FileDemand
from marl_inv.chance.events import (
    available,
    chain,
    lead_times,
    planned_promotion,
    regime_factors,
    surge_chances,
    surge_factors,
    surged,
    takes_requests,
)
from marl_inv.chance.forecasts import Evolving, normal, ranks_of_cells, truth_plus_noise
from marl_inv.chance.luck import LAST_RANK, Luck, Stream
from marl_inv.chance.measures import Measures
from marl_inv.chance.on_device import Read, reader, uniform
from marl_inv.chance.shocks import Shocks
from marl_inv.chance.trace import Trace
from marl_inv.common.errors import InputError
from marl_inv.scenario import Scenario
from marl_inv.scenario.demand import Demand, Empirical, Evolution, TruthPlusNoise
from marl_inv.scenario.events import Surge
from marl_inv.scenario.fields import Between, per_product

IN_CACHE = 2**17
"""Numbers that are worked on at a time, about as many as a processor keeps at hand."""


class DemandSource:
    """A scenario's chance: the moments of its demand, and traces from a seed.

    `mean`, `sd`: (K, N) per period, without promotions and before rounding to whole units. They are of the
    training part where demand comes from a file; otherwise averages over one cycle of the season, or over the
    horizon where that is shorter or demand has a trend, is known, or surges at set times. `sd` counts how the
    mean varies with season, regimes and surges; random surges are as frequent as in the long run. `reach` is
    the mean of data files, or of their evaluation where that is of another scale. `notes` says what was found
    in data files and what was done about it.
    """

    def __init__(self, scenario: Scenario) -> None:
        """Raises InputError for a data file that is missing, empty, not numeric, or without a column or
        product it should have."""
        self.scenario = scenario
        self.notes: list[str] = []
        self.shocks: Shocks | None = None
        products, warehouses = len(scenario.product_list), len(scenario.warehouses)
        self.mean, self.sd = np.zeros((products, warehouses)), np.zeros((products, warehouses))
        self.reach = np.zeros((products, warehouses))
        self._groups: list[tuple[list[int], Counts | Measures | FileDemand]] = []
        for models in _by_kind(scenario):
            members = [index for index, _ in models]
            if isinstance(models[0][1], Empirical):
                group: Counts | Measures | FileDemand = FileDemand(models[0][1], scenario, members)
                if group.note not in self.notes:
                    self.notes.append(group.note)
            else:
                group = parametric([each for _, each in models if not isinstance(each, Empirical)], products)
            self._groups.append((members, group))
            first, second = _factor_moments(scenario, group.model, members)
            variance = (
                group.variance * second
                - group.poisson_variance * (second - first)
                + group.mean**2 * (second - first**2)
            )
            self.mean[:, members], self.sd[:, members] = group.mean * first, np.sqrt(variance.clip(min=0))
            if isinstance(group, FileDemand):
                self.reach[:, members] = group.reach
        self._without = sorted(
            set(range(warehouses)) - {index for members, _ in self._groups for index in members}
        )
        self._mixing = mixing(scenario)
        self._evolutions: dict[int, tuple[Evolving, Int[np.ndarray, "P K N"]]] = {}

    @property
    def from_file(self) -> bool:
        """Whether evaluation has one fixed stretch of real periods instead of many random replications."""
        return any(isinstance(group, FileDemand) for _, group in self._groups)

    def under(self, shocks: Shocks | None) -> DemandSource:
        """The same chance, with shocks that nobody reckons with: moments and forecasts of kind evolution are
        as without."""
        shocked = copy(self)
        shocked.shocks = shocks
        return shocked

    def trace(
        self,
        stream: Stream,
        seed: int,
        replications: range,
        horizon: int | None = None,
        device: torch.device | None = None,
    ) -> Trace:
        """Draw the given replications of a stream, `horizon` periods each (the scenario's by default).
        Float64, on the CPU; demand on another device, where it can be drawn there.

        Raises InputError for a negative seed, and for a horizon longer than a data file allows.
        """
        if seed < 0:
            raise InputError(f"seed is {seed}; give a whole number, 0 or more")
        scenario, luck = self.scenario, Luck(seed, stream, replications)
        horizon = horizon or scenario.horizon
        drawn = self._demand(stream, luck, horizon, device)
        return Trace(
            drawn[: scenario.history + horizon],
            scenario.history,
            lead_time=_tensor(lead_times(scenario, horizon, luck)),
            available=_tensor(available(scenario, horizon + 1, luck)),
            promotion=_tensor(planned_promotion(scenario, horizon + 1 + scenario.notice)),
            takes_requests=_tensor(takes_requests(scenario, horizon)),
            forecast=self._forecast(drawn[scenario.history :], luck),
            start=_tensor(starting_stock(scenario, luck)),
        )

    def _demand(
        self, stream: Stream, luck: Luck, horizon: int, device: torch.device | None
    ) -> Float[Tensor, "P K N B"]:
        """The past, the episode, and what forecasts see beyond it."""
        beyond = self.scenario.forecast.horizon if self.scenario.forecast else 0
        periods = range(-self.scenario.history, horizon + beyond)
        factor = self._factor(periods, luck)
        plain = self._mixing is None and self.scenario.forecast is None and not self.from_file
        if device is not None and plain:
            return self._drawn_on(device, luck, periods, factor)
        demand = self._ranks(luck, periods)
        demand[:, :, self._without] = 0
        few = max(1, IN_CACHE // demand[0].size)
        for members, group in self._groups:
            rate = group.model.growth(np.array(periods))[:, None, None]
            rate = rate if factor is None else rate * factor[:, members]
            if isinstance(group, FileDemand):
                demand[:, :, members] = group.stretches(luck, stream, periods, beyond) * rate[:, None]
            else:
                at_rank, members = group.at_rank(rate), _slice(members)
                for first in range(0, len(periods), few):
                    now = slice(first, first + few)
                    demand[now, :, members] = at_rank(demand[now, :, members], now)
        return torch.from_numpy(np.rint(demand) if self.scenario.quantities == "integer" else demand)

    def _drawn_on(
        self, device: torch.device, luck: Luck, periods: range, factor: Float[np.ndarray, "P N B"] | None
    ) -> Float[Tensor, "P K N B"]:
        readers: list[tuple[slice | list[int], Read]] = []
        for members, group in self._groups:
            assert not isinstance(group, FileDemand)
            rate = group.model.growth(np.array(periods))[:, None, None]
            rate = rate if factor is None else rate * factor[:, members]
            readers.append((_slice(members), reader(group, rate, device)))
        demand = torch.zeros(len(periods), *self.mean.shape, len(luck), device=device, dtype=torch.float64)
        for place, period in enumerate(periods):
            rank = uniform(luck, "demand", period, self.mean.shape, device)
            for members, read in readers:
                demand[place, :, members] = read(rank[:, members], place)
        return demand.round_() if self.scenario.quantities == "integer" else demand

    def _factor(self, periods: range, luck: Luck) -> Float[np.ndarray, "P N B"] | None:
        """What regimes, surges and shocks multiply demand by; None without them."""
        scenario, shape = self.scenario, (len(periods), self.mean.shape[1], len(luck))
        regimes = (
            None if scenario.regimes is None else regime_factors(scenario.regimes, shape[1], periods, luck)
        )
        surges = surge_factors(scenario, periods.stop, luck)
        factor = regimes
        if surges is not None:
            factor = np.ones(shape) if regimes is None else regimes.copy()
            factor[scenario.history :] *= surges
        if self.shocks is None:
            return factor
        shocked = self.shocks.factor(scenario.horizon, periods, shape[1], luck)
        return shocked if factor is None else factor * shocked

    def _ranks(self, luck: Luck, periods: range) -> Float[np.ndarray, "P K N B"]:
        """Uniform numbers, correlated between warehouses as the Gaussian copula says."""
        if self._mixing is None:
            return luck.uniform("demand", periods, *self.mean.shape)
        independent = normal(luck, "demand", periods, *self.mean.shape)
        return ndtr(
            sum(independent[:, :, [index]] * share[:, None] for index, share in enumerate(self._mixing))
        ).clip(max=LAST_RANK)

    def _forecast(self, coming: Float[Tensor, "P K N B"], luck: Luck) -> Float[Tensor, "S A K N B"] | None:
        """What is told before every period, and after the last."""
        told = self.scenario.forecast
        if told is None:
            return None
        if isinstance(told, TruthPlusNoise):
            return truth_plus_noise(told, coming, self.mean, self._lowest(), luck)
        evolving, row = self._evolving(told, len(coming))
        return evolving.forecast(self._ranks(luck, range(len(coming))), row, luck)

    def _evolving(self, told: Evolution, periods: int) -> tuple[Evolving, Int[np.ndarray, "P K N"]]:
        """Forecasts of so many periods, and which distribution the demand of each has."""
        if periods not in self._evolutions:
            ranks, (products, warehouses) = ranks_of_cells(), self.mean.shape
            row, tables, rows = np.zeros((periods, products, warehouses), int), [np.zeros((1, len(ranks)))], 1
            for members, group in self._groups:
                assert not isinstance(group, FileDemand), "is refused where the scenario is read"
                rates, which = np.unique(group.model.growth(np.arange(periods)), return_inverse=True)
                shape = len(rates), products, len(members)
                cells = np.broadcast_to(ranks, (*shape, len(ranks))).copy()
                demand = group.at_rank(rates[:, None, None])(cells, slice(None))
                if self.scenario.quantities == "integer":
                    demand = np.rint(demand)
                row[:, :, members] = np.arange(rows, rows + prod(shape)).reshape(shape)[which]
                tables.append(demand.reshape(-1, len(ranks)))
                rows += prod(shape)
            self._evolutions[periods] = Evolving(told, np.concatenate(tables)), row
        return self._evolutions[periods]

    def _lowest(self) -> Float[Tensor, "N 1"]:
        """The least that demand can be."""
        models = [self.scenario.demand_of(warehouse) for warehouse in self.scenario.warehouses]
        lowest = [-torch.inf if model is not None and model.may_be_negative else 0.0 for model in models]
        return torch.tensor(lowest, dtype=torch.float64).unsqueeze(-1)


def _tensor(values: np.ndarray | None) -> Tensor | None:
    return None if values is None else torch.from_numpy(values)


def _by_kind(scenario: Scenario) -> list[list[tuple[int, Demand]]]:
    """Warehouses and their models, in groups that can be drawn together."""
    groups: dict[object, list[tuple[int, Demand]]] = {}
    for index, warehouse in enumerate(scenario.warehouses):
        model = scenario.demand_of(warehouse)
        if model is not None:
            key = model.model_dump_json(exclude={"mean", "sd"})
            groups.setdefault(key, []).append((index, model))
    return list(groups.values())


def _slice(members: list[int]) -> slice | list[int]:
    """The same warehouses; neighbours as a slice, which needs no copy."""
    side_by_side = members == list(range(members[0], members[-1] + 1))
    return slice(members[0], members[-1] + 1) if side_by_side else members


def _factor_moments(
    scenario: Scenario, model: Demand, members: list[int]
) -> tuple[Float[np.ndarray, " M"], Float[np.ndarray, " M"]]:
    """Mean, and mean square, of what growth, regimes and surges together multiply demand by."""
    surges = [event for event in scenario.events if isinstance(event, Surge)]
    length = None if any(surge.at for surge in surges) else model.cycle
    periods = np.arange(min(length or scenario.horizon, scenario.horizon))
    rate = model.growth(periods)[:, None]
    moments = []
    for power in (1, 2):
        expected = np.broadcast_to(rate**power, (len(periods), len(members)))
        for surge in surges:
            chance = surge_chances(surge, len(periods))[:, None] * surged(scenario, surge)[members]
            expected = expected * (1 + chance * (surge.factor**power - 1))
        moments.append(expected.mean(0))
        if scenario.regimes is not None:
            moments[-1] = moments[-1] * (
                chain(scenario.regimes)[1] @ np.array(scenario.regimes.factors) ** power
            )
    return moments[0], moments[1]


def starting_stock(scenario: Scenario, luck: Luck) -> Float[np.ndarray, "K N B"] | None:
    """Drawn where a warehouse says so, and given elsewhere; None where all are given."""
    given, products = (
        [warehouse.initial_stock for warehouse in scenario.warehouses],
        len(scenario.product_list),
    )
    if not any(isinstance(stock, Between) for stock in given):
        return None
    bounds = [(stock.low, stock.high) if isinstance(stock, Between) else (stock, stock) for stock in given]
    low, high = (
        np.array([per_product(bound[end], products) for bound in bounds]).T[..., None] for end in (0, 1)
    )
    uniform = luck.uniform("start", range(1), products, len(given))[0]
    if scenario.quantities == "integer":
        return np.floor(low + uniform * (high - low + 1)).clip(max=high)
    return low + uniform * (high - low)
