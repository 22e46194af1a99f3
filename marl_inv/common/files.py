"""Folders and whole files on disk: what is read is an ordinary file of a sensible size, what is written is
there whole or not at all, and where one writes nobody else does."""

from __future__ import annotations

import csv
import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from marl_inv.common.errors import InputError
from marl_inv.common.text import csv_cell, visible

LARGEST_NETWORK, LARGEST_TABLE, LARGEST_TENSORS = 64 * 2**20, 2**30, 16 * 2**30
"""Bytes of a file that is read: a network as JSON or GraphML, a table as CSV, and tensors."""


LOCK = ".lock"


def is_there(path: str | Path) -> bool:
    """Whether there is anything of that name, also where it can be no name."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long; a null character
        return False


def check_ordinary(file: Path, most: int) -> None:
    """Raise OSError, whose `strerror` says why, for what is no ordinary file (a pipe, a device, a folder) or
    is larger than `most` bytes: reading it might never end."""
    try:
        found = os.stat(file)
    except ValueError as error:
        raise OSError(errno.EINVAL, "its name holds a null character", str(file)) from error
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no ordinary file", str(file))
    if found.st_size > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes", str(file))


def read_bytes(file: Path, most: int) -> bytes:
    """An ordinary file of so many bytes at most; raises OSError as `check_ordinary` does."""
    check_ordinary(file, most)
    with file.open("rb") as disk:
        content = disk.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes", str(file))
    return content


@contextmanager
def open_table(file: Path) -> Iterator[TextIO]:
    """A CSV file as text; raises OSError as `check_ordinary` does."""
    check_ordinary(file, LARGEST_TABLE)
    with file.open(newline="", encoding="utf-8-sig") as text:
        yield text


def write_whole(file: Path, content: str | bytes, remedy: str = "make room, or give another folder") -> None:
    """Write a file; whenever the machine stops, it is the old one or the new one. A symbolic link of that
    name is replaced, and what it leads to stays as it is.

    Raises InputError, ending in the remedy, where there is no room or no permission.
    """
    unfinished = file.with_name(f"{file.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with unfinished.open("xb") as disk:
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


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else writes into the folder meanwhile, as far as the system can tell.

    Raises InputError where somebody does, or where a symbolic link in it leads elsewhere.
    """
    check_no_links(folder)
    try:
        handle = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o644)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written to ({error.strerror}); make room, or give another --out"
        ) from error
    try:
        try:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass
        except BlockingIOError as error:
            raise InputError(
                f"{folder}: another run is at work there; wait for it, or give another --out"
            ) from error
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


def check_no_links(folder: Path) -> None:
    """Raise InputError for a symbolic link among what is in a folder and in the folders in it: writing there
    might change what is elsewhere."""
    for place in (folder, *(entry for entry in _entries(folder) if entry.is_dir())):
        for entry in _entries(place):
            if entry.is_symlink():
                raise InputError(
                    f"{entry}: is a symbolic link, and writing there might change something elsewhere; "
                    "remove it, or give another --out"
                )


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
