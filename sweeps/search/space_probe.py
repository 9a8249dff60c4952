"""Probe of a search space: some random trials tell its names, ranges and faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from pydantic import TypeAdapter, ValidationError

from hsplid_core.errors import ConfigError
from search_spaces import SWITCH_PREFIX, ParameterValue
from sweeps.search.ranged_space import described, space_of
from sweeps.spec.allowed_values import describe, kind_at
from sweeps.spec.metric_names import check_metrics
from sweeps.spec.name_checks import check_names
from sweeps.spec.sweep_spec import SweepSpec
from trainables.config import TrialConfig, split_path

_TRIES = 20


@dataclass(frozen=True)
class SpaceProbe:
    """What some random trials asked a space for.

    Attributes:
        distributions: Where each of Optuna's parameters comes from, by name, in the order of the
            space's own fields.
    """

    distributions: Mapping[str, BaseDistribution]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of Optuna's parameters."""
        return tuple(self.distributions)


def probe_space(
    spec: SweepSpec, fixed: Mapping[str, ParameterValue] = MappingProxyType({})
) -> SpaceProbe:
    """Try a space, so that a wrong name or range is told before a cluster starts.

    Args:
        spec: The sweep that searches the space.
        fixed: Parameters that an override holds at a value.

    Raises:
        ConfigError: The space fails, sets a field that the sweep has not, or a value that the
            field refuses; a trial of it would lack a metric that the sweep names; or it changes
            the network, though pretrained weights fit one only.
    """
    space, config = space_of(spec), spec.trial_config()
    study = _random_study(spec)
    found: dict[str, BaseDistribution] = {}
    values: Mapping[str, ParameterValue] = {}
    for _ in range(_TRIES):
        trial = study.ask()
        try:
            values = space(trial)
            _check_types(values)
            _check_trial(spec, config.with_parameters({**values, **fixed}))
        except ConfigError as error:
            raise ConfigError(f"{described(spec)}: {error}") from error
        except (Exception, SystemExit) as error:
            # A person's own function: whatever it raises is an answer for that person.
            text = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{described(spec)} fails: {text}") from error
        found |= trial.distributions
    _refuse_other_networks(spec, found)
    if "seed" in values and spec.search.replicates.most > 1:
        raise ConfigError(
            f"{described(spec)} searches seed, and search.replicates gives each trial "
            f"{spec.search.replicates.most} of them: leave one of the two out"
        )
    order = list(values)
    return SpaceProbe({name: found[name] for name in sorted(found, key=lambda n: _rank(order, n))})


def random_trials(
    spec: SweepSpec, fixed: Mapping[str, ParameterValue], count: int
) -> Iterator[TrialConfig]:
    """Draw trials of a space that was probed.

    Args:
        spec: The sweep that searches the space.
        fixed: Parameters that an override holds at a value.
        count: How many.
    """
    space, config = space_of(spec), spec.trial_config()
    study = _random_study(spec)
    for _ in range(count):
        values = space(study.ask())
        with suppress(ConfigError):  # rare, or the probe had met it; such a trial fails
            yield config.with_parameters({**values, **fixed})


def _random_study(spec: SweepSpec) -> optuna.Study:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(spec.search.seed))
    optuna.logging.set_verbosity(verbosity)
    return study


def _check_types(values: Mapping[str, ParameterValue]) -> None:
    """Refuse values of which a field is never made, as a word that it does not know."""
    for path, value in values.items():
        kind: Any = kind_at(split_path(path))
        if kind is None:
            continue  # no field, or of a class from outside: the configuration tells
        try:
            TypeAdapter(kind).validate_python(value)
        except ValidationError:
            raise ConfigError(f"parameter {path} is {value!r}: use {describe(kind)}") from None


def _check_trial(spec: SweepSpec, config: TrialConfig) -> None:
    """Refuse unknown names, and a recipe that does not measure what the sweep names."""
    check_names(config.data, config.model, config.training, config.evaluation)
    if config.recipe is None:
        return
    try:
        check_metrics(spec.named_metrics, list(config.methods), spec.data, spec.evaluation)
    except ConfigError as error:
        raise ConfigError(f"with the recipe {config.recipe}, {error}") from error


def _refuse_other_networks(spec: SweepSpec, searched: Mapping[str, BaseDistribution]) -> None:
    changed = [name for name in searched if name.startswith("model.")]
    if spec.pretrain is not None and changed:
        raise ConfigError(
            f"{described(spec)} searches {', '.join(changed)}, but pretrain is "
            f"{spec.pretrain}: its weights fit one network; set pretrain=null"
        )


def _rank(order: Sequence[str], name: str) -> int:
    field = name.removeprefix(SWITCH_PREFIX)
    return order.index(field) if field in order else len(order)
