"""Judging a model on a data set with other classes than those it was trained on.

Of a model of ImageNet's 1,000 classes, ImageNet-9 asks for one of nine groups of them. Its logits
become one for each of the data set's labels, the largest of the classes that count as it, and a
last one for all classes that count as none. The largest of these is the largest of all, so the
accuracy is that of the mapped prediction, and attacks have a gradient to climb.

Reference: Xiao et al. 2020, Noise or Signal: The Role of Image Backgrounds in Object Recognition
(arXiv 2006.09994), section 2, for the nine groups.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hsplid_core.data.class_maps import counts_as


class RelabelledModel(nn.Module):
    """A classifier that answers with another data set's labels.

    Args:
        model: Images [B, C, H, W] to logits [B, K].
        labels: For each class of the model the label that it counts as, -1 for none, int64, [K].
        n_labels: Number L of the data set's labels.
    """

    labels: Tensor

    def __init__(self, model: nn.Module, labels: Tensor, n_labels: int) -> None:
        super().__init__()
        self.model = model
        self.n_labels = n_labels
        self.register_buffer("labels", labels.where(labels >= 0, n_labels))

    def forward(self, image: Tensor) -> Tensor:
        """Classify images [B, C, H, W]; logits [B, L + 1], the last for none of the labels."""
        logits: Tensor = self.model(image)
        # A label that no class counts as is never answered; the smallest logit keeps it finite.
        floor = logits.detach().amin(1, keepdim=True).expand(-1, self.n_labels + 1)
        places = self.labels.expand(len(logits), -1)
        return floor.scatter_reduce(1, places, logits, "amax", include_self=True)


def judged_on(
    model: nn.Module, model_classes: Sequence[str], data_classes: Sequence[str]
) -> nn.Module:
    """Make a model answer with a data set's labels.

    Args:
        model: Images to logits.
        model_classes: Names of its classes, in the order of its logits.
        data_classes: Names of the data set's classes, in the order of its labels.

    Returns:
        The model itself where the classes are the same, else a `RelabelledModel`.

    Raises:
        ConfigError: No class of the model is one of the data set's.
    """
    if tuple(model_classes) == tuple(data_classes):
        return model
    labels = counts_as(model_classes, data_classes).to(next(model.parameters()).device)
    return RelabelledModel(model, labels, len(data_classes)).train(model.training)
