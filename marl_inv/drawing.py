"""Pictures of a network, and films of an episode; `pictures` draws what was measured, and nobody else opens the door to matplotlib.

A warehouse is a gauge: the blue fill is stock on hand, the hatched part is on order, the red strip the share of demand not met (above 2%
the frame is red too). A full gauge is the warehouse's storage, or twice what passes through it in the lead time and review period of its
source lane. In large networks it is a dot, the bluer the fuller, and red where demand was not met. Arrows are shipments, as wide as
the square root of their units; the pale band around one is what was asked for; reactive ones, after demand, are dashed. A black bar
marks what is at its capacity, a grey cross what an outage closes. Units are summed over products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Patch, Rectangle
from torch import Tensor

from marl_inv.common.errors import InputError
from marl_inv.common.progress import Progress, silently
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.rollout import Moment, play
from marl_inv.evaluation.metrics import Totals
from marl_inv.layout import FOOT, MARGIN, Layout, Point, lay_out
from marl_inv.network import TransferNetwork, unlimited
from marl_inv.simulator import Flows, State, on_order
from marl_inv.style import CLOSED, FILL, INK, LABEL, LANE, ON_HAND, ON_ORDER, PALE, REACTIVE, REPLENISHMENT, TRANSFER, UNMET

LABELLED_LANES = 64
"""A network with more lanes has no numbers on its arrows."""
ALARMING = 0.02
"""Share of demand that is not met above which a warehouse's frame is red."""
PICTURES = [".gif", ".png", ".svg", ".pdf"]
WIDEST_FILM, FILM_COLOURS = 1000.0, 128
"""Pixels, and colours: a film of a hundred periods is to be a few megabytes."""
PLACE_UNITS = ("on_hand", "on_order", "backorders", "unmet", "demand", "promotion")
LANE_UNITS = ("shipments", "asked", "owed", "transshipped")
FULL = 0.999
"""Share of a capacity that counts as all of it."""


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

    `available` is `Chance.available` of that period, which tells what was closed. Where many pictures are made, `layout` saves its time.
    """
    return draw_scene(layout or lay_out(network), Scene.of(network, state, flows, available, replication), title)


def draw_scene(layout: Layout, scene: Scene, title: str = "") -> Figure:
    figure = Figure(figsize=(layout.width, layout.height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, layout.width), ylim=(0, layout.height))
    axes.set_axis_off()
    axes.text(MARGIN, layout.height - MARGIN, title, fontsize=13, color=INK, va="center", weight="bold")
    axes.text(layout.width - MARGIN, layout.height - MARGIN, scene.summary, fontsize=9.5, color=INK, va="center", ha="right")
    {"card": _draw_lanes}.get(layout.style, _draw_many_lanes)(axes, layout, scene)
    _draw_suppliers(axes, layout, scene)
    {"card": _draw_cards, "chip": _draw_chips, "dot": _draw_dots}[layout.style](axes, layout, scene)
    _draw_pools(axes, layout, scene)
    axes.legend(
        handles=_legend(scene, layout.style), loc="lower center", ncols=9, frameon=False, fontsize=8.5, handlelength=1.6, columnspacing=1.2
    )
    return figure


def figure_to_rgb(figure: Figure) -> UInt8[np.ndarray, "H W 3"]:
    """The figure's pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def render(
    problem: Problem, policy: Policy, path: str | Path, seed: int = 0, period: int | None = None, progress: Progress = silently
) -> Path:
    """Play an evaluation episode and write a film of it (.gif), or a picture (.png, .svg, .pdf) of where it stands after `period` periods;
    all of them by default. Raises InputError."""
    path, trace = Path(path), problem.trace("evaluate", seed, 1)
    period = len(trace) if period is None else period
    if not 1 <= period <= len(trace):
        raise InputError(f"period is {period}; give 1 to {len(trace)}, the length of an episode")
    if path.suffix not in PICTURES:
        raise InputError(f"{path}: ends in {path.suffix or 'nothing'}; give {', '.join(PICTURES[:-1])} or {PICTURES[-1]}")
    layout = lay_out(problem.network)
    moments = progress(islice(play(problem, policy, trace), period), "drawing")
    if path.suffix == ".gif":
        return animate((figure_to_rgb(_draw_moment(problem, moment, layout, WIDEST_FILM)) for moment in moments), path)
    *_, last = moments
    path.parent.mkdir(parents=True, exist_ok=True)
    _draw_moment(problem, last, layout).savefig(path)
    return path


