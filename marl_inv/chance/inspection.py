"""Is a scenario, and the data it names, as it should be? Without playing it, and without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from marl_inv.chance.demand_file import MOVED, FileDemand
from marl_inv.scenario import Scenario, read_document, read_scenario
from marl_inv.scenario.advice import Advice, advise
from marl_inv.scenario.consistency import check_supply
from marl_inv.scenario.demand import Empirical


@dataclass(frozen=True)
class Inspection:
    scenario: Scenario
    notes: list[str]
    """What was found in data files, and what was done about it."""
    advice: list[Advice]

    @property
    def size(self) -> str:
        """What there is in the scenario, in a sentence."""
        scenario, lanes = self.scenario, self.scenario.lanes
        suppliers = {supplier.name for supplier in scenario.suppliers}
        replenishment = sum(lane.origin in suppliers for lane in lanes)
        return (
            f"{counted(len(scenario.warehouses), 'warehouse')}, {counted(len(suppliers), 'supplier')}, "
            f"{replenishment} replenishment and "
            f"{counted(len(lanes) - replenishment, 'transfer lane')}, "
            f"{counted(len(scenario.pools), 'pool')}, "
            f"{counted(len(scenario.product_list), 'product')}; {scenario.ending}, "
            f"{counted(scenario.horizon, 'period')}, objective {scenario.objective}"
        )

    @property
    def warnings(self) -> int:
        return sum(entry.warning for entry in self.advice)


def inspect(scenario: str | Path, settings: Iterable[str] = ()) -> Inspection:
    """Read a scenario, its data files included, and what is to be said about it.

    Raises InputError for a mistake in one of them.
    """
    document = read_document(scenario, settings)
    loaded = read_scenario(document)
    check_supply(loaded, document)
    notes, means, moved = _data(loaded)
    place = document.place(("demand",))
    advice = [Advice(place, "unseen", sentence) for sentence in moved]
    return Inspection(loaded, notes, advice + advise(loaded, document, means))


def _data(scenario: Scenario) -> tuple[list[str], dict[str, Sequence[float]], list[str]]:
    """What data files tell: notes, mean demand by warehouse, and where evaluation is of another scale."""
    notes: list[str] = []
    moved: list[str] = []
    means: dict[str, Sequence[float]] = {}
    demands = [scenario.demand_of(warehouse) for warehouse in scenario.warehouses]
    for demand in {
        demand.model_dump_json(): demand for demand in demands if isinstance(demand, Empirical)
    }.values():
        members = [n for n, other in enumerate(demands) if other == demand]
        sales = FileDemand(demand, scenario, members)
        means |= {
            scenario.warehouses[n].name: mean.tolist() for n, mean in zip(members, sales.mean.T, strict=True)
        }
        notes.append(sales.note)
        names = (
            [product.name for product in scenario.product_list],
            [scenario.warehouses[n].name for n in members],
        )
        moved += _unseen(sales, *names)
    return [*dict.fromkeys(notes)], means, moved


def _unseen(sales: FileDemand, products: list[str], warehouses: list[str]) -> Iterator[str]:
    """What evaluation holds and training never saw: series that begin, and products and warehouses of another
    scale."""
    new = [
        f"{products[k]} at {warehouses[n]}" for k, n in np.argwhere((sales.mean == 0) & (sales.evaluated > 0))
    ]
    if new:
        yield (
            f"training never saw demand that evaluation holds, of {some_of(new)}: what is tuned or learned "
            "knows nothing of it; following_order_up_to, where learning may begin, follows what is sold"
        )
    for names, axis in ((products, 1), (warehouses, 0)):
        before, after = sales.mean.sum(axis), sales.evaluated.sum(axis)
        for name, then, now in zip(names, before, after, strict=True):
            if then > 0 and not then / MOVED <= now <= then * MOVED:
                yield (
                    f"{name} sells {now:.4g} a period in evaluation and {then:.4g} in training: what is "
                    "tuned or learned is for another scale; move the stretches, or play what follows demand"
                )


def some_of(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:most]) + f" and {len(names) - most} more" * (len(names) > most)


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"
