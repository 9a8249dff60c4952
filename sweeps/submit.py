"""Send a sweep to a Ray cluster: ``python -m sweeps.submit NAME --address URL``."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.cluster.job_client import default_address

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

    from sweeps.spec.sweep_spec import SweepSpec

_EXAMPLES = """\
examples:
  python -m sweeps.submit coco_hsplid storage=/shared/runs --address http://head:8265
  python -m sweeps.submit my_sweep.yaml trials=100 storage=/shared/runs --follow
  python -m sweeps.submit coco_hsplid storage=/shared/runs \\
      study.storage=postgresql://sweeps@db/study --secret PGPASSWORD

Sends this folder along, without what .gitignore names, and runs python -m sweeps.run there, as a
Ray job. The same command again, after a stop or a crash or on another cluster with the same
storage, goes on from the study. A token is read from RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sweeps.submit",
        description="Run a sweep as a job of a Ray cluster.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sweep", metavar="NAME_OR_FILE", help="a sweep's name, or a YAML file")
    parser.add_argument(
        "overrides", nargs="*", metavar="key.path=value", help="as python -m sweeps.run takes them"
    )
    parser.add_argument(
        "--address",
        metavar="URL",
        help="of the cluster's dashboard (RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265)",
    )
    parser.add_argument("--follow", action="store_true", help="print the job's output to its end")
    parser.add_argument(
        "--working-dir", metavar="FOLDER", type=Path, default=Path(), help="sent along (this one)"
    )
    parser.add_argument(
        "--exclude",
        metavar="PATTERN",
        action="append",
        default=[],
        help="files of it that stay here, as in .gitignore; may be given again",
    )
    parser.add_argument(
        "--runtime-env",
        metavar="FILE",
        type=Path,
        help="YAML file with a Ray runtime environment; packages must be pinned",
    )
    parser.add_argument(
        "--secret",
        metavar="NAME",
        action="append",
        default=[],
        help="environment variable that the job gets, sealed with the token; may be given again",
    )
    parser.add_argument("--fresh", action="store_true", help="as of python -m sweeps.run")
    parser.add_argument("--allow-changed", action="store_true", help="as of python -m sweeps.run")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done, 2 a mistake in the call, the spec or the address; with ``--follow``
        the job's own.
    """
    arguments = _parser().parse_intermixed_args(argv)

    from sweeps._command_line import report_errors

    return report_errors(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from sweeps.cluster.job_client import connect, explained
    from sweeps.cluster.job_environment import read_secrets, runtime_environment
    from sweeps.cluster.token import cluster_token

    # All that can be wrong here is told before the cluster is asked.
    sweep, spec = _checked(arguments)
    environment = runtime_environment(
        arguments.working_dir.absolute(),
        excludes=arguments.exclude,
        file=arguments.runtime_env,
        secrets=(secrets := read_secrets(arguments.secret)),
        token=cluster_token() if secrets else None,
    )
    client = connect(arguments.address or default_address())
    with explained(client.get_address()):
        jobs = client.list_jobs()
        metadata = {"sweep": spec.name, "storage": str(spec.storage)}
        _check_free(jobs, metadata, client)
        job = client.submit_job(
            entrypoint=_entrypoint(arguments, sweep, sealed=bool(secrets)),
            submission_id=_next_id(spec.name, jobs),
            runtime_env=environment,
            metadata=metadata,
        )
    _announce(job, client, as_json=arguments.json)
    if not arguments.follow:
        return 0
    from sweeps.cluster.job_output import follow

    return follow(client, job)


def _checked(arguments: argparse.Namespace) -> tuple[str, SweepSpec]:
    """Check the sweep as ``sweeps.run`` will, and what only a job asks for.

    Returns:
        The sweep's name, or its file as the job sees it; and its spec.

    Raises:
        ConfigError: Something is wrong.
    """
    from hsplid_core.errors import ConfigError
    from sweeps.search.checks import check_sweep
    from sweeps.spec.overrides import parse_overrides
    from sweeps.spec.registry import SWEEPS

    overrides = parse_overrides(arguments.overrides)
    spec = check_sweep(arguments.sweep, overrides).spec
    if any(override.path.split(".")[0] == "cluster" for override in overrides):
        raise ConfigError("override cluster: a job runs on the cluster of --address; leave it out")
    for field, path in (("storage", spec.storage), ("data.root", spec.data.root)):
        if isinstance(path, Path) and not path.is_absolute():
            raise ConfigError(
                f"{field} is {path}, which on the cluster would be a folder that vanishes with "
                "the job: give the whole path of one that all nodes share, "
                f"{field}=/shared/{path.name}"
            )
    folder = arguments.working_dir.absolute()
    if not folder.is_dir():
        raise ConfigError(f"--working-dir is {arguments.working_dir}: there is no such folder")
    if arguments.sweep in SWEEPS:
        return arguments.sweep, spec
    file = Path(arguments.sweep).expanduser().absolute()
    if not file.is_relative_to(folder):
        raise ConfigError(
            f"{arguments.sweep} lies outside of {folder}, which is all that the job gets: "
            "--working-dir names another folder"
        )
    return str(file.relative_to(folder)), spec


def _check_free(
    jobs: Sequence[JobDetails], metadata: dict[str, str], client: JobSubmissionClient
) -> None:
    from sweeps.cluster.job_client import JobError

    for job in jobs:
        if job.metadata and metadata.items() <= job.metadata.items():
            if job.status.is_terminal():
                continue
            address = client.get_address()
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


def _entrypoint(arguments: argparse.Namespace, sweep: str, *, sealed: bool) -> str:
    flags = [
        flag
        for flag, given in (
            ("--fresh", arguments.fresh),
            ("--allow-changed", arguments.allow_changed),
            ("--json", arguments.json),
        )
        if given
    ]
    run = ["python", "-m", "sweeps.run", sweep, *arguments.overrides, "cluster.address=auto"]
    opened = ["python", "-m", "sweeps.cluster.job_secrets"] if sealed else []
    return shlex.join([*opened, *run, *flags])


def _announce(job: str, client: JobSubmissionClient, *, as_json: bool) -> None:
    address = client.get_address()
    if as_json:
        line = json.dumps({"event": "submitted", "job": job, "address": address})
        sys.stdout.write(line + "\n")
        return
    again = f"python -m sweeps.jobs logs {job} --follow --address {address}"
    sys.stdout.write(f"{job}\n")
    sys.stdout.flush()
    sys.stderr.write(f"Submitted; its output: {again}\n")


if __name__ == "__main__":
    sys.exit(main())