def _draw_moment(problem: Problem, moment: Moment, layout: Layout, widest: float = math.inf) -> Figure:
    """What a period has led to; at most `widest` pixels wide."""
    known = moment.view.known
    title = f"{problem.scenario.name}, after {known.period + 1} of {len(moment.trace)} periods"
    figure = draw_network(problem.network, moment.state, moment.flows, title, known.available, layout=layout)
    figure.set_dpi(min(figure.get_dpi(), widest / layout.width))
    return figure


def animate(frames: Iterable[UInt8[np.ndarray, "H W 3"]], path: str | Path, frames_per_second: float = 4) -> Path:
    """Write pictures of one size, such as an environment renders with `rgb_array`, as a GIF that plays over and over. Raises InputError."""
    from PIL import Image  # comes with matplotlib

    path = Path(path)
    pictures = [Image.fromarray(frame).quantize(FILM_COLOURS, method=Image.Quantize.MAXCOVERAGE) for frame in frames]
    if not pictures:
        raise InputError(f"{path}: would hold no pictures; give at least one")
    timing = {"duration": round(1000 / frames_per_second), "loop": 0}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures[0].save(path, "GIF", save_all=True, append_images=pictures[1:], **timing)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give another place") from error
    return path


def open_window(title: str = "") -> Window | None:
    """A window on the screen; None where there is no screen, or matplotlib is told to use none (MPLBACKEND=agg)."""
    import matplotlib.pyplot as plt  # chooses what to draw with: only a window needs it

    try:
        figure = plt.figure(title or None)
    except ImportError:  # matplotlib is set to a kind of window that this machine cannot open
        return None
    if figure.canvas.required_interactive_framework is None:
        plt.close(figure)
        return None
    return Window(figure, plt.pause, partial(plt.close, figure))


@dataclass
class Window:
    """Shows one picture after another."""

    figure: Figure
    pause: Callable[[float], None]
    """Waits, and lets the window be drawn."""
    close: Callable[[], None]

    def show(self, pixels: UInt8[np.ndarray, "H W 3"], seconds: float = 0.05) -> None:
        if not self.figure.axes:
            self.figure.set_size_inches(pixels.shape[1] / self.figure.dpi, pixels.shape[0] / self.figure.dpi)
            self.figure.add_axes((0, 0, 1, 1)).set_axis_off()
            self.figure.axes[0].imshow(pixels)
        self.figure.axes[0].images[0].set_data(pixels)
        self.pause(seconds)


# What is drawn


@dataclass(frozen=True)
class Capacity:
    """A supplier's or a pool's."""

    name: str
    used: float
    most: float
    """Now; infinite where it has no limit."""
    open: float
    """Share of it that is there."""

    @property
    def full(self) -> bool:
        return bool(0 < FULL * self.most <= self.used)


@dataclass(frozen=True)
class Way:
    """A lane, with or without requests, and what it carried."""

    name: str
    origin: str
    destination: str
    colour: str
    shipped: float
    asked: float
    owed: float
    open: float
    limited: bool
    full: bool
    reactive: bool = False


