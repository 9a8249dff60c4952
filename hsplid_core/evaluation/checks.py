"""Reasons to distrust a table of robust accuracies.

Most mean that an attack is weaker than it looks, so that a robust accuracy is too high: gradients
that vanish, steps that do not suit the radius, chance or a black box that finds what gradients
do not.

Reference: Athalye et al. 2018, Obfuscated Gradients Give a False Sense of Security
(arXiv 1802.00420), section 3.1, and Croce and Hein 2020 (arXiv 2003.01690).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from hsplid_core.attacks import PGD, AutoAttack, ModelQueries
from hsplid_core.attacks.balls import take
from hsplid_core.data.batch import Batch
from hsplid_core.evaluation.campaign import Campaign
from hsplid_core.evaluation.suites import Suite, Threat
from hsplid_core.evaluation.table import Cell, Finding

_NOTABLE = 0.01  # share of the images below which chance may explain a finding
_PROBED = 8  # images that the costlier looks take
# By which two passes of one model, in batches of two sizes, or a sum of probabilities may differ.
_ROUNDING = 1e-4


class Probe:
    """Looks at the model's outputs and gradients while the images go by."""

    def __init__(self) -> None:
        self.n_classes = 0
        self._n_images = 0
        self._n_empty = 0
        self._are_probabilities = True
        self._n_probed = 0
        self._n_flat = 0
        self._spread = 0.0

    def look(self, scorer: ModelQueries, batch: Batch, logits: Tensor) -> None:
        """Take a batch and its logits [B, K] into account."""
        self.n_classes = logits.shape[1]
        self._n_images += len(logits)
        mask = batch.object_mask
        if mask is not None:
            self._n_empty += int((~mask.flatten(1).any(1)).sum())
        off = (logits.sum(1) - 1).abs()
        self._are_probabilities &= bool((off < _ROUNDING).all() and (logits >= 0).all())
        correct = (logits.argmax(1) == batch.target).nonzero().squeeze(1)
        rows = correct[: _PROBED - self._n_probed]
        if not len(rows):
            return
        if not self._n_probed:
            self._spread = _difference(scorer, take(batch.image, rows), logits[rows])
        self._n_probed += len(rows)
        _, _, gradient = scorer.judge_with_gradient(take(batch.image, rows), batch.target[rows])
        self._n_flat += int((gradient.flatten(1).abs().amax(1) == 0).sum())

    def findings(self, head: Tensor) -> Iterator[Finding]:
        """Report on the images; `head` holds index, label and prediction, int64, [N, 3]."""
        if self._spread > _ROUNDING:
            yield Finding(
                code="random_outputs",
                message=f"two passes over the same images differ by {self._spread:.2g}: use "
                "attacks that average gradients (AutoAttack's `rand`) and more than one seed",
                numbers={"largest_difference": self._spread},
            )
        if self._n_flat:
            yield Finding(
                code="zero_gradients",
                message=f"the loss has no gradient at {self._n_flat} of {self._n_probed} images: "
                "gradient attacks are blind there, so trust Square and the DLR loss instead",
                numbers={"n_images": self._n_flat, "n_probed": self._n_probed},
            )
        if self._are_probabilities:
            yield Finding(
                code="probabilities_not_logits",
                message="the model's outputs are probabilities: leave the softmax out, its "
                "saturation hides gradients",
                numbers={},
            )
        _, labels, predicted = (set(column) for column in head.T.tolist())
        if len(predicted) == 1 and len(labels) > 1:
            (only,) = predicted
            yield Finding(
                code="constant_prediction",
                message=f"every image is taken for class {only}: the model has collapsed, and "
                "its robustness means nothing",
                numbers={"class": only, "n_images": len(head)},
            )
        if self._n_empty:
            yield Finding(
                code="empty_object_masks",
                message=f"{self._n_empty} of {self._n_images} images have no object pixel: their "
                "background is the whole image",
                numbers={"n_images": self._n_empty},
            )


