"""Real demand from a CSV file: what its rows and columns come to, by period, product and warehouse."""

from __future__ import annotations

import difflib
import re
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from marl_inv.chance.demand_rows import DemandRows, Row, open_rows
from marl_inv.chance.luck import Luck, Stream
from marl_inv.chance.stretches import stretches_of
from marl_inv.chance.time_labels import Timeline
from marl_inv.common.errors import InputError, shown, suggestion
from marl_inv.scenario import Scenario
from marl_inv.scenario.demand import Empirical

MOST_NUMBERS = 100_000_000
"""Of a data file; more would not fit into the memory of small machines."""


MOVED = 4.0
"""How many times as much, or as little, is another scale: beyond it, what training saw says little."""


class FileDemand:
    """Real demand of some warehouses: training draws stretches of the training part at random, evaluation
    plays its own stretch.

    `mean`, `variance`: (K, M) of the training part; `evaluated`: the mean of the part for evaluation.
    """

    poisson_variance = 0.0

    def __init__(self, model: Empirical, scenario: Scenario, members: list[int]) -> None:
        self.model = model
        file = read_demand(
            model,
            [product.name for product in scenario.product_list],
            [scenario.warehouses[n].name for n in members],
        )
        self.note, self._demand = file.note, file.demand
        self.train, self.evaluate = stretches_of(model, scenario, file.timeline)
        training = self._demand[slice(*self.train)]
        self.mean, self.variance = training.mean(0), training.var(0)
        self.evaluated = self._demand[slice(*self.evaluate)].mean(0)

    @property
    def reach(self) -> Float[np.ndarray, "K M"]:
        """Mean demand that room has to be made for: that of training, or of evaluation where it is another
        scale. Nothing is learned from it but how much may be asked for."""
        return np.where(self.evaluated > MOVED * self.mean, self.evaluated, self.mean)

    def stretches(
        self, luck: Luck, stream: Stream, periods: range, beyond: int
    ) -> Float[np.ndarray, "P K M B"]:
        """What the file says of as many periods; of those `beyond` the episode, the mean where this part of
        the file has ended.

        Every replication has a stretch of its own, the same for all warehouses, also where they are read from
        several files.
        """
        first, end = self.train
        history, played = -periods.start, len(periods) - beyond
        if stream == "evaluate":
            first, end = self.evaluate[0] - history, self.evaluate[1]
        if played > end - first:
            longest = end - first - history
            raise InputError(
                f"{self.model.path}: has {longest} periods to play in this part; give a horizon of "
                f"{longest} or less"
            )
        starts = 1 if stream == "evaluate" else end - first - played + 1
        start = first + (luck.uniform("stretch", range(1))[0] * starts).astype(np.int64)
        rows = start + np.arange(len(periods))[:, None]
        known = np.where((rows < end)[..., None, None], self._demand[rows.clip(max=end - 1)], self.mean)
        return np.moveaxis(known, 1, -1)


@dataclass(frozen=True)
class DemandFile:
    demand: Float[np.ndarray, "T K M"]
    """Units, 0 or more; periods in the order of their labels, also those between that have no row."""
    timeline: Timeline
    note: str
    """How many returns and gaps were found, and what was done with them."""


UNTOLD = np.inf
"""Stands where no row has been."""

FEW_ROWS = 20
"""A name in more rows than this is no slip of the pen."""

Others = dict[str, list[tuple[int, str | None]]]
"""Names that are not of the scenario, and the first lines where each stands, with their periods."""


