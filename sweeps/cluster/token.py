"""The token of a Ray cluster, from where Ray itself looks for it."""

from __future__ import annotations

import os
from pathlib import Path

from hsplid_core.errors import ConfigError


def cluster_token() -> str | None:
    """Return the token of RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ``~/.ray/auth_token``.

    Raises:
        ConfigError: The file that RAY_AUTH_TOKEN_PATH names cannot be read.
    """
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(named) if named else Path.home() / ".ray" / "auth_token"
    if not named and not file.is_file():
        return None
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except OSError as error:
        raise ConfigError(
            f"RAY_AUTH_TOKEN_PATH is {file}, which cannot be read ({error.strerror}): name the "
            "file with the cluster's token"
        ) from error


def use_token() -> None:
    """Switch token authentication on where there is a token and the user has not said no.

    Ray's own clients send a token in this mode only. Has to be called before Ray is first used.

    Raises:
        ConfigError: The file that RAY_AUTH_TOKEN_PATH names cannot be read.
    """
    if cluster_token() is not None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
