"""Search spaces: the form that all have, and weights that may be off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna

ParameterValue = float | int | str | bool | None

# Before a config field's name: the Optuna parameter that says whether the field is in use at all.
SWITCH_PREFIX = "use/"

_NO_VALUES: Mapping[str, ParameterValue] = MappingProxyType({})


def log_or_off(trial: optuna.Trial, name: str, low: float, high: float) -> float:
    """Suggest a weight on a logarithmic scale, or exactly zero.

    A logarithmic range cannot hold 0, and a tiny weight is no substitute: it still costs its
    computation and hides whether the term was needed. So a switch of its own decides, which
    leaves the sampler a clean comparison of with and without.

    Args:
        trial: The trial that asks.
        name: Dotted path of the config field.
        low: Smallest weight in use, above 0.
        high: Largest weight.
    """
    if trial.suggest_categorical(SWITCH_PREFIX + name, [True, False]):
        return trial.suggest_float(name, low, high, log=True)
    return 0.0


def optuna_parameters(values: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
    """Translate values of config fields into Optuna parameters, to enqueue or to fix a trial.

    A number may belong to a switched field: then zero turns the switch off and anything else
    turns it on. Optuna ignores parameters that a space never asks for, so the switch of a field
    that has none does no harm.

    Args:
        values: Config fields by dotted path, for instance ``{"method.hsplid.rho_s": 0.5}``.
    """
    switches: dict[str, ParameterValue] = {
        SWITCH_PREFIX + name: value != 0
        for name, value in values.items()
        if isinstance(value, float | int) and not isinstance(value, bool)
    }
    return {**switches, **values}


@dataclass(frozen=True)
class SearchSpace:
    """A space: how to suggest a trial, and the published values that the first trial takes.

    Attributes:
        suggest: Asks a trial for its parameters; returns config fields by dotted path.
        paper: The published values, complete; empty where there are none.
        others: What further published settings change of these, such as another method or network
            of the same comparison; they are tried next.
        has_published: Whether the space reaches the published values. Else ``paper`` are the
            nearest that it does reach: tried first all the same, and called nobody's.
    """

    suggest: Callable[[optuna.Trial], dict[str, ParameterValue]]
    paper: Mapping[str, ParameterValue] = field(default_factory=lambda: _NO_VALUES)
    others: Sequence[Mapping[str, ParameterValue]] = ()
    has_published: bool = True

    def __call__(self, trial: optuna.Trial) -> dict[str, ParameterValue]:
        """Suggest one trial's config fields."""
        return self.suggest(trial)

    def is_published(self, parameters: Mapping[str, ParameterValue]) -> bool:
        """Tell whether a trial has the published values.

        Args:
            parameters: The trial's config fields by dotted path.
        """
        return self.has_published and bool(self.paper) and self.paper.items() <= parameters.items()

    def first_trial(
        self, fixed: Mapping[str, ParameterValue] = _NO_VALUES
    ) -> dict[str, ParameterValue]:
        """Return the Optuna parameters of the first trial: the paper's, except what is fixed."""
        return optuna_parameters({**self.paper, **fixed}) if self.paper else {}

    def first_trials(
        self, fixed: Mapping[str, ParameterValue] = _NO_VALUES
    ) -> list[dict[str, ParameterValue]]:
        """Return the Optuna parameters of all published settings, except what is fixed.

        A setting whose choice (a text) is another than the fixed one is left out.
        """
        if not self.paper:
            return []
        others = [
            other
            for other in self.others
            if all(fixed.get(path, v) == v for path, v in other.items() if isinstance(v, str))
        ]
        return [
            self.first_trial(fixed),
            *(optuna_parameters({**self.paper, **other, **fixed}) for other in others),
        ]
