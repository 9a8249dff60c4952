"""Sweeps on a real SLURM: cut off, preempted, on lost nodes, beside each other, on two nodes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hsplid_core.data.demo.coco import write_coco_demo
from tests.slurm.slurm_nodes import NEEDED, SlurmNodes, slurm_nodes
from tests.sweeps.whole_sweep import Sweep, check_tracked

MISSING = [name for name in NEEDED if shutil.which(name) is None]
TRIALS = 3
_SETTLED_S = 20  # until nodes have forgotten a job's last start, and take it anew

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}: a SLURM is not here"),
    pytest.mark.skipif("SLURM_TESTS" not in os.environ, reason="minutes long: make slurm-test"),
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmNodes]:
    try:
        with slurm_nodes() as nodes:
            write_coco_demo(nodes.folder / "coco", image_size=32, n_train=160, n_val=40)
            yield nodes
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs namespaces, so root and iproute2: {error}")


class Submitted:
    """A sweep that was submitted."""

    def __init__(self, slurm: SlurmNodes, name: str, *options: str, epochs: int) -> None:
        self.slurm = slurm
        self.name = name
        self.epochs = epochs
        self.sweep = Sweep(slurm.folder, {})
        changes: dict[str, Any] = {
            "training": {"epochs": epochs, "batch_size": 8},
            "evaluation": {"epsilons_255": [2], "steps": 2, "max_images": 16, "every": epochs},
            "resources": {"cpu": 1},
            "trials": TRIALS,
        }
        self.sweep.write(name, **changes)
        self.options = options
        done = self.submit()
        assert done.returncode == 0, done.stderr
        assert "storage is " in done.stderr  # on a disk of this machine, for all that is known
        self.job = done.stdout.strip()

    def submit(self) -> subprocess.CompletedProcess[str]:
        command = ["-m", "sweeps.submit", f"{self.name}.yaml", "--slurm", *self.options]
        return self.slurm.run(sys.executable, *command)

    def jobs(self, *arguments: str) -> str:
        done = self.slurm.run(sys.executable, "-m", "sweeps.jobs", *arguments, "--slurm")
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def output(self) -> str:
        file = self.slurm.folder / "runs" / self.name / f"slurm-{self.job}.out"
        return file.read_text() if file.exists() else ""

    def wait_for_end(self) -> None:
        """Wait until the job has ended, and see that it has done so well."""
        self.wait_for_state("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED")
        assert self.state == "COMPLETED", self.output
        sys.stdout.write(self.output)  # for whoever looks, with -s

    def wait_for_state(self, *states: str, limit_s: float = 900) -> None:
        try:
            self.slurm.wait(lambda: self.state in states, limit_s)
        except AssertionError:
            raise AssertionError(f"{self.slurm.job(self.job)}\n{self.output}") from None

    @property
    def state(self) -> str:
        """The job's state. Once requeued, it waits for some seconds, and not for two minutes."""
        told = self.slurm.job(self.job)
        if told.get("Reason") == "BeginTime":
            since = datetime.now() - datetime.fromisoformat(told["SubmitTime"])
            if since.total_seconds() > _SETTLED_S:
                self.slurm.ask("scontrol", "update", f"job={self.job}", "StartTime=now")
        return told.get("JobState", "")

    def wait_for_checkpoint(self, of_job_number: int = 1) -> None:
        """Wait until the sweep, on so many a start of the job, has a whole checkpoint."""
        pattern = "trial_*/checkpoint_*/state.pt.sha256"

        def is_there() -> bool:
            assert self.state in ("PENDING", "RUNNING", "COMPLETING"), self.output
            attempts = sorted((self.slurm.folder / "runs" / self.name / "ray").glob("*"))
            return any(list(each.glob(pattern)) for each in attempts[of_job_number - 1 :])

        self.slurm.wait(is_there, 300)

    def check_whole(self) -> None:
        """Each trial is there once, in study and MLflow, with each of its epochs."""
        trials = self.sweep.trials(self.name)
        assert [trial.state.name for trial in trials] == ["COMPLETE"] * TRIALS
        check_tracked(self.sweep, TRIALS, self.epochs, self.name)

    def check_nothing_left(self) -> None:
        nodes = self.slurm.names
        self.slurm.wait(lambda: not any(map(self.slurm.processes, nodes)))
        assert [file for node in nodes for file in self.slurm.tmp(node).glob("sweep-*")] == []


