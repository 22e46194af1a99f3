"""Is a scenario, and the data it names, as it should be? Without playing it, and without torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from marl_inv.chance.demand_file import FileDemand
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
    notes, means = _data(loaded)
    return Inspection(loaded, notes, advise(loaded, document, means))


def _data(scenario: Scenario) -> tuple[list[str], dict[str, Sequence[float]]]:
    """What data files tell: notes, and mean demand by warehouse."""
    notes: list[str] = []
    means: dict[str, Sequence[float]] = {}
    demands = [scenario.demand_of(warehouse) for warehouse in scenario.warehouses]
    for demand in {
        demand.model_dump_json(): demand for demand in demands if isinstance(demand, Empirical)
    }.values():
        members = [n for n, other in enumerate(demands) if other == demand]
        sales = FileDemand(demand, scenario, members)
        means |= {
            scenario.warehouses[n].name: mean for n, mean in zip(members, sales.mean.T.tolist(), strict=True)
        }
        notes.append(sales.note)
    return [*dict.fromkeys(notes)], means


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"
