from __future__ import annotations

import dataclasses
import logging
import math
import shlex
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from hsplid_core.errors import ConfigError
from sweeps.tracking import MlflowTracker, TrackingError, default_uri, loading, ui_command
from sweeps.tracking.delivery import deliveries
from sweeps.tracking.journal import SPOOL_FILE, Spool
from sweeps.tracking.journal_entries import Entry, Epoch
from sweeps.tracking.mlflow_client import KnownRun, connect
from sweeps.tracking.sweep_runs import SweepStore
from sweeps.tracking.tracking_uri import sqlite_file
from tests.sweeps.records import GOALS, complete, failed, running
from trainables.config import ParameterValue

# MLflow's tables, under SQLAlchemy 2.1.

SPEC = {"name": "coco", "trials": 3, "training": {"learning_rate": 5e-4, "device": None}}
TAGS = {"git.commit": "c0ffee", "seed": "7", "version.torch": "2.15.0"}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A space, since people have such folders.
    return tmp_path_factory.mktemp("storage") / "my runs"


@pytest.fixture(scope="module")
def client(storage: Path) -> MlflowClient:
    return connect(default_uri(storage))


@pytest.fixture
def make(
    storage: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., MlflowTracker]]:
    """Make trackers of one sweep, which has an experiment of its own in the shared database.

    As in the life of a sweep, one of them works at a time: making another one ends it.
    """
    made: list[MlflowTracker] = []

    def make_tracker(**options: Any) -> MlflowTracker:
        for earlier in made:
            earlier.close()
        settings: dict[str, Any] = {
            "folder": tmp_path,
            "experiment": request.node.name,
            "run_name": "coco",
            "sweep_id": "coco@it's here",
            "objectives": GOALS,
            "spec": SPEC,
            "tags": TAGS,
            "interval_s": 0.0,
            "patience_s": 10.0,
            "sampling_s": 1e9,
        }
        made.append(MlflowTracker(default_uri(storage), **settings | options))
        return made[-1]

    yield make_tracker
    for tracker in made:
        tracker.close()


def runs(client: MlflowClient, tracker: MlflowTracker) -> tuple[Run, dict[int, Run]]:
    """Read back the only parent, and the children by trial, once all of it is there."""
    tracker.flush(10.0)
    found = client.search_runs([tracker.experiment_id])
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in found if run not in parents]
    assert len(parents) == 1
    assert {run.data.tags["mlflow.parentRunId"] for run in children} <= {parents[0].info.run_id}
    by_trial = {int(run.data.tags["sweep.trial"]): run for run in children}
    assert len(by_trial) == len(children)
    return parents[0], by_trial


def history(client: MlflowClient, run: Run, metric: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, metric)]


def train(tracker: MlflowTracker, number: int, epochs: range, *, resumed: bool = False) -> None:
    parameters = {"method.hsplid.rho_s": 0.5 * number, "method.hsplid.sigma": None}
    tracker.trial_started(number, parameters, resumed=resumed)
    for epoch in epochs:
        metrics = {"val/accuracy": 0.1 * epoch, "loss": math.nan if epoch == 2 else 1 / epoch}
        tracker.epoch_finished(number, epoch, metrics)