def test_a_sweep_that_its_limit_cuts_off_twice_ends_whole(slurm: SlurmNodes) -> None:
    cut = Submitted(slurm, "cut", "--time", "2", "--signal", "0.5", epochs=130)
    cut.wait_for_end()
    assert cut.output.count("goes on in the queue") >= 2, cut.output
    cut.check_whole()
    cut.check_nothing_left()


def test_two_sweeps_on_one_node_and_one_is_stopped(slurm: SlurmNodes) -> None:
    here = ("--sbatch", "--nodelist=n1", "--cpus-per-task", "2", "--gpus-per-node", "1")
    first = Submitted(slurm, "first", *here, epochs=8)
    second = Submitted(slurm, "second", *here, epochs=8)
    again = first.submit()
    assert (again.returncode, "has this sweep already" in again.stderr) == (2, True)
    first.wait_for_checkpoint()
    second.wait_for_checkpoint()
    assert [slurm.job(each.job)["JobState"] for each in (first, second)] == ["RUNNING"] * 2
    assert "is being stopped" in first.jobs("stop", first.job)
    first.wait_for_state("CANCELLED")
    rows = {row["job"]: row for row in json.loads(first.jobs("list", "--json"))}
    assert rows[first.job]["status"] == "CANCELLED"
    assert rows[second.job]["status"] == "RUNNING"
    assert rows[second.job]["storage"] == str(slurm.folder / "runs")
    assert "is told to stop" in first.jobs("logs", first.job)
    done = first.submit()
    first.job = done.stdout.strip()
    assert first.jobs("logs", first.job, "--follow").count("start 1 on n1") == 1
    for each in (first, second):
        each.wait_for_end()
        each.check_whole()
        each.check_nothing_left()


def test_two_jobs_of_two_nodes_beside_each_other(slurm: SlurmNodes) -> None:
    both = ("--nodes", "2", "--cpus-per-task", "1")
    jobs = [Submitted(slurm, name, *both, epochs=60) for name in ("wide", "broad")]
    for job in jobs:
        job.wait_for_end()
        job.check_whole()
        hosts = {run.data.tags["host"] for run in job.sweep.runs(job.name)}
        assert hosts == {"n1", "n2"}
        job.check_nothing_left()


def test_a_preempted_sweep_and_one_on_a_lost_node_go_on(slurm: SlurmNodes) -> None:
    job = Submitted(slurm, "low", "--sbatch", "--nodelist=n1", epochs=25)
    job.wait_for_checkpoint()
    urgent = ["--partition=urgent", "--nodelist=n1", "--exclusive", "--output=/dev/null"]
    slurm.run("sbatch", *urgent, "--wrap", "sleep 5")
    slurm.wait(lambda: slurm.job(job.job)["Restarts"] == "1", 120)
    job.wait_for_checkpoint(2)
    slurm.lose("n1")
    slurm.wait(lambda: slurm.job(job.job)["Restarts"] == "2", 120)
    slurm.start_node("n1")
    job.wait_for_end()
    job.check_whole()
    job.check_nothing_left()


def test_what_sbatch_refuses_leaves_nothing(slurm: SlurmNodes) -> None:
    Sweep(slurm.folder, {}).write("refused")
    command = ["-m", "sweeps.submit", "refused.yaml", "--slurm", "--partition", "nowhere"]
    done = slurm.run(sys.executable, *command)
    assert done.returncode == 2
    assert "sbatch refuses: " in done.stderr
    assert "invalid partition" in done.stderr
    assert not Path(slurm.folder / "runs" / "refused").exists()
