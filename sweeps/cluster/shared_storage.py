"""Storage shared by all nodes of a cluster, looked at node by node."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hsplid_core.bucket_path import AnyPath, BucketError
from hsplid_core.errors import ConfigError
from sweeps.cluster.connection import first_line

_ANSWER_S = 120.0  # a node's first task may have to unpack a runtime environment


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
        return f"does not answer ({first_line(error)})"
    if fault is None and not answer_file.is_file():
        return "writes somewhere else"
    return fault
