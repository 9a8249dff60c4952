"""SLURM's queue: the sweeps in it, by squeue and sacct, and how one is followed and stopped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hsplid_core.errors import ConfigError
from sweeps.cluster.job_client import JobError
from sweeps.cluster.job_list import when
from sweeps.cluster.job_output import INTERRUPTED
from sweeps.cluster.slurm_script import JOB_PREFIX, SCRIPT_FILE

_ENDED = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
}
_SQUEUE = "%i|%j|%T|%r|%S|%e|%o"
_SACCT = "JobIDRaw,JobName,State,Reason,Start,End,SubmitLine"
_DAYS = 30  # of which sacct is asked
_LOOK_S = 1.0  # between two looks at a job's output, a file
_ASK_S = 10.0  # between two questions to SLURM, whose controller serves everybody


@dataclass(frozen=True)
class SlurmJob:
    """A sweep's job.

    Attributes:
        number: SLURM's number of the job.
        sweep: Name of the sweep.
        status: SLURM's state, such as ``RUNNING``.
        reason: Why it waits, in SLURM's word; empty where there is none.
        started: When, as Unix time; None before that.
        ended: When, as Unix time; None before that.
        folder: The sweep's folder.
    """

    number: str
    sweep: str
    status: str
    reason: str
    started: int | None
    ended: int | None
    folder: Path

    @property
    def has_ended(self) -> bool:
        """Whether it will not run again."""
        return self.status in _ENDED

    @property
    def output(self) -> Path:
        """The file with what it prints."""
        return self.folder / f"slurm-{self.number}.out"


def ask_slurm(*command: str) -> str:
    """Run one of SLURM's commands, and return what it prints.

    Raises:
        ConfigError: There is no such command here.
        JobError: It refuses.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "SLURM_TIME_FORMAT": "%s"},
        )
    except FileNotFoundError as error:
        raise ConfigError(
            f"--slurm: {command[0]} is not on this machine: use one on which SLURM's commands are"
        ) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        told = "; ".join(line.removeprefix(f"{command[0]}: error: ") for line in said)
        raise JobError(f"{command[0]} refuses: {told or f'exit code {done.returncode}'}")
    return done.stdout


def sweep_jobs() -> tuple[list[SlurmJob], str | None]:
    """Return this user's sweeps, oldest first, as far back as SLURM remembers.

    Returns:
        The jobs; and why those that ended more than minutes ago are not among them, if so.

    Raises:
        ConfigError: SLURM's commands are not here.
        JobError: They refuse.
    """
    queued = parsed(ask_slurm("squeue", "--me", "--states=all", "--noheader", f"-o{_SQUEUE}"))
    since = f"--starttime=now-{_DAYS}days"
    try:
        text = ask_slurm("sacct", "-X", "--noheader", "--parsable2", since, f"--format={_SACCT}")
        missing = None
    except (ConfigError, JobError) as error:
        text = ""
        missing = str(error)
    found = {job.number: job for job in (*parsed(text), *queued)}
    return sorted(found.values(), key=lambda job: int(job.number)), missing


def parsed(text: str) -> list[SlurmJob]:
    """Read the sweeps among the lines of squeue or sacct; other jobs are left out.

    Args:
        text: Lines of number, name, state, reason, start, end and command, with bars between.
    """
    jobs = []
    for line in text.splitlines():
        number, name, status, reason, started, ended, command = line.split("|", 6)
        script = re.search(rf"(/.*)/{re.escape(SCRIPT_FILE)}$", command.strip())
        if not name.startswith(JOB_PREFIX) or script is None or not number.isdecimal():
            continue
        status = status.partition(" ")[0]  # "CANCELLED by 1000"
        jobs.append(
            SlurmJob(
                number=number,
                sweep=name.removeprefix(JOB_PREFIX),
                status=status,
                reason="" if reason in ("None", "") else reason,
                started=None if status == "PENDING" else _time(started),
                ended=_time(ended) if status in _ENDED else None,
                folder=Path(script[1]),
            )
        )
    return jobs


def _time(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def queue_rows(jobs: Sequence[SlurmJob]) -> list[dict[str, str | None]]:
    """Describe jobs as JSON-able data, as those of a Ray cluster are."""
    return [
        {
            "job": job.number,
            "status": f"PENDING ({job.reason})" if job.status == "PENDING" else job.status,
            "started": when(1000 * (job.started or 0)),
            "ended": when(1000 * (job.ended or 0)),
            "sweep": job.sweep,
            "storage": str(job.folder.parent),
        }
        for job in jobs
    ]


def find_job(number: str) -> SlurmJob:
    """Find a job of this user's.

    Raises:
        JobError: There is none of that number, or SLURM has forgotten it.
    """
    jobs, _ = sweep_jobs()
    for job in jobs:
        if job.number == number:
            return job
    known = ", ".join(job.number for job in jobs) or "none"
    raise JobError(
        f"job {number} is none of your sweeps that SLURM still knows (it has {known}); what it "
        f"printed is in the sweep's folder, as slurm-{number}.out"
    )


def stop_job(job: SlurmJob) -> bool:
    """Stop a job as the sweep can go on from; one that waits leaves the queue.

    Returns:
        Whether there was anything to stop.
    """
    if job.has_ended:
        return False
    if job.status == "RUNNING":
        # Its script stops the sweep, waits for that, and then cancels the job.
        ask_slurm("scancel", "--batch", "--signal=USR2", job.number)
    else:
        ask_slurm("scancel", job.number)
    return True


def follow_job(job: SlurmJob) -> int:
    """Print what a job prints until it ends; Ctrl-C ends the printing only.

    Returns:
        The job's exit code; 130 where it was stopped or the user stopped looking.
    """
    printed = 0
    asked = 0.0
    try:
        while not job.has_ended:
            if time.monotonic() > asked + _ASK_S:
                job = find_job(job.number)
                asked = time.monotonic()
            printed += print_output(job, printed)
            time.sleep(0 if job.has_ended else _LOOK_S)
        print_output(job, printed)
    except KeyboardInterrupt:
        sys.stderr.write(
            f"The job goes on: python -m sweeps.jobs logs {job.number} --follow --slurm shows it "
            f"again, python -m sweeps.jobs stop {job.number} --slurm stops it.\n"
        )
        return INTERRUPTED
    if job.status == "CANCELLED":
        return INTERRUPTED
    return 0 if job.status == "COMPLETED" else _exit_code(job)


def print_output(job: SlurmJob, printed: int = 0) -> int:
    """Print what a job has printed so far; nothing before it has begun.

    Args:
        job: The job.
        printed: Bytes to leave out.

    Returns:
        How many bytes were printed.
    """
    try:
        with job.output.open("rb") as file:
            file.seek(printed)
            fresh = file.read()
    except FileNotFoundError:
        return 0
    sys.stdout.write(fresh.decode(errors="replace"))
    sys.stdout.flush()
    return len(fresh)


def _exit_code(job: SlurmJob) -> int:
    try:
        told = ask_slurm("scontrol", "show", "job", job.number, "--oneliner")
    except JobError:  # forgotten meanwhile
        return 1
    found = re.search(r" ExitCode=(\d+):", told)
    return (int(found[1]) if found else 0) or 1
