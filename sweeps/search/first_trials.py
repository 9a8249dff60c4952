"""First trials of a study: published values, then the spec's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from search_spaces import (
    ParameterValue,
    optuna_parameters,
)
from trainables.config import split_path

if TYPE_CHECKING:
    from sweeps.spec.sweep_spec import SweepSpec
from sweeps.spec.find_space import find_space


def first_trials(
    spec: SweepSpec, fixed: Mapping[str, ParameterValue]
) -> list[dict[str, ParameterValue]]:
    """Return what a new study tries before the sampler: published values, then the spec's own.

    Args:
        spec: The sweep.
        fixed: Config fields that are no longer searched.

    Returns:
        Optuna parameters of each; nothing for a space without published values, because only
        those name the fields that it sets.
    """
    space = find_space(spec.search.space)
    published = space.first_trials(fixed)
    # A grid has every point once already.
    if not published or spec.search.sampler == "grid":
        return []
    resolved = spec.resolved()
    own = {path: _lookup(resolved, path) for path in space.paper}
    trials = published if spec.search.paper_first else []
    return [*trials, optuna_parameters({**own, **fixed})]


def _lookup(values: Mapping[str, Any], path: str) -> ParameterValue:
    value: Any = values
    for key in split_path(path):
        value = value[key]
    found: ParameterValue = value
    return found
