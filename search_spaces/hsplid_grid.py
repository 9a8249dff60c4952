"""The grid that H-SPLID's authors went through on COCO (arXiv 2510.20627, appendix on tuning)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces.search_space import ParameterValue, SearchSpace

if TYPE_CHECKING:
    import optuna

GRID: dict[str, tuple[float, ...]] = {
    "method.hsplid.lambda_s": (0.0, 0.1, 0.5, 1.0),
    "method.hsplid.lambda_n": (0.0, 0.05, 0.1, 1.0),
    "method.hsplid.rho_s": (0.0, 0.1, 0.15, 0.5),
    "method.hsplid.rho_n": (0.0, 0.05, 0.1, 0.15, 0.2, 0.3),
}


def suggest(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest a point of the grid of 384; everything else stays as the spec has it.

    Args:
        trial: The trial that asks.

    Returns:
        Config fields by dotted path, each in every trial.
    """
    return {path: trial.suggest_categorical(path, values) for path, values in GRID.items()}


# The point next to their best values (Table 9), whose lambda_n = 0.2 is no point of the grid.
NEAREST_TO_BEST: dict[str, ParameterValue] = {
    "method.hsplid.lambda_s": 0.1,
    "method.hsplid.lambda_n": 0.1,
    "method.hsplid.rho_s": 0.5,
    "method.hsplid.rho_n": 0.05,
}

COCO = SearchSpace(suggest, NEAREST_TO_BEST, has_published=False)
