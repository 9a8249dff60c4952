"""A Ray cluster of several nodes on this machine: processes that can be killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.sweeps.servers import free_port

ROOT = Path(__file__).resolve().parents[2]

# A lost node is noticed within seconds; one that is merely slow is not taken for lost.
QUICK_TO_NOTICE = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "10000",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
_ENVIRONMENT = {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
# ray start without what serves people only, seven seconds of CPU for a head: all of it runs in the
# cluster of tests/docker.
_START = """\
from ray._private.node import Node
from ray.scripts.scripts import main
from trainables.internals import without_needless_processes
Node.start_ray_client_server = lambda node: None
with without_needless_processes():
    main()
"""
_OPTIONS = (
    "--node-ip-address=127.0.0.1",
    "--object-store-memory=80000000",
    "--disable-usage-stats",
    # Any free ports: there may be other nodes on this machine.
    "--min-worker-port=0",
    "--max-worker-port=0",
)

Node = subprocess.Popen[bytes]


@dataclass
class RayNodes:
    """Nodes that are reachable from this machine only.

    Attributes:
        folder: Ray's own files; its path must be short, for sockets are below it.
        cpus: Of each node.
        gpus: Of each node; they are only counted.
        environment: Of all nodes.
        port: The head's.
    """

    folder: Path
    cpus: int = 1
    gpus: int = 0
    environment: Mapping[str, str] = field(default_factory=lambda: QUICK_TO_NOTICE)
    port: int = 0
    started: list[Node] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start_head(self, *, port: int | None = None, **environment: str) -> Node:
        self.port = port or free_port()
        head = self._start(
            "--head",
            f"--port={self.port}",
            f"--temp-dir={self.folder}",
            "--include-dashboard=false",
            **environment,
        )
        deadline = time.monotonic() + 240
        while True:
            assert head.poll() is None, "the head node did not start"
            assert time.monotonic() < deadline, "the head node does not answer"
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return head
            time.sleep(0.2)

    def start_another(self, **environment: str) -> Node:
        return self._start(f"--address={self.address}", **environment)

    def start_without(self, folder: Path, **environment: str) -> Node:
        """Start one more that has an empty folder of its own at the place of one that exists."""
        hide = f'mount -t tmpfs none {folder} && exec "$@"'
        prefix = ["unshare", "--mount", "sh", "-c", hide, "sh"]
        return self._start(f"--address={self.address}", prefix=prefix, **environment)

    def _start(self, *arguments: str, prefix: Sequence[str] = (), **environment: str) -> Node:
        command = [*prefix, sys.executable, "-c", _START, "start", "--block"]
        command += [f"--num-cpus={self.cpus}", f"--num-gpus={self.gpus}", *_OPTIONS, *arguments]
        node = subprocess.Popen(
            command,
            env={**os.environ, **_ENVIRONMENT, **self.environment, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.started.append(node)
        return node

    def kill(self, node: Node) -> None:
        """Kill a node with all its processes, at once and without warning."""
        kill_all(family(node.pid))
        node.wait()


@contextlib.contextmanager
def ray_nodes(**settings: Any) -> Iterator[RayNodes]:
    """Make nodes that end with the block."""
    nodes = RayNodes(Path(tempfile.mkdtemp(prefix="ray-")), **settings)
    try:
        yield nodes
    finally:
        for node in nodes.started:
            if node.poll() is None:
                nodes.kill(node)
        shutil.rmtree(nodes.folder, ignore_errors=True)


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill_all(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=20)
