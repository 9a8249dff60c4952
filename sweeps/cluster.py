"""Joining or starting the Ray cluster that a sweep runs on."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from hsplid_core.errors import ConfigError
from sweeps.spec import ClusterSpec, ResourcesSpec

_REACHABLE_S = 5.0

_ENVIRONMENT = {
    # The sweep has its own records; Ray's CSV, JSON and TensorBoard files would triple the writes.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ray's newer progress output prints tables at verbosity 0 too.
    "RAY_AIR_NEW_OUTPUT": "0",
    # The result that tells of a failure has no metrics for Ray's own schedulers to look at.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # A cluster for this one process, reachable from this machine only: without this Ray writes a
    # token file into the user's home.
    "RAY_AUTH_MODE": "disabled",
}


@contextmanager
def connected(cluster: ClusterSpec) -> Iterator[None]:
    """Hold a connection to the configured cluster; one started here ends with it.

    Args:
        cluster: Address of a running cluster, or the cores of one to start.

    Raises:
        ConfigError: No cluster answers at the address.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if cluster.address is not None:
        _check_reachable(cluster.address)
    try:
        if cluster.address is None:
            ray.init(
                num_cpus=cluster.num_cpus,
                num_gpus=cluster.num_gpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address="127.0.0.1",
            )
        else:
            ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise _no_cluster(cluster.address, error) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Try the address first: Ray itself tries for minutes and then ends the process."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # "auto": Ray looks for a cluster on this machine
    try:
        socket.create_connection((host, int(port)), timeout=_REACHABLE_S).close()
    except OSError as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str | None, error: Exception) -> ConfigError:
    return ConfigError(
        f"cluster.address is {address}: no Ray cluster answers there ({error}); start one with "
        "ray start --head, or leave the address out to use this machine"
    )


def check_resources(resources: ResourcesSpec) -> int:
    """Compare what a trial asks for with what the connected cluster has.

    Returns:
        How many trials run at a time.

    Raises:
        ConfigError: Not even one trial fits.
    """
    total: dict[str, float] = ray.cluster_resources()
    have = {"cpu": total.get("CPU", 0.0), "gpu": total.get("GPU", 0.0)}
    # With auto, one trial has a GPU of its own at first; later ones may share it.
    gpu = min(1.0, have["gpu"]) if resources.gpu == "auto" else resources.gpu
    need = {"cpu": resources.cpu, "gpu": gpu}
    for kind, amount in need.items():
        if amount > have[kind]:
            raise ConfigError(
                f"resources.{kind} is {amount:g}, but the cluster has {have[kind]:g}: lower it or "
                "give cluster.address of a larger cluster"
            )
    slots = min(int(have[kind] // amount) for kind, amount in need.items() if amount)
    return min(slots, resources.max_concurrent or slots)
