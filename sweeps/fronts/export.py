"""The trials under a selection as a table for pandas, polars, DuckDB and spreadsheets.

The columns are those of :mod:`sweeps.trials.table_file`, where ``objective/NAME`` are the values
that the trials were ranked by, and behind them:

=============  =======  ====================================================================
column         type     meaning
=============  =======  ====================================================================
rank           int64    1 on the front, 2 on the front without those, ...; null unless feasible
is_knee        bool     the trial of the front that is the dearest to leave
infeasible     string   why a complete trial was not ranked; null for all others
=============  =======  ====================================================================

The metadata of Parquet also holds ``hypervolume`` and ``reference`` (JSON: the reference point).
CSV has no types and no metadata: numbers are written in full, null as nothing, text in quotes.
"""

from __future__ import annotations

import json

import pyarrow as pa

from sweeps.fronts.selection import Selection
from sweeps.trials.table_file import to_table


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
