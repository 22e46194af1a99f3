"""Shapes and types of what functions are called with and return, checked where they are new.

jaxtyping and beartype look at every argument of every call, which makes playing an episode ten times as slow.
What they say depends on the kinds of values alone: of a tensor its dtype and shape, of a text the text, of
other things their type. So here they are asked once for each function and combination of kinds. What holds
values of many kinds, such as a list, is looked at every time.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Hashable
from types import FunctionType
from typing import Any

import jaxtyping
import numpy as np
import torch

_jaxtyped = jaxtyping.jaxtyped
_ARRAYS = (torch.Tensor, np.ndarray)
_HOLDERS = (list, tuple, dict, set, frozenset)


def install(package: str) -> None:
    """For all modules of a package that are imported from now on."""
    jaxtyping.jaxtyped = check_new
    jaxtyping.install_import_hook(package, "beartype.beartype")


class Various(Exception):
    """A value that may hold others of any kind."""


def kind(value: Any) -> Hashable:
    """All that a check can depend on. Raises Various."""
    cls = type(value)
    if issubclass(cls, _ARRAYS):
        return cls, value.dtype, value.shape
    if cls is str:
        return value[:40]
    if issubclass(cls, type):
        return value
    if issubclass(cls, _HOLDERS):
        if cls is tuple and len(value) < 9:
            return tuple([kind(each) for each in value])
        raise Various
    return cls


def check_new(fn: Any = None, *, typechecker: Any) -> Any:
    """In place of `jaxtyping.jaxtyped`: a function whose calls of new kinds are checked, or a dataclass whose
    making is."""
    if fn is None:
        return functools.partial(check_new, typechecker=typechecker)
    if inspect.isclass(fn):
        make = fn.__init__
        if (
            dataclasses.is_dataclass(fn)
            and isinstance(make, FunctionType)
            and not hasattr(make, "checks_new")
        ):
            fn.__init__ = check_new(make, typechecker=typechecker)
        return fn
    if isinstance(fn, classmethod | staticmethod):
        return type(fn)(check_new(fn.__func__, typechecker=typechecker))
    if isinstance(fn, property):
        return property(
            *(each and check_new(each, typechecker=typechecker) for each in (fn.fget, fn.fset, fn.fdel))
        )
    return fn if getattr(fn, "__no_type_check__", False) else _checking(fn, typechecker)


def _checking(fn: FunctionType, typechecker: Any) -> Callable[..., Any]:
    @functools.cache
    def checked() -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Made for those that are called, which are few in a process."""
        return _jaxtyped(fn, typechecker=typechecker), _jaxtyped(_returning(fn), typechecker=typechecker)

    taken: set[Hashable] = set()

    @functools.wraps(fn)
    def call(*args: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        if torch.compiler.is_compiling() or jaxtyping.config.jaxtyping_disable:
            return fn(*args, **options)  # what is compiled is compared with what is not
        try:
            given = (
                tuple([kind(each) for each in args]),
                tuple([(name, kind(each)) for name, each in options.items()]),
            )
        except Various:
            return checked()[0](*args, **options)
        if given not in taken:
            value = checked()[0](*args, **options)
            taken.add(given)
            return value
        value = fn(*args, **options)
        try:
            both = given, kind(value)
        except Various:
            both = None
        if both not in taken:
            _RETURNED.append(value)
            checked()[1](*args, **options)
            if both is not None:
                taken.add(both)
        return value

    call.checks_new = True  # pyright: ignore[reportFunctionMemberAccess]
    return call


_RETURNED: list[Any] = []


def _returning(fn: FunctionType) -> FunctionType:
    """What has the same signature, and returns the last of `_RETURNED`."""
    returned = _RETURNED

    def value(*args: Any, **options: Any) -> Any:
        return returned.pop()

    twin = FunctionType(value.__code__, fn.__globals__, fn.__name__, None, value.__closure__)
    return functools.update_wrapper(twin, fn)
