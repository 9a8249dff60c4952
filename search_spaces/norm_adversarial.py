"""The spaces of norm-regularised adversarial training (arXiv 2404.04647) and its CUB variant.

Epsilons are in units of normalised images, whose pixels have unit variance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from search_spaces.search_space import ParameterValue, log_or_off

if TYPE_CHECKING:
    import optuna

# Optimiser of both training scripts: Adam over 200 epochs.
_OPTIMISER: Mapping[str, ParameterValue] = {
    "training.learning_rate": 3e-4,
    "training.weight_decay": 1e-4,
}

# The authors' example for Imagenette.
PAPER: Mapping[str, ParameterValue] = {
    "method.norm_adversarial.mode": "elastic",
    "method.norm_adversarial.training": "fast",
    "method.norm_adversarial.epsilon": 0.01,
    "method.norm_adversarial.epsilon2": 0.05,
    **_OPTIMISER,
}

# The authors' example for CUB with human attention.
HUMAN_ATTENTION_PAPER: Mapping[str, ParameterValue] = {
    "method.human_attention.epsilon": 0.5,
    **_OPTIMISER,
}


def suggest(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest a norm, how often to step, how far, and the optimiser's settings.

    Args:
        trial: The trial that asks.

    Returns:
        Config fields by dotted path, each in every trial; the authors' where it has no effect.
    """
    return {**suggest_perturbation(trial), **_optimiser(trial)}


def suggest_perturbation(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest the perturbation alone, to go with another method's space.

    Args:
        trial: The trial that asks.
    """
    names = ("mode", "training", "epsilon", "epsilon2")
    values = {name: PAPER[name] for name in (f"method.norm_adversarial.{n}" for n in names)}
    # standard trains on clean images: the comparison that the others have to win.
    mode = trial.suggest_categorical(
        "method.norm_adversarial.mode", ["standard", "l1", "elastic", "group"]
    )
    values["method.norm_adversarial.mode"] = mode
    if mode == "standard":
        return values
    # Iterative takes seven forward and backward passes more where fast takes one.
    values["method.norm_adversarial.training"] = trial.suggest_categorical(
        "method.norm_adversarial.training", ["fast", "iterative"]
    )
    # Per value for l1 and elastic, where 0.01 is about 0.6 / 255 of the pixel range, and per patch
    # of 14 x 14 values for group, where 0.3 changes a value by 0.02. Three decades hold both.
    values["method.norm_adversarial.epsilon"] = trial.suggest_float(
        "method.norm_adversarial.epsilon", 1e-3, 1.0, log=True
    )
    if mode == "elastic":
        # Factor on the gradient itself, of whose size nothing is known beforehand: two decades
        # above and below the example.
        values["method.norm_adversarial.epsilon2"] = trial.suggest_float(
            "method.norm_adversarial.epsilon2", 5e-4, 5.0, log=True
        )
    return values


def suggest_human_attention(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest the strength of human attention, and the optimiser's settings.

    Args:
        trial: The trial that asks.

    Returns:
        Config fields by dotted path, each in every trial; 0 where it is off.
    """
    return {
        # L2 length over an image, whose own is about 390 at 224 pixels: at 10 a value changes by
        # 0.03 on average, which is more than three times the l1 example.
        "method.human_attention.epsilon": log_or_off(
            trial, "method.human_attention.epsilon", 0.02, 10.0
        ),
        **_optimiser(trial),
    }


def _optimiser(trial: optuna.Trial) -> dict[str, ParameterValue]:
    return {
        # A factor of 6 below and of 10 above the authors' value.
        "training.learning_rate": trial.suggest_float(
            "training.learning_rate", 5e-5, 3e-3, log=True
        ),
        "training.weight_decay": log_or_off(trial, "training.weight_decay", 1e-6, 1e-3),
    }
