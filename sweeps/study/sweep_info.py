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
from typing import Any

import yaml

from hsplid_core.bucket_path import AnyPath, any_path
from hsplid_core.config.rules import as_stored
from hsplid_core.errors import ConfigError
from hsplid_core.files import replace_text
from sweeps.spec.addresses import without_secrets
from sweeps.spec.moved_storage import ABOUT_FILE, SPEC_FILE, move_of, read_spec_file
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.spec.validation import renamed, validated
from trainables.config import ParameterValue

_KINDS: Mapping[str, Any] = {
    "fixed": dict,
    "is_demo": bool,
    "data_key": str,
    "weights": str | None,
    "baseline": list | None,
    "tracking_uri": str,
    "tags": dict,
}


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


def write_info(folder: Path, info: SweepInfo) -> None:
    """Write both files; a reader sees each of them whole.

    Args:
        folder: The sweep's folder; must exist.
        info: What to write.
    """
    written = {
        "schema_version": 1,
        "fixed": dict(info.fixed),
        "is_demo": info.is_demo,
        "data_key": info.data_key,
        "weights": None if info.weights is None else str(info.weights),
        "baseline": info.baseline,
        "tracking_uri": info.tracking_uri,
        "tags": dict(info.tags),
        "is_pretraining": info.is_pretraining,
    }
    replace_text(folder / SPEC_FILE, yaml.safe_dump(info.spec.resolved(), sort_keys=False))
    replace_text(folder / ABOUT_FILE, json.dumps(written, indent=2) + "\n")


def read_spec(folder: Path) -> SweepSpec:
    """Read the resolved spec of a sweep's folder, whatever rules have come since it was written.

    Raises:
        ConfigError: It is missing, or is not one that this version can read.
    """
    file = folder / SPEC_FILE
    with as_stored():
        return validated(renamed(read_spec_file(file)), source=str(file))


def read_info(folder: Path) -> SweepInfo | None:
    """Read what :func:`write_info` wrote; None where a folder has it not.

    Places below the storage are where they are now, also where the folder was moved with it.

    Raises:
        ConfigError: A file is damaged, or the spec is not one that this version can read.
    """
    file = folder / ABOUT_FILE
    if not file.exists():
        return None
    written = _read_about(file)
    if (move := move_of(folder)) is not None:
        written = move.values(written)
    baseline, weights = written["baseline"], written["weights"]
    return SweepInfo(
        spec=read_spec(folder),
        fixed=written["fixed"],
        is_demo=written["is_demo"],
        data_key=written["data_key"],
        weights=None if weights is None else any_path(weights),
        baseline=None if baseline is None else tuple(baseline),
        tracking_uri=without_secrets(written["tracking_uri"]),
        tags=written["tags"],
        is_pretraining=written.get("is_pretraining", False),
    )


def _read_about(file: Path) -> dict[str, Any]:
    try:
        written = json.loads(file.read_text(encoding="utf-8"))
        for name, kind in _KINDS.items():
            if not isinstance(written[name], kind):
                raise TypeError(f"{name} is {json.dumps(written[name])[:40]}")
    except (OSError, ValueError, LookupError, TypeError) as error:
        cause = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ConfigError(
            f"{file}, which says where the sweep came from, is damaged ({cause}); the study is "
            "not: move the file away and run the sweep again (it goes on where it is), which "
            "writes it anew"
        ) from error
    found: dict[str, Any] = written
    return found


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
