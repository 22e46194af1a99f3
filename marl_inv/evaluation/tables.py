"""Tables and numbers as a person reads them, whatever they tell of."""

from __future__ import annotations

import math
from itertools import product as product_of
from typing import Any

from rich import box
from rich.table import Table

from marl_inv.common.fitted import FittedTable
from marl_inv.common.printed import cells_of
from marl_inv.common.text import latex_text, markdown_text
from marl_inv.episodes.problem import Problem
from marl_inv.evaluation.evaluate import Score, measured
from marl_inv.evaluation.metrics import Totals
from marl_inv.evaluation.statistics import Interval
from marl_inv.scenario.objective import COST_PARTS, INCOME_PARTS


def headed_table(title: str, first: str, columns: list[str], caption: str) -> Table:
    table = FittedTable(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=0,
    )
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    return table


def plus_minus(interval: Interval, sign: bool = False) -> str:
    """`1,234.5 ± 6.7`, with as many digits as the interval justifies; from a million on in thousands. The
    mean alone where it is exact, or of one sample."""
    unit, suffix = (1000, "k") if abs(interval.mean) >= 1e6 else (1, "")
    if interval.half_width in (0, math.inf):
        return f"{interval.mean / unit:{'+' if sign else ''}z,.{2 if unit == 1 else 0}f}{suffix}"
    mean, half = interval.mean / unit, interval.half_width / unit
    digits = 0 if half >= 10 else 1 if half >= 1 else 2
    return f"{mean:{'+' if sign else ''}z,.{digits}f}{suffix} ± {half:,.{digits}f}{suffix}"


def quantity(units: float) -> str:
    """`12.3` or `4,567`; from a million on in thousands."""
    return f"{units / 1000:,.0f}k" if units >= 1e6 else f"{units:,.0f}" if units >= 1000 else f"{units:z,.1f}"


def markdown(table: Table) -> str:
    """The same table for a page."""
    rows = [[markdown_text(cell) for cell in cells] for cells in cells_of(table)]
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    aligned = "".join("|---:" if column.justify == "right" else "|---" for column in table.columns) + "|"
    title, caption = markdown_text(str(table.title)), markdown_text(str(table.caption))
    return "\n".join([f"### {title}", "", lines[0], aligned, *lines[1:], "", caption])


