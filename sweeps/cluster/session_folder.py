"""Session folder of a Ray of this machine: its sockets, logs and token, for its user alone."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import Timeout

from hsplid_core.errors import ConfigError, SaliencyError
from hsplid_core.files import locked

_PREFIX = "sweep-"
_LOCK = "driver.lock"
_TOKEN = "token"

# What Ray puts below it for its longest socket, of the 107 bytes that the system allows.
_SOCKET = "/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_LONGEST = 107 - len(_SOCKET) - len(f"/{_PREFIX}12345678")


@contextmanager
def session_folder() -> Iterator[Path]:
    """Make the folder of a session, which is removed with the block.

    It is made below RAY_TMPDIR, else TMPDIR, else ``/tmp``. What processes that were killed have
    left there is removed first.

    Yields:
        The folder; only this user may enter it.

    Raises:
        ConfigError: The place cannot be used.
    """
    parent = _parent()
    _remove_left(parent)
    with ExitStack() as stack:
        try:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        except OSError as error:
            raise ConfigError(
                f"Ray's session needs a folder in {parent}, where none can be made "
                f"({error.strerror}): set RAY_TMPDIR to a folder that can be written"
            ) from error
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(locked(folder / _LOCK, "RAY_TMPDIR"))
        yield folder


def write_token(folder: Path) -> Path:
    """Write a new token into a session's folder.

    Returns:
        The file, which only its user may read.
    """
    file = folder / _TOKEN
    with open(file, "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as handle:
        handle.write(secrets.token_hex(32))
    return file


def _parent() -> Path:
    named = os.environ.get("RAY_TMPDIR")
    parent = Path(named or tempfile.gettempdir()).absolute()
    if len(os.fsencode(parent)) > _LONGEST:
        if named is None:
            return Path("/tmp")
        raise ConfigError(
            f"RAY_TMPDIR is {parent}, {len(os.fsencode(parent))} bytes long, and the paths of "
            f"Ray's sockets below it would be too long: name a folder of at most {_LONGEST}"
        )
    return parent


def _remove_left(parent: Path) -> None:
    """Remove the folders of this user's sessions whose processes have ended, however they did."""
    for lock in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        with suppress(OSError, Timeout, SaliencyError):
            if lock.parent.stat().st_uid == os.getuid():
                with locked(lock, "RAY_TMPDIR", wait=False):
                    shutil.rmtree(lock.parent, ignore_errors=True)
