"""The trials of a sweep as records and as a flat table on disk.

Schema of the table (version 1), one row a trial, in the order of their numbers:

=========================  =======  ==========================================================
column                     type     meaning
=========================  =======  ==========================================================
number                     int64    position in the study, from 0
state                      string   waiting, running, complete, failed or stopped (early)
on_front                   bool     no other complete, feasible trial dominates this one
objective/NAME             double   value of an objective; null unless complete
param/PATH                 by use   value the trial ran with: bool, int64, double, or string where
                                    trials mix text and numbers; null where it has none
metric/NAME                double   metric of the trial's last epoch; null where it has none
seconds                    double   training and evaluation, over all attempts
failure                    string   why a failed trial failed, one line
warnings                   string   reasons to distrust its robust accuracy: codes of
                                    ``hsplid_core.robustness.WarningCode``, with commas
=========================  =======  ==========================================================

The metadata holds ``schema_version``, ``objectives`` (JSON: metric and direction of each) and
``sweep_id``, the identity of the study that the trials are of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from hsplid_core.errors import ConfigError
from hsplid_core.files import replacing
from sweeps.spec.objective import Objective
from sweeps.trials.record import WARNING_TAG, TrialRecord
from trainables.config import ParameterValue

SCHEMA_VERSION = 1
UNREADABLE = (OSError, ValueError, pa.ArrowException)
"""What reading a Parquet file raises where it is missing, damaged or something else."""
_OWNER = b"sweep_id"


def to_table(records: Sequence[TrialRecord], objectives: Sequence[Objective]) -> pa.Table:
    """Lay the trials out as a flat Arrow table.

    Args:
        records: Trials in any order.
        objectives: The sweep's objectives, in the order of the records' values.

    Returns:
        One row a trial, by number; the columns are documented at the top of this module.
    """
    rows = sorted(records, key=lambda record: record.number)
    columns = {
        "number": pa.array([row.number for row in rows], pa.int64()),
        "state": pa.array([row.state for row in rows], pa.string()),
        "on_front": pa.array([row.on_front for row in rows], pa.bool_()),
    }
    for position, objective in enumerate(objectives):
        values = [row.values[position] if row.values is not None else None for row in rows]
        columns[f"objective/{objective.metric}"] = pa.array(values, pa.float64())
    for path in _keys(row.parameters for row in rows):
        columns[f"param/{path}"] = parameter_column([row.parameters.get(path) for row in rows])
    for name in _keys(row.metrics for row in rows):
        metric = [row.metrics.get(name) for row in rows]
        columns[f"metric/{name}"] = pa.array(metric, pa.float64())
    columns["seconds"] = pa.array([row.seconds for row in rows], pa.float64())
    columns["failure"] = pa.array([row.failure for row in rows], pa.string())
    columns["warnings"] = pa.array(
        [",".join(sorted(row.warnings)) or None for row in rows], pa.string()
    )
    described = [{"metric": o.metric, "direction": o.direction} for o in objectives]
    return pa.table(columns).replace_schema_metadata(
        {"schema_version": str(SCHEMA_VERSION), "objectives": json.dumps(described)}
    )


def write_parquet(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    path: Path,
    *,
    sweep_id: str | None = None,
) -> None:
    """Write the trials to a Parquet file; a reader sees the old file or the new one, whole.

    Args:
        records: Trials in any order.
        objectives: The sweep's objectives.
        path: File to write or replace; its folder is created.
        sweep_id: Identity of the study that they are of; None where it has none.
    """
    table = to_table(records, objectives)
    if sweep_id is not None:
        table = table.replace_schema_metadata({**table.schema.metadata, _OWNER: sweep_id})
    write_table(table, path)


def owner_of(path: Path) -> str | None:
    """Return the identity of the study whose trials a table has; None where it does not say."""
    try:
        owner: str = (pq.read_schema(path).metadata or {})[_OWNER].decode()
    except (*UNREADABLE, KeyError):
        return None
    return owner


def read_records(path: Path) -> list[TrialRecord]:
    """Read back what :func:`write_parquet` wrote of trials, as far as the table has it.

    Raises:
        ConfigError: The file is damaged, or no such table.
    """
    try:
        table = pq.read_table(path)
        objectives = [goal["metric"] for goal in json.loads(table.schema.metadata[b"objectives"])]
        return [_record(row, objectives) for row in table.to_pylist()]
    except (*UNREADABLE, LookupError, TypeError) as error:
        raise ConfigError(f"{path} is no table of trials: {error}") from error


def _record(row: dict[str, Any], objectives: Sequence[str]) -> TrialRecord:
    codes = filter(None, (row["warnings"] or "").split(","))
    values = [row[f"objective/{name}"] for name in objectives]
    return TrialRecord(
        number=row["number"],
        state=row["state"],
        parameters=_below("param/", row),
        values=None if None in values else tuple(values),
        metrics=_below("metric/", row),
        seconds=row["seconds"],
        failure=row["failure"],
        on_front=row["on_front"],
        tags={f"{WARNING_TAG}{code}": "" for code in codes},
    )


def _below(prefix: str, row: dict[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value
        for name, value in row.items()
        if name.startswith(prefix) and value is not None
    }


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table in the format of the file's ending; a reader sees it whole or not at all.

    Args:
        table: What to write.
        path: File to write or replace, with one of the endings in :data:`FORMATS`; its folder is
            created.

    Raises:
        ConfigError: The ending is no known format.
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise ConfigError(f"{path} has no known ending: use {' or '.join(FORMATS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        writer(table, file)


_WRITERS: dict[str, Callable[[pa.Table, IO[bytes]], None]] = {
    ".parquet": pq.write_table,
    ".csv": csv.write_csv,
}
FORMATS = tuple(_WRITERS)


def _keys(mappings: Iterable[Iterable[str]]) -> list[str]:
    return sorted({key for mapping in mappings for key in mapping})


def parameter_column(values: list[ParameterValue]) -> pa.Array:
    """Give a list of plain values the narrowest type that fits them all.

    Args:
        values: Bools, numbers or texts; None is null.

    Returns:
        A column of bool, int64, double, or string where numbers and texts are mixed.
    """
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int}:
        return pa.array(values, pa.int64())
    if kinds and kinds <= {int, float}:
        return pa.array(values, pa.float64())
    # One column has one type: a value such as "hard_split" beside 3 makes all of them text.
    texts = [None if value is None else str(value) for value in values]
    return pa.array(texts, pa.string())
