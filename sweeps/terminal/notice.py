"""Notice of a sweep's end, to a command or a webhook: tried once, and nothing depends on it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Literal

import requests

from hsplid_core.errors import ConfigError
from sweeps.spec.notify_spec import NotifySpec

_LIMIT_S = 10.0

State = Literal["finished", "stopped", "failed"]


def check_notice(notify: NotifySpec) -> None:
    """Refuse a webhook whose variable is not set, before anything starts.

    Raises:
        ConfigError: It is not.
    """
    if notify.webhook is not None and not os.environ.get(notify.webhook):
        raise ConfigError(
            f"notify.webhook is {notify.webhook}, and there is no such environment variable: set "
            "it to the webhook's URL, or notify.webhook=null"
        )


def send_notice(notify: NotifySpec, *, sweep: str, state: State, text: str) -> None:
    """Tell whoever the spec names; what goes wrong is one line, and no error.

    Args:
        notify: Whom to tell.
        sweep: Name of the sweep.
        state: How it ended.
        text: What there is to say about it, a line or a few.
    """
    message = f"{sweep} {state}: {text}"
    if notify.command is not None:
        command = shlex.split(notify.command)
        _try("notify.command", lambda: _run(command, message, sweep=sweep, state=state))
    if notify.webhook is not None and (url := os.environ.get(notify.webhook)):
        _try("notify.webhook", lambda: _post(url, message))


def _try(field: str, send: Callable[[], None]) -> None:
    try:
        send()
    except (OSError, subprocess.SubprocessError) as error:
        # Of a webhook, the error's own text would show the URL.
        told = "" if field == "notify.webhook" else f": {error}"
        sys.stderr.write(f"{field} did not work ({type(error).__name__}{told})\n")


def _run(command: list[str], message: str, *, sweep: str, state: str) -> None:
    subprocess.run(
        command,
        input=f"{message}\n",
        text=True,
        env={**os.environ, "SWEEP_NAME": sweep, "SWEEP_STATE": state},
        # What a sweep prints may be read by a program.
        stdout=subprocess.DEVNULL,
        timeout=_LIMIT_S,
        check=True,
    )


def _post(url: str, message: str) -> None:
    # Errors of requests are OSErrors.
    requests.post(url, json={"text": message}, timeout=_LIMIT_S).raise_for_status()
