"""Updates of a run, folded out of entries: few requests, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import yaml

from sweeps.tracking.journal_entries import (
    Artifact,
    Begun,
    Closed,
    Ended,
    Entry,
    Epoch,
    Measured,
    Opened,
    Tagged,
)
from sweeps.tracking.mlflow_client import EPOCH, KnownRun, make_metrics, text
from sweeps.tracking.names import ATTEMPT, FAILURE_TAG, SPEC_CHANGED, STATE

if TYPE_CHECKING:
    from mlflow.entities import Metric

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


_STATUS: dict[str, Status] = {
    "complete": "FINISHED",
    "failed": "FAILED",
    "stopped": "FINISHED",
    "interrupted": "KILLED",
}


@dataclass
class Draft:
    """What is to be written to one run.

    Attributes:
        began_ms: When the first of it happened.
        params: Parameters; one that the run has already keeps its value.
        tags: Tags to set or change.
        metrics: Values to add.
        texts: Text artifacts by their names.
        files: Files to keep.
        status: What becomes of the run; None leaves it.
        ended_ms: When it ended.
    """

    began_ms: int | None = None
    params: dict[str, object] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    files: list[Artifact] = field(default_factory=list)
    status: Status | None = None
    ended_ms: int | None = None


def draft(run: KnownRun, entries: Sequence[Entry]) -> Draft:
    """Fold entries of one run into what has to be written.

    An epoch that the run has is passed over: a resumed trial tells again what it had told after
    its last checkpoint, and the first telling counts.

    Args:
        run: What is known of the run.
        entries: Entries in their order.
    """
    made = Draft()
    values = dict(run.metrics)
    last = run.last_epoch

    def add_epoch(epoch: int, metrics: Mapping[str, float], time_ms: int) -> None:
        nonlocal last
        if epoch <= last:
            return
        last = epoch
        # The bookkeeping metric comes last: with it on the server, all of them are.
        named = {name: value for name, value in metrics.items() if name != EPOCH}
        made.metrics += make_metrics(named | {EPOCH: epoch}, step=epoch, time_ms=time_ms)

    def add_news(metrics: Mapping[str, float], *, step: int, time_ms: int) -> None:
        news = {name: value for name, value in metrics.items() if values.get(name) != value}
        values.update(news)
        made.metrics += make_metrics(news, step=step, time_ms=time_ms)

    for entry in entries:
        if isinstance(entry, Begun | Opened | Epoch | Closed | Measured | Ended):
            made.began_ms = made.began_ms or entry.time_ms
        match entry:
            case Begun():
                made.status = "RUNNING"
                params = dict(flattened(entry.spec))
                changes = _changes({**made.params, **run.params}, params)
                made.tags |= {**entry.tags, STATE: "running", **changes}
                made.params = {**params, **made.params}
                made.texts["spec.yaml"] = yaml.safe_dump(dict(entry.spec), sort_keys=False)
            case Opened():
                made.status = "RUNNING"
                made.tags |= {**entry.tags, STATE: "running", ATTEMPT: str(entry.attempt)}
                made.params = {**entry.parameters, **made.params}
            case Epoch():
                add_epoch(entry.epoch, entry.metrics, entry.time_ms)
            case Measured():
                made.metrics += make_metrics(entry.metrics, step=entry.step, time_ms=entry.time_ms)
            case Tagged():
                made.tags |= entry.tags
            case Artifact():
                made.files.append(entry)
            case Closed():
                add_epoch(entry.epoch, entry.metrics, entry.time_ms)
                add_news(entry.results, step=max(0, last), time_ms=entry.time_ms)
                made.status, made.ended_ms = _STATUS[entry.state], entry.time_ms
                made.tags |= {**entry.tags, STATE: entry.state}
                if entry.traceback is not None:
                    made.texts["traceback.txt"] = entry.traceback
                if (
                    entry.failure is not None
                    or FAILURE_TAG in run.tags
                    or FAILURE_TAG in made.tags
                ):
                    made.tags[FAILURE_TAG] = entry.failure or ""
            case Ended():
                add_news(entry.metrics, step=entry.step, time_ms=entry.time_ms)
                made.status, made.ended_ms = _STATUS[entry.state], entry.time_ms
                made.tags[STATE] = entry.state
    return made


def _changes(logged: Mapping[str, object], params: Mapping[str, str]) -> dict[str, str]:
    # MLflow lets no parameter change; a sweep that goes on with more trials changes one.
    changes = [
        f"{key}: {logged[key]}, now {value}"
        for key, value in params.items()
        if logged.get(key, value) != value
    ]
    return {SPEC_CHANGED: "; ".join(changes)} if changes else {}


def flattened(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name the values of a nested mapping by their dotted paths, as MLflow's parameters."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", text(value)
