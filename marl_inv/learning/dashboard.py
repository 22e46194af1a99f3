"""What TensorBoard shows of a run besides the curves of Tianshou's logger: the page to begin with
(#custom_scalars), what every warehouse holds and serves, what is chosen, where goods flow, and the settings,
so that runs can be sorted by them. Nothing here draws a random number or alters a tensor.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from marl_inv.baselines.bounds.pooling import check_pooled, pooling_bound
from marl_inv.common.documents import as_yaml
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem
from marl_inv.evaluation.metrics import Totals
from marl_inv.learning.settings import TrainSettings

MOST_SHOWN = 16
"""Warehouses that have curves of their own; of a larger network the least, the middle and the most are
shown."""

BY_WAREHOUSE = {"stock on hand": "on_hand", "fill rate by warehouse": "fill_rate"}
"""Charts, and the tags of their curves."""

DRAWN = 60
"""Warehouses and lanes in a picture of the network, at most."""


FENCE = "`" * 12
"""Around what is shown as it is written, longer than anybody's own."""


def begin(writer: SummaryWriter, problem: Problem, settings: TrainSettings) -> None:
    """The layout of the page of custom scalars, and everything resolved as text."""
    measured, names = problem.scenario.measured, _names(problem.network.warehouses)
    layout = {
        "Learning": {
            "percent better than tuned order-up-to": ["Multiline", ["test/percent_over_baseline"]],
            f"{measured} per period": ["Multiline", [f"test/money/{measured}"]],
            "fill rate": ["Multiline", ["test/fill_rate$"]],
            "units moved between warehouses": ["Multiline", ["test/units/transferred"]],
        },
        "Warehouses": {
            title: ["Multiline", [f"^{re.escape(f'{tag}/{name}')}$" for name in names]]
            for title, tag in BY_WAREHOUSE.items()
        },
        "Updates": {"loss": ["Multiline", [r"update/(\w+_)?loss/mean"]]},
    }
    writer.add_custom_scalars(layout)
    for name, record in (("scenario", problem.scenario), ("training", settings)):
        writer.add_text(
            name, f"{FENCE}yaml\n{as_yaml(json.loads(record.model_dump_json(exclude_none=True)))}\n{FENCE}", 0
        )


def validated(writer: SummaryWriter, step: int, record: Totals, seen: Mapping[str, Tensor]) -> None:
    """What a validation showed, warehouse by warehouse, and what the latest update learned from."""
    names = record.network.warehouses
    served = 1 - record.sums["unmet"].sum((0, 2)) / record.sums["demand"].sum((0, 2)).clamp(min=1e-9)
    for what, values in zip(
        BY_WAREHOUSE.values(), (record.per_period("on_hand").sum(0).mean(-1), served), strict=True
    ):
        values = values.cpu().numpy()
        if len(names) > MOST_SHOWN:
            values = np.quantile(values, (0, 0.5, 1))
        for name, value in zip(_names(names), values.tolist(), strict=True):
            writer.add_scalar(f"{what}/{name}", value, step)
    for name, values in seen.items():
        numbers = values.detach().float().cpu().numpy().ravel()
        if len(
            numbers := numbers[np.isfinite(numbers)]
        ):  # of a run that has come to nothing there may be none
            writer.add_histogram(name, numbers, step)


def end(
    writer: SummaryWriter,
    step: int,
    record: Totals,
    problem: Problem,
    settings: TrainSettings,
    percent: float,
) -> None:
    """Where goods flowed in the last validation, and how the settings did: percent over the baseline, of the
    policy that is kept."""
    if len(record.network.warehouses) + len(record.network.lanes) <= DRAWN and bool(
        record.lane_sums["shipped"].isfinite().all()
    ):
        writer.add_figure("average flows at the last validation", _flows(record), step)
    told = {
        key: value
        for key, value in settings.model_dump().items()
        if key in _VARIED or value != TrainSettings.model_fields[key].default
    }
    told = {
        key: value if isinstance(value, bool | int | float | str) else str(value)
        for key, value in told.items()
    }
    assert writer.file_writer is not None, "a writer has none only once it is closed"
    for summary in hparams(told | {"scenario": problem.scenario.name}, {BEST: percent}):
        writer.file_writer.add_summary(summary)
    writer.add_scalar(BEST, percent, step)


BEST = "best/percent_over_baseline"

_VARIED = ("algorithm", "model", "seed", "lr", "hidden")
"""Settings by which runs are sorted, also where they are as by default."""


def bound(problem: Problem) -> float | None:
    """The least cost, or most profit, a period that complete pooling allows; None where it is no bound."""
    with suppress(InputError):
        check_pooled(problem.scenario)
        reward = pooling_bound(problem)
        return -reward if problem.scenario.measured == "cost" else reward
    return None


def _names(warehouses: Sequence[str]) -> Sequence[str]:
    return warehouses if len(warehouses) <= MOST_SHOWN else ["least", "median", "most"]


def _flows(record: Totals) -> Any:
    from marl_inv.drawing.layout import lay_out
    from marl_inv.drawing.picture import draw_scene
    from marl_inv.drawing.scene import average_scene

    return draw_scene(lay_out(record.network), average_scene(record), "average period")
