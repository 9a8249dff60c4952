"""What can be told of jobs without a cluster. The jobs themselves run in tests/docker."""

from __future__ import annotations

import contextlib
import http.server
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import yaml
from ray._private.runtime_env.packaging import create_package

from hsplid_core.errors import ConfigError
from sweeps import jobs, submit
from sweeps.cluster.job_environment import EXCLUDES, read_secrets, runtime_environment
from sweeps.cluster.job_secrets import SEALED, seal, unseal

TOKEN = "a-token-of-this-cluster"
SECRETS = {"PGPASSWORD": "päss word", "MLFLOW_TRACKING_PASSWORD": "x" * 500}


def test_sealed_secrets_are_opened_by_the_token_alone() -> None:
    sealed = seal(SECRETS, TOKEN)
    assert sealed != seal(SECRETS, TOKEN)
    assert not any(text in sealed for pair in SECRETS.items() for text in pair)
    assert unseal(sealed, f"{TOKEN}\n") == SECRETS
    for damaged in (sealed[:-4] + "AAAA", sealed[1:], sealed.replace(".", ""), ""):
        with pytest.raises(ConfigError, match="cannot be read"):
            unseal(damaged, TOKEN)
    with pytest.raises(ConfigError, match="another token"):
        unseal(sealed, "a-token-of-another-one")


def test_a_command_gets_what_was_sealed_and_not_the_seal() -> None:
    shown = f"import os; print(os.environ['PGPASSWORD'], {SEALED!r} in os.environ)"
    command = [sys.executable, "-m", "sweeps.cluster.job_secrets", sys.executable, "-c", shown]
    environment = {**os.environ, SEALED: seal(SECRETS, TOKEN), "PYTHONIOENCODING": "utf-8"}
    for token, expected in ((TOKEN, (0, "päss word False\n")), ("another", (2, ""))):
        done = subprocess.run(
            command,
            env={**environment, "RAY_AUTH_TOKEN": token},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert (done.returncode, done.stdout) == expected, done.stderr
        assert not any(secret in done.stderr for secret in SECRETS.values())


def test_a_job_takes_the_folder_along_without_what_has_to_stay(tmp_path: Path) -> None:
    kept = ["sweep.yaml", "my_methods.py", "inner/more.py"]
    left = [
        "runs/a/study.db",
        ".git/config",
        ".venv/x.py",
        ".env",
        "a.pem",
        "b/.pgpass",
        "big.bin",
    ]
    for name in (*kept, *left, "secret/notes.txt"):
        file = tmp_path / "work" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (tmp_path / "work" / ".gitignore").write_text("secret/\n")
    environment = runtime_environment(
        tmp_path / "work", excludes=["*.bin"], secrets=SECRETS, token=TOKEN
    )
    package = tmp_path / "package.zip"
    create_package(
        environment["working_dir"],
        package,
        include_gitignore=True,
        excludes=environment["excludes"],
    )
    packed = [name for name in zipfile.ZipFile(package).namelist() if not name.endswith("/")]
    assert sorted(packed) == sorted([*kept, ".gitignore"])
    assert "password" not in str(environment).lower().replace("pgpass", "")
    assert unseal(environment["env_vars"][SEALED], TOKEN) == SECRETS


def test_a_runtime_environment_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "environment.yaml"
    given = {"pip": ["torch==2.11", "my-pkg @ file:///x.whl"], "env_vars": {"OMP": 1}}
    file.write_text(yaml.safe_dump({**given, "excludes": ["*.csv"]}))
    made = runtime_environment(tmp_path, file=file, secrets={}, token=None)
    assert made["pip"] == given["pip"]
    assert made["env_vars"]["OMP"] == "1"
    assert made["env_vars"]["RAY_JOB_STOP_SIGNAL"] == "SIGINT"
    assert made["excludes"] == [*EXCLUDES, "*.csv"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"pip": ["numpy"]}, "numpy: pin each package as NAME==VERSION"),
        ({"uv": {"packages": ["a==1", "b>=2"]}}, "b>=2: pin each"),
        ({"pip": "no/such.txt"}, "no/such.txt cannot be read"),
        (
            {"env_vars": {"AWS_SECRET_ACCESS_KEY": "k"}},
            "take it out, set it here and add --secret",
        ),
        ({"env_vars": ["A=1"]}, "write NAME: value"),
        ({"working_dir": "/x"}, "use --working-dir"),
    ],
)
def test_a_runtime_environment_that_is_refused(
    given: dict[str, object], says: str, tmp_path: Path
) -> None:
    file = tmp_path / "environment.yaml"
    file.write_text(yaml.safe_dump(given))
    with pytest.raises(ConfigError, match=says):
        runtime_environment(tmp_path, file=file, secrets={}, token=None)


