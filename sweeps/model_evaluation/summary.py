"""Summary of several evaluations: models and seeds in one table, with deviations and intervals."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hsplid_core.errors import ConfigError
from hsplid_core.files import replacing
from sweeps.model_evaluation.confidence import Spread, spread
from sweeps.model_evaluation.measure import Verdict
from sweeps.storage.file_names import EVALUATIONS

ALL_MODELS = "all models"
_PREFIX = "evaluation/"


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """One measure of one model, or of all.

    Attributes:
        model: Its name, or `ALL_MODELS`.
        measure: Name of the measure, behind that of the data set.
        spread: Over the seeds of the evaluation; of all models, over the models.
    """

    model: str
    measure: str
    spread: Spread


def summarise(judged: Mapping[str, Sequence[Verdict]]) -> list[SummaryRow]:
    """Sum evaluations up.

    Intervals speak of other seeds, or models, and where a measure is a share of images of other
    images too.

    Args:
        judged: Verdicts of each model, under one or several seeds, by the model's name.

    Returns:
        A row for each model and measure, and one of all models where there are several.
    """
    rows = [row for name, verdicts in judged.items() for row in _of_model(name, verdicts)]
    measures = dict.fromkeys(row.measure for row in rows) if len(judged) > 1 else ()
    counts = _images(verdict for verdicts in judged.values() for verdict in verdicts)
    for measure in measures:
        means = [row.spread.mean for row in rows if row.measure == measure]
        rows.append(_row(ALL_MODELS, measure, means, counts.get(measure)))
    return rows


def _of_model(name: str, verdicts: Sequence[Verdict]) -> list[SummaryRow]:
    found: dict[str, list[float]] = {}
    for verdict in verdicts:
        for measure, value in verdict.metrics().items():
            found.setdefault(measure.removeprefix(_PREFIX), []).append(value)
    counts = _images(verdicts)
    return [_row(name, measure, values, counts.get(measure)) for measure, values in found.items()]


def _images(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Count the images of each measure that is a share of images."""
    return {
        measure.removeprefix(_PREFIX): count
        for verdict in verdicts
        for measure, count in verdict.shares().items()
    }


def _row(model: str, measure: str, values: Sequence[float], n_images: int | None) -> SummaryRow:
    if n_images is None:
        return SummaryRow(model=model, measure=measure, spread=spread(values))
    mean = sum(values) / len(values)
    # At most: answers that are 0 or 1 vary so, and means of them over seeds less. With two more of
    # either kind (Agresti and Coull 1998), for none of a few images is no proof of none at all.
    share = (mean * n_images + 2) / (n_images + 4)
    of_images = share * (1 - share) / (n_images + 4)
    found = spread(values, of_images=of_images, bounds=(0.0, 1.0))
    return SummaryRow(model=model, measure=measure, spread=found)


def short_names(rows: Sequence[SummaryRow]) -> dict[str, str]:
    """Name models for people: without the folders that all of them share."""
    models = list(dict.fromkeys(row.model for row in rows if row.model != ALL_MODELS))
    levels = zip(*(model.split("/")[:-1] for model in models), strict=False)
    shared = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
    short = {model: "/".join(model.split("/")[shared:]) for model in models}
    return {**short, ALL_MODELS: ALL_MODELS}


def summary_metrics(rows: Iterable[SummaryRow]) -> dict[str, float]:
    """Return means, and where there are several seeds deviations and intervals, for MLflow."""
    found: dict[str, float] = {}
    for row in rows:
        name, spread_ = f"{_PREFIX}{row.measure}", row.spread
        found[name] = spread_.mean
        more = {"sd": spread_.sd, "low": spread_.low, "high": spread_.high}
        found |= {f"{name}/{key}": value for key, value in more.items() if value is not None}
    return found


def summary_file(rows: Sequence[SummaryRow], seeds: Sequence[int], storage: Path) -> Path:
    """Name the file of a summary: the same question has the same file, and another its own.

    Args:
        rows: What was found.
        seeds: Of the evaluation.
        storage: Folder of all sweeps; the file lies in its folder ``evaluations``.
    """
    asked = json.dumps([sorted({(row.model, row.measure) for row in rows}), list(seeds)])
    digest = hashlib.sha256(asked.encode()).hexdigest()[:12]
    return storage / EVALUATIONS / f"summary-{digest}.parquet"


def write_summary(rows: Sequence[SummaryRow], path: Path) -> None:
    """Write a summary as Parquet: model, measure, n, mean, sd, low, high.

    Raises:
        ConfigError: The file cannot be written.
    """
    lines = [{"model": row.model, "measure": row.measure, **asdict(row.spread)} for row in rows]
    numbers = [(name, pa.float64()) for name in ("mean", "sd", "low", "high")]
    schema = pa.schema(
        [("model", pa.string()), ("measure", pa.string()), ("n", pa.int64()), *numbers],
        metadata={"schema_version": "1"},
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            pq.write_table(pa.Table.from_pylist(lines, schema=schema), file)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
