"""What differs between the machines that run trials."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from hsplid_core.errors import ConfigError


def node_folder(given: Path | None) -> Path | None:
    """Say where ``data.node_cache`` is on this machine.

    Args:
        given: As in the spec, with variables of the environment.

    Raises:
        ConfigError: A variable is not set here, or the path is relative: each trial's working
            directory is another one.
    """
    if given is None:
        return None
    folder = Path(os.path.expandvars(given)).expanduser()
    if "$" in str(folder) or not folder.is_absolute():
        raise ConfigError(
            f"data.node_cache is {given}, on {socket.gethostname()} {folder}: name an absolute "
            "path, with variables that are set on every node before Ray starts there"
        )
    return folder
