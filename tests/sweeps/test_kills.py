"""What ``kill -9`` of a worker, a node and of everything leaves: every trial, once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.sweeps.gate import GATE, Gate
from tests.sweeps.ray_nodes import RayNodes, family, kill_all
from tests.sweeps.whole_sweep import Sweep, check_tracked

EPOCHS, HELD = 4, 2

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("default"),
]


def wait_until(happened: Callable[[], bool], driver: subprocess.Popen[str], what: str) -> None:
    deadline = time.monotonic() + 180
    while not happened():
        assert driver.poll() is None, driver.communicate()[0]
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.1)


def copy_on(disk: Path) -> Path:
    (copy,) = (disk / "cache").glob("*.arrow")
    return copy


def test_a_worker_a_node_and_everything_killed(lone_sweep: Sweep, nodes: RayNodes) -> None:
    gate = Gate(lone_sweep.folder / "gate", HELD)
    disks = {name: str(lone_sweep.folder / name) for name in ("head", "second", "third", "alone")}
    lone_sweep.write(
        data={
            "root": str(lone_sweep.folder / "coco"),
            "image_size": 32,
            "node_cache": "$NODE_DISK/cache",
        },
        method={"cross_entropy": {}, GATE: {"folder": str(gate.folder)}},
        search={"space": "pretrain"},
        training={"epochs": EPOCHS, "batch_size": 32},
        trials=4,
        resources={"cpu": 1},
    )
    head = nodes.start_head(NODE_DISK=disks["head"])
    second = nodes.start_another(NODE_DISK=disks["second"])
    driver = lone_sweep.start(f"cluster.address={nodes.address}")
    wait_until(
        lambda: None not in (gate.waiting(0, HELD), gate.waiting(1, HELD)),
        driver,
        "two trials in mid-training",
    )

    # The data reached each node's own disk.
    copies = {name: copy_on(Path(disks[name])) for name in ("head", "second")}
    (original,) = (lone_sweep.folder / "runs" / "cache").glob(
        f"{next(iter(copies.values())).name}"
    )
    assert all(copy.read_bytes() == original.read_bytes() for copy in copies.values())
    inode = copies["head"].stat().st_ino

    # The worker of a trial: the trial goes on from its last checkpoint in another process, when
    # its turn comes again. Until then the next trial has its place, and is finished there.
    gate.open_until(EPOCHS, trial=2)
    on_head = {process.pid for process in family(head.pid)}
    first = {number: next(iter(gate.begun(number))) for number in (0, 1)}
    (mine,) = [number for number in (0, 1) if first[number] in on_head]
    other = 1 - mine
    os.kill(first[mine], signal.SIGKILL)
    wait_until(
        lambda: gate.waiting(mine, HELD) not in (None, first[mine]), driver, "another worker"
    )
    assert list(gate.begun(mine).values()) == [[0, 1, HELD], [HELD]]
    assert list(gate.begun(other).values()) == [[0, 1, HELD]]
    assert list(gate.begun(2).values()) == [[0, 1, 2, 3]]

    # A node with all its processes: its trial goes on on the node that comes in its place.
    gate.open_until(0, trial=3)
    nodes.kill(second)
    third = nodes.start_another(NODE_DISK=disks["third"])
    gate.open_until(EPOCHS, trial=mine)
    wait_until(lambda: gate.waiting(3, 0) is not None, driver, "the last trial")
    wait_until(
        lambda: gate.waiting(other, HELD) not in (None, first[other]), driver, "another node"
    )
    assert list(gate.begun(other).values()) == [[0, 1, HELD], [HELD]]
    assert list(gate.begun(mine).values()) == [[0, 1, HELD], [HELD, 3]]

    # Three trials and a new worker later it is still the first copy.
    assert copy_on(Path(disks["head"])).stat().st_ino == inode
    copy_on(Path(disks["third"]))

    # Everything, when two trials are finished, one in the middle and one before its first epoch.
    kill_all([*family(driver.pid), *family(head.pid), *family(third.pid)])
    driver.communicate()
    before = lone_sweep.trials()
    states = {trial.number: trial.state for trial in before}
    assert states == {
        mine: TrialState.COMPLETE,
        other: TrialState.RUNNING,
        2: TrialState.COMPLETE,
        3: TrialState.RUNNING,
    }

    gate.open_until(EPOCHS)
    gate.open_until(EPOCHS, trial=3)
    code, output = lone_sweep.run(NODE_DISK=disks["alone"])
    assert code == 0, output
    after = lone_sweep.trials()
    assert [trial.state for trial in after] == [TrialState.COMPLETE] * 4
    assert [after[number] for number in (mine, 2)] == [before[number] for number in (mine, 2)]
    attempts = [after[number].user_attrs["attempts"] for number in (mine, other, 2, 3)]
    assert attempts == [2, 3, 1, 2]
    assert list(gate.begun(mine).values()) == [[0, 1, HELD], [HELD, 3]]
    assert list(gate.begun(other).values()) == [[0, 1, HELD], [HELD], [HELD, 3]]
    assert list(gate.begun(2).values()) == [[0, 1, 2, 3]]
    assert list(gate.begun(3).values()) == [[0], [0, 1, 2, 3]]
    assert all(len(lone_sweep.checkpoints(number)) in (0, 2) for number in range(4))
    check_tracked(lone_sweep, trials=4, epochs=EPOCHS)
