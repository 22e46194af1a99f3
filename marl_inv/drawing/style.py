"""The colours of everything that is drawn."""

from __future__ import annotations

from matplotlib.colors import LinearSegmentedColormap

INK, GREY, GRID, PALE, LANE, CLOSED = "#263238", "#767676", "#e4e4e4", "#eceff1", "#d3dade", "#90a4ae"


ON_HAND, ON_ORDER, UNMET = "#90caf9", "#b0bec5", "#d32f2f"


REPLENISHMENT, TRANSFER, REACTIVE = "#00796b", "#ef6c00", "#8e24aa"


FILL = LinearSegmentedColormap.from_list("fill", ["#ffffff", ON_HAND, "#1565c0"])


LABEL = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}


COLOURS = [
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#882255",
    "#999933",
    "#332288",
    "#661100",
]
"""Of policies, one after the other; the reference is black."""


def short(units: float) -> str:
    """A quantity in few characters: 0.4, 320, 12k, 7.7M."""
    if units >= 1e4:
        return f"{units / 1e6:,.1f}M" if units >= 1e6 else f"{units / 1e3:,.0f}k"
    return f"{units:,.0f}" if units >= 10 or round(units, 1) == round(units) else f"{units:.1f}"
