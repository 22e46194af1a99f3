"""TensorBoard's files of events in a run folder: how much of them a checkpoint covers, and whether they are
as they were written. Importing this loads no Tianshou."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from marl_inv.common.errors import InputError
from marl_inv.common.sealed import read_sealed

CHECKPOINT = "checkpoint.safetensors"
BASELINE_EVENTS = "tuned-order-up-to"
BOUND_EVENTS = "complete-pooling"
"""The folders inside a run's in which TensorBoard finds the baseline, and the bound."""


def events(folder: Path) -> dict[str, int]:
    """Bytes of every file of TensorBoard events in a run folder."""
    return {str(file.relative_to(folder)): file.stat().st_size for file in _event_files(folder)}


def digests_of(folder: Path, lengths: Mapping[str, int]) -> dict[str, str]:
    """SHA-256 of the beginnings of such files."""
    return {name: _digest(folder / name, length) for name, length in lengths.items()}


def check_events(folder: Path) -> None:
    """Raise InputError for a run whose events are not what its checkpoint has seen, or whose checkpoint is
    damaged; without a checkpoint nothing is known of them."""
    file, remedy = folder / CHECKPOINT, "train again, with another --out"
    if not file.exists():
        return
    state = json.loads(read_sealed(file, remedy)[0]["state"])
    for name, digest in state.get("event_digests", {}).items():
        if not (folder / name).is_file() or _digest(folder / name, state["events"][name]) != digest:
            raise InputError(f"{folder / name}: is not as it was written; {remedy}")


def _digest(file: Path, length: int) -> str:
    with file.open("rb") as disk:
        return hashlib.sha256(disk.read(length)).hexdigest()


def cut_back(folder: Path, before: Mapping[str, int]) -> None:
    """Take off what a killed run left after its last checkpoint: events, which would be drawn twice, and
    files that it had not finished."""
    for file in _event_files(folder):
        length = before.get(str(file.relative_to(folder)))
        if length is None:
            file.unlink()
        elif length < file.stat().st_size:
            os.truncate(file, length)
    for unfinished in folder.glob("*.tmp"):
        unfinished.unlink()


def _event_files(folder: Path) -> list[Path]:
    return [
        file
        for place in (folder, folder / BASELINE_EVENTS, folder / BOUND_EVENTS)
        for file in sorted(place.glob("events.out.tfevents.*"))
    ]
