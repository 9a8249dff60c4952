"""The space of HBaR (Wang et al. 2021), as H-SPLID trains it as a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from search_spaces import pretrain
from search_spaces.search_space import ParameterValue, log_or_off

if TYPE_CHECKING:
    import optuna

# H-SPLID's COCO and ISIC setting; on ImageNet lambda_x is 0.005 and lambda_y 0.05.
PAPER: Mapping[str, ParameterValue] = {
    "method.hbar.lambda_x": 0.001,
    "method.hbar.lambda_y": 0.1,
    "method.hbar.layer_decay": 0.0,
    "method.hbar.sigma": 5.0,
    **pretrain.PAPER,
}


def suggest(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest HBaR's weights, decay and kernel width, and the optimiser's settings.

    Args:
        trial: The trial that asks.

    Returns:
        Config fields by dotted path, each in every trial; 0 where a weight is off.
    """
    return {**suggest_method(trial), **pretrain.suggest(trial)}


def suggest_method(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest HBaR's own values alone, to go with another space.

    Args:
        trial: The trial that asks.
    """
    return {
        # Published values are 5e-4 (CIFAR-10), 1e-3 (COCO), 3e-3 (MNIST) and 5e-3 (ImageNet).
        # The HSIC of a wide layer with the image nears the batch size, so 0.1 is already more
        # than ten times the cross-entropy.
        "method.hbar.lambda_x": log_or_off(trial, "method.hbar.lambda_x", 1e-4, 0.1),
        # Published values are 1e-3 (MNIST), 5e-3 (CIFAR-10), 0.05 (ImageNet) and 0.1 (COCO); the
        # HSIC with labels is at most classes - 1.
        "method.hbar.lambda_y": log_or_off(trial, "method.hbar.lambda_y", 1e-3, 1.0),
        # Off (all layers alike) in the paper. Of six layers the first has 0.3^5, a 400th, of the
        # last one's weight at 0.3, and three quarters at 0.95.
        "method.hbar.layer_decay": log_or_off(trial, "method.hbar.layer_decay", 0.3, 0.95),
        # As for H-SPLID: below 1 images are all unlike, above 20 all alike.
        "method.hbar.sigma": trial.suggest_float("method.hbar.sigma", 1.0, 20.0, log=True),
    }
