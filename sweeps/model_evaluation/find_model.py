"""Finding a model to judge: a checkpoint file, a run of MLflow, or a name in its registry."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from hsplid_core.config import MarginsConfig
from hsplid_core.config.rules import as_stored
from hsplid_core.errors import CheckpointError, ConfigError, did_you_mean
from hsplid_core.files import from_home
from hsplid_core.models.external import ExternalModel, open_external
from hsplid_core.models.packaged import open_package
from hsplid_core.models.state_files import STATE_FILE, checksum_file, read_state
from hsplid_core.models.trained import TrainedModel, rebuild
from sweeps.spec.overrides import parse_overrides
from sweeps.spec.validation import validated_data
from sweeps.tracking.find_models import fetch_model, is_model_name, is_registered_name, trial_of
from sweeps.trials.checkpoint_files import SweepCheckpoints

_Section = TypeVar("_Section", ExternalModel, MarginsConfig)


@dataclass(frozen=True, kw_only=True)
class JudgedModel:
    """A model and where it came from.

    Attributes:
        name: As it was asked for.
        trained: The model.
        run_id: MLflow's run that it comes from; None for a file.
    """

    name: str
    trained: TrainedModel
    run_id: str | None


def read_external(texts: Sequence[str]) -> ExternalModel:
    """Read what a command line says of weights that others trained.

    Args:
        texts: Such as ``name=resnet50``, ``normalise=imagenet``.

    Raises:
        ConfigError: A field or a value is wrong.
    """
    return _read(ExternalModel, texts, "--model")


def read_margins(text: str) -> MarginsConfig:
    """Read settings of margins from a command line.

    Args:
        text: Fields of a sweep's ``evaluation.margins``, with commas: ``size=16,step=16``.

    Raises:
        ConfigError: A field or a value is wrong.
    """
    return _read(MarginsConfig, [part for part in text.split(",") if part], "--margins")


def _read(section: type[_Section], texts: Sequence[str], option: str) -> _Section:
    said = {override.path: override.value for override in parse_overrides(texts)}
    fields = list(section.__dataclass_fields__)
    for name in said:
        if name not in fields:
            raise ConfigError(
                f"{option} {name}: use {', '.join(fields)}{did_you_mean(name, fields)}"
            )
    try:
        return TypeAdapter(section).validate_python(said)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{option} {field}: {first['msg']}") from error


def read_reading(texts: Sequence[str]) -> dict[str, Any]:
    """Read what a command line says of how a data set is read.

    Args:
        texts: Fields of a sweep's section ``data``, such as ``classes=[cat, dog]``.

    Returns:
        The fields' values.

    Raises:
        ConfigError: A value is wrong.
    """
    overrides = parse_overrides([text.removeprefix("data.") for text in texts])
    given = {override.path: override.value for override in overrides}
    # The rules that speak of the data set's name follow when it is known.
    with as_stored():
        data = validated_data(given)
    return {name: getattr(data, name) for name in given}


def open_judged(
    name: str | None, tracking_uri: str, storage: Path, *, said: ExternalModel | None = None
) -> JudgedModel:
    """Open a model.

    Args:
        name: A checkpoint file of a trial or the folder that holds it; a run of MLflow
            (``runs:/ID`` or its id alone); or a registered model (``models:/NAME@ALIAS``). None
            for weights that torchvision publishes.
        tracking_uri: Where MLflow records.
        storage: Folder of all sweeps: the run of a trial whose checkpoint lies here needs no
            model in MLflow.
        said: What a file of weights is that no sweep wrote; None for a model of a sweep.

    Raises:
        ConfigError: There is no such file, and the name is none of MLflow's.
        CheckpointError: The checkpoint is damaged, or does not say which model it is.
        TrackingError: MLflow has no such model, or does not answer.
    """
    if said is not None:
        external = None if name is None else from_home(Path(name))
        label = f"{said.name} {said.weights}" if name is None else name
        return JudgedModel(name=label, trained=open_external(said, external), run_id=None)
    if name is None:
        raise ConfigError(
            "no model is named: give a file, a run of MLflow, or --model weights=..."
        )
    path = from_home(Path(name))
    if path.is_dir():
        path = path / STATE_FILE
    if path.is_file():
        if not checksum_file(path).is_file():
            raise CheckpointError(
                f"{path} has no {checksum_file(path).name} beside it, so no sweep wrote it, or it "
                "was cut short; of weights from elsewhere say what they are, such as --model "
                "name=resnet50 normalise=imagenet image_size=224"
            )
        return JudgedModel(name=name, trained=rebuild(read_state(path), source=name), run_id=None)
    if not is_model_name(name):
        raise ConfigError(
            f"model {name} is no file: name a checkpoint ({STATE_FILE}) of a trial, a sweep in "
            f"{storage}, a run of MLflow (runs:/ID), or a registered model (models:/NAME@ALIAS)"
        )
    trial = None if is_registered_name(name) else trial_of(name, tracking_uri)
    if trial is not None:
        checkpoints = SweepCheckpoints(folder=storage / trial.sweep, sweep_id=trial.sweep_id)
        kept = checkpoints.find(trial.number)
        if kept is not None:
            trained = rebuild(read_state(kept), source=str(kept))
            return JudgedModel(name=name, trained=trained, run_id=trial.run_id)
    with tempfile.TemporaryDirectory() as folder:
        fetched = fetch_model(name, tracking_uri, Path(folder))
        trained = open_package(fetched.folder)
    return JudgedModel(name=name, trained=trained, run_id=fetched.run_id)


def own_data(judged: JudgedModel) -> str:
    """Name the data set that a model was trained on.

    Raises:
        ConfigError: Nobody knows.
    """
    if not judged.trained.data:
        raise ConfigError(
            f"--data is not given, and {judged.name} does not tell on which images it was trained"
        )
    return judged.trained.data


def own_root(judged: JudgedModel, data: str) -> Path | None:
    """Find the folder that a model was trained on, to judge it on the same images.

    Args:
        judged: The model.
        data: The data set that it will be judged on.

    Returns:
        The folder; None where it was a stand-in, or another data set.

    Raises:
        ConfigError: The folder is not on this machine.
    """
    root = judged.trained.root
    if root is None or data != judged.trained.data:
        return None
    if not Path(root).is_dir():
        raise ConfigError(
            f"{judged.name} was trained on {data} in {root}, which is not here: give root=FOLDER"
        )
    return Path(root)