def latex(table: Table) -> str:
    """The same table for a paper, with the package booktabs."""
    aligned = "".join("r" if column.justify == "right" else "l" for column in table.columns)
    heads, *rows = (" & ".join(map(latex_text, cells)) + r" \\" for cells in cells_of(table))
    body = [r"\toprule", heads, r"\midrule", *rows, r"\bottomrule"]
    caption = rf"\caption{{{latex_text(str(table.title))}. {latex_text(str(table.caption))}}}"
    lines = [
        r"\begin{table}",
        r"\centering",
        caption,
        rf"\begin{{tabular}}{{{aligned}}}",
        *body,
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


FEW_PRODUCTS = 6
"""Products that tables list one by one."""


SHOWN = 0.0005
"""What a fill rate of three digits does not show."""


MEANINGLESS = 10_000
"""Percent above a bound, from where on it says nothing: perfect information may cost next to nothing."""


SHORT = {
    "procurement": "procure",
    "promotion": "promote",
    "in_transit": "in transit",
    "transfer_payment": "paid others",
}
"""Headings that keep a table within a terminal's width."""


def comparison_table(
    problem: Problem, scores: list[Score], reference: Score, bounds: dict[str, Interval]
) -> Table:
    """Every policy on the same traces: money per period, service, stock, movement, and the paired difference
    to the reference policy.

    Positive gains are better, for profit and for cost; intervals are 95%. With `bounds` on the reward also
    how far everybody is from the tightest.
    """
    columns = [problem.scenario.measured, "fill", "on hand", "moved", "gain", "gain %"] + ["gap %"] * bool(
        bounds
    )
    tightest = min((bound.mean for bound in bounds.values()), default=math.nan)
    table = headed_table(
        f"{problem.scenario.name}: {problem.scenario.description}",
        "policy",
        columns,
        _explanation(problem, scores, reference),
    )
    if bounds:
        table.caption = f"{table.caption} Gap: to the tightest bound."
    for score in scores:
        money = measured(problem.scenario, score.reward)
        on_hand, moved = (
            float(score.record.on_hand.mean()),
            float(score.record.transferred.mean()),
        )
        gain = ["", ""]
        if score is not reference:
            difference, share = score.gain_over(reference), score.gain_in_percent_over(reference)
            gain = [
                plus_minus(difference, sign=True),
                ""
                if math.isnan(share.mean)
                else f"{share.mean:+z,.1f}{'' if difference.excludes_zero else ' n.s.'}",
            ]
        gap = 100 * (tightest - score.reward.mean) / abs(tightest) if bounds and tightest else math.inf
        gaps = [f"{gap:,.1f}" if gap < MEANINGLESS else "far"] * bool(bounds)
        table.add_row(
            score.policy,
            plus_minus(money),
            f"{score.fill_rate:.3f}",
            quantity(on_hand),
            quantity(moved),
            *gain,
            *gaps,
        )
    for number, (name, bound) in enumerate(bounds.items()):
        if number == 0:
            table.add_section()
        gain = 100 * (bound.mean - reference.reward.mean) / (abs(reference.reward.mean) or math.nan)
        told = "" if math.isnan(gain) else f"{gain:+z,.1f}"
        table.add_row(name, plus_minus(measured(problem.scenario, bound)), "", "", "", "", told)
    return table


def _explanation(problem: Problem, scores: list[Score], reference: Score) -> str:
    record, network = scores[0].record, problem.network
    products = len(network.products)
    samples = f"{len(scores[0].samples)} {'products' if record.replications == 1 else 'replications'}"
    if record.rewards is not None:
        samples += f" or {record.periods} periods in blocks, the wider of these"
    return (
        f"Per period, whole network ({len(network.warehouses)} warehouses, {products} "
        f"product{'s' * (products > 1)}); {record.periods} scored periods; "
        f"95% intervals over {samples}. Fill: fill rate. Moved: units from warehouse to warehouse. "
        f"{_added_told(record)}Gain: "
        f"over {reference.policy}, paired, positive is better; "
        "n.s.: not told from 0. Deciding on: "
        f"{'; '.join(f'{score.policy}: {score.knows}' for score in scores)}."
        f" {goal_told(problem, scores)}"
    ).rstrip()


def _added_told(record: Totals) -> str:
    """What units of unlike products were added up by."""
    by, _ = record.added_by
    told = {"value": "at their mean price", "volume": "by their volume"}
    return f"Fill, on hand and moved add up products {told[by]}. " if by != "units" else ""


def product_table(problem: Problem, scores: list[Score]) -> Table:
    """Every policy by product: what it earned, served, held and moved, each in the product's own units."""
    scenario, products = problem.scenario, problem.network.products
    columns = ["product", scenario.measured, "fill", "on hand", "moved"]
    caption = f"Means per period over {scores[0].record.periods} scored periods, whole network, by product."
    table = headed_table(f"{scenario.name}, by product", "policy", columns, caption)
    table.columns[1].justify = "left"
    for score in scores:
        record = score.record
        reward, held = (record.per_period(name).sum(1).mean(-1) for name in ("reward", "on_hand"))
        fill = 1 - record.sums["unmet"].sum((1, 2)) / record.sums["demand"].sum((1, 2)).clamp(min=1e-9)
        moved, sign = record.moved.mean(-1), -1 if scenario.measured == "cost" else 1
        for k, product in enumerate(products):
            told = (f"{sign * float(reward[k]):z,.1f}", f"{float(fill[k]):.3f}")
            units = (quantity(float(each[k])) for each in (held, moved))
            table.add_row(score.policy if k == 0 else "", product, *told, *units)
    return table


def goal_told(problem: Problem, scores: list[Score]) -> str:
    """Who misses the service goal that the scenario has, and how far; nothing where it has none."""
    if problem.scenario.objective != "service":
        return ""
    goal, network = problem.scenario.service.fill_rate, problem.network
    missed = []
    for score in scores:
        fill, product, warehouse = score.record.lowest_fill_rate()
        if fill < goal - SHOWN:
            which = f"{network.products[product]} at " if len(network.products) > 1 else ""
            missed.append(f"{score.policy}: {fill:.3f} ({which}{network.warehouses[warehouse]})")
    told = f"missed by {'; '.join(missed)}" if missed else "kept by all of these"
    return f"The goal, a fill rate of {goal:.4g} at every warehouse, is {told}."


def warehouse_table(problem: Problem, score: Score) -> Table:
    """One policy by warehouse: what it earned, served and held, per period and over all products."""
    record, network = score.record, problem.network
    parts = {
        **{part: part for part in INCOME_PARTS},
        **{f"{part}_cost": SHORT.get(part, part) for part in COST_PARTS},
        "on_hand": "on hand",
    }
    shown = {
        heading: record.per_period(name).sum(0).mean(-1)
        for name, heading in parts.items()
        if bool(record.sums[name].any())
    }
    reward = record.per_period("reward").sum(0).mean(-1)
    shown = {problem.scenario.measured: -reward if problem.scenario.measured == "cost" else reward} | shown
    fill = 1 - record.added_up("unmet").sum(-1) / record.added_up("demand").sum(-1)
    if "on hand" in shown:
        shown["on hand"] = record.added_up("on_hand").mean(-1) / record.weight
    caption = (
        f"Means per period over {record.periods} scored periods of {record.replications} "
        f"replications, all products together. Fill: fill rate. {_added_told(record)}"
        f"{goal_told(problem, [score])}"
    ).rstrip()
    title = f"{score.policy} (deciding on {score.knows}) on {problem.scenario.name}"
    table = headed_table(title, "warehouse", [*shown, "fill"], caption)
    for row, name in enumerate(network.warehouses):
        served = f"{float(fill[row]):.3f}" if network.mean_demand[:, row].any() else ""
        table.add_row(name, *(f"{float(values[row]):z,.1f}" for values in shown.values()), served)
    table.add_section()
    table.add_row(
        "all", *(f"{float(values.sum()):z,.1f}" for values in shown.values()), f"{score.fill_rate:.3f}"
    )
    return table


def parameter_table(problem: Problem, policy: Any, scores: list[Score]) -> Table:
    """What tuning found, by warehouse (and product, where there are few), and what it brought on validation
    traces."""
    network, before, after = problem.network, *scores
    parameters, gain = policy.parameters(problem), after.gain_over(before)
    products = len(network.products)
    share = after.gain_in_percent_over(before).mean
    percent = "" if math.isnan(share) else f" ({share:+z.1f}%)"
    caption = (
        f"On validation traces {plus_minus(gain, sign=True)}{percent} a period over {before.policy} "
        "as it begins. "
        f"Units{'' if products <= FEW_PRODUCTS else f', means over {products} products'}."
    )
    table = headed_table(f"{policy.name} on {problem.scenario.name}", "warehouse", list(parameters), caption)
    table.min_width = 60
    rows = [parameter.value.double().cpu() for parameter in parameters.values()]
    for n, name in enumerate(network.warehouses):
        if products > FEW_PRODUCTS:
            table.add_row(name, *(quantity(float(values[:, n].mean())) for values in rows))
        else:
            for k, product in enumerate(network.products):
                table.add_row(
                    name if products == 1 else f"{name}, {product}",
                    *(quantity(float(values[k, n])) for values in rows),
                )
    return table


def place_records(problem: Problem, score: Score) -> list[dict[str, Any]]:
    """One policy by warehouse, then by lane, per period and product, with all digits: every measure, None
    where it is of the other kind."""
    network, record = problem.network, score.record
    lanes = dict.fromkeys(record.lane_sums, network.lanes)
    if network.reactive is not None:
        lanes["transshipped"] = network.reactive.names
    of_lanes = {
        (product, lane): {}
        for lane in dict.fromkeys(lane for names in lanes.values() for lane in names)
        for product in network.products
    }
    for name, names in lanes.items():
        for (k, product), (e, lane) in product_of(enumerate(network.products), enumerate(names)):
            of_lanes[product, lane][name] = float(record.per_lane(name)[k, e].mean())
    measures = {name: record.per_period(name).mean(-1).tolist() for name in record.sums}
    empty = dict.fromkeys((*measures, *lanes))
    about = {"scenario": problem.scenario.name, "policy": score.policy}
    rows = [
        about
        | {"product": product, "warehouse": warehouse, "lane": None}
        | empty
        | {name: values[k][n] for name, values in measures.items()}
        for n, warehouse in enumerate(network.warehouses)
        for k, product in enumerate(network.products)
    ]
    return rows + [
        about | {"product": product, "warehouse": None, "lane": lane} | empty | units
        for (product, lane), units in of_lanes.items()
    ]


def lane_table(problem: Problem, score: Score) -> Table:
    """One policy by lane: what was asked for, shipped, owed and refused, per period and over all products."""
    record, network = score.record, problem.network
    sums = {name: record.per_lane(name).sum(0).mean(-1) for name in record.lane_sums}
    moved, extra = (
        {name: sums[name] for name in ("requested", "shipped", "refused", "owed") if name in sums},
        sums.get("transshipped"),
    )
    caption = (
        f"Mean units per period over {record.periods} scored periods of {record.replications} "
        "replications, all products together."
    )
    table = headed_table(f"{score.policy} on {problem.scenario.name}, by lane", "lane", list(moved), caption)
    for row, name in enumerate(network.lanes):
        table.add_row(name, *(quantity(float(values[row])) for values in moved.values()))
    if network.reactive is not None and extra is not None:
        table.add_section()
        for row, name in enumerate(network.reactive.names):
            table.add_row(f"{name} (reactive)", "", quantity(float(extra[row])), *[""] * (len(moved) - 2))
    return table
