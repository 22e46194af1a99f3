"""How what takes long tells how far it is: whoever runs a loop may wrap it, the command line in a bar; lines
go to whoever wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Progress = Callable[[Iterable[Any], str], Iterable[Any]]
"""Takes a loop and its title, and gives the loop back."""


def silently(loop: Iterable[Any], title: str) -> Iterable[Any]:
    return loop


Say = Callable[[str], None]
"""Takes a line that a person should read; the command line prints it."""


def say_nothing(line: str) -> None:
    pass
