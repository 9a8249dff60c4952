"""AutoAttack: a fixed team of attacks, each on what the ones before left standing.

`standard` is APGD on the cross-entropy, targeted APGD on the DLR loss, FAB-T and Square. `plus`
restarts APGD on the cross-entropy and on the untargeted DLR loss five times each, then sends
Square, targeted APGD and FAB. The authors run FAB untargeted, five times, and targeted; here its
targeted form, which takes the likeliest wrong classes in turn, is run five times for both. `rand`,
for models with random outputs, is APGD on cross-entropy and on DLR with averaged gradients.

Where a model has too few classes for a DLR loss (two, or three for the targeted one), the next
weaker loss that is defined stands in; with two classes every loss here orders images alike, so
the cross-entropy alone does.

Reference: Croce and Hein 2020 (arXiv 2003.01690), section 6 and, for `rand` and
`plus`, the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from hsplid_core.attacks._attacked_batch import AttackedBatch
from hsplid_core.attacks._setting_rules import Rule, count_rules, iterate_rule
from hsplid_core.attacks.apgd import APGD
from hsplid_core.attacks.attack import Attack
from hsplid_core.attacks.balls import take
from hsplid_core.attacks.fab import FAB
from hsplid_core.attacks.square import Square

Version = Literal["standard", "plus", "rand"]
_VERSIONS = ("standard", "plus", "rand")
_PLUS_RESTARTS = 5


@dataclass(frozen=True, kw_only=True)
class AutoAttack(Attack):
    """Settings of AutoAttack; calling it attacks a batch, as every `Attack`.

    Attributes:
        version: "standard", "plus" or "rand".
        steps: Gradient steps of each run.
        n_targets: Goals of the targeted members, at most all wrong classes.
        queries: Forward passes of Square.
        samples: Passes that `rand` averages a gradient over.
        iterate: As in `APGD`; both fool on the same images.
        targeted: As in `Attack`. The authors' team has no such form: here APGD on the DLR loss
            takes the place of its targeted form.

    Raises:
        ConfigError: A value is out of range; all faults are named together.
    """

    version: Version = "standard"
    steps: int = 100
    n_targets: int = 9
    queries: int = 5000
    samples: int = 20
    iterate: Literal["best", "first_fooling"] = "first_fooling"

    def rules(self) -> list[Rule]:
        """List what must hold for the settings."""
        return [
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
            iterate_rule(self.iterate, ("best", "first_fooling")),
        ]

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
        if self.version == "plus":
            again = [("apgd-ce", apgd), *([dlr] if n_classes >= 3 else [])]
            return (
                *((name, replace(member, restarts=_PLUS_RESTARTS)) for name, member in again),
                ("square", square),
                *(each for each in second if each[0] == "apgd-t"),
                ("fab-t", replace(fab, restarts=_PLUS_RESTARTS)),
            )
        return (("apgd-ce", apgd), *second, ("fab-t", fab), ("square", square))

    def search(self, attempt: AttackedBatch) -> Tensor:
        """Send one member after another at what stands; see `Attack`.

        Images that fool as they are come back so; where nothing fools, the first member's result
        returns.
        """
        result = attempt.image.clone()
        if not len(attempt):
            return result
        scorer = attempt.scorer
        logits = scorer.logits(attempt.image)
        scorer.verify()  # before any work on attacks
        standing = (~scorer.fooled(logits, attempt.target)).nonzero().squeeze(1)
        for number, (_, member) in enumerate(self.members(logits.shape[1])):
            if not len(standing):
                break
            part = attempt.take(standing)
            attacked = member.search(part)
            fooled, _ = scorer.judge(attacked, part.target)
            written = fooled | (number == 0)
            result[standing[written]] = take(attacked, written)
            standing = standing[~fooled]
        return result
