"""Optuna search spaces: one function of a trial for each method."""

from search_spaces.registry import SPACES
from search_spaces.search_space import (
    SWITCH_PREFIX,
    ParameterValue,
    SearchSpace,
    log_or_off,
    optuna_parameters,
)

__all__ = [
    "SPACES",
    "SWITCH_PREFIX",
    "ParameterValue",
    "SearchSpace",
    "log_or_off",
    "optuna_parameters",
]
