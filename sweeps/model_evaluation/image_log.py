"""Log of every attacked image as a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hsplid_core.errors import ConfigError
from hsplid_core.evaluation import RobustnessTable
from hsplid_core.files import replacing
from sweeps.model_evaluation.find_model import JudgedModel
from sweeps.model_evaluation.measure import Verdict, Wishes

ENDINGS = (".arrow", ".parquet")


def check_log_file(path: Path | None, *, n_data_sets: int) -> None:
    """Refuse a file that a person named and that cannot hold the log.

    Raises:
        ConfigError: Its ending is none of `ENDINGS`, or there would be several logs.
    """
    if path is None:
        return
    if path.suffix not in ENDINGS:
        raise ConfigError(f"--out is {path}: use an ending of {' or '.join(ENDINGS)}")
    if n_data_sets > 1:
        raise ConfigError(
            f"--out is {path}, one file for {n_data_sets} data sets: name one data set, or leave "
            "--out away"
        )


def log_verdict(
    verdict: Verdict, judged: JudgedModel, wishes: Wishes, storage: Path, *, out: Path | None
) -> Path:
    """Write the log of what was found under attack.

    Args:
        verdict: What was measured, attacks included.
        judged: The model.
        wishes: What was asked for.
        storage: Folder of all sweeps; the log lies in its folder ``evaluations``.
        out: File to write instead.

    Returns:
        The file.

    Raises:
        ConfigError: It cannot be written.
    """
    assert verdict.robustness is not None
    path = out or storage / "evaluations" / _log_name(judged, verdict, wishes)
    facts = {"model": judged.name, "data": verdict.data, "n_images": str(verdict.n_images)}
    try:
        write_log(verdict.robustness, path, facts=facts)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def _log_name(judged: JudgedModel, verdict: Verdict, wishes: Wishes) -> str:
    assert verdict.robustness is not None
    weights = hashlib.sha256()
    for name, value in judged.trained.model.state_dict().items():
        weights.update(name.encode() + value.cpu().numpy().tobytes())
    parts = [verdict.data.replace("/", "-"), wishes.split, verdict.robustness.suite]
    parts += [] if wishes.cascade else ["single"]
    return "-".join([*parts, weights.hexdigest()[:12]]) + ".arrow"


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
    with replacing(path) as file:
        if path.suffix == ".parquet":
            pq.write_table(log, file)
        else:
            with pa.ipc.new_file(file, log.schema) as sink:
                sink.write_table(log)
