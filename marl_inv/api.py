"""What `import marl_inv` offers where it takes more than its room does: a scenario in any form, and policies
by their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marl_inv.baselines import tuning
from marl_inv.baselines.goals import tune_to_goal
from marl_inv.baselines.parameters import Tunable
from marl_inv.chance.luck import Stream
from marl_inv.common.errors import InputError
from marl_inv.common.progress import Progress, Say, say_nothing, silently
from marl_inv.episodes.problem import AnyScenario, as_problem
from marl_inv.evaluation.evaluate import Score
from marl_inv.evaluation.evaluate import evaluate as evaluate_policies
from marl_inv.evaluation.stress import Stress, under_shocks
from marl_inv.learning.runs import run_training, split_settings, training_settings
from marl_inv.learning.settings import TrainSettings
from marl_inv.policies import AnyPolicy, as_policy, check_goal, listed, tunable_named, tuned, with_goal
from marl_inv.scenario.shocks import Shock, shock_library

if TYPE_CHECKING:
    from marl_inv.learning.train import Trained


def evaluate(
    scenario: AnyScenario,
    policies: AnyPolicy | Iterable[AnyPolicy],
    seed: int = 0,
    replications: int = 512,
    progress: Progress = silently,
    stream: Stream = "evaluate",
) -> list[Score]:
    """Play policies, or whom a name or run folder stands for, on the same traces of a stream, and score the
    periods after the warm-up.

    Raises InputError.
    """
    problem = as_problem(scenario)
    chosen = [as_policy(policy, problem, seed, progress) for policy in listed(policies)]
    return evaluate_policies(problem, chosen, seed, replications, progress, stream)


def stress(
    scenario: AnyScenario,
    policies: AnyPolicy | Iterable[AnyPolicy],
    shocks: str | Path | Sequence[Shock] = "market",
    seed: int = 0,
    replications: int = 512,
    progress: Progress = silently,
    settings: Iterable[str] = (),
    allow_code: bool = False,
) -> Stress:
    """Play policies, made and tuned for the scenario as it is, under shocks to its demand: those given, or of
    a library by name or path. The first policy is whom the others are compared with.

    Raises InputError.
    """
    problem = as_problem(scenario, settings)
    library = shock_library(shocks) if isinstance(shocks, str | Path) else list(shocks)
    given = listed(policies)
    if not given:
        raise InputError("stress: needs a policy to play; name one, as tuned_order_up_to")
    chosen = [as_policy(policy, problem, seed, progress, allow_code) for policy in given]
    return under_shocks(problem, chosen, library, seed, replications, progress, list(map(str, given)))


def tune(
    scenario: AnyScenario,
    policy: str | Tunable = "order_up_to",
    settings: Iterable[str] = (),
    seed: int = 0,
    effort: float = 1.0,
    progress: Progress = silently,
    keep: float | None = None,
) -> Any:
    """A classical policy with the best parameters found, named `tuned ...`: of a baseline's name they are
    remembered, and found once; of a policy of one's own they are not.

    `settings` are `key.path=value` of the scenario; `effort` multiplies the length of the search; with
    `keep`, a fill rate, it is the cheapest that keeps it. Raises InputError, also where none keeps it.
    """
    problem = as_problem(scenario, settings)
    if isinstance(policy, str):
        policy, goal = with_goal(policy)
        goal = goal if keep is None else check_goal(keep)
        return tuned(problem, tunable_named(policy, problem), seed, effort, progress, goal)
    if keep is not None:
        return tune_to_goal(problem, lambda _: policy, check_goal(keep), seed, effort, progress)
    return tuning.tune(problem, policy, seed, effort=effort, progress=progress)


def train(
    scenario: AnyScenario,
    settings: TrainSettings | Iterable[str] = (),
    out: str | Path | None = None,
    progress: Progress = silently,
    resume: bool = False,
    say: Say = say_nothing,
    **options: Any,
) -> Trained:
    """Train a policy, as `marl-inv train` does: `train("two_warehouses", algorithm="pathwise",
    decisions=500_000)`.

    What is set of training are the fields of `TrainSettings`, as keywords, as `key=value` texts (with the
    scenario's, as `horizon=50`), or as a TrainSettings. With `out`, a folder, the run is kept there, as the
    command line keeps it, and `resume` goes on with it; without one nothing is written. A Problem stays on
    the device it is on. Raises InputError.
    """
    of_scenario, chosen = _settings_of(settings, options)
    problem = as_problem(scenario, of_scenario, chosen.device)
    if out is not None or resume:
        return run_training(problem, chosen, None if out is None else Path(out), progress, resume, say)[1]
    from marl_inv.learning import (
        train as learning,
    )  # Tianshou takes seconds to import; only training pays for it

    baseline = tuned(problem, tunable_named("order_up_to", problem), chosen.seed, progress=progress)
    return learning.train(problem, chosen, progress=progress, baseline=baseline, say=say)


def _settings_of(
    settings: TrainSettings | Iterable[str], options: dict[str, Any]
) -> tuple[list[str], TrainSettings]:
    """The scenario's settings, and those of training; code of one's own may be named, by whoever calls."""
    if not isinstance(settings, TrainSettings):
        of_scenario, of_training = split_settings(settings)
        return of_scenario, training_settings(of_training, source="train", allow_code=True, **options)
    if options:
        raise InputError(
            f"train: {next(iter(options))} is given beside a TrainSettings; give keywords, or put it in there"
        )
    return [], settings


def render(
    scenario: AnyScenario,
    policy: AnyPolicy = "order_up_to",
    path: str | Path = "episode.gif",
    seed: int = 0,
    period: int | None = None,
    progress: Progress = silently,
) -> Path:
    """Play an evaluation episode and write a film of it (.gif), or a picture (.png, .svg, .pdf) of where it
    stands after `period` periods; all of them by default. Raises InputError."""
    from marl_inv.drawing import film  # matplotlib takes long to import, and only pictures need it

    problem = as_problem(scenario)
    return film.render(problem, as_policy(policy, problem, seed, progress), path, seed, period, progress)