def test_secrets_are_named_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "not to be seen")
    assert read_secrets(["PGPASSWORD"]) == {"PGPASSWORD": "not to be seen"}
    with pytest.raises(ConfigError, match="--secret NOT_SET: no such environment variable"):
        read_secrets(["NOT_SET", "PGPASSWORD"])
    with pytest.raises(ConfigError, match="without the cluster's token nothing can be") as caught:
        runtime_environment(tmp_path, secrets={"PGPASSWORD": "not to be seen"}, token=None)
    assert "not to be seen" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["coco_hslpid"], "sweep coco_hslpid is unknown"),
        (["coco_hsplid", "trials=0", "storage=/s"], "trials is 0: use 1 or more"),
        (["coco_hsplid"], "storage is runs, which on the cluster would be a folder that vanishes"),
        (
            ["coco_hsplid", "storage=/s", "data.root=coco"],
            "data.root is coco, which on the cluster",
        ),
        (
            ["coco_hsplid", "storage=s3://b/x"],
            "study.storage is journal, a file, and storage is s3://b/x",
        ),
        (["coco_hsplid", "storage=/s", "cluster.address=x:1"], "override cluster: a job runs on"),
        (["coco_hsplid", "storage=/s", "--working-dir", "nope"], "--working-dir is nope"),
        (["coco_hsplid", "storage=/s", "--secret", "NOT_SET"], "--secret NOT_SET: no such"),
        (["coco_hsplid", "storage=/s", "--runtime-env", "no.yaml"], "no.yaml cannot be read"),
        (["coco_hsplid", "storage=/s", "--address", "head:8265"], "use that of the cluster's"),
        (
            ["coco_hsplid", "storage=/s", "--address", "http://127.0.0.1:1"],
            "no Ray cluster answers",
        ),
    ],
)
def test_a_mistake_in_a_submit_is_told_before_anything_is_sent(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert says in printed.err
    assert printed.out == ""


def test_a_sweep_file_has_to_be_in_the_folder_that_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work").mkdir()
    outside = tmp_path / "mine.yaml"
    outside.write_text(Path("sweeps/specs/coco_pretrain.yaml").read_text())
    folder = str(tmp_path / "work")
    assert submit.main([str(outside), f"storage={tmp_path}", "--working-dir", folder]) == 2
    assert "lies outside of" in capsys.readouterr().err


def test_a_token_file_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("PGPASSWORD", "x")
    assert submit.main(["coco_pretrain", "storage=/s", "--secret", "PGPASSWORD"]) == 2
    assert "/none, which cannot be read (No such file" in capsys.readouterr().err


@pytest.fixture
def web_page() -> Iterator[str]:
    """A server that is no Ray cluster."""
    with served(b"", 404) as address:
        yield address


@contextlib.contextmanager
def served(answer: bytes, code: int) -> Iterator[str]:
    """Answer every request alike, at an address of this machine."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_cluster_with_another_version_of_ray_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with served(b'{"version": "4", "ray_version": "2.50.1"}', 200) as address:
        assert submit.main(["coco_hsplid", f"storage={tmp_path}", "--address", address]) == 2
    assert capsys.readouterr().err == (
        f"error: the cluster at {address} runs Ray 2.50.1, and this environment has "
        f"{ray.__version__}: use one version for both, here pip install ray==2.50.1\n"
    )


@pytest.mark.parametrize("arguments", [["list"], ["logs", "x-1"], ["stop", "x-1"]])
def test_what_is_no_cluster_is_told_in_one_line(
    arguments: list[str],
    web_page: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")  # must not win over the one given here
    assert jobs.main([*arguments, "--address", web_page]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: the cluster at {web_page} refuses: ")
    assert len(error.splitlines()) == 1
