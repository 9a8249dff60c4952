"""Files of tensors that are whole or not there at all.

One ``torch.save`` file of tensors and plain values, so that it loads with ``weights_only=True``,
and beside it the SHA-256 of its bytes. The checksum is written last: a file without one, or with
another one, was interrupted or damaged.

The checksum tells damage. It does not protect against a person who may write to the folder, and
who would write both files. What such a file cannot do is run code: ``weights_only`` loads nothing
but tensors and plain values.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from typing import IO, Any

import torch

from hsplid_core.bucket_path import AnyPath, BucketPath
from hsplid_core.errors import CheckpointError
from hsplid_core.files import replacing

STATE_FILE = "state.pt"
_CHECKSUM_SUFFIX = ".sha256"
# A zip archive, and what torch wrote before there was one.
_STARTS_OF_TORCH = (b"PK", b"\x80\x02\x8a\n")


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
    _write_atomically(checksum_file(path), digest.encode())


def read_state(path: AnyPath) -> dict[str, Any]:
    """Read a checkpoint file after verifying its checksum.

    Raises:
        CheckpointError: The file or its checksum is missing, or they disagree.
        BucketError: It lies in a bucket that does not answer, or refuses.
    """
    checksum = checksum_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    try:
        expected = checksum.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} is incomplete: {checksum.name} beside it cannot be read ({error.strerror}), "
            "so the writing was interrupted, or the file was copied without it"
        ) from error
    if hashlib.sha256(content).hexdigest().encode() != expected:
        raise CheckpointError(f"{path} is damaged: its SHA-256 is not that of {checksum.name}")
    state = load_plain(io.BytesIO(content), source=str(path))
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds a {type(state).__name__}, and no checkpoint")
    return state


def load_plain(file: IO[bytes], *, source: str) -> Any:
    """Load what ``torch.save`` wrote, without running any code that the file may hold.

    Args:
        file: Open for reading, at its start.
        source: Where it comes from, for the message.

    Raises:
        CheckpointError: It is damaged, no file of torch's, or holds other objects than tensors and
            plain values.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    # What is no file of torch's is read as one all the same, and may fail anywhere and anyhow.
    except Exception as error:
        file.seek(0)
        if isinstance(error, pickle.UnpicklingError) and file.read(4).startswith(_STARTS_OF_TORCH):
            raise CheckpointError(
                f"{source} holds objects besides tensors, which could run code and are not "
                "loaded; if you trust it, keep its tensors alone: load it with torch.load(..., "
                "weights_only=False), and torch.save its state_dict"
            ) from error
        cause = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise CheckpointError(f"{source} is damaged, or no file of PyTorch's: {cause}") from error


def checksum_file(path: AnyPath) -> AnyPath:
    """Name the file beside a checkpoint that holds its checksum."""
    return path.with_name(path.name + _CHECKSUM_SUFFIX)


def _write_atomically(path: AnyPath, content: bytes) -> None:
    if isinstance(path, BucketPath):
        path.write_bytes(content)
        return
    with replacing(path) as file:
        file.write(content)
