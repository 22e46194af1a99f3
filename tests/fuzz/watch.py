"""What becomes of a scenario, watched: whether it is refused in a line, or played to numbers; how long it takes and
what it needs."""

from __future__ import annotations

import resource
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch

from marl_inv.baselines import BASELINES
from marl_inv.common.errors import InputError
from marl_inv.episodes.problem import Problem, load_problem
from marl_inv.episodes.rollout import play
from marl_inv.evaluation.metrics import score

LONGEST_SECONDS, MOST_KIBIBYTES = 10, 2 * 2**20
PERIODS, REPLICATIONS = 6, 2


class Hangs(BaseException):
    pass


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fault(work: Callable[[], Any]) -> str | None:
    """What is wrong with what becomes of it; None where it is refused in lines, or done."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = None
    try:
        with at_most(LONGEST_SECONDS), warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "(?s).*means nothing here and is passed over", UserWarning)
            told = work()
    except InputError as error:
        told = _refusal(str(error))
    except Hangs:
        told = f"takes more than {LONGEST_SECONDS} s"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__} at {last.filename.rpartition('/')[2]}:{last.lineno}: {str(error)[:120]!r}"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return told or (f"needs {grown >> 10} MiB" if grown > MOST_KIBIBYTES else None)


def _refusal(text: str) -> str | None:
    if len(text) > 30_000 or any(len(line) > 1000 for line in text.splitlines()):
        return f"is refused in {len(text)} characters"
    if not text.replace("\n", "").isprintable():
        return f"is refused by {text[:100]!r}"
    return None


def played(scenario: Any) -> str | None:
    """Load a scenario and play some periods of it; what is no number."""
    problem = load_problem(scenario)
    return finite(problem)


def finite(problem: Problem) -> str | None:
    policy = BASELINES["order_up_to"].of(problem)
    horizon = min(PERIODS, problem.scenario.horizon)
    trace = problem.trace("evaluate", 0, REPLICATIONS, horizon)
    with torch.no_grad():
        record = score(play(problem, policy, trace))
    for name, sums in (record.sums | record.lane_sums).items():
        if not bool(sums.isfinite().all()):
            return f"is accepted, and {name} is no number"
    return None
