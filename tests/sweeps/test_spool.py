"""The journal between a sweep and MLflow: nothing lost, nothing twice, whatever dies."""

from __future__ import annotations

import math
import os
import platform
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from sweeps.study.location import claim_place
from sweeps.sync import main as sync
from sweeps.tracking import MlflowTracker, TrackingError, default_uri
from sweeps.tracking.journal import SPOOL_FILE, Spool
from sweeps.tracking.journal_entries import (
    Artifact,
    Closed,
    Entry,
    Epoch,
    Opened,
    Tagged,
    from_text,
)
from sweeps.tracking.mlflow_client import KnownRun, connect
from sweeps.tracking.run_updates import draft
from tests.sweeps.records import GOALS, complete, running
from tests.sweeps.servers import MlflowServer, spoiling_proxy
from tests.sweeps.whole_sweep import Sweep

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 12
COSTS = ("seconds", "gpu_seconds")

# What people ask for, as mlflow.search_runs takes it.
SEARCHED = [
    "metrics.`val/accuracy` >= 0",
    "metrics.`train/loss` > 0",
    "metrics.`train/cross_entropy/loss` > 0",
    "metrics.`train/hsplid/salient_compression` >= 0",
    "metrics.`train/hsplid/hsic_salient_input` >= 0",
    "metrics.`val/robust_accuracy/pgd/background/eps_2` >= 0",
    "metrics.`hsplid/salient_dims` >= 1",
    "metrics.`hsplid/nonsalient_dims` >= 0",
    "metrics.`train/learning_rate` > 0",
    "metrics.`train/seconds` > 0",
    "metrics.`seconds` > 0",
    "metrics.`memory_mib` > 0",
    "metrics.`gpu_seconds` = 0",
    "metrics.`cpu_seconds` > 0",
    "metrics.`host_memory_mib` > 0",
    "metrics.`system/system_memory_usage_percentage` > 0",
    "metrics.`objective/val/accuracy` >= 0",
    "params.`method.hsplid.rho_s` = '0.5'",
    f"tags.`host` = '{platform.node()}'",
    "tags.`git.commit` LIKE '%' and tags.`git.dirty` LIKE '%'",
    "tags.`seed` = '0'",
    "tags.`data.key` LIKE '%' and tags.`data.split.val` LIKE '%'",
    f"tags.`version.torch` = '{version('torch')}'",
    "tags.`sweep.attempt` = '1'",
    "tags.`sweep.on_front` = 'true'",
]


def epoch(number: int, **metrics: float) -> Epoch:
    return Epoch(epoch=number, metrics=metrics, time_ms=1000 * number)


def test_the_journal_keeps_order_and_outlives_its_process(tmp_path: Path) -> None:
    written: list[tuple[int | None, Entry]] = [
        (0, Opened(parameters={"a.b": None, "c": 0.1}, attempt=2, tags={"x": "y"}, time_ms=5)),
        (0, epoch(1, loss=0.1, inf=math.inf)),
        (1, epoch(1, loss=-1e-300)),
        (None, Artifact(path="front.png")),
        (0, Closed(state="failed", epoch=1, failure="why: é", time_ms=6)),
    ]
    spool = Spool(tmp_path / SPOOL_FILE)
    spool.put(written[:2])
    spool.put(written[2:])
    spool.strike(spool.head(1))
    spool.close()

    again = Spool(tmp_path / SPOOL_FILE)
    items = again.head(10)
    assert [(item.trial, item.entry) for item in items] == written[1:]
    assert [item.seq for item in items] == [2, 3, 4, 5]
    assert again.states == {0: "failed"}
    again.strike(items)
    again.put([(3, Tagged(tags={}))])
    assert again.head(1)[0].seq == 6  # numbers are never given twice
    again.close()


