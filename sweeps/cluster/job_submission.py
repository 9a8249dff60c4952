"""Submission of a sweep as a Ray job: its checks, its number, its command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hsplid_core.errors import ConfigError
from hsplid_core.files import from_home
from sweeps.cluster.job_client import JobError, explained
from sweeps.search.checks import check_sweep
from sweeps.spec.overrides import parse_overrides
from sweeps.spec.registry import SWEEPS
from trainables.internals import server_version

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient


@dataclass(frozen=True)
class SweepJob:
    """A sweep that a cluster can be asked to run.

    Attributes:
        name: The sweep's name.
        storage: Where its results are.
        arguments: Those of ``sweeps.run``, as the job sees its files.
    """

    name: str
    storage: str
    arguments: tuple[str, ...]


def check_job(sweep: str, overrides: Sequence[str], folder: Path) -> SweepJob:
    """Check a sweep as ``sweeps.run`` will, and what only a job asks for.

    Args:
        sweep: A registered name, or the path of a YAML file.
        overrides: As on the command line.
        folder: What is sent along.

    Raises:
        ConfigError: Something is wrong.
    """
    parsed = parse_overrides(overrides)
    spec = check_sweep(sweep, parsed).spec
    if any(override.path.split(".")[0] == "cluster" for override in parsed):
        raise ConfigError("override cluster: a job runs on the cluster of --address; leave it out")
    for field, path in (("storage", spec.storage), ("data.root", spec.data.root)):
        if isinstance(path, Path) and not path.is_absolute():
            raise ConfigError(
                f"{field} is {path}, which on the cluster would be a folder that vanishes with "
                "the job: give the whole path of one that all nodes share, "
                f"{field}=/shared/{path.name}"
            )
    if not folder.is_dir():
        raise ConfigError(f"--working-dir is {folder}: there is no such folder")
    if sweep not in SWEEPS:
        file = from_home(Path(sweep)).absolute()
        if not file.is_relative_to(folder.absolute()):
            raise ConfigError(
                f"{sweep} lies outside of {folder.absolute()}, which is all that the job gets: "
                "--working-dir names another folder"
            )
        sweep = str(file.relative_to(folder.absolute()))
    return SweepJob(spec.name, str(spec.storage), (sweep, *overrides))


def submit_job(
    client: JobSubmissionClient,
    job: SweepJob,
    environment: Mapping[str, object],
    *,
    flags: Sequence[str] = (),
    sealed: bool = False,
) -> str:
    """Send a sweep to a cluster.

    Args:
        client: Of the cluster's Jobs API.
        job: What to run.
        environment: Ray's runtime environment.
        flags: Flags of ``sweeps.run``.
        sealed: Whether the environment holds sealed secrets, which the job opens first.

    Returns:
        The job's id.

    Raises:
        JobError: A job runs this sweep already, the cluster has another version of Ray, or it
            refuses.
        ConfigError: The cluster does not answer any more.
    """
    _check_version(client)
    metadata = {"sweep": job.name, "storage": job.storage}
    run = ["python", "-m", "sweeps.run", *job.arguments, "cluster.address=auto", *flags]
    opened = ["python", "-m", "sweeps.cluster.job_secrets"] if sealed else []
    with explained(client.get_address()):
        jobs = client.list_jobs()
        _check_free(jobs, metadata, client.get_address())
        return client.submit_job(
            entrypoint=shlex.join([*opened, *run]),
            submission_id=_next_id(job.name, jobs),
            runtime_env=dict(environment),
            metadata=metadata,
        )


def _check_version(client: JobSubmissionClient) -> None:
    import ray

    there = server_version(client)
    if there != ray.__version__:
        raise JobError(
            f"the cluster at {client.get_address()} runs Ray {there}, and this environment has "
            f"{ray.__version__}: use one version for both, here pip install ray=={there}"
        )


def _check_free(jobs: Sequence[JobDetails], metadata: Mapping[str, str], address: str) -> None:
    for job in jobs:
        mine = job.metadata is not None and metadata.items() <= job.metadata.items()
        if mine and not job.status.is_terminal():
            raise JobError(
                f"the job {job.submission_id} runs this sweep already: python -m sweeps.jobs logs "
                f"{job.submission_id} --follow --address {address} shows it, stop instead of "
                "logs ends it"
            )


def _next_id(name: str, jobs: Sequence[JobDetails]) -> str:
    """Number the jobs of a sweep: Ray refuses an id that it has seen before."""
    taken = {job.submission_id for job in jobs}
    number = 1
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"
