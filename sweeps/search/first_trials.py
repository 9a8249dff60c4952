"""First trials of a study: published values, then the spec's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from hsplid_core.errors import ConfigError
from search_spaces import SWITCH_PREFIX, ParameterValue, optuna_parameters
from sweeps.search.ranged_space import space_of, within_ranges
from sweeps.search.space_probe import SpaceProbe
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.trials.record import TrialRecord
from trainables.config import split_path


def first_trials(
    spec: SweepSpec, fixed: Mapping[str, ParameterValue]
) -> list[dict[str, ParameterValue]]:
    """Return what a new study tries before the sampler: published values, then the spec's own.

    Args:
        spec: The sweep.
        fixed: Config fields that are no longer searched.

    Returns:
        Optuna parameters of each; nothing for a space without published values and ranges,
        because only those name the fields that it sets.
    """
    space = space_of(spec)
    published = space.first_trials(fixed)
    # A grid has every point once already, and begins with the published one.
    if not published or spec.search.sampler == "grid":
        return []
    resolved = spec.resolved()
    own = within_ranges(
        {path: _lookup(resolved, path) for path in space.paper}, spec.search.ranges
    )
    trials = published if spec.search.paper_first else []
    return [*trials, optuna_parameters({**own, **fixed})]


def own_values(spec: SweepSpec, space: SpaceProbe) -> dict[str, ParameterValue]:
    """Return what a spec itself says of the fields that its space searches.

    Args:
        spec: The sweep.
        space: What its space asks for.

    Returns:
        Values by the fields' dotted paths, of those fields that it has.
    """
    resolved = spec.resolved()
    found: dict[str, ParameterValue] = {}
    for path in dict.fromkeys(name.removeprefix(SWITCH_PREFIX) for name in space.names):
        with contextlib.suppress(LookupError, TypeError):
            found[path] = _lookup(resolved, path)
    return found


def published_trial(spec: SweepSpec, records: Iterable[TrialRecord]) -> int | None:
    """Find the trial that has the published values of the sweep's space.

    Args:
        spec: The sweep.
        records: Its trials.

    Returns:
        The number of the first such trial; None without any, or where the space is gone.
    """
    try:
        space = space_of(spec)
    except ConfigError:
        return None
    return next((r.number for r in records if space.is_published(r.parameters)), None)


def _lookup(values: Mapping[str, Any], path: str) -> ParameterValue:
    value: Any = values
    for key in split_path(path):
        value = value[key]
    found: ParameterValue = value
    return found
