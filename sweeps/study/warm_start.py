"""Warm start: what a new sweep takes over from earlier ones.

It tries their fronts first, and its sampler learns from all of their complete trials that are
points of its search. These are no trials of the new sweep: no budget and no front counts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

import optuna
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from hsplid_core.errors import ConfigError
from search_spaces import SWITCH_PREFIX, ParameterValue, optuna_parameters
from sweeps.search.first_trials import own_values
from sweeps.search.ranged_space import space_of
from sweeps.search.samplers import LEARN_FROM_OTHERS
from sweeps.search.space_probe import SpaceProbe
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.study.steered import refusal
from sweeps.study.stored_sweep import StoredSweep, open_sweep
from sweeps.trials.attributes import FAILURE
from sweeps.trials.outcome import judged
from sweeps.trials.record import TrialRecord
from trainables.config import split_path


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """What a sweep takes over.

    Attributes:
        first: Optuna's parameters of what it tries first.
        taught: Trials that its sampler learns from.
        lines: How many fitted, and why others did not, for people.
    """

    first: list[dict[str, ParameterValue]] = field(default_factory=list)
    taught: list[FrozenTrial] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def warm_start(
    spec: SweepSpec, fixed: Mapping[str, ParameterValue], space: SpaceProbe
) -> WarmStart:
    """Find what a sweep takes over from the earlier ones that its spec names.

    Args:
        spec: The sweep.
        fixed: Config fields that it does not search.
        space: What its space asks for.

    Raises:
        ConfigError: There is no such sweep, or it has no trial yet.
    """
    found = WarmStart()
    for name in spec.search.warm_start:
        try:
            sweep = open_sweep(name, spec.storage)
        except ConfigError as error:
            raise ConfigError(f"search.warm_start is {name}: {error}") from error
        points = _Points(spec, fixed, space, sweep)
        front = [record for record in sweep.records if record.on_front]
        first = [points.to_try(record) for record in front]
        found.first.extend(each for each in first if not isinstance(each, str))
        found.lines.append(f"{_told(first)} on the front of {name} come first{_reasons(first)}")
        if spec.search.sampler not in LEARN_FROM_OTHERS:
            continue
        complete = [record for record in sweep.records if record.state == "complete"]
        taught = [points.to_learn_from(record) for record in complete]
        found.taught.extend(each for each in taught if not isinstance(each, str))
        found.lines.append(f"{_told(taught)} of {name} teach the sampler{_reasons(taught)}")
    if spec.search.sampler not in LEARN_FROM_OTHERS:
        learning = " and ".join(LEARN_FROM_OTHERS)
        found.lines.append(
            f"the sampler {spec.search.sampler} learns from the sweep's own trials alone; "
            f"{learning} learn from others, too"
        )
    return found


def _told(points: list[FrozenTrial | str] | list[dict[str, ParameterValue] | str]) -> str:
    return f"{sum(not isinstance(each, str) for each in points)} of {len(points)} trials"


def _reasons(points: list[FrozenTrial | str] | list[dict[str, ParameterValue] | str]) -> str:
    reasons = Counter(each for each in points if isinstance(each, str))
    return "".join(f"; {count} not, for {why}" for why, count in reasons.items())


class _Points:
    """The trials of an earlier sweep as points of a new one's search.

    Args:
        spec: The new sweep.
        fixed: Config fields that it does not search.
        space: What its space asks for.
        earlier: The earlier sweep.
    """

    def __init__(
        self,
        spec: SweepSpec,
        fixed: Mapping[str, ParameterValue],
        space: SpaceProbe,
        earlier: StoredSweep,
    ) -> None:
        self._spec = spec
        self._fixed = fixed
        self._space = space
        names = {name for name in space.names if not name.startswith(SWITCH_PREFIX)}
        self._searched = names - fixed.keys()
        # What the earlier sweep did not search had its own value.
        self._own = {} if earlier.info is None else own_values(earlier.info.spec, space)
        self._resolved = spec.resolved()

    def to_try(self, record: TrialRecord) -> dict[str, ParameterValue] | str:
        """Return Optuna's parameters of a trial; what it lacks the sampler draws.

        Returns:
            A text says why it is no point of the search.
        """
        values = {p: v for p, v in record.parameters.items() if p in self._searched}
        why = next(self._refused(values), None)
        return optuna_parameters(values) if why is None else why

    def to_learn_from(self, record: TrialRecord) -> FrozenTrial | str:
        """Return a trial as the sampler may learn from it.

        Returns:
            A text says why it may not: it is no point of the search, or something else was
            different, so that its values are not those of the point.
        """
        known = {**self._own, **record.parameters}
        values = {p: known[p] for p in self._searched if p in known}
        why = next(self._refused(values), None) or next(self._different(record), None)
        if why is not None:
            return why
        # The space itself says which parameters the point has.
        point = FixedTrial(optuna_parameters({**values, **self._fixed}))
        try:
            space_of(self._spec)(cast(optuna.Trial, point))  # it answers as one
        except ValueError:
            missing = ", ".join(sorted(self._searched - values.keys()))
            return f"it has no {missing}"
        objectives = [objective.metric for objective in self._spec.objectives]
        outcome = judged(record.metrics, {}, objectives, self._spec.search.constraints)
        if outcome.state != TrialState.COMPLETE:
            return str(outcome.attributes[FAILURE])
        return create_trial(
            params=point.params,
            distributions=point.distributions,
            values=outcome.values,
            constraints=dict(outcome.constraints),
        )

    def _refused(self, values: Mapping[str, ParameterValue]) -> Iterator[str]:
        """Say why values are outside of the search."""
        if not values:
            yield f"it has none of {', '.join(sorted(self._searched))}"
        for path, value in values.items():
            if (told := refusal(path, value, self._space)) is not None:
                yield told

    def _different(self, record: TrialRecord) -> Iterator[str]:
        """Say what a trial had otherwise that the new sweep does not search."""
        for path, value in record.parameters.items():
            if path not in self._searched and (here := self._here(path)) != value:
                yield f"{path} is {value} there and {here} here"

    def _here(self, path: str) -> object:
        node: object = self._resolved
        for key in split_path(path):
            node = node.get(key) if isinstance(node, Mapping) else None
        return node
