"""A storage folder that was copied, with the original in its place and without."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from hsplid_core.config import DataConfig
from hsplid_core.errors import ConfigError
from hsplid_core.models.state_files import write_state
from sweeps import evaluate, pareto, report, sync
from sweeps.confirmation.plan import make_plan, make_suite
from sweeps.outputs.registered_models import register_front
from sweeps.spec.loading import load_spec
from sweeps.spec.moved_storage import StorageMove, move_of, storage_around
from sweeps.study.stored_sweep import open_sweep
from sweeps.study.sweep_info import read_info, write_info
from sweeps.tracking.moved_database import ADDRESSES, follow_move
from sweeps.tracking.tracking_uri import default_uri, sqlite_file
from sweeps.tracking.ui_view import share_view
from tests.sweeps.recorded import NAME, recorded_sweep
from tests.sweeps.test_front_models import journal
from tests.tiny import tiny_data, tiny_trial
from trainables.trial import Trial

VALUES = [(0.9, 0.1), (0.3, 0.6)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return tiny_data(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def finished(data: DataConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Leave a finished sweep behind, whose caches and weights are in its storage, too."""
    storage = tmp_path_factory.mktemp("finished") / "runs"
    storage.mkdir()
    data = dataclasses.replace(data, cache_dir=storage / "cache")
    folder = recorded_sweep(storage, data, VALUES)
    register_front(open_sweep(str(folder)))
    (storage / "pretrained").mkdir()
    weights = storage / "pretrained" / "start.pt"
    write_state(weights, Trial(tiny_trial(data, seed=9)).state_dict())
    info = read_info(folder)
    assert info is not None
    write_info(folder, dataclasses.replace(info, weights=weights, baseline=(0.5, 0.2)))
    journal(folder, state="complete")
    return storage


@dataclasses.dataclass(frozen=True)
class Copied:
    """A storage folder as it was made, and its copy."""

    original: Path
    copy: Path

    def contents(self) -> Mapping[str, tuple[str, int]]:
        """Return the hash and the time of change of all files of the original."""
        return {
            str(file): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
            for file in sorted(self.original.rglob("*"))
            if file.is_file()
        }


@pytest.fixture(params=["kept", "removed"])
def copied(request: pytest.FixtureRequest, finished: Path, tmp_path: Path) -> Iterator[Copied]:
    copy = tmp_path / "archive" / "runs"
    shutil.copytree(finished, copy)
    if request.param == "kept":
        yield Copied(finished, copy)
        return
    elsewhere = finished.rename(finished.with_name("elsewhere"))
    yield Copied(finished, copy)
    elsewhere.rename(finished)


def only_run(storage: Path) -> Run:
    client = MlflowClient(tracking_uri=default_uri(storage))
    version = client.get_model_version_by_alias(NAME, "best-val-accuracy")
    assert version.run_id is not None
    return client.get_run(version.run_id)


