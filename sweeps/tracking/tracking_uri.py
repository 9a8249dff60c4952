"""Tracking URI: where runs are recorded, and how to look at them."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from hsplid_core.errors import ConfigError

_PYSQLITE = "sqlite+pysqlite"
# Without its queues for background jobs, which no sweep uses, the UI starts in half the time and
# runs in two processes instead of thirteen.
UI_ENVIRONMENT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def default_uri(storage: Path) -> str:
    """Return the URI of the sqlite file that records the sweeps of a storage folder."""
    from sqlalchemy import URL

    plain = URL.create("sqlite", database=str(storage.absolute() / "mlflow.db"))
    text = plain.render_as_string()
    # Where a name's characters are written as %XX, MLflow would make a folder of that name, too:
    # of every plain sqlite:/// it makes the folder without reading them.
    return text if "%" not in text else plain.set(drivername=_PYSQLITE).render_as_string()


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a sqlite URI, None for any other kind.

    Raises:
        ConfigError: The URI asks for a database in memory, which nobody could look at.
    """
    from sqlalchemy import make_url

    if not uri.startswith("sqlite"):
        return None
    name = make_url(uri).database
    if name in (None, "", ":memory:"):
        raise ConfigError(f"tracking.uri is {uri}: name a file, as in sqlite:///runs/mlflow.db")
    return Path(str(name)).absolute()


def is_server(uri: str) -> bool:
    """Tell whether a URI names a tracking server, which has its own UI and artifact store."""
    return uri.startswith(("http://", "https://"))


def ui_command(uri: str, *, port: int = 5000, experiment_id: str | None = None) -> str:
    """Return how to look at the results, in one line for a POSIX shell.

    Args:
        uri: Tracking URI of the sweep.
        port: Port of the UI on this machine.
        experiment_id: Experiment to point to.

    Returns:
        For a database the command that starts the UI, followed by its address as a comment; for a
        server its address, as it shows its UI itself.
    """
    # Otherwise the UI opens with its pages on language models.
    runs = f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    page = runs if experiment_id else ""
    if is_server(uri):
        return f"{uri.rstrip('/')}{page}"
    settings = " ".join(f"{name}={value}" for name, value in UI_ENVIRONMENT.items())
    command = shlex.join(ui_arguments(uri, port=port))
    return f"{settings} {command}  # http://127.0.0.1:{port}{page}"


def ui_arguments(uri: str, *, port: int) -> list[str]:
    """Return the command that starts the UI on a database, on the loopback."""
    return [_program(), "ui", "--backend-store-uri", uri, "--port", str(port), "--workers", "1"]


def _program() -> str:
    # The environment need not be activated, so the plain name might find nothing or another one.
    program = Path(sys.executable).parent / "mlflow"
    shortened = Path(os.path.relpath(program))
    return str(program if shortened.parts[0] == ".." else shortened)
