"""Tracking URI: where runs are recorded, and how to look at them."""

from __future__ import annotations

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


def sweep_argument(folder: Path) -> str:
    """Return what a command calls a sweep: its name where it lies in ``runs``, else its folder."""
    is_usual = folder.absolute() == Path("runs").absolute() / folder.name
    return folder.name if is_usual else str(folder)


def ui_command(
    uri: str, folder: Path, *, port: int | None = None, experiment_id: str | None = None
) -> str:
    """Return how to look at the results, in one line for a POSIX shell.

    Args:
        uri: Tracking URI of the sweep.
        folder: The sweep's folder.
        port: Port of the UI on this machine; None takes one that is free.
        experiment_id: Experiment to point to.

    Returns:
        For a database the command that starts the UI; for a server its address, as it shows its
        UI itself.
    """
    if is_server(uri):
        # Otherwise the UI opens with its pages on language models.
        runs = f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning"
        return uri.rstrip("/") + (runs if experiment_id else "")
    command = ["python", "-m", "sweeps.ui", sweep_argument(folder)]
    return shlex.join([*command, *([] if port is None else ["--port", str(port)])])


def ui_arguments(uri: str, *, port: int) -> list[str]:
    """Return the command that starts the UI on a database, on the loopback."""
    # The environment need not be activated: the plain name might find nothing, or another one.
    program = str(Path(sys.executable).parent / "mlflow")
    stores = ["--backend-store-uri", uri, "--registry-store-uri", uri]
    return [program, "ui", *stores, "--port", str(port), "--workers", "1"]