def test_commands_on_a_copy_read_the_copy_alone(
    copied: Copied, data: DataConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    before, copy = copied.contents(), copied.copy
    place = f"storage={copy}"
    assert pareto.main([NAME, place, "--json"]) == 0
    assert [row["trial"] for row in json.loads(capsys.readouterr().out)["front"]] == [0, 1]

    assert report.main([NAME, place]) == 0
    assert capsys.readouterr().out == f"{copy / NAME / 'report.html'}\n"
    page = (copy / NAME / "report.html").read_text()
    assert str(copied.original) not in page
    assert "trial 0" in page
    assert "Saliency of 3 models" in page  # with the weights that both began from

    sweep = open_sweep(NAME, copy)
    assert sweep.recording.uri == default_uri(copy)
    shown = share_view(sweep.recording, objectives=["val/accuracy"], parameters=[])
    assert shown.startswith("/#/experiments/1/runs")

    plan = make_plan(sweep, n_seeds=1, suite=make_suite(None, None, is_demo=True))
    config = plan.spec.trial_config()
    assert (plan.folder, plan.spec.storage) == (copy / NAME / "confirm", copy)
    assert (config.data.cache_dir, config.data.root) == (copy / "cache", data.root)

    run_id = only_run(copy).info.run_id
    checkpoint = sweep.checkpoints.find(0, sweep.records[0].parameters)
    assert checkpoint is not None
    assert str(checkpoint).startswith(str(copy))
    found = []
    for model in (str(checkpoint), f"models:/{NAME}@best-val-accuracy", run_id):
        options = [f"root={data.root}", "--max-images=16", "--json"]
        assert evaluate.main([model, place, *options]) == 0
        found.append(json.loads(capsys.readouterr().out)["verdicts"])
    assert found[1:] == found[:1] * 2
    assert "evaluation/coco_animals/clean" in only_run(copy).data.metrics

    assert sync.main([NAME, place]) == 0
    assert f"1 entries delivered to {default_uri(copy)}" in capsys.readouterr().out
    assert copied.contents() == before


def test_the_spec_in_a_copy_names_the_copy(copied: Copied, data: DataConfig) -> None:
    spec = load_spec(str(copied.copy / NAME / "spec.yaml"))
    assert (spec.storage, spec.data.cache_dir) == (copied.copy, copied.copy / "cache")
    assert spec.tracking.uri == default_uri(copied.copy)
    assert spec.data.root == data.root
    info = read_info(copied.copy / NAME)
    assert info is not None
    assert info.weights == copied.copy / "pretrained" / "start.pt"
    # Alone, the file is that of a sweep to be run where it says.
    lone = shutil.copy(copied.copy / NAME / "spec.yaml", copied.copy.parent / "spec.yaml")
    assert load_spec(str(lone)).storage == copied.original


def test_every_address_in_a_copied_database_is_found(copied: Copied) -> None:
    database = copied.copy / "mlflow.db"
    follow_move(database)
    with closing(sqlite3.connect(database)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        columns = [
            (table, name)
            for (table,) in tables.fetchall()
            for _, name, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall()
        ]
        held = {
            place: [str(value) for (value,) in connection.execute(query(*place)).fetchall()]
            for place in columns
        }
    assert set(ADDRESSES) <= set(columns)
    artifacts = {place for place, values in held.items() if any(map(is_artifact, values))}
    assert artifacts <= set(ADDRESSES)
    assert not any(str(copied.original) in value for values in held.values() for value in values)
    changed = database.read_bytes()
    follow_move(database)
    assert database.read_bytes() == changed


def query(table: str, column: str) -> str:
    return f'SELECT "{column}" FROM "{table}"'


def is_artifact(value: str) -> bool:
    return value.startswith("file://") and "/mlartifacts" in value


def test_a_database_leaves_alone_what_was_not_moved_with_it(tmp_path: Path) -> None:
    """Experiments of others; artifacts that stayed; files that are no database."""
    elsewhere = tmp_path / "elsewhere" / "mlartifacts"
    elsewhere.mkdir(parents=True)
    uri = default_uri(tmp_path)
    client = MlflowClient(tracking_uri=uri)
    other = client.create_experiment("other", artifact_location=elsewhere.as_uri())
    follow_move(tmp_path / "mlflow.db")
    assert client.get_experiment(other).artifact_location == elsewhere.as_uri()
    (tmp_path / "mlartifacts").mkdir()
    here = (tmp_path / "mlartifacts").as_uri()
    client.create_experiment("own", artifact_location=here)
    follow_move(tmp_path / "mlflow.db")
    assert client.get_experiment(other).artifact_location == elsewhere.as_uri()
    (tmp_path / "none.db").write_text("no database")
    follow_move(tmp_path / "none.db")
    follow_move(tmp_path / "gone.db")
    assert not (tmp_path / "gone.db").exists()


def test_addresses_are_moved_as_urls_have_them() -> None:
    odd = Path("/data/a%20b?c#d/runs")
    move = StorageMove(odd, Path("/x/y z%3/runs"))
    moved = move.text(default_uri(odd))
    assert sqlite_file(moved) == Path("/x/y z%3/runs/mlflow.db")
    # As earlier versions wrote it.
    assert sqlite_file(move.text(f"sqlite:///{odd}/mlflow.db")) == Path("/x/y z%3/runs/mlflow.db")
    assert move.text(f"{odd}/pretrained/a.pt") == "/x/y z%3/runs/pretrained/a.pt"
    assert move.text(f"{odd}2/a.pt") == f"{odd}2/a.pt"
    assert move.text("sqlite:////elsewhere/mlflow.db") == "sqlite:////elsewhere/mlflow.db"


def test_places_that_are_no_move(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "tiny"
    folder.mkdir(parents=True)
    assert storage_around(folder) == tmp_path / "runs"
    assert storage_around(folder / "confirm" / "tiny-seed-1") == tmp_path / "runs"
    assert move_of(folder) is None
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    for written in ("runs", "s3://bucket/runs", tmp_path / "runs", tmp_path / "link"):
        (folder / "spec.yaml").write_text(f"storage: {written}\n")
        assert move_of(folder) is None
    (folder / "spec.yaml").write_text("storage: /before\n")
    move = move_of(folder)
    assert move == StorageMove(Path("/before"), tmp_path / "runs")
    texts = ["/before", "/before/a", "sqlite:////before/x", "file:///before/y", "/before2", "b"]
    new = str(tmp_path / "runs")
    assert [move.text(text) for text in texts] == [
        new,
        f"{new}/a",
        f"sqlite:///{new}/x",
        f"file://{new}/y",
        "/before2",
        "b",
    ]
    (folder / "spec.yaml").write_text("storage: [")
    with pytest.raises(ConfigError):
        move_of(folder)