@pytest.mark.parametrize("content", [b"my diary" * 100, None], ids=["no database", "newer"])
def test_a_file_that_is_no_journal_is_told_and_left_alone(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / SPOOL_FILE
    if content is None:
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA user_version = 9")
        database.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(TrackingError, match=r"tracking\.db.*(move the file away|later version)"):
        Spool(path)
    assert path.read_bytes() == before


def test_entries_of_other_versions() -> None:
    assert from_text("tagged", '{"tags": {"a": "b"}, "of_later_times": 1}') == Tagged(
        tags={"a": "b"}
    )
    with pytest.raises(ValueError, match="not an entry of a journal: unheard"):
        from_text("unheard", "{}")


def test_a_draft_has_each_epoch_once_and_the_last_word_on_tags() -> None:
    run = KnownRun("id", metrics={"epoch": 2.0, "objective/a": 0.5}, status="RUNNING")
    made = draft(
        run,
        [
            Opened(parameters={"p": 1}, attempt=2, time_ms=1),
            epoch(2, loss=9.0),
            epoch(3, loss=0.3),
            epoch(3, loss=9.0),
            Tagged(tags={"sweep.on_front": "true"}),
            Closed(
                state="complete",
                epoch=4,
                metrics={"loss": 0.4},
                results={"objective/a": 0.5, "trial/seconds": 3.0},
                tags={"sweep.on_front": "false"},
                time_ms=7,
            ),
        ],
    )
    assert [(m.key, m.value, m.step) for m in made.metrics] == [
        ("loss", 0.3, 3),
        ("epoch", 3, 3),
        ("loss", 0.4, 4),
        ("epoch", 4, 4),
        ("trial/seconds", 3.0, 4),
    ]
    assert made.params == {"p": 1}
    assert made.tags == {
        "sweep.state": "complete",
        "sweep.attempt": "2",
        "sweep.on_front": "false",
    }
    assert (made.status, made.ended_ms) == ("FINISHED", 7)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    made = MlflowServer(tmp_path_factory.mktemp("server"))
    made.start()
    yield made
    made.kill()


def counts(server: MlflowServer, sweep: str) -> dict[tuple[str, str, int], int]:
    """Count the rows of each metric and step in the server's database, by the run's name."""
    with sqlite3.connect(server.database) as database:
        rows = database.execute(
            "SELECT runs.name, key, step, COUNT(*) FROM metrics JOIN runs USING (run_uuid) "
            "JOIN experiments USING (experiment_id) WHERE experiments.name = ? "
            "AND runs.lifecycle_stage = 'active' GROUP BY run_uuid, key, step",
            (sweep,),
        ).fetchall()
    database.close()
    found = {(name, key, step): count for name, key, step, count in rows}
    assert len(found) == len(rows), "two runs have one name"
    return found


def tracker_of(uri: str, folder: Path, name: str, **options: Any) -> MlflowTracker:
    return MlflowTracker(
        uri,
        experiment=name,
        run_name=name,
        sweep_id=f"id of {name}",
        folder=folder,
        objectives=GOALS,
        spec={"name": name},
        tags={"seed": "1"},
        **{"sampling_s": 0.2, "interval_s": 0.0, **options},
    )


def test_what_one_turn_cannot_deliver_does_not_wait_for_the_next_delivery(
    server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.tracking.delivery._TURN_S", 0.0)
    monkeypatch.setattr("sweeps.tracking.delivery._SHARE", 0.5)

    def slowly() -> str:
        time.sleep(0.05)
        return "pass"

    with spoiling_proxy(server.uri, slowly) as uri:
        tracker = tracker_of(uri, tmp_path, "slow", interval_s=1e9)
        tracker.sweep_started([complete(number, 0.1, 0.5) for number in range(4)])
        deadline = time.monotonic() + 30
        while (
            len(
                client_runs := MlflowClient(server.uri).search_runs(
                    [tracker.experiment_id], "attributes.status = 'FINISHED'"
                )
            )
            < 4
        ):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        tracker.close()
    assert sorted(run.info.run_name for run in client_runs) == [f"trial {n}" for n in range(4)]


def test_a_server_that_spoils_many_requests_gets_everything_once(
    server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.tracking.delivery._FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("sweeps.tracking.delivery._LONGEST_WAIT_S", 0.02)
    rng = random.Random(3)
    fates = ["pass"]
    (tmp_path / "front.png").write_bytes(b"png")
    with spoiling_proxy(server.uri, lambda: rng.choice(fates)) as uri:
        tracker = tracker_of(uri, tmp_path, "spoiled", artifacts=[tmp_path / "front.png"])
        tracker.sweep_started([])
        fates += ["pass", "pass", "pass", "refuse", "lose", "drop"]
        records = []
        for number in range(3):
            tracker.trial_started(number, {"p": number}, resumed=False)
            for step in range(1, 4):
                values = {f"m{i}": rng.random() for i in range(300)}
                tracker.epoch_finished(number, step, values)
            records.append(complete(number, 0.1 * number, 0.5, epoch=3, on_front=number == 2))
            tracker.trial_finished(records[-1])
        tracker.sweep_finished(records, interrupted=False)
    found = counts(server, "spoiled")
    expected = {
        *((f"trial {n}", f"m{i}", e) for n in range(3) for e in range(1, 4) for i in range(300)),
        *((f"trial {n}", "epoch", e) for n in range(3) for e in range(1, 4)),
        *((f"trial {n}", f"objective/{goal.metric}", 3) for n in range(3) for goal in GOALS),
        *((f"trial {n}", f"trial/{name}", 3) for n in range(3) for name in COSTS),
    }
    assert {key for key in found if key[0] != "spoiled"} == expected
    assert set(found.values()) == {1}
    assert any(key == "system/cpu_utilization_percentage" for _, key, _ in found)


def test_a_sweep_goes_on_while_a_server_that_it_knows_is_down(
    server: MlflowServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("sweeps.tracking.delivery._FIRST_WAIT_S", 0.01)
    fates = ["pass"]
    with spoiling_proxy(server.uri, lambda: fates[0]) as uri:
        first = tracker_of(uri, tmp_path, "goes on")
        first.sweep_started([])
        first.trial_started(0, {}, resumed=False)
        first.epoch_finished(0, 1, {"loss": 1.0})
        assert first.flush(20.0)
        first.close()

        fates[0] = "refuse"
        second = tracker_of(uri, tmp_path, "goes on")
        second.sweep_started([running(0, attempts=1)])
        assert "Training goes on" in caplog.text
        second.trial_started(0, {}, resumed=True)
        for step in (1, 2):  # its only checkpoint was of the beginning
            second.epoch_finished(0, step, {"loss": 1.0 / step})
        assert not second.flush(0.1)
        fates[0] = "pass"
        assert second.flush(20.0)
        second.close()
    found = counts(server, "goes on")
    assert {key: n for key, n in found.items() if key[1] == "loss"} == {
        ("trial 0", "loss", 1): 1,
        ("trial 0", "loss", 2): 1,
    }


def test_a_journal_of_another_sweep_is_not_mixed_with_this_one(
    tmp_path: Path, server: MlflowServer
) -> None:
    spool = Spool(tmp_path / SPOOL_FILE)
    spool.note({"sweep_id": "of an earlier one", "uri": server.uri})
    spool.put([(0, epoch(1, loss=1.0))])
    spool.close()
    tracker = tracker_of(server.uri, tmp_path, "another")
    with pytest.raises(TrackingError, match=r"1 entries of an earlier sweep.*sweeps\.sync"):
        tracker.sweep_started([])
    tracker.close()


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_the_server_dies_and_then_the_driver_and_still_each_step_is_there_once(
    server: MlflowServer,
    sweep: Sweep,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sweep.write(training={"epochs": EPOCHS, "batch_size": 8}, trials=2)
    folder = sweep.folder / "runs" / "tiny"
    names = ["tiny", f"storage={sweep.folder / 'runs'}"]
    driver = sweep.start(f"tracking.uri={server.uri}")
    sweep.wait_for_checkpoint(0, driver)
    assert sync(names) == 2
    assert "a driver runs this sweep" in capsys.readouterr().err

    server.kill()
    sweep.wait_for_checkpoint(1, driver)  # training went on
    os.killpg(driver.pid, signal.SIGKILL)
    output, _ = driver.communicate()
    assert "Training goes on" in output
    assert sync(names) == 2
    assert "does not answer" in capsys.readouterr().err

    server.start()
    assert sync(names) == 0
    assert f"entries delivered to {server.uri}" in capsys.readouterr().out
    assert sync(names) == 0
    said = capsys.readouterr().out
    assert said.startswith("tiny: nothing is left to deliver\ntiny: 1 of 2 trials have not ended")
    assert f"python -m sweeps.run {folder / 'spec.yaml'}" in said

    found = counts(server, "tiny")
    assert set(found.values()) == {1}
    for number in (0, 1):
        steps = {key: set[int]() for name, key, _ in found if name == f"trial {number}"}
        for name, key, step in found:
            if name == f"trial {number}":
                steps[key].add(step)
        last = max(steps["epoch"])
        saved = [int(p.name[-6:]) + 1 for p in folder.glob(f"ray/*/trial_{number:05d}/check*")]
        assert max(saved, default=EPOCHS) <= last <= EPOCHS
        assert number == 1 or last == EPOCHS
        of_node = ("cpu_seconds", "host_memory_mib", "system/cpu_utilization_percentage")
        for key in ("epoch", "train/loss", "val/accuracy", "seconds", "gpu_seconds", *of_node):
            assert steps[key] == set(range(1, last + 1)), key
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: run.info.status for name, run in runs.items()} == {
        "tiny": "KILLED",
        "trial 0": "FINISHED",
        "trial 1": "KILLED",
    }
    for condition in SEARCHED:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        hits = mlflow.search_runs(
            experiment_names=["tiny"],
            filter_string=f"tags.`sweep.trial` = '0' and {condition}",
            output_format="list",
        )
        assert [run.info.run_name for run in hits] == ["trial 0"], condition


RECORDING = """
import sys
from pathlib import Path
from sweeps.tracking import MlflowTracker
from tests.sweeps.records import GOALS, complete

uri, folder = sys.argv[1], Path(sys.argv[2])
folder.mkdir()
tracker = MlflowTracker(
    uri, experiment="shared", run_name=folder.name, sweep_id=folder.name, folder=folder,
    objectives=GOALS, spec={}, tags={}, interval_s=0.0, sampling_s=1e9,
)
tracker.sweep_started([])
for number in range(4):
    tracker.trial_started(number, {}, resumed=False)
    for step in range(1, 21):
        tracker.epoch_finished(number, step, {"epoch": step, "loss": 1 / step})
    tracker.trial_finished(complete(number, 0.5, 0.6, epoch=20))
tracker.sweep_finished([complete(number, 0.5, 0.6, epoch=20) for number in range(4)],
                       interrupted=False)
"""


@pytest.mark.timeout(300)
def test_two_sweeps_at_once_share_a_new_database_and_an_experiment(tmp_path: Path) -> None:
    uri = default_uri(tmp_path)
    processes = [
        subprocess.Popen([sys.executable, "-c", RECORDING, uri, str(tmp_path / name)], cwd=ROOT)
        for name in ("one", "two")
    ]
    assert [process.wait() for process in processes] == [0, 0]
    for name in ("one", "two"):
        with closing(Spool(tmp_path / name / SPOOL_FILE)) as spool:
            assert len(spool) == 0
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        asked = "SELECT run_uuid, COUNT(*), COUNT(DISTINCT step) FROM metrics WHERE key = 'loss'"
        counts = database.execute(f"{asked} GROUP BY run_uuid").fetchall()
        states = database.execute("SELECT status, COUNT(*) FROM runs GROUP BY status").fetchall()
    assert [counted for _, *counted in counts] == [[20, 20]] * 8
    assert states == [("FINISHED", 10)]


# -- an MLflow that was lost ----------------------------------------------------------------------


def content(uri: str) -> dict[str, tuple[dict[str, str], list[tuple[int, float, int]]]]:
    """Parameters, state and history of each trial of the sweep ``lost``."""
    client = MlflowClient(uri)
    found = client.get_experiment_by_name("lost")
    assert found is not None
    return {
        str(run.info.run_name): (
            {**run.data.params, "state": run.data.tags["sweep.state"]},
            [
                (metric.step, metric.value, metric.timestamp)
                for metric in client.get_metric_history(run.info.run_id, "loss")
            ],
        )
        for run in client.search_runs([found.experiment_id], "tags.`sweep.trial` LIKE '%'")
    }


@pytest.fixture
def lost(tmp_path: Path) -> Path:
    """The folder of a sweep of two trials, recorded in a file beside it."""
    folder = tmp_path / "lost"
    folder.mkdir()
    claim_place(folder, "sqlite", "lost")
    tracker = tracker_of(default_uri(tmp_path), folder, "lost", sampling_s=1e9)
    tracker.sweep_started([])
    for number in range(2):
        tracker.trial_started(number, {"a.b": 0.5 * number}, resumed=False)
        for step in range(1, 4):
            tracker.epoch_finished(number, step, {"epoch": step, "loss": number + 1 / step})
        tracker.trial_finished(complete(number, 0.5, 0.6, epoch=3))
    assert tracker.flush(30.0)
    tracker.close()
    assert sync(["lost", f"storage={tmp_path}"]) == 0  # its driver never ended it
    return folder


def damage(file: Path, fate: str, before: Path) -> None:
    if fate == "damaged":
        whole = before.read_bytes()
        file.write_bytes(whole[:4096] + b"x" * (len(whole) - 4096))
    elif fate == "no database":
        file.write_text("my diary" * 100)
    elif fate == "empty":
        connect(f"sqlite:///{file}")


@pytest.mark.parametrize(
    ("fate", "says"),
    [
        ("gone", "is gone"),
        ("damaged", "is damaged"),
        ("no database", "is damaged"),
        ("empty", "has no run of this sweep"),
    ],
)
def test_an_mlflow_that_was_lost_is_told_and_made_anew(
    fate: str, says: str, lost: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["lost", f"storage={lost.parent}"]
    assert sync(command) == 0
    assert capsys.readouterr().out.endswith("lost: nothing is left to deliver\n")
    before = content(default_uri(lost.parent))
    assert [(step, value) for step, value, _ in before["trial 1"][1]] == [
        (1, 2.0),
        (2, 1.5),
        (3, 1 + 1 / 3),
    ]
    # MLflow keeps the connections of a process, so in this one a file cannot just be replaced.
    file = lost.parent / "other.db"
    with closing(Spool(lost / SPOOL_FILE)) as spool:
        spool.note({"uri": f"sqlite:///{file}"})
    damage(file, fate, lost.parent / "mlflow.db")
    assert sync(command) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert says in told.err
    assert "python -m sweeps.sync NAME --again" in told.err
    if says == "is damaged":
        file = lost.parent / "third.db"
        with closing(Spool(lost / SPOOL_FILE)) as spool:
            spool.note({"uri": f"sqlite:///{file}"})
    for _ in range(2):
        assert sync([*command, "--again"]) == 0
        assert f"entries delivered to sqlite:///{file}" in capsys.readouterr().out
        assert content(f"sqlite:///{file}") == before


def test_a_sweep_that_goes_on_makes_a_lost_mlflow_anew(
    lost: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = f"sqlite:///{lost.parent / 'other.db'}"
    tracker = tracker_of(other, lost, "lost", sampling_s=1e9)
    tracker.sweep_started([complete(number, 0.5, 0.6, epoch=3) for number in range(2)])
    assert tracker.flush(30.0)
    tracker.close()
    assert "has no run of this sweep: it gets all that the journal keeps" in caplog.text
    assert content(other) == content(default_uri(lost.parent))


def test_a_lost_trial_is_named(lost: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = MlflowClient(default_uri(lost.parent))
    found = client.get_experiment_by_name("lost")
    assert found is not None
    (run,) = client.search_runs([found.experiment_id], "tags.`sweep.trial` = '1'")
    client.delete_run(run.info.run_id)
    assert sync(["lost", f"storage={lost.parent}"]) == 0
    assert "MLflow has no runs of the trials 1: if they were lost" in capsys.readouterr().out


def test_a_journal_of_the_first_version_goes_on(tmp_path: Path) -> None:
    path = tmp_path / SPOOL_FILE
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            """
            CREATE TABLE entries (
                seq INTEGER PRIMARY KEY AUTOINCREMENT, trial INTEGER, kind TEXT, body TEXT
            );
            CREATE TABLE states (trial INTEGER PRIMARY KEY, state TEXT NOT NULL);
            CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
            INSERT INTO states VALUES (0, 'complete'), (1, 'running');
            INSERT INTO entries (trial, kind, body) VALUES (0, 'tagged', '{"tags": {}}');
            INSERT INTO entries (trial, kind, body) VALUES (1, 'tagged', '{"tags": {}}');
            DELETE FROM entries WHERE seq = 1;
            PRAGMA user_version = 1;
            """
        )
    for _ in range(2):
        with closing(Spool(path)) as spool:
            assert [item.seq for item in spool.head(10)] == [2]
            assert spool.has_delivered
            assert spool.states == {0: "complete", 1: "running"}
    with closing(Spool(path)) as spool:
        spool.renew()  # of the first trial nothing is kept, so the study has to tell it
        assert spool.states == {1: "running"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no_such"], "sweep no_such is not in"),
        ([], "has no sweeps"),
        (["trials=3"], "only storage=FOLDER"),
    ],
)
def test_what_cannot_be_synced_is_told_in_one_line(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync([*arguments, f"storage={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_damaged_journal_stops_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("bad", "good"):
        (tmp_path / name).mkdir()
        claim_place(tmp_path / name, "sqlite", name)
    (tmp_path / "bad" / SPOOL_FILE).write_text("my diary" * 100)
    assert sync([f"storage={tmp_path}"]) == 2
    said = capsys.readouterr()
    assert said.out == "good: nothing is left to deliver\n"
    assert said.err.startswith("error: bad: ")
    assert "file is not a database" in said.err
