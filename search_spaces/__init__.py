"""Optuna search spaces: one function of a trial for each method."""

from search_spaces._suggest import (
    SWITCH_PREFIX,
    ParameterValue,
    SearchSpace,
    log_or_off,
    optuna_parameters,
)
from search_spaces.table import SPACES

__all__ = [
    "SPACES",
    "SWITCH_PREFIX",
    "ParameterValue",
    "SearchSpace",
    "log_or_off",
    "optuna_parameters",
]
