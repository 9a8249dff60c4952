"""Joining or starting the Ray cluster that a sweep runs on, and whether the sweep fits there."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hsplid_core.bucket_path import AnyPath, BucketError
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
    # The study is what a sweep goes on from, and nobody reads Ray's snapshots of all trials, each
    # longer than the one before. It still writes one when a trial has saved two checkpoints.
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",
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


class SharedStorage:
    """Looks once at every node of the connected cluster: does it share the storage?

    Each node has to read what this process wrote there, and to write what this process can read.

    Args:
        storage: Folder of all sweeps, or the place in a bucket.
    """

    def __init__(self, storage: AnyPath) -> None:
        self._storage = storage
        self._checked: set[str] = set()

    def check(self) -> None:
        """Refuse a storage that this process cannot use, or that other nodes do not share.

        Raises:
            ConfigError: Some nodes lack it, have another one there, or may not write.
            BucketError: This machine cannot use the bucket.
        """
        faults = self.new_faults()
        if faults is not None:
            raise ConfigError(faults)

    def new_faults(self) -> str | None:
        """Look at the nodes that were not there before; say what is wrong with them.

        Raises:
            BucketError: This machine cannot use the bucket.
        """
        alive = [node for node in ray.nodes() if node["Alive"]]
        nodes = [node for node in alive if node["NodeID"] not in self._checked]
        if not nodes:
            return None
        self._checked |= {node["NodeID"] for node in nodes}
        own = ray.get_runtime_context().get_node_id()
        others = [node for node in nodes if node["NodeID"] != own]
        if not others and isinstance(self._storage, Path):
            return None
        faults = self._probe(others)
        # Whoever is gone by now shares nothing, and does no harm.
        there = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        told = [
            f"{node['NodeManagerAddress']}: {faults[node['NodeID']]}"
            for node in others
            if faults[node["NodeID"]] is not None and node["NodeID"] in there
        ]
        if not told:
            return None
        if isinstance(self._storage, Path):
            remedy = "mount one folder at the same path on every node, and name it"
        else:
            remedy = (
                "set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY on every node "
                "before Ray starts there"
            )
        return (
            f"storage is {self._storage}, which not all nodes of the cluster share "
            f"({'; '.join(told)}): {remedy}"
        )

    def _probe(self, nodes: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
        self._storage.mkdir(parents=True, exist_ok=True)
        probe = self._storage / f".shared-{uuid.uuid4().hex}"
        ids = [node["NodeID"] for node in nodes]
        try:
            probe.write_text(probe.name)
            answers = {node: _ask(probe, node) for node in ids}
            return {node: _fault(_answer_file(probe, node), answers[node]) for node in ids}
        finally:
            for file in (probe, *(_answer_file(probe, node) for node in ids)):
                file.unlink(missing_ok=True)


def _ask(probe: AnyPath, node: str) -> ray.ObjectRef[str | None]:
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    task = ray.remote(_answer).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
    return task.remote(probe, node)


def _answer(probe: AnyPath, node: str) -> str | None:
    """Answer a probe from another node; return what is wrong."""
    try:
        if probe.read_text() != probe.name:
            return "reads something else"
        _answer_file(probe, node).write_text(node)
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)
    except BucketError as error:
        return str(error.__cause__)
    return None


def _answer_file(probe: AnyPath, node: str) -> AnyPath:
    return probe.with_name(f"{probe.name}-{node}")


def _fault(answer_file: AnyPath, answer: ray.ObjectRef[str | None]) -> str | None:
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
