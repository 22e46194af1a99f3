"""How long loops tell how far they are: whoever runs one may wrap it, the command line in a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Progress = Callable[[Iterable[int], str], Iterable[int]]
"""Takes a loop and its title, and gives the loop back."""


def silently(loop: Iterable[int], title: str) -> Iterable[int]:
    return loop
