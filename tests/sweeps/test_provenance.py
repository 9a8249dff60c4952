from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sweeps.study import provenance
from sweeps.study.provenance import git_state, package_versions, provenance_tags

IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *IDENTITY, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("a = 1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_a_clean_tree_has_its_commit(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert git_state(repository) == {"git.commit": commit, "git.dirty": "false"}


def test_only_changes_of_tracked_files_make_a_tree_dirty(repository: Path) -> None:
    (repository / "results.db").write_text("x")
    assert git_state(repository)["git.dirty"] == "false"
    (repository / "code.py").write_text("a = 2\n")
    assert git_state(repository)["git.dirty"] == "true"


def test_a_copy_inside_another_repository_does_not_claim_its_commit(repository: Path) -> None:
    copy = repository / "site-packages" / "sweeps"
    copy.mkdir(parents=True)
    (copy / "events.py").write_text("")
    assert git_state(copy) == {"git.commit": "unknown", "git.dirty": "unknown"}


def test_without_a_repository_the_commit_is_unknown(tmp_path: Path) -> None:
    unknown = {"git.commit": "unknown", "git.dirty": "unknown"}
    assert git_state(tmp_path) == unknown
    assert git_state(tmp_path / "missing") == unknown


def test_without_git_the_commit_is_unknown(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_state(repository) == {"git.commit": "unknown", "git.dirty": "unknown"}


def test_a_job_gets_the_commit_of_the_code_that_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"git.commit": "c" * 40, "git.dirty": "true"}
    monkeypatch.setattr(provenance, "git_state", lambda: state)
    assert provenance.sent_along(tmp_path) == {}  # another copy of the code would run
    sent = provenance.sent_along(Path(provenance.__file__).parents[1])
    assert sorted(sent.values()) == ["c" * 40, "true"]
    # There, without the repository.
    unknown = dict.fromkeys(state, "unknown")
    monkeypatch.setattr(provenance, "git_state", lambda: unknown)
    assert provenance_tags().items() >= unknown.items()
    for name, value in sent.items():
        monkeypatch.setenv(name, value)
    assert provenance_tags().items() >= state.items()
    # What is not known here cannot be told.
    assert provenance.sent_along(Path(provenance.__file__).parents[1]) == {}


def test_versions_come_from_the_installed_packages() -> None:
    import optuna

    versions = package_versions(["optuna", "no-such-package"])
    assert versions["version.optuna"] == optuna.__version__
    assert versions["version.no-such-package"] == "unknown"


def test_tags_name_everything_that_a_result_depends_on() -> None:
    packages = {f"version.{name}" for name in ("torch", "torchvision", "ray", "optuna", "mlflow")}
    tags = provenance_tags()
    assert packages | {"git.commit", "git.dirty", "host", "version.numpy"} <= tags.keys()
    assert all(tags.values())
