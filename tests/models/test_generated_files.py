"""A graph network leaves no files behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_what_pyg_generates_does_not_pile_up_in_the_temporary_folder(tmp_path: Path):
    """PyG writes a module for each kind of messages, and loads it; the network works all the same."""
    code = """
import torch
from marl_inv.episodes.problem import load_problem
from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.models.learned import Actor, encode
from marl_inv.models.settings import ModelSettings
problem = load_problem("two_warehouses", ["horizon=3"])
for messages in ("lane", "mean", "attention"):
    settings = ModelSettings(messages=messages, hidden=8)
    Actor(encode(problem, OrderUpTo.of(problem), settings), settings)
"""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=300)
    assert [file.name for file in tmp_path.rglob("*.py")] == []
