"""Exports of a selection: a table for pandas, polars, DuckDB and spreadsheets, and JSON.

The table's columns are those of :mod:`sweeps.trials.table_file`, where ``objective/NAME`` are the
values that the trials were ranked by, and behind them:

=============  =======  ====================================================================
column         type     meaning
=============  =======  ====================================================================
rank           int64    1 on the front, 2 on the front without those, ...; null unless feasible
is_knee        bool     the trial of the front that is the dearest to leave; see
                        :class:`sweeps.fronts.selection.Selection` for when there is none
infeasible     string   why a complete trial was not ranked; null for all others
=============  =======  ====================================================================

The metadata of Parquet also holds ``hypervolume`` and ``reference`` (JSON: the reference point).
CSV has no types and no metadata: numbers are written in full, null as nothing, text in quotes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from hsplid_core.errors import ConfigError
from sweeps.fronts.selection import Selection
from sweeps.trials.table_file import to_table, write_table


def selection_table(selection: Selection) -> pa.Table:
    """Lay all trials out, ranked, by number; the columns are documented at the top."""
    table = to_table(selection.records, selection.objectives)
    numbers = table.column("number").to_pylist()
    ranks = [selection.ranks.get(number) for number in numbers]
    knees = [number == selection.knee for number in numbers]
    reasons = [selection.infeasible.get(number) for number in numbers]
    table = table.append_column("rank", pa.array(ranks, pa.int64()))
    table = table.append_column("is_knee", pa.array(knees, pa.bool_()))
    table = table.append_column("infeasible", pa.array(reasons, pa.string()))
    return table.replace_schema_metadata(
        {
            **table.schema.metadata,
            "hypervolume": repr(selection.hypervolume),
            "reference": json.dumps(list(selection.reference)),
        }
    )


def export_selection(selection: Selection, path: Path) -> None:
    """Write all trials, ranked, into a file whose ending names the format.

    Raises:
        ConfigError: The ending is unknown, or the file cannot be written.
    """
    try:
        write_table(selection_table(selection), path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error


def selection_json(selection: Selection) -> dict[str, object]:
    """Return a selection as plain JSON data."""
    names = [objective.metric for objective in selection.objectives]
    return {
        "objectives": [
            {"metric": objective.metric, "direction": objective.direction}
            for objective in selection.objectives
        ],
        "reference": list(selection.reference),
        "hypervolume": selection.hypervolume,
        "knee": selection.knee,
        "ends": dict(selection.ends),
        "start": None
        if selection.start is None
        else dict(zip(names, selection.start, strict=True)),
        "passed_over": list(selection.passed_over),
        "ties": [list(group) for group in selection.ties],
        "front": [
            {
                "trial": record.number,
                "values": dict(zip(names, record.values or (), strict=True)),
                "parameters": dict(record.parameters),
                "warnings": record.warnings,
            }
            for record in selection.front
        ],
        "ranks": {str(number): rank for number, rank in selection.ranks.items()},
        "infeasible": {str(number): reason for number, reason in selection.infeasible.items()},
        "failed": {
            str(record.number): record.failure
            for record in selection.records
            if record.state == "failed"
        },
    }
