"""Folders and whole files on disk."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from marl_inv.common.errors import InputError
from marl_inv.common.text import csv_cell, visible


def write_whole(file: Path, content: str | bytes, remedy: str = "make room, or give another folder") -> None:
    """Write a file; whenever the machine stops, it is the old one or the new one.

    Raises InputError, ending in the remedy, where there is no room or no permission.
    """
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as disk:
            disk.write(content.encode() if isinstance(content, str) else content)
            disk.flush()
            os.fsync(disk.fileno())
        unfinished.replace(file)
        _settle(file.parent)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise InputError(f"{file}: cannot be written ({error.strerror}); {remedy}") from error


def check_writable(*files: Path | None) -> None:
    """Raise InputError, before there is anything to lose, where a file can be seen to be no place to
    write."""
    for file in files:
        if file is not None and (file.is_dir() or not file.parent.is_dir()):
            reason = "is a folder" if file.is_dir() else f"is in {file.parent}, which is no folder"
            raise InputError(f"{file}: {reason}; give a file in a folder that is there")


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """With a head, and nothing for None; text is as `safe_cell` has it."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: safe_cell(value) for key, value in row.items()} for row in rows)
    return file.getvalue()


def safe_cell(value: object) -> object:
    """Text that neither a spreadsheet nor a terminal takes for more than text; numbers as they are."""
    return csv_cell(visible(value)) if isinstance(value, str) else value


def _settle(folder: Path) -> None:
    """Have the folder remember the file's new name, where the system can be asked to."""
    with suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); give another --out") from error
