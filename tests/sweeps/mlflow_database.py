"""An empty database of MLflow, made once a process: its migrations take more than a second."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from sweeps.tracking.mlflow_client import connect


@functools.cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mlflow.db"
        connect(f"sqlite:///{file}")
        assert not file.with_name("mlflow.db-wal").exists()  # all of it is in the one file
        return file.read_bytes()


def put_mlflow_database(storage: Path) -> None:
    """Put an empty database where sweeps of a storage record, as an earlier one has left it."""
    storage.mkdir(parents=True, exist_ok=True)
    (storage / "mlflow.db").write_bytes(_empty())
