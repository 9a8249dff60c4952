"""Storage shared by all nodes of a cluster, looked at node by node."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hsplid_core.bucket_path import AnyPath, BucketError
from hsplid_core.errors import ConfigError
from sweeps.cluster.connection import first_line

_ANSWER_S = 120.0  # a node's first task may have to unpack a runtime environment
_PATIENCE_S = 300.0  # a node that is only slow, or restarts, answers in the end
_PAUSE_S = 5.0


@dataclass(frozen=True)
class _Answer:
    """What a node said of the storage: what is wrong, or that it did not say anything (yet)."""

    fault: str | None = None
    silent: bool = False


class SharedStorage:
    """Looks once at every node of the connected cluster: does it share the storage?

    Each node has to read what this process wrote there, and to write what this process can read.

    Args:
        storage: Folder of all sweeps, or the place in a bucket.
    """

    def __init__(self, storage: AnyPath) -> None:
        self._storage = storage
        self._checked: set[str] = set()
        self._silent: dict[str, str] = {}

    def check(self, patience_s: float = _PATIENCE_S) -> None:
        """Refuse a storage that this process cannot use, or that other nodes do not share.

        Args:
            patience_s: Seconds for which silent nodes are asked again.

        Raises:
            ConfigError: Some lack it, have another one there, may not write, or never answer.
            BucketError: This machine cannot use the bucket.
        """
        deadline = time.monotonic() + patience_s
        while True:
            faults = self.new_faults()
            if faults is not None:
                raise ConfigError(faults)
            if not self._silent:
                return
            if time.monotonic() > deadline:
                told = "; ".join(f"{node}: {reason}" for node, reason in self._silent.items())
                raise ConfigError(
                    f"nodes of the cluster do not answer, so whether they share storage "
                    f"{self._storage} is not known ({told}): wait until they are up, or stop Ray "
                    "there"
                )
            time.sleep(_PAUSE_S)

    def new_faults(self) -> str | None:
        """Look at the nodes that have not answered before; say what is wrong with them.

        One that does not answer (yet) has no fault, and is asked again the next time.

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
        answers = self._probe(others)
        # Whoever is gone by now shares nothing, and does no harm.
        there = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        told = []
        self._silent = {}
        for node in others:
            answer = answers[node["NodeID"]]
            if node["NodeID"] not in there or answer.fault is None:
                continue
            if answer.silent:
                self._silent[node["NodeManagerAddress"]] = answer.fault
                self._checked.discard(node["NodeID"])
            else:
                told.append(f"{node['NodeManagerAddress']}: {answer.fault}")
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

    def _probe(self, nodes: Sequence[Mapping[str, Any]]) -> dict[str, _Answer]:
        self._storage.mkdir(parents=True, exist_ok=True)
        probe = self._storage / f".shared-{uuid.uuid4().hex}"
        ids = [node["NodeID"] for node in nodes]
        try:
            probe.write_text(probe.name)
            answers = {node: _ask(probe, node) for node in ids}
            return {node: _received(_answer_file(probe, node), answers[node]) for node in ids}
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


def _received(answer_file: AnyPath, answer: ray.ObjectRef[str | None]) -> _Answer:
    try:
        fault: str | None = ray.get(answer, timeout=_ANSWER_S)
    except RayError as error:
        return _Answer(f"does not answer ({first_line(error)})", silent=True)
    if fault is None and not answer_file.is_file():
        return _Answer("writes somewhere else")
    return _Answer(fault)
