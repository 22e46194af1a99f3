"""Where every place of a network stands in a picture. All coordinates are inches.

Few places are cards, with names and numbers; more are chips, small gauges; most are dots. Tiers of warehouses
stand in columns, from suppliers on the left to shops on the right; a tier whose members help each other in a
circle stands in one, around what feeds it; other networks of neighbours are maps: grids as grids, the rest as
far apart as they are in lanes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import networkx
import numpy as np

from marl_inv.network import TransferNetwork

CARD, SLIM, CHIP, DOT = (1.7, 0.48), (1.7, 0.34), (0.42, 0.5), (0.11, 0.11)
"""Widths and heights; slim cards are those of long columns."""


CARDS, CHIPS = 26, 100
"""The most places that are cards, and chips."""


LONG_COLUMN = 12


COLUMN_GAP, MARGIN, HEAD, FOOT = 1.9, 0.35, 0.75, 0.75


NARROWEST, SHORTEST = 7.8, 2.6


STUBS, STUB = 4, 0.3
"""Replenishment lanes of a map beyond which each is a short arrow at its destination (lines from one supplier
to everywhere hide the map), and the room that it takes above one."""


MAPPED = 400
"""Warehouses beyond which a map without a pattern is drawn in rows: a layout by distances would take long."""


Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    centre: dict[str, Point]
    """Of every place."""
    size: dict[str, tuple[float, float]]
    width: float
    height: float
    style: str
    """What warehouses are: `card`, `chip` or `dot`."""
    columns: bool
    """Whether lanes run from the sides of places to the sides of others, or straight between them."""
    stubs: bool
    """Whether replenishment lanes are short arrows at their destinations."""

    def box(self, place: str) -> tuple[float, float, float, float]:
        """Left, bottom, width, height."""
        (x, y), (width, height) = self.centre[place], self.size[place]
        return x - width / 2, y - height / 2, width, height


def lay_out(network: TransferNetwork) -> Layout:
    """Depends on the network alone, so that every picture of it is alike."""
    tiers = _tiers(network)
    places = len(network.suppliers) + len(network.warehouses)
    style = "card" if places <= CARDS else "chip" if places <= CHIPS else "dot"
    links = _links(network, tiers[-1]) if tiers else networkx.Graph()
    circle = len(links) > 2 and all(
        links.has_edge(one, other)
        for one, other in zip(tiers[-1], [*tiers[-1][1:], tiers[-1][0]], strict=True)
    )
    if len(tiers) == 1 and links.edges and len(links) > 2 and not circle:
        return _finished(network, _map(links, style), style)
    if (circle and (len(tiers) == 1 or len(links) > 4)) or (style != "card" and len(tiers) > 1):
        free = links.number_of_edges() == len(links) if len(tiers) == 1 else len(tiers[0]) > 1
        return _finished(
            network,
            _wheel(tiers, style),
            style,
            inside=free and len(network.suppliers) < (4 if len(links) > 3 else 2),
        )
    if style != "card":
        return _finished(network, _rows(tiers[0], style), style)
    return _columns(network, tiers)


def _tiers(network: TransferNetwork) -> list[list[str]]:
    """Warehouses by how many lanes they are from a supplier, in the network's order; those linked both ways
    are of one tier, and those out of reach of the first."""
    layers = list(networkx.bfs_layers(network.graph, network.suppliers))[1:] if network.suppliers else []
    depth = {place: step for step, layer in enumerate(layers) for place in layer}
    mutual = networkx.Graph(pair for pair in network.graph.edges() if network.graph.has_edge(*reversed(pair)))
    for helping in networkx.connected_components(mutual):
        depth |= dict.fromkeys(helping, min(depth.get(place, 0) for place in helping))
    members: dict[int, list[str]] = {}
    for place in network.warehouses:
        members.setdefault(depth.get(place, 0), []).append(place)
    return [members[step] for step in sorted(members)]


def _links(network: TransferNetwork, tier: list[str]) -> networkx.Graph:
    """Who of a tier is linked with whom, either way."""
    within = set(tier)
    links = networkx.Graph()
    links.add_nodes_from(tier)
    links.add_edges_from(
        (one, other) for one, other in network.graph.edges() if one in within and other in within
    )
    return links


def _size(style: str) -> tuple[float, float]:
    return {"card": CARD, "chip": CHIP, "dot": DOT}[style]


def _columns(network: TransferNetwork, tiers: list[list[str]]) -> Layout:
    columns = [list(network.suppliers), *tiers] if network.suppliers else tiers
    rows = max(map(len, columns))
    size, pitch = (SLIM, 0.43) if rows > LONG_COLUMN else (CARD, 0.85)
    body, gap = (max(rows * pitch, SHORTEST), COLUMN_GAP) if rows > 1 else (0.6 * SHORTEST, 0.6 * COLUMN_GAP)
    middle, left, centre = FOOT + body / 2, MARGIN + size[0] / 2, {}
    for column in columns:
        spread = min(body / len(column), 2.2 * pitch)
        centre |= {
            place: (left, middle + ((len(column) - 1) / 2 - index) * spread)
            for index, place in enumerate(column)
        }
        left += size[0] + gap
    width = left - gap - size[0] / 2 + MARGIN
    aside = max(NARROWEST - width, 0) / 2
    centre = {place: (x + aside, y) for place, (x, y) in centre.items()}
    return Layout(
        centre, dict.fromkeys(centre, size), width + 2 * aside, body + FOOT + HEAD, "card", True, False
    )


def _finished(network: TransferNetwork, places: dict[str, Point], style: str, inside: bool = False) -> Layout:
    """Put suppliers inside what is there, one below the other, or to the left of it; and the whole on a
    page."""
    size = dict.fromkeys(places, _size(style)) | dict.fromkeys(network.suppliers, CARD)
    x, y = np.array(list(places.values())).T
    column = (
        0.0 if inside else x.min() - _size(style)[0] / 2 - (0.9 if style == "card" else 0.6) - CARD[0] / 2
    )
    pitch, rows = 1.6 * CARD[1], len(network.suppliers)
    middle = 0.0 if inside else (y.min() + y.max()) / 2
    places = places | {
        name: (column, middle + ((rows - 1) / 2 - index) * pitch)
        for index, name in enumerate(network.suppliers)
    }
    corners = np.array([(*places[name], *size[name]) for name in places])
    low, high = (corners[:, :2] - corners[:, 2:] / 2).min(0), (corners[:, :2] + corners[:, 2:] / 2).max(0)
    width, height = np.maximum(high - low, (NARROWEST - 2 * MARGIN, SHORTEST))
    shift = np.array([MARGIN, FOOT]) - low + (np.array([width, height]) - (high - low)) / 2
    centre = {name: (float(x + shift[0]), float(y + shift[1])) for name, (x, y) in places.items()}
    stubs = not inside and network.replenishments > STUBS
    return Layout(
        centre,
        size,
        float(width) + 2 * MARGIN,
        float(height) + FOOT + HEAD + STUB * stubs,
        style,
        False,
        stubs,
    )


def _ellipse(
    members: Sequence[str], across: float, up: float, turn: Callable[[float], float] = lambda share: share
) -> dict[str, Point]:
    """Clockwise; the first and last are beside the left end, which stays free. `turn` says how far round a
    share of them is."""
    angles = [math.pi * (1 - 2 * turn((index + 0.5) / len(members))) for index in range(len(members))]
    return {
        place: (across * math.cos(angle), up * math.sin(angle))
        for place, angle in zip(members, angles, strict=True)
    }


def _wheel(tiers: list[list[str]], style: str) -> dict[str, Point]:
    """The last tier in a circle, those before it inside. Cards are wide, and stand closer above each other
    than side by side; chips and dots are evenly apart."""
    width, height = _size(style)
    room = {"card": 0.45, "chip": 0.18, "dot": 0.06}[style]
    rim, middle = tiers[-1], len(tiers[0]) == 1
    shares = [
        0.95 * depth / max(len(tiers) - 1, 1) if middle else 0.6 * (depth + 1) / len(tiers)
        for depth in range(len(tiers) - 1)
    ] + [1.0]
    crowds = [len(tier) / share for tier, share in zip(tiers, shares, strict=True) if share]
    across = max(2.6, max(crowds) * (max(width, height) + room) / (2 * math.pi))
    if style == "card":
        up = max(0.62 * across, 1.7)
        centre = _ellipse(rim, across, up)
    else:
        across, up = 1.25 * across, 0.8 * across
        angles = np.linspace(0, 2 * math.pi, 4001)
        lengths = np.cumsum(np.hypot(across * np.sin(angles), up * np.cos(angles)))
        centre = _ellipse(
            rim,
            across,
            up,
            lambda share: float(np.interp(share * lengths[-1], lengths, angles)) / (2 * math.pi),
        )
    for tier, share in zip(tiers[:-1], shares, strict=False):
        centre |= _ellipse(tier, share * across, share * up)
    return centre


def _map(links: networkx.Graph, style: str) -> dict[str, Point]:
    (width, height), grid = _size(style), _as_grid(links)
    if grid:
        gap = {"card": 0.75, "chip": 0.35, "dot": 0.15}[style]
        return {
            place: (column * (width + gap), -row * (height + gap)) for place, (row, column) in grid.items()
        }
    if len(links) > MAPPED:
        return _rows(list(links), style)
    parts = [links.subgraph(part) for part in networkx.connected_components(links)]
    return _apart(_by_distance(parts), links, style)


def _rows(members: list[str], style: str) -> dict[str, Point]:
    width, height = (1.6 * side for side in _size(style))
    columns = math.ceil(math.sqrt(1.6 * len(members)))
    return {
        place: (index % columns * width, -(index // columns) * height) for index, place in enumerate(members)
    }


def _by_distance(parts: list[networkx.Graph]) -> dict[str, Point]:
    """Each connected part by Kamada and Kawai, one beside the other, the longer way across; a lane is about 1
    long."""
    centre: dict[str, Point] = {}
    left = 0.0
    for part in parts:
        drawn = networkx.kamada_kawai_layout(part) if len(part) > 1 else dict.fromkeys(part, (0.0, 0.0))
        points = np.array([drawn[place] for place in part])
        points = (
            (points - points.mean(0)) @ np.linalg.svd(points - points.mean(0), full_matrices=False)[2].T
            if len(part) > 2
            else points
        )
        lengths = [np.hypot(*(np.array(drawn[one]) - np.array(drawn[other]))) for one, other in part.edges()]
        points = points / (np.mean(lengths) if lengths else 1)
        points[:, 0] += left - points[:, 0].min()
        left = points[:, 0].max() + 1
        centre |= {place: (float(x), float(y)) for place, (x, y) in zip(part, points, strict=True)}
    return centre


def _apart(centre: dict[str, Point], links: networkx.Graph, style: str) -> dict[str, Point]:
    """Scaled to inches, then pushed until no place covers another."""
    width, height = _size(style)
    scale = np.array([width, height]) + {"card": (0.9, 0.9), "chip": (0.45, 0.4), "dot": (0.22, 0.22)}[style]
    points = np.array(list(centre.values())) * scale
    room = np.array([width, height]) * 1.15 + {"card": 0.25, "chip": 0.1, "dot": 0.03}[style]
    for _ in range(200):
        between = points[:, None] - points[None]
        overlap = (room - np.abs(between)).clip(min=0)
        covered = (overlap > 0).all(-1) & ~np.eye(len(points), dtype=bool)
        if not covered.any():
            break
        sideways = (overlap[..., 0] / room[0] < overlap[..., 1] / room[1])[..., None]
        push = (
            np.where(np.concatenate([sideways, ~sideways], -1), overlap * np.sign(between + 1e-9), 0)
            * covered[..., None]
        )
        points = points + 0.55 * push.sum(1) / 2
    return {place: (float(x), float(y)) for place, (x, y) in zip(centre, points, strict=True)}


def _as_grid(links: networkx.Graph) -> dict[str, tuple[int, int]] | None:
    """Row and column of every place if the links are those of a grid: distances from two corners of one side
    say both."""
    corners = [place for place, degree in links.degree() if degree == 2]
    if len(corners) != 4:
        return None
    distance = {corner: networkx.single_source_shortest_path_length(links, corner) for corner in corners}
    first = next(place for place in links if place in corners)
    for corner in corners:
        side = distance[first].get(corner, 0)
        if not side:
            continue
        places = {}
        for place in links:
            one, other = distance[first].get(place), distance[corner].get(place)
            if one is None or other is None or (one + other - side) % 2:
                break
            places[place] = ((one + other - side) // 2, (one - other + side) // 2)
        if _is_grid(links, places) and places[first] == (0, 0):
            down = max(row for row, _ in places.values()) > max(column for _, column in places.values())
            return {
                place: (column, row) if down else (row, column) for place, (row, column) in places.items()
            }
    return None


def _is_grid(links: networkx.Graph, places: dict[str, tuple[int, int]]) -> bool:
    at = {place: where for where, place in places.items()}
    rows, columns = ({where[side] for where in places.values()} for side in (0, 1))
    if len(at) != len(links) or len(rows) * len(columns) != len(links):
        return False
    beside = sum((row, column + 1) in at for row, column in at) + sum(
        (row + 1, column) in at for row, column in at
    )
    return beside == links.number_of_edges() and all(
        abs(places[a][0] - places[b][0]) + abs(places[a][1] - places[b][1]) == 1 for a, b in links.edges()
    )