@dataclass(frozen=True)
class Gauge:
    """A warehouse; units."""

    name: str
    full: float
    """What fills the gauge."""
    stored: bool
    """Whether that is its storage."""
    on_hand: float
    on_order: float
    backorders: float
    unmet: float
    demand: float
    promotion: float
    size: float
    """Typical units per period."""

    @property
    def short(self) -> float:
        """Demand not met in the last period, or what customers still wait for if that is more."""
        return max(self.unmet, self.backorders)

    @property
    def short_share(self) -> float:
        return self.short / max(self.demand, self.short, 1e-9)

    @property
    def alarming(self) -> bool:
        return self.short_share > ALARMING

    @property
    def level(self) -> float:
        return min(self.on_hand / self.full, 1.0)

    @property
    def coming(self) -> float:
        """How much fuller it is with what is on order."""
        return min((self.on_hand + self.on_order) / self.full, 1.0) - self.level


@dataclass(frozen=True)
class Scene:
    """One replication's moment in plain numbers: units over all products, volume where there are capacities."""

    gauges: list[Gauge]
    ways: list[Way]
    suppliers: list[Capacity]
    pools: list[Capacity]
    typical: float
    """Units per period of the largest warehouse: what arrows are scaled by."""

    @classmethod
    def of(
        cls, network: TransferNetwork, state: State, flows: Flows | None, available: Float[Tensor, "M B"] | None, replication: int
    ) -> Scene:
        def units(tensor: Tensor | None, entries: int) -> np.ndarray:
            return np.zeros(entries) if tensor is None else tensor[..., replication].detach().double().sum(0).cpu().numpy()

        lanes, places = len(network.lanes), len(network.warehouses)
        reactive = 0 if network.reactive is None else len(network.reactive.names)
        flown = {} if flows is None else {name: getattr(flows, name) for name in ("unmet", "demand", "promotion")}
        moved = {} if flows is None else {name: getattr(flows, name) for name in ("shipments", "asked", "owed", "transshipped")}
        held = {"on_hand": state.on_hand, "on_order": on_order(network, state), "backorders": state.backorders}
        return cls._of_units(
            network,
            {name: units(flown.get(name, held.get(name)), places) for name in PLACE_UNITS},
            {name: units(moved.get(name), reactive if name == "transshipped" else lanes) for name in LANE_UNITS},
            _limits(network, flows, available, replication),
        )

    @classmethod
    def average(cls, network: TransferNetwork, places: dict[str, np.ndarray], lanes: dict[str, np.ndarray], volume: np.ndarray) -> Scene:
        """Of means over periods: units of PLACE_UNITS by warehouse and of LANE_UNITS by lane, 0 where they are left out, and the volume that
        every lane and then every reactive lane carried. What is on order is what is shipped times its lead time (Little 1961)."""
        count, reactive = len(network.lanes), 0 if network.reactive is None else len(network.reactive.names)
        coming = np.zeros(len(network.warehouses))
        shipped = lanes.get("shipments", np.zeros(count))
        np.add.at(coming, network.destination.cpu().numpy(), shipped * network.lead_time.cpu().numpy())
        places = {"on_order": coming} | places
        return cls._of_units(
            network,
            {name: places.get(name, np.zeros(len(coming))) for name in PLACE_UNITS},
            {name: lanes.get(name, np.zeros(reactive if name == "transshipped" else count)) for name in LANE_UNITS},
            average_capacities(network, volume),
        )

    @classmethod
    def _of_units(
        cls, network: TransferNetwork, places: dict[str, np.ndarray], lanes: dict[str, np.ndarray], limits: dict[str, Capacity]
    ) -> Scene:
        reactive = () if network.reactive is None else network.reactive.names
        asked, owed = ([*lanes[key].tolist(), *[0.0] * len(reactive)] for key in ("asked", "owed"))
        shipped = [*lanes["shipments"].tolist(), *lanes["transshipped"].tolist()]
        origins = network.lane_origin + [network.warehouses[n] for n in ([] if not reactive else network.reactive.origin.tolist())]
        ways = []
        for index, (name, origin, end) in enumerate(
            zip((*network.lanes, *reactive), origins, network.way_destination.tolist(), strict=True)
        ):
            own = limits.get(name)
            over = [limits[limit] for limit in (name, origin) if limit in limits]
            between = TRANSFER if index < len(network.lanes) else REACTIVE
            ways.append(
                Way(
                    name,
                    origin,
                    network.warehouses[end],
                    REPLENISHMENT if index < network.replenishments else between,
                    shipped[index],
                    asked[index],
                    owed[index],
                    min((limit.open for limit in over), default=1.0),
                    own is not None,
                    own is not None and own.full,
                    index >= len(network.lanes),
                )
            )
        sent = dict.fromkeys(network.suppliers, 0.0)
        for way in ways[: network.replenishments]:
            sent[way.origin] += way.shipped
        suppliers = [limits.get(name, Capacity(name, sent[name], math.inf, 1.0)) for name in network.suppliers]
        known = {*network.lanes, *reactive, *network.suppliers}
        full, stored = _full(network)
        size = network.size.double().sum(0).cpu().numpy()
        columns = [full, stored, *(places[name] for name in PLACE_UNITS), size]
        gauges = [Gauge(name, *row) for name, *row in zip(network.warehouses, *(column.tolist() for column in columns), strict=True)]
        return cls(gauges, ways, suppliers, [limit for name, limit in limits.items() if name not in known], float(size.max()))

    @property
    def summary(self) -> str:
        demand, unmet = sum(gauge.demand for gauge in self.gauges), sum(gauge.unmet for gauge in self.gauges)
        return f"demand {_short(demand)}, {1 - unmet / demand:.0%} met at once" if demand > 0 else ""


