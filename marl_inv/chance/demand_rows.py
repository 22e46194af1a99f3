"""What stands where in a CSV file of demand: its separator, how its numbers are written, and which columns
say period, product, warehouse and demand."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from marl_inv.chance.time_labels import likely_labels
from marl_inv.common.errors import InputError, shown
from marl_inv.common.files import open_table
from marl_inv.scenario.demand import SEPARATORS, Empirical
from marl_inv.scenario.fields import LARGEST

Lines = Iterator[tuple[int, list[str]]]
"""Lines of a file, by their number, as their cells; blank ones are left out."""

MOST_NAMED = 8
"""Columns of a file that a message names."""


class Row(NamedTuple):
    """A line of a file, and what its columns say it is of; None where they do not."""

    line: int
    period: str | None
    product: str | None
    warehouse: str | None
    cells: list[str]


class Number(NamedTuple):
    """A column of numbers, and what they are of, unless the row says it."""

    column: int
    period: str
    product: str
    warehouse: str


@dataclass(frozen=True)
class DemandRows:
    """A file of demand, in any of the layouts that `Empirical` tells of."""

    path: Path
    separator: str
    header: list[str]
    period: int | None
    """The column that says the period of a row; None where columns are of periods. The next two alike."""
    product: int | None
    warehouse: int | None
    numbers: list[Number]
    number: Callable[[str], float]

    @property
    def one_per(self) -> str:
        """Of what there may be one row."""
        said = {"period": self.period, "product": self.product, "warehouse": self.warehouse}
        *most, last = [name for name, column in said.items() if column is not None]
        return f"{', '.join(most)} and {last}" if most else last

    def __iter__(self) -> Iterator[Row]:
        with _lines(self.path, self.separator) as lines:
            next(lines)
            for line, cells in lines:
                _check_length(self.path, line, cells, self.header)
                period, product, warehouse = (
                    None if at is None else cells[at].strip()
                    for at in (self.period, self.product, self.warehouse)
                )
                yield Row(line, period, product, warehouse, cells)

    def units(self, row: Row, column: int) -> float:
        """NaN where the cell is empty."""
        if not (text := row.cells[column].strip()):
            return math.nan
        try:
            units = self.number(text)
        except ValueError:
            units = math.inf
        if not abs(units) <= LARGEST:
            most = f", {LARGEST:g} or less" if math.isfinite(units) else ""
            raise InputError(
                f"{self.path}:{row.line}: {self.header[column]} is {shown(text)}; give a number{most}, or "
                "leave the cell empty for a gap"
            )
        return units


def open_rows(model: Empirical, products: list[str], warehouses: list[str]) -> DemandRows:
    """Look at a file as far as its layout has to be found. Raises InputError for one that has none."""
    if model.path is None:
        raise InputError("demand.path is not given; give the CSV file of demand: demand.path=FILE.csv")
    path = Path(model.path)
    wanted = {model.period_column, model.product_column, model.warehouse_column, model.demand_column}
    separator = model.separator or _separator(path, wanted | {*products, *warehouses})
    with _lines(path, separator) as rows:
        line, header = next(rows, (1, []))
    header = [name.strip() for name in header]
    if not header:
        raise InputError(
            f"{path}:1: is empty; give a CSV file with a header line and a row per period and product"
        )
    columns = _Columns(model, path, line, separator, header, products, warehouses)
    period, product, warehouse, numbers = columns.found()
    used = [
        header[at] for at in (period, product, warehouse, *(each[0] for each in numbers)) if at is not None
    ]
    if twice := next((name for name in used if header.count(name) > 1), None):
        raise InputError(f"{path}:{line}: has the column {shown(twice)} twice; keep one of them")
    decimal, thousands = _signs(model, path, separator, header, [at for at, *_ in numbers])
    number = partial(_number, decimal=decimal, thousands=thousands)
    return DemandRows(path, separator, header, period, product, warehouse, numbers, number)


@contextmanager
def _lines(path: Path, separator: str) -> Iterator[Lines]:
    """The lines of a file; a first line `sep=;`, as spreadsheets write it, is none."""
    try:
        with open_table(path) as file:
            rows = csv.reader(file, delimiter=separator, skipinitialspace=True)
            numbered = ((rows.line_num, row) for row in rows if any(map(str.strip, row)))
            first = next(numbered, None)
            kept = [] if first is None or re.fullmatch("sep=.?", first[1][0].strip()) else [first]
            yield chain(kept, numbered)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = (
            "not UTF-8 text"
            if isinstance(error, UnicodeDecodeError)
            else getattr(error, "strerror", None) or error
        )
        raise InputError(f"{path}: cannot be read ({reason}); give a CSV file as demand.path") from error


def _separator(path: Path, wanted: set[str | None]) -> str:
    """The sign that parts the header into the most names that are wanted, then into the most names."""

    def names(separator: str) -> tuple[int, int]:
        with _lines(path, separator) as rows:
            header = [name.strip() for name in next(rows, (1, []))[1]]
        return len(wanted.intersection(header)), len(header)

    return max(SEPARATORS, key=names)


def _check_length(path: Path, line: int, row: list[str], header: list[str]) -> None:
    if len(row) != len(header):
        raise InputError(f"{path}:{line}: has {len(row)} cells for {len(header)} columns; give one for each")


@dataclass(frozen=True)
class _Columns:
    """Which column says what."""

    model: Empirical
    path: Path
    line: int
    separator: str
    header: list[str]
    products: list[str]
    warehouses: list[str]

    def found(self) -> tuple[int | None, int | None, int | None, list[Number]]:
        """Columns of period, product and warehouse, and those of numbers, as `DemandRows` has them."""
        model, header = self.model, self.header
        one_product, one_warehouse = self.products[0], self.warehouses[0]
        if model.warehouse_column is None and model.demand_column is None and self._any(self.warehouses):
            of_warehouses = [Number(self._at(name), "", one_product, name) for name in self.warehouses]
            return self._period(), self._product(), None, of_warehouses
        if model.demand_column is not None:
            column = self._at(model.demand_column, "demand_column")
            numbers = [Number(column, "", one_product, one_warehouse)]
            return self._period(), self._product(), self._warehouse(), numbers
        if by_period := self._period_columns():
            numbers = [Number(at, header[at], one_product, one_warehouse) for at in by_period]
            return None, self._product(), self._warehouse(), numbers
        period, warehouse = self._period(), self._warehouse()
        if model.product_column not in header and self._any(self.products):
            of_products = [Number(self._at(name), "", name, one_warehouse) for name in self.products]
            return period, None, warehouse, of_products
        product = self._product()
        left = [at for at, name in enumerate(header) if at not in (period, product, warehouse) and name]
        if warehouse is None or len(left) != 1:
            raise self._misses(
                self.warehouses[0] if warehouse is None else None,
                "give a column for each warehouse, or say in demand.demand_column which one holds demand",
            )
        return period, product, warehouse, [Number(left[0], "", one_product, one_warehouse)]

    def _any(self, names: Iterable[str]) -> bool:
        return not set(names).isdisjoint(self.header)

    def _at(self, name: str, key: str | None = None) -> int:
        if name not in self.header:
            raise self._misses(name, key and f"give demand.{key}")
        return self.header.index(name)

    def _misses(self, name: str | None, remedy: str | None) -> InputError:
        more = " ..." * (len(self.header) > MOST_NAMED)
        columns = f"its columns are {', '.join(self.header[:MOST_NAMED])}{more}"
        missing = "" if name is None else f"has no column {name!r}; "
        return InputError(f"{self.path}:{self.line}: {missing}{columns}{'; ' * bool(remedy)}{remedy or ''}")

    def _period(self) -> int:
        return self._at(self.model.period_column, "period_column")

    def _product(self) -> int | None:
        """None where there is one product, and no column that names products."""
        return self._naming(self.products, "product_column", self.model.product_column)

    def _warehouse(self) -> int | None:
        return self._naming(self.warehouses, "warehouse_column", self.model.warehouse_column)

    def _naming(self, names: list[str], key: str, column: str | None) -> int | None:
        """The column that says which of `names` a row is of: the one that was given, or the only one in which
        all of them stand."""
        if column in self.header:
            return self.header.index(str(column))
        if key in self.model.model_fields_set and column is not None:
            raise self._misses(column, None)
        taken = {self.model.period_column, self.model.product_column, self.model.warehouse_column}
        candidates = [at for at, name in enumerate(self.header) if name not in taken]
        holding = self._holding(names, candidates)
        if len(holding) == 1:
            return holding[0]
        if len(names) == 1 and not holding:
            return None
        if holding:
            several = ", ".join(self.header[at] for at in holding)
            raise self._misses(
                None, f"{several} all name {names[0]!r}: say in demand.{key} which one is meant"
            )
        if column is not None:
            raise self._misses(column, f"give demand.{key}")
        remedy = "give a column for each warehouse, or say in demand.warehouse_column which one names them"
        raise self._misses(names[0], remedy)

    def _holding(self, names: list[str], candidates: list[int]) -> list[int]:
        """The columns that hold every name somewhere."""
        missing = {at: set(names) for at in candidates}
        with _lines(self.path, self.separator) as rows:
            next(rows)
            for line, row in rows:
                _check_length(self.path, line, row, self.header)
                for at, names_left in missing.items():
                    names_left.discard(row[at].strip())
        return [at for at, names_left in missing.items() if not names_left]

    def _period_columns(self) -> list[int]:
        """Where there is no column of periods and a column for every period: which these are."""
        if self.model.period_column in self.header or "period_column" in self.model.model_fields_set:
            return []
        return [self.header.index(name) for name in likely_labels(self.header)]


# How numbers are written

PLAIN = re.compile(r"[+-]?[\d.,]*[.,][\d.,]*")
GROUPED = re.compile(r"([+-]?\d{1,3})((?:[ \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}']\d{3})+)(?!\d)(.*)")


def _signs(
    model: Empirical, path: Path, separator: str, header: list[str], numbers: list[int]
) -> tuple[str, str | None]:
    """The decimal sign, and what parts thousands: as the scenario says, or as the file's numbers leave no
    doubt of.

    Commas in a file that commas separate are thousands if anything: `1,234.5` and `1,234,567` show it.
    Elsewhere `0,5`, or `1.234,5`, shows a decimal comma. What only numbers like `1,200` tell, and `1.200`
    where commas separate nothing, may mean either.
    """
    decimal, thousands = model.decimal, model.thousands
    if thousands is not None:
        return decimal or _other(thousands), thousands
    if decimal is not None:
        return decimal, _other(decimal)
    if separator == "," and _without_quotes(path):
        return ".", None
    roles: dict[str, set[str]] = {",": set(), ".": set()}
    doubtful: dict[str, tuple[int, int, str]] = {}
    with _lines(path, separator) as rows:
        next(rows)
        for line, row in rows:
            for at in numbers:
                if at < len(row) and PLAIN.fullmatch(text := _joined(row[at].strip())):
                    for sign, role in _roles(text):
                        if role is None:
                            doubtful.setdefault(sign, (line, at, text))
                        elif (sign, role, separator) == (",", "decimal", ","):
                            line, at, text = doubtful.get(sign, (line, at, text))
                            raise _doubt(path, line, header[at], text)
                        else:
                            roles[sign].add(role)
    for sign in sorted(doubtful, key=".,".index):
        other = roles[_other(sign)]
        if roles[sign]:
            continue
        if (sign, separator) == (".", ","):
            roles[sign].add("decimal")
        elif other:
            roles[sign].add("thousands" if "decimal" in other else "decimal")
        else:
            line, at, text = doubtful[sign]
            raise _doubt(path, line, header[at], text)
    decimal = "," if "decimal" in roles[","] or roles["."] == {"thousands"} else "."
    return decimal, _other(decimal) if roles[_other(decimal)] else None


def _without_quotes(path: Path) -> bool:
    """No cell of a file that commas separate can hold a comma."""
    with open_table(path) as file:
        return not any('"' in line for line in file)


def _other(sign: str) -> str:
    return "." if sign == "," else ","


def _roles(text: str) -> Iterator[tuple[str, str | None]]:
    """What a number's signs can only be; None for one that may be either."""
    signs = [sign for sign in text if sign in ",."]
    if len({*signs}) == 2:
        yield signs[-1], "decimal"
        yield signs[0], "thousands"
    elif len(signs) > 1:
        yield signs[0], "thousands"
    else:
        whole, _, rest = text.lstrip("+-").partition(signs[0])
        either = len(rest) == 3 and 1 <= len(whole) <= 3 and not whole.startswith("0")
        yield signs[0], None if either else "decimal"


def _doubt(path: Path, line: int, column: str, text: str) -> InputError:
    sign = "," if "," in text else "."
    return InputError(
        f"{path}:{line}: {column} is {shown(text)}, in which {sign!r} may part thousands or decimals; say "
        f'which: demand.thousands: "{sign}" or demand.decimal: "{sign}"'
    )


def _number(text: str, decimal: str, thousands: str | None) -> float:
    """Raises ValueError for what is none in this manner of writing."""
    if decimal == "." and thousands is None and text.isdecimal():
        return float(text)  # as most are
    text = _joined(text)
    if thousands is not None and thousands in text:
        grouped = rf"[+-]?\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+(?:{re.escape(decimal)}\d*)?"
        if not re.fullmatch(grouped, text):
            raise ValueError(text)
        text = text.replace(thousands, "")
    if "_" in text or (decimal == "," and "." in text):
        raise ValueError(text)
    return float(text.replace(decimal, "."))


def _joined(text: str) -> str:
    """Digits in groups of three, `1 200` or `1'200`, which mean nothing else, without what parts them."""
    match = GROUPED.fullmatch(text)
    return text if match is None else match[1] + re.sub(r"\D", "", match[2]) + match[3]
