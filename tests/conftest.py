"""Set up before marl_inv is first imported: the shape notes of its records and functions are checked in
tests, and only there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from hypothesis import settings

import shape_checks

shape_checks.install("marl_inv")
os.environ["MARL_INV_CACHE"] = tempfile.mkdtemp(prefix="marl_inv_")
torch.set_num_threads(1)

settings.register_profile("local", deadline=None, database=None, print_blob=True)
settings.register_profile("ci", parent=settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture
def unchecked() -> Iterator[None]:
    """As for users, whose calls no test checks: where what marl_inv itself says of wrong types is asked for."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