def _limits(network: TransferNetwork, flows: Flows | None, available: Tensor | None, replication: int) -> dict[str, Capacity]:
    """Every capacity by name, with the volume that uses it."""
    limits: dict[str, Capacity] = {}
    share = None if available is None else available[:, replication : replication + 1]
    for limit in network.limits:
        now = limit.now(share).expand(-1, 1)[:, 0].double()
        used = torch.zeros_like(now)
        if flows is not None:
            moved = [(limit.group, flows.shipments), (limit.reactive_group, flows.transshipped)]
            for group, units in ((group, units) for group, units in moved if units is not None):
                used = used.index_add(0, group, (units[..., replication] * network.volume[..., 0]).sum(0).double())
        opened = torch.ones_like(now) if limit.outage is None or share is None else share[limit.outage, 0].double()
        for name, volume, most, part in zip(limit.names, used.tolist(), now.tolist(), opened.tolist(), strict=False):
            limits[name] = Capacity(name, volume, math.inf if unlimited(most) else most, part)
    return limits


def average_scene(record: Totals) -> Scene:
    """The average period of a record."""
    places = {name: record.per_period(name).sum(0).mean(-1).cpu().numpy() for name in ("on_hand", "backorders", "unmet", "demand")}
    names = {"requested": "asked", "shipped": "shipments", "owed": "owed", "transshipped": "transshipped"}
    lanes = {key: record.per_lane(name).sum(0).mean(-1).cpu().numpy() for name, key in names.items() if name in record.lane_sums}
    moved = [record.per_lane(name) * record.network.volume for name in ("shipped", "transshipped") if name in record.lane_sums]
    return Scene.average(record.network, places, lanes, torch.cat(moved, 1).sum(0).mean(-1).cpu().numpy())


def average_capacities(network: TransferNetwork, volume: np.ndarray) -> dict[str, Capacity]:
    """Every capacity by name, as if there were no outages, with what uses it of the volume that lanes and then reactive lanes carry."""
    limits: dict[str, Capacity] = {}
    for limit in network.limits:
        group = torch.cat([limit.group, limit.reactive_group]).cpu()
        used = torch.zeros(len(limit.capacity), dtype=torch.float64).index_add(0, group, torch.from_numpy(volume[: len(group)]).double())
        for name, amount, most in zip(limit.names, used.tolist(), limit.capacity[:, 0].tolist(), strict=False):
            limits[name] = Capacity(name, amount, math.inf if unlimited(most) else most, 1.0)
    return limits


