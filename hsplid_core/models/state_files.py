"""Files of tensors that are whole or not there at all.

One ``torch.save`` file of tensors and plain values, so that it loads with ``weights_only=True``,
and beside it the SHA-256 of its bytes. The checksum is written last: a file without one, or with
another one, was interrupted or damaged.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import Any

import torch

from hsplid_core.bucket_path import AnyPath, BucketPath
from hsplid_core.errors import CheckpointError
from hsplid_core.files import replacing

STATE_FILE = "state.pt"
_CHECKSUM_SUFFIX = ".sha256"


def write_state(path: AnyPath, state: Mapping[str, Any]) -> None:
    """Write a checkpoint file atomically.

    Args:
        path: File to write; its folder must exist.
        state: Tensors and plain values, nested in dicts, lists and tuples.

    Raises:
        BucketError: The file is to lie in a bucket, which does not take it.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    _write_atomically(path, buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    _write_atomically(_checksum_file(path), digest.encode())


def read_state(path: AnyPath) -> dict[str, Any]:
    """Read a checkpoint file after verifying its checksum.

    Raises:
        CheckpointError: The file or its checksum is missing, or they disagree.
        BucketError: It lies in a bucket that does not answer, or refuses.
    """
    try:
        content, expected = path.read_bytes(), _checksum_file(path).read_text()
    except OSError as error:
        raise CheckpointError(f"{path} is incomplete: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise CheckpointError(f"{path} is damaged: its checksum differs; delete it")
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state


def _checksum_file(path: AnyPath) -> AnyPath:
    return path.with_name(path.name + _CHECKSUM_SUFFIX)


def _write_atomically(path: AnyPath, content: bytes) -> None:
    if isinstance(path, BucketPath):
        path.write_bytes(content)
        return
    with replacing(path) as file:
        file.write(content)
