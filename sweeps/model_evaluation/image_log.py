"""The log of every attacked image as a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hsplid_core.evaluation import RobustnessTable

ENDINGS = (".arrow", ".parquet")


def write_log(table: RobustnessTable, path: Path, *, facts: Mapping[str, str]) -> None:
    """Write a table's log; a reader sees the file whole or not at all.

    Args:
        table: What an evaluation found. Its suite, seed and warnings go into the metadata.
        path: File with one of `ENDINGS`: an Arrow file or Parquet; its folder is created.
        facts: What else to put into the metadata.
    """
    metadata = {**(table.to_arrow().schema.metadata or {}), **facts}
    log = table.log.replace_schema_metadata(metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.suffix == ".parquet":
            pq.write_table(log, temporary)
        else:
            with (
                pa.OSFile(str(temporary), "wb") as file,
                pa.ipc.new_file(file, log.schema) as sink,
            ):
                sink.write_table(log)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
