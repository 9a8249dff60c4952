"""A sweep whose call is checked in all that can be wrong, before a cluster is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweeps.loading import load_pretrain_spec, load_spec
from sweeps.overrides import Override, fixed_parameters
from sweeps.samplers import check_sampler
from sweeps.spaces import check_space
from sweeps.spec import SweepSpec
from trainables.config import ParameterValue


@dataclass(frozen=True)
class CheckedSweep:
    """A sweep that can be run.

    Attributes:
        spec: Its spec, overrides included.
        searched: Names of the search space's parameters.
        fixed: Those that an override holds at a value.
    """

    spec: SweepSpec
    searched: Sequence[str]
    fixed: Mapping[str, ParameterValue]


def check_sweep(name_or_file: str, overrides: Sequence[Override]) -> CheckedSweep:
    """Load a sweep, and check that its weights, space and sampler fit it.

    Args:
        name_or_file: A registered name, or the path of a YAML file.
        overrides: Values that win over the file's.

    Raises:
        ConfigError: Something is wrong.
    """
    spec = load_spec(name_or_file, overrides)
    load_pretrain_spec(spec)
    searched = check_space(spec)
    fixed = fixed_parameters(spec.resolved(), overrides)
    check_sampler(spec, fixed)
    return CheckedSweep(spec, searched, fixed)
