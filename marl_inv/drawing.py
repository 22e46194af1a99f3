"""Pictures of a network: the only door to matplotlib. No pyplot, so no window, no global state and nothing to close.

Every place is a gauge: the blue fill is stock on hand, the hatched part is on order, the red strip below is demand not met. A full gauge
is the warehouse's storage, or twice what passes through it in the lead time and review period of its source lane. Arrows are
shipments, as wide as the square root of their units; the pale band around one is what was asked for. Units are summed over products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import networkx
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, Rectangle
from torch import Tensor

from marl_inv.network import TransferNetwork
from marl_inv.simulator import Flows, State

INK, PALE, LANE = "#263238", "#eceff1", "#d3dade"
ON_HAND, ON_ORDER, UNMET = "#90caf9", "#b0bec5", "#d32f2f"
REPLENISHMENT, TRANSFER = "#00796b", "#ef6c00"
CARD_WIDTH, COLUMN_GAP, MARGIN, FOOT = 1.7, 1.9, 0.35, 0.55
"""Inches, as are all coordinates."""
LABELLED_LANES = 24
"""A network with more lanes has no numbers on its arrows."""


def draw_network(network: TransferNetwork, state: State, flows: Flows | None = None, title: str = "", replication: int = 0) -> Figure:
    """One replication's stock now, and the shipments and shortage of the period before it if `flows` are given."""
    layout = lay_out(network)
    figure = Figure(figsize=(layout.width, layout.height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, layout.width), ylim=(0, layout.height))
    axes.set_axis_off()
    axes.text(MARGIN, layout.height - MARGIN, title, fontsize=13, color=INK, va="center", weight="bold")
    axes.legend(handles=_legend(), loc="lower center", ncols=6, frameon=False, fontsize=8.5, handlelength=1.6, columnspacing=1.4)
    shipments = np.zeros(len(network.lanes)) if flows is None else _units(flows.shipments, replication)
    requests = np.zeros(len(network.lanes)) if flows is None else _units(flows.requests, replication)
    _draw_lanes(axes, network, layout, requests, shipments)
    _draw_suppliers(axes, network, layout, shipments)
    unmet = np.zeros(len(network.warehouses)) if flows is None else _units(flows.unmet, replication)
    demand = np.ones(len(network.warehouses)) if flows is None else _units(flows.demand, replication)
    amounts = zip(_units(state.on_hand, replication), _units(state.on_order, replication), _units(state.backorders, replication), strict=True)
    for name, full, amount, missed, wanted in zip(network.warehouses, _full(network), amounts, unmet, demand, strict=True):
        short = max(missed, amount[2])
        _draw_gauge(axes, layout.box(name), name, full, amount[0], amount[1], short, short / max(wanted, short, 1e-9))
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
    """Suppliers on the left, then warehouses by how many lanes they are from one; those of a tier that help each other stand on an ellipse."""
    order = [*network.suppliers, *network.warehouses]
    tiers = [sorted(tier, key=order.index) for tier in networkx.bfs_layers(network.graph, network.suppliers)] if network.suppliers else [[]]
    reached = {place for tier in tiers for place in tier}
    tiers[1:2] = [(tiers[1] if len(tiers) > 1 else []) + [name for name in network.warehouses if name not in reached]]
    rounds = [_helps_itself(network, tier) for tier in tiers]
    radii = [_radii(len(tier)) if is_round else (0.0, 0.0) for tier, is_round in zip(tiers, rounds, strict=True)]
    rows = max(len(tier) for tier, is_round in zip(tiers, rounds, strict=True) if not is_round or len(tier) == 0) if not all(rounds) else 1
    card_height = 0.34 if rows > 12 else 0.48
    pitch = card_height * (1.25 if rows > 12 else 1.8)
    body = max(rows * pitch, 2 * max(vertical for _, vertical in radii) + card_height, 2.4)
    height = body + FOOT + 2 * MARGIN
    middle, left, centre = FOOT + body / 2, MARGIN, {}
    for tier, is_round, (across, up) in zip(tiers, rounds, radii, strict=True):
        if not tier:
            continue
        column = left + across + CARD_WIDTH / 2
        for index, place in enumerate(tier):
            if is_round:
                angle = math.pi * (1 - (2 * index + 1) / len(tier))
                centre[place] = (column + across * math.cos(angle), middle + up * math.sin(angle))
            else:
                spread = min(body / len(tier), 3 * pitch)
                centre[place] = (column, middle + ((len(tier) - 1) / 2 - index) * spread)
        left = column + across + CARD_WIDTH / 2 + COLUMN_GAP
    return Layout(centre, max(left - COLUMN_GAP + MARGIN, 6.5), height, card_height)


def _helps_itself(network: TransferNetwork, tier: list[str]) -> bool:
    return len(tier) > 2 and any(network.graph.has_edge(a, b) for a in tier for b in tier)


def _radii(places: int) -> tuple[float, float]:
    across = max(2.3, places * (CARD_WIDTH + 0.1) / (2 * math.pi))
    return across, max(1.7, 0.6 * across)


def _units(quantities: Tensor, replication: int) -> np.ndarray:
    return quantities[..., replication].detach().double().sum(0).cpu().numpy()


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


