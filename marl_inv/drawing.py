"""Pictures of a network: the only door to matplotlib. No pyplot, so no window, no global state and nothing to close.

Every place is a gauge: the blue fill is stock on hand, the hatched part is on order, the red strip below the
share of demand not met (above 2% the frame is red too). A full gauge
is the warehouse's storage, or twice what passes through it in the lead time and review period of its source lane. Arrows are
shipments, as wide as the square root of their units; the pale band around one is what was asked for. Units are summed over products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import networkx
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, Rectangle
from torch import Tensor

from marl_inv.network import TransferNetwork
from marl_inv.simulator import Flows, State, on_order

INK, PALE, LANE = "#263238", "#eceff1", "#d3dade"
ON_HAND, ON_ORDER, UNMET = "#90caf9", "#b0bec5", "#d32f2f"
REPLENISHMENT, TRANSFER = "#00796b", "#ef6c00"
CARD_WIDTH, COLUMN_GAP, MARGIN, FOOT = 1.7, 1.9, 0.35, 0.55
"""Inches, as are all coordinates."""
NARROWEST = 7.2
LABELLED_LANES = 24
"""A network with more lanes has no numbers on its arrows."""
Point = tuple[float, float]


def draw_network(network: TransferNetwork, state: State, flows: Flows | None = None, title: str = "", replication: int = 0) -> Figure:
    """One replication's stock now, and the shipments and shortage of the period before it if `flows` are given."""
    layout = lay_out(network)
    figure = Figure(figsize=(layout.width, layout.height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, layout.width), ylim=(0, layout.height))
    axes.set_axis_off()
    axes.text(MARGIN, layout.height - MARGIN, title, fontsize=13, color=INK, va="center", weight="bold")
    axes.legend(handles=_legend(), loc="lower center", ncols=6, frameon=False, fontsize=8.5, handlelength=1.6, columnspacing=1.4)
    nothing = np.zeros(len(network.lanes))
    moved = [] if flows is None else [flows.requests, flows.shipments]
    requests, shipments = [_units(units, replication) for units in moved] or [nothing, nothing]
    _draw_lanes(axes, network, layout, requests, shipments)
    _draw_suppliers(axes, network, layout, shipments)
    for name, gauge in zip(network.warehouses, _gauges(network, state, flows, replication), strict=True):
        _draw_gauge(axes, layout.box(name), name, gauge)
    return figure


def figure_to_rgb(figure: Figure) -> np.ndarray:
    """The figure's pixels: (height, width, 3), uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@dataclass(frozen=True)
class Layout:
    """Where every place has its centre."""

    centre: dict[str, tuple[float, float]]
    width: float
    height: float
    card_height: float

    def box(self, place: str) -> tuple[float, float, float, float]:
        """Left, bottom, width, height."""
        x, y = self.centre[place]
        return x - CARD_WIDTH / 2, y - self.card_height / 2, CARD_WIDTH, self.card_height


def lay_out(network: TransferNetwork) -> Layout:
    """Suppliers on the left, then warehouses by how many lanes they are from one; of a tier that help each other, on an ellipse."""
    tiers = _tiers(network)
    radii = [_radii(len(tier)) if _helps_itself(network, tier) else None for tier in tiers]
    rows = max((len(tier) for tier, radius in zip(tiers, radii, strict=True) if radius is None), default=1)
    card_height, pitch = (0.34, 0.43) if rows > 12 else (0.48, 0.8)
    body = max(rows * pitch, *(2 * radius[1] + card_height for radius in radii if radius), 2.8)
    middle, left, centre = FOOT + body / 2, MARGIN + CARD_WIDTH / 2, {}
    for tier, radius in zip(tiers, radii, strict=True):
        if radius is None:
            spread = min(body / len(tier), 3 * pitch)
            heights = [middle + ((len(tier) - 1) / 2 - index) * spread for index in range(len(tier))]
            centre |= {place: (left, height) for place, height in zip(tier, heights, strict=True)}
            left += CARD_WIDTH + COLUMN_GAP
        else:
            angles = [math.pi * (1 - (2 * index + 1) / len(tier)) for index in range(len(tier))]
            turns = [(left + radius[0] * (1 + math.cos(angle)), middle + radius[1] * math.sin(angle)) for angle in angles]
            centre |= dict(zip(tier, turns, strict=True))
            left += 2 * radius[0] + CARD_WIDTH + COLUMN_GAP
    width = max(x for x, _ in centre.values()) + CARD_WIDTH / 2 + MARGIN
    aside = max(NARROWEST - width, 0) / 2
    return Layout({place: (x + aside, y) for place, (x, y) in centre.items()}, width + 2 * aside, body + FOOT + 2 * MARGIN, card_height)


def _tiers(network: TransferNetwork) -> list[list[str]]:
    """Suppliers, then warehouses by how many lanes they are from one, in the network's order; those out of reach join the first."""
    tiers = [set(tier) for tier in networkx.bfs_layers(network.graph, network.suppliers)] if network.suppliers else [set()]
    reached = set().union(*tiers)
    rest = [set(tier) for tier in (tiers[1:] or [set()])]
    rest[0] |= set(network.warehouses) - reached
    return [[place for place in (*network.suppliers, *network.warehouses) if place in tier] for tier in (tiers[0], *rest) if tier]


