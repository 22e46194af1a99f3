"""How much memory an update of a training run needs, told before it begins.

A small piece of it is played and what its gradient remembers is counted; the rest is multiplication:

- pathwise: what a period's gradient remembers x periods x replications (with periods played again: of one
period, and what they began with);
- others: a row of experience x rows that are kept, what the gradient of a row remembers x rows of a gradient
step and, where there is a
  critic, a third of that x rows that it values at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from marl_inv.common.errors import InputError
from marl_inv.common.machine import free_memory
from marl_inv.common.progress import Say
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.rollout import play
from marl_inv.episodes.view import View
from marl_inv.learning.joint_policy import MeanActions
from marl_inv.simulator import State

SPARE = 1.6
"""For what comes and goes: gradients on their way, optimizers, and what allocators round up to."""


TRIED = 8
"""Replications from which what more of them need is known."""


BESIDES = 10
"""Numbers that are kept of a decision beside what was observed: action, odds, reward, value, return,
advantage, ends."""


class Saved(saved_tensors_hooks):
    """Counts the bytes of what is remembered for gradients in its context, every piece of memory once."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        super().__init__(self._count, lambda tensor: tensor)

    def __enter__(self) -> Saved:
        super().__enter__()
        return self

    def _count(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self._seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    @property
    def bytes(self) -> int:
        return sum(self._seen.values())


@dataclass(frozen=True)
class Need:
    """Bytes, at the peak of an update."""

    experience: int
    """Traces, and what was played."""
    gradient: int

    @property
    def total(self) -> int:
        return round(SPARE * (self.experience + self.gradient))


def needed(training: Any) -> Need:
    """By a `Training`, which has not begun yet or may go on."""
    return _by_episodes(training) if training.collector is None else _by_rows(training)


def _by_episodes(training: Any) -> Need:
    problem, algorithm = training.problem, training.algorithm
    horizon, replications = (
        problem.scenario.horizon,
        training.trainer.params.batch_size // problem.scenario.horizon,
    )
    some = min(replications, TRIED)
    one, more = (_period_remembers(problem, training.policy, count) for count in (1, some))
    period = one + (replications - 1) * (more - one) / max(1, some - 1)
    remembered = horizon * period
    if getattr(algorithm, "recompute", False):
        remembered = 2 * period + horizon * replications * _state_bytes(
            problem.opening(problem.trace("train", 0, range(1), 1))
        )
    return Need(replications * problem.trace_bytes, round(remembered))


def _period_remembers(problem: Problem, policy: Any, replications: int) -> int:
    return _periods_remember(problem, policy, 3, replications) - _periods_remember(
        problem, policy, 2, replications
    )


def _periods_remember(problem: Problem, policy: Any, periods: int, replications: int) -> int:
    trace = problem.trace("train", 0, range(replications), periods)
    with Saved() as saved:
        earned = [moment.costs.reward.sum() for moment in play(problem, MeanActions(policy), trace, True)]
    del earned
    return saved.bytes


def _by_rows(training: Any) -> Need:
    problem, collector = training.problem, training.collector
    trace = problem.trace("train", 0, range(TRIED), 1)
    view = View(problem.network, problem.opening(trace), trace.known(0, problem.scenario.ending == "finite"))
    seen = [training.policy.encoding(view)]
    if collector.critic_encoding is not None:
        seen.append(collector.critic_encoding.foresee(view, trace))
    row = sum(facts[0].nbytes for facts in seen) + BESIDES * problem.network.size.nbytes
    kept = collector.buffer.periods * collector.replications
    step = training.trainer.params.batch_size or math.ceil(kept / training.settings.minibatches)
    remembered = (_rows_remember(training, seen, TRIED) - _rows_remember(training, seen, TRIED // 2)) // (
        TRIED // 2
    )
    valued = min(kept, getattr(training.algorithm, "max_batchsize", 0))
    return Need(
        kept * row + collector.replications * problem.trace_bytes,
        step * remembered + valued * remembered // 3,
    )


def _rows_remember(training: Any, seen: list[Tensor], rows: int) -> int:
    with Saved() as saved:
        outputs = [training.policy.distribution(seen[0][:rows], rows)]
        if critic := getattr(training.algorithm, "critic", None):
            outputs.append(critic(seen[-1][:rows]))
    del outputs
    return saved.bytes


def _state_bytes(state: State) -> int:
    held = (state.inventory_level, *state.due, state.orders, state.owed, state.dip)
    return sum(value.nbytes for value in held if value is not None)


def check_memory(training: Any, say: Say) -> None:
    """Say what an update needs; raises InputError, with what would fit, if that is more than there is."""
    need, there = needed(training), free_memory(training.problem.network.size.device)
    say(
        f"an update needs about {_told(need.total)} of memory: {_told(need.experience)} of experience, "
        f"{_told(need.gradient)} for gradients"
    )
    if there is None or need.total <= there:
        return
    fitting = int(training.settings.decisions_per_update * there / need.total / 1.1)
    raise InputError(
        f"training: an update needs about {_told(need.total)} of memory, and {_told(there)} are free; "
        f"give decisions_per_update={fitting}, or a smaller hidden or horizon"
    )


def _told(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"
