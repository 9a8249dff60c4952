"""Send a sweep to a Ray cluster or to SLURM: ``python -m sweeps.submit NAME``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hsplid_core.errors import ConfigError
from sweeps._command_line import command_parser, report_errors
from sweeps.cluster.job_client import default_address

_EXAMPLES = """\
examples:
  python -m sweeps.submit coco_hsplid storage=/shared/runs --address http://head:8265
  python -m sweeps.submit my_sweep.yaml trials=100 storage=/shared/runs --follow
  python -m sweeps.submit coco_hsplid storage=/shared/runs \\
      study.storage=postgresql://sweeps@db/study --secret PGPASSWORD
  python -m sweeps.submit coco_hsplid storage=$HOME/runs resources.gpu=0.5 \\
      --slurm --gpus-per-node 1 --time 12:00:00
  python -m sweeps.submit coco_hsplid storage=/scratch/me/runs resources.gpu=1 --slurm \\
      --nodes 8 --gpus-per-node a100:4 --cpus-per-task 32 --time 24:00:00 --partition gpu

Without --slurm: sends this folder along, without what .gitignore names, and runs
python -m sweeps.run there, as a Ray job. A token is read from RAY_AUTH_TOKEN_PATH or
RAY_AUTH_TOKEN.

With --slurm: writes a batch script into the sweep's folder and submits it. The job runs in this
folder, with this environment. Before its time is over it stops the sweep and goes back into the
queue, until the sweep is done.