def _helps_itself(network: TransferNetwork, tier: list[str]) -> bool:
    return len(tier) > 2 and any(network.graph.has_edge(a, b) for a in tier for b in tier)


def _radii(places: int) -> tuple[float, float]:
    across = max(2.8, places * (CARD_WIDTH + 0.3) / (2 * math.pi))
    return across, max(1.7, 0.6 * across)


def _units(quantities: Tensor, replication: int) -> np.ndarray:
    return quantities[..., replication].detach().double().sum(0).cpu().numpy()


@dataclass(frozen=True)
class Gauge:
    """What is drawn of a warehouse, in units."""

    full: float
    on_hand: float
    on_order: float
    backorders: float
    unmet: float
    demand: float

    @property
    def short(self) -> float:
        """Demand not met in the last period, or what is still owed if that is more."""
        return max(self.unmet, self.backorders)

    @property
    def short_share(self) -> float:
        return self.short / max(self.demand, self.short, 1e-9)


def _gauges(network: TransferNetwork, state: State, flows: Flows | None, replication: int) -> list[Gauge]:
    quantities = [state.on_hand, on_order(network, state), state.backorders]
    quantities += [torch.zeros_like(state.on_hand)] * 2 if flows is None else [flows.unmet, flows.demand]
    return [Gauge(*amounts) for amounts in zip(_full(network), *(_units(units, replication) for units in quantities), strict=True)]


def _full(network: TransferNetwork) -> np.ndarray:
    """Units in a full gauge."""
    source = network.source_lane.cpu().numpy()
    lead_time = np.where(source >= 0, network.lead_time.cpu().numpy()[source] if len(network.lanes) else 0, 0)
    full = 2 * (lead_time + 1) * network.size.double().sum(0).cpu().numpy()
    full = np.maximum(full, network.initial_stock.double().sum((0, 2)).cpu().numpy())
    if network.storage is None:
        return full
    storage = network.storage.double().cpu().numpy().ravel() / float(network.volume.mean())
    return np.where(np.isfinite(storage), storage, full)


def _draw_lanes(axes: Axes, network: TransferNetwork, layout: Layout, requests: np.ndarray, shipments: np.ndarray) -> None:
    typical = float(network.size.double().sum(0).max())
    few = len(network.lanes) <= LABELLED_LANES
    twins: dict[tuple[str, str], int] = {}
    destinations = [network.warehouses[n] for n in network.destination.tolist()]
    for lane, (origin, destination) in enumerate(zip(network.lane_origin, destinations, strict=True)):
        twin = twins[origin, destination] = twins.get((origin, destination), -1) + 1
        start, end = _ends(layout, origin, destination)
        least = 0.18 * network.graph.has_edge(destination, origin) + 0.16 * twin
        bend = _free_bend(layout, start, end, least, {origin, destination})
        colour = REPLENISHMENT if lane < network.replenishments else TRANSFER
        sent, asked = (float(np.clip(6 * math.sqrt(units / typical), 0, 9)) for units in (shipments[lane], requests[lane]))

        def line(width: float, arrowstyle: str = "-", path=(start, end), bend=bend, **look: Any) -> None:
            curve = {"connectionstyle": f"arc3,rad={bend}", "shrinkA": 0, "shrinkB": 0, "capstyle": "butt", "joinstyle": "miter"}
            axes.add_patch(FancyArrowPatch(*path, arrowstyle=arrowstyle, linewidth=width, mutation_scale=1, **curve, **look))

        if asked > 0:
            line(asked, color=colour, alpha=0.13, zorder=1)
        if sent == 0:
            line(0.8, color=LANE, zorder=1)
            continue
        head = f"-|>,head_length={3 + 0.7 * sent:.2f},head_width={1.5 + 0.42 * sent:.2f}"
        line(max(sent, 0.6), head, color=colour, alpha=0.85 if few else 0.55, zorder=2)
        if few:
            label = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
            x, y = _curve(start, end, bend, np.array([0.45]))[0]
            axes.text(x, y, _short(shipments[lane]), fontsize=8, color=colour, ha="center", va="center", zorder=5, bbox=label)


