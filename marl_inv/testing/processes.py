"""The same luck in every process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from marl_inv.common.errors import CheckFailed
from marl_inv.environment import parallel_env
from marl_inv.episodes.problem import Problem, as_problem
from marl_inv.scenario.export import write_scenario
from marl_inv.testing.environments import _Watched

# The same in every process


def fingerprint(problem: Problem, periods: int | None = None, seed: int = 0) -> str:
    """SHA-256 of all that an episode of sampled actions returns."""
    seen = hashlib.sha256()
    for told in _Watched(parallel_env(problem, max_cycles=periods)).episode(seed):
        for part, by_agent in told.parts.items():
            for agent, value in by_agent.items():
                for key, number in sorted(value.items()) if isinstance(value, dict) else [("", value)]:
                    seen.update(
                        f"{part} {agent} {key}".encode() + np.asarray(number, dtype=np.float64).tobytes()
                    )
    return seen.hexdigest()


def check_processes(problems: Iterable[Problem], periods: int | None = None) -> None:
    """Two new processes, in which Python orders its sets in different ways, play the same episodes as this
    one."""
    problems = list(problems)
    here = [fingerprint(problem, periods) for problem in problems]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{index}.yaml" for index in range(len(problems))]
        for problem, path in zip(problems, paths, strict=True):
            write_scenario(problem.scenario, path)
        command = [
            sys.executable,
            "-m",
            "marl_inv.testing",
            str(torch.get_num_threads()),
            str(periods or ""),
            *map(str, paths),
        ]
        started = [
            subprocess.Popen(
                command, env=os.environ | {"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True
            )
            for seed in ("1", "2")
        ]
        printed = [process.communicate()[0].split() for process in started]
    for process, there in zip(started, printed, strict=True):
        if process.returncode or len(there) != len(here):
            raise CheckFailed(
                f"a new process that plays the scenarios ends with exit code {process.returncode}"
            )
    for problem, *hashes in zip(problems, here, *printed, strict=True):
        if len(set(hashes)) > 1:
            raise CheckFailed(
                f"{problem.scenario.name}: seed 0 differs between processes: {', '.join(hashes)}"
            )


def print_fingerprints(threads: str, periods: str, *paths: str) -> None:
    torch.set_num_threads(int(threads))
    for path in paths:
        print(fingerprint(as_problem(Path(path)), int(periods) if periods else None), flush=True)