def read_demand(model: Empirical, products: list[str], warehouses: list[str]) -> DemandFile:
    """Read the CSV; returns (negative numbers) and gaps (empty cells, missing rows) count as no demand, rows
    of other products and warehouses are left out.

    Raises InputError for a file that is missing, empty, not numeric, or without a column, product or
    warehouse it should have.
    """
    rows = open_rows(model, products, warehouses)
    product_at, warehouse_at = (
        {name: at for at, name in enumerate(names)} for names in (products, warehouses)
    )
    periods: dict[str, array[float]] = {}
    others: dict[str, Others] = {"product": {}, "warehouse": {}}
    for row in rows:
        if row.product is not None and row.product not in product_at:
            _note(others["product"], row.product, row)
            continue
        if row.warehouse is not None and row.warehouse not in warehouse_at:
            _note(others["warehouse"], row.warehouse, row)
            continue
        for column, period, product, warehouse in rows.numbers:
            period, product = row.period or period, row.product or product
            warehouse = row.warehouse or warehouse
            place = product_at[product] * len(warehouses) + warehouse_at[warehouse]
            if (sheet := periods.get(period)) is None:
                _check_size(rows.path, len(periods) + 1, products, warehouses)
                sheet = periods[period] = array("d", [UNTOLD]) * (len(products) * len(warehouses))
            if sheet[place] != UNTOLD:
                where = f" at {warehouse}" * (row.warehouse is not None)
                raise InputError(
                    f"{rows.path}:{row.line}: has {product}{where} in period {period} a second time; give "
                    f"one row per {rows.one_per}"
                )
            sheet[place] = rows.units(row, column)
    if not periods and not any(others.values()):
        raise InputError(f"{rows.path}:1: holds no rows; give a row per period and product")
    cells = np.array([*periods.values()]).reshape(-1, len(products), len(warehouses))
    told = cells != UNTOLD
    _check_names("product", rows, others, products, told.any(2), [*periods])
    _check_names("warehouse", rows, others, warehouses, told.any(1), [*periods])
    timeline = Timeline.of(periods, f"{rows.path}: {model.period_column}")
    _check_size(rows.path, timeline.periods, products, warehouses)
    demand = np.full((timeline.periods, len(products), len(warehouses)), np.nan)
    demand[timeline.places] = np.where(told, cells, np.nan)
    returns, empty = int((demand < 0).sum()), int(np.isnan(demand).sum())
    note = (
        f"{rows.path.name}: {returns} negative numbers (returns) and {empty} gaps among {demand.size} were "
        "counted as no demand"
    ) + f"; {timeline.missing} periods have no row at all" * (timeline.missing > 0)
    for kind, names in others.items():
        note += f"; {len(names)} other {kind}s were left out" * bool(names)
    return DemandFile(np.nan_to_num(demand, copy=False, nan=0.0).clip(min=0, out=demand), timeline, note)


def _check_size(path: Path, periods: int, products: list[str], warehouses: list[str]) -> None:
    numbers = periods * len(products) * len(warehouses)
    if numbers > MOST_NUMBERS:
        raise InputError(
            f"{path}: would hold {numbers:,} numbers, {periods:,} periods x {len(products):,} products x "
            f"{len(warehouses):,} warehouses; give fewer of them, {MOST_NUMBERS:,} in all"
        )


def _note(others: Others, name: str, row: Row) -> None:
    found = others.setdefault(name, [])
    if len(found) <= FEW_ROWS:
        found.append((row.line, row.period))


def _check_names(
    kind: str,
    rows: DemandRows,
    others: dict[str, Others],
    names: list[str],
    told: Bool[np.ndarray, "T X"],
    periods: list[str],
) -> None:
    """Raise InputError where a name of the scenario has no row and others have, and for the few rows of a
    name that differs by its letters and fills a gap of one of the scenario's: it is misspelt."""
    column = rows.header[at] if (at := getattr(rows, kind)) is not None else kind
    strange = others[kind]
    for at, name in enumerate(names):
        if strange and not told[:, at].any():
            raise InputError(
                f"{rows.path}: has no row whose {column} is {name!r}{suggestion(name, [*strange][:1000])}"
            )
        there = {period for period, is_there in zip(periods, told[:, at], strict=True) if is_there}
        for stranger, where in strange.items():
            fills = len(where) <= FEW_ROWS and not any(period in there for _, period in where)
            differs = re.sub(r"\d", "", stranger) != re.sub(r"\d", "", name)
            if fills and differs and difflib.get_close_matches(stranger, [name]):
                raise InputError(
                    f"{rows.path}:{where[0][0]}: {column} is {shown(stranger)}, which is no {kind} of the "
                    f"scenario; did you mean {name}?"
                )
