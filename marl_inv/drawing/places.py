"""Suppliers, warehouses and pools, as cards, chips or dots, by how many there are."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

from marl_inv.common.text import drawn
from marl_inv.drawing.lanes import draw_arrow
from marl_inv.drawing.layout import FOOT, Layout
from marl_inv.drawing.scene import FULL, Gauge, Scene
from marl_inv.drawing.style import (
    CLOSED,
    FILL,
    INK,
    LABEL,
    ON_HAND,
    ON_ORDER,
    PALE,
    REPLENISHMENT,
    TRANSFER,
    UNMET,
    short,
)

# Places


def draw_suppliers(axes: Axes, layout: Layout, scene: Scene) -> None:
    for supplier in scene.suppliers:
        x, y, width, height = layout.box(supplier.name)
        card = FancyBboxPatch(
            (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.16", linewidth=0, zorder=3
        )
        card.set_facecolor(INK if supplier.open == 1 else CLOSED)
        axes.add_patch(card)
        if math.isfinite(supplier.most) and supplier.most > 0:
            used = Rectangle(
                (x, y),
                width * min(supplier.used / supplier.most, 1),
                0.14 * height,
                facecolor=REPLENISHMENT,
                linewidth=0,
                zorder=4,
            )
            axes.add_patch(used)
            used.set_clip_path(card)
        amount = short(supplier.used) if supplier.used else ""
        if math.isfinite(supplier.most):
            amount = "closed" if supplier.open == 0 else f"{short(supplier.used)} of {short(supplier.most)}"
        text = {"fontsize": 9, "color": "white", "va": "center", "zorder": 5}
        axes.text(x + 0.12, y + 0.54 * height, drawn(supplier.name, 21 - len(amount)), **text)
        axes.text(
            x + width - 0.12,
            y + 0.54 * height,
            amount,
            ha="right",
            weight="bold" if supplier.full else "normal",
            **text,
        )
        if layout.stubs and supplier.used:
            tip = (x + width + 0.3, y + height / 2)
            arrow = draw_arrow(np.array([x + width, tip[1]]), np.array(tip), 0.06)
            axes.add_collection(PolyCollection([arrow], facecolors=REPLENISHMENT, alpha=0.85, zorder=2))
        if supplier.full:
            _limit(axes, [x + width] * 2, [y + 0.08 * height, y + 0.92 * height])


def draw_cards(axes: Axes, layout: Layout, scene: Scene) -> None:
    for gauge in scene.gauges:
        x, y, width, height = layout.box(gauge.name)
        card = _frame(axes, layout, gauge)
        filled, coming = width * gauge.level, width * gauge.coming
        _fill(
            axes,
            card,
            Rectangle((x + filled, y), coming, height, hatch="////"),
            Rectangle((x, y), filled, height),
            Rectangle((x, y), width * gauge.short_share, 0.16 * height),
        )
        if gauge.stored and gauge.level >= FULL:
            _limit(axes, [x + width] * 2, [y + 0.08 * height, y + 0.92 * height])
        text = {"va": "center", "zorder": 5, "fontsize": 9 if height > 0.4 else 8}
        axes.text(x + 0.08, y + 0.55 * height, drawn(gauge.name, 17), color=INK, **text)
        stock = axes.text(
            x + width - 0.08,
            y + 0.55 * height,
            short(gauge.on_hand),
            color=INK,
            ha="right",
            weight="bold",
            **text,
        )
        if gauge.short > 0:
            beside = {"xycoords": stock, "xytext": (-4, 0), "textcoords": "offset points", "ha": "right"}
            axes.annotate(f"\N{MINUS SIGN}{short(gauge.short)}", (0, 0.5), color=UNMET, **beside, **text)
        if gauge.promotion > 0:
            axes.text(
                x + width,
                y + height + 0.03,
                f"promotion {short(gauge.promotion)}",
                fontsize=7,
                color=INK,
                ha="right",
                zorder=6,
                bbox=LABEL,
            )


def _limit(axes: Axes, across: list[float], up: list[float]) -> None:
    """The wall that something has filled up to."""
    axes.plot(across, up, color="black", linewidth=3, zorder=5, solid_capstyle="butt")


def _frame(axes: Axes, layout: Layout, gauge: Gauge) -> FancyBboxPatch:
    x, y, width, height = layout.box(gauge.name)
    frame = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.05", zorder=3)
    frame.set(
        facecolor=PALE, edgecolor=UNMET if gauge.alarming else INK, linewidth=1.6 if gauge.alarming else 0.8
    )
    axes.add_patch(frame)
    return frame


def _fill(axes: Axes, frame: FancyBboxPatch, coming: Rectangle, on_hand: Rectangle, unmet: Rectangle) -> None:
    """What a gauge's frame holds, in the colours of what it is."""
    coming.set(facecolor="none", edgecolor=ON_ORDER, linewidth=0, zorder=3)
    on_hand.set(facecolor=ON_HAND, linewidth=0, zorder=3)
    unmet.set(facecolor=UNMET, linewidth=0, zorder=4)
    for bar in (coming, on_hand, unmet):
        axes.add_patch(bar)
        bar.set_clip_path(frame)


