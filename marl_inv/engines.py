"""Where the cells of an experiment are computed: on processes of this machine, or by Ray, on this machine or many.

An engine is given what to do, for which cells, and in which folder, and tells every cell that has ended, and whether it was computed or its
worker was lost. What a cell raises is raised here, and the rest is given up.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, TypeVar

import torch

from marl_inv.machine import keep_memory
from marl_inv.reading import InputError

Name = Literal["processes", "ray"]
Job = TypeVar("Job")
Task = Callable[[Job, Path], None]
Engine = Callable[[Task, Sequence[Job], Path], Iterator[tuple[Job, bool]]]


@contextmanager
def engine_named(name: Name, workers: int, address: str | None = None) -> Iterator[Engine]:
    """So many workers; with the address of a Ray cluster ("auto" for one that runs on this machine), as many as it has.

    Raises InputError where Ray is asked for and is not installed, or nothing answers at the address.
    """
    if name == "processes":
        if address is not None:
            raise InputError("command line: --address is of a Ray cluster; add --engine ray, or leave it out")
        yield partial(_on_processes, workers)
        return
    try:
        import ray
    except ImportError as error:
        raise InputError('command line: --engine ray needs Ray; install it: pip install -c constraints.txt -e ".[ray]"') from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "logging_level": "error"}
    try:
        ray.init(address=address, **quiet) if address else ray.init(num_cpus=workers, include_dashboard=False, **quiet)
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"command line: --address is {address}, where no Ray cluster answers; begin one with `ray start --head`"
        ) from error
    try:
        yield _on_ray
    finally:
        ray.shutdown()


def _on_processes(workers: int, task: Task, jobs: Sequence[Job], folder: Path) -> Iterator[tuple[Job, bool]]:
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker, (os.getpid(),)) as pool:
        waiting = {pool.submit(task, job, folder): job for job in jobs}
        for future in as_completed(waiting):
            try:
                future.result()
            except BrokenProcessPool:
                yield waiting[future], False
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            else:
                yield waiting[future], True


def _begin_worker(driver: int) -> None:
    """An end when the driver is gone, so that nobody computes what the next one begins again."""
    _prepare()

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _prepare() -> None:
    """One thread for torch: the same numbers wherever a cell is computed."""
    torch.set_num_threads(1)
    keep_memory()


def compute(task: Task, job: Job, folder: Path) -> None:
    """What a worker of Ray does, and is called."""
    _prepare()
    task(job, folder)


def _on_ray(task: Task, jobs: Sequence[Job], folder: Path) -> Iterator[tuple[Job, bool]]:
    """Ray ends the workers of a driver that is gone, and begins others for those that are lost."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    remote = ray.remote(num_cpus=1, max_retries=0)(compute)
    waiting = {remote.remote(task, job, folder.resolve()): job for job in jobs}
    while waiting:
        [done], _ = ray.wait(list(waiting), num_returns=1)
        job = waiting.pop(done)
        try:
            ray.get(done)
        except RayTaskError as error:
            for other in waiting:
                ray.cancel(other, force=True)
            raise error.cause or error from None
        except RayError:
            yield job, False
        else:
            yield job, True
