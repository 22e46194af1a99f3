"""The only loop over periods: a policy meets a trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch.utils.checkpoint import checkpoint

from marl_inv.chance.trace import Trace
from marl_inv.episodes.decisions import checked
from marl_inv.episodes.policy import Policy, first_memory
from marl_inv.episodes.problem import Problem
from marl_inv.episodes.view import View
from marl_inv.simulator import Costs, Decision, Flows, State


@dataclass(frozen=True)
class Moment:
    """One period as it was played."""

    view: View
    memory: Any
    """The policy's, after it decided."""
    decision: Decision
    flows: Flows
    costs: Costs
    state: State
    """The state it led to."""
    trace: Trace
    """All luck of the episode: for those who look back at it."""

    @property
    def following_view(self) -> View:
        """What there is to see next; after the last period it is the view that the episode was cut off at."""
        known = self.view.known
        return replace(
            self.view,
            state=self.state,
            known=self.trace.known(known.period + 1, known.periods_left is not None),
        )


def play(
    problem: Problem,
    policy: Policy,
    trace: Trace,
    trusted: bool = False,
    begin: tuple[int, State] | None = None,
    recompute: bool = False,
) -> Iterator[Moment]:
    """Play a whole trace, period by period; or the rest of it, from a period that begins in the given state.

    A policy that is not `trusted` has its decisions checked, which waits for the device; raises InputError
    for one that cannot be played. With `recompute`, a gradient remembers of a period only what it began with,
    and plays it again (Griewank and Walther 2000).
    """
    network, finite = problem.network, problem.scenario.ending == "finite"
    first, state = begin or (0, problem.opening(trace))
    memory = first_memory(policy, network, trace)

    def advance(period: int, state: State, memory: Any) -> Moment:
        view = View(network, state, trace.known(period, finite))
        decision, memory = policy.act(view, memory)
        if not trusted:
            checked(network, decision, trace.replications)
        state, flows, costs = problem.step(network, state, decision, trace.at(period))
        return Moment(view, memory, decision, flows, costs, state, trace)

    for period in range(first, len(trace)):
        now = period, state, memory
        moment = checkpoint(advance, *now, use_reentrant=False) if recompute else advance(*now)
        state, memory = moment.state, moment.memory
        yield moment
