"""Lanes, as curves that keep apart, with what moves on them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.patches import FancyArrowPatch

from marl_inv.drawing.layout import Layout, Point
from marl_inv.drawing.scene import Scene, Way
from marl_inv.drawing.style import CLOSED, LABEL, LANE, REPLENISHMENT, short

LABELLED_LANES = 64
"""A network with more lanes has no numbers on its arrows."""


# Lanes between cards


@dataclass(frozen=True)
class Curve:
    """Where a lane runs: from a point to a point, bent as matplotlib's arc3 is."""

    start: Point
    end: Point
    bend: float

    def at(self, t: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T 2"]:
        (x0, y0), (x1, y1) = self.start, self.end
        control = ((x0 + x1) / 2 + self.bend * (y1 - y0), (y0 + y1) / 2 - self.bend * (x1 - x0))
        return np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1) @ np.array(
            [self.start, control, self.end]
        )

    def across(self, t: float, length: float) -> Float[np.ndarray, "2 2"]:
        """A short line across it."""
        before, after = self.at(np.array([t - 0.01, t + 0.01]))
        along = (after - before) / np.hypot(*(after - before))
        side = np.array([-along[1], along[0]]) * length / 2
        return (before + after) / 2 + np.array([side, -side])


def draw_lanes(axes: Axes, layout: Layout, scene: Scene) -> None:
    labelled = len(scene.ways) - sum(way.reactive for way in scene.ways) <= LABELLED_LANES
    for way, path in zip(scene.ways, _paths(layout, scene.ways), strict=True):
        stub = layout.stubs and way.colour == REPLENISHMENT
        if (way.reactive or stub) and not way.shipped and way.open == 1:
            continue
        _draw_lane(axes, way, path, scene.typical, stub)
        if labelled and (way.shipped > 0 or way.owed > 0):
            _label(
                axes, way, path, stub, 0.6 if layout.columns and len(scene.ways) > len(scene.gauges) else 0.42
            )


def _paths(layout: Layout, ways: list[Way]) -> Iterator[Curve]:
    """Side by side where several lanes, either way, join the same places."""
    pairs = {(way.origin, way.destination) for way in ways}
    twins: dict[tuple[str, str], int] = {}
    stubs: dict[str, int] = {}
    for way in ways:
        if layout.stubs and way.colour == REPLENISHMENT:
            turn = stubs[way.destination] = stubs.get(way.destination, -1) + 1
            x, y, _, height = layout.box(way.destination)
            length = min(0.42, 0.9 * height)
            tip = (x + 0.22 * (1 + 1.6 * turn) * min(layout.size[way.destination][0], 1), y + height)
            yield Curve((tip[0] - 0.45 * length, tip[1] + 0.8 * length), tip, 0.0)
            continue
        twin = twins[way.origin, way.destination] = twins.get((way.origin, way.destination), -1) + 1
        back = (way.destination, way.origin) in pairs
        if layout.columns:
            start, end = _sides(layout, way.origin, way.destination)
            least = 0.18 * back + 0.16 * twin
        else:
            start, end = _across(layout, way.origin, way.destination, 0.1 * back + 0.2 * twin)
            least = 0.0
        yield Curve(start, end, _free_bend(layout, start, end, least, {way.origin, way.destination}))


def _sides(layout: Layout, origin: str, destination: str) -> tuple[Point, Point]:
    """Where an arrow leaves and arrives: facing sides of two cards; top and bottom of one above the other,
    upwards on the right."""
    (x0, y0), (x1, y1) = layout.centre[origin], layout.centre[destination]
    (width, height), (_, other) = layout.size[origin], layout.size[destination]
    if abs(x1 - x0) > width:
        side = math.copysign(width / 2, x1 - x0)
        return (x0 + side, y0), (x1 - side, y1)
    up, aside = math.copysign(1, y1 - y0), math.copysign(0.15 * width, y1 - y0)
    return (x0 + aside, y0 + up * height / 2), (x1 + aside, y1 - up * other / 2)


def _across(layout: Layout, origin: str, destination: str, aside: float) -> tuple[Point, Point]:
    """The part between two places of the line from one centre to the other, moved aside."""
    ends = np.array([layout.centre[origin], layout.centre[destination]])
    along = (ends[1] - ends[0]) / max(np.hypot(*(ends[1] - ends[0])), 1e-9)
    ends = ends + aside * np.array([-along[1], along[0]])
    cut = []
    for centre, point, way, place in zip(
        (layout.centre[origin], layout.centre[destination]),
        ends,
        (along, -along),
        (origin, destination),
        strict=True,
    ):
        half = np.array(layout.size[place]) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = (half - np.sign(way) * (point - centre)) / np.abs(way)
        cut.append(tuple((point + way * np.nanmin(np.where(np.abs(way) > 1e-9, reach, np.inf))).tolist()))
    return cut[0], cut[1]


