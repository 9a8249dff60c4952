"""Single requests to MLflow: one run's data written once, and errors that say what to do.

Only this module imports MLflow, inside its functions, because the import takes seconds. Every
request names its run; MLflow's fluent interface and its global state are not used.
"""

from __future__ import annotations

import importlib
import json
import logging
import math
import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hsplid_core.errors import SaliencyError
from hsplid_core.files import locked
from sweeps.spec.addresses import without_secrets
from sweeps.storage.local_disk import is_local
from sweeps.tracking.moved_database import follow_move
from sweeps.tracking.names import NON_FINITE, STATE
from sweeps.tracking.reachability import (
    ServerDownError,
    TrackingError,
    check_answers,
    damage,
)
from sweeps.tracking.tracking_uri import is_server, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run, RunTag

EPOCH = "epoch"

# MLflow's limits: 1000 things in one request, of them 100 parameters and 100 tags; 250 characters
# in a name, and some thousands in a value.
MAX_METRICS = 800
_MAX_OTHERS = 100
_MAX_NAME = 250
_MAX_VALUE = 5000
_MAX_CAUSE = 200  # characters of an error's text that say more than they hide
_DAMAGED = re.compile("malformed|not a database")  # in sqlite's words
_ILLEGAL = re.compile(r"[^\w.\- /]", re.ASCII)

# With MLflow's defaults one call to a dead server blocks for minutes, and the end of a sweep with
# it; the courier does the repeating. Whoever has set one of these knows better.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it would break --json
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

# Refusals that may pass: whoever may not in now is let in with a new token, conflicts end.
_PASSING = (401, 403, 407, 408, 409, 425, 429, 499)


@dataclass
class KnownRun:
    """What is known of a run on the server, to log nothing twice."""

    run_id: str
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    status: str = ""
    is_whole: bool = True

    @classmethod
    def of(cls, run: Run) -> KnownRun:
        """Remember what the server told of a run."""
        data = run.data
        return cls(
            run.info.run_id,
            dict(data.metrics),
            dict(data.params),
            dict(data.tags),
            str(run.info.status),
        )

    def outline(self) -> KnownRun:
        """Return what is worth remembering of a run that has ended: a sweep may have thousands."""
        state = {STATE: self.tags[STATE]} if STATE in self.tags else {}
        return KnownRun(self.run_id, tags=state, status=self.status, is_whole=False)

    @property
    def last_epoch(self) -> int:
        """The last epoch whose metrics are logged; -1 before the first, 0 of what trains none."""
        return int(self.metrics.get(EPOCH, -1))

    @property
    def state(self) -> str | None:
        """The trial's or the sweep's state as tagged."""
        return self.tags.get(STATE)


def create_database(uri: str) -> None:
    """Make the database where the URI names a sqlite file that does not exist; once.

    Several programs that make its tables at a time get in each other's way, so one of them does.

    Raises:
        TrackingError: The database cannot be made.
    """
    file = sqlite_file(uri)
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.parent / f".{file.name}.lock", "tracking.uri"):
        is_new = not file.exists()
        connect(uri)
        if is_new and is_local(file.parent):
            # The file keeps this: readers, as the UI, and writers no longer wait for each other.
            with closing(sqlite3.connect(file)) as database:
                database.execute("PRAGMA journal_mode = WAL")


@contextmanager
def loading(uri: str) -> Iterator[None]:
    """Get ready for a client beside what is done meanwhile, as waiting for a cluster to start.

    MLflow is imported, and the database made where the URI names a sqlite file that is missing.
    """
    thread = threading.Thread(target=_load, args=(uri,), name="mlflow-import")
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _load(uri: str) -> None:
    _set_environment()
    with suppress(ImportError, OSError, SaliencyError):  # told where MLflow is needed
        importlib.import_module("mlflow")
        create_database(uri)


def connect(uri: str) -> MlflowClient:
    """Make a client, and the database where the URI names a sqlite file that does not exist.

    Raises:
        TrackingError: The database cannot be opened.
    """
    _set_environment()
    file = sqlite_file(uri)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        follow_move(file)
    if not is_server(uri):
        check_answers(uri)  # MLflow itself would ask for minutes
    from alembic.util import CommandError
    from mlflow import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    # This logger tells of every new database that it creates its tables, and prints the traceback
    # of every fault of one, which is told in a line here.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    try:
        # Whatever MLFLOW_REGISTRY_URI says: models belong beside their runs.
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
    except SQLAlchemyError as error:  # the only place where MLflow lets them through
        if file is not None and _DAMAGED.search(str(error)):
            raise TrackingError(damage(file)) from error
        raise TrackingError(
            f"MLflow cannot open {without_secrets(uri)}: {_cause(error)}; set tracking.uri to "
            "another database"
        ) from error
    except CommandError as error:
        # Optuna's studies are versioned by a table of the same name.
        raise TrackingError(
            f"MLflow cannot open {without_secrets(uri)}, which holds tables of another version or "
            f"program ({_cause(error)}): set tracking.uri to a database of its own"
        ) from error


