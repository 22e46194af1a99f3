"""Pictures of what an experiment measured, as papers print them; `drawing` draws networks.

A policy has one colour and one mark in all pictures of an experiment, from a palette that the colour-blind
can tell apart (Okabe and Ito 2008); the reference is black.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from marl_inv.common.text import drawn
from marl_inv.drawing.style import COLOURS, GREY, GRID, INK
from marl_inv.evaluation.evaluate import measured
from marl_inv.evaluation.metrics import MONEY
from marl_inv.evaluation.statistics import Interval
from marl_inv.evaluation.tables import SHORT
from marl_inv.experiments.results import Judged, Outcome, Results
from marl_inv.scenario.objective import INCOME_PARTS

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

WIDTH = 9.0
"""Inches: of the page's text."""


MARKS = "sD^vPXph<>"


PART_COLOURS = dict(
    zip(
        MONEY,
        [
            *("#b8c9dc", "#dfe7ef", "#c7d5c2"),
            *(
                "#4477aa",
                "#99ddff",
                "#ee8866",
                "#bbcc33",
                "#eedd88",
                "#ffaabb",
                "#aa4466",
                "#aaaa00",
                "#44bb99",
                "#dddddd",
                "#775588",
            ),
        ],
        strict=True,
    )
)
"""Incomes pale, costs strong (after Tol 2021)."""


STYLE: dict[RcKeyType, Any] = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.hashsalt": "marl_inv",
}


@dataclass(frozen=True)
class Look:
    colour: str
    mark: str


