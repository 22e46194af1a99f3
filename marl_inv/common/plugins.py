"""Code of one's own in place of what comes with marl_inv, by its name: `module:name`, or
`path/to/file.py:name`.

A policy, an algorithm, a network or a reward may be named so. Whoever names one at the command line, or in a
Python call, has it run. A name that is read from a file (an experiment, settings, a saved policy) runs
nothing unless the person who has that file read says so: `check_allowed` stands at those doors. Importing
this loads neither torch nor Tianshou.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import AfterValidator

from marl_inv.common.errors import InputError, suggestion


def is_own(name: Any) -> bool:
    return isinstance(name, str) and ":" in name


def known_or_own(known: Sequence[str], form: str) -> AfterValidator:
    """That a setting is one of the names known, or code of one's own, of a form like module:Class."""

    def check(name: str) -> str:
        if name not in known and not is_own(name):
            names = ", ".join(map(repr, known[:-1])) + f" or {known[-1]!r}" if known else ""
            raise ValueError(f"is {name!r}; give {', or '.join(filter(None, (names, form)))}")
        return name

    return AfterValidator(check)


def check_allowed(name: Any, where: str, allow_code: bool) -> None:
    """Raise InputError for code of one's own that a file names, unless that is allowed."""
    if is_own(name) and not allow_code:
        raise InputError(
            f"{where}: names {name}, which is code that would be run; if you trust it, add --allow-code (in "
            "Python, allow_code=True)"
        )


def imported(name: str) -> Any:
    """The class or function of that name, of a module in the current folder or on PYTHONPATH.

    Raises InputError where there is none, or where its module cannot be imported.
    """
    module, (_, attribute) = _module(name), _taken_apart(name)
    if not hasattr(module, attribute):
        own = [
            each
            for each, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__
        ]
        raise InputError(
            f"{name}: {module.__file__} has no {attribute}{suggestion(attribute, own) or '; define it there'}"
        )
    found = getattr(module, attribute)
    if not callable(found):
        raise InputError(f"{name}: is {found!r}; name a class or a function")
    return found


def defaults(name: str) -> dict[str, Any]:
    """What its module says in DEFAULTS of settings of training, with those that are its own under `own`."""
    found = getattr(_module(name), "DEFAULTS", {})
    if not isinstance(found, dict) or not isinstance(found.get("own", {}), dict):
        raise InputError(
            f"{name}: its DEFAULTS are {found!r}; give a dict of settings, those of its own as {{'own': "
            f"{{...}}}}"
        )
    return found


def source(name: str) -> Path | None:
    """The file that it is written in; None where that is not found."""
    home, _ = _taken_apart(name)
    if home.endswith(".py"):
        return Path(home)
    with suppress(ImportError, ValueError, AttributeError), _found_first(Path.cwd()):
        spec = find_spec(home)
        return Path(spec.origin) if spec and spec.has_location and spec.origin else None
    return None


def digests(names: Iterable[Any]) -> dict[str, str]:
    """SHA-256 of the files in which those that are one's own are written; of what these import in turn it
    knows nothing."""
    files = {name: source(name) for name in names if is_own(name)}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in files.items()
        if file and file.is_file()
    }


def _taken_apart(name: str) -> tuple[str, str]:
    home, _, attribute = name.rpartition(":")
    is_module = home.endswith(".py") or all(part.isidentifier() for part in home.split("."))
    if not is_module or not attribute.isidentifier():
        raise InputError(f"{name}: names no code; give module:name or path/to/file.py:name")
    return home, attribute


def _module(name: str) -> ModuleType:
    home, _ = _taken_apart(name)
    file = Path(home).resolve() if home.endswith(".py") else None
    if file and not file.is_file():
        raise InputError(f"{name}: {home} is not there; give the path of a file that is, or a module's name")
    try:
        with _found_first(file.parent if file else Path.cwd()):
            return _of_file(file) if file else importlib.import_module(home)
    except Exception as error:  # whatever a module does while it is imported
        if isinstance(error, ModuleNotFoundError) and error.name and f"{home}.".startswith(f"{error.name}."):
            where = f"there is no module {error.name} in {Path.cwd()} or on PYTHONPATH"
            raise InputError(
                f"{name}: cannot be imported ({where}); go to its folder, or give path/to/file.py:name"
            ) from error
        told = str(error).partition("\n")[0]
        raise InputError(
            f"{name}: cannot be imported ({type(error).__name__}: {told}); mend {home}"
        ) from error


def _of_file(file: Path) -> ModuleType:
    """A file as a module, once, by its whole path: a name would be in the way of others."""
    key = str(file)
    if key not in sys.modules:
        spec = spec_from_file_location(key, file)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[key] = module = module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[key]
            raise
    return sys.modules[key]


@contextmanager
def _found_first(folder: Path) -> Iterator[None]:
    """Modules of a folder are found, as they would be by `python -m`; the command `marl-inv` by itself does
    not look where it is called."""
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove(str(folder))