def _ends(layout: Layout, origin: str, destination: str) -> tuple[Point, Point]:
    """Where an arrow leaves and arrives: facing sides of two cards; top and bottom of one above the other, upwards on the right."""
    (x0, y0), (x1, y1) = layout.centre[origin], layout.centre[destination]
    if abs(x1 - x0) > CARD_WIDTH:
        side = math.copysign(CARD_WIDTH / 2, x1 - x0)
        return (x0 + side, y0), (x1 - side, y1)
    side, aside = math.copysign(layout.card_height / 2, y1 - y0), math.copysign(0.15 * CARD_WIDTH, y1 - y0)
    return (x0 + aside, y0 + side), (x1 + aside, y1 - side)


def _free_bend(layout: Layout, start: Point, end: Point, least: float, own: set[str]) -> float:
    """The least bend, of some to either side, with which a lane passes behind no other place; `least` if there is none."""
    others = np.array([layout.box(place) for place in layout.centre if place not in own]).reshape(-1, 4)
    for bend in (least, *(least + side * more for more in (0.12, 0.24, 0.36, 0.48) for side in (1, -1))):
        x, y = _curve(start, end, bend, np.linspace(0.02, 0.98, 40)).T[..., None]
        left, bottom, width, height = others.T
        if not ((x > left - 0.05) & (x < left + width + 0.05) & (y > bottom - 0.05) & (y < bottom + height + 0.05)).any():
            return bend
    return least


def _curve(start: Point, end: Point, bend: float, t: np.ndarray) -> np.ndarray:
    """Points of matplotlib's arc3 curve, a quadratic one, at t from 0 to 1: (T, 2)."""
    (x0, y0), (x1, y1) = start, end
    control = ((x0 + x1) / 2 + bend * (y1 - y0), (y0 + y1) / 2 - bend * (x1 - x0))
    return np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1) @ np.array([start, control, end])


def _draw_suppliers(axes: Axes, network: TransferNetwork, layout: Layout, shipments: np.ndarray) -> None:
    for index, name in enumerate(network.suppliers):
        sent = sum(shipments[lane] for lane, supplier in enumerate(network.supplier.tolist()) if supplier == index)
        x, y, width, height = layout.box(name)
        shape = "round,pad=0,rounding_size=0.16"
        axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, facecolor=INK, linewidth=0, zorder=3))
        text = {"fontsize": 9, "color": "white", "va": "center", "zorder": 4}
        axes.text(x + 0.12, y + height / 2, name, **text)
        axes.text(x + width - 0.12, y + height / 2, _short(sent) if sent else "", ha="right", **text)


def _draw_gauge(axes: Axes, box: tuple[float, float, float, float], name: str, gauge: Gauge) -> None:
    x, y, width, height = box
    card = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.05", zorder=3)
    alarming = gauge.short_share > 0.02
    card.set(facecolor=PALE, edgecolor=UNMET if alarming else INK, linewidth=1.6 if alarming else 0.8)
    axes.add_patch(card)
    filled = width * min(gauge.on_hand / gauge.full, 1)
    coming = width * min((gauge.on_hand + gauge.on_order) / gauge.full, 1) - filled
    for bar in (
        Rectangle((x + filled, y), coming, height, facecolor="none", edgecolor=ON_ORDER, hatch="////", linewidth=0, zorder=3),
        Rectangle((x, y), filled, height, facecolor=ON_HAND, linewidth=0, zorder=3),
        Rectangle((x, y), width * gauge.short_share, 0.16 * height, facecolor=UNMET, linewidth=0, zorder=4),
    ):
        axes.add_patch(bar)
        bar.set_clip_path(card)
    text = {"va": "center", "zorder": 5, "fontsize": 9 if height > 0.4 else 8}
    axes.text(x + 0.08, y + 0.55 * height, name, color=INK, **text)
    stock = axes.text(x + width - 0.08, y + 0.55 * height, _short(gauge.on_hand), color=INK, ha="right", weight="bold", **text)
    if gauge.short > 0:
        beside = {"xycoords": stock, "xytext": (-4, 0), "textcoords": "offset points", "ha": "right"}
        axes.annotate(f"\N{MINUS SIGN}{_short(gauge.short)}", (0, 0.5), color=UNMET, **beside, **text)


def _short(units: float) -> str:
    """A quantity in few characters: 0.4, 320, 12k, 7.7M."""
    if units >= 1e4:
        return f"{units / 1e6:,.1f}M" if units >= 1e6 else f"{units / 1e3:,.0f}k"
    return f"{units:,.0f}" if units >= 10 or round(units, 1) == round(units) else f"{units:.1f}"


def _legend() -> list[Patch | Line2D]:
    return [
        Patch(facecolor=ON_HAND, label="on hand"),
        Patch(facecolor="white", edgecolor=ON_ORDER, hatch="////", label="on order"),
        Patch(facecolor=UNMET, label="unmet demand"),
        Line2D([], [], color=REPLENISHMENT, linewidth=4, label="replenishment"),
        Line2D([], [], color=TRANSFER, linewidth=4, label="transfer"),
        Line2D([], [], color=REPLENISHMENT, linewidth=7, alpha=0.2, label="asked for"),
    ]
