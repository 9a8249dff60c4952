"""Ray's private parts that are used here, all of them, for want of a public way.

pyproject.toml has an upper bound for Ray, and a test finds each part where it is expected.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray import tune
    from ray.job_submission import JobSubmissionClient
    from ray.train._internal.storage import StorageContext

# Name of a logger that tells of every upload.
PACKAGING_LOGGER = "ray._private.runtime_env.packaging"


def local_node(folder: Path) -> Mapping[str, Any]:
    """Return arguments of ray.init for a cluster that only this machine can reach.

    Args:
        folder: Where its sockets and logs are to be.
    """
    return {"_node_ip_address": "127.0.0.1", "_temp_dir": str(folder)}


@contextmanager
def own_token(file: Path) -> Iterator[None]:
    """Let a cluster that is started inside ask for a token, which its processes read from a file.

    Ray reads the variables when it is imported, and keeps the token.
    """
    ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)}
    before = {name: os.environ.get(name) for name in (*ours, "RAY_AUTH_TOKEN")}
    os.environ.pop("RAY_AUTH_TOKEN", None)
    os.environ.update(ours)
    _read_token_anew()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _read_token_anew()


def _read_token_anew() -> None:
    from ray import _raylet

    compiled: Any = _raylet  # without types
    compiled.Config.initialize("")
    compiled.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def loopback_only() -> Iterator[None]:
    """Let a cluster of this machine alone listen on the loopback only.

    By default Ray listens on all interfaces, even where its node's address is given as 127.0.0.1:
    it resolves that to the machine's own. The switch is the one it has for systems whose firewall
    would ask the user, and read when Ray is imported.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


# A node's methods that start the autoscaler's monitor, the log monitor and the dashboard's server.
NEEDLESS = ("start_monitor", "start_log_monitor", "start_api_server")


@contextmanager
def without_needless_processes() -> Iterator[None]:
    """Let a cluster that is started inside go without what serves people or other machines.

    ray.init starts these even where it is asked for neither a dashboard nor logs: two of five CPU
    seconds, and a third of the wait for the first task.
    """
    from ray._private.node import Node

    before = {name: getattr(Node, name) for name in NEEDLESS}
    for name in NEEDLESS:
        setattr(Node, name, lambda node, **settings: None)
    try:
        yield
    finally:
        for name, start in before.items():
            setattr(Node, name, start)


def storage_of(trainable: tune.Trainable) -> StorageContext | None:
    """Return where Ray Tune keeps a trial's checkpoints; None outside of Ray."""
    return trainable._storage


def server_version(client: JobSubmissionClient) -> str | None:
    """Return the version of Ray that a cluster runs, as its client learnt it when it connected.

    Args:
        client: Of the cluster's Jobs API.
    """
    # Its own get_version tells the API's version, which is 4 for all.
    version: str | None = client._server_ray_version
    return version
