"""A Ray cluster of several nodes on this machine: processes that can be killed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]

# A lost node is noticed within seconds; one that is merely slow is not taken for lost.
QUICK_TO_NOTICE = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "10000",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
_ENVIRONMENT = {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled", **QUICK_TO_NOTICE}
_OPTIONS = (
    "--node-ip-address=127.0.0.1",
    "--num-cpus=1",
    "--object-store-memory=80000000",
    "--disable-usage-stats",
)

Node = subprocess.Popen[bytes]


@dataclass
class RayNodes:
    """Nodes with one CPU each, reachable from this machine only.

    Attributes:
        folder: Ray's own files; its path must be short, for sockets are below it.
        port: The head's.
    """

    folder: Path
    port: int = 0
    started: list[Node] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start_head(self, **environment: str) -> Node:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
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
        command = [*prefix, sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        node = subprocess.Popen(
            [*command, *_OPTIONS, *arguments],
            env={**os.environ, **_ENVIRONMENT, **environment},
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
