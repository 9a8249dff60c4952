"""Warm start: the fronts of earlier sweeps, which a new one tries first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hsplid_core.errors import ConfigError
from search_spaces import SWITCH_PREFIX, ParameterValue, optuna_parameters
from sweeps.search.space_probe import SpaceProbe
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.study.steered import refusal
from sweeps.study.stored_sweep import open_sweep


def warm_trials(
    spec: SweepSpec, fixed: Mapping[str, ParameterValue], space: SpaceProbe
) -> tuple[list[dict[str, ParameterValue]], list[str]]:
    """Find what a new sweep tries first of what earlier ones found best.

    Args:
        spec: The new sweep.
        fixed: Config fields that it does not search.
        space: What its space asks for.

    Returns:
        Optuna's parameters of each trial; and lines on how many fitted, and why others did not.

    Raises:
        ConfigError: There is no such sweep, or it has no trial yet.
    """
    trials: list[dict[str, ParameterValue]] = []
    lines: list[str] = []
    searched = {n for n in space.names if not n.startswith(SWITCH_PREFIX)} - fixed.keys()
    for name in spec.search.warm_start:
        try:
            front = [
                record for record in open_sweep(name, spec.storage).records if record.on_front
            ]
        except ConfigError as error:
            raise ConfigError(f"search.warm_start is {name}: {error}") from error
        reasons: dict[str, int] = {}
        before = len(trials)
        for record in front:
            values = {path: v for path, v in record.parameters.items() if path in searched}
            why = next(_misfits(values, searched, space), None)
            if why is None:
                trials.append(optuna_parameters(values))
            else:
                reasons[why] = reasons.get(why, 0) + 1
        told = "".join(f"; {count} not, for {why}" for why, count in reasons.items())
        lines.append(f"{len(trials) - before} of {len(front)} trials on the front of {name}{told}")
    return trials, lines


def _misfits(
    values: Mapping[str, ParameterValue], searched: set[str], space: SpaceProbe
) -> Iterator[str]:
    """Say why a trial is no point of a space; what it lacks of it the sampler draws."""
    if not values:
        yield f"it has none of {', '.join(sorted(searched))}"
    for path, value in values.items():
        if (told := refusal(path, value, space)) is not None:
            yield told
