"""Ray's Jobs API, with errors that say what to do."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hsplid_core.errors import ConfigError, SaliencyError
from sweeps.cluster.token import use_token
from sweeps.spec.addresses import check_no_secret, check_server
from trainables.internals import PACKAGING_LOGGER

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

DEFAULT_ADDRESS = "http://127.0.0.1:8265"

_REACHABLE_S = 5.0
# They tell of every upload and closed connection.
_CHATTY = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    PACKAGING_LOGGER,
)
_MAX_CAUSE = 300  # characters: Ray answers some errors with a whole traceback


class JobError(SaliencyError):
    """The cluster answers, but refuses, or knows no such job."""


def default_address() -> str:
    """Return the address that commands use unless told another: RAY_API_SERVER_ADDRESS's."""
    return os.environ.get("RAY_API_SERVER_ADDRESS", DEFAULT_ADDRESS)


def connect(address: str) -> JobSubmissionClient:
    """Connect to a cluster's Jobs API.

    Args:
        address: URL of the head's dashboard, as ``http://host:8265``.

    Raises:
        ConfigError: The address is none, nothing answers there, or it is no Ray cluster.
        JobError: The cluster wants a token, or another one.
    """
    check_no_secret("--address", address, "a token comes from RAY_AUTH_TOKEN_PATH")
    check_server("--address", address, f"that of the cluster's dashboard, as {DEFAULT_ADDRESS}")
    url = urlsplit(address)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        # Ray's client waits for ever for a machine that does not answer.
        socket.create_connection((url.hostname, port), timeout=_REACHABLE_S).close()
    except OSError as error:
        raise ConfigError(
            f"--address is {address}: no Ray cluster answers there ({error}); start one, or give "
            "the URL of its dashboard"
        ) from error
    use_token()
    # These two would win over the address given here.
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    os.environ.pop("RAY_ADDRESS", None)
    from ray.job_submission import JobSubmissionClient

    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    with explained(address):
        return JobSubmissionClient(address)


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn errors of Ray's client into ours.

    Raises:
        ConfigError: The cluster does not answer any more, or is none.
        JobError: It refuses.
    """
    from ray.exceptions import AuthenticationError
    from requests.exceptions import RequestException

    try:
        yield
    except SaliencyError:
        raise
    except AuthenticationError as error:
        why = "another token" if "403" in str(error) or "Forbidden" in str(error) else "a token"
        raise JobError(
            f"the cluster at {address} wants {why}: set RAY_AUTH_TOKEN_PATH to the file of the "
            "cluster's token, or RAY_AUTH_TOKEN to the token itself"
        ) from error
    except (ConnectionError, RequestException) as error:
        raise ConfigError(
            f"--address is {address}: no Ray cluster answers there ({_short(error)}); give the "
            "URL of its dashboard"
        ) from error
    except RuntimeError as error:
        raise JobError(f"the cluster at {address} refuses: {_short(error)}") from error


def _short(error: Exception) -> str:
    text = str(error).strip()
    line = text.splitlines()[0] if text else type(error).__name__
    return line if len(line) <= _MAX_CAUSE else f"{line[:_MAX_CAUSE]}..."
