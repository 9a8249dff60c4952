"""From a sweep's name and the command line to a checked spec.

Later values win: the file's own, then its ``demo`` section where no real data set is given, then
the overrides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hsplid_core.errors import ConfigError
from sweeps.spec.moved_storage import read_spec_file
from sweeps.spec.overrides import Override, apply_overrides, merged
from sweeps.spec.registry import find_sweep
from sweeps.spec.sweep_spec import PRETRAINING_SECTIONS, SweepSpec
from sweeps.spec.validation import validated

# What a demo section says of the data beyond their size.
_WHICH_IMAGES = ("name", "root", "split", "classes", "normalise")


def load_spec(
    name_or_file: str, overrides: Sequence[Override] = (), *, small: bool = False
) -> SweepSpec:
    """Load and check the spec of a sweep.

    Args:
        name_or_file: A registered name, or the path of a YAML file.
        overrides: Values that win over the file's.
        small: Take the values of the demo section with real data, too, except for what says
            which images those are; so does the pretraining.

    Raises:
        ConfigError: The sweep is unknown, its file unreadable, or values are wrong; the message
            then has one line for each fault.
    """
    sweep = find_sweep(name_or_file)
    values = merged(read_spec_file(sweep.spec), sweep.values)
    demo = _demo_of(values, sweep.spec)
    # What else is given may be about a key that the demo section alone has.
    deciding = [override for override in overrides if override.path in ("data", "data.root")]
    if _uses_demo_data(apply_overrides(values, deciding)):
        values = merged(values, demo)
    elif small:
        values = merged(values, _sizes_of(demo, values, sweep.spec))
    scaled = _scaled_resizing(values, overrides)
    return validated(apply_overrides(values, [*scaled, *overrides]), source=str(name_or_file))


def _scaled_resizing(values: Mapping[str, Any], overrides: Sequence[Override]) -> list[Override]:
    """Let another image size alone cut out as much of a picture as before, not a small corner."""
    sizes = [o.value for o in overrides if o.path == "data.image_size"]
    data = values.get("data")
    if not sizes or not isinstance(data, Mapping):
        return []
    size, before, resized = sizes[-1], data.get("image_size"), data.get("resize_size")
    if not all(type(number) is int and number > 0 for number in (size, before, resized)):
        return []
    return [Override("data.resize_size", round(resized * size / before))]


def _demo_of(values: dict[str, Any], file: Path) -> Mapping[str, Any]:
    """Take the demo section out of a spec's values."""
    demo = values.pop("demo", None) or {}
    if not isinstance(demo, Mapping):
        raise ConfigError(f"{file}: demo is {demo!r}, write a section of values to replace")
    return demo


def _sizes_of(demo: Mapping[str, Any], values: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return what a small run on real data takes of a demo section, and for its pretraining."""
    if not demo:
        raise ConfigError(f"{file} has no demo section, whose sizes a small run takes")
    data = {k: v for k, v in demo.get("data", {}).items() if k not in _WHICH_IMAGES}
    sizes = {**demo, "data": data}
    pretrain = values.get("pretrain")
    if isinstance(pretrain, str):
        other = find_sweep(pretrain)
        of_other = _demo_of(merged(read_spec_file(other.spec), other.values), other.spec)
        own = {name: of_other[name] for name in PRETRAINING_SECTIONS if name in of_other}
        sizes = merged({"pretraining": own}, sizes)
    return sizes


def _uses_demo_data(values: Mapping[str, Any]) -> bool:
    data = values.get("data")
    return not isinstance(data, Mapping) or data.get("root") is None


def load_pretrain_spec(spec: SweepSpec) -> SweepSpec | None:
    """Load the spec that makes a sweep's initial weights; None where it trains from scratch.

    The weights must fit the sweep and the machine it runs on, so its data, model, seed, device,
    resources, cluster, storage, study and tracking replace those of the other spec; of the rest,
    its ``pretraining`` section wins.

    Args:
        spec: The sweep that needs the weights.

    Raises:
        ConfigError: The other spec is wrong, or has a ``pretrain`` of its own.
    """
    if spec.pretrain is None:
        return None
    # Says on which side of its demo section the other spec has to stand.
    overrides = [
        Override("data.root", spec.data.root and str(spec.data.root)),
        *(Override(section, values) for section, values in spec.pretraining.items()),
    ]
    try:
        other = load_spec(spec.pretrain, overrides)
    except ConfigError as error:
        raise ConfigError(f"pretrain is {spec.pretrain!r}: {error}") from error
    if other.pretrain is not None:
        raise ConfigError(
            f"pretrain is {spec.pretrain!r}, which itself starts from {other.pretrain!r}: "
            "only one stage of pretraining is supported"
        )
    shared = ("data", "model", "seed", "resources", "cluster", "storage", "study", "tracking")
    arithmetic = ("device", "amp", "tf32", "deterministic", "compile")
    training = dataclasses.replace(
        other.training, **{name: getattr(spec.training, name) for name in arithmetic}
    )
    update = {name: getattr(spec, name) for name in shared}
    return other.model_copy(update={**update, "training": training})
