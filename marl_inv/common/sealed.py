"""Tensors on disk: one safetensors file that carries its own SHA-256, written whole or not at all, and never
executed.

The digest stands in the file's metadata and is of the file with zeros in its place, so that not one byte can
change unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, contiguous_format

from marl_inv.common.errors import InputError
from marl_inv.common.files import LARGEST_NETWORK, LARGEST_TENSORS, read_bytes, write_whole

UNSEALED = b'"sha256":"' + b"0" * 64 + b'"'
"""The digest's place. Quotes inside metadata are escaped, so nothing else in the header reads like it."""


def write_sealed(file: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write tensors and what is said about them; whenever the machine stops, the file is the old one or the
    new one.

    Raises InputError where there is no room or no permission.
    """
    apart = {
        name: tensor.detach().cpu().clone(memory_format=contiguous_format) for name, tensor in tensors.items()
    }
    content = _in_order(save(apart, {**about, "sha256": "0" * 64}))
    digest = hashlib.sha256(content).hexdigest().encode()
    write_whole(file, content.replace(UNSEALED, b'"sha256":"' + digest + b'"', 1))


def _in_order(content: bytes) -> bytes:
    """The same file with what is said in the order of its keys: the same tensors are then the same bytes."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def seal_text(text: str) -> str:
    """A JSON mapping with its own SHA-256 as its first key; see `read_text_sealed`."""
    unsealed = text.replace("{", '{"sha256":"' + "0" * 64 + '",', 1)
    return unsealed.replace("0" * 64, hashlib.sha256(unsealed.encode()).hexdigest(), 1)


def read_text_sealed(file: Path, remedy: str) -> Any:
    """What the JSON of a file with a seal says. Raises InputError for one that cannot be read, or is not as
    it was written; where it never had a seal, `ValueError`."""
    try:
        text = read_bytes(file, LARGEST_NETWORK).decode()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); {remedy}") from error
    seal = re.match(r'\{"sha256":"([0-9a-f]{64})"', text)
    if seal is None:
        raise ValueError("it has no seal")
    if hashlib.sha256(text.replace(seal[1], "0" * 64, 1).encode()).hexdigest() != seal[1]:
        raise InputError(f"{file}: is damaged, or was changed; {remedy}")
    return json.loads(text)


def read_sealed(file: Path, remedy: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """What is said about the tensors, and the tensors, on the CPU. Raises InputError, ending in the remedy,
    for a file that is not as it was written."""
    try:
        content = read_bytes(file, LARGEST_TENSORS)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); {remedy}") from error
    header = slice(8, 8 + int.from_bytes(content[:8], "little"))
    seal = re.search(rb'"sha256":"([0-9a-f]{64})"', content[header])
    try:
        if (
            seal is None
            or hashlib.sha256(content.replace(seal[0], UNSEALED, 1)).hexdigest().encode() != seal[1]
        ):
            raise ValueError
        about = json.loads(content[header])["__metadata__"]
        return {name: text for name, text in about.items() if name != "sha256"}, load(content)
    except (SafetensorError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{file}: cannot be read (it is damaged, or was not written by marl_inv); {remedy}"
        ) from error
