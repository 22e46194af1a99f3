"""What a person asks for in one command: a training run in a folder of its own, and a comparison of policies
on a scenario."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from marl_inv.baselines import BASELINES, LAYERS
from marl_inv.baselines.bounds.optimum import solve
from marl_inv.baselines.goals import tune_to_goal
from marl_inv.baselines.parameters import set_parameters
from marl_inv.baselines.rolling_horizon import RollingHorizon
from marl_inv.baselines.tuning import tune
from marl_inv.common.errors import InputError, suggestion
from marl_inv.common.files import is_there
from marl_inv.common.plugins import imported, is_own, source
from marl_inv.common.progress import Progress, silently
from marl_inv.common.sealed import read_sealed, write_sealed
from marl_inv.common.text import message
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import AnyScenario, Problem, as_problem
from marl_inv.evaluation.evaluate import Score, evaluate
from marl_inv.learning.settings import ALGORITHM_NAMES
from marl_inv.models.learned import POLICY, load_policy

logger = logging.getLogger("marl_inv")

PLAYING = ("common", "scenario", "network", "simulator", "chance", "episodes", "evaluation", "baselines")
"""The packages that say what a policy earns, and what tuning finds."""


def policy_named(
    name: str | Path,
    problem: AnyScenario,
    seed: int = 0,
    progress: Progress = silently,
    allow_code: bool = False,
) -> Policy:
    """A baseline by name, with layers over it as in `capped_order_up_to+lp_balancing`, `tuned_` before it to
    tune it first, and `@0.98` or `@98%` behind that for the cheapest that keeps this fill rate; `rolling_lp`
    or `rolling_lp_32` (paths); `optimal`; the policy of a run folder or checkpoint file, with code that it
    names if `allow_code`; or `module:Class` of a policy of one's own, made by its `of(problem)` where it has
    one.

    Raises InputError for anything else.
    """
    name, problem = str(name), as_problem(problem)
    check_policy_name(name)
    plain, goal = with_goal(name.removeprefix("tuned_"))
    if plain.partition("+")[0] in BASELINES:
        policy = _baseline(plain, problem)
        if plain == name:
            return policy
        return tuned(problem, _tunable(policy, name), seed, progress=progress, goal=goal)
    if name == "optimal":
        return solve(problem).policy
    if match := re.fullmatch(ROLLING, name):
        return RollingHorizon.of(problem, paths=int(match[1] or 0))
    return load_policy(name, problem, allow_code) if is_there(name) else _own_policy(name, problem)


AnyPolicy = str | Path | Policy
"""What everything public takes for a policy: a name or a run folder, as `policy_named` knows them, or a
policy."""


def listed(policies: AnyPolicy | Iterable[AnyPolicy]) -> list[AnyPolicy]:
    """Policies, where there may be one alone."""
    return [policies] if isinstance(policies, str) or not isinstance(policies, Iterable) else list(policies)


def as_policy(
    policy: AnyPolicy,
    problem: Problem,
    seed: int = 0,
    progress: Progress = silently,
    allow_code: bool = False,
) -> Policy:
    """A policy as it is, or by its name."""
    if isinstance(policy, str | Path):
        return policy_named(policy, problem, seed, progress, allow_code)
    if isinstance(policy, type) or not isinstance(policy, Policy):
        raise InputError(
            f"policy: is {policy!r}; give a policy's name, a run folder, or an object with name, knows, "
            "start and act"
        )
    return policy


ROLLING = r"rolling_lp(?:_(\d+))?"


def check_policy_name(name: str) -> None:
    """Raise InputError for what can be no policy, whatever the problem."""
    plain, goal = with_goal(name.removeprefix("tuned_"))
    base, *layers = plain.split("+")
    if base in BASELINES:
        if goal is not None and not name.startswith("tuned_"):
            raise InputError(f"{name}: a fill rate is kept by tuning; give tuned_{name}")
        if strange := [layer for layer in layers if layer not in LAYERS]:
            raise InputError(f"{name}: {strange[0]} is no layer; give one of {', '.join(LAYERS)}")
    elif name != "optimal" and not re.fullmatch(ROLLING, name) and not is_there(name) and ":" not in name:
        if name in ALGORITHM_NAMES:
            raise InputError(
                f"{name}: is an algorithm and has to be trained; `marl-inv train` does, or `algorithm: "
                f"{name}` in an experiment"
            )
        if "/" in name or "\\" in name:
            raise InputError(f"{name}: is not there; give a run folder that is, or a policy's name")
        known = [*BASELINES, *(f"tuned_{each}" for each in BASELINES), "rolling_lp", "optimal"]
        raise InputError(
            f"{name}: is no policy{suggestion(name, known)}; or give a run folder, or module:Class"
        )


def with_goal(name: str) -> tuple[str, float | None]:
    """A policy's name, and the fill rate that it is to keep, if there is one behind it.

    Raises InputError for one that is not between 0 and 1.
    """
    if not (match := re.fullmatch(r"([a-z_+]+)@([\d.]+)(%?)", name)):
        return name, None
    try:
        return match[1], check_goal(float(match[2]) / (100 if match[3] else 1))
    except (ValueError, InputError) as error:
        raise InputError(f"{name}: asks for {match[2]}{match[3]}; give a share below 1, as @0.98") from error


def check_goal(goal: float) -> float:
    if not 0 < goal < 1:
        raise InputError(f"goal: is {goal:g}; give a fill rate between 0 and 1, such as 0.98")
    return goal


def policy_file(name: str) -> Path | None:
    """Where a policy that is no baseline is written: that of a run, or the source of `module:Class`."""
    if is_there(name):
        return Path(name) / POLICY if Path(name).is_dir() else Path(name)
    return source(name) if is_own(name) else None


def tuning_result(
    problem: Problem,
    name: str,
    seed: int = 0,
    effort: float = 1.0,
    progress: Progress = silently,
    goal: float | None = None,
) -> tuple[Any, list[Score]]:
    """A baseline's tuned self, the cheapest to keep a fill rate where there is a `goal`, and how it does
    beside the untuned one on validation traces."""
    name, own = with_goal(name)
    policy, goal = tunable_named(name, problem), own if goal is None else check_goal(goal)
    found = tuned(problem, policy, seed, effort, progress, goal)
    return found, evaluate(problem, [policy, found], seed, stream="validate")


def tunable_named(name: str, problem: Problem) -> Any:
    """A baseline by name, `tuned_` before it or not, as it is before it is tuned; raises InputError where
    there is nothing to tune."""
    name, _ = with_goal(name.removeprefix("tuned_"))
    return _tunable(_baseline(name, problem), name)


def _baseline(name: str, problem: Problem) -> Policy:
    """A baseline, and the layers over it that `+` adds."""
    base, *layers = name.split("+")
    if base not in BASELINES:
        raise InputError(f"{name}: {base} is no baseline{suggestion(base, BASELINES)}")
    check_policy_name(name)
    policy = BASELINES[base].of(problem)
    for layer in layers:
        policy = BASELINES[layer].of(problem, policy)
    return policy


def _tunable(policy: Policy, name: str) -> Any:
    lowest: Any = policy
    while hasattr(lowest, "base"):
        lowest = lowest.base
    if not hasattr(lowest, "parameters"):
        raise InputError(f"{name}: there is nothing to tune in {lowest.name}; play it as it is")
    return policy


def _own_policy(name: str, problem: Problem) -> Policy:
    made = imported(name)
    try:
        policy = made.of(problem) if hasattr(made, "of") else made()
    except TypeError as error:
        raise InputError(
            f"{name}: cannot be made ({error}); give it `of(problem)`, or make it take nothing"
        ) from error
    if missing := [part for part in ("name", "knows", "start", "act") if not hasattr(policy, part)]:
        raise InputError(
            f"{name}: makes {type(policy).__name__}, which has no {missing[0]}; a policy has name, knows, "
            "start and act"
        )
    return policy


def tuned(
    problem: Problem,
    policy: Any,
    seed: int = 0,
    effort: float = 1.0,
    progress: Progress = silently,
    goal: float | None = None,
) -> Any:
    """`baselines.tuning.tune`, or `tune_to_goal` where there is one, remembered: the same scenario, policy,
    seed, effort and goal are not tuned twice on one machine.

    What was found lies in the folder MARL_INV_CACHE, or else in `marl_inv` of the user's cache folder
    (XDG_CACHE_HOME, ~/.cache), named by a hash of all that it depends on; deleting it is safe, and a damaged
    file is tuned again.
    """
    fingerprint = _fingerprint(problem, policy, seed, effort, goal)
    file = _cache() / f"{fingerprint}.safetensors"
    name = f"tuned {policy.name}" + (f" @{100 * goal:.6g}%" if goal else "")
    about, values = {}, {}
    with suppress(InputError):
        about, values = read_sealed(file, "it is tuned again")
    if about.get("of") == fingerprint:
        device = problem.network.size.device
        return replace(
            set_parameters(policy, {name: value.to(device) for name, value in values.items()}),
            name=name,
        )
    if goal is None:
        found = tune(problem, policy, seed, effort=effort, progress=progress)
    else:
        found = tune_to_goal(problem, partial(_again, policy), goal, seed, effort, progress)
    values = {name: parameter.value for name, parameter in found.parameters(problem).items()}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(file, values, {"of": fingerprint})
    except (InputError, OSError) as error:
        logger.warning(
            "marl-inv: what was tuned is used, and not remembered: %s",
            message(str(error)) if isinstance(error, InputError) else f"{file.parent}: {error.strerror}",
        )
    return found


def _again(policy: Any, problem: Problem) -> Any:
    """The same policy as it begins on another problem."""
    base = getattr(policy, "base", None)
    return type(policy).of(problem) if base is None else type(policy).of(problem, _again(base, problem))


def _cache() -> Path:
    if folder := os.environ.get("MARL_INV_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "marl_inv"


def _fingerprint(problem: Problem, policy: Any, seed: int, effort: float, goal: float | None) -> str:
    """Of the scenario, its demand data, the policy as it begins, and the code that tunes it."""
    digest = hashlib.sha256(problem.scenario.model_dump_json().encode())
    digest.update(
        repr(
            (
                type(policy).__qualname__,
                policy.name,
                seed,
                effort,
                version("marl_inv"),
                str(problem.network.size.dtype),
                goal,
            )
        ).encode()
    )
    for name, parameter in policy.parameters(problem).items():
        digest.update(name.encode() + parameter.value.double().cpu().numpy().tobytes())
    digest.update(problem.demand.mean.tobytes() + problem.demand.sd.tobytes())
    for file in problem.scenario.data_files:
        digest.update(file.read_bytes())
    digest.update(_code())
    for module in _modules(policy):
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()[:32]


@cache
def _code() -> bytes:
    """A digest of every file of the packages `PLAYING`."""
    digest = hashlib.sha256()
    for package in PLAYING:
        folder = Path(str(resources.files(f"marl_inv.{package}")))
        for file in sorted(folder.rglob("*.py")):
            digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digest.digest()


def _modules(policy: Any) -> Iterator[Any]:
    """Where a policy, and each that it lies over, is written."""
    yield sys.modules[type(policy).__module__]
    if hasattr(policy, "base"):
        yield from _modules(policy.base)