def test_a_sweep_is_one_parent_with_a_child_a_trial(
    make: Callable[..., MlflowTracker], client: MlflowClient, tmp_path: Path
) -> None:
    artifacts = [tmp_path / name for name in ("trials.parquet", "front.png", "report.html")]
    for path in artifacts:
        path.write_text(path.name)
    tracker = make(artifacts=artifacts)
    tracker.sweep_started([])
    train(tracker, 0, range(1, 4))
    tracker.trial_finished(complete(0, 0.8, 0.2, epoch=3))
    train(tracker, 1, range(1, 4))
    tracker.trial_finished(complete(1, 0.9, 0.4, epoch=3), left=[0])
    train(tracker, 2, range(1, 2))
    ill = dataclasses.replace(failed(2), cause="diverged", host="node-7")
    tracker.trial_finished(ill)
    records = [complete(0, 0.8, 0.2, on_front=False), complete(1, 0.9, 0.4), ill]

    _, children = runs(client, tracker)
    fronts = [children[number].data.tags["sweep.on_front"] for number in range(3)]
    assert fronts == ["false", "true", "false"]  # known before the sweep ends
    assert children[2].data.tags["sweep.failure_cause"] == "diverged"
    assert children[2].data.tags["host"] == "node-7"

    tracker.sweep_finished(records, interrupted=False)
    parent, children = runs(client, tracker)

    assert parent.info.run_name == "coco"
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {
        "name": "coco",
        "trials": "3",
        "training.learning_rate": "0.0005",
        "training.device": "null",
    }
    own = {k: v for k, v in parent.data.metrics.items() if not k.startswith("system/")}
    assert own == {
        "sweep/complete": 2,
        "sweep/failed": 1,
        "sweep/stopped": 0,
        "sweep/front_size": 1,
        "best/val/accuracy": 0.9,
        "best/val/robust_accuracy": 0.4,
    }
    assert parent.data.tags.items() >= {**TAGS, "sweep.state": "complete"}.items()

    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files == {"spec.yaml", "trials.parquet", "front.png", "report.html"}
    spec = client.download_artifacts(parent.info.run_id, "spec.yaml", str(tmp_path))
    assert yaml.safe_load(Path(spec).read_text()) == SPEC

    assert [children[n].info.status for n in range(3)] == ["FINISHED", "FINISHED", "FAILED"]
    assert children[1].info.run_name == "trial 1"
    assert children[1].data.params == {"method.hsplid.rho_s": "0.5", "method.hsplid.sigma": "null"}
    assert children[1].data.metrics["objective/val/robust_accuracy"] == 0.4
    assert children[1].data.metrics["trial/seconds"] == 30.4
    ranks = [children[number].data.tags.get("sweep.pareto_rank") for number in range(3)]
    assert ranks == ["2", "1", None]
    assert parent.data.metrics["system/system_memory_usage_megabytes"] > 100
    assert 0 <= parent.data.metrics["system/cpu_utilization_percentage"] <= 100
    assert history(client, children[1], "epoch") == [(1, 1), (2, 2), (3, 3)]
    assert history(client, children[1], "loss") == [(1, 1), (3, 1 / 3)]
    expected = {**TAGS, "sweep.state": "complete", "sweep.attempt": "1", "sweep.on_front": "true"}
    assert children[1].data.tags.items() >= expected.items()
    assert children[1].data.tags["sweep.non_finite"] == "loss"
    assert children[2].data.tags["sweep.failure"] == "loss is nan in epoch 2"
    assert "sweep.failure" not in children[1].data.tags


def test_what_mlflow_is_asked_for_is_found(
    make: Callable[..., MlflowTracker], client: MlflowClient
) -> None:
    tracker = make()
    tracker.sweep_started([])
    train(tracker, 0, range(1, 2))
    tracker.trial_finished(complete(0, 0.8, 0.2))
    train(tracker, 1, range(1, 2))
    ill = dataclasses.replace(failed(1), cause="out_of_memory")
    tracker.trial_finished(ill)
    tracker.sweep_finished([complete(0, 0.8, 0.2), ill], interrupted=False)
    cause = client.search_runs(
        [tracker.experiment_id], "tags.`sweep.failure_cause` = 'out_of_memory'"
    )
    assert [run.data.tags["sweep.trial"] for run in cause] == ["1"]
    for condition in (
        "tags.`sweep.on_front` = 'true'",
        "tags.`sweep.pareto_rank` = '1'",
        "tags.`sweep.state` = 'complete' and tags.`git.commit` = 'c0ffee'",
        "metrics.`objective/val/accuracy` > 0.7",
        "params.`method.hsplid.rho_s` = '0.0'",
    ):
        of_trials = f"{condition} and tags.`sweep.trial` LIKE '%'"
        found = client.search_runs([tracker.experiment_id], of_trials)
        assert [run.data.tags["sweep.trial"] for run in found] == ["0"], condition


