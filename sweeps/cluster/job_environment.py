"""Environment of a job: its working directory, a runtime environment, and secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hsplid_core.errors import ConfigError
from sweeps.cluster.job_secrets import SEALED, seal
from sweeps.spec.yaml_reader import read_mapping
from sweeps.study.provenance import sent_along

# In the form of .gitignore. What .gitignore and .rayignore name stays at home, too.
EXCLUDES = (
    ".git/",
    ".venv/",
    "venv/",
    "runs/",
    "__pycache__/",
    "*.egg-info/",
    ".*_cache/",
    ".hypothesis/",
    "tests/",
    "*.db",
    "*.pt",
    "*.arrow",
    # Never by mistake.
    ".env*",
    "*.pem",
    "*.key",
    ".netrc",
    ".pgpass",
)

# A job is stopped as Ctrl-C stops a sweep: it writes down what there is before it ends.
_STOPPING = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": "60"}

_SECRET = re.compile(r"password|passwd|secret|token|credential|api_?key|access_?key", re.I)
_PINNED = re.compile(r"==|@\s*\S|\.whl$|^\s*(#|-)|^\s*$")


def runtime_environment(
    folder: Path,
    *,
    excludes: Sequence[str] = (),
    file: Path | None = None,
    secrets: Mapping[str, str],
    token: str | None,
) -> dict[str, Any]:
    """Put together Ray's runtime environment of a job.

    Args:
        folder: Working directory, whose files the job finds in its own.
        excludes: Files that stay at home besides :data:`EXCLUDES`, in the form of .gitignore.
        file: YAML file with more of the runtime environment: ``pip``, ``uv``, ``conda``,
            ``env_vars`` and so on, with pinned packages.
        secrets: Environment variables for the job's own process.
        token: The cluster's token, which seals the secrets.

    Raises:
        ConfigError: The file is wrong, or secrets cannot be sealed.
    """
    further = {} if file is None else _read(file)
    variables = {**_STOPPING, **sent_along(folder), **further.pop("env_vars", {})}
    excluded = [*EXCLUDES, *further.pop("excludes", ()), *excludes]
    if secrets:
        if token is None:
            raise ConfigError(
                f"--secret {', '.join(secrets)}: without the cluster's token nothing can be "
                "sealed, and the cluster would store it readable; set RAY_AUTH_TOKEN_PATH, or "
                "set the variable where the cluster runs"
            )
        variables[SEALED] = seal(secrets, token)
    return {
        **further,
        "working_dir": str(folder),
        "excludes": excluded,
        "env_vars": variables,
    }


def read_secrets(names: Sequence[str]) -> dict[str, str]:
    """Take secrets from this process's environment.

    Raises:
        ConfigError: Some are not set; their names are told, values never are.
    """
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise ConfigError(
            f"--secret {', '.join(missing)}: no such environment variable here; set it, and give "
            "its name only"
        )
    return {name: os.environ[name] for name in names}


def _read(file: Path) -> dict[str, Any]:
    values = read_mapping(file)
    variables = values.get("env_vars", {})
    if not isinstance(variables, Mapping):
        raise ConfigError(f"{file}: env_vars is {variables!r}: write NAME: value")
    loud = [str(name) for name in variables if _SECRET.search(str(name))]
    if loud:
        raise ConfigError(
            f"{file}: env_vars has {', '.join(loud)}, which Ray would store and show: take it "
            "out, set it here and add --secret NAME"
        )
    loose = [line for kind in ("pip", "uv") for line in _packages(values.get(kind))]
    loose = [line for line in loose if not _PINNED.search(line)]
    if loose:
        raise ConfigError(
            f"{file}: {', '.join(loose)}: pin each package as NAME==VERSION, or two nodes may get "
            "two versions"
        )
    if "working_dir" in values:
        raise ConfigError(f"{file}: working_dir is {values['working_dir']}: use --working-dir")
    values["env_vars"] = {str(name): str(value) for name, value in variables.items()}
    return values


def _packages(given: object) -> list[str]:
    """List the packages of a ``pip`` or ``uv`` section: a list, a mapping or a file."""
    if isinstance(given, Mapping):
        given = given.get("packages")
    if isinstance(given, str):
        try:
            return Path(given).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError(f"requirements file {given} cannot be read: {error}") from error
    return [str(package) for package in given] if isinstance(given, list) else []