def _set_environment() -> None:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def search(client: MlflowClient, experiment_id: str, condition: str) -> Iterator[Run]:
    """Find the runs of an experiment that fulfil a condition in MLflow's filter language."""
    token: str | None = None
    while token != "":
        page = client.search_runs([experiment_id], condition, page_token=token)
        yield from page
        token = page.token or ""


def write(
    client: MlflowClient,
    run: KnownRun,
    metrics: Sequence[Metric] = (),
    *,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
) -> None:
    """Log what a run does not have yet, in as few requests as MLflow allows.

    Args:
        client: The client.
        run: The run; it learns what was logged.
        metrics: Values to log. Those that are not finite become a tag with their names, as MLflow
            would draw infinity as 1.8e308.
        params: Parameters; one that the run has already keeps its value.
        tags: Tags to set or change.
    """
    from mlflow.entities import Param, RunTag

    finite = [metric for metric in metrics if math.isfinite(metric.value)]
    wanted = {legal(key): text(value) for key, value in (tags or {}).items()}
    odd = {metric.key for metric in metrics if not math.isfinite(metric.value)}
    if odd:
        before = run.tags.get(NON_FINITE)
        wanted[NON_FINITE] = text(
            ", ".join(sorted(odd.union(before.split(", ") if before else ())))
        )
    named = {legal(key): text(value) for key, value in (params or {}).items()}
    new_params = {key: value for key, value in named.items() if key not in run.params}
    new_tags = {key: value for key, value in wanted.items() if run.tags.get(key) != value}
    param_list = [Param(key, value) for key, value in new_params.items()]
    tag_list = [RunTag(key, value) for key, value in new_tags.items()]
    turns = max(
        math.ceil(len(finite) / MAX_METRICS),
        math.ceil(len(param_list) / _MAX_OTHERS),
        math.ceil(len(tag_list) / _MAX_OTHERS),
    )
    for turn in range(turns):
        others = slice(turn * _MAX_OTHERS, (turn + 1) * _MAX_OTHERS)
        # Tags come with the last requests: a state that is tagged says that all else is there.
        late = turn - (turns - math.ceil(len(tag_list) / _MAX_OTHERS))
        _log(
            client,
            run.run_id,
            finite[turn * MAX_METRICS : (turn + 1) * MAX_METRICS],
            param_list[others],
            tag_list[late * _MAX_OTHERS : (late + 1) * _MAX_OTHERS] if late >= 0 else [],
        )
    run.metrics.update((metric.key, metric.value) for metric in finite)
    run.params.update(new_params)
    run.tags.update(new_tags)


def _log(
    client: MlflowClient,
    run_id: str,
    metrics: Sequence[Metric],
    params: Sequence[Param],
    tags: Sequence[RunTag],
) -> None:
    """Make one request; that for a single tag costs MLflow half of what one for many does."""
    if len(tags) == 1 and not metrics and not params:
        client.set_tag(run_id, tags[0].key, tags[0].value)
    else:
        client.log_batch(run_id, metrics=metrics, params=params, tags=tags)


def make_metrics(values: Mapping[str, float], *, step: int, time_ms: int) -> list[Metric]:
    """Make MLflow's form of some values of one step."""
    from mlflow.entities import Metric

    return [Metric(legal(name), float(value), time_ms, step) for name, value in values.items()]


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn MLflow's and the network's errors into ours.

    Raises:
        ServerDownError: The server does not answer, or not now.
        TrackingError: The server refuses for good.
    """
    from mlflow.exceptions import MlflowException

    shown = without_secrets(uri)
    try:
        yield
    except SaliencyError:
        raise
    except ImportError as error:
        raise TrackingError(f"MLflow at {shown} needs a package: {error}; install it") from error
    except (MlflowException, OSError) as error:
        cause = _cause(error)
        file = sqlite_file(uri)
        if file is not None and _DAMAGED.search(str(error)):
            raise ServerDownError(damage(file)) from error
        status, gone = 503, False
        if isinstance(error, MlflowException):
            status = int(error.get_http_status_code())
            gone = error.error_code == "ENDPOINT_NOT_FOUND"  # a proxy whose server is restarting
        if 400 <= status < 500 and status not in _PASSING and not gone:
            raise TrackingError(f"MLflow at {shown} refuses: {cause}") from error
        raise ServerDownError(f"MLflow at {shown} does not answer: {cause}") from error


def _cause(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0]
    return line if len(line) <= _MAX_CAUSE else f"{line[:_MAX_CAUSE]}..."


def legal(name: str) -> str:
    """Replace what MLflow allows in no name."""
    return _ILLEGAL.sub("_", name)[:_MAX_NAME]


def text(value: object) -> str:
    """Write a value as in a spec, cut to what MLflow takes."""
    return (value if isinstance(value, str) else json.dumps(value))[:_MAX_VALUE]
