"""Addresses: what each may be, and that none takes a secret anywhere."""

from __future__ import annotations

import base64
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from mlflow import MlflowClient

from hsplid_core.errors import ConfigError
from sweeps import evaluate, jobs, submit
from sweeps.run import main as run
from sweeps.spec.addresses import check_cluster_address, check_tracking_uri, without_secrets
from sweeps.spec.loading import load_spec
from sweeps.spec.moved_storage import ABOUT_FILE, SPEC_FILE
from sweeps.spec.overrides import parse_overrides
from sweeps.study.study import load_study
from sweeps.study.sweep_info import SweepInfo, read_info, write_info
from sweeps.tracking import default_uri
from sweeps.tracking.reachability import TrackingError, check_answers
from tests.sweeps.servers import MlflowServer, free_port
from tests.sweeps.whole_sweep import Sweep

SECRET = "s3cr3t-0f-mine"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"http://me:{SECRET}@host:5000/x", "http://host:5000/x"),
        (f"https://{SECRET}@host", "https://host"),
        (f"http://me:{SECRET}/with@signs@host/x", "http://host/x"),
        (f"postgresql://me:{SECRET}@host/db", "postgresql://me@host/db"),
        (f"postgresql+psycopg://me:{SECRET}@h/db?sslmode=require", None),
        (f"postgresql://me@host/db?sslmode=require&password={SECRET}", None),
        (f"postgresql://me@host/db?password={SECRET}", "postgresql://me@host/db"),
        (f"http://host/?next=http://me:{SECRET}@b", "http://host/?next=http://me:{0}@b"),
        (f"me:{SECRET}@host", "me@host"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("sqlite:////data/a:b@c/mlflow.db", "sqlite:////data/a:b@c/mlflow.db"),
        ("/data/a@b", "/data/a@b"),
        ("postgresql://me@host/db?passfile=/a", "postgresql://me@host/db?passfile=/a"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, shown: str | None) -> None:
    if shown is not None:
        assert without_secrets(address) == shown.format(SECRET)
    else:
        assert SECRET not in without_secrets(address)
        assert "sslmode=require" in without_secrets(address)
    assert without_secrets(without_secrets(address)) == without_secrets(address)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("nonsense", "use a server, http://host:5000, or a database"),
        ("runs/mlruns", "use a server"),
        ("file:///data/mlruns", "use a server"),
        ("postgres://me@host/db", "did you mean postgresql"),
        ("http://", "is no URL of a server: use http://host:5000"),
        ("http://host:abc", "is no URL (Port could not be cast to integer value as 'abc')"),
        ("http://[::1", "is no URL (Invalid IPv6 URL)"),
        ("http://host/?a=b", "has more than a host and a path"),
        ("postgresql://host:abc/db", "is no URL"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        ("sqlite:////data/a?b/mlflow.db", "write %3F for the ?"),
        (f"http://me:{SECRET}@host", "uri is http://host, with a password: take it out"),
        (f"http://{SECRET}@host", "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (f"postgresql://me:{SECRET}@host/db", "set PGPASSWORD"),
        (f"nonsense:{SECRET}@host", "nonsense@host, with a password"),
    ],
)
def test_what_mlflow_cannot_record_in_is_told_without_its_secrets(uri: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_tracking_uri(uri)
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "http://host:5000",
        "https://host/mlflow/",
        "http://[::1]:5000",
        "sqlite:///runs/mlflow.db",
        "sqlite:////data/a%3Fb/mlflow.db",
        "postgresql://me@host/db",
        "postgresql+psycopg://me@host:5432/db?sslmode=require",
        "mysql+pymysql://me@host/db?read_default_file=/a",
    ],
)
def test_servers_and_databases_are_taken_as_they_are(uri: str) -> None:
    assert check_tracking_uri(uri) == uri


