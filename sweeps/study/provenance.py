"""Provenance of a result: the code's commit and the versions of what computed it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

UNKNOWN = "unknown"
PACKAGES = ("torch", "torchvision", "ray", "optuna", "mlflow", "numpy")

# What a job's submitter knows of its code: the job has the files alone, without their repository.
_SENT = {"git.commit": "SALIENCY_SWEEPS_COMMIT", "git.dirty": "SALIENCY_SWEEPS_DIRTY"}

_GIT_TIMEOUT_S = 30.0  # on a busy machine with a cold disk; a result without its commit is worse


def git_state(folder: Path | None = None) -> dict[str, str]:
    """Describe the commit of a working tree.

    Args:
        folder: Any folder of the working tree; by default the one that holds this code, so the
            answer does not depend on where the sweep was started.

    Returns:
        ``git.commit`` (40 digits) and ``git.dirty`` (``true`` where tracked files differ from the
        commit, else ``false``); ``unknown`` without git, a repository or a commit.
    """
    folder = folder or Path(__file__).parent
    # A copy of this code inside somebody else's repository, such as a virtual environment there,
    # must not claim that repository's commit.
    tracked = bool(_git(folder, "ls-files", "."))
    commit = _git(folder, "rev-parse", "--verify", "HEAD") if tracked else None
    # Untracked files are left out: a sweep's own results would make every tree dirty.
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    dirty = str(bool(changes)).lower() if commit and changes is not None else UNKNOWN
    return {"git.commit": commit or UNKNOWN, "git.dirty": dirty}


def sent_along(folder: Path) -> dict[str, str]:
    """Return the environment that tells a job the commit of the code that it is sent.

    Args:
        folder: The job's working directory. Where this code is not among its files, the job runs
            another copy of it, of which nothing is known here.
    """
    state = git_state()
    if not Path(__file__).is_relative_to(folder.resolve()) or UNKNOWN in state.values():
        return {}
    return {_SENT[name]: value for name, value in state.items()}


def _state_here(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the git state of this code, or that which came along with it."""
    state = git_state()
    if UNKNOWN not in state.values():
        return state
    return {name: environment.get(_SENT[name], value) for name, value in state.items()}


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Look up installed versions without importing the packages.

    Args:
        names: Names of distributions.

    Returns:
        ``version.NAME`` to its version, and ``version.python``; ``unknown`` where a package is
        not installed.
    """
    versions = {"version.python": platform.python_version()}
    for name in names:
        try:
            versions[f"version.{name}"] = version(name)
        except PackageNotFoundError:
            versions[f"version.{name}"] = UNKNOWN
    return versions


def provenance_tags() -> dict[str, str]:
    """Return all that is known of a sweep's origin, as tags: git state, versions and host."""
    return {**_state_here(os.environ), **package_versions(), "host": platform.node() or UNKNOWN}


def _git(folder: Path, *arguments: str) -> str | None:
    # Without optional locks, asking for the status never gets in the way of a commit.
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
