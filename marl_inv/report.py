"""Results as tables a person reads."""

from __future__ import annotations

from rich.table import Table

from marl_inv.evaluate import Interval, Score
from marl_inv.problem import Problem
from marl_inv.simulator import COST_PARTS


def comparison_table(problem: Problem, scores: list[Score], reference: Score) -> Table:
    """Every policy on the same traces: money per period, service, stock, and the paired difference to the reference policy.

    Positive gains are better, for profit and for cost; intervals are 95%.
    """
    profit = problem.scenario.objective == "profit"
    over = "products" if scores[0].record.shipments.shape[-1] == 1 else "replications"
    n = len(scores[0].samples)
    network = problem.network
    caption = (
        f"Per period, whole network: {len(network.warehouses)} warehouses, {len(network.products)} product{'s' * (len(network.products) > 1)}. "
        f"Intervals: 95%, paired, over {n} {over} of {scores[0].record.periods} scored periods. Positive gain is better; n.s. is not told from 0. "
        f"Moved: units from warehouse to warehouse. What they decide on: {'; '.join(f'{score.policy}: {score.knows}' for score in scores)}."
    )
    table = Table(
        title=f"{problem.scenario.name}: {problem.scenario.description}", caption=caption, title_justify="left", caption_justify="left"
    )
    for heading in (
        "policy",
        "profit" if profit else "cost",
        "fill rate",
        "on hand",
        "moved",
        f"gain over {reference.policy}",
        "in percent",
    ):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for score in scores:
        money = score.profit if profit else Interval(-score.profit.mean, -score.profit.high, -score.profit.low)
        gain = (
            ("", "")
            if score is reference
            else (plus_minus(score.gain_over(reference), sign=True), percent(score.gain_in_percent_over(reference)))
        )
        on_hand = float(score.record.per_period("on_hand").sum((0, 1)).mean())
        table.add_row(
            score.policy,
            plus_minus(money),
            f"{score.fill_rate:.3f}",
            f"{on_hand:,.1f}",
            f"{float(score.record.transferred.mean()):,.1f}",
            *gain,
        )
    return table


def warehouse_table(problem: Problem, score: Score) -> Table:
    """One policy by warehouse: what it earned, served, held and moved, per period and over all products."""
    record, network = score.record, problem.network
    money = ["profit", "revenue", *(f"{part}_cost" for part in COST_PARTS)]
    columns = [name for name in (*money, "on_hand") if name == "profit" or bool(record.sums[name].any())]
    means = {name: record.per_period(name).sum(0).mean(-1) for name in columns}
    if problem.scenario.objective == "cost":
        columns[0] = "cost"
        means["cost"] = -means.pop("profit")
    fill = 1 - record.sums["unmet"].sum((0, 2)) / record.sums["demand"].sum((0, 2))
    caption = f"Means per period over {record.periods} scored periods of {record.shipments.shape[-1]} replications, all products together."
    table = Table(
        title=f"{score.policy} ({score.knows}) on {problem.scenario.name}", caption=caption, title_justify="left", caption_justify="left"
    )
    for heading in ("warehouse", *(name.removesuffix("_cost").replace("_", " ") for name in columns), "fill rate"):
        table.add_column(heading, justify="left" if heading == "warehouse" else "right")
    for row, name in enumerate(network.warehouses):
        table.add_row(
            name, *(f"{float(means[c][row]):,.1f}" for c in columns), f"{float(fill[row]):.3f}" if network.mean_demand[:, row].any() else ""
        )
    table.add_section()
    table.add_row("all", *(f"{float(means[c].sum()):,.1f}" for c in columns), f"{score.fill_rate:.3f}")
    return table


def plus_minus(interval: Interval, sign: bool = False) -> str:
    """`1,234.5 ± 6.7`, with as many digits as the interval justifies."""
    digits = 0 if interval.half_width >= 100 else 1 if interval.half_width >= 1 else 2
    return f"{interval.mean:{'+' if sign else ''},.{digits}f} ± {interval.half_width:,.{digits}f}"


def percent(interval: Interval) -> str:
    """`+4.2% [+4.1, +4.4]`, or a word when it says nothing."""
    ends = f"{interval.mean:+,.1f}% [{interval.low:+,.1f}, {interval.high:+,.1f}]"
    return ends if interval.excludes_zero else f"{ends} n.s."
