"""Pictures of a network, and films of an episode; `pictures` draws what was measured, and nobody else opens
the door to matplotlib.

A warehouse is a gauge: the blue fill is stock on hand, the hatched part is on order, the red strip the share
of demand not met (above 2% the frame is red too). A full gauge is the warehouse's storage, or twice what
passes through it in the lead time and review period of its source lane. In large networks it is a dot, the
bluer the fuller, and red where demand was not met. Arrows are shipments, as wide as the square root of their
units; the pale band around one is what was asked for; reactive ones, after demand, are dashed. A black bar
marks what is at its capacity, a grey cross what an outage closes. Units are summed over products.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.typing import LineStyleType
from torch import Tensor

from marl_inv.common.text import drawn
from marl_inv.drawing.lanes import draw_lanes, draw_many_lanes
from marl_inv.drawing.layout import MARGIN, Layout, lay_out
from marl_inv.drawing.places import draw_cards, draw_chips, draw_dots, draw_pools, draw_suppliers
from marl_inv.drawing.scene import Scene
from marl_inv.drawing.style import FILL, INK, ON_HAND, ON_ORDER, REACTIVE, REPLENISHMENT, TRANSFER, UNMET
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Flows, State


def draw_network(
    network: TransferNetwork,
    state: State,
    flows: Flows | None = None,
    title: str = "",
    available: Float[Tensor, "M B"] | None = None,
    replication: int = 0,
    layout: Layout | None = None,
) -> Figure:
    """One replication's stock now, and what moved and was short in the period before it if `flows` are given.

    `available` is `Chance.available` of that period, which tells what was closed. Where many pictures are
    made, `layout` saves its time.
    """
    return draw_scene(
        layout or lay_out(network), Scene.of(network, state, flows, available, replication), title
    )


def draw_scene(layout: Layout, scene: Scene, title: str = "") -> Figure:
    figure = Figure(figsize=(layout.width, layout.height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, layout.width), ylim=(0, layout.height))
    axes.set_axis_off()
    axes.text(
        MARGIN, layout.height - MARGIN, drawn(title, 90), fontsize=13, color=INK, va="center", weight="bold"
    )
    axes.text(
        layout.width - MARGIN,
        layout.height - MARGIN,
        scene.summary,
        fontsize=9.5,
        color=INK,
        va="center",
        ha="right",
    )
    {"card": draw_lanes}.get(layout.style, draw_many_lanes)(axes, layout, scene)
    draw_suppliers(axes, layout, scene)
    {"card": draw_cards, "chip": draw_chips, "dot": draw_dots}[layout.style](axes, layout, scene)
    draw_pools(axes, layout, scene)
    axes.legend(
        handles=_legend(scene, layout.style),
        loc="lower center",
        ncols=9,
        frameon=False,
        fontsize=8.5,
        handlelength=1.6,
        columnspacing=1.2,
    )
    return figure


def figure_to_rgb(figure: Figure) -> UInt8[np.ndarray, "H W 3"]:
    """The figure's pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _legend(scene: Scene, style: str) -> list[Patch | Line2D]:
    """Of what the network has; the same for all its pictures."""

    def dot(face: Any, edge: str, label: str) -> Line2D:
        return Line2D(
            [],
            [],
            marker="o",
            markersize=8,
            markerfacecolor=face,
            markeredgecolor=edge,
            linestyle="",
            label=label,
        )

    kinds = {way.colour for way in scene.ways}
    limited = any(math.isfinite(capacity.most) for capacity in (*scene.suppliers, *scene.pools))
    limited |= any(way.limited for way in scene.ways) or any(gauge.stored for gauge in scene.gauges)
    stock: list[Patch | Line2D] = [
        Patch(facecolor=ON_HAND, label="on hand"),
        Patch(facecolor="white", edgecolor=ON_ORDER, hatch="////", label="on order"),
        Patch(facecolor=UNMET, label="unmet demand"),
    ]
    if style == "dot":
        stock = [
            dot(FILL(0.0), INK, "empty"),
            dot(FILL(1.0), INK, "full"),
            dot(FILL(0.5), UNMET, "unmet demand"),
            dot(UNMET, UNMET, "most of it"),
        ]
    lines: tuple[tuple[str, LineStyleType, str], ...] = (
        (REPLENISHMENT, "-", "replenishment"),
        (TRANSFER, "-", "transfer"),
        (REACTIVE, (0, (1.2, 0.6)), "after demand"),
    )
    moves = [
        Line2D([], [], color=colour, linewidth=4 if colour != REACTIVE else 3, linestyle=line, label=label)
        for colour, line, label in lines
        if colour in kinds
    ]
    bar = Line2D(
        [], [], color="black", marker="|", markersize=9, markeredgewidth=2, linestyle="", label="at capacity"
    )
    return stock + moves + [bar] * (limited and style != "dot")