def _full(network: TransferNetwork) -> tuple[np.ndarray, np.ndarray]:
    """Units in a full gauge, and whether that is the storage."""
    source = network.source_lane.cpu().numpy()
    lead_time = np.where(source >= 0, network.lead_time.cpu().numpy()[source] if len(network.lanes) else 0, 0)
    full = 2 * (lead_time + 1) * network.size.double().sum(0).cpu().numpy()
    full = np.maximum(full, network.initial_stock.double().sum((0, 2)).cpu().numpy())
    if network.storage is None:
        return full, np.zeros(len(full), dtype=bool)
    storage = network.storage.double().cpu().numpy().ravel()
    limited = ~unlimited(storage)
    return np.where(limited, storage / float(network.volume.mean()), full), limited


def _short(units: float) -> str:
    """A quantity in few characters: 0.4, 320, 12k, 7.7M."""
    if units >= 1e4:
        return f"{units / 1e6:,.1f}M" if units >= 1e6 else f"{units / 1e3:,.0f}k"
    return f"{units:,.0f}" if units >= 10 or round(units, 1) == round(units) else f"{units:.1f}"


def _shortened(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


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
        return np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1) @ np.array([self.start, control, self.end])

    def across(self, t: float, length: float) -> Float[np.ndarray, "2 2"]:
        """A short line across it."""
        before, after = self.at(np.array([t - 0.01, t + 0.01]))
        along = (after - before) / np.hypot(*(after - before))
        side = np.array([-along[1], along[0]]) * length / 2
        return (before + after) / 2 + np.array([side, -side])


def _draw_lanes(axes: Axes, layout: Layout, scene: Scene) -> None:
    labelled = len(scene.ways) - sum(way.reactive for way in scene.ways) <= LABELLED_LANES
    for way, path in zip(scene.ways, _paths(layout, scene.ways), strict=True):
        stub = layout.stubs and way.colour == REPLENISHMENT
        if (way.reactive or stub) and not way.shipped and way.open == 1:
            continue
        _draw_lane(axes, way, path, scene.typical, stub)
        if labelled and (way.shipped > 0 or way.owed > 0):
            _label(axes, way, path, stub, 0.6 if layout.columns and len(scene.ways) > len(scene.gauges) else 0.42)


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
    """Where an arrow leaves and arrives: facing sides of two cards; top and bottom of one above the other, upwards on the right."""
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
        (layout.centre[origin], layout.centre[destination]), ends, (along, -along), (origin, destination), strict=True
    ):
        half = np.array(layout.size[place]) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = (half - np.sign(way) * (point - centre)) / np.abs(way)
        cut.append(tuple((point + way * np.nanmin(np.where(np.abs(way) > 1e-9, reach, np.inf))).tolist()))
    return cut[0], cut[1]


def _free_bend(layout: Layout, start: Point, end: Point, least: float, own: set[str]) -> float:
    """The least bend, of some to either side, with which a lane passes behind no other place; `least` if there is none."""
    others = np.array([layout.box(place) for place in layout.centre if place not in own]).reshape(-1, 4)
    for bend in (least, *(least + side * more for more in (0.12, 0.24, 0.36, 0.48) for side in (1, -1))):
        x, y = Curve(start, end, bend).at(np.linspace(0.02, 0.98, 40)).T[..., None]
        left, bottom, width, height = others.T
        if not ((x > left - 0.05) & (x < left + width + 0.05) & (y > bottom - 0.05) & (y < bottom + height + 0.05)).any():
            return bend
    return least