def looks(results: Results) -> dict[str, Look]:
    """Of every policy, by its label."""
    reference = results.experiment.reference
    others = [policy for policy in results.policies() if policy != reference]
    turns = (
        (COLOURS[index % len(COLOURS)], MARKS[(index + index // len(COLOURS)) % len(MARKS)])
        for index in range(len(others))
    )
    return {reference: Look("#000000", "o")} | {
        policy: Look(*turn) for policy, turn in zip(others, turns, strict=True)
    }


@contextmanager
def _sheet(
    height: float, columns: int = 1, rows: int = 1, **options: Any
) -> Iterator[tuple[Figure, np.ndarray]]:
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, figure.subplots(rows, columns, squeeze=False, **options)


def _tall(rows: int) -> float:
    """Inches for so many lines beside an axis."""
    return 1.0 + 0.36 * rows


def _list_policies(axes: Axes, policies: Sequence[str]) -> None:
    """From top to bottom."""
    axes.set_yticks(range(len(policies)), list(map(drawn, policies)))
    axes.set_ylim(len(policies) - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.tick_params("y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))


def _put(axes: Axes, row: float | int, interval: Interval, look: Look, filled: bool = True) -> None:
    """A mark and its interval, as far as it has one."""
    if math.isfinite(interval.low):
        axes.plot(
            [interval.low, interval.high],
            [row, row],
            color=look.colour,
            linewidth=2,
            solid_capstyle="butt",
            zorder=3,
        )
    axes.plot(
        [interval.mean],
        [row],
        look.mark,
        markersize=7.5,
        markeredgewidth=1.6,
        markeredgecolor=look.colour,
        markerfacecolor=look.colour if filled else "white",
        zorder=4,
    )


def results_of(judged: Judged, look: dict[str, Look]) -> Figure:
    """What every policy cost or earned, and beside it what it gains over the reference."""
    outcomes, reference, base = judged.outcomes, judged.reference, judged.base
    with _sheet(_tall(len(outcomes)), 2, sharey=True) as (figure, [[left, right]]):
        for row, outcome in enumerate(outcomes):
            _put(left, row, measured(outcome.problem, judged.rewards[outcome.policy]), look[outcome.policy])
            if gain := judged.gains.get(outcome.policy):
                _put(
                    right,
                    row,
                    gain.times(100 / base) if base else gain,
                    look[outcome.policy],
                    gain.significant,
                )
        _list_policies(left, [outcome.policy for outcome in outcomes])
        right.tick_params("y", length=0)
        right.axvline(0, color=INK, linewidth=1, zorder=2)
        right.grid(False, axis="y")
        right.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        left.set(
            title=f"{reference.problem.measured.capitalize()} per period",
            xlabel="money per period, whole network",
        )
        right.set(
            title=f"Gain over {drawn(reference.policy)}",
            xlabel=f"{'percent' if base else 'money per period'} (right is better)",
        )
    return figure


def counted_parts(outcome: Outcome) -> dict[str, float]:
    """Money per period of each kind that the objective counts, costs negative; what warehouses pay each other
    cancels out."""
    weights = outcome.problem.reward_weights
    parts = {}
    for name in MONEY:
        kind = name.removesuffix("_cost")
        value = float(outcome.measures[name].mean()) * weights[kind] * (1 if kind in INCOME_PARTS else -1)
        if kind != "transfer_payment" and abs(value) > 1e-9:
            parts[name] = value
    return parts


def parts_of(outcomes: Sequence[Outcome], reference: Outcome) -> Figure | None:
    """What costs and incomes consist of, and how that differs from the reference; None where there is one
    kind alone."""
    parts = {outcome.policy: counted_parts(outcome) for outcome in outcomes}
    kinds = [name for name in MONEY if any(name in each for each in parts.values())]
    if len(kinds) < 2:
        return None
    scenario = reference.problem
    sign = -1 if scenario.measured == "cost" else 1
    levels = [{name: sign * value for name, value in each.items()} for each in parts.values()]
    theirs = parts[reference.policy]
    changes = [
        {name: each.get(name, 0.0) - theirs.get(name, 0.0) for name in kinds} for each in parts.values()
    ]
    with _sheet(_tall(len(outcomes)) + 0.35, 2, sharey=True) as (figure, [[left, right]]):
        for name in kinds:
            kind = name.removesuffix("_cost")
            left.barh(0, 0, color=PART_COLOURS[name], label=SHORT.get(kind, kind).replace("_", " "))
        _stack(left, levels)
        _stack(right, changes)
        _list_policies(left, list(parts))
        right.tick_params("y", length=0)
        right.grid(False, axis="y")
        right.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        left.set(title=f"What {scenario.measured} is made of", xlabel="money per period, whole network")
        right.set(title=f"Change from {drawn(reference.policy)}", xlabel="money per period (right is better)")
        left.plot([], [], "|", color=INK, markersize=10, markeredgewidth=2.2, label="sum")
        handles, labels = left.get_legend_handles_labels()
        figure.legend(
            handles[1:] + handles[:1],
            labels[1:] + labels[:1],
            loc="outside upper left",
            ncols=8,
            handlelength=1.1,
            columnspacing=1.2,
        )
    return figure


def _stack(axes: Axes, rows: Sequence[dict[str, float]]) -> None:
    """What is below 0 to the left of it, what is above to the right, and a mark at the sum where there is
    both."""
    for row, parts in enumerate(rows):
        ends = {1: 0.0, -1: 0.0}
        for name, value in parts.items():
            side = 1 if value > 0 else -1
            axes.barh(
                row,
                value,
                left=ends[side],
                height=0.62,
                color=PART_COLOURS[name],
                edgecolor="white",
                linewidth=0.6,
            )
            ends[side] += value
        if ends[-1] < 0 < ends[1]:
            axes.plot(sum(ends.values()), row, "|", color=INK, markersize=18, markeredgewidth=2.2)
    if any(value < 0 for parts in rows for value in parts.values()):
        axes.axvline(0, color=INK, linewidth=1)


def efficiency_of(
    outcomes: Sequence[Outcome], look: dict[str, Look], curve: Float[np.ndarray, "2 P"] | None
) -> Figure:
    """Fill rate against stock: what every policy makes of its stock, beside order-up-to with more and with
    less."""
    with _sheet(3.9) as (figure, [[axes]]):
        held = [outcome.measures["on_hand"].numpy() for outcome in outcomes]
        served = [100 * outcome.measures["fill_rate"].numpy() for outcome in outcomes]
        if curve is not None:
            axes.plot(
                curve[0],
                100 * curve[1],
                color="#9a9a9a",
                linewidth=1.6,
                label="order-up-to, levels scaled",
                zorder=2,
            )
        for outcome, stock, fill in zip(outcomes, held, served, strict=True):
            mine = look[outcome.policy]
            if len(stock) > 1:
                axes.plot(stock, fill, mine.mark, color=mine.colour, markersize=3.5, alpha=0.5, zorder=3)
            axes.plot(
                stock.mean(),
                fill.mean(),
                mine.mark,
                color=mine.colour,
                markersize=8,
                markeredgecolor="white",
                label=drawn(outcome.policy),
                zorder=4,
            )
        stocks, fills = np.concatenate(held), np.concatenate(served)
        if curve is not None:
            away = np.hypot(curve[0] / stocks.mean() - 1, curve[1] - fills.mean() / 100)
            stocks, fills = (
                np.append(stocks, curve[0, away.argmin()]),
                np.append(fills, 100 * curve[1, away.argmin()]),
            )
        axes.set_xlim(*_room(stocks, 0.1 * stocks.mean()))
        low, high = _room(fills, 2.0)
        axes.set_ylim(low, min(high, 100.5))
        axes.yaxis.set_major_formatter(PercentFormatter())
        axes.set(xlabel="stock on hand, units, whole network", ylabel="fill rate")
        figure.legend(loc="outside right upper")
    return figure


def _room(values: np.ndarray, least: float) -> tuple[float, float]:
    """The ends of an axis that shows values and somewhat around them."""
    margin = max(0.35 * float(np.ptp(values)), least)
    return float(values.min()) - margin, float(values.max()) + margin


def learning_of(curves: dict[str, tuple[np.ndarray, np.ndarray]], look: dict[str, Look]) -> Figure:
    """Validation results in training: decisions (P,), and percent over tuned order-up-to (S, P), of every
    policy."""
    with _sheet(3.6) as (figure, [[axes]]):
        axes.axhline(
            0, color="black", linewidth=1.2, linestyle=(0, (4, 2)), label="tuned order-up-to", zorder=2
        )
        for policy, (steps, percent) in curves.items():
            mine, mean = look[policy], percent.mean(0)
            axes.plot(
                steps,
                mean,
                color=mine.colour,
                linewidth=1.8,
                marker=mine.mark,
                markevery=max(1, len(steps) // 8),
                markersize=5,
                label=drawn(policy),
                zorder=4,
            )
            if len(percent) > 1:
                axes.fill_between(
                    steps,
                    percent.min(0),
                    percent.max(0),
                    color=mine.colour,
                    alpha=0.18,
                    linewidth=0,
                    zorder=1,
                )
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set(xlabel="decisions in training", ylabel="percent over the baseline")
        axes.set_xlim(left=0)
        lowest = min(
            float(percent[:, 1:].min()) if percent.shape[1] > 1 else 0.0 for _, percent in curves.values()
        )
        axes.set_ylim(bottom=max(axes.get_ylim()[0], min(1.5 * lowest, -1.0), -100))
        figure.legend(loc="outside right upper")
    return figure


def capacities_of(
    used: dict[str, dict[str, float]], prices: dict[str, float] | None, look: dict[str, Look]
) -> Figure:
    """By capacity: the share of it that each policy uses, and what one more unit of it would be worth."""
    shown = list(used)
    with _sheet(
        _tall(len(shown)) + 0.3, 2 if prices else 1, sharey=True, width_ratios=[3, 2] if prices else None
    ) as (figure, [panels]):
        for row, name in enumerate(shown):
            panels[0].axhline(row, color=GRID, linewidth=0.8, zorder=1)
            for policy, share in used[name].items():
                panels[0].plot(
                    100 * share,
                    row,
                    look[policy].mark,
                    color=look[policy].colour,
                    markersize=7,
                    alpha=0.85,
                    zorder=3,
                    label=drawn(policy) if row == 0 else None,
                )
        _list_policies(panels[0], shown)
        panels[0].set_xlim(0, max(102, 105 * max(max(each.values()) for each in used.values())))
        panels[0].xaxis.set_major_formatter(PercentFormatter())
        panels[0].set(title="Used, on average", xlabel="share of the capacity")
        if prices:
            panels[1].barh(
                range(len(shown)), [prices.get(name, 0.0) for name in shown], height=0.55, color="#8c8c8c"
            )
            panels[1].grid(False, axis="y")
            panels[1].tick_params("y", length=0)
            panels[1].set(title="Shadow price", xlabel="money per period for one unit more")
            panels[1].set_xlim(left=0)
        figure.legend(loc="outside upper left", ncols=4, handletextpad=0.3, columnspacing=1.2)
    return figure


def episode_of(outcomes: Sequence[Outcome], look: dict[str, Look], warm_up: int) -> Figure:
    """The first evaluation trace as some policies played it, first seeds, whole network: stock, and demand
    with what was not met."""
    with _sheet(1.9 + 1.5 * len(outcomes), 1, 1 + len(outcomes), sharex=True) as (figure, panels):
        stock, *below = panels[:, 0]
        most = max(float(outcome.details["episode.demand"][0].sum(1).max()) for outcome in outcomes)
        for outcome, axes in zip(outcomes, below, strict=True):
            held, demand, unmet = (
                outcome.details[f"episode.{name}"][0].sum(1).numpy()
                for name in ("on_hand", "demand", "unmet")
            )
            periods = np.arange(len(held)) + 1
            stock.plot(
                periods, held, color=look[outcome.policy].colour, linewidth=1.6, label=drawn(outcome.policy)
            )
            axes.bar(periods, demand, width=0.9, color="#c9c9c9", label="demand")
            axes.bar(periods, unmet, width=0.9, color=look[outcome.policy].colour, label="not met at once")
            axes.set_title(
                f"Demand under {drawn(outcome.policy)}: {100 * unmet.sum() / max(demand.sum(), 1e-9):.1f}% not met "
                "at once"
            )
            axes.set(ylabel="units", ylim=(0, 1.08 * most))
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05))
        for axes in panels[:, 0]:
            if warm_up:
                axes.axvspan(0.5, warm_up + 0.5, color="#f3f0e6", zorder=0)
            axes.grid(False, axis="x")
        stock.set(ylabel="units", ylim=(0, None))
        stock.set_title("Stock on hand")
        stock.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05))
        below[-1].set_xlabel("period")
        below[-1].set_xlim(0.5, len(periods) + 0.5)
    return figure


# All scenarios together


def matrix(results: Results) -> Figure:
    """Who gains how much where, in percent."""
    policies = [policy for policy in results.policies() if policy != results.experiment.reference]
    scenarios = results.scenarios()
    gains = np.full((len(scenarios), len(policies)), np.nan)
    told = np.zeros_like(gains, dtype=bool)
    for row, judged in enumerate(results.judged.values()):
        for column, policy in enumerate(policies):
            if policy in judged.gains and judged.base:
                gain = judged.gains[policy]
                gains[row, column], told[row, column] = 100 * gain.mean / judged.base, gain.significant
    scale = max(float(np.nanmax(np.abs(gains), initial=1.0)), 1.0)
    with _sheet(1.2 + 0.36 * len(scenarios)) as (figure, [[axes]]):
        limit = min(scale, 30.0)
        axes.imshow(gains, cmap="PuOr", norm=TwoSlopeNorm(0, -limit, limit), aspect="auto", alpha=0.85)
        for row, column in np.ndindex(*gains.shape):
            value, sure = gains[row, column], told[row, column]
            text = "" if math.isnan(value) else f"{value:+z.1f}" if sure else f"{value:+z.1f} n.s."
            axes.text(
                column, row, text, ha="center", va="center", weight="bold" if sure else "normal",
                color="white" if abs(value) > 0.7 * limit else INK if sure else "#555555", fontsize=9,
            )  # fmt: skip
        axes.set_xticks(
            range(len(policies)),
            list(map(drawn, policies)),
            **({"rotation": 25, "ha": "right"} if len(policies) > 4 else {}),
        )
        axes.set_yticks(range(len(scenarios)), list(map(drawn, scenarios)))
        axes.grid(False)
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.set_xticks(np.arange(len(policies) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(scenarios) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=2.5)
        axes.tick_params(which="minor", length=0)
        axes.set_title(f"Gain over {drawn(results.experiment.reference)}, percent")
    return figure


def together_of(
    means: dict[str, Interval], chances: dict[str, Interval], look: dict[str, Look], reference: str
) -> Figure:
    """Interquartile means of the gain and probabilities of improvement."""
    with _sheet(_tall(len(means)), 2, sharey=True) as (figure, [[left, right]]):
        for row, policy in enumerate(means):
            _put(left, row, means[policy], look[policy], means[policy].excludes_zero)
            _put(
                right,
                row,
                chances[policy].times(100.0),
                look[policy],
                not chances[policy].low <= 0.5 <= chances[policy].high,
            )
        _list_policies(left, list(means))
        left.axvline(0, color=INK, linewidth=1, zorder=2)
        right.axvline(50, color=INK, linewidth=1, zorder=2)
        right.set_xlim(-2, 102)
        right.grid(False, axis="y")
        right.tick_params("y", length=0)
        right.xaxis.set_major_formatter(PercentFormatter())
        left.set(title=f"Gain over {drawn(reference)}", xlabel="percent, interquartile mean")
        right.set(title="Chance to do better than it", xlabel="on a scenario at random")
    return figure


def profiles_of(
    shares: dict[str, np.ndarray], thresholds: np.ndarray, look: dict[str, Look], reference: str
) -> Figure:
    """The share of scenarios and seeds on which each policy gains more than so much."""
    with _sheet(3.4) as (figure, [[axes]]):
        axes.axvline(0, color="black", linewidth=1.2, linestyle=(0, (4, 2)), label=drawn(reference))
        for policy, share in shares.items():
            mine = look[policy]
            axes.plot(
                thresholds,
                100 * share,
                color=mine.colour,
                linewidth=1.8,
                label=drawn(policy),
                marker=mine.mark,
                markevery=max(1, len(thresholds) // 9),
                markersize=5,
            )
        axes.yaxis.set_major_formatter(PercentFormatter())
        axes.set(
            xlabel=f"gain over {drawn(reference)}, percent",
            ylabel="scenarios and seeds that gain more",
            ylim=(-2, 102),
        )
        axes.set_xlim(float(thresholds[0]), float(thresholds[-1]))
        figure.legend(loc="outside right upper")
    return figure
