"""Probe of a search space: some random trials tell its names, ranges and faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution

from hsplid_core.errors import ConfigError
from search_spaces import SWITCH_PREFIX, ParameterValue
from sweeps.spec.find_space import find_space
from sweeps.spec.sweep_spec import SweepSpec

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


def probe_space(spec: SweepSpec) -> SpaceProbe:
    """Try a space, so that a wrong name or range is told before a cluster starts.

    Args:
        spec: The sweep that searches the space.

    Raises:
        ConfigError: The space fails, sets a field that the sweep has not, or a value that the
            field refuses; or it changes the network, though pretrained weights fit one only.
    """
    space, config = find_space(spec.search.space), spec.trial_config()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(spec.search.seed))
    optuna.logging.set_verbosity(verbosity)
    found: dict[str, BaseDistribution] = {}
    values: Mapping[str, ParameterValue] = {}
    for _ in range(_TRIES):
        trial = study.ask()
        try:
            values = space(trial)
            config.with_parameters(values)
        except ConfigError as error:
            raise ConfigError(f"search.space {spec.search.space}: {error}") from error
        except Exception as error:
            # A person's own function: whatever it raises is an answer for that person.
            text = f"{type(error).__name__}: {error}"
            raise ConfigError(f"search.space {spec.search.space} fails: {text}") from error
        found |= trial.distributions
    _refuse_other_networks(spec, found)
    order = list(values)
    return SpaceProbe({name: found[name] for name in sorted(found, key=lambda n: _rank(order, n))})


def _refuse_other_networks(spec: SweepSpec, searched: Mapping[str, BaseDistribution]) -> None:
    changed = [name for name in searched if name.startswith("model.")]
    if spec.pretrain is not None and changed:
        raise ConfigError(
            f"search.space {spec.search.space} searches {', '.join(changed)}, but pretrain is "
            f"{spec.pretrain}: its weights fit one network; set pretrain=null"
        )


def _rank(order: Sequence[str], name: str) -> int:
    field = name.removeprefix(SWITCH_PREFIX)
    return order.index(field) if field in order else len(order)
