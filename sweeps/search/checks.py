"""Checks of a whole sweep before a cluster is asked: its space, its sampler, its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hsplid_core.errors import ConfigError
from search_spaces import ParameterValue
from sweeps.spec.loading import load_pretrain_spec, load_spec
from sweeps.spec.overrides import Override, fixed_parameters
from sweeps.spec.sweep_spec import SweepSpec
from trainables.config import split_path

if TYPE_CHECKING:
    from sweeps.search.space_probe import SpaceProbe


@dataclass(frozen=True)
class CheckedSweep:
    """A sweep that can be run.

    Attributes:
        spec: Its spec, overrides included.
        space: What its search space asks for.
        fixed: Parameters that an override holds at a value.
    """

    spec: SweepSpec
    space: SpaceProbe
    fixed: Mapping[str, ParameterValue]


def check_sweep(
    name_or_file: str, overrides: Sequence[Override], *, small: bool = False
) -> CheckedSweep:
    """Load a sweep, and check that its weights, space and sampler fit it.

    Args:
        name_or_file: A registered name, or the path of a YAML file.
        overrides: Values that win over the file's.
        small: See :func:`load_spec`.

    Raises:
        ConfigError: Something is wrong.
    """
    spec = load_spec(name_or_file, overrides, small=small)
    load_pretrain_spec(spec)
    # A slip is told without Optuna.
    from sweeps.search.samplers import grid_of, outside_sampler
    from sweeps.search.space_probe import probe_space

    fixed = fixed_parameters(spec.resolved(), overrides)
    space = probe_space(spec, fixed)
    if "recipe" in fixed or "recipe" not in space.names:
        _refuse_unused_settings(spec, fixed)
    if spec.search.sampler == "grid":
        grid_of(spec, fixed, space)
    elif ":" in spec.search.sampler:
        outside_sampler(spec.search.sampler, spec.search.seed)
    return CheckedSweep(spec, space, fixed)


def _refuse_unused_settings(spec: SweepSpec, fixed: Mapping[str, ParameterValue]) -> None:
    """Refuse overrides of a method that takes part in no trial, for they would change nothing."""
    taking_part = spec.trial_config().methods
    for path in fixed:
        section, name, *_ = [*split_path(path), ""]
        if section == "method" and name not in taking_part:
            raise ConfigError(
                f"override {path}: {name} takes no part, for recipe is {spec.recipe}; add it, "
                f"recipe={spec.recipe}+{name}, or leave the value out"
            )