def test_a_folder_in_place_of_a_database_is_told_where_it_would_be_written(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"is a folder: name a file in it, .*/mlflow\.db"):
        check_answers(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize("file", ["/proc/mlflow.db", f"/tmp/{'x' * 250}/{'y' * 250}/mlflow.db"])
def test_a_database_that_cannot_be_made_is_told_at_once(file: str) -> None:
    with pytest.raises(TrackingError, match=rf"MLflow's file {file} cannot be made \("):
        check_answers(f"sqlite:///{file}")


@pytest.mark.parametrize(
    "address", ["host:6379", "10.0.0.1:6379", "[::1]:6379", "head.ray-system.svc:6379", "auto"]
)
def test_the_address_of_a_cluster_is_a_host_and_a_port(address: str) -> None:
    assert check_cluster_address(address) == address


@pytest.mark.parametrize(
    "address",
    ["host", "host:abc", "host:0", "host:65536", "ray://h:1", "http://h:8265", f"a:{SECRET}@h:1"],
)
def test_another_address_of_a_cluster_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"use HOST:PORT of the head \(6379\)") as caught:
        check_cluster_address(address)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["tracking.uri=nonsense"], "tracking.uri is nonsense: use a server"),
        ([f"tracking.uri=http://a:{SECRET}@h"], "tracking.uri is http://h, with a password"),
        ([f"tracking.url=http://a:{SECRET}@h"], 'tracking.url ("http://h") is no key'),
        (["cluster.address=http://h:abc"], "cluster.address is http://h:abc: use HOST:PORT"),
    ],
)
def test_a_wrong_address_is_told_before_anything_is_made(
    overrides: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["coco_hsplid", f"storage={tmp_path / 'runs'}", *overrides]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: sweep coco_hsplid has 1 fault:\n  {line}")
    assert SECRET not in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("http://h:abc", "--address is http://h:abc, which is no URL"),
        ("h:8265", "--address is h:8265, which is no URL of a server"),
        (f"http://me:{SECRET}@h:8265", "--address is http://h:8265, with a password"),
    ],
)
def test_a_wrong_address_of_a_dashboard_is_told(
    address: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert jobs.main(["list", "--address", address]) == 2
    assert submit.main(["coco_hsplid", "storage=/s", "--address", address]) == 2
    told = capsys.readouterr().err
    assert [line.startswith(f"error: {says}") for line in told.splitlines()] == [True, True]
    assert SECRET not in told


def test_a_wrong_address_on_the_command_line_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["runs:/x", "--tracking-uri", f"http://me:{SECRET}@h"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: --tracking-uri is http://h, with a password")
    assert SECRET not in told


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["http://127.0.0.1:{}", "postgresql+psycopg://me@127.0.0.1:{}/x"])
def test_a_server_that_is_down_is_told_before_anything_is_made(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    uri = kind.format(free_port())
    assert run(["coco_hsplid", f"storage={tmp_path / 'runs'}", f"tracking.uri={uri}"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert uri in told[-1]
    assert "set tracking.uri to another server, or to null for a local file" in told[-1]
    assert not any(line.startswith("Traceback") for line in told)
    assert SECRET not in "".join(told)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_told_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_text("my diary")
    with pytest.raises(TrackingError, match=r"is damaged .*: move it to another name; .*--again"):
        check_answers(f"sqlite:///{file}")
    assert file.read_text() == "my diary"


def test_asking_a_database_takes_no_lock_from_whoever_has_it_open(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    writes = "import sqlite3, sys; sqlite3.connect(sys.argv[1], 0).execute('BEGIN IMMEDIATE')"
    with closing(sqlite3.connect(file)) as held:
        held.execute("CREATE TABLE runs (name)")
        held.execute("BEGIN IMMEDIATE")
        check_answers(f"sqlite:///{file}")
        other = subprocess.run(
            [sys.executable, "-c", writes, str(file)], capture_output=True, text=True, check=False
        )
    assert "database is locked" in other.stderr


@pytest.mark.parametrize(
    ("study", "runs", "same"),
    [
        ("postgresql://me@host/db", "postgresql+psycopg://you@host:5432/db", True),
        ("postgresql://me@host/db", "postgresql://me@host/other", False),
        ("postgresql://me@host/db", "postgresql://me@host:5433/db", False),
        ("journal", "postgresql://me@host/db", False),
        ("postgresql://me@host/db", "http://host/db", False),
    ],
)
def test_study_and_mlflow_have_databases_of_their_own(study: str, runs: str, same: bool) -> None:
    values = ["study.storage=" + study, "tracking.uri=" + runs]
    if not same:
        assert load_spec("coco_hsplid", parse_overrides(values)).tracking.uri == runs
        return
    with pytest.raises(ConfigError, match=r"the database of study.storage, too"):
        load_spec("coco_hsplid", parse_overrides(values))


# -- a secret stays where it is -------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    folder = tmp_path / "server"
    folder.mkdir()
    made = MlflowServer(folder)
    made.start()
    yield made
    made.kill()


@pytest.mark.timeout(300)
def test_the_password_of_a_server_is_in_no_file_and_no_output(
    sweep: Sweep, server: MlflowServer
) -> None:
    sweep.write(trials=1, tracking={"uri": server.uri})
    private = {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": SECRET}
    code, output = sweep.run(**private)
    assert code == 0, output
    assert server.uri in output
    forms = (SECRET.encode(), base64.b64encode(f"me:{SECRET}".encode()))
    files = [path for path in sweep.folder.rglob("*") if path.is_file()]
    assert {"spec.yaml", "about.json", "report.html"} <= {path.name for path in files}
    for content in (output.encode(), *(path.read_bytes() for path in files)):
        assert not any(form in content for form in forms)


@pytest.mark.timeout(300)
def test_a_folder_may_have_the_letters_of_addresses_in_its_name(sweep: Sweep) -> None:
    sweep.write(trials=1)
    storage = sweep.folder / "a%20b?c#d{e}"
    elsewhere = f"sqlite:///{sweep.folder}/elsewhere.db"
    before = set(sweep.folder.iterdir())
    code, output = sweep.run(
        f"storage={storage}", "study.storage=sqlite", MLFLOW_REGISTRY_URI=elsewhere
    )
    assert code == 0, output
    assert set(sweep.folder.iterdir()) - before == {storage}
    assert (storage / "tiny" / "study.db").is_file()
    assert len(load_study(storage / "tiny").trials) == 1
    client = MlflowClient(default_uri(storage), default_uri(storage))
    (model,) = client.search_registered_models()
    assert model.name == "tiny"
    (version,) = client.search_model_versions("name = 'tiny'")
    assert Path(unquote(urlsplit(str(version.source)).path)).is_dir()


def test_a_password_that_an_earlier_version_kept_is_read_by_nobody(tmp_path: Path) -> None:
    spec = load_spec("coco_hsplid", parse_overrides(["tracking.uri=http://host:5000"]))
    info = SweepInfo(
        spec=spec,
        fixed={},
        is_demo=True,
        data_key="key",
        weights=None,
        baseline=None,
        tracking_uri="http://host:5000",
        tags={},
    )
    write_info(tmp_path, info)
    for file in (tmp_path / SPEC_FILE, tmp_path / ABOUT_FILE):
        changed = file.read_text().replace("http://host", f"http://me:{SECRET}@host")
        assert SECRET in changed
        file.write_text(changed)
    assert read_info(tmp_path) == info
