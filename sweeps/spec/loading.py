"""From a sweep's name and the command line to a checked spec.

Later values win: the file's own, then its ``demo`` section where no real data set is given, then
the overrides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from hsplid_core.errors import ConfigError
from sweeps.spec.moved_storage import read_spec_file
from sweeps.spec.overrides import Override, apply_overrides, merged
from sweeps.spec.registry import find_sweep
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.spec.validation import validated


def load_spec(name_or_file: str, overrides: Sequence[Override] = ()) -> SweepSpec:
    """Load and check the spec of a sweep.

    Args:
        name_or_file: A registered name, or the path of a YAML file.
        overrides: Values that win over the file's.

    Raises:
        ConfigError: The sweep is unknown, its file unreadable, or values are wrong; the message
            then has one line for each fault.
    """
    sweep = find_sweep(name_or_file)
    values = merged(read_spec_file(sweep.spec), sweep.values)
    demo = values.pop("demo", None) or {}
    if not isinstance(demo, Mapping):
        raise ConfigError(f"{sweep.spec}: demo is {demo!r}, write a section of values to replace")
    # What else is given may be about a key that the demo section alone has.
    deciding = [override for override in overrides if override.path in ("data", "data.root")]
    if _uses_demo_data(apply_overrides(values, deciding)):
        values = merged(values, demo)
    return validated(apply_overrides(values, overrides), source=str(name_or_file))


def _uses_demo_data(values: Mapping[str, Any]) -> bool:
    data = values.get("data")
    return not isinstance(data, Mapping) or data.get("root") is None


def load_pretrain_spec(spec: SweepSpec) -> SweepSpec | None:
    """Load the spec that makes a sweep's initial weights; None where it trains from scratch.

    The weights must fit the sweep and the machine it runs on, so its data, model, seed, device,
    resources, cluster, storage, study and tracking replace those of the other spec.

    Args:
        spec: The sweep that needs the weights.

    Raises:
        ConfigError: The other spec is wrong, or has a ``pretrain`` of its own.
    """
    if spec.pretrain is None:
        return None
    # Says on which side of its demo section the other spec has to stand.
    overrides = [Override("data.root", spec.data.root and str(spec.data.root))]
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
    arithmetic = ("device", "amp", "tf32", "deterministic")
    training = dataclasses.replace(
        other.training, **{name: getattr(spec.training, name) for name in arithmetic}
    )
    update = {name: getattr(spec, name) for name in shared}
    return other.model_copy(update={**update, "training": training})
