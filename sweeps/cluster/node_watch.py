"""Node watch: notices that the cluster of a sweep is lost, when Ray may wait for ever."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import psutil
import ray

from sweeps.spec.cluster_spec import ClusterSpec
from sweeps.terminal.restart import can_restart, restart, restarts
from sweeps.terminal.stop_signals import end_with_last_words, stopped_by

CLUSTER_LOST = 75
"""Exit code of a command whose cluster is lost: EX_TEMPFAIL, by which the same may work later."""

_PERIOD_S = 2.0
_MISSES = 3  # in a row, until a server counts as lost
_ANSWER_S = 5.0
# Longer than Ray waits before it says so, shorter than until it ends the process.
_START_PATIENCE_S = 45.0
_SERVERS = {"gcs_server": "the head (GCS)", "raylet": "this node's raylet"}
_REJOIN_UNTIL = "SWEEP_REJOIN_UNTIL"
_LOOK_S = 5.0
_GO_ON = "the same command goes on from the last epochs"
ENDED_BY_RAY = (
    "error: this command was ended while Ray started, by Ray itself if nobody else did: its "
    f"processes on this machine have ended, as when memory runs out; {_GO_ON}"
)
"""What is said last where Ray's C++ code ends the process, which no code of ours hears of."""


@contextlib.contextmanager
def watched(cluster: ClusterSpec) -> Iterator[None]:
    """Watch the servers that this process needs of the connected cluster, from a thread.

    Where one of them is lost, the command begins anew: on this machine once, with another Ray; on
    a cluster it waits there until that answers again (see :func:`rejoin_until`). So it does where
    the block fails meanwhile, whatever it takes the reason for.

    Args:
        cluster: How it was joined or started.
    """
    servers = {_SERVERS["gcs_server"]: ray.get_runtime_context().gcs_address}
    own = ray.get_runtime_context().get_node_id()
    for node in ray.nodes():
        if node["NodeID"] == own:
            servers[_SERVERS["raylet"]] = f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
    with _thread(lambda ended: _watch(servers, cluster, ended)):
        try:
            yield
        except Exception:
            for name, address in servers.items():
                if can_restart() and stopped_by() is None and not _answers(address):
                    _handle_loss(name, cluster)
            raise


@contextlib.contextmanager
def watched_start(cluster: ClusterSpec) -> Iterator[None]:
    """Watch what Ray starts on this machine, or the head that it joins, while it does so.

    Of a server that ends there Ray either says so within half a minute, or it waits for a minute
    and then ends this process from its C++ code. Before that, the command begins anew as in
    :func:`watched`. Where Ray ends the process at once, a line says so all the same.

    Args:
        cluster: How it is joined or started.
    """
    with _told_afterwards(ENDED_BY_RAY), _thread(lambda ended: _watch_start(cluster, ended)):
        yield


@contextlib.contextmanager
def _told_afterwards(line: str) -> Iterator[None]:
    """Have a line said by another process if this one ends in the block, in whatever way."""
    # It waits for the end of a pipe, which comes with the end of this process.
    waits = ["sh", "-c", 'read -r word || echo "$0" >&2', line]
    with subprocess.Popen(waits, stdin=subprocess.PIPE, text=True) as speaker:
        try:
            yield
        finally:
            speaker.communicate("ended\n")


@contextlib.contextmanager
def _thread(work: Callable[[threading.Event], None]) -> Iterator[None]:
    ended = threading.Event()
    threading.Thread(target=work, args=(ended,), name="node-watch", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def rejoin_until() -> float | None:
    """Return until when (Unix time) a command that lost its cluster tries to join it again."""
    text = os.environ.get(_REJOIN_UNTIL)
    return None if text is None else float(text)


def _watch(servers: Mapping[str, str], cluster: ClusterSpec, ended: threading.Event) -> None:
    misses = dict.fromkeys(servers, 0)
    while not ended.wait(_PERIOD_S):
        for name, address in servers.items():
            misses[name] = 0 if _answers(address) else misses[name] + 1
            # Whoever is told to stop ends anyway, and by the time that this has.
            if misses[name] >= _MISSES and stopped_by() is None and not ended.is_set():
                _handle_loss(name, cluster)


def _watch_start(cluster: ClusterSpec, ended: threading.Event) -> None:
    seen: dict[psutil.Process, str] = {}
    lost_since: float | None = None
    while not ended.wait(_PERIOD_S):
        if cluster.address is None:
            seen |= _own_servers()
            lost = next((name for process, name in seen.items() if not _runs(process)), None)
        else:
            lost = None if _answers(cluster.address) else _SERVERS["gcs_server"]
        if lost is None:
            lost_since = None
            continue
        lost_since = lost_since or time.monotonic()
        is_late = time.monotonic() >= lost_since + _START_PATIENCE_S
        if is_late and stopped_by() is None and not ended.is_set():
            _handle_loss(lost, cluster)


def _own_servers() -> dict[psutil.Process, str]:
    found = {}
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if _runs(process) and process.name() in _SERVERS:
                found[process] = _SERVERS[process.name()]
    return found


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return True  # "auto", which names no server
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
    except TimeoutError:
        return True  # too busy to answer, but there
    except OSError:
        return False
    return True


def _handle_loss(server: str, cluster: ClusterSpec) -> None:
    if cluster.address is not None:
        what = f"The cluster at {cluster.address} is lost: {server} does not answer"
        if can_restart():
            os.environ[_REJOIN_UNTIL] = str(time.time() + 60 * cluster.lost_after)
            restart(f"{what}; joins it again, for up to {cluster.lost_after:g} min.")
        end_with_last_words(f"error: {what}; {_GO_ON}", CLUSTER_LOST)
    what = f"Ray on this machine is lost: {server} has ended, as when memory runs out"
    if can_restart() and not restarts():
        restart(f"{what}; starts it once more, trials go on from their last epochs.")
    end_with_last_words(
        f"error: {what}; lower resources.max_concurrent or data.workers if memory is short. "
        f"{_GO_ON.capitalize()}",
        CLUSTER_LOST,
    )


class FittingNodes:
    """Looks now and then whether any node is left that a trial fits on.

    Args:
        resources: What a trial occupies: ``cpu`` and ``gpu``.
        lost_after: Minutes after which a cluster without such a node is given up.
    """

    def __init__(self, resources: Mapping[str, float], lost_after: float) -> None:
        self._resources = resources
        self._lost_after = lost_after
        self._looked = 0.0
        self._lost_since: float | None = None

    def give_up(self) -> str | None:
        """Look, at most every few seconds; say so once where there is none.

        Returns:
            Why to give up, once there was none for too long.
        """
        now = time.monotonic()
        if now < self._looked + _LOOK_S:
            return None
        self._looked = now
        if any(self._fits(node["Resources"]) for node in ray.nodes() if node["Alive"]):
            self._lost_since = None
            return None
        what = "no node of the cluster is left that a trial fits on"
        if self._lost_since is None:
            self._lost_since = now
            sys.stderr.write(f"Waits up to {self._lost_after:g} min, for {what}.\n")
        if now < self._lost_since + 60 * self._lost_after:
            return None
        return f"{what}, for {self._lost_after:g} min (cluster.lost_after)"

    def _fits(self, there: Mapping[str, float]) -> bool:
        need = {"CPU": self._resources["cpu"], "GPU": self._resources["gpu"]}
        return all(amount <= there.get(kind, 0.0) for kind, amount in need.items())
