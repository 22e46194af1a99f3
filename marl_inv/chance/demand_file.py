"""Real demand from a CSV file: one row per period and product, one column per warehouse."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from marl_inv.chance.luck import Luck, Stream
from marl_inv.chance.stretches import stretches_of
from marl_inv.chance.time_labels import Timeline
from marl_inv.common.errors import InputError, suggestion
from marl_inv.scenario import Scenario
from marl_inv.scenario.demand import Empirical

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


def read_demand(model: Empirical, products: list[str], warehouses: list[str]) -> DemandFile:
    """Read the CSV; returns (negative numbers) and gaps (empty cells, missing rows) count as no demand.

    Raises InputError for a file that is missing, empty, not numeric, or without a column or product it should
    have.
    """
    if model.path is None:
        raise InputError("demand.path is not given; give the CSV file of demand: demand.path=FILE.csv")
    path = Path(model.path)
    position = {name: index for index, name in enumerate(products)}
    cells: dict[str, np.ndarray] = {}
    seen: set[tuple[str, str]] = set()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = [name.strip() for name in next(rows, [])]
            if not header:
                raise InputError(
                    f"{path}:1: is empty; give a CSV file with a header line and a row per period and product"
                )
            needed = [model.period_column, model.product_column, *warehouses]
            if missing := [name for name in needed if name not in header]:
                raise InputError(
                    f"{path}:1: has no column {missing[0]!r}; its columns are "
                    f"{', '.join(header[:8])}{' ...' if len(header) > 8 else ''}"
                )
            period_at, product_at, *columns = (header.index(name) for name in needed)
            for row in rows:
                if not any(map(str.strip, row)):
                    continue
                if len(row) != len(header):
                    raise InputError(
                        f"{path}:{rows.line_num}: has {len(row)} cells for {len(header)} columns; give one "
                        "for each"
                    )
                if row[product_at] not in position:
                    known = suggestion(row[product_at], products[:5])
                    raise InputError(
                        f"{path}:{rows.line_num}: {model.product_column} is {row[product_at]!r}, which is "
                        f"no product of the scenario{known}"
                    )
                if (entry := (row[period_at].strip(), row[product_at])) in seen:
                    twice = f"{row[product_at]} in period {row[period_at]}"
                    raise InputError(
                        f"{path}:{rows.line_num}: has {twice} a second time; give one row per period and "
                        "product"
                    )
                seen.add(entry)
                period = cells.setdefault(
                    row[period_at].strip(), np.full((len(products), len(warehouses)), np.nan)
                )
                period[position[row[product_at]]] = [
                    _number(row[at], rows.line_num, path, header[at]) for at in columns
                ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = (
            "not UTF-8 text"
            if isinstance(error, UnicodeDecodeError)
            else getattr(error, "strerror", None) or error
        )
        raise InputError(f"{path}: cannot be read ({reason}); give a CSV file as demand.path") from error
    if not cells:
        raise InputError(f"{path}:1: holds no rows; give a row per period and product")
    timeline = Timeline.of(cells, f"{path}: {model.period_column}")
    demand = np.full((timeline.periods, len(products), len(warehouses)), np.nan)
    for label, values in cells.items():
        demand[timeline.place(label)] = values
    returns, empty = int((demand < 0).sum()), int(np.isnan(demand).sum())
    note = (
        f"{path.name}: {returns} negative numbers (returns) and {empty} gaps among {demand.size} were "
        "counted as no demand"
    ) + f"; {timeline.missing} periods have no row at all" * (timeline.missing > 0)
    return DemandFile(np.nan_to_num(demand, nan=0.0).clip(min=0), timeline, note)


def _number(text: str, line: int, path: Path, column: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan if not text.strip() else math.inf
    if number - number != 0 and text.strip():
        raise InputError(
            f"{path}:{line}: {column} is {text!r}; give a number, or leave the cell empty for a gap"
        )
    return number