def _draw_lane(axes: Axes, way: Way, path: Curve, typical: float, stub: bool) -> None:
    sent, asked = (_width(units, typical) * (0.7 if stub else 1) for units in (way.shipped, way.asked))

    def line(width: float, arrowstyle: str = "-", **look: Any) -> None:
        curve = {"connectionstyle": f"arc3,rad={path.bend}", "shrinkA": 0, "shrinkB": 0, "capstyle": "butt", "joinstyle": "miter"}
        axes.add_patch(FancyArrowPatch(path.start, path.end, arrowstyle=arrowstyle, linewidth=width, mutation_scale=1, **curve, **look))

    if asked > 0:
        line(asked, color=way.colour, alpha=0.14, zorder=1)
    if sent == 0:
        line(1.0 if way.open < 1 else 0.8, color=CLOSED if way.open < 1 else LANE, linestyle=(0, (5, 3)) if way.open < 1 else "-", zorder=1)
    else:
        head = f"-|>,head_length={3 + 0.7 * sent:.2f},head_width={1.5 + 0.42 * sent:.2f}"
        line(max(sent, 0.6), head, color=way.colour, alpha=0.85, zorder=2, linestyle=(0, (2, 1)) if way.reactive else "-")
    if way.open == 0:
        axes.plot(*path.at(np.array([0.5])).T, marker="X", markersize=8, color=CLOSED, markeredgecolor="white", zorder=5)
    elif way.full:
        axes.plot(*path.across(0.72, 0.16 + sent / 72).T, color="black", linewidth=2, solid_capstyle="butt", zorder=4)


def _width(units: float, typical: float) -> float:
    """Of an arrow, in points."""
    return float(np.clip(6 * math.sqrt(units / typical), 0, 9))


def _label(axes: Axes, way: Way, path: Curve, stub: bool, along: float) -> None:
    text = _short(way.shipped) + (f" +{_short(way.owed)} owed" if way.owed > 0 else "")
    x, y = path.start if stub else path.at(np.array([0.5 if path.bend else along]))[0]
    place = {"ha": "center", "va": "bottom"} if stub else {"ha": "center", "va": "center"}
    axes.text(x, y, text, fontsize=8, color=way.colour, zorder=5, bbox=LABEL, **place)


# Lanes of large networks


def _draw_many_lanes(axes: Axes, layout: Layout, scene: Scene) -> None:
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
            groups.setdefault(way.colour, []).append((start, end, 0.6 * _width(way.shipped, scene.typical) / 72))
    axes.add_collection(LineCollection(lines, colors=LANE, linewidths=0.6, zorder=1))
    for colour, arrows in groups.items():
        shapes = [_arrow(np.array(start), np.array(end), max(width, 0.012)) for start, end, width in arrows]
        axes.add_collection(PolyCollection(shapes, facecolors=colour, edgecolors="none", alpha=0.7, zorder=2))


def _arrow(start: np.ndarray, end: np.ndarray, width: float) -> Float[np.ndarray, "7 2"]:
    """The outline of a straight arrow."""
    length = max(float(np.hypot(*(end - start))), 1e-9)
    along = (end - start) / length
    side = np.array([-along[1], along[0]]) * width / 2
    head = min(0.06 + 2 * width, 0.6 * length)
    neck, wing = end - along * head, side * (1 + 0.045 / width)
    return np.array([start + side, neck + side, neck + wing, end, neck - wing, neck - side, start - side])


# Places


