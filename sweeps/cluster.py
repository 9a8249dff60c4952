"""Joining or starting the Ray cluster that a sweep runs on, and whether the sweep fits there."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import ray
from ray._private import ray_constants
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hsplid_core.errors import ConfigError
from sweeps._token import use_token
from sweeps.spec import ClusterSpec, ResourcesSpec

_REACHABLE_S = 5.0
_ANSWER_S = 120.0  # a node's first task may have to unpack a runtime environment

_ENVIRONMENT = {
    # The sweep has its own records; Ray's CSV, JSON and TensorBoard files would triple the writes.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ray's newer progress output prints tables at verbosity 0 too.
    "RAY_AIR_NEW_OUTPUT": "0",
    # The result that tells of a failure has no metrics for Ray's own schedulers to look at.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
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
    with ExitStack() as stack:
        if cluster.address is None:
            stack.enter_context(_on_loopback_only())
            _start(cluster)
        else:
            _join(cluster.address)
        stack.callback(ray.shutdown)
        yield


@contextmanager
def _on_loopback_only() -> Iterator[None]:
    """Let a cluster of this machine alone listen on the loopback only.

    By default Ray listens on all interfaces, even where its node's address is given as 127.0.0.1:
    it resolves that to the machine's own. The switch is the one it has for systems whose firewall
    would ask the user, and read when Ray is imported.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _start(cluster: ClusterSpec) -> None:
    # Nobody else can reach it; and without this Ray writes a token file into the user's home.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init(
        "local",  # whatever RAY_ADDRESS says
        num_cpus=cluster.num_cpus,
        num_gpus=cluster.num_gpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address="127.0.0.1",
    )


def _join(address: str) -> None:
    if address.startswith(("ray://", "http://", "https://")):
        raise ConfigError(
            f"cluster.address is {address}: use HOST:PORT of the head (6379) on one of the "
            "cluster's nodes; from another machine, python -m sweeps.submit with the URL of the "
            "dashboard"
        )
    _check_reachable(address)
    use_token()
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        # Without a token Ray merely says that it failed to connect.
        raise ConfigError(
            f"cluster.address is {address}: this process cannot join what answers there "
            f"({_first_line(error)}); set RAY_AUTH_TOKEN_PATH to the file of the cluster's token, "
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
        f"cluster.address is {address}: no Ray cluster answers there ({_first_line(error)}); "
        "start one with ray start --head, or leave the address out to use this machine"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def check_storage(folder: Path) -> None:
    """Refuse a storage folder that other nodes of the connected cluster do not share.

    Each node has to read what this process wrote there, and to write what this process can read.
    A node that joins later is not looked at.

    Args:
        folder: Folder of all sweeps; created where there is none.

    Raises:
        ConfigError: Some nodes lack it, have another one there, or may not write.
    """
    own = ray.get_runtime_context().get_node_id()
    others = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] != own]
    if not others:
        return
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".shared-{uuid.uuid4().hex}"
    try:
        probe.write_text(probe.name)
        answers = [_ask(probe, node["NodeID"]) for node in others]
        faults = [
            f"{node['NodeManagerAddress']}: {fault}"
            for node, answer in zip(others, answers, strict=True)
            if (fault := _fault(_answer_file(probe, node["NodeID"]), answer)) is not None
        ]
    finally:
        for file in folder.glob(f"{probe.name}*"):
            file.unlink(missing_ok=True)
    if faults:
        raise ConfigError(
            f"storage is {folder}, which not all nodes of the cluster share "
            f"({'; '.join(faults)}): mount one folder at the same path on every node, and name it"
        )


def _ask(probe: Path, node: str) -> ray.ObjectRef[str | None]:
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    task = ray.remote(_answer).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
    return task.remote(probe, node)


def _answer(probe: Path, node: str) -> str | None:
    """Answer a probe from another node; return what is wrong."""
    try:
        if probe.read_text() != probe.name:
            return "reads something else"
        _answer_file(probe, node).write_text(node)
    except OSError as error:
        return error.strerror
    return None


def _answer_file(probe: Path, node: str) -> Path:
    return probe.with_name(f"{probe.name}-{node}")


def _fault(answer_file: Path, answer: ray.ObjectRef[str | None]) -> str | None:
    try:
        fault: str | None = ray.get(answer, timeout=_ANSWER_S)
    except RayError as error:
        return f"does not answer ({_first_line(error)})"
    if fault is None and not answer_file.is_file():
        return "writes somewhere else"
    return fault


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
