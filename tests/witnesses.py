"""What must not change where only the house does: digests of traces, trained policies and comparisons, as
JSON.

    python tests/witnesses.py > before.json     in one checkout; then the same in the other
    diff before.json after.json

Uses only what `import marl_inv` and the command line offer, so that it runs against any revision.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import marl_inv

TRACES = ("two_warehouses", "seasonal_retail", "hidden_regimes", "medical_supplies", "random_lead_times")
COMPARED = (["two_warehouses", "decisions=50000"], ["ring_transshipment", "--no-train"])
TRAINED = ("mappo", "pathwise")
ENVIRONMENT = os.environ | {"COLUMNS": "100", "OMP_NUM_THREADS": "1"}


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def trace(name: str) -> str:
    """Of everything that is drawn for three replications of every stream."""
    problem = marl_inv.load_problem(name)
    traces = [problem.trace(stream, 3, range(3)) for stream in ("train", "tune", "validate", "evaluate")]
    kinds = ("demand", "lead_time", "available", "promotion", "forecast", "start")
    values = [getattr(each, kind) for each in traces for kind in kinds]
    return digest(*(value.numpy().tobytes() for value in values if value is not None))


def marl_inv_prints(*words: str, folder: str) -> str:
    """By its command line, with a cache of its own."""
    ran = subprocess.run(
        [sys.executable, "-m", "marl_inv", *words],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT | {"MARL_INV_CACHE": folder},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def trained(algorithm: str, folder: str) -> str:
    """Of the tensors of a policy trained for 50,000 decisions."""
    from safetensors.numpy import load_file

    out = Path(folder) / algorithm
    words = ["two_warehouses", "--algorithm", algorithm, "--out", str(out), "decisions=50000", "threads=1"]
    marl_inv_prints("train", *words, folder=folder)
    tensors = load_file(out / "policy.safetensors")
    return digest(*(name.encode() + tensors[name].tobytes() for name in sorted(tensors)))


if __name__ == "__main__":
    found = {f"trace of {name}": trace(name) for name in TRACES}
    with tempfile.TemporaryDirectory() as cache:
        found |= {f"{algorithm}, trained": trained(algorithm, cache) for algorithm in TRAINED}
        found |= {
            " ".join(words): marl_inv_prints("compare", *words, folder=cache).splitlines()
            for words in COMPARED
        }
    json.dump(found, sys.stdout, indent=1)
    print()
