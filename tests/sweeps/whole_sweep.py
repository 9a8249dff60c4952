"""A tiny sweep as a user runs it: through the command line, in a process of its own or in ours."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from optuna.trial import FrozenTrial

from sweeps.run import main
from sweeps.study.study import load_study
from tests.sweeps.mlflow_database import put_mlflow_database

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Sweep:
    """A tiny sweep in a folder of its own, driven through the command line."""

    folder: Path
    cluster: Mapping[str, Any]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def write(self, name: str = "tiny", **changes: Any) -> None:
        spec = {
            "name": name,
            "data": {"root": str(self.folder / "coco"), "image_size": 32},
            "model": {"width": 0.0625},
            "method": {"cross_entropy": {"weight": 10.0}, "hsplid": {}},
            "training": {"epochs": 2, "batch_size": 32},
            "evaluation": {"epsilons_255": [2], "steps": 2, "max_images": 16},
            "search": {"space": "hsplid", "startup_trials": 2},
            "trials": 3,
            # One at a time: each further one is a process that imports torch and Ray.
            "resources": {"cpu": 1, "max_concurrent": 1},
            "cluster": dict(self.cluster),
            **changes,
        }
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(spec))

    def run(self, *arguments: str, name: str = "tiny", **environment: str) -> tuple[int, str]:
        """Run it; return the exit code, and all that was printed.

        Where it joins a Ray it runs in this process; with a Ray of its own in another one, whose
        environment, workers and connections end with it.
        """
        if "address" not in self.cluster:
            process = self.start(*arguments, name=name, **environment)
            output, _ = process.communicate(timeout=500)
            return process.returncode, output
        printed = io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            patch.chdir(self.folder)
            for variable, value in {"COLUMNS": "160", **environment}.items():
                patch.setenv(variable, value)
            code = main([f"{name}.yaml", *arguments])
        return code, printed.getvalue()

    def start(
        self, *arguments: str, name: str = "tiny", **environment: str
    ) -> subprocess.Popen[str]:
        """Start it as a process, to be killed."""
        process = subprocess.Popen(
            [sys.executable, "-m", "sweeps.run", f"{name}.yaml", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A group of its own: a signal then reaches all that a terminal would send it to.
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def trials(self, name: str = "tiny") -> list[FrozenTrial]:
        return load_study(self.folder / "runs" / name).trials

    def checkpoints(self, number: int, name: str = "tiny") -> list[Path]:
        """Checkpoints of a trial that are on disk, over all runs of the sweep."""
        pattern = f"runs/{name}/ray/*/trial_{number:05d}/checkpoint_*/state.pt"
        return list(self.folder.glob(pattern))

    def wait_for_checkpoint(
        self, number: int, process: subprocess.Popen[str], *, of_earlier_runs: int = 0
    ) -> None:
        """Wait until a trial has a whole checkpoint; looks at files only, as the driver writes.

        Args:
            number: The trial's.
            process: The driver, which has to live meanwhile.
            of_earlier_runs: Runs of the sweep whose checkpoints do not count.
        """
        pattern = f"trial_{number:05d}/checkpoint_*/state.pt.sha256"
        deadline = time.monotonic() + 300
        while not any(
            list(run.glob(pattern))
            for run in sorted(self.folder.glob("runs/tiny/ray/*"))[of_earlier_runs:]
        ):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "the sweep does not get there"
            time.sleep(0.3)

    def runs(self, experiment: str = "tiny") -> list[Run]:
        client = MlflowClient(f"sqlite:///{self.folder}/runs/mlflow.db")
        found = client.get_experiment_by_name(experiment)
        assert found is not None
        return list(client.search_runs([found.experiment_id]))

    def steps(self, run: Run, metric: str) -> list[int]:
        client = MlflowClient(f"sqlite:///{self.folder}/runs/mlflow.db")
        return [entry.step for entry in client.get_metric_history(run.info.run_id, metric)]


@contextlib.contextmanager
def written_sweep(folder: Path, coco: Path, **cluster: Any) -> Iterator[Sweep]:
    """Write a sweep into a folder; the processes that it started end with the block."""
    (folder / "coco").symlink_to(coco)
    put_mlflow_database(folder / "runs")
    sweep = Sweep(folder, cluster)
    sweep.write()
    try:
        yield sweep
    finally:
        for process in sweep.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()


def check_tracked(sweep: Sweep, trials: int, epochs: int, experiment: str = "tiny") -> None:
    """Each trial has exactly one run below the parent, and each of its epochs exactly one step."""
    runs = sweep.runs(experiment)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    children = [run for run in runs if run not in parents]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    assert parents[0].data.tags["data.masks"].startswith("the object covers ")
    splits = {parents[0].data.tags[f"data.split.{name}"] for name in ("train", "val", "test")}
    assert len(splits) == 3
    numbers = sorted(int(run.data.tags["sweep.trial"]) for run in children)
    assert numbers == list(range(trials))
    for run in children:
        assert run.info.status == "FINISHED"
        for name in ("val/accuracy", "cpu_seconds", "system/cpu_utilization_percentage"):
            assert sorted(sweep.steps(run, name)) == list(range(1, epochs + 1)), name
