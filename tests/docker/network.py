"""Hosts on one machine: a network namespace each where the system allows it, else the loopback."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterable, Sequence
from typing import Protocol

import psutil

_SUBNET = "10.83.7"  # seen by the namespaces alone
_PORTS = (5000, 5432, 6379, 8265)


class Network(Protocol):
    """Some hosts that reach each other."""

    @property
    def isolated(self) -> bool:
        """Whether each host has its own interfaces and mounts."""

    def prefix(self, host: str) -> list[str]:
        """Return what makes a command run on a host."""

    def address(self, host: str) -> str:
        """Return the IP address of a host."""

    def port(self, port: int) -> int:
        """Return what stands for a port."""

    def processes(self, host: str, started: Sequence[int]) -> list[psutil.Process]:
        """Return all processes of a host, which were started by these."""

    def close(self) -> None:
        """Take the network down."""


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

    isolated = True

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
        return ["ip", "netns", "exec", self._names[host]]

    def address(self, host: str) -> str:
        return self._addresses[host]

    def port(self, port: int) -> int:
        return port

    def processes(self, host: str, started: Sequence[int]) -> list[psutil.Process]:
        listed = ["ip", "netns", "pids", self._names[host]]
        found = subprocess.run(listed, capture_output=True, text=True, check=False).stdout
        return _alive(map(int, found.split()))

    def close(self) -> None:
        for name in self._names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


class Loopback:
    """All hosts are this one, and ports are free ones."""

    isolated = False

    def __init__(self) -> None:
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in _PORTS]
            for opened in sockets:
                opened.bind(("127.0.0.1", 0))
            free = [int(opened.getsockname()[1]) for opened in sockets]
        self._ports = dict(zip(_PORTS, free, strict=True))

    def prefix(self, host: str) -> list[str]:
        return []

    def address(self, host: str) -> str:
        return "127.0.0.1"

    def port(self, port: int) -> int:
        return self._ports.get(port, port)

    def processes(self, host: str, started: Sequence[int]) -> list[psutil.Process]:
        roots = _alive(started)
        below = [process for root in roots for process in root.children(recursive=True)]
        return [*roots, *below]

    def close(self) -> None:
        pass


def _alive(pids: Iterable[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def make_network(hosts: Sequence[str]) -> Network:
    """Make namespaces, or fall back to the loopback."""
    try:
        return Namespaces(hosts)
    except (OSError, subprocess.CalledProcessError):
        return Loopback()
