"""Pictures and films of an episode, in a file or in a window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from marl_inv.common.errors import InputError
from marl_inv.common.progress import Progress, silently
from marl_inv.drawing.layout import Layout, lay_out
from marl_inv.drawing.picture import draw_network, figure_to_rgb
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.rollout import Moment, play

PICTURES = [".gif", ".png", ".svg", ".pdf"]


WIDEST_FILM, FILM_COLOURS = 1000.0, 128
"""Pixels, and colours: a film of a hundred periods is to be a few megabytes."""


def render(
    problem: Problem,
    policy: Policy,
    path: str | Path,
    seed: int = 0,
    period: int | None = None,
    progress: Progress = silently,
) -> Path:
    """Play an evaluation episode and write a film of it (.gif), or a picture (.png, .svg, .pdf) of where it
    stands after `period` periods; all of them by default. Raises InputError."""
    path, trace = Path(path), problem.trace("evaluate", seed, 1)
    period = len(trace) if period is None else period
    if not 1 <= period <= len(trace):
        raise InputError(f"period is {period}; give 1 to {len(trace)}, the length of an episode")
    if path.suffix not in PICTURES:
        raise InputError(
            f"{path}: ends in {path.suffix or 'nothing'}; give {', '.join(PICTURES[:-1])} or {PICTURES[-1]}"
        )
    layout = lay_out(problem.network)
    moments = progress(islice(play(problem, policy, trace), period), "drawing")
    if path.suffix == ".gif":
        return animate(
            (figure_to_rgb(_draw_moment(problem, moment, layout, WIDEST_FILM)) for moment in moments), path
        )
    *_, last = moments
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _draw_moment(problem, last, layout).savefig(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give another place") from error
    return path


def _draw_moment(problem: Problem, moment: Moment, layout: Layout, widest: float = math.inf) -> Figure:
    """What a period has led to; at most `widest` pixels wide."""
    known = moment.view.known
    title = f"{problem.scenario.name}, after {known.period + 1} of {len(moment.trace)} periods"
    figure = draw_network(problem.network, moment.state, moment.flows, title, known.available, layout=layout)
    figure.set_dpi(min(figure.get_dpi(), widest / layout.width))
    return figure


def animate(
    frames: Iterable[UInt8[np.ndarray, "H W 3"]], path: str | Path, frames_per_second: float = 4
) -> Path:
    """Write pictures of one size, such as an environment renders with `rgb_array`, as a GIF that plays over
    and over. Raises InputError."""
    from PIL import Image  # comes with matplotlib

    path = Path(path)
    pictures = [
        Image.fromarray(frame).quantize(FILM_COLOURS, method=Image.Quantize.MAXCOVERAGE) for frame in frames
    ]
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
    """A window on the screen; None where there is no screen, or matplotlib is told to use none
    (MPLBACKEND=agg)."""
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
