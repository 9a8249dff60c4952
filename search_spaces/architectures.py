"""S-IB on the four networks of its experiments: the network is a choice, S-IB's values are shared.

The optimiser's values are those of the authors' script for Stanford Dogs (AdamW on a ResNet-50
from scratch), the only one whose settings are stored with its code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from search_spaces import sib
from search_spaces.search_space import ParameterValue, log_or_off

if TYPE_CHECKING:
    import optuna

NETWORKS = ("resnet18", "resnet50", "vgg16", "densenet121")

PAPER: Mapping[str, ParameterValue] = {
    "model.name": NETWORKS[0],
    **sib.PAPER,
    "training.learning_rate": 1e-4,
    "training.weight_decay": 1e-4,
}

OTHERS: tuple[Mapping[str, ParameterValue], ...] = tuple(
    {"model.name": name} for name in NETWORKS[1:]
)


def suggest(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest a network, S-IB's values, and the optimiser's settings.

    Args:
        trial: The trial that asks.

    Returns:
        Config fields by dotted path, each in every trial.
    """
    return {
        "model.name": trial.suggest_categorical("model.name", list(NETWORKS)),
        **sib.suggest(trial),
        # A decade below the authors' value, and one and a half above, where a VGG without
        # normalisation layers stops training.
        "training.learning_rate": trial.suggest_float(
            "training.learning_rate", 1e-5, 3e-3, log=True
        ),
        "training.weight_decay": log_or_off(trial, "training.weight_decay", 1e-6, 1e-2),
    }