def test_a_resumed_trial_goes_on_in_its_run_without_a_doubled_step(
    make: Callable[..., MlflowTracker], client: MlflowClient
) -> None:
    first = make()
    first.sweep_started([])
    train(first, 0, range(1, 4))
    first.trial_finished(complete(0, 0.8, 0.2))
    train(first, 1, range(1, 5))
    first.sweep_finished([complete(0, 0.8, 0.2), running(1)], interrupted=True)

    parent, children = runs(client, first)
    assert (parent.info.status, parent.data.tags["sweep.state"]) == ("KILLED", "interrupted")
    interrupted = children[1]
    assert interrupted.info.status == "KILLED"
    assert interrupted.data.tags["sweep.state"] == "interrupted"

    second = make(spec={**SPEC, "trials": 4}, tags={**TAGS, "git.commit": "f00d"})
    second.sweep_started([complete(0, 0.8, 0.2), running(1, attempts=1)])
    train(second, 1, range(3, 7), resumed=True)  # its last checkpoint was of epoch 2
    parent, children = runs(client, second)
    assert (parent.info.status, children[1].info.status) == ("RUNNING", "RUNNING")
    second.trial_finished(complete(1, 0.9, 0.1, epoch=6))
    second.sweep_finished([complete(0, 0.8, 0.2), complete(1, 0.9, 0.1)], interrupted=False)

    parent, children = runs(client, second)
    assert children[1].info.run_id == interrupted.info.run_id
    assert (parent.info.status, children[1].info.status) == ("FINISHED", "FINISHED")
    assert history(client, children[1], "epoch") == [(e, e) for e in range(1, 7)]
    steps = [step for step, _ in history(client, children[1], "val/accuracy")]
    assert steps == list(range(1, 7))
    assert children[1].data.tags["sweep.attempt"] == "2"
    assert children[1].data.tags["git.commit"] == "f00d"
    assert children[0].data.tags["sweep.attempt"] == "1"
    assert children[0].data.tags["git.commit"] == "c0ffee"
    assert history(client, children[0], "trial/seconds") == [(3, 30.4)]
    assert parent.data.params["trials"] == "3"
    assert parent.data.tags["sweep.spec_changed"] == "trials: 3, now 4"
    assert history(client, parent, "sweep/complete") == [(1, 1), (2, 2)]


def test_a_failed_trial_that_is_retried_loses_its_failure(
    make: Callable[..., MlflowTracker], client: MlflowClient
) -> None:
    tracker = make()
    tracker.sweep_started([])
    train(tracker, 0, range(1, 3))
    tracker.trial_finished(failed(0))
    train(tracker, 0, range(1, 4), resumed=True)
    tracker.trial_finished(complete(0, 0.8, 0.2))
    run = runs(client, tracker)[1][0]
    assert run.info.status == "FINISHED"
    assert (run.data.tags["sweep.failure"], run.data.tags["sweep.attempt"]) == ("", "2")
    assert history(client, run, "epoch") == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("journal", [True, False], ids=["journal", "journal lost"])
def test_what_a_killed_driver_did_not_deliver_is_made_up_for(
    make: Callable[..., MlflowTracker], client: MlflowClient, tmp_path: Path, journal: bool
) -> None:
    killed = make(interval_s=1e9)
    killed.sweep_started([])
    train(killed, 0, range(1, 4))
    if not journal:
        killed.flush(10.0)
        train(killed, 0, range(3, 4))
        killed.close()
        (tmp_path / SPOOL_FILE).unlink()
    ended = [complete(0, 0.8, 0.2, epoch=3), complete(1, 0.1, 0.1, on_front=False, epoch=3)]

    tracker = make()
    tracker.sweep_started(ended)
    tracker.sweep_finished(ended, interrupted=False)

    _, children = runs(client, tracker)
    assert sorted(children) == [0, 1]
    for number, run in children.items():
        assert run.info.status == "FINISHED"
        assert run.data.tags["sweep.state"] == "complete"
        assert history(client, run, "epoch") == [(e, e) for e in ((1, 2, 3), (3,))[number]]
        assert run.data.metrics["objective/val/accuracy"] == (0.8, 0.1)[number]
    assert children[1].data.tags["sweep.on_front"] == "false"


def test_who_left_the_front_is_told_after_a_driver_was_killed_before_it_told(
    make: Callable[..., MlflowTracker], client: MlflowClient
) -> None:
    killed = make()
    killed.sweep_started([])
    train(killed, 0, range(1, 4))
    killed.trial_finished(complete(0, 0.5, 0.5, epoch=3))
    train(killed, 1, range(1, 4))
    assert runs(client, killed)[1][0].data.tags["sweep.on_front"] == "true"
    killed.close()

    tracker = make()
    ended = [complete(0, 0.5, 0.5, epoch=3, on_front=False), complete(1, 0.6, 0.6, epoch=3)]
    tracker.sweep_started(ended)
    train(tracker, 2, range(1, 4))
    newest = complete(2, 0.1, 0.9, epoch=3)
    tracker.trial_finished(newest)
    tracker.sweep_finished([*ended, newest], interrupted=False)
    tags = [run.data.tags for _, run in sorted(runs(client, tracker)[1].items())]
    assert [of["sweep.on_front"] for of in tags] == ["false", "true", "true"]
    assert [of["sweep.pareto_rank"] for of in tags] == ["2", "1", "1"]


