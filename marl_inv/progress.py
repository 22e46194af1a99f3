"""How long loops tell how far they are: whoever runs one may wrap it, the command line in a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Progress = Callable[[Iterable[Any], str], Iterable[Any]]
"""Takes a loop and its title, and gives the loop back."""


def silently(loop: Iterable[Any], title: str) -> Iterable[Any]:
    return loop
