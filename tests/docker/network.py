"""Hosts on one machine, in a network namespace each."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence

import psutil

_SUBNET = "10.83.7"  # seen by the namespaces alone


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Namespaces:
    """A network namespace for each host; the first one has the bridge that joins them.

    Args:
        hosts: Their names.

    Raises:
        OSError: There is no ``ip``.
        subprocess.CalledProcessError: The system does not allow it.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        self._names = {host: f"ss{os.getpid()}-{host}" for host in hosts}
        self._addresses = {host: f"{_SUBNET}.{i}" for i, host in enumerate(hosts, start=1)}
        first, *others = self._names.values()
        try:
            for name in self._names.values():
                _ip("netns", "add", name)
                _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", first, "link", "add", "bridge", "type", "bridge")
            _ip("-n", first, "addr", "add", f"{_SUBNET}.1/24", "dev", "bridge")
            _ip("-n", first, "link", "set", "bridge", "up")
            # Ray asks the system which address it would use towards the outside.
            _ip("-n", first, "route", "add", "default", "dev", "bridge")
            for i, name in enumerate(others, start=2):
                end = ["type", "veth", "peer", "name", "eth0", "netns", name]
                _ip("-n", first, "link", "add", f"to{i}", *end)
                _ip("-n", first, "link", "set", f"to{i}", "master", "bridge", "up")
                _ip("-n", name, "addr", "add", f"{_SUBNET}.{i}/24", "dev", "eth0")
                _ip("-n", name, "link", "set", "eth0", "up")
                _ip("-n", name, "route", "add", "default", "via", f"{_SUBNET}.1")
        except (OSError, subprocess.CalledProcessError):
            self.close()
            raise

    def prefix(self, host: str) -> list[str]:
        """Return what makes a command run on a host."""
        return ["ip", "netns", "exec", self._names[host]]

    def address(self, host: str) -> str:
        """Return the IP address of a host."""
        return self._addresses[host]

    def processes(self, host: str) -> list[psutil.Process]:
        """Return all processes of a host."""
        listed = ["ip", "netns", "pids", self._names[host]]
        found = subprocess.run(listed, capture_output=True, text=True, check=False).stdout
        alive = []
        for pid in found.split():
            with contextlib.suppress(psutil.NoSuchProcess):
                alive.append(psutil.Process(int(pid)))
        return alive

    def close(self) -> None:
        """Take the network down."""
        for name in self._names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
