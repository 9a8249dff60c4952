"""The space that relates margins to what was trained on: adversarial images, other frequencies.

Values of Ortiz-Jimenez et al., Hold me tight!, 2020 (arXiv 2002.06349).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from search_spaces.search_space import ParameterValue

if TYPE_CHECKING:
    import optuna

# The robust models of MNIST in the release's README; CIFAR-10 has 1, ImageNet 3.
PAPER: Mapping[str, ParameterValue] = {
    "method.adversarial.epsilon": 2.0,
    "data.transform": "none",
    "method.adversarial.projection": "clip",
}

_FLIP: Mapping[str, ParameterValue] = {
    "data.transform": "flip",
    "method.adversarial.projection": "dykstra",
}
# Standard training on filtered data, low-pass as they have it of CIFAR-10, and the flipped data's
# robust model. Standard training on plain data is what the sweep's own values say.
OTHERS: tuple[Mapping[str, ParameterValue], ...] = (
    {"method.adversarial.epsilon": 0.0, **_FLIP},
    {"method.adversarial.epsilon": 0.0, "data.transform": "lowpass"},
    _FLIP,
)


def suggest(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest the training epsilon and which frequencies the network sees.

    Args:
        trial: The trial that asks.

    Returns:
        Config fields by dotted path, each in every trial.
    """
    # The paper's three kinds of data.
    transform = trial.suggest_categorical("data.transform", ["none", "flip", "lowpass"])
    return {
        # In L2, pixel units, up to the paper's largest. Standard training, 0, is a point of the
        # range and no switch: a random half of the trials would be the same ones again.
        "method.adversarial.epsilon": trial.suggest_float("method.adversarial.epsilon", 0.0, 3.0),
        "data.transform": transform,
        # The README's "with Dykstra projection", of its flipped data alone.
        "method.adversarial.projection": "dykstra" if transform == "flip" else "clip",
    }