def _draw_lanes(axes, network: TransferNetwork, layout: Layout, requests: np.ndarray, shipments: np.ndarray) -> None:
    typical = float(network.size.double().sum(0).max())
    twins: dict[tuple[str, str], int] = {}
    destinations = [network.warehouses[n] for n in network.destination.tolist()]
    for lane, (origin, destination) in enumerate(zip(network.lane_origin, destinations, strict=True)):
        start, end = _ends(layout, origin, destination)
        twin = twins[origin, destination] = twins.get((origin, destination), -1) + 1
        paired = network.graph.has_edge(destination, origin)
        bend = (0.18 if paired else 0.0) + 0.16 * twin
        colour = REPLENISHMENT if lane < network.replenishments else TRANSFER
        arrow = {"connectionstyle": f"arc3,rad={bend}", "shrinkA": 0, "shrinkB": 0, "capstyle": "butt"}
        sent, asked = (float(np.clip(7 * math.sqrt(units / typical), 0, 12)) for units in (shipments[lane], requests[lane]))
        axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-", color=LANE, linewidth=0.8, zorder=1, **arrow))
        if asked > 0:
            axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-", color=colour, alpha=0.13, linewidth=asked, zorder=1, **arrow))
        if sent > 0:
            head = f"-|>,head_length={3 + 0.7 * sent:.2f},head_width={1.5 + 0.5 * sent:.2f}"
            alpha = 0.85 if len(network.lanes) <= LABELLED_LANES else 0.55
            axes.add_patch(
                FancyArrowPatch(start, end, arrowstyle=head, mutation_scale=1, color=colour, alpha=alpha, linewidth=max(sent, 0.6), zorder=2, **arrow)
            )
            if len(network.lanes) <= LABELLED_LANES:
                x, y = _along(start, end, bend, 0.45)
                text = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
                axes.text(x, y, _short(shipments[lane]), fontsize=8, color=colour, ha="center", va="center", zorder=5, bbox=text)


def _ends(layout: Layout, origin: str, destination: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where an arrow leaves and arrives: on the facing sides of two cards, or on top and bottom where they stand above each other."""
    (x0, y0), (x1, y1) = layout.centre[origin], layout.centre[destination]
    if abs(x1 - x0) > CARD_WIDTH:
        side = math.copysign(CARD_WIDTH / 2, x1 - x0)
        return (x0 + side, y0), (x1 - side, y1)
    side = math.copysign(layout.card_height / 2, y1 - y0)
    return (x0, y0 + side), (x1, y1 - side)


def _along(start: tuple[float, float], end: tuple[float, float], bend: float, t: float) -> tuple[float, float]:
    """The point of matplotlib's arc3 curve, a quadratic one, at t from 0 to 1."""
    (x0, y0), (x1, y1) = start, end
    control = ((x0 + x1) / 2 + bend * (y1 - y0), (y0 + y1) / 2 - bend * (x1 - x0))
    weights = ((1 - t) ** 2, 2 * t * (1 - t), t**2)
    return tuple(sum(w * p for w, p in zip(weights, points, strict=True)) for points in ((x0, control[0], x1), (y0, control[1], y1)))


def _draw_suppliers(axes, network: TransferNetwork, layout: Layout, shipments: np.ndarray) -> None:
    for index, name in enumerate(network.suppliers):
        sent = sum(shipments[lane] for lane, supplier in enumerate(network.supplier.tolist()) if supplier == index)
        x, y, width, height = layout.box(name)
        axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.16", facecolor=INK, linewidth=0, zorder=3))
        axes.text(x + 0.12, y + height / 2, name, fontsize=9, color="white", va="center", zorder=4)
        axes.text(x + width - 0.12, y + height / 2, _short(sent), fontsize=9, color="white", ha="right", va="center", zorder=4)


def _draw_gauge(
    axes, box: tuple[float, float, float, float], name: str, full: float, on_hand: float, on_order: float, short: float, share: float
) -> None:
    x, y, width, height = box
    card = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.05", zorder=3)
    card.set(facecolor=PALE, edgecolor=UNMET if short > 0 else INK, linewidth=1.6 if short > 0 else 0.8)
    axes.add_patch(card)
    filled = width * min(on_hand / full, 1)
    coming = width * min((on_hand + on_order) / full, 1) - filled
    bars = [
        Rectangle((x + filled, y), coming, height, facecolor="none", edgecolor=ON_ORDER, hatch="////", linewidth=0, zorder=3),
        Rectangle((x, y), filled, height, facecolor=ON_HAND, linewidth=0, zorder=3),
        Rectangle((x, y), width * share, 0.16 * height, facecolor=UNMET, linewidth=0, zorder=4),
    ]
    for bar in bars:
        axes.add_patch(bar)
        bar.set_clip_path(card)
    text = {"va": "center", "zorder": 5, "fontsize": 9 if height > 0.4 else 8}
    axes.text(x + 0.08, y + 0.55 * height, name, color=INK, **text)
    stock = axes.text(x + width - 0.08, y + 0.55 * height, _short(on_hand), color=INK, ha="right", weight="bold", **text)
    if short > 0:
        stock.set(text=f"−{_short(short)}", color=UNMET) if on_hand < 0.5 else None
        if on_hand >= 0.5:
            axes.annotate(f"−{_short(short)}", (0, 0.5), xycoords=stock, xytext=(-4, 0), textcoords="offset points", ha="right", color=UNMET, **text)


def _short(units: float) -> str:
    """A quantity in few characters: 7, 320, 12k."""
    return f"{units:,.0f}" if units < 10_000 else f"{units / 1000:,.0f}k"


def _legend() -> list[Patch | Line2D]:
    return [
        Patch(facecolor=ON_HAND, label="on hand"),
        Patch(facecolor="white", edgecolor=ON_ORDER, hatch="////", label="on order"),
        Patch(facecolor=UNMET, label="unmet demand"),
        Line2D([], [], color=REPLENISHMENT, linewidth=4, label="replenishment"),
        Line2D([], [], color=TRANSFER, linewidth=4, label="transfer"),
        Line2D([], [], color=REPLENISHMENT, linewidth=7, alpha=0.2, label="asked for"),
    ]
