"""The best parameters of a classical policy on a scenario, by common random numbers on the tuning stream.

A policy says which of its numbers may be tuned (`parameters`), and where to begin (`beginnings`). The best
beginning is improved by CMA-ES (Hansen 2016), its whole population in one batch, or, where there are many
numbers and costs do not jump with them (fixed costs, whole units and reorder points make them jump), along
the pathwise gradient, since the simulator is differentiable. Whole quantities end in a search of neighbours,
one unit up or down. What scores best on tuning traces that none of this has seen is kept. Evaluation traces
are never seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.baselines.parameters import Parameter, set_parameters
from marl_inv.chance.trace import Trace
from marl_inv.common.progress import Progress, silently
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem, period_weights
from marl_inv.episodes.rollout import play

DECISIONS = 400_000
"""An iteration of the gradient plays at most so many decisions: fewer replications of a network of many
products."""


POPULATION_DECISIONS = 4_000_000
"""A generation of CMA-ES plays at most so many."""


MOST_EVOLVED = 30
"""So many numbers are found by CMA-ES sooner than by the gradient."""


Method = Literal["gradient", "evolution"]


def tune(
    problem: Problem,
    policy: Any,
    seed: int = 0,
    method: Method | None = None,
    effort: float = 1.0,
    progress: Progress = silently,
) -> Any:
    """The policy with the best parameters found, named `tuned ...`. `effort` multiplies iterations
    (generations) of the search.

    Same seed, same result. `method` is by default the gradient for more than a `MOST_EVOLVED` numbers, of a
    smooth policy in a continuous scenario.
    """
    search = _Search(problem, seed, effort, progress)
    candidates, parameters = [policy], policy.parameters(problem)
    if parameters:
        begin = search.begin(policy.beginnings(problem))
        smooth = policy.smooth and _is_smooth(problem)
        method = method or ("gradient" if smooth and _count(parameters) > MOST_EVOLVED else "evolution")
        candidates += [begin, *(search.descend(begin) if method == "gradient" else search.evolve(begin))]
        if problem.network.integer:
            candidates.append(search.polish(search.best(candidates, search.checking)))
    return replace(search.best(candidates, search.checking), name=f"tuned {policy.name}")


def _is_smooth(problem: Problem) -> bool:
    network = problem.network
    return not network.integer and network.shipment_cost is None and network.vehicle_cost is None


class _Search:
    def __init__(self, problem: Problem, seed: int, effort: float, progress: Progress) -> None:
        self.problem, self.seed, self.effort, self.progress = problem, seed, effort, progress
        self.size = problem.network.size.numel() * problem.scenario.horizon
        replications = min(256, max(4, DECISIONS // self.size))
        self.fitting = problem.trace("tune", seed, range(replications))
        self.checking = problem.trace("tune", seed, range(replications, 2 * replications))

    def best(self, policies: list[Any], trace: Trace) -> Any:
        with torch.no_grad():
            return max(policies, key=lambda policy: float(mean_reward(self.problem, policy, trace)))

    def begin(self, policies: list[Any]) -> Any:
        """The best of the beginnings."""
        parameters = [policy.parameters(self.problem) for policy in policies]
        values = {
            name: torch.stack([each[name].value for each in parameters], dim=-1) for name in parameters[0]
        }
        return policies[int(np.argmax(self._rewards(policies[0], values, self._trace(len(policies)))))]

    def descend(self, begin: Any, iterations: int = 200) -> list[Any]:
        """Adam along the pathwise gradient, all parameters together; every fiftieth iterate is a
        candidate."""
        iterations = max(1, round(self.effort * iterations))
        parameters, candidates = begin.parameters(self.problem), []
        steps = {
            name: torch.zeros_like(parameter.value, requires_grad=True)
            for name, parameter in parameters.items()
        }
        optimizer = torch.optim.Adam(list(steps.values()), lr=0.1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations, eta_min=0.002)
        scale = self.problem.network.size.sum()
        for iteration in self.progress(range(iterations), f"tuning {begin.name}"):
            optimizer.zero_grad()
            reward = mean_reward(self.problem, _moved(begin, parameters, steps), self.fitting)
            if not reward.requires_grad:
                break  # nothing that is earned depends on the parameters
            (-reward / scale).backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                for name, step in steps.items():
                    _stay_within(parameters[name], step)
            if iteration % 50 == 49 or iteration == iterations - 1:
                candidates.append(
                    _moved(begin, parameters, {name: step.detach().clone() for name, step in steps.items()})
                )
        return candidates

    def evolve(self, begin: Any) -> list[Any]:
        """CMA-ES in units of the parameters; the mean of its last generation and the best it has seen are
        candidates."""
        import cma  # only tuning needs it

        parameters = begin.parameters(self.problem)
        size = _count(parameters)
        generations = max(1, round(self.effort * min(40 + 2 * size, 150)))
        options = {
            "seed": self.seed + 1,
            "verbose": -9,
            "maxiter": generations,
            "CMA_diagonal": size > 50,
            "popsize": 32,
            "tolx": 1e-3,
        }
        strategy, trace = (
            cma.CMAEvolutionStrategy(np.zeros(size), 0.5, options),
            self._trace(options["popsize"]),
        )
        for _ in self.progress(range(generations), f"tuning {begin.name}"):
            if strategy.stop():
                break
            asked = strategy.ask()
            strategy.tell(
                asked, (-self._rewards(begin, _values(parameters, np.stack(asked)), trace)).tolist()
            )
        found = [strategy.result.xfavorite, strategy.result.xbest]
        return [set_parameters(begin, _values(parameters, at)) for at in found if at is not None]

    def polish(self, begin: Any, rounds: int = 30) -> Any:
        """Whole parameters, and then one unit up or down of any of them as long as that helps."""
        parameters = {
            name: replace(parameter, value=parameter.value.round())
            for name, parameter in begin.parameters(self.problem).items()
        }
        whole = [parameter.whole for parameter in parameters.values() for _ in range(parameter.value.numel())]
        moves = [sign * row for row in np.eye(len(whole))[np.array(whole)] for sign in (1, -1)]
        at, trace = np.zeros(len(whole)), self._trace(len(moves) + 1)
        unit = {
            name: replace(parameter, unit=torch.ones_like(parameter.unit))
            for name, parameter in parameters.items()
        }
        for _ in range(rounds):
            tried = np.stack([at, *(at + move for move in moves)])
            found = int(np.argmax(self._rewards(begin, _values(unit, tried), trace)))
            if found == 0:
                break
            at = tried[found]
        return set_parameters(begin, _values(unit, at))

    def _trace(self, members: int) -> Trace:
        """As many replications as so many members can play at once."""
        replications = min(self.fitting.replications, max(4, POPULATION_DECISIONS // self.size // members))
        return self.problem.trace("tune", self.seed, range(replications))

    def _rewards(
        self, begin: Any, values: dict[str, Float[Tensor, "... P"]], trace: Trace
    ) -> Float[np.ndarray, " P"]:
        """Mean reward of every member of a population, all in one batch: member after member, each on all
        replications of the trace."""
        members, replications = next(iter(values.values())).shape[-1], trace.replications
        policy = set_parameters(
            begin, {name: value.repeat_interleave(replications, dim=-1) for name, value in values.items()}
        )
        with torch.no_grad():
            each = reward_by_replication(self.problem, policy, _repeated(trace, members))
        return each.double().reshape(members, replications).mean(1).cpu().numpy()


def _repeated(trace: Trace, times: int) -> Trace:
    """The same replications, one set after the other."""
    return trace.by_replication(lambda values: values.repeat(*[1] * (values.ndim - 1), times))


def _count(parameters: dict[str, Parameter]) -> int:
    return sum(parameter.value.numel() for parameter in parameters.values())


def _values(parameters: dict[str, Parameter], steps: Float[np.ndarray, "*P D"]) -> dict[str, Tensor]:
    """What the parameters are so many steps away; the population, if there is one, comes last."""
    parts = (
        torch.from_numpy(steps)
        .movedim(-1, 0)
        .split([parameter.value.numel() for parameter in parameters.values()])
    )
    return {
        name: parameter.at(part.reshape(*parameter.value.shape, *part.shape[1:]).to(parameter.value))
        for (name, parameter), part in zip(parameters.items(), parts, strict=True)
    }


def _moved(begin: Any, parameters: dict[str, Parameter], steps: dict[str, Tensor]) -> Any:
    return set_parameters(begin, {name: parameter.at(steps[name]) for name, parameter in parameters.items()})


def _stay_within(parameter: Parameter, step: Tensor) -> None:
    """Bounded parameters stop at their bound, so that they can turn back at once."""
    if isinstance(parameter.most, Tensor) or parameter.most < torch.inf:
        step.copy_((parameter.at(step) - parameter.value) / parameter.unit)


def reward_by_replication(problem: Problem, policy: Policy, trace: Trace) -> Float[Tensor, " B"]:
    """Mean reward of a period over the scored periods, of the whole network; discounted as evaluation does
    it."""
    weights, total = period_weights(problem.scenario, len(trace)), 0.0
    for moment, weight in zip(play(problem, policy, trace, trusted=True), weights, strict=True):
        if weight:
            total = total + weight * moment.costs.reward.sum((0, 1))
    assert isinstance(total, Tensor)
    return total / sum(weights)


def mean_reward(problem: Problem, policy: Policy, trace: Trace) -> Tensor:
    return reward_by_replication(problem, policy, trace).mean()
