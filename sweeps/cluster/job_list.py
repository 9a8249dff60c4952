"""List of a cluster's jobs, as rows and as a table."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sweeps.cluster.job_client import JobError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

_COLUMNS = ("job", "sweep", "status", "started", "ended", "storage")


def submitted_jobs(client: JobSubmissionClient) -> list[JobDetails]:
    """Return the jobs that somebody submitted, oldest first.

    Ray also lists drivers that nobody submitted; they have neither log nor stop.
    """
    jobs = [job for job in client.list_jobs() if job.submission_id is not None]
    return sorted(jobs, key=lambda job: job.start_time or 0)


def check_known(job: str, jobs: Sequence[JobDetails], address: str) -> None:
    """Refuse a job that the cluster has not.

    Raises:
        JobError: It has other ones, or none.
    """
    known = [str(each.submission_id) for each in jobs]
    if job not in known:
        raise JobError(f"job {job} is not on {address}: it has {', '.join(known) or 'none'}")


def job_rows(jobs: Sequence[JobDetails]) -> list[dict[str, str | None]]:
    """Describe jobs as JSON-able data."""
    return [
        {
            "job": str(job.submission_id),
            "status": str(job.status.value),
            "started": when(job.start_time),
            "ended": when(job.end_time),
            "sweep": (job.metadata or {}).get("sweep"),
            "storage": (job.metadata or {}).get("storage"),
        }
        for job in jobs
    ]


def job_table(rows: Sequence[Mapping[str, str | None]]) -> str:
    """Lay jobs out in columns, one line each below a header."""
    table = [_COLUMNS, *(tuple(row[name] or "-" for name in _COLUMNS) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(_COLUMNS))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in table
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def when(time_ms: int | None) -> str | None:
    """Write a time of Ray's, milliseconds since 1970, in UTC."""
    if not time_ms:
        return None
    when = datetime.datetime.fromtimestamp(time_ms / 1000, tz=datetime.UTC)
    return when.strftime("%Y-%m-%d %H:%M:%S UTC")