def draw_chips(axes: Axes, layout: Layout, scene: Scene) -> None:
    """Upright gauges, with the numbers of their names."""
    for gauge in scene.gauges:
        x, y, width, height = layout.box(gauge.name)
        frame = _frame(axes, layout, gauge)
        filled, coming = height * gauge.level, height * gauge.coming
        _fill(
            axes,
            frame,
            Rectangle((x, y + filled), width, coming, hatch="//////"),
            Rectangle((x, y), width, filled),
            Rectangle((x, y), width * 0.22, height * gauge.short_share),
        )
        if gauge.stored and gauge.level >= FULL:
            _limit(axes, [x, x + width], [y + height] * 2)
        numbers = " ".join(part for part in gauge.name.split("_") if part.isdigit())
        text = {"fontsize": 7.5 if numbers else 6, "color": INK, "ha": "center", "va": "center", "zorder": 5}
        axes.text(x + 0.55 * width, y + height / 2, drawn(numbers or gauge.name, 8), **text)


def draw_dots(axes: Axes, layout: Layout, scene: Scene) -> None:
    """As large as what passes through, at most twice as wide as others, and in red, the redder the more is
    short, where demand was not met."""
    for gauge in scene.gauges:
        radius = layout.size[gauge.name][0] / 2 * (0.75 + 0.5 * math.sqrt(gauge.size / scene.typical))
        dot = Circle(
            layout.centre[gauge.name],
            radius,
            facecolor=FILL(gauge.level),
            edgecolor=INK,
            linewidth=0.5,
            zorder=3,
        )
        axes.add_patch(dot)
        if gauge.alarming:
            dot.set(edgecolor=UNMET, linewidth=1 + 1.5 * gauge.short_share)
            if gauge.short_share > 0.5:
                dot.set_facecolor(UNMET)


def draw_pools(axes: Axes, layout: Layout, scene: Scene) -> None:
    """Capacities that lanes share, as bars above the legend, as many as there is room for."""
    pitch, length = 2.4, 1.0
    pools = scene.pools[: int(layout.width / pitch)]
    left = layout.width / 2 - pitch * len(pools) / 2
    for index, pool in enumerate(pools):
        x, y = left + index * pitch, FOOT - 0.3
        axes.text(x + 0.55, y + 0.06, drawn(pool.name, 10), fontsize=8.5, color=INK, ha="right", va="center")
        x += 0.65
        axes.add_patch(Rectangle((x, y), length, 0.12, facecolor=PALE, edgecolor=INK, linewidth=0.6))
        axes.add_patch(
            Rectangle(
                (x, y),
                length * min(pool.used / pool.most, 1) if pool.most else 0,
                0.12,
                facecolor=TRANSFER,
                linewidth=0,
            )
        )
        if pool.full:
            axes.plot(
                [x + length] * 2, [y - 0.03, y + 0.15], color="black", linewidth=2.5, solid_capstyle="butt"
            )
        amount = "closed" if pool.open == 0 else f"{short(pool.used)} of {short(pool.most)}"
        axes.text(
            x + length + 0.08,
            y + 0.06,
            amount,
            fontsize=8.5,
            color=INK,
            va="center",
            weight="bold" if pool.full else "normal",
        )
