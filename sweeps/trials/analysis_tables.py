"""The tables of a sweep: what its trials' analyses found, collected into one file for each.

The study keeps a trial's tables as its user attribute ``tables``, so nothing is lost with a worker
or a checkpoint. A collected table has the trial's number in its first column.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from optuna.trial import FrozenTrial

from sweeps.trials.table_file import parameter_column, write_table
from trainables.analysis import Table
from trainables.config import ParameterValue
from trainables.result_keys import TABLES

TABLES_FOLDER = "tables"
_TRIAL = "trial"


def collect(trials: Sequence[FrozenTrial]) -> dict[str, pa.Table]:
    """Put the tables of all trials that have some under each other.

    Args:
        trials: Trials of a study, in any order.

    Returns:
        A table for each name, in the order of the trials' numbers; a column that some trials
        lack is null there.
    """
    parts: dict[str, list[tuple[int, Table]]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        for name, table in json.loads(trial.user_attrs.get(TABLES, "{}")).items():
            parts.setdefault(name, []).append((trial.number, table))
    return {name: _joined(tables) for name, tables in parts.items()}


def _joined(parts: Sequence[tuple[int, Table]]) -> pa.Table:
    names = list(dict.fromkeys(name for _, table in parts for name in table))
    lengths = [len(next(iter(table.values()), ())) for _, table in parts]
    numbers = [n for (n, _), length in zip(parts, lengths, strict=True) for _ in range(length)]
    columns: dict[str, pa.Array] = {_TRIAL: pa.array(numbers, pa.int64())}
    for name in names:
        values: list[ParameterValue] = []
        for (_, table), length in zip(parts, lengths, strict=True):
            values += table.get(name, [None] * length)
        columns[name] = parameter_column(values)
    return pa.table(columns)


def write_tables(trials: Sequence[FrozenTrial], folder: Path) -> list[Path]:
    """Write the collected tables, as Parquet and as CSV.

    Args:
        trials: Trials of a study.
        folder: The sweep's folder; the files go into its subfolder ``tables``.

    Returns:
        The files; a reader sees each as it was before or whole.
    """
    files: list[Path] = []
    for name, table in collect(trials).items():
        target = folder / TABLES_FOLDER
        for path in (target / f"{name}.parquet", target / f"{name}.csv"):
            write_table(table, path)
            files.append(path)
    return files
