"""Sweeps that run as Ray jobs: ``python -m sweeps.jobs list|logs|stop``."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweeps.cluster.job_client import default_address

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

_EXAMPLES = """\
examples:
  python -m sweeps.jobs list --address http://head:8265
  python -m sweeps.jobs logs coco_hsplid-1 --follow
  python -m sweeps.jobs stop coco_hsplid-1

A stopped sweep goes on when it is submitted again. A token is read from RAY_AUTH_TOKEN_PATH or
RAY_AUTH_TOKEN.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sweeps.jobs",
        description="List, show and stop the jobs of a Ray cluster.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="list|logs|stop")
    for name, about in (
        ("list", "jobs, oldest first"),
        ("logs", "what a job has printed"),
        ("stop", "stop a job as Ctrl-C would; the sweep can go on later"),
    ):
        command = commands.add_parser(name, help=about, description=about)
        if name != "list":
            command.add_argument("job", metavar="JOB", help="a job's id, as list prints it")
        if name == "logs":
            command.add_argument("--follow", action="store_true", help="to the job's end")
        else:
            command.add_argument("--json", action="store_true", help="print JSON instead of text")
        command.add_argument(
            "--address",
            metavar="URL",
            help="of the cluster's dashboard (RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265)",
        )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done, 2 a mistake in the call; with ``logs --follow`` the job's own.
    """
    arguments = _parser().parse_args(argv)

    from sweeps._command_line import report_errors

    return report_errors(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from sweeps.cluster.job_client import JobError, connect, explained

    client = connect(arguments.address or default_address())
    with explained(client.get_address()):
        # Ray also lists drivers that nobody submitted; they have neither log nor stop.
        jobs = [job for job in client.list_jobs() if job.submission_id is not None]
        jobs.sort(key=lambda job: job.start_time or 0)
        if arguments.command == "list":
            sys.stdout.write(_listing(jobs, as_json=arguments.json))
            return 0
        known = [str(job.submission_id) for job in jobs]
        if arguments.job not in known:
            raise JobError(
                f"job {arguments.job} is not on {client.get_address()}: it has "
                f"{', '.join(known) or 'none'}"
            )
        if arguments.command == "stop":
            stopped = client.stop_job(arguments.job)
            text = "is being stopped" if stopped else "had ended already"
            line = json.dumps({"job": arguments.job, "stopping": stopped})
            sys.stdout.write(f"{line if arguments.json else f'{arguments.job} {text}'}\n")
            return 0
        if not arguments.follow:
            sys.stdout.write(client.get_job_logs(arguments.job))
            return 0
    from sweeps.cluster.job_output import follow

    return follow(client, arguments.job)


def _listing(jobs: Sequence[JobDetails], *, as_json: bool) -> str:
    rows = [
        {
            "job": str(job.submission_id),
            "status": str(job.status.value),
            "started": _when(job.start_time),
            "ended": _when(job.end_time),
            "sweep": (job.metadata or {}).get("sweep"),
            "storage": (job.metadata or {}).get("storage"),
        }
        for job in jobs
    ]
    if as_json:
        return json.dumps(rows, indent=2) + "\n"
    names = ("job", "status", "started", "ended", "storage")
    table = [names, *(tuple(row[name] or "-" for name in names) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in table
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _when(time_ms: int | None) -> str | None:
    """Write a time of Ray's, milliseconds since 1970, in UTC."""
    if not time_ms:
        return None
    when = datetime.datetime.fromtimestamp(time_ms / 1000, tz=datetime.UTC)
    return when.strftime("%Y-%m-%d %H:%M:%S UTC")


if __name__ == "__main__":
    sys.exit(main())
