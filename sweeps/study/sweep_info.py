"""Info of a sweep: what it was run with, beside its study, for all later commands.

Two files: ``spec.yaml``, the resolved spec, which can be run again as it is; and ``about.json``,
what a spec does not hold.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from hsplid_core.bucket_path import AnyPath, any_path
from hsplid_core.config.rules import as_stored
from hsplid_core.errors import ConfigError
from hsplid_core.files import read_json, replace_text
from sweeps.spec.addresses import without_secrets
from sweeps.spec.moved_storage import (
    ABOUT_FILE,
    SPEC_FILE,
    WRITTEN_ANEW,
    move_of,
    read_spec_file,
)
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.spec.validation import renamed, validated
from trainables.config import ParameterValue


class _About(BaseModel):
    """What ``about.json`` holds; see :class:`SweepInfo`."""

    model_config = ConfigDict(strict=True)

    fixed: dict[str, ParameterValue]
    is_demo: bool
    data_key: str
    weights: str | None
    baseline: list[float] | None
    tracking_uri: str
    tags: dict[str, str]
    is_pretraining: bool = False
    sweep_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class SweepInfo:
    """Where a sweep came from.

    Attributes:
        spec: The resolved spec.
        fixed: Config fields that the command line fixed, which the search leaves alone.
        is_demo: Whether the images are a stand-in for the real data set.
        data_key: Content hash of the training images.
        weights: Checkpoint that all trials start from, if there is one.
        baseline: Objectives of that model.
        tracking_uri: Where MLflow recorded the sweep.
        tags: Commit, versions and host.
        is_pretraining: Whether it trains what another sweep starts from, as a part of that one.
        sweep_id: Identity of its study; None where an earlier version has not said.
    """

    spec: SweepSpec
    fixed: Mapping[str, ParameterValue]
    is_demo: bool
    data_key: str
    weights: AnyPath | None
    baseline: tuple[float, ...] | None
    tracking_uri: str
    tags: Mapping[str, str]
    is_pretraining: bool = False
    sweep_id: str | None = None


def write_info(folder: Path, info: SweepInfo) -> None:
    """Write both files; a reader sees each of them whole.

    Args:
        folder: The sweep's folder; must exist.
        info: What to write.
    """
    about = _About(
        fixed=dict(info.fixed),
        is_demo=info.is_demo,
        data_key=info.data_key,
        weights=None if info.weights is None else str(info.weights),
        baseline=None if info.baseline is None else list(info.baseline),
        tracking_uri=info.tracking_uri,
        tags=dict(info.tags),
        is_pretraining=info.is_pretraining,
        sweep_id=info.sweep_id,
    )
    written = {"schema_version": 1, **about.model_dump()}
    replace_text(folder / SPEC_FILE, yaml.safe_dump(info.spec.resolved(), sort_keys=False))
    replace_text(folder / ABOUT_FILE, json.dumps(written, indent=2) + "\n")


def read_spec(folder: Path) -> SweepSpec:
    """Read the resolved spec of a sweep's folder, whatever rules have come since it was written.

    Raises:
        ConfigError: It is missing, or is not one that this version can read.
    """
    file = folder / SPEC_FILE
    values = renamed(read_spec_file(file))
    try:
        with as_stored():
            return validated(values, source=str(file))
    except ConfigError as error:
        headline, *faults = str(error).split("\n")
        told = "\n".join([f"{headline.removesuffix(':')}; {WRITTEN_ANEW}:", *faults])
        raise ConfigError(told) from error


def read_info(folder: Path) -> SweepInfo | None:
    """Read what :func:`write_info` wrote; None where a folder has it not.

    Places below the storage are where they are now, also where the folder was moved with it.

    Raises:
        ConfigError: A file is damaged, or the spec is not one that this version can read.
    """
    file = folder / ABOUT_FILE
    if not file.exists():
        return None
    about = _read_about(file)
    if (move := move_of(folder)) is not None:
        about = _About.model_validate(move.values(about.model_dump()))
    return SweepInfo(
        spec=read_spec(folder),
        fixed=about.fixed,
        is_demo=about.is_demo,
        data_key=about.data_key,
        weights=None if about.weights is None else any_path(about.weights),
        baseline=None if about.baseline is None else tuple(about.baseline),
        tracking_uri=without_secrets(about.tracking_uri),
        tags=about.tags,
        is_pretraining=about.is_pretraining,
        sweep_id=about.sweep_id,
    )


def _read_about(file: Path) -> _About:
    try:
        return _About.model_validate(read_json(file))
    except ValidationError as error:
        fault = error.errors()[0]
        field, value = ".".join(map(str, fault["loc"])) or "it", json.dumps(fault["input"])[:40]
        missing = fault["type"] == "missing"
        raise _damaged(file, f"it has no {field}" if missing else f"{field} is {value}") from error
    except (OSError, ValueError) as error:
        raise _damaged(file, str(error)) from error


def _damaged(file: Path, cause: str) -> ConfigError:
    return ConfigError(
        f"{file}, which says where the sweep came from, is damaged ({cause}); the study is not: "
        "move the file away and run the sweep again (it goes on where it is), which writes it anew"
    )


def command_again(folder: Path, info: SweepInfo, *, fresh: bool = True) -> str:
    """Return the command that runs the same sweep once more.

    Args:
        folder: The sweep's folder.
        info: What it was run with.
        fresh: Whether beside the old one, which otherwise goes on, or is completed.
    """
    fixed = [f"{path}={json.dumps(value)}" for path, value in sorted(info.fixed.items())]
    spec = folder / SPEC_FILE
    return shlex.join(["python", "-m", "sweeps.run", str(spec), *["--fresh"] * fresh, *fixed])
