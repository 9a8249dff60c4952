"""Asking a model about images: its logits, its loss, and the gradient of the loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hsplid_core.attacks.attack import Model
from hsplid_core.errors import DataError, TrainingDivergedError


class Scorer:
    """Evaluates a model and remembers whether all its logits were numbers.

    The memory is a tensor on the model's device, read once in `verify`: reading it at every step
    would make the host wait for the device each time.

    Attributes:
        model: Images to logits.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._total: Tensor | None = None

    def logits(self, image: Tensor) -> Tensor:
        """Classify images [B, C, H, W].

        Returns:
            Logits, float32 or float64, [B, K]; half precision is widened, for a loss taken in
            it would round to ties.

        Raises:
            DataError: The model's output is not [B, K].
        """
        logits = self.model(image)
        if logits.ndim != 2 or logits.shape[0] != image.shape[0]:
            raise DataError(
                f"a model gave {list(logits.shape)} for {image.shape[0]} images: "
                "it must return logits of shape [B, K]"
            )
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        total = logits.detach().sum()
        self._total = total if self._total is None else self._total + total
        return logits

    def judge(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Score images without a graph.

        Returns:
            Whether each is misclassified, bool, [B], and its cross-entropy, [B].
        """
        with torch.no_grad():
            return _score(self.logits(image), target)

    def judge_with_gradient(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score images and differentiate their cross-entropy.

        Args:
            image: Pixels, [B, C, H, W].
            target: Class indices, int64, [B].

        Returns:
            What `judge` returns, and the gradient of each image's own loss, [B, C, H, W].

        Raises:
            DataError: The model's output is not [B, K], or no gradient leads through it.
        """
        with torch.enable_grad():
            leaf = image.detach().requires_grad_()  # no copy
            fooled, loss = _score(self.logits(leaf), target)
            if not loss.requires_grad:
                raise DataError(
                    "no gradient leads from the model's logits to its images: "
                    "the model must be torch operations, with no detach or no_grad around them"
                )
            # The sum, not the mean: an image's gradient must not shrink with the batch around it.
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return fooled, loss.detach(), gradient

    def verify(self) -> None:
        """Check the logits of all calls so far.

        Raises:
            TrainingDivergedError: One of them was NaN or infinite.
        """
        if self._total is not None and not torch.isfinite(self._total):
            raise TrainingDivergedError(
                "the model's logits are NaN or infinite: its robustness cannot be measured; "
                "lower the learning rate or the weights of the loss"
            )


def _score(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return logits.detach().argmax(1) != target, F.cross_entropy(logits, target, reduction="none")
