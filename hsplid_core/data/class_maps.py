"""Maps of classes: what a prediction counts as on a data set that was not trained on.

Models trained on ImageNet are judged on ImageNet-9 and CounterAnimal. A prediction outside the
data set's classes is wrong whatever the image shows, as in the benchmarks' own programs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hsplid_core.data.readers.imagenet_classes import NINE, groups_of_nine
from hsplid_core.errors import ConfigError


def counts_as(model_classes: Sequence[str], data_classes: Sequence[str]) -> Tensor:
    """Map a model's classes to a data set's.

    A class counts as the one of the same name; on ImageNet-9, as the group that its WordNet id
    belongs to.

    Args:
        model_classes: Names of the classes that the model tells apart, K of them.
        data_classes: Names of the data set's classes.

    Returns:
        For each of the model's classes the data set's label, -1 where it has none, int64, [K].
        `counts_as(...)[logits.argmax(dim=1)]` compares with the data set's targets.

    Raises:
        ConfigError: No class of the model is one of the data set's.
    """
    labels = {name: label for label, name in enumerate(data_classes)}
    groups = groups_of_nine() if tuple(data_classes) == NINE else {}
    mapped = [labels.get(groups.get(name, name), -1) for name in model_classes]
    if max(mapped, default=-1) < 0:
        raise ConfigError(
            f"the model's classes ({', '.join(model_classes[:3])}, ...) must have some in common "
            f"with the data set's ({', '.join(data_classes[:3])}, ...): train it on the data set "
            "itself, or on ImageNet where that is what its classes come from"
        )
    return torch.tensor(mapped)