def _draw_suppliers(axes: Axes, layout: Layout, scene: Scene) -> None:
    for supplier in scene.suppliers:
        x, y, width, height = layout.box(supplier.name)
        card = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.16", linewidth=0, zorder=3)
        card.set_facecolor(INK if supplier.open == 1 else CLOSED)
        axes.add_patch(card)
        if math.isfinite(supplier.most) and supplier.most > 0:
            used = Rectangle(
                (x, y), width * min(supplier.used / supplier.most, 1), 0.14 * height, facecolor=REPLENISHMENT, linewidth=0, zorder=4
            )
            axes.add_patch(used)
            used.set_clip_path(card)
        amount = _short(supplier.used) if supplier.used else ""
        if math.isfinite(supplier.most):
            amount = "closed" if supplier.open == 0 else f"{_short(supplier.used)} of {_short(supplier.most)}"
        text = {"fontsize": 9, "color": "white", "va": "center", "zorder": 5}
        axes.text(x + 0.12, y + 0.54 * height, _shortened(supplier.name, 21 - len(amount)), **text)
        axes.text(x + width - 0.12, y + 0.54 * height, amount, ha="right", weight="bold" if supplier.full else "normal", **text)
        if layout.stubs and supplier.used:
            tip = (x + width + 0.3, y + height / 2)
            arrow = _arrow(np.array([x + width, tip[1]]), np.array(tip), 0.06)
            axes.add_collection(PolyCollection([arrow], facecolors=REPLENISHMENT, alpha=0.85, zorder=2))
        if supplier.full:
            axes.plot([x + width] * 2, [y + 0.08 * height, y + 0.92 * height], color="black", linewidth=3, zorder=5, solid_capstyle="butt")


def _draw_cards(axes: Axes, layout: Layout, scene: Scene) -> None:
    for gauge in scene.gauges:
        x, y, width, height = layout.box(gauge.name)
        card = _frame(axes, layout, gauge)
        filled, coming = width * gauge.level, width * gauge.coming
        for bar in (
            Rectangle((x + filled, y), coming, height, facecolor="none", edgecolor=ON_ORDER, hatch="////", linewidth=0, zorder=3),
            Rectangle((x, y), filled, height, facecolor=ON_HAND, linewidth=0, zorder=3),
            Rectangle((x, y), width * gauge.short_share, 0.16 * height, facecolor=UNMET, linewidth=0, zorder=4),
        ):
            axes.add_patch(bar)
            bar.set_clip_path(card)
        if gauge.stored and gauge.level >= FULL:
            axes.plot([x + width] * 2, [y + 0.08 * height, y + 0.92 * height], color="black", linewidth=3, zorder=5, solid_capstyle="butt")
        text = {"va": "center", "zorder": 5, "fontsize": 9 if height > 0.4 else 8}
        axes.text(x + 0.08, y + 0.55 * height, _shortened(gauge.name, 17), color=INK, **text)
        stock = axes.text(x + width - 0.08, y + 0.55 * height, _short(gauge.on_hand), color=INK, ha="right", weight="bold", **text)
        if gauge.short > 0:
            beside = {"xycoords": stock, "xytext": (-4, 0), "textcoords": "offset points", "ha": "right"}
            axes.annotate(f"\N{MINUS SIGN}{_short(gauge.short)}", (0, 0.5), color=UNMET, **beside, **text)
        if gauge.promotion > 0:
            axes.text(
                x + width,
                y + height + 0.03,
                f"promotion {_short(gauge.promotion)}",
                fontsize=7,
                color=INK,
                ha="right",
                zorder=6,
                bbox=LABEL,
            )


def _frame(axes: Axes, layout: Layout, gauge: Gauge) -> FancyBboxPatch:
    x, y, width, height = layout.box(gauge.name)
    frame = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.05", zorder=3)
    frame.set(facecolor=PALE, edgecolor=UNMET if gauge.alarming else INK, linewidth=1.6 if gauge.alarming else 0.8)
    axes.add_patch(frame)
    return frame