def _free_bend(layout: Layout, start: Point, end: Point, least: float, own: set[str]) -> float:
    """The least bend, of some to either side, with which a lane passes behind no other place; `least` if
    there is none."""
    others = np.array([layout.box(place) for place in layout.centre if place not in own]).reshape(-1, 4)
    for bend in (least, *(least + side * more for more in (0.12, 0.24, 0.36, 0.48) for side in (1, -1))):
        x, y = Curve(start, end, bend).at(np.linspace(0.02, 0.98, 40)).T[..., None]
        left, bottom, width, height = others.T
        if not (
            (x > left - 0.05) & (x < left + width + 0.05) & (y > bottom - 0.05) & (y < bottom + height + 0.05)
        ).any():
            return bend
    return least


def _draw_lane(axes: Axes, way: Way, path: Curve, typical: float, stub: bool) -> None:
    sent, asked = (_width(units, typical) * (0.7 if stub else 1) for units in (way.shipped, way.asked))

    def line(width: float, arrowstyle: str = "-", **look: Any) -> None:
        curve = {
            "connectionstyle": f"arc3,rad={path.bend}",
            "shrinkA": 0,
            "shrinkB": 0,
            "capstyle": "butt",
            "joinstyle": "miter",
        }
        axes.add_patch(
            FancyArrowPatch(
                path.start,
                path.end,
                arrowstyle=arrowstyle,
                linewidth=width,
                mutation_scale=1,
                **curve,
                **look,
            )
        )

    if asked > 0:
        line(asked, color=way.colour, alpha=0.14, zorder=1)
    if sent == 0:
        line(
            1.0 if way.open < 1 else 0.8,
            color=CLOSED if way.open < 1 else LANE,
            linestyle=(0, (5, 3)) if way.open < 1 else "-",
            zorder=1,
        )
    else:
        head = f"-|>,head_length={3 + 0.7 * sent:.2f},head_width={1.5 + 0.42 * sent:.2f}"
        line(
            max(sent, 0.6),
            head,
            color=way.colour,
            alpha=0.85,
            zorder=2,
            linestyle=(0, (2, 1)) if way.reactive else "-",
        )
    if way.open == 0:
        axes.plot(
            *path.at(np.array([0.5])).T,
            marker="X",
            markersize=8,
            color=CLOSED,
            markeredgecolor="white",
            zorder=5,
        )
    elif way.full:
        axes.plot(
            *path.across(0.72, 0.16 + sent / 72).T,
            color="black",
            linewidth=2,
            solid_capstyle="butt",
            zorder=4,
        )


def _width(units: float, typical: float) -> float:
    """Of an arrow, in points."""
    return float(np.clip(6 * math.sqrt(units / typical), 0, 9))


def _label(axes: Axes, way: Way, path: Curve, stub: bool, along: float) -> None:
    text = short(way.shipped) + (f" +{short(way.owed)} owed" if way.owed > 0 else "")
    x, y = path.start if stub else path.at(np.array([0.5 if path.bend else along]))[0]
    upright = "bottom" if stub else "center"
    axes.text(x, y, text, fontsize=8, color=way.colour, zorder=5, bbox=LABEL, ha="center", va=upright)


# Lanes of large networks


def draw_many_lanes(axes: Axes, layout: Layout, scene: Scene) -> None:
    """Thin lines, and an arrow where something moved; all of a kind at once, for there may be thousands."""
    lines, groups = [], {}
    pairs = {(way.origin, way.destination) for way in scene.ways}
    seen: set[frozenset[str]] = set()
    for way in scene.ways:
        if layout.stubs and way.colour == REPLENISHMENT:
            x, y, width, height = layout.box(way.destination)
            corner = np.array([x + 0.15 * width, y + 0.92 * height])
            start, end = corner - np.array([0.12, -0.14]), corner
        else:
            aside = 0.04 * ((way.destination, way.origin) in pairs)
            start, end = map(np.array, _across(layout, way.origin, way.destination, aside))
            ends = frozenset((way.origin, way.destination))
            if not way.reactive and ends not in seen:
                lines.append((start, end))
                seen.add(ends)
        if way.shipped > 0:
            groups.setdefault(way.colour, []).append(
                (start, end, 0.6 * _width(way.shipped, scene.typical) / 72)
            )
    axes.add_collection(LineCollection(lines, colors=LANE, linewidths=0.6, zorder=1))
    for colour, arrows in groups.items():
        shapes = [
            draw_arrow(np.array(start), np.array(end), max(width, 0.012)) for start, end, width in arrows
        ]
        axes.add_collection(PolyCollection(shapes, facecolors=colour, edgecolors="none", alpha=0.7, zorder=2))


def draw_arrow(start: np.ndarray, end: np.ndarray, width: float) -> Float[np.ndarray, "7 2"]:
    """The outline of a straight arrow."""
    length = max(float(np.hypot(*(end - start))), 1e-9)
    along = (end - start) / length
    side = np.array([-along[1], along[0]]) * width / 2
    head = min(0.06 + 2 * width, 0.6 * length)
    neck, wing = end - along * head, side * (1 + 0.045 / width)
    return np.array([start + side, neck + side, neck + wing, end, neck - wing, neck - side, start - side])
