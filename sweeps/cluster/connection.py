"""Joining or starting the Ray cluster that a sweep runs on, and whether the sweep fits there."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import ray
from ray.exceptions import RayError

from hsplid_core.data.workers import n_cores
from hsplid_core.errors import ConfigError, SaliencyError
from sweeps.cluster.node_watch import rejoin_until, watched, watched_start
from sweeps.cluster.session_folder import session_folder, write_token
from sweeps.cluster.token import use_token
from sweeps.spec.cluster_spec import ClusterSpec
from sweeps.terminal.stop_signals import starting_processes
from trainables.internals import (
    local_node,
    loopback_only,
    own_token,
    without_needless_processes,
)

_REACHABLE_S = 5.0
_PAUSE_S = 2.0

_ENVIRONMENT = {
    # The sweep has its own records; Ray's CSV, JSON and TensorBoard files would triple the writes.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ray's newer progress output prints tables at verbosity 0 too.
    "RAY_AIR_NEW_OUTPUT": "0",
    # The result that tells of a failure has no metrics for Ray's own schedulers to look at.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # The study is what a sweep goes on from, and nobody reads Ray's snapshots of all trials, each
    # longer than the one before. It still writes one when a trial has saved two checkpoints.
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",
}

# What ray.init raises where its processes do not come up; the time-out is a bare Exception.
_START_FAULTS = (Exception,)


class ClusterError(SaliencyError):
    """No Ray cluster could be started."""


@contextmanager
def connected(cluster: ClusterSpec) -> Iterator[None]:
    """Hold a connection to the configured cluster; one started here ends with it.

    Args:
        cluster: Address of a running cluster, or the cores of one to start.

    Raises:
        ConfigError: No cluster answers at the address, or this machine does not let Ray start.
        ClusterError: Ray did not start on this machine.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with ExitStack() as stack:
        with starting_processes():
            if cluster.address is None:
                stack.enter_context(loopback_only())
                folder = stack.enter_context(session_folder())
                stack.enter_context(own_token(write_token(folder)))
                _start(cluster, folder)
            else:
                _join_again(cluster, cluster.address)
        stack.callback(ray.shutdown)
        stack.enter_context(watched(cluster))
        yield


def _start(cluster: ClusterSpec, folder: Path) -> None:
    here = psutil.Process()
    others = here.children()
    try:
        _start_once(cluster, folder)
    except _START_FAULTS:
        # A busy machine may be too slow for the 30 s that Ray waits for its own processes. Those
        # that have started by then it leaves behind.
        ray.shutdown()
        for child in set(here.children()) - set(others):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        try:
            _start_once(cluster, folder)
        except _START_FAULTS as error:
            raise ClusterError(
                f"Ray did not start on this machine, twice ({first_line(error)}): the machine may "
                "be too busy, or short of memory or of open files (ulimit -n); try again, or give "
                "cluster.address of a running cluster"
            ) from error


def _start_once(cluster: ClusterSpec, folder: Path) -> None:
    with watched_start(cluster), without_needless_processes():
        ray.init(
            "local",  # whatever RAY_ADDRESS says
            # Ray itself would take every core of a machine of which this job has some.
            num_cpus=cluster.num_cpus or n_cores(),
            num_gpus=cluster.num_gpus,
            include_dashboard=False,
            log_to_driver=False,
            # A lost raylet is told in a line by the node watch, not by the end of its log.
            logging_level=logging.CRITICAL,
            **local_node(folder),
        )


def _join_again(cluster: ClusterSpec, address: str) -> None:
    """Join a cluster; after it was lost, try for a while."""
    while True:
        try:
            return _join(cluster, address)
        except ConfigError:
            if time.time() >= (rejoin_until() or 0.0):
                raise
            ray.shutdown()
            time.sleep(_PAUSE_S)


def _join(cluster: ClusterSpec, address: str) -> None:
    _check_reachable(address)
    use_token()
    try:
        with watched_start(cluster):
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        # Without a token Ray merely says that it failed to connect.
        raise ConfigError(
            f"cluster.address is {address}: this process cannot join what answers there "
            f"({first_line(error)}); set RAY_AUTH_TOKEN_PATH to the file of the cluster's token, "
            "and see that this machine is one of its nodes and has its version of Ray"
        ) from error


def _check_reachable(address: str) -> None:
    """Try the address first: Ray itself tries for minutes and then ends the process."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return  # "auto": Ray looks for a cluster on this machine
    try:
        socket.create_connection((host, int(port)), timeout=_REACHABLE_S).close()
    except OSError as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"cluster.address is {address}: no Ray cluster answers there ({first_line(error)}); "
        "start one with ray start --head, or leave the address out to use this machine"
    )


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its kind where it has none."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