def find_in_suite(suite: Suite, n_classes: int) -> Iterator[Finding]:
    """Report on attacks whose settings do not suit their radii or the number of classes."""
    for threat in suite.threats:
        for name, attack in threat.attacks:
            if isinstance(attack, PGD):
                yield from _find_in_steps(threat, name, attack)
    teams = [a for threat in suite.threats for _, a in threat.attacks if isinstance(a, AutoAttack)]
    needed = max((3 if team.version == "rand" else 4 for team in teams), default=0)
    if n_classes < needed:
        yield Finding(
            code="few_classes",
            message=f"with {n_classes} classes AutoAttack leaves out the DLR losses that need "
            f"up to {needed}",
            numbers={"n_classes": n_classes, "n_needed": needed},
        )


def _find_in_steps(threat: Threat, name: str, attack: PGD) -> Iterator[Finding]:
    placed = [attack.with_epsilon(epsilon) for epsilon in threat.epsilons]
    where = f"{name} on {threat.region_name}"
    large = [a for a in placed if a.step > a.epsilon * (1 + 1e-9)]
    if large:
        smallest = large[0].epsilon
        yield Finding(
            code="step_too_large",
            message=f"{where}: a step of {attack.step * 255:.3g}/255 leaves balls of "
            f"{_radii(large)}, so it jumps between their faces; use relative_step",
            numbers={"step": large[0].step, "epsilon": smallest, "n_radii": len(large)},
        )
    small = [a for a in placed if a.steps * a.step < a.epsilon * (1 - 1e-9)]
    if small:
        reach = small[-1].steps * small[-1].step
        yield Finding(
            code="step_too_small",
            message=f"{where}: {attack.steps} steps reach {reach * 255:.3g}/255 and cannot cross "
            f"balls of {_radii(small)}; use relative_step",
            numbers={"reach": reach, "epsilon": small[-1].epsilon, "n_radii": len(small)},
        )


def find_in_campaigns(
    campaigns: Sequence[Campaign], cells: Sequence[Cell], n_images: int
) -> Iterator[Finding]:
    """Report on what the attacks found, and on what they should have found."""
    for campaign in campaigns:
        region, norm = campaign.threat.region_name, campaign.threat.norm
        if campaign.n_untouched:
            yield Finding(
                code="untouched_images",
                message=f"{campaign.n_untouched} of {n_images} images have no pixel in region "
                f"{region!r} and stay as they are: the accuracy cannot fall below their share",
                numbers={
                    "n_images": campaign.n_untouched,
                    "share": campaign.n_untouched / n_images,
                },
            )
        least = max(1, _NOTABLE * campaign.n_attacked)
        by_square = int(campaign.by_square.max())
        if by_square >= least:
            yield Finding(
                code="black_box_beats_white_box",
                message=f"Square breaks {by_square} images in region {region!r} ({norm}) that no "
                "gradient attack broke: the gradients are masked, and the true accuracy is lower",
                numbers={"n_images": by_square, "n_attacked": campaign.n_attacked},
            )
        for name, by_noise in campaign.by_noise.items():
            if by_noise >= least:
                yield Finding(
                    code="random_noise_beats_attack",
                    message=f"a random point breaks {by_noise} images in region {region!r} "
                    f"({norm}) that {name} left standing: the attack is too weak for the radius",
                    numbers={"n_images": by_noise, "n_attacked": campaign.n_attacked},
                )
    yield from _find_rises(cells)


def _find_rises(cells: Sequence[Cell]) -> Iterator[Finding]:
    for cell, larger in pairwise(cells):
        row = (cell.region, cell.norm, cell.attack)
        rise = larger.robust - cell.robust
        if row == (larger.region, larger.norm, larger.attack) and rise > 0:
            yield Finding(
                code="not_monotone",
                message=f"{cell.attack} on {cell.region}: accuracy rises by {100 * rise:.1f} "
                f"points from epsilon {cell.epsilon * 255:.3g}/255 to "
                f"{larger.epsilon * 255:.3g}/255: the attack does not fill the larger ball",
                numbers={"epsilon": cell.epsilon, "larger": larger.epsilon, "rise": rise},
            )


def _difference(scorer: ModelQueries, image: Tensor, logits: Tensor) -> float:
    """Pass images a second time: the largest difference of their logits, in their own scale."""
    with torch.no_grad():
        again = scorer.logits(image)
    return float((again - logits).abs().max() / logits.abs().max().clamp(min=1))


def _radii(attacks: Sequence[PGD]) -> str:
    return ", ".join(f"{attack.epsilon * 255:.3g}" for attack in attacks) + "/255"
