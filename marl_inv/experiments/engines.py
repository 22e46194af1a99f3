"""Who computes: processes of this machine, or Ray, here or on a cluster.

An engine is given pieces of work and a task, and tells of every piece when it ends. Whoever calls it keeps
count, tells people, and begins again what was lost, so that all engines behave alike. The results do not
depend on the engine: every task has one thread for torch.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch

from marl_inv.common.errors import InputError, suggestion
from marl_inv.common.machine import keep_memory

Work = TypeVar("Work")


OBJECT_STORE = 100 * 2**20
"""Bytes that a Ray of our own keeps for what tasks hand to each other, which is nothing: results are
files."""


@runtime_checkable
class Engine(Protocol):
    def each(self, task: Callable[[Work], None], work: Sequence[Work]) -> Iterator[tuple[Work, bool]]:
        """Every piece of work as it ends, and whether it is done; if not, its worker was lost. What a task
        raises is raised.

        Workers begin when the first work comes and stay for the next. Task and work are such as can be
        pickled.
        """
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...


def engine_named(name: str, workers: int, address: str | None = None) -> Engine:
    """`address` is of a Ray cluster, which then decides itself how much it computes side by side."""
    if name not in ENGINES:
        raise InputError(f"engine: {name} is no engine{suggestion(name, ENGINES)}")
    return ENGINES[name](workers, address)


class Processes:
    """So many of them, which are replaced when one is lost, and end when this one does."""

    def __init__(self, workers: int, address: str | None = None) -> None:
        if address is not None:
            raise InputError(
                f"address: is {address}, and processes are of this machine; leave it out, or give --engine "
                "ray"
            )
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def each(self, task: Callable[[Work], None], work: Sequence[Work]) -> Iterator[tuple[Work, bool]]:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.workers, get_context("spawn"), _end_with, (os.getpid(),))
        waiting = {self._pool.submit(_alone, task, piece): piece for piece in work}
        for future in as_completed(waiting):
            try:
                future.result()
            except BrokenProcessPool:  # and so are all that are left
                self.close()
                yield waiting[future], False
            else:
                yield waiting[future], True

    def close(self) -> None:
        """What is still computed is given up, as after a kill: it goes on from its checkpoint."""
        if self._pool is not None:
            for worker in list((self._pool._processes or {}).values()):
                worker.terminate()
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


class Ray:
    """A Ray of our own on this machine, which ends with this process, or the cluster at an address (`auto`,
    `HOST:PORT`, `ray://...`).

    Every piece of work is a Ray task on one processor; Ray itself begins none of them again. The nodes of a
    cluster need marl_inv in the same version, and must see the folders that tasks write into.
    """

    def __init__(self, workers: int, address: str | None = None) -> None:
        if find_spec("ray") is None:
            raise InputError(
                'engine: ray is not installed; add it with `pip install -c constraints.txt -e ".[ray]"`, or '
                "use processes"
            )
        self.workers, self.address = workers, address
        self._ours = False

    def each(self, task: Callable[[Work], None], work: Sequence[Work]) -> Iterator[tuple[Work, bool]]:
        ray = self._begun()
        remote = ray.remote(num_cpus=1, max_retries=0)(_as_at_home)
        waiting = {remote.remote(os.getcwd(), sys.path, pickle.dumps((task, piece))): piece for piece in work}
        while waiting:
            [ended], _ = ray.wait(list(waiting))
            piece = waiting.pop(ended)
            try:
                ray.get(ended)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except (
                ray.exceptions.WorkerCrashedError,
                ray.exceptions.NodeDiedError,
                ray.exceptions.OutOfMemoryError,
            ):
                yield piece, False
            else:
                yield piece, True

    def _begun(self) -> Any:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray  # pyright: ignore[reportMissingImports]  # an optional extra

        if ray.is_initialized():
            return ray
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address is None:
            ray.init(
                "local",
                num_cpus=self.workers,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE,
                **quiet,
            )
        else:
            _join(self.address, **quiet)
        self._ours = True
        return ray

    def close(self) -> None:
        if self._ours:
            import ray  # pyright: ignore[reportMissingImports]  # an optional extra

            ray.shutdown()
            self._ours = False


def _join(address: str, **options: Any) -> None:
    """Connect to a cluster; a door that is closed is told at once, where Ray itself would try for minutes."""
    import ray  # pyright: ignore[reportMissingImports]  # an optional extra

    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if address != "auto":
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        ray.init(address, **options)
    except (OSError, ValueError) as error:
        told = str(error).partition("\n")[0]
        raise InputError(
            f"address: Ray cannot be reached at {address} ({told}); give auto, or HOST:PORT of `ray start "
            "--head`"
        ) from error


ENGINES: dict[str, Callable[[int, str | None], Engine]] = {"processes": Processes, "ray": Ray}


def _alone(task: Callable[[Work], None], piece: Work) -> None:
    """A task in a worker: one thread for torch, and memory kept."""
    torch.set_num_threads(1)
    keep_memory()
    task(piece)


def _as_at_home(folder: str, modules: list[str], pickled: bytes) -> None:
    """The same in a worker of Ray, where relative paths and modules are found as by whoever sent it, as far
    as they are there."""
    with suppress(OSError):
        os.chdir(folder)
    sys.path.extend(each for each in modules if each not in sys.path)
    _alone(*pickle.loads(pickled))


def _end_with(driver: int) -> None:
    """Have this process end when its driver is gone, so that nobody computes what the next one begins again;
    and leave it to the driver to stop on Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
