"""AutoAttack: a fixed team of attacks, each on what the ones before left standing.

`standard` is APGD on the cross-entropy, targeted APGD on the DLR loss, FAB-T and Square; `rand`,
for models with random outputs, is APGD on cross-entropy and on DLR with averaged gradients.

Where a model has too few classes for a DLR loss (two, or three for the targeted one), the next
weaker loss that is defined stands in; with two classes every loss here orders images alike, so
the cross-entropy alone does.

Reference: Croce and Hein 2020 (arXiv 2003.01690), section 6 and, for `rand`, the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from hsplid_core.attacks._frozen import frozen
from hsplid_core.attacks._inputs import check_inputs
from hsplid_core.attacks._rules import count_rules, radius_rules
from hsplid_core.attacks.apgd import APGD
from hsplid_core.attacks.attack import Attack, Model
from hsplid_core.attacks.balls import Norm, take
from hsplid_core.attacks.fab import FAB
from hsplid_core.attacks.scoring import Scorer
from hsplid_core.attacks.square import Square
from hsplid_core.config import check

Version = Literal["standard", "rand"]
_VERSIONS = ("standard", "rand")


@dataclass(frozen=True, kw_only=True)
class AutoAttack:
    """Settings of AutoAttack; calling it attacks a batch.

    Attributes:
        epsilon: Radius of the ball in pixel units, above 0; at most 1 in L-infinity.
        norm: "linf" or "l2".
        version: "standard" or "rand".
        steps: Gradient steps of each run.
        n_targets: Goals of the targeted members, at most all wrong classes.
        queries: Forward passes of Square.
        samples: Passes that `rand` averages a gradient over.
        iterate: As in `APGD`; both fool on the same images.

    Raises:
        ConfigError: A value is out of range; all faults are named together.
    """

    epsilon: float
    norm: Norm = "linf"
    version: Version = "standard"
    steps: int = 100
    n_targets: int = 9
    queries: int = 5000
    samples: int = 20
    iterate: Literal["best", "first_fooling"] = "first_fooling"

    def __post_init__(self) -> None:
        check(
            [
                *radius_rules(self.epsilon, self.norm),
                (
                    self.version in _VERSIONS,
                    f"version is {self.version!r}: use one of {sorted(_VERSIONS)}",
                ),
                *count_rules(
                    steps=self.steps,
                    n_targets=self.n_targets,
                    queries=self.queries,
                    samples=self.samples,
                ),
                (
                    self.iterate in ("best", "first_fooling"),
                    f"iterate is {self.iterate!r}: use 'best' or 'first_fooling'",
                ),
            ]
        )

    def with_epsilon(self, epsilon: float) -> AutoAttack:
        """Return the same attack with another radius."""
        return replace(self, epsilon=epsilon)

    def stopping_early(self) -> AutoAttack:
        """Return the same attack with the first iterate that fools."""
        return replace(self, iterate="first_fooling")

    def members(self, n_classes: int) -> tuple[tuple[str, Attack], ...]:
        """List the attacks in their order.

        Args:
            n_classes: Classes K of the model, which decide the losses that are defined.

        Returns:
            Names and attacks.
        """
        apgd = APGD(epsilon=self.epsilon, norm=self.norm, steps=self.steps, iterate=self.iterate)
        dlr = ("apgd-dlr", replace(apgd, loss="dlr"))
        if self.version == "rand":
            team = [("apgd-ce", apgd)] + ([dlr] if n_classes >= 3 else [])
            return tuple((name, replace(member, samples=self.samples)) for name, member in team)
        targeted = replace(apgd, loss="targeted_dlr", n_targets=self.n_targets)
        second = [dlr] if n_classes == 3 else [("apgd-t", targeted)] if n_classes > 3 else []
        fab = FAB(epsilon=self.epsilon, norm=self.norm, steps=self.steps, n_targets=self.n_targets)
        square = Square(epsilon=self.epsilon, norm=self.norm, queries=self.queries)
        return (("apgd-ce", apgd), *second, ("fab-t", fab), ("square", square))

    def __call__(
        self,
        model: Model,
        image: Tensor,
        target: Tensor,
        allowed: Tensor,
        *,
        seed: int,
        index: Tensor,
    ) -> Tensor:
        """Search the ball around each image for one that the model misclassifies.

        Args:
            model: Pixels to logits.
            image: Pixels in [0, 1], float, [B, C, H, W]; not changed.
            target: Class indices, int64, [B].
            allowed: True where a pixel may change, bool, [B, 1, H, W].
            seed: Seed of everything random.
            index: Row of each image in its data set, int64, [B].

        Returns:
            The attacked images, [B, C, H, W]; those misclassified as they are come back so, and
            where nothing fools, the first member's result.

        Raises:
            DataError: The tensors do not fit together, or pixels lie outside [0, 1].
            TrainingDivergedError: The model's logits are NaN or infinite.
        """
        check_inputs(image, target, allowed, index)
        result = image.clone()
        if not len(image):
            return result
        with frozen(model), torch.no_grad():
            scorer = Scorer(model)
            logits = scorer.logits(image)
            scorer.verify()
            standing = (logits.argmax(1) == target).nonzero().squeeze(1)
            for number, (_, member) in enumerate(self.members(logits.shape[1])):
                if not len(standing):
                    break
                attacked = member(
                    model,
                    take(image, standing),
                    target[standing],
                    allowed[standing],
                    seed=seed,
                    index=index[standing],
                )
                fooled, _ = scorer.judge(attacked, target[standing])
                written = fooled | (number == 0)
                result[standing[written]] = take(attacked, written)
                standing = standing[~fooled]
        return result
