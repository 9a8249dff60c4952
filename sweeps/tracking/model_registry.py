"""The models of a sweep's front in MLflow: logged beside their trials' runs, and registered.

Each is a model of the ``python_function`` flavour: a package of :mod:`hsplid_core.models.packaged`
with a signature and an example of its input. Saying a thing twice records it once: a trial that is
complete never changes its weights, so its version is known by the sweep's id and its number.

The registered model has the name of the sweep's folder, and the aliases that the front gives it.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hsplid_core.bucket_path import AnyPath
from hsplid_core.errors import CheckpointError
from hsplid_core.models import packaged
from hsplid_core.models.state_files import read_state
from sweeps.tracking.find_runs import Recording, find_runs
from sweeps.tracking.mlflow_client import connect, explained
from sweeps.tracking.names import ON_FRONT, SWEEP_ID, TRIAL, WARNINGS
from sweeps.tracking.reachability import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

_NEEDED = ("torch", "torchvision", "numpy")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FrontModel:
    """A model of the front.

    Attributes:
        trial: Number of its trial.
        checkpoint: Its weights, which are read where it is not registered yet; None where they
            are gone.
        aliases: What to call it in the registry, besides its version.
        warnings: Reasons to distrust its robust accuracy, as codes.
    """

    trial: int
    checkpoint: AnyPath | None
    aliases: Sequence[str]
    warnings: Sequence[str] = ()


def register_models(
    recording: Recording,
    *,
    name: str,
    models: Sequence[FrontModel],
    example: Callable[[], NDArray[np.float32]],
    unused_aliases: Sequence[str] = (),
) -> Mapping[str, str]:
    """Log the models of a front and register them; doing it again changes nothing.

    One whose checkpoint is gone, or holds no model, is left out, with a warning, unless it was
    registered before.

    Args:
        recording: Where the sweep was recorded.
        name: Name of the registered model; created where there is none.
        models: All models of the front. Versions of the sweep's other trials stay, are no longer
            tagged as of the front, and lose their aliases to these.
        example: Opens images that the models take, [N, C, H, W] in [0, 1].
        unused_aliases: What a front may call a model, and this one calls none: an older front's
            model loses it.

    Returns:
        The version of each alias.

    Raises:
        TrackingError: The sweep or one of these trials has no run there, or the server does not
            answer or refuses.
    """
    with explained(recording.uri), _quiet():
        client = connect(recording.uri)
        runs = find_runs(client, recording)
        sweep_id = str(recording.sweep_id)
        known = _known_versions(client, name, sweep_id)
        for model in models:
            if model.trial in known:
                continue
            if model.checkpoint is None:
                logger.warning(
                    "trial %d has no checkpoint left, so no model in MLflow", model.trial
                )
                continue
            run = runs.trials.get(model.trial)
            if run is None:
                raise TrackingError(
                    f"trial {model.trial} has no run in MLflow, so its model has no place"
                )
            _open_registered(client, name, recording.experiment)
            try:
                logged = _log(client, run, model.trial, model.checkpoint, example())
            except CheckpointError as error:
                logger.warning("trial %d has no model in MLflow: %s", model.trial, error)
                continue
            known[model.trial] = _version(client, name, sweep_id, run, logged, model.trial)
        return _mark(client, name, models, known, unused_aliases)


def _mark(
    client: MlflowClient,
    name: str,
    models: Sequence[FrontModel],
    known: Mapping[int, ModelVersion],
    unused_aliases: Sequence[str],
) -> Mapping[str, str]:
    """Tag the versions that are on the front, or warned of, and give them their aliases."""
    on_front = {model.trial: model for model in models}
    for trial, registered in known.items():
        tags = {ON_FRONT: str(trial in on_front).lower()}
        if trial in on_front and on_front[trial].warnings:
            tags[WARNINGS] = ", ".join(on_front[trial].warnings)
        for tag, value in tags.items():
            if registered.tags.get(tag) != value:
                client.set_model_version_tag(name, registered.version, tag, value)
    aliases = {
        alias: known[model.trial].version
        for model in models
        if model.trial in known
        for alias in model.aliases
    }
    for alias, number in aliases.items():
        client.set_registered_model_alias(name, alias, number)
    if known:
        left_over = client.get_registered_model(name).aliases
        for alias in set(unused_aliases) & set(left_over):
            client.delete_registered_model_alias(name, alias)
    return aliases


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow from telling each step, which would break ``--json`` and the live view."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _open_registered(client: MlflowClient, name: str, experiment: str) -> None:
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(
            name, description=f"The Pareto front of the sweep {name}, experiment {experiment}."
        )


def _known_versions(client: MlflowClient, name: str, sweep_id: str) -> dict[int, ModelVersion]:
    found: dict[int, ModelVersion] = {}
    token: str | None = None
    while token != "":
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        own = (each for each in page if each.tags.get(SWEEP_ID) == sweep_id)
        found |= {int(each.tags[TRIAL]): each for each in own}
        token = page.token or ""
    return found


def _version(
    client: MlflowClient, name: str, sweep_id: str, run: Run, logged: LoggedModel, trial: int
) -> ModelVersion:
    return client.create_model_version(
        name,
        # The place itself: MLflow would look "models:/ID" up in its global registry. The id is for
        # a server, which checks that it belongs there; no store keeps it.
        source=logged.artifact_location,
        run_id=run.info.run_id,
        model_id=logged.model_id,
        tags={SWEEP_ID: sweep_id, TRIAL: str(trial), ON_FRONT: "true"},
    )


def _log(
    client: MlflowClient, run: Run, trial: int, checkpoint: AnyPath, example: NDArray[np.float32]
) -> LoggedModel:
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    run_id = run.info.run_id
    logged = logged_model(client, run)
    if logged is not None and logged.status == LoggedModelStatus.READY:
        return logged
    # New, or left behind by a driver that was killed in the middle of it.
    with tempfile.TemporaryDirectory() as folder:
        package, path = Path(folder) / f"trial_{trial}", Path(folder) / "model"
        packaged.write_package(package, read_state(checkpoint))
        if logged is None:
            logged = client.create_logged_model(
                run.info.experiment_id,
                name=f"trial-{trial}",
                source_run_id=run_id,
                params=run.data.params,
                tags={TRIAL: str(trial)},
                model_type="image classifier",
            )
            client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        _save(path, package, example, run_id=run_id, model_id=logged.model_id)
        client.log_model_artifacts(logged.model_id, str(path))
    return client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def logged_model(client: MlflowClient, run: Run) -> LoggedModel | None:
    """Return the model that was logged beside a run; None where there is none."""
    outputs = run.outputs.model_outputs if run.outputs else ()
    return client.get_logged_model(outputs[-1].model_id) if outputs else None


def _save(
    path: Path, package: Path, example: NDArray[np.float32], *, run_id: str, model_id: str
) -> None:
    with warnings.catch_warnings():
        # While it is imported, MLflow warns of type hints of its own.
        warnings.simplefilter("ignore", UserWarning)
        from mlflow.models import Model, infer_signature
        from mlflow.pyfunc import save_model

    logits = packaged.Predictor(packaged.open_package(package)).predict(example)
    save_model(
        path=str(path),
        loader_module=packaged.__name__,
        data_path=str(package),
        mlflow_model=Model(run_id=run_id, model_id=model_id),
        signature=infer_signature(example, logits),
        input_example=example,
        pip_requirements=[f"{each}=={version(each).partition('+')[0]}" for each in _NEEDED],
    )
