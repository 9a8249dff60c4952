"""Adversarial training: every step on the images that PGD finds for the model as it is.

Source: Madry et al. 2018 (arXiv 1706.06083); in L2 as the robust models of Ortiz-Jimenez et al.,
Hold me tight!, 2020 (arXiv 2002.06349), have it: epsilon 2 on MNIST, 1 on CIFAR-10, 3 on ImageNet,
in pixel units. Symbols: x an image in [0, 1], g the gradient of its cross-entropy, s the step.

    x_{t+1} = P(x_t + s g / |g|),    P back into {|x' - x| <= epsilon} and [0, 1]

``clip`` shrinks a change that is too long and clips what leaves [0, 1], as is usual. ``dykstra``
takes the nearest point of the two sets instead. The paper needs it for frequency-flipped images,
whose box of valid pixels is a rotated one. Here a flip is the network's first layer
(``data.transform``) and an isometry, so that walking and projecting in pixel space is the same
walk: the same points, written in another basis.

The model is in eval mode while the images are sought, so batch statistics see each step's images
once; with the released code's networks the two modes differ only there.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hsplid_core.attacks import PGD, L2Ball, ModelQueries, frozen
from hsplid_core.config.methods import AdversarialConfig
from hsplid_core.data.batch import Batch
from hsplid_core.frequency.dykstra import project_onto_ball_and_box
from hsplid_core.methods.objective import Shape
from hsplid_core.models.masked import MaskedClassifier


class AdversarialImages:
    """Replaces a batch's images by attacked ones.

    Args:
        config: The attack.
    """

    def __init__(self, config: AdversarialConfig) -> None:
        self._attack = _attack(config)
        self._search = self._nearest if config.projection == "dykstra" else self._clipped

    def __call__(self, model: MaskedClassifier, batch: Batch) -> Batch:
        """Return the batch with attacked images, in [0, 1].

        Raises:
            DataError: Pixels lie outside [0, 1].
            TrainingDivergedError: The model's logits are NaN or infinite.
        """
        allowed = torch.ones_like(batch.image[:, :1], dtype=torch.bool)
        with frozen(model):
            return replace(batch, image=self._search(model, batch, allowed))

    def _clipped(self, model: MaskedClassifier, batch: Batch, allowed: Tensor) -> Tensor:
        # From the run's random state: other starts in each epoch, the same ones after a resume.
        seed = int(torch.randint(2**62, ()))
        return self._attack(
            model, batch.image, batch.target, allowed, seed=seed, index=batch.index
        )

    def _nearest(self, model: MaskedClassifier, batch: Batch, allowed: Tensor) -> Tensor:
        """Take PGD's steps with the nearest point after each."""
        epsilon, origin = self._attack.epsilon, batch.image
        ball = L2Ball(origin, allowed, epsilon)
        image = origin
        scorer = ModelQueries(model)
        if self._attack.random_start:
            away = epsilon * ball.direction(torch.randn_like(origin))
            image = project_onto_ball_and_box(origin + away, origin, epsilon)
        for _ in range(self._attack.steps):
            _, _, gradient = scorer.judge_with_gradient(image, batch.target)
            moved = image + self._attack.step * ball.direction(gradient)
            image = project_onto_ball_and_box(moved, origin, epsilon)
        scorer.verify()
        return image.clamp(0, 1)  # of what rounding leaves outside


def build(config: AdversarialConfig, shape: Shape) -> AdversarialImages | None:
    """Make the perturbation; None where epsilon is 0."""
    return AdversarialImages(config) if config.epsilon else None


def _attack(config: AdversarialConfig) -> PGD:
    """Return the attack's settings."""
    return PGD(
        epsilon=config.epsilon,
        norm=config.norm,
        steps=config.steps,
        relative_step=config.relative_step,
        random_start=config.random_start,
    )
