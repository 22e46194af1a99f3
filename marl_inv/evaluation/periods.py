"""What happened in every period, as a table on disk: a row for each product at each warehouse, and one for
each product on each lane."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from marl_inv.common.errors import InputError
from marl_inv.common.files import safe_cell
from marl_inv.episodes.rollout import Moment
from marl_inv.evaluation.metrics import LANE_MEASURES, MEASURES, MONEY
from marl_inv.network import TransferNetwork

KEYS = ("policy", "replication", "period", "product", "warehouse", "lane")
"""What a row is of. `warehouse` is where a lane leads; a row of a warehouse itself has no `lane`."""

STOCK = ("opening", "on_hand", "backorders", "due", "received", "overflow", "discarded")
"""Units at a warehouse: the inventory level (on hand minus backorders) that the period opens with, on hand
and backorders after demand, what is on its way afterwards, what arrived then, what storage could not hold."""

SERVICE = ("demand", "served", "unmet", "lost", "promotion")

COLUMNS = (*KEYS, *STOCK, *SERVICE, "reward", *MONEY, *LANE_MEASURES)
"""Units, and money as a part counts it, of the period alone; what a row is not about is empty."""

ENDINGS = (".csv", ".parquet")

TableBlock = dict[str, Any]
"""A list for every one of COLUMNS."""

Write = Callable[[TableBlock], None]


class PeriodTable:
    """A table that is being written; `watch` adds every period that passes by."""

    def __init__(self, write: Write) -> None:
        self.write = write

    def watch(self, moments: Iterable[Moment], policy: str, replications: range) -> Iterator[Moment]:
        """The same moments, one after the other."""
        for period, moment in enumerate(moments):
            for block in _blocks(moment):
                rows = len(block["product"])
                each = rows // len(replications)
                block |= {
                    "policy": [policy] * rows,
                    "replication": np.repeat(np.array(replications), each).tolist(),
                    "period": [period] * rows,
                }
                self.write({name: block.get(name, [None] * rows) for name in COLUMNS})
            yield moment


@contextmanager
def period_table(file: Path) -> Iterator[PeriodTable]:
    """A table in a .csv or .parquet file, which is there when the whole of it is.

    Raises InputError for another ending, for .parquet without pyarrow, and where it cannot be written.
    """
    if file.suffix not in ENDINGS:
        raise InputError(
            f"{file}: ends in {file.suffix or 'nothing'!r}; give a file that ends in .csv or .parquet"
        )
    writing = _parquet if file.suffix == ".parquet" else _csv
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        with writing(unfinished) as write:
            yield PeriodTable(write)
        unfinished.replace(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror}); give another --out") from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextmanager
def _csv(file: Path) -> Iterator[Write]:
    with file.open("w", newline="", encoding="utf-8") as disk:
        writer = csv.writer(disk, lineterminator="\n")
        writer.writerow(COLUMNS)
        yield lambda block: writer.writerows(zip(*map(_told, block.values()), strict=True))


def _told(values: Any) -> list[str]:
    """Numbers with the digits that they have."""
    return ["" if value is None else str(safe_cell(value)) for value in values]


@contextmanager
def _parquet(file: Path) -> Iterator[Write]:
    try:
        # an extra that only this file needs
        import pyarrow  # pyright: ignore[reportMissingImports]
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        name = file.name.removesuffix(f".{os.getpid()}.tmp")
        raise InputError(
            f"{name}: needs pyarrow, which is not installed; `pip install pyarrow`, or give a .csv file"
        ) from error
    text, whole = pyarrow.dictionary(pyarrow.int32(), pyarrow.string()), pyarrow.int64()
    number = pyarrow.float64()
    types = dict.fromkeys(KEYS, text) | {"replication": whole, "period": whole}
    schema = pyarrow.schema([(name, types.get(name, number)) for name in COLUMNS])
    with parquet.ParquetWriter(file, schema) as writer:
        yield lambda block: writer.write_table(pyarrow.table(block, schema))


def _blocks(moment: Moment) -> Iterator[TableBlock]:
    """The rows of a period, a replication after the other: those of warehouses, and those of lanes."""
    network, flows = moment.view.network, moment.flows
    units = {
        "opening": flows.opening_level,
        "due": moment.state.in_transit,
        "received": flows.receipts,
        "discarded": flows.discarded,
        "served": flows.served,
        "lost": flows.lost,
        "promotion": flows.promotion,
    } | {name: measure(flows, moment.costs) for name, measure in MEASURES.items() if name in COLUMNS}
    places = {"warehouse": network.warehouses}
    yield _block(network, places, units)
    lanes = {"warehouse": _at(network, network.destination), "lane": network.lanes}
    carried = {name: measure(flows) for name, measure in LANE_MEASURES.items()}
    transshipped = carried.pop("transshipped")
    if network.lanes:
        yield _block(network, lanes, carried)
    if network.reactive is not None:
        lanes = {"warehouse": _at(network, network.reactive.destination), "lane": network.reactive.names}
        yield _block(network, lanes, {"transshipped": transshipped})


def _at(network: TransferNetwork, warehouses: Tensor) -> list[str]:
    return [network.warehouses[n] for n in warehouses.tolist()]


def _block(
    network: TransferNetwork, places: Mapping[str, Any], units: Mapping[str, Tensor | None]
) -> TableBlock:
    """Columns of what is (K, X, B), B outermost."""
    width, products = len(next(iter(places.values()))), len(network.products)
    told = {
        name: [*values.movedim(-1, 0).cpu().numpy().ravel()]
        for name, values in units.items()
        if values is not None
    }
    replications = len(next(iter(told.values()))) // (products * width)
    return {
        "product": [product for product in network.products for _ in range(width)] * replications,
        **{name: [*names] * products * replications for name, names in places.items()},
        **told,
    }
