"""Send a sweep to a Ray cluster: ``python -m sweeps.submit NAME --address URL``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from sweeps._command_line import add_debug, report_errors
from sweeps.cluster.job_client import default_address

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
_PASSED_ON = ("fresh", "allow-changed", "json", "debug")


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
    add_debug(parser)
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
    return report_errors(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    from sweeps.cluster.job_client import connect
    from sweeps.cluster.job_environment import read_secrets, runtime_environment
    from sweeps.cluster.job_submission import check_job, submit_job
    from sweeps.cluster.token import cluster_token

    # All that can be wrong here is told before the cluster is asked.
    job = check_job(arguments.sweep, arguments.overrides, arguments.working_dir)
    environment = runtime_environment(
        arguments.working_dir.absolute(),
        excludes=arguments.exclude,
        file=arguments.runtime_env,
        secrets=(secrets := read_secrets(arguments.secret)),
        token=cluster_token() if secrets else None,
    )
    client = connect(arguments.address or default_address())
    flags = [
        flag
        for flag in _PASSED_ON
        if getattr(arguments, flag.removeprefix("--").replace("-", "_"))
    ]
    number = submit_job(client, job, environment, flags=flags, sealed=bool(secrets))
    _announce(number, client.get_address(), as_json=arguments.json)
    if not arguments.follow:
        return 0
    from sweeps.cluster.job_output import follow

    return follow(client, number)


def _announce(job: str, address: str, *, as_json: bool) -> None:
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
