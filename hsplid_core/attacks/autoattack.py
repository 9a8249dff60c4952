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

from torch import Tensor

from hsplid_core.attacks._attempt import attempt
from hsplid_core.attacks._rules import count_rules, radius_rules
from hsplid_core.attacks.apgd import APGD
from hsplid_core.attacks.attack import Attack, Model
from hsplid_core.attacks.balls import Norm, take
from hsplid_core.attacks.fab import FAB
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
        targeted: Lead to the classes given, instead of away from them. The authors' team has no
            such form: here APGD on the DLR loss takes the place of its targeted form.

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
    targeted: bool = False

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
        apgd = APGD(
            epsilon=self.epsilon,
            norm=self.norm,
            steps=self.steps,
            iterate=self.iterate,
            targeted=self.targeted,
        )
        dlr = ("apgd-dlr", replace(apgd, loss="dlr"))
        if self.version == "rand":
            team = [("apgd-ce", apgd)] + ([dlr] if n_classes >= 3 else [])
            return tuple((name, replace(member, samples=self.samples)) for name, member in team)
        if n_classes > 3 and not self.targeted:
            second = [("apgd-t", replace(apgd, loss="targeted_dlr", n_targets=self.n_targets))]
        else:
            second = [dlr] if n_classes >= 3 else []
        fab = FAB(
            epsilon=self.epsilon,
            norm=self.norm,
            steps=self.steps,
            n_targets=self.n_targets,
            targeted=self.targeted,
        )
        square = Square(
            epsilon=self.epsilon, norm=self.norm, queries=self.queries, targeted=self.targeted
        )
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
        """Attack a batch; see `Attack`.

        Images that fool as they are come back so; where nothing fools, the first member's result
        returns.
        """
        with attempt(model, image, target, allowed, index, targeted=self.targeted) as scorer:
            result = image.clone()
            if not len(image):
                return result
            logits = scorer.logits(image)
            scorer.verify()  # before any work on attacks
            standing = (~scorer.fooled(logits, target)).nonzero().squeeze(1)
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
