"""Folders and whole files on disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from marl_inv.common.errors import InputError


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
