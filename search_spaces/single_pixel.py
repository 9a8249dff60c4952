"""The spaces of the single-pixel benchmark: which pixel is planted, and which network looks at it.

Source: Yasin, Hare and Marcu, "Is Saliency Really Captured by Sensitivity?". Nothing here is to be
made better: every combination is a model to be analysed, so the sampler is a grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from search_spaces.search_space import ParameterValue

if TYPE_CHECKING:
    import optuna

# The networks of the released script that are trained from scratch at 32 pixels.
NETWORKS = ("resnet18_3x3", "vgg16")
# The standard deviations of the released analysis's test images, in pixels and in 1/255.
POSITION_SDS = (0.0, 1.0, 3.0)
COLOUR_SDS = (0.0, 3.0, 5.0)
# Of the pixel's places and colours, and of the network's weights: three of each show the spread.
SEEDS = (0, 1, 2)

# The example in the release's README.
PAPER: Mapping[str, ParameterValue] = {
    "model.name": NETWORKS[0],
    "data.pixel.position_sd": 0.0,
    "data.pixel.colour_sd": 0.0,
    "data.pixel.seed": 0,
    "seed": 0,
}

# Malhotra and Bowers's data set in the release: its script's default network and deviations.
MALHOTRA_PAPER: Mapping[str, ParameterValue] = {
    "data.pixel.position_sd": 1.0,
    "data.pixel.colour_sd": 1.0,
    "data.pixel.seed": 0,
    "seed": 0,
}


def suggest(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest a network, the jitter of the pixel, and the seeds.

    Args:
        trial: The trial that asks.

    Returns:
        Config fields by dotted path, each in every trial.
    """
    return {
        "model.name": trial.suggest_categorical("model.name", list(NETWORKS)),
        "data.pixel.position_sd": trial.suggest_categorical(
            "data.pixel.position_sd", list(POSITION_SDS)
        ),
        "data.pixel.colour_sd": trial.suggest_categorical(
            "data.pixel.colour_sd", list(COLOUR_SDS)
        ),
        **_seeds(trial),
    }


def suggest_malhotra(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest the jitter of a pixel in enlarged images, and the seeds; the network is the spec's.

    Args:
        trial: The trial that asks.

    Returns:
        Config fields by dotted path, each in every trial.
    """
    return {
        "data.pixel.position_sd": trial.suggest_categorical("data.pixel.position_sd", [0.0, 1.0]),
        "data.pixel.colour_sd": trial.suggest_categorical("data.pixel.colour_sd", [0.0, 1.0]),
        **_seeds(trial),
    }


def _seeds(trial: optuna.Trial) -> dict[str, ParameterValue]:
    return {
        "data.pixel.seed": trial.suggest_categorical("data.pixel.seed", list(SEEDS)),
        "seed": trial.suggest_categorical("seed", list(SEEDS)),
    }
