"""Memory of the machine that this runs on."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from marl_inv.common.errors import InputError

if TYPE_CHECKING:
    import torch


TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt."""


def keep_memory() -> bool:
    """Have this process keep what it frees, up to a gigabyte, instead of handing it back to the system;
    whether it will.

    A simulator makes and drops arrays in every step, and with glibc's defaults pays the system for many of
    them each time.
    """
    if not sys.platform.startswith("linux"):
        return False
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(TRIM_THRESHOLD, 2**30) and mallopt(MMAP_THRESHOLD, 2**25))
    return False


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had on a device; None where nobody tells."""
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    found = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    with suppress(OSError, ValueError):  # a container's share, "max" if it has none
        group = Path("/sys/fs/cgroup")
        most, used = ((group / f"memory.{what}").read_text(encoding="ascii") for what in ("max", "current"))
        found.append(int(most) - int(used))
    return min(found, default=None)


def check_device(device: str, what: str) -> None:
    """Raises InputError for what torch cannot compute on here."""
    import torch

    try:
        if not device.startswith(("cpu", "cuda")):
            raise RuntimeError("neither cpu nor cuda")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"{what} is {device!r}; torch finds no such device here, use cpu") from error
