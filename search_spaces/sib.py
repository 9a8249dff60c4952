"""The space of S-IB (arXiv 2511.09239): its two terms and the mask between them.

The authors publish one setting for all data sets and networks, and no range. The optimiser's
settings are in ``architectures``, beside the networks that they train.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from search_spaces.search_space import ParameterValue, log_or_off

if TYPE_CHECKING:
    import optuna

_MASK: Mapping[str, ParameterValue] = {
    "method.sib.window": 31,
    "method.sib.temperature": 0.1,
    "method.sib.slope": 10.0,
}

PAPER: Mapping[str, ParameterValue] = {
    "method.sib.lambda_fg": 0.01,
    "method.sib.lambda_bg": 1000.0,
    **_MASK,
    "method.sib.random_features": None,
}


def suggest(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest S-IB's weights and, where at least one is in use, its mask.

    Both weights can be off, so the space also says whether S-IB helps another method at all.

    Args:
        trial: The trial that asks.

    Returns:
        Config fields by dotted path, each in every trial; the authors' where it has no effect.
    """
    values = {**suggest_terms(trial), "method.sib.random_features": None}
    if values["method.sib.lambda_fg"]:
        # Without a projection the kernels are exact. The authors' example is 512, which at 224
        # pixels takes 300 MB and is no shortcut for batches below that size.
        values["method.sib.random_features"] = trial.suggest_categorical(
            "method.sib.random_features", [None, 512]
        )
    return values


def suggest_terms(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest the two weights and the mask alone, to go with another method's space.

    Args:
        trial: The trial that asks.
    """
    values = {**_weights(trial), **_MASK}
    if values["method.sib.lambda_fg"] or values["method.sib.lambda_bg"]:
        values |= _mask(trial)
    return values


def _weights(trial: optuna.Trial) -> dict[str, ParameterValue]:
    return {
        # The rewarded HSIC is at most about 1, so at 1 it weighs as much as the cross-entropy; a
        # decade below the authors' value it will hardly be noticed.
        "method.sib.lambda_fg": log_or_off(trial, "method.sib.lambda_fg", 1e-3, 1.0),
        # The variance is 1e-9 to 1e-7 in small untrained networks, where the authors' 1,000 does
        # next to nothing: leave room for a million, which brings the term near 0.1.
        "method.sib.lambda_bg": log_or_off(trial, "method.sib.lambda_bg", 10.0, 1e6),
    }


def _mask(trial: optuna.Trial) -> dict[str, ParameterValue]:
    return {
        # From a detail to a quarter of a 224 pixel image; odd, and the authors' 31 is among them.
        "method.sib.window": trial.suggest_int("method.sib.window", 7, 59, step=4),
        # In ranks: at 0.1 a quantile is a single pixel, and less changes nothing. A 224 pixel
        # image has 50,176 ranks, so only hundreds make it an average worth the name.
        "method.sib.temperature": trial.suggest_float(
            "method.sib.temperature", 0.1, 300.0, log=True
        ),
        # At 10 masks lie between 0.1 and 0.6; at 100 they are almost binary.
        "method.sib.slope": trial.suggest_float("method.sib.slope", 2.0, 100.0, log=True),
    }
