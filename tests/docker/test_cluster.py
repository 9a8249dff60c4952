"""The whole cluster of the compose file, as processes: jobs, a lost node, and who may submit."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from hsplid_core.data.demo.coco import write_coco_demo
from tests.docker.services import MAIN, Services, dumped_on_failure

WORKERS = ("worker1", "worker2")
ADDRESS = "http://head:8265"
TOKEN = {"RAY_AUTH_TOKEN_PATH": "/run/secrets/ray_token"}
CANARY = "nobody-shall-read-this"
EPOCHS = 20
T = TypeVar("T")
SWEEP = (
    "storage=/storage/runs",
    "study.storage=postgresql://sweeps@postgres:5432/study",
    "tracking.uri=http://mlflow:5000",
)

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(900),
]

# Runs where the cluster is, and tells what the study and MLflow hold.
LOOK = """\
import json, sys
import optuna
from mlflow import MlflowClient
from sweeps.study.study import load_study
from pathlib import Path
trials = load_study(Path(sys.argv[1])).trials
client = MlflowClient(sys.argv[2])
experiment = client.get_experiment_by_name("tiny")
runs = client.search_runs([experiment.experiment_id])
children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
history = client.get_metric_history
print(json.dumps({
    "trials": [(t.state.name, t.user_attrs["attempts"]) for t in trials],
    "parents": [run.info.status for run in runs if run not in children],
    "artifacts": [[f.path for f in client.list_artifacts(r.info.run_id)]
                  for r in runs if r not in children],
    "runs": sorted((int(run.data.tags["sweep.trial"]), run.info.status,
                    sorted(m.step for m in history(run.info.run_id, "val/accuracy")))
                   for run in children),
}))
"""

# Asks MLflow as a proxy with another name does; tells the answers' codes.
ASK = """\
import base64, os, sys, urllib.error, urllib.request
user, password = os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]
known = base64.b64encode(f"{user}:{password}".encode()).decode()
for host in sys.argv[2:]:
    asked = urllib.request.Request(
        sys.argv[1] + "/api/2.0/mlflow/experiments/search", b'{"max_results": 1}',
        {"Host": host, "Origin": f"https://{host}", "Authorization": f"Basic {known}",
         "Content-Type": "application/json"})
    try:
        print(urllib.request.urlopen(asked).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""


@pytest.fixture
def services() -> Iterator[Services]:
    try:
        made = Services(
            WORKERS,
            {
                "WORKER_CPUS": "1",
                "MLFLOW_HOSTS": "mlflow.example.org",
                "MLFLOW_ORIGINS": "https://mlflow.example.org",
            },
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs network namespaces, so root and iproute2: {error}")
    try:
        with dumped_on_failure(made):
            yield made
    finally:
        made.close()


def submit(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sweeps.submit", "tiny.yaml", *arguments, "--address", ADDRESS]


def write_sweep(services: Services) -> Path:
    write_coco_demo(services.folder / "storage" / "coco", image_size=32, n_train=160, n_val=40)
    spec: dict[str, Any] = {
        "name": "tiny",
        "data": {"root": str(services.folder / "storage" / "coco"), "image_size": 32},
        "model": {"width": 0.0625},
        "method": {"cross_entropy": {"weight": 10.0}, "hsplid": {}},
        "training": {"epochs": EPOCHS, "batch_size": 8},
        "evaluation": {"epsilons_255": [2], "steps": 2, "max_images": 16, "every": EPOCHS},
        "search": {"space": "hsplid", "startup_trials": 2},
        "trials": 3,
        "resources": {"cpu": 1},
    }
    folder = services.folder / "project"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(yaml.safe_dump(spec))
    return folder


def wait_until(reached: Callable[[], T | None], limit_s: float = 200) -> T:
    """Ask until the answer is something."""
    deadline = time.monotonic() + limit_s
    while not (answer := reached()):
        assert time.monotonic() < deadline, "the sweep does not get there"
        time.sleep(0.1)
    return answer


def has_checkpoint(services: Services) -> bool:
    """Tell whether some trial has a whole checkpoint."""
    pattern = "runs/tiny/ray/*/trial_*/checkpoint_*/state.pt.sha256"
    return any((services.folder / "storage").glob(pattern))


def jobs(services: Services, *arguments: str) -> str:
    command = [sys.executable, "-m", "sweeps.jobs", *arguments, "--address", ADDRESS]
    return services.run(command, TOKEN).stdout


def check_secret(services: Services) -> None:
    """The driver has it; in what Ray keeps and logs it is not readable."""
    lines = services.processes(MAIN)
    drivers = [p for line, p in lines if line.startswith("python -m sweeps.run tiny.yaml")]
    assert [driver.environ().get("CANARY") for driver in drivers] == [CANARY]
    files = [file for file in services.folder.glob(f"ray-{MAIN}/**/*") if file.is_file()]
    assert len(files) > 20
    assert not any(CANARY.encode() in file.read_bytes() for file in files)


def test_a_sweep_on_the_cluster_of_the_compose_file(services: Services) -> None:
    services.start("head")
    services.start_postgres()
    services.start("mlflow")
    project = write_sweep(services)
    services.wait_until_healthy("head")
    for host in WORKERS:
        services.start("worker", host)
    for host in WORKERS:
        services.wait_until_healthy("worker", host)
    services.wait_until_healthy("mlflow")
    hosts = ["mlflow.example.org", "other.example.org"]
    ask = [sys.executable, "-c", ASK, "http://mlflow:5000", *hosts]
    assert services.run(ask, services.credentials()).stdout.split() == ["200", "403"]

    with_secret = {**TOKEN, "CANARY": CANARY}
    command = submit(*SWEEP, "--secret", "CANARY", "--follow")
    first = services.open(command, with_secret, cwd=project)
    refused = services.open(submit(*SWEEP), {}, cwd=project)
    wait_until(lambda: has_checkpoint(services))

    # In the middle of a trial its node goes.
    busy = wait_until(lambda: next(filter(services.runs_a_trial, WORKERS), None))
    services.kill(busy)
    (left,) = (host for host in WORKERS if host != busy)
    check_secret(services)
    # A sweep whose storage the other node does not share, beside it.
    alone = services.open(submit("storage=/alone", "--follow"), TOKEN, cwd=project)

    # The sweep goes on by itself, and is stopped with more than a whole trial to go.
    wait_until(lambda: " goes on: " in services.job_log("tiny-1"))
    jobs(services, "stop", "tiny-1")
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 130, output
    assert output.startswith("tiny-1\n")
    assert "the same command goes on from here" in output, output

    # One without the token, and the one beside it.
    output, _ = refused.communicate(timeout=120)
    assert refused.returncode == 2, output
    assert "wants a token: set RAY_AUTH_TOKEN_PATH" in output
    output, _ = alone.communicate(timeout=120)
    assert alone.returncode == 2, output
    assert f"error: storage is {services.folder}/alone, which not all nodes" in output
    assert f"({services.network.address(left)}: No such file or directory)" in output

    # The same command goes on.
    done = services.run(command, with_secret, cwd=project)
    assert "sweep finished: 3 complete, 0 failed" in done.stdout

    look = [sys.executable, "-c", LOOK, "/storage/runs/tiny", "http://mlflow:5000"]
    found = json.loads(services.run(look, services.credentials()).stdout)
    assert [state for state, _ in found["trials"]] == ["COMPLETE"] * 3
    assert max(attempts for _, attempts in found["trials"]) >= 2
    steps = list(range(1, EPOCHS + 1))
    assert found["runs"] == [[number, "FINISHED", steps] for number in range(3)]
    assert found["parents"] == ["FINISHED"]
    assert "trials.parquet" in found["artifacts"][0]
    listed = {job["job"]: job["status"] for job in json.loads(jobs(services, "list", "--json"))}
    assert listed == {"tiny-1": "STOPPED", "tiny-2": "FAILED", "tiny-3": "SUCCEEDED"}
