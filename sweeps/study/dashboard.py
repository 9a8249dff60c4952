"""Optuna's dashboard on the study of a sweep, read-only, on the loopback."""

from __future__ import annotations

import socketserver
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from hsplid_core.errors import ConfigError
from sweeps.study.database import open_storage
from sweeps.study.location import find_place

_HOST = "127.0.0.1"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def dashboard(folder: Path, *, port: int | None = None) -> tuple[WSGIServer, str]:
    """Make a server of the dashboard; ``serve_forever`` runs it.

    Args:
        folder: The sweep's folder.
        port: Where it listens, on the loopback only; None takes a port that is free.

    Returns:
        The server, and the address of the study's page.

    Raises:
        ConfigError: optuna-dashboard is not installed, the folder holds no study, or the port is
            taken.
    """
    try:
        from optuna_dashboard import wsgi
    except ImportError as error:
        raise ConfigError("--optuna needs optuna-dashboard: pip install '.[dashboard]'") from error
    place = find_place(folder)
    if place is None:
        raise ConfigError(f"{folder} holds no study: name the folder of a sweep, runs/NAME")
    storage = open_storage(folder, place, writes=False)
    number = storage.get_study_id_from_name(place.name)
    try:
        server = make_server(_HOST, port or 0, _read_only(wsgi(storage)), _Server, _Quiet)
    except OSError as error:
        raise ConfigError(f"--port is {port}: {error.strerror}; leave it out") from error
    return server, f"http://{_HOST}:{server.server_port}/dashboard/studies/{number}"


def _read_only(application: Application) -> Application:
    """Refuse whatever would change the study, which only its driver writes."""

    def answer(request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if request["REQUEST_METHOD"] in ("GET", "HEAD"):
            return application(request, start)
        start("403 Forbidden", [("Content-Type", "application/json")])
        return [b'{"reason": "The study is opened read-only: only its sweep writes it."}']

    return answer


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""
