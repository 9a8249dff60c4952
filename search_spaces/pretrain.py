"""The space of the cross-entropy training that comes before a method."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from search_spaces.search_space import ParameterValue, SearchSpace, log_or_off

if TYPE_CHECKING:
    import optuna

# H-SPLID's cross-entropy stage on COCO (Table 9).
PAPER: Mapping[str, ParameterValue] = {
    "training.learning_rate": 5e-4,
    "training.weight_decay": 0.0,
}


# The same on ISIC2017, from published weights.
ISIC_PAPER: Mapping[str, ParameterValue] = {**PAPER, "training.learning_rate": 5e-5}

# Ten times below and above the paper's; without normalisation layers a network from scratch
# rarely survives more.
_COCO_RATES = (5e-5, 5e-3)
_ISIC_RATES = (5e-6, 5e-4)


def suggest(
    trial: optuna.Trial, learning_rates: tuple[float, float] = _COCO_RATES
) -> dict[str, ParameterValue]:
    """Suggest the optimiser's settings.

    Args:
        trial: The trial that asks.
        learning_rates: Smallest and largest one.

    Returns:
        Config fields by dotted path, each in every trial.
    """
    return {
        "training.learning_rate": trial.suggest_float(
            "training.learning_rate", *learning_rates, log=True
        ),
        # Off in the paper, whose weight-decay baseline loses clean accuracy: gentle values only.
        "training.weight_decay": log_or_off(trial, "training.weight_decay", 1e-6, 1e-3),
    }


COCO = SearchSpace(suggest, PAPER)
# How the paper trains this on C-MNIST is given nowhere.
CMNIST = SearchSpace(suggest, PAPER, has_published=False)
ISIC = SearchSpace(partial(suggest, learning_rates=_ISIC_RATES), ISIC_PAPER)
