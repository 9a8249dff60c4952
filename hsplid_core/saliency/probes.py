"""Linear probes: what the two feature spaces of a model know about the class.

H-SPLID (arXiv 2510.20627) reports the accuracy of a classifier on the non-salient space alone:
8.57% on ten classes, so nothing of the class is left there. Here a ridge regression on one-hot
labels in closed form (float64) is fitted to each space, on training images, and judged on others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hsplid_core.attacks import frozen
from hsplid_core.data.evaluation_batches import Images, choose_positions, read_batches
from hsplid_core.models import MaskedClassifier

_SMALLEST_SPREAD = 1e-8


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """How well each feature space tells the classes.

    Attributes:
        salient_accuracy: Of a probe on the features that the model's mask keeps.
        nonsalient_accuracy: Of a probe on the others; without any, of the commonest class.
        n_salient: Number of features that the mask keeps.
    """

    salient_accuracy: float
    nonsalient_accuracy: float
    n_salient: int


def linear_probe_accuracy(
    training: Tensor, training_target: Tensor, test: Tensor, target: Tensor, *, ridge: float
) -> float:
    """Fit a linear classifier to features, and judge it on others.

    Args:
        training: Features, [N, D]; D may be 0, then the commonest class is the answer.
        training_target: Their classes, int64, [N].
        test: Features, [M, D].
        target: Their classes, int64, [M].
        ridge: Weight decay relative to N, on features of unit variance.

    Returns:
        The accuracy on the test features, in [0, 1].
    """
    num_classes = int(torch.cat([training_target, target]).max()) + 1
    label = F.one_hot(training_target, num_classes).double()
    mean, bias = training.double().mean(0), label.mean(0)
    centred = training.double() - mean
    # A constant feature says nothing, and must not become a huge one.
    spread = centred.square().mean(0).sqrt().clamp_min(_SMALLEST_SPREAD)
    z = centred / spread
    gram = z.T @ z / len(z) + ridge * torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    weight = torch.linalg.solve(gram, z.T @ (label - bias) / len(z))
    answer = ((test.double() - mean) / spread @ weight + bias).argmax(1)
    return float((answer == target).double().mean())


def probe_spaces(
    model: MaskedClassifier,
    training: Images,
    validation: Images,
    *,
    batch_size: int,
    ridge: float,
    device: torch.device | str = "cpu",
    training_images: int | None = None,
    max_images: int | None = None,
) -> ProbeReport:
    """Probe the salient and the non-salient features of a model.

    Args:
        model: Its mask says which features are salient.
        training: Images that the probes are fitted on.
        validation: Images that they are judged on.
        batch_size: Images per forward pass; does not change the result.
        ridge: See `linear_probe_accuracy`.
        device: Where the model is.
        training_images: Most images to fit on, a fixed subset; None takes all.
        max_images: Most images to judge on, a fixed subset; None takes all.

    Returns:
        The accuracies and the sizes of the spaces.

    Raises:
        ConfigError: A number is out of range.
        DataError: There is no image.
    """
    fitted, fitted_target = _features(model, training, training_images, batch_size, device)
    judged, target = _features(model, validation, max_images, batch_size, device)
    salient = model.feature_mask > 0
    accuracies = [
        linear_probe_accuracy(
            fitted[:, space], fitted_target, judged[:, space], target, ridge=ridge
        )
        for space in (salient, ~salient)
    ]
    return ProbeReport(
        salient_accuracy=accuracies[0],
        nonsalient_accuracy=accuracies[1],
        n_salient=int(salient.sum()),
    )


def _features(
    model: MaskedClassifier,
    images: Images,
    max_images: int | None,
    batch_size: int,
    device: torch.device | str,
) -> tuple[Tensor, Tensor]:
    """Encode images: features [N, D] and classes [N]."""
    batches = read_batches(images, choose_positions(images, max_images), batch_size, device)
    with frozen(model), torch.no_grad():
        encoded = [(model.encode(batch.image), batch.target) for batch in batches]
    return torch.cat([z for z, _ in encoded]), torch.cat([target for _, target in encoded])
