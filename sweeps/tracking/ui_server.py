"""MLflow's UI as a process of its own, on the loopback, ended with whoever started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import requests

from sweeps.tracking.reachability import TrackingError
from sweeps.tracking.tracking_uri import UI_ENVIRONMENT, ui_arguments

HOST = "127.0.0.1"

_START_S = 120.0
_END_S = 10.0
_TOLD = 300  # characters of the UI's own last words


@dataclass(frozen=True)
class RunningUi:
    """A UI that answers.

    Attributes:
        address: Where, without a path.
        process: The process, a group of its own.
    """

    address: str
    process: subprocess.Popen[bytes]

    def wait(self) -> None:
        """Wait until the user stops this program.

        Raises:
            TrackingError: The UI ended by itself.
        """
        try:
            code = self.process.wait()
        except KeyboardInterrupt:
            return
        raise TrackingError(f"MLflow's UI at {self.address} ended with exit code {code}")


@contextmanager
def running_ui(uri: str, *, port: int | None = None) -> Iterator[RunningUi]:
    """Start the UI on a database, wait until it answers, and end it at last.

    Args:
        uri: The database.
        port: Where it listens, on the loopback only; None takes a port that is free.

    Raises:
        TrackingError: It does not start.
    """
    port = _free_port(0 if port is None else port)
    address = f"http://{HOST}:{port}"
    with tempfile.TemporaryFile() as log, _interruptible():
        process = subprocess.Popen(
            ui_arguments(uri, port=port),
            env={**os.environ, **UI_ENVIRONMENT},
            stdout=log,
            stderr=subprocess.STDOUT,
            # Control-C shall reach it through us, once, and all of its workers.
            start_new_session=True,
        )
        try:
            _wait_until_up(process, address, log)
            yield RunningUi(address, process)
        except KeyboardInterrupt:
            return
        finally:
            _end(process)


def _free_port(port: int) -> int:
    """Return a port if nobody has it, any that is free for 0."""
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the UI itself will
        try:
            found.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise TrackingError(
                f"--port is {port}, which cannot be had ({error}): use another, or leave it out"
            ) from error
        return int(found.getsockname()[1])


def _wait_until_up(process: subprocess.Popen[bytes], address: str, log: IO[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise TrackingError(f"MLflow's UI did not start at {address}: {_last_words(log)}")
        try:
            if requests.get(f"{address}/health", timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise TrackingError(f"MLflow's UI does not answer at {address}: {_last_words(log)}")


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return " ".join(lines[-3:])[-_TOLD:] or "it said nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    for means in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, means)
        except ProcessLookupError:
            break
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            continue
        break


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end what Control-C ends, so that no UI outlives its program.

    A shell that starts a program in the background has it ignore Control-C; here that counts, too.
    """
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, signal.default_int_handler) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)
