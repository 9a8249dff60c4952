"""Sweeps whose storage is a bucket, on a real server that speaks S3."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState

from hsplid_core.bucket_path import BucketError, BucketPath, any_path
from hsplid_core.errors import CheckpointError, ConfigError
from hsplid_core.models.state_files import read_state, write_state
from sweeps import pareto
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides
from sweeps.storage.bucket_mirror import fetch_sweep, local_folder, publish, shared_place
from sweeps.study.stored_sweep import open_sweep
from tests.sweeps.gate import GATE, Gate
from tests.sweeps.ray_nodes import family, kill_all
from tests.sweeps.s3_server import s3_server
from tests.sweeps.whole_sweep import Sweep

EPOCHS, HELD = 3, 2

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def server() -> Iterator[Mapping[str, str]]:
    with s3_server("bucket") as environment:
        yield environment


@pytest.fixture
def bucket(
    server: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> BucketPath:
    """A folder in the bucket, for this process and all that it starts."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return BucketPath(f"s3://bucket/{tmp_path.name}")


# -- paths ----------------------------------------------------------------------------------------


def test_a_path_in_a_bucket_is_used_as_one_on_disk(bucket: BucketPath) -> None:
    assert list(bucket.iterdir()) == []
    for name in ("a/1/x.txt", "a/2/x.txt", "a/2/y.txt", "b/1/x.txt", "z"):
        (bucket / name).write_text(name)
    assert [path.name for path in bucket.iterdir()] == ["a", "b", "z"]

    def found(pattern: str) -> list[str]:
        return sorted(str(path).removeprefix(f"{bucket}/") for path in bucket.glob(pattern))

    assert found("*") == ["a", "b", "z"]
    assert found("*/*") == ["a/1", "a/2", "b/1"]
    assert found("*/1/x.txt") == ["a/1/x.txt", "b/1/x.txt"]
    assert found("a/*/x.*") == ["a/1/x.txt", "a/2/x.txt"]
    assert found("a/3/x.txt") == found("*/3/*") == []
    assert set(bucket.files()) == {"a/1/x.txt", "a/2/x.txt", "a/2/y.txt", "b/1/x.txt", "z"}

    path = bucket / "a" / "2" / "x.txt"
    assert (path.read_text(), path.name, path.stem, path.parent.name) == (
        "a/2/x.txt",
        "x.txt",
        "x",
        "2",
    )
    assert path.is_file()
    assert not path.parent.is_file()
    path.with_name("y.txt").unlink()
    path.with_name("y.txt").unlink(missing_ok=True)
    (bucket / "a").remove_tree()
    (bucket / "a").remove_tree()
    assert set(bucket.files()) == {"b/1/x.txt", "z"}
    with pytest.raises(FileNotFoundError):
        path.read_bytes()
    assert any_path(str(path)) == path
    assert any_path("a/b") == Path("a/b")


@pytest.mark.parametrize(
    "url",
    ["s3://", "s3:///x", "s3://a/../b", "s3://a//b", "s3://a/b?region=x", "gs://a", "s3://k:s@a"],
)
def test_an_url_that_is_no_place_in_a_bucket(url: str) -> None:
    with pytest.raises(ConfigError, match="is no place in a bucket: write s3://bucket/folder"):
        any_path(url)


def test_a_bucket_that_is_not_there_is_told(bucket: BucketPath) -> None:
    says = r"s3://nowhere/x: .*bucket does not exist.*; see that the bucket is there, and that AWS"
    with pytest.raises(BucketError, match=says):
        BucketPath("s3://nowhere/x").write_text("x")


