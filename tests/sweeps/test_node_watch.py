"""Node watch: a lost Ray is noticed, started or joined once more, and else told in one line."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest
import ray
from optuna.trial import TrialState

from sweeps.cluster.node_watch import ENDED_BY_RAY, FittingNodes
from tests.sweeps.gate import GATE, Gate
from tests.sweeps.ray_nodes import RayNodes, family
from tests.sweeps.whole_sweep import ROOT, Sweep, check_tracked

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("default"),
]

EPOCHS = 3


def gated(sweep: Sweep) -> Gate:
    gate = Gate(sweep.folder / "gate", 1)
    sweep.write(
        method={"cross_entropy": {}, GATE: {"folder": str(gate.folder)}},
        search={"space": "pretrain"},
        training={"epochs": EPOCHS, "batch_size": 32},
        trials=1,
    )
    return gate


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def kill(driver: int, name: str) -> None:
    (found,) = [
        process
        for process in family(driver)
        if process.name() == name and process.status() != psutil.STATUS_ZOMBIE
    ]
    found.send_signal(signal.SIGKILL)


def test_a_ray_of_this_machine_is_started_once_more(sweep: Sweep) -> None:
    gate = gated(sweep)
    process = sweep.start("cluster.address=null", "cluster.num_cpus=1")
    wait_until(lambda: gate.waiting(0, 1) is not None)
    first = gate.waiting(0, 1)
    kill(process.pid, "raylet")
    # The same process goes on with another Ray, from the last epoch.
    wait_until(lambda: gate.waiting(0, 1) not in (None, first))
    assert process.poll() is None
    kill(process.pid, "gcs_server")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 75, output
    assert "Traceback" not in output
    lines = output.splitlines()
    assert sum(
        line.startswith("Ray on this machine is lost: this node's raylet") for line in lines
    )
    assert lines[-1].startswith("error: Ray on this machine is lost: ")
    assert lines[-1].endswith("The same command goes on from the last epochs")
    assert {run.info.status for run in sweep.runs()} == {"KILLED"}

    gate.open_until(EPOCHS)
    code, output = sweep.run()  # on another Ray
    assert code == 0, output
    assert [trial.state for trial in sweep.trials()] == [TrialState.COMPLETE]
    assert list(gate.begun(0).values()) == [[0, 1], [1], [1, 2]]
    check_tracked(sweep, trials=1, epochs=EPOCHS)


def test_a_command_that_ray_ends_while_it_starts_is_told_of() -> None:
    start = (
        "import os; from sweeps.cluster.node_watch import watched_start; "
        "from sweeps.spec.cluster_spec import ClusterSpec\n"
        "with watched_start(ClusterSpec()): pass\n"
        "with watched_start(ClusterSpec()): os._exit(1)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", start], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (1, f"{ENDED_BY_RAY}\n")


def test_a_cluster_that_comes_back_is_joined_again(lone_sweep: Sweep, nodes: RayNodes) -> None:
    gate = gated(lone_sweep)
    head = nodes.start_head()
    process = lone_sweep.start(f"cluster.address={nodes.address}", "cluster.num_cpus=null")
    wait_until(lambda: gate.waiting(0, 1) is not None)
    nodes.kill(head)
    gate.open_until(EPOCHS)
    # Ray ends whoever asks a new head what it asked the old one, so the loss is waited for.
    assert process.stdout is not None
    lost = f"The cluster at {nodes.address} is lost: "
    assert any(lost in line for line in process.stdout)
    nodes.start_head(port=nodes.port)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert list(gate.begun(0).values()) == [[0, 1], [1, 2]]
    check_tracked(lone_sweep, trials=1, epochs=EPOCHS)


def test_a_cluster_without_a_node_that_fits_is_given_up(
    ray_address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.cluster.node_watch._LOOK_S", 0.0)
    ray.init(ray_address, log_to_driver=False)
    try:
        assert FittingNodes({"cpu": 8.0, "gpu": 2.0}, lost_after=0.0).give_up() is None
        patient = FittingNodes({"cpu": 9.0, "gpu": 0.0}, lost_after=60.0)
        assert (patient.give_up(), patient.give_up()) == (None, None)
        assert capsys.readouterr().err == (
            "Waits up to 60 min, for no node of the cluster is left that a trial fits on.\n"
        )
        assert FittingNodes({"cpu": 1.0, "gpu": 3.0}, lost_after=0.0).give_up() == (
            "no node of the cluster is left that a trial fits on, for 0 min (cluster.lost_after)"
        )
    finally:
        ray.shutdown()