def _draw_chips(axes: Axes, layout: Layout, scene: Scene) -> None:
    """Upright gauges, with the numbers of their names."""
    for gauge in scene.gauges:
        x, y, width, height = layout.box(gauge.name)
        frame = _frame(axes, layout, gauge)
        filled, coming = height * gauge.level, height * gauge.coming
        for bar in (
            Rectangle((x, y + filled), width, coming, facecolor="none", edgecolor=ON_ORDER, hatch="//////", linewidth=0, zorder=3),
            Rectangle((x, y), width, filled, facecolor=ON_HAND, linewidth=0, zorder=3),
            Rectangle((x, y), width * 0.22, height * gauge.short_share, facecolor=UNMET, linewidth=0, zorder=4),
        ):
            axes.add_patch(bar)
            bar.set_clip_path(frame)
        if gauge.stored and gauge.level >= FULL:
            axes.plot([x, x + width], [y + height] * 2, color="black", linewidth=3, zorder=5, solid_capstyle="butt")
        numbers = " ".join(part for part in gauge.name.split("_") if part.isdigit())
        text = {"fontsize": 7.5 if numbers else 6, "color": INK, "ha": "center", "va": "center", "zorder": 5}
        axes.text(x + 0.55 * width, y + height / 2, numbers or _shortened(gauge.name, 8), **text)


def _draw_dots(axes: Axes, layout: Layout, scene: Scene) -> None:
    """As large as what passes through, at most twice as wide as others, and in red, the redder the more is short, where demand was not met."""
    for gauge in scene.gauges:
        radius = layout.size[gauge.name][0] / 2 * (0.75 + 0.5 * math.sqrt(gauge.size / scene.typical))
        dot = Circle(layout.centre[gauge.name], radius, facecolor=FILL(gauge.level), edgecolor=INK, linewidth=0.5, zorder=3)
        axes.add_patch(dot)
        if gauge.alarming:
            dot.set(edgecolor=UNMET, linewidth=1 + 1.5 * gauge.short_share)
            if gauge.short_share > 0.5:
                dot.set_facecolor(UNMET)


def _draw_pools(axes: Axes, layout: Layout, scene: Scene) -> None:
    """Capacities that lanes share, as bars above the legend, as many as there is room for."""
    pitch, length = 2.4, 1.0
    pools = scene.pools[: int(layout.width / pitch)]
    left = layout.width / 2 - pitch * len(pools) / 2
    for index, pool in enumerate(pools):
        x, y = left + index * pitch, FOOT - 0.3
        axes.text(x + 0.55, y + 0.06, _shortened(pool.name, 10), fontsize=8.5, color=INK, ha="right", va="center")
        x += 0.65
        axes.add_patch(Rectangle((x, y), length, 0.12, facecolor=PALE, edgecolor=INK, linewidth=0.6))
        axes.add_patch(Rectangle((x, y), length * min(pool.used / pool.most, 1) if pool.most else 0, 0.12, facecolor=TRANSFER, linewidth=0))
        if pool.full:
            axes.plot([x + length] * 2, [y - 0.03, y + 0.15], color="black", linewidth=2.5, solid_capstyle="butt")
        amount = "closed" if pool.open == 0 else f"{_short(pool.used)} of {_short(pool.most)}"
        axes.text(x + length + 0.08, y + 0.06, amount, fontsize=8.5, color=INK, va="center", weight="bold" if pool.full else "normal")


def _legend(scene: Scene, style: str) -> list[Patch | Line2D]:
    """Of what the network has; the same for all its pictures."""

    def dot(face: Any, edge: str, label: str) -> Line2D:
        return Line2D([], [], marker="o", markersize=8, markerfacecolor=face, markeredgecolor=edge, linestyle="", label=label)

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
    moves = [
        Line2D([], [], color=colour, linewidth=4 if colour != REACTIVE else 3, linestyle=line, label=label)
        for colour, line, label in (
            (REPLENISHMENT, "-", "replenishment"),
            (TRANSFER, "-", "transfer"),
            (REACTIVE, (0, (1.2, 0.6)), "after demand"),
        )
        if colour in kinds
    ]
    bar = Line2D([], [], color="black", marker="|", markersize=9, markeredgewidth=2, linestyle="", label="at capacity")
    return stock + moves + [bar] * (limited and style != "dot")