def test_a_checkpoint_in_a_bucket_is_verified(bucket: BucketPath) -> None:
    path = bucket / "state.pt"
    write_state(path, {"epoch": 3})
    assert read_state(path) == {"epoch": 3}
    (bucket / "state.pt.sha256").write_text("another one")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_state(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_state(bucket / "no.pt")


# -- what of it is on this machine ----------------------------------------------------------------


def test_the_folder_that_stands_for_a_bucket(
    bucket: BucketPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = local_folder(bucket)
    assert here.is_relative_to(tmp_path / "home")
    assert shared_place(here / "tiny" / "ray") == bucket / "tiny" / "ray"
    assert local_folder(tmp_path) == shared_place(tmp_path) == tmp_path

    folder = here / "tiny"
    kept = ("study.json", "tables/a.parquet")
    left = ("driver.lock", "tracking.db", "tracking.db-wal", ".study.json", "ray/attempt_001/x")
    for name in (*kept, *left):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    publish(folder)
    assert set(bucket.files()) == {f"tiny/{name}" for name in kept}
    # Again, only what has changed is copied.
    (folder / kept[0]).write_text("changed")
    (bucket / "tiny" / kept[1]).write_text("it stays, because nobody copies")
    os.utime(folder / kept[1], (held := bucket.files()[f"tiny/{kept[1]}"],) * 2)
    publish(folder)
    assert (bucket / "tiny" / kept[0]).read_text() == "changed"
    assert (bucket / "tiny" / kept[1]).read_text() == "it stays, because nobody copies"
    assert (folder / kept[1]).stat().st_mtime == pytest.approx(held, abs=1e-3)
    (folder / kept[1]).unlink()
    (bucket / "tiny" / kept[1]).write_text(kept[1])
    (bucket / "tiny" / "ray" / "state.pt").write_text("a checkpoint")
    (bucket / "tiny-2" / "study.json").write_text("the second study")
    (bucket / "tiny-too" / "study.json").write_text("of another sweep")

    # On another machine.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    fetch_sweep(bucket, "tiny")
    there = local_folder(bucket)
    copied = {file.relative_to(there).as_posix() for file in there.rglob("*") if file.is_file()}
    assert copied == {"tiny/study.json", "tiny/tables/a.parquet", "tiny-2/study.json"}
    # What has changed there since is copied again, and only that.
    (there / "tiny" / "study.json").write_text("newer than the bucket's")
    os.utime(there / "tiny-2" / "study.json", (0, 0))
    fetch_sweep(bucket, "tiny")
    assert (there / "tiny" / "study.json").read_text() == "newer than the bucket's"
    assert (there / "tiny-2" / "study.json").stat().st_mtime > 0


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ((), "study.storage is journal, a file, and storage is s3://b/x, where no process can"),
        (("study.storage=journal",), "study.storage is journal, a file"),
        (("study.storage=postgresql://h/d",), "tracking.uri is null, a file in the storage"),
    ],
)
def test_what_cannot_be_kept_in_a_bucket_needs_a_server(
    overrides: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        load_spec("coco_hsplid", parse_overrides(["storage=s3://b/x", *overrides]))


# -- sweeps ---------------------------------------------------------------------------------------


def logged(uri: str) -> dict[int, list[int]]:
    """The steps of each trial that MLflow has, by the trial's number."""
    client = MlflowClient(uri)
    found = client.get_experiment_by_name("tiny")
    runs = [] if found is None else client.search_runs([found.experiment_id])
    steps: dict[int, list[int]] = {}
    for run in runs:
        if "sweep.trial" in run.data.tags:
            history = client.get_metric_history(run.info.run_id, "val/accuracy")
            number = int(run.data.tags["sweep.trial"])
            assert number not in steps, "two runs of a trial"
            steps[number] = [entry.step for entry in history]
    return steps


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_sweep_goes_on_from_a_bucket_on_another_machine(
    lone_sweep: Sweep,
    bucket: BucketPath,
    postgres: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gate = Gate(tmp_path / "gate", HELD)
    gate.open_until(EPOCHS, trial=0)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    places: dict[str, Any] = {
        "storage": str(bucket),
        "study": {"storage": postgres},
        "tracking": {"uri": uri},
    }
    pre: dict[str, Any] = {"method": {"cross_entropy": {}}, "search": {"space": "pretrain"}}
    lone_sweep.write("pre", training={"epochs": 1}, **pre)
    lone_sweep.write(
        **places,
        pretrain="pre.yaml",
        method={"cross_entropy": {}, GATE: {"folder": str(gate.folder)}},
        search={"space": "pretrain"},
        training={"epochs": EPOCHS, "batch_size": 32},
        trials=2,
    )
    driver = lone_sweep.start()
    deadline = time.monotonic() + 300
    while not (gate.waiting(1, HELD) is not None and logged(uri) == {0: [1, 2, 3], 1: [1, 2]}):
        assert driver.poll() is None, driver.communicate()[0]
        assert time.monotonic() < deadline, "the sweep does not get there"
        time.sleep(0.3)
    kill_all(family(driver.pid))
    driver.communicate()

    # The machine is lost; the same command on another one, in another folder.
    shutil.rmtree(local_folder(bucket))
    there = tmp_path / "elsewhere"
    there.mkdir()
    for name in ("coco", "tiny.yaml", "pre.yaml"):
        (tmp_path / name).rename(there / name)
    (tmp_path / "coco").symlink_to(there / "coco")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other_home"))
    gate.open_until(EPOCHS)
    code, output = dataclasses.replace(lone_sweep, folder=there).run()
    assert code == 0, output
    assert f"{local_folder(bucket)}/tiny/report.html" in output

    # The finished trial did not run again, the other one went on from its checkpoint.
    assert list(gate.begun(0).values()) == [[0, 1, 2]]
    assert list(gate.begun(1).values()) == [[0, 1, HELD], [HELD]]
    stored = open_sweep("tiny", bucket)
    assert [trial.state for trial in stored.study.trials] == [TrialState.COMPLETE] * 2
    assert [trial.user_attrs["attempts"] for trial in stored.study.trials] == [1, 2]
    assert logged(uri) == {number: [1, 2, 3] for number in range(2)}

    # What is kept is in the bucket: results, the weights trained once, the front's checkpoints.
    files = set((bucket / "tiny").files())
    assert {"report.html", "trials.parquet", "front.png", "study.json", "spec.yaml"} <= files
    assert [path.name for path in (bucket / "pretrained").glob("*.pt")] == [
        f"{stored.info.weights.stem}.pt" if stored.info and stored.info.weights else ""
    ]
    front = {record.number for record in stored.records if record.on_front}
    states = [name.split("/") for name in files if name.endswith("/state.pt")]
    kept = [int(parts[2].removeprefix("trial_")) for parts in states]
    assert front == set(kept)
    assert all(kept.count(number) <= 2 for number in front)

    # On a third machine.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "third_home"))
    assert pareto.main(["tiny", f"storage={bucket}", "--json"]) == 0
    assert {row["trial"] for row in json.loads(capsys.readouterr().out)["front"]} == front
    checkpoint = open_sweep("tiny", bucket).checkpoints.find(min(front))
    assert checkpoint is not None
    assert read_state(checkpoint)["epoch"] == EPOCHS
