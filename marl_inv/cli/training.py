"""The command that trains."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from marl_inv.cli.arguments import AllowCode, ScenarioName, Settings
from marl_inv.cli.printing import console, progress_bar, say
from marl_inv.common.plugins import is_own
from marl_inv.common.printed import PlainConsole
from marl_inv.learning.settings import TrainSettings


def training_settings_told() -> str:
    """Every training setting with its default and what it does, for the end of `train --help`."""
    lines = [
        f"{name}={field.default}: {field.description}" for name, field in TrainSettings.model_fields.items()
    ]
    return "Training settings, as key=value or in a --settings file:\n\n" + "\n\n".join(lines)


def train(
    scenario: ScenarioName,
    settings: Settings = None,
    algorithm: Annotated[
        str | None,
        typer.Option(
            help="mappo, ippo, reinforce, pathwise, iql, vdn or qmix; or module:build of one's own."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="graph or mlp; or module:Class of one's own.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam, adamw or rmsprop.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...")] = None,
    seed: Annotated[int | None, typer.Option(help="Where all chance comes from.")] = None,
    file: Annotated[Path | None, typer.Option("--settings", help="A YAML file of training settings.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder; runs/SCENARIO-ALGORITHM-SEED-TIME by default.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the run in --out where it was stopped, to the same policy."
        ),
    ] = False,
    begin: Annotated[
        Path | None,
        typer.Option(
            "--from", help="A run whose policy training begins as, of this scenario or one like it."
        ),
    ] = None,
    allow_code: AllowCode = False,
) -> None:
    """Train a policy; every training setting listed below can be given as key=value. The same command with
    --resume goes on after a stop, and with more decisions for longer."""
    from marl_inv.learning.runs import run_training, split_settings, training_settings
    from marl_inv.scenario import load_scenario

    of_scenario, of_training = split_settings(settings or [])
    options = {"algorithm": algorithm, "model": model, "optimizer": optimizer, "device": device, "seed": seed}
    options["start"] = None if begin is None else str(begin)
    chosen = training_settings(of_training, file, allow_code=allow_code, **options)
    loaded = load_scenario(scenario, of_scenario)
    begun = time.perf_counter()
    folder, trained = run_training(loaded, chosen, out, progress_bar, resume, say)
    console.print(
        f"trained {chosen.algorithm} in {time.perf_counter() - begun:.0f} s: "
        f"{trained.percent_over_baseline:+.1f}% over tuned order-up-to on validation traces"
    )
    console.print(
        f"the run is in {folder}; look at it with\n  tensorboard --logdir {folder}\nfirst of all on "
        "http://localhost:6006/#custom_scalars, and score it on evaluation traces with\n  marl-inv compare "
        f"{scenario} {folder} {' '.join(of_scenario)}{' --allow-code' * is_own(chosen.model)}",
        soft_wrap=True,
    )


@contextmanager
def going_on() -> Iterator[None]:
    """Whoever stops an experiment is told that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        PlainConsole(stderr=True).print("stopped; the same command goes on from here")
        raise SystemExit(130) from None
