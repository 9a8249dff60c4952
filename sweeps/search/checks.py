"""Checks of a whole sweep before a cluster is asked: its space, its sampler, its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hsplid_core.errors import ConfigError
from search_spaces import SWITCH_PREFIX, ParameterValue
from sweeps.search.samplers import check_sampler
from sweeps.spec.find_space import find_space
from sweeps.spec.loading import load_pretrain_spec, load_spec
from sweeps.spec.overrides import Override, fixed_parameters
from sweeps.spec.sweep_spec import SweepSpec

if TYPE_CHECKING:
    from sweeps.spec.sweep_spec import SweepSpec

_TRIES = 20


def check_space(spec: SweepSpec) -> tuple[str, ...]:
    """Try a space, so that a wrong name or range is told before a cluster starts.

    Args:
        spec: The sweep that searches the space.

    Returns:
        Names of the Optuna parameters that some random trials asked for, in their order.

    Raises:
        ConfigError: The space fails, sets a field that the sweep has not, or a value that the
            field refuses.
    """
    import optuna

    space, config = find_space(spec.search.space), spec.trial_config()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(spec.search.seed))
    optuna.logging.set_verbosity(verbosity)
    searched: dict[str, None] = {}
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
        searched |= dict.fromkeys(trial.params)
    _refuse_other_networks(spec, searched)
    order = list(values)
    return tuple(sorted(searched, key=lambda name: _rank(order, name)))


def _refuse_other_networks(spec: SweepSpec, searched: Mapping[str, None]) -> None:
    """Pretrained weights fit one network only, so a search may not change it."""
    changed = [name for name in searched if name.startswith("model.")]
    if spec.pretrain is not None and changed:
        raise ConfigError(
            f"search.space {spec.search.space} searches {', '.join(changed)}, but pretrain is "
            f"{spec.pretrain}: its weights fit one network; set pretrain=null"
        )


def _rank(order: Sequence[str], name: str) -> int:
    field = name.removeprefix(SWITCH_PREFIX)
    return order.index(field) if field in order else len(order)


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
