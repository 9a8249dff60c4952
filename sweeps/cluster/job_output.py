"""A job's output while it runs, and how it ended."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from sweeps.cluster.job_client import JobError, explained

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

INTERRUPTED = 130

_RECONNECTIONS = 5
_PAUSE_S = 2.0


def follow(client: JobSubmissionClient, job: str) -> int:
    """Print what a job prints until it ends; Ctrl-C ends the printing only.

    Args:
        client: The cluster.
        job: The job's id.

    Returns:
        The job's exit code: its own, 130 where it was stopped or the user stopped looking.

    Raises:
        SaliencyError: The cluster does not answer any more, or knows no such job.
    """
    address = client.get_address()
    printed = 0
    for attempt in range(_RECONNECTIONS + 1):
        try:
            printed = asyncio.run(_print_log(client, job, printed))
        except KeyboardInterrupt:
            sys.stderr.write(
                f"The job goes on: python -m sweeps.jobs logs {job} --follow --address {address} "
                f"shows it again, python -m sweeps.jobs stop {job} --address {address} stops it.\n"
            )
            return INTERRUPTED
        except _LostError as lost:
            printed = lost.printed
            if attempt == _RECONNECTIONS:
                raise JobError(
                    f"the connection to {address} was lost ({lost}); the job may be running"
                ) from lost
            time.sleep(_PAUSE_S)
            continue
        break
    return exit_code(client, job)


class _LostError(Exception):
    """The connection broke off after so many characters."""

    def __init__(self, cause: Exception, printed: int) -> None:
        super().__init__(str(cause))
        self.printed = printed


async def _print_log(client: JobSubmissionClient, job: str, printed: int) -> int:
    """Print the log from a character on; each connection starts with the first one again."""
    from aiohttp import ClientError

    seen = 0
    try:
        async for text in client.tail_job_logs(job):
            fresh = text[max(0, printed - seen) :]
            seen += len(text)
            sys.stdout.write(fresh)
            sys.stdout.flush()
            printed = max(printed, seen)
    except (RuntimeError, ClientError, OSError) as error:
        raise _LostError(error, printed) from error
    return printed


def exit_code(client: JobSubmissionClient, job: str) -> int:
    """Wait until a job has ended, and return its exit code; what Ray says of a failure is told."""
    with explained(client.get_address()):
        # The log ends a moment before the job does.
        while not (info := client.get_job_info(job)).status.is_terminal():
            time.sleep(_PAUSE_S / 4)
    status = str(info.status.value)
    if status == "SUCCEEDED":
        return 0
    if status == "STOPPED":
        return INTERRUPTED
    if info.driver_exit_code is None:  # it never ran
        sys.stderr.write(f"error: the job {job} failed: {info.message}\n")
    return info.driver_exit_code or 1
