"""Sweeps that run as jobs of Ray or SLURM: ``python -m sweeps.jobs list|logs|stop``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence

from sweeps._command_line import add_debug, report_errors
from sweeps.cluster.job_client import default_address

_EXAMPLES = """\
examples:
  python -m sweeps.jobs list --address http://head:8265
  python -m sweeps.jobs logs coco_hsplid-1 --follow
  python -m sweeps.jobs stop coco_hsplid-1
  python -m sweeps.jobs list --slurm
  python -m sweeps.jobs stop 4711 --slurm

A stopped sweep goes on when it is submitted again. A token is read from RAY_AUTH_TOKEN_PATH or
RAY_AUTH_TOKEN.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sweeps.jobs",
        description="List, show and stop sweeps that run as jobs of a Ray cluster, or of SLURM.",
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
        where = command.add_mutually_exclusive_group()
        where.add_argument(
            "--address",
            metavar="URL",
            help="of the cluster's dashboard (RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265)",
        )
        where.add_argument("--slurm", action="store_true", help="your jobs of SLURM")
        add_debug(command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done, 2 a mistake in the call; with ``logs --follow`` the job's own.
    """
    arguments = _parser().parse_args(argv)
    run = _run_slurm if arguments.slurm else _run
    return report_errors(lambda: run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    from sweeps.cluster.job_client import connect, explained
    from sweeps.cluster.job_list import check_known, job_rows, submitted_jobs

    client = connect(arguments.address or default_address())
    with explained(client.get_address()):
        jobs = submitted_jobs(client)
        if arguments.command == "list":
            _print_rows(job_rows(jobs), as_json=arguments.json)
            return 0
        check_known(arguments.job, jobs, client.get_address())
        if arguments.command == "stop":
            _print_stopped(arguments, client.stop_job(arguments.job))
            return 0
        if not arguments.follow:
            sys.stdout.write(client.get_job_logs(arguments.job))
            return 0
    from sweeps.cluster.job_output import follow

    return follow(client, arguments.job)


def _run_slurm(arguments: argparse.Namespace) -> int:
    from sweeps.cluster.slurm_queue import (
        find_job,
        follow_job,
        print_output,
        queue_rows,
        stop_job,
        sweep_jobs,
    )

    if arguments.command == "list":
        jobs, missing = sweep_jobs()
        _print_rows(queue_rows(jobs), as_json=arguments.json)
        if missing is not None:
            sys.stderr.write(f"Without those that ended more than minutes ago: {missing}\n")
        return 0
    job = find_job(arguments.job)
    if arguments.command == "stop":
        _print_stopped(arguments, stop_job(job))
        return 0
    if arguments.follow:
        return follow_job(job)
    print_output(job)
    return 0


def _print_rows(rows: Sequence[Mapping[str, str | None]], *, as_json: bool) -> None:
    from sweeps.cluster.job_list import job_table

    sys.stdout.write(json.dumps(rows, indent=2) + "\n" if as_json else job_table(rows))


def _print_stopped(arguments: argparse.Namespace, stopped: bool) -> None:
    text = "is being stopped" if stopped else "had ended already"
    line = json.dumps({"job": arguments.job, "stopping": stopped})
    sys.stdout.write(f"{line if arguments.json else f'{arguments.job} {text}'}\n")


if __name__ == "__main__":
    sys.exit(main())