The same command again, after a stop or a crash or on another cluster with the same storage, goes
on from the study.
"""
_RAY_ONLY = ("address", "exclude", "runtime_env", "secret", "working_dir")
_SLURM_ONLY = (
    "nodes",
    "gpus_per_node",
    "cpus_per_task",
    "time",
    "partition",
    "account",
    "sbatch",
    "signal",
    "requeue",
    "dry_run",
)
_PASSED_ON = ("fresh", "allow-changed", "json", "debug")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "sweeps.submit", "Run a sweep as a job of a Ray cluster, or of SLURM.", _EXAMPLES
    )
    parser.add_argument("sweep", metavar="NAME_OR_FILE", help="a sweep's name, or a YAML file")
    parser.add_argument(
        "overrides", nargs="*", metavar="key.path=value", help="as python -m sweeps.run takes them"
    )
    parser.add_argument("--follow", action="store_true", help="print the job's output to its end")
    _add_ray(parser.add_argument_group("a Ray cluster"))
    _add_slurm(parser.add_argument_group("SLURM", "what SLURM is asked for, in its own words"))
    parser.add_argument("--fresh", action="store_true", help="as of python -m sweeps.run")
    parser.add_argument("--allow-changed", action="store_true", help="as of python -m sweeps.run")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def _add_ray(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--address",
        metavar="URL",
        help="of the cluster's dashboard (RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265)",
    )
    group.add_argument(
        "--working-dir", metavar="FOLDER", type=Path, help="sent along (this folder)"
    )
    group.add_argument(
        "--exclude",
        metavar="PATTERN",
        action="append",
        help="files of it that stay here, as in .gitignore; may be given again",
    )
    group.add_argument(
        "--runtime-env",
        metavar="FILE",
        type=Path,
        help="YAML file with a Ray runtime environment; packages must be pinned",
    )
    group.add_argument(
        "--secret",
        metavar="NAME",
        action="append",
        help="environment variable that the job gets, sealed with the token; may be given again",
    )


def _add_slurm(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--slurm", action="store_true", help="submit to SLURM, by sbatch")
    group.add_argument("--nodes", type=int, metavar="N", help="(1); more are joined by Ray")
    group.add_argument("--gpus-per-node", metavar="[KIND:]G", help="(none)")
    group.add_argument(
        "--cpus-per-task", type=int, metavar="C", help="cores of each node (as the GPUs need)"
    )
    group.add_argument("--time", metavar="HH:MM:SS", help="limit of each job")
    group.add_argument("--partition", metavar="P", help="where it runs")
    group.add_argument("--account", metavar="A", help="who pays")
    group.add_argument(
        "--sbatch",
        metavar="OPTIONS",
        help="further options of sbatch, as in --sbatch '--mem=32G --qos=long'",
    )
    group.add_argument(
        "--signal", type=float, metavar="MINUTES", help="the sweep stops so long before (3)"
    )
    group.add_argument(
        "--requeue",
        action=argparse.BooleanOptionalAction,
        help="whether the job goes back into the queue until the sweep is done (it does)",
    )
    group.add_argument("--dry-run", action="store_true", help="print the script, submit nothing")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done, 2 a mistake in the call, the spec or the address; with ``--follow``
        the job's own.
    """
    parser = _parser()
    words = list(sys.argv[1:] if argv is None else argv)
    if "--sbatch" in words[:-1]:
        # Its value begins with dashes, for which argparse would take it for an option of its own.
        at = words.index("--sbatch")
        words[at : at + 2] = [f"--sbatch={words[at + 1]}"]
    arguments = parser.parse_intermixed_args(words)
    for name in _RAY_ONLY if arguments.slurm else _SLURM_ONLY:
        if getattr(arguments, name) not in (None, False):
            option = f"--{name.replace('_', '-')}"
            if arguments.slurm:
                parser.error(
                    f"{option} is for a Ray cluster, not for --slurm, whose job runs here"
                )
            parser.error(f"{option} is for SLURM: add --slurm")
    run = _run_slurm if arguments.slurm else _run
    return report_errors(lambda: run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    from sweeps.cluster.job_client import connect
    from sweeps.cluster.job_environment import read_secrets, runtime_environment
    from sweeps.cluster.job_submission import check_job, submit_job
    from sweeps.cluster.token import cluster_token

    # All that can be wrong here is told before the cluster is asked.
    here = arguments.working_dir or Path()
    job = check_job(arguments.sweep, arguments.overrides, here)
    environment = runtime_environment(
        here.absolute(),
        excludes=arguments.exclude or (),
        file=arguments.runtime_env,
        secrets=(secrets := read_secrets(arguments.secret or ())),
        token=cluster_token() if secrets else None,
    )
    client = connect(arguments.address or default_address())
    flags = _flags(arguments)
    number = submit_job(client, job, environment, flags=flags, sealed=bool(secrets))
    address = client.get_address()
    _announce(number, f"--address {address}", as_json=arguments.json, address=address)
    if not arguments.follow:
        return 0
    from sweeps.cluster.job_output import follow

    return follow(client, number)


def _run_slurm(arguments: argparse.Namespace) -> int:
    from sweeps.cluster.slurm_script import SlurmRequest

    given = {
        "nodes": arguments.nodes,
        "cpus_per_task": arguments.cpus_per_task,
        "gpus_per_node": arguments.gpus_per_node,
        "time": arguments.time,
        "partition": arguments.partition,
        "account": arguments.account,
        "options": _words(arguments.sbatch or ""),
        "signal_min": arguments.signal,
        "requeue": arguments.requeue,
    }
    request = SlurmRequest(**{key: value for key, value in given.items() if value is not None})
    from sweeps.cluster.slurm_submission import (
        check_request,
        check_sweep_for_slurm,
        cores_for,
        script_of,
        submit,
    )

    flags = [flag for flag in _flags(arguments) if flag != "--fresh"]
    sweep = check_sweep_for_slurm(
        arguments.sweep, arguments.overrides, flags, fresh=arguments.fresh
    )
    if arguments.cpus_per_task is None:
        cores = cores_for(sweep.spec.resources, request.gpus)
        request = dataclasses.replace(request, cpus_per_task=cores)
    check_request(sweep.spec, request)
    if arguments.dry_run:
        sys.stdout.write(script_of(sweep, request))
        return 0
    number = submit(sweep, request)
    _announce(number, "--slurm", as_json=arguments.json, folder=str(sweep.folder))
    if not arguments.follow:
        return 0
    from sweeps.cluster.slurm_queue import find_job, follow_job

    return follow_job(find_job(number))


def _words(options: str) -> list[str]:
    try:
        return shlex.split(options)
    except ValueError as error:
        raise ConfigError(f"--sbatch is {options}: {error}; close it") from error


def _flags(arguments: argparse.Namespace) -> list[str]:
    """List the flags of ``sweeps.run`` that were given."""
    return [f"--{flag}" for flag in _PASSED_ON if getattr(arguments, flag.replace("-", "_"))]


def _announce(job: str, where: str, *, as_json: bool, **details: str) -> None:
    if as_json:
        line = json.dumps({"event": "submitted", "job": job, **details})
        sys.stdout.write(line + "\n")
        return
    sys.stdout.write(f"{job}\n")
    sys.stdout.flush()
    sys.stderr.write(f"Submitted; its output: python -m sweeps.jobs logs {job} --follow {where}\n")


if __name__ == "__main__":
    sys.exit(main())
