"""The space that relates margins to what was trained on: adversarial images, other frequencies.

Values of Ortiz-Jimenez et al., Hold me tight!, 2020 (arXiv 2002.06349).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from search_spaces._suggest import ParameterValue, log_or_off

if TYPE_CHECKING:
    import optuna

# Their robust models of CIFAR-10; MNIST has 2, ImageNet 3.
PAPER: Mapping[str, ParameterValue] = {
    "method.adversarial.epsilon": 1.0,
    "data.transform": "none",
}

# Standard training on each kind of data, and the flipped data's robust model.
OTHERS: tuple[Mapping[str, ParameterValue], ...] = (
    {"method.adversarial.epsilon": 0.0},
    {"method.adversarial.epsilon": 0.0, "data.transform": "flip"},
    {"method.adversarial.epsilon": 0.0, "data.transform": "lowpass"},
    {"data.transform": "flip"},
)


def suggest(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest the training epsilon and which frequencies the network sees.

    Args:
        trial: The trial that asks.

    Returns:
        Config fields by dotted path, each in every trial.
    """
    return {
        # In L2, pixel units. Off is the standard training that all margins are compared with;
        # 0.1 is a tenth of the paper's smallest, 3 its largest.
        "method.adversarial.epsilon": log_or_off(trial, "method.adversarial.epsilon", 0.1, 3.0),
        # The paper's three kinds of data.
        "data.transform": trial.suggest_categorical("data.transform", ["none", "flip", "lowpass"]),
    }
