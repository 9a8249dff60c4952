"""Log of every attacked image as a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hsplid_core.config import MarginsConfig
from hsplid_core.errors import ConfigError
from hsplid_core.evaluation import RobustnessTable
from hsplid_core.files import replacing
from sweeps.model_evaluation.find_model import JudgedModel
from sweeps.model_evaluation.measure import Verdict, Wishes
from sweeps.storage.file_names import EVALUATIONS
from sweeps.trials.table_file import parameter_column, write_table

ENDINGS = (".arrow", ".parquet")


def check_log_file(path: Path | None, *, n_logs: int) -> None:
    """Refuse a file that a person named and that cannot hold the log.

    Raises:
        ConfigError: Its ending is none of `ENDINGS`, or there would be several logs.
    """
    if path is None:
        return
    if path.suffix not in ENDINGS:
        raise ConfigError(f"--out is {path}: use an ending of {' or '.join(ENDINGS)}")
    if n_logs > 1:
        raise ConfigError(
            f"--out is {path}, one file for {n_logs} logs: name one model, data set and seed, or "
            "leave --out away"
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
    suite = verdict.robustness.suite + ("" if wishes.cascade else "-single")
    name = f"{_name(judged, verdict, wishes, suite)}.arrow"
    path = out or storage / EVALUATIONS / name
    facts = {"model": judged.name, "data": verdict.data, "n_images": str(verdict.n_images)}
    try:
        write_log(verdict.robustness, path, facts=facts)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def write_tables(
    verdict: Verdict, judged: JudgedModel, wishes: Wishes, storage: Path
) -> list[Path]:
    """Write the tables of the analyses, such as every image's margins, as Parquet.

    Args:
        verdict: What was measured.
        judged: The model.
        wishes: What was asked for.
        storage: Folder of all sweeps; the files lie in its folder ``evaluations``.

    Raises:
        ConfigError: One cannot be written.
    """
    files = []
    for name, table in verdict.findings.tables.items():
        path = storage / EVALUATIONS / f"{_name(judged, verdict, wishes, name)}.parquet"
        columns = {column: parameter_column(list(values)) for column, values in table.items()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_table(pa.table(columns), path)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
        files.append(path)
    return files


def _name(judged: JudgedModel, verdict: Verdict, wishes: Wishes, what: str) -> str:
    """Name a file by what was measured, of which weights."""
    weights = hashlib.sha256()
    for name, value in judged.trained.model.state_dict().items():
        weights.update(name.encode() + value.cpu().numpy().tobytes())
    seed = [f"seed-{verdict.seed}"] if verdict.seed else []
    own = wishes.reading or wishes.margins != MarginsConfig()
    said = repr((sorted(wishes.reading.items()), wishes.margins)).encode()
    settings = [hashlib.sha256(said).hexdigest()[:6]] if own else []
    data = [verdict.data.replace("/", "-"), *settings, wishes.split]
    parts = [*data, *seed, weights.hexdigest()[:12], what]
    return "-".join(parts)


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