def test_an_end_of_which_only_the_numbers_arrived_is_completed(
    make: Callable[..., MlflowTracker], client: MlflowClient, tmp_path: Path
) -> None:
    tracker = make()
    tracker.sweep_started([])
    train(tracker, 0, range(1, 4))
    tracker.trial_finished(complete(0, 0.8, 0.2))
    run = runs(client, tracker)[1][0]
    tracker.close()
    (tmp_path / SPOOL_FILE).unlink()
    client.set_tag(run.info.run_id, "sweep.state", "running")

    tracker = make()
    tracker.sweep_started([complete(0, 0.8, 0.2)])
    run = runs(client, tracker)[1][0]
    assert run.data.tags["sweep.state"] == "complete"
    assert history(client, run, "objective/val/accuracy") == [(3, 0.8)]


class Flaky:
    """A client whose server goes down and comes back, or refuses some requests for good."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self.failing: dict[str, Exception] = {}
        self.fails_after = False
        self.calls = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            error = self.failing.get(name, self.failing.get("*"))
            if error is not None and not self.fails_after:
                raise error
            answer = method(*args, **kwargs)
            if error is not None:
                raise error
            return answer

        return call


@pytest.fixture
def flaky(
    make: Callable[..., MlflowTracker], client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> tuple[MlflowTracker, Flaky]:
    monkeypatch.setattr("sweeps.tracking.delivery._FIRST_WAIT_S", 0.01)
    tracker = make()
    tracker.sweep_started([])
    tracker.flush(10.0)
    unsteady = Flaky(client)
    monkeypatch.setattr(tracker._store, "_client", unsteady)
    return tracker, unsteady


@pytest.mark.parametrize("fails_after", [False, True], ids=["refused", "answer lost"])
def test_a_server_that_is_down_for_a_while_gets_everything_once(
    flaky: tuple[MlflowTracker, Flaky],
    client: MlflowClient,
    caplog: pytest.LogCaptureFixture,
    fails_after: bool,
) -> None:
    tracker, server = flaky
    train(tracker, 0, range(1, 3))
    methods = ("create_run", "log_batch", "set_terminated", "update_run")
    server.failing = dict.fromkeys(methods, MlflowException("down"))
    server.fails_after = fails_after
    train(tracker, 1, range(1, 3))
    for epoch in range(3, 6):
        tracker.epoch_finished(0, epoch, {"val/accuracy": 0.1 * epoch})
    tracker.trial_finished(complete(0, 0.8, 0.2))
    # What was written though its answer was lost is found on the server, and not written again.
    assert tracker.flush(10.0 if fails_after else 0.1) == fails_after
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "does not answer" in warnings[0]
    assert all("answers again" in text for text in warnings[1::2])
    assert len(warnings) > 1 if fails_after else len(warnings) == 1

    server.failing = {}
    tracker.epoch_finished(1, 3, {"val/accuracy": 0.3})
    tracker.sweep_finished([complete(0, 0.8, 0.2), running(1)], interrupted=True)
    children = runs(client, tracker)[1]
    assert history(client, children[0], "val/accuracy") == [(e, 0.1 * e) for e in range(1, 6)]
    assert history(client, children[1], "epoch") == [(1, 1), (2, 2), (3, 3)]
    assert history(client, children[0], "objective/val/accuracy") == [(5, 0.8)]
    assert children[0].info.status == "FINISHED"
    assert children[1].data.tags["sweep.attempt"] == "1"


def test_a_server_that_is_never_back_is_told_but_kills_nothing(
    flaky: tuple[MlflowTracker, Flaky],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    tracker, server = flaky
    monkeypatch.setattr(tracker, "_patience_s", 0.1)
    server.failing = {"*": OSError("down")}
    train(tracker, 0, range(1, 4))
    tracker.trial_finished(complete(0, 0.8, 0.2))
    tracker.sweep_finished([complete(0, 0.8, 0.2)], interrupted=False)
    last = caplog.records[-1].getMessage()
    # Its beginning, 3 epochs, its end, its rank, a sample of the machine, and the sweep's end.
    assert last.startswith("8 entries of the log wait in ")
    assert f"python -m sweeps.sync {tmp_path} delivers them" in last


def test_while_the_server_is_down_it_is_asked_only_now_and_then(
    make: Callable[..., MlflowTracker], client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.tracking.delivery._FIRST_WAIT_S", 0.2)
    tracker = make(interval_s=0.01)
    tracker.sweep_started([])
    tracker.flush(10.0)
    server = Flaky(client)
    server.failing = {"*": OSError("down")}
    monkeypatch.setattr(tracker._store, "_client", server)
    for number in range(40):
        train(tracker, number, range(1, 3))
        time.sleep(0.01)
    assert 1 <= server.calls <= 20  # of two runs a time, after 0.2 s, 0.4 s, 0.8 s and so on


def test_what_the_server_refuses_for_good_holds_up_nothing_else(
    flaky: tuple[MlflowTracker, Flaky], client: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    tracker, server = flaky
    refusal = MlflowException.invalid_parameter_value("no such thing")
    server.failing = {"create_run": refusal}
    train(tracker, 0, range(1, 4))
    tracker.flush(10.0)
    server.failing = {}
    train(tracker, 1, range(1, 4))
    assert sorted(runs(client, tracker)[1]) == [1]
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert warnings[0].startswith("trial 0: a part of its log is given up")


class Recording(SweepStore):
    """Takes everything, and remembers in which pieces."""

    def __init__(self, folder: Path) -> None:
        super().__init__("", experiment="", sweep_id="", run_name="", folder=folder)
        self.pieces: list[tuple[int | None, list[int]]] = []

    def open(self) -> None:
        self._parent = KnownRun("parent")

    def deliver(self, trial: int | None, entries: Sequence[Entry]) -> None:
        self.pieces.append((trial, [e.epoch for e in entries if isinstance(e, Epoch)]))


def test_what_has_waited_makes_one_request_for_each_run(tmp_path: Path) -> None:
    """As of 700 trials at once, of which a window of 500 entries has no two of one run."""
    store = Recording(tmp_path)
    with closing(Spool(tmp_path / SPOOL_FILE)) as spool:
        for epoch in range(1, 6):
            told = Epoch(epoch=epoch, metrics={"loss": 1.0}, time_ms=epoch)
            spool.put([(trial, told) for trial in range(700)])
        assert sum(deliveries(spool, store)) == 3500
        assert len(spool) == 0
    assert store.pieces == [(trial, [1, 2, 3, 4, 5]) for trial in range(700)]


def test_names_that_mlflow_forbids_and_long_values_are_made_legal(
    make: Callable[..., MlflowTracker], client: MlflowClient
) -> None:
    tracker = make()
    tracker.sweep_started([])
    parameters: dict[str, ParameterValue] = {"space(x)=é": "v" * 9000}
    parameters |= {f"p{i:03}": i for i in range(150)}
    tracker.trial_started(0, parameters, resumed=False)
    metrics = {"PGD (eps=2/255)": 0.5, **{f"m{i:04}": float(i) for i in range(1700)}}
    tracker.epoch_finished(0, 1, metrics)
    tracker.trial_finished(failed(0, "x" * 9000))
    run = runs(client, tracker)[1][0]
    assert run.data.params["space_x___"] == "v" * 5000
    assert len(run.data.params) == 151
    assert run.data.metrics["PGD _eps_2/255_"] == 0.5
    assert len(run.data.metrics) == 1 + 1700 + 3
    assert len(run.data.tags["sweep.failure"]) == 5000


def test_two_sweeps_may_share_an_experiment(
    make: Callable[..., MlflowTracker], client: MlflowClient, tmp_path: Path
) -> None:
    for name in ("a", "b", "a"):
        (tmp_path / name).mkdir(exist_ok=True)
        tracker = make(sweep_id=name, run_name=name, folder=tmp_path / name)
        tracker.sweep_started([])
    found = client.search_runs([tracker.experiment_id])
    assert sorted(run.info.run_name for run in found) == ["a", "b"]


def test_a_twin_that_a_slow_server_made_is_deleted(
    make: Callable[..., MlflowTracker], client: MlflowClient
) -> None:
    first = make()
    first.sweep_started([])
    train(first, 0, range(1, 3))
    parent, children = runs(client, first)
    tags = {"sweep.trial": "0", "mlflow.parentRunId": parent.info.run_id}
    twin = client.create_run(first.experiment_id, tags=tags)
    second = make()
    second.sweep_started([running(0, attempts=1)])
    assert runs(client, second)[1][0].info.run_id == children[0].info.run_id
    assert client.get_run(twin.info.run_id).info.lifecycle_stage == "deleted"


def test_a_disk_that_is_full_for_a_while_stops_no_training(
    make: Callable[..., MlflowTracker],
    client: MlflowClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracker = make()
    tracker.sweep_started([])
    with monkeypatch.context() as full:

        def put(*_: object) -> None:
            raise TrackingError("disk full")

        full.setattr(tracker._spool, "put", put)
        train(tracker, 0, range(1, 3))
    assert caplog.text.count("disk full. Training goes on") == 1
    tracker.epoch_finished(0, 3, {"val/accuracy": 0.3})
    assert history(client, runs(client, tracker)[1][0], "epoch") == [(1, 1), (2, 2), (3, 3)]


def test_a_missing_artifact_is_told(
    make: Callable[..., MlflowTracker], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    tracker = make(artifacts=[tmp_path / "front.png"])
    tracker.sweep_started([])
    tracker.sweep_finished([], interrupted=False)
    assert "front.png was not logged" in caplog.text


def test_a_deleted_experiment_is_an_error_that_says_what_to_do(
    make: Callable[..., MlflowTracker], client: MlflowClient
) -> None:
    tracker = make()
    tracker.sweep_started([])
    client.delete_experiment(tracker.experiment_id)
    remedy = f"mlflow experiments restore -x {tracker.experiment_id}"
    with pytest.raises(TrackingError, match=remedy):
        make().sweep_started([])


def unreachable(folder: Path) -> MlflowTracker:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return MlflowTracker(
        f"http://127.0.0.1:{port}",
        experiment="x",
        run_name="x",
        sweep_id="x",
        folder=folder,
        objectives=GOALS,
        spec={},
        tags={},
    )


@pytest.mark.timeout(20)
def test_a_server_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    tracker = unreachable(tmp_path)
    with pytest.raises(TrackingError, match=r"does not answer.*set tracking\.uri"):
        tracker.sweep_started([])
    tracker.close()


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("my diary" * 100)
    with pytest.raises(TrackingError, match="file is not a database"):
        connect(default_uri(tmp_path))
    assert (tmp_path / "mlflow.db").read_text() == "my diary" * 100


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match="name a file"):
        sqlite_file(uri)


def test_the_ui_command_names_the_sweep_or_the_servers_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my runs" / "tiny"
    uri = default_uri(folder.parent)
    words = shlex.split(ui_command(uri, folder, port=5555))
    assert words == ["python", "-m", "sweeps.ui", str(folder), "--port", "5555"]
    monkeypatch.chdir(tmp_path)
    assert ui_command(uri, Path("runs/tiny").absolute()) == "python -m sweeps.ui tiny"
    server = "https://ml.example.org/"
    assert ui_command(server, folder, experiment_id="3") == (
        "https://ml.example.org/#/experiments/3/runs?workflowType=machine_learning"
    )


def test_the_database_is_made_beside_other_things(tmp_path: Path) -> None:
    file = tmp_path / "made" / "mlflow.db"
    with loading(f"sqlite:///{file}"):
        pass
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("SELECT name FROM experiments").fetchall() == [("Default",)]


@pytest.mark.parametrize("uri", ["sqlite:///{}/file/mlflow.db", "sqlite://", "http://127.0.0.1:9"])
def test_what_is_wrong_with_the_database_is_told_only_where_it_is_needed(
    tmp_path: Path, uri: str
) -> None:
    (tmp_path / "file").touch()
    with loading(uri.format(tmp_path)):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_importing_the_tracker_does_not_import_mlflow() -> None:
    code = "import sys, sweeps.tracking; sys.exit('mlflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
