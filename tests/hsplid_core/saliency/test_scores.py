"""Scores of attributions: closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hsplid_core.attacks import Model
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError
from hsplid_core.saliency import (
    SCORES,
    AttributionSettings,
    Explained,
    check_scores,
    energy_inside,
    evaluate_saliency,
    gini,
    linear_probe_accuracy,
    mask_iou,
    patch_gini,
    pointing_game,
    rank_correlation,
    revealing_curve,
    zero_patches,
)

SIZE = 4


def maps() -> tuple[Tensor, Tensor]:
    """Six heat maps and masks: within, outside, half, tied, empty mask, no heat."""
    heat = torch.zeros(6, SIZE, SIZE)
    mask = torch.zeros(6, 1, SIZE, SIZE, dtype=torch.bool)
    mask[[0, 1, 2, 3, 5], :, :2, :2] = True  # four pixels
    heat[0, 0, 0] = 3
    heat[1, 3, 3] = 3
    heat[2, 0, 0], heat[2, 3, 3] = 1, 3
    heat[3] = 1
    heat[4, 0, 0] = 1
    return heat, mask


def equal(values: Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(
        values.double(), torch.tensor(expected, dtype=torch.float64), equal_nan=True
    )


def test_against_masks() -> None:
    heat, mask = maps()
    nan = math.nan
    equal(energy_inside(heat, mask), [1, 0, 0.25, 0.25, nan, nan])
    equal(pointing_game(heat, mask), [1, 0, 0, 0.25, nan, nan])
    # Of four pixels each: the first map's heat and the next pixels of its row, (0, 0) to (0, 3).
    equal(mask_iou(heat, mask)[[0, 3]], [2 / 6, 2 / 6])
    assert mask_iou(heat, mask)[4:].isnan().all()
    equal(mask_iou(mask[:3, 0].float(), mask[:3]), [1, 1, 1])
    equal(mask_iou((~mask[:3, 0]).float(), mask[:3]), [0, 0, 0])


def test_gini() -> None:
    rows = torch.stack([torch.eye(16)[3], torch.full((16,), 0.2), torch.arange(16.0)])
    # Of 0..n-1: (n + 1) / (3 n) times n / (n - 1) less the finite sample's part.
    differences = (rows[2][:, None] - rows[2]).abs().sum()
    direct = float(differences / (2 * 16 * rows[2].sum()))
    equal(gini(rows), [1 - 1 / 16, 0, direct])
    assert gini(torch.zeros(1, 5)).isnan().all()


def test_structure_over_patches() -> None:
    heat = torch.zeros(2, 8, 8)
    heat[0, :4, :4] = 1  # one of four patches
    heat[1, ::4, ::4] = 1  # one pixel in each
    equal(patch_gini(heat, 2), [0.75, 0])
    equal(gini(heat.flatten(1)), [1 - 16 / 64, 1 - 4 / 64])


def test_patches_that_a_map_leaves_out() -> None:
    heat = torch.zeros(4, 8, 8)
    heat[0, :4, :4] = 1  # one of four patches
    heat[1, ::4, ::4] = 1  # one pixel in each
    heat[2, :, :4] = 1
    heat[2, 0, 4:] = 1e-3  # little is none
    equal(zero_patches(heat, 2), [0.75, 0, 0.5, math.nan])


def test_rank_correlation() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0, 40.0]] * 4)
    others = torch.tensor([[0.0, 1, 5, 6], [6, 5, 1, 0], [1, 0, 5, 6], [2, 2, 2, 2]])
    # One exchange of neighbours: 1 - 6 (1 + 1) / (4 (16 - 1)).
    equal(rank_correlation(values, others), [1, -1, 0.8, math.nan])
    tied = rank_correlation(values[:1], torch.tensor([[0.0, 0, 1, 1]]))
    equal(tied, [4 / math.sqrt(5 * 4)])  # ranks -1.5, -0.5, 0.5, 1.5 and -1, -1, 1, 1


def test_stability_is_of_the_map_not_of_the_image() -> None:
    def squared(image: Tensor) -> Tensor:  # its gradient is the image's own pixels
        total = image.square().sum((1, 2, 3)) / 2
        return torch.stack([total, -total], dim=1)

    def under(model: Model, radius: float, batch_size: int = 1) -> float:
        settings = AttributionSettings(batch_size=batch_size)
        report = evaluate_saliency(
            model,
            Made(),
            methods=["gradient"],
            scores=["stability"],
            settings=settings,
            radius=radius,
        )
        return report.means["gradient", "stability"]

    assert under(left_half, 0.5) == pytest.approx(1)
    little, much = under(squared, 0.01), under(squared, 0.5)
    assert 0.9 < little < 1
    assert much < little - 0.1
    assert under(squared, 0.5, batch_size=3) == pytest.approx(much)  # an image's noise is its own


def seer(image: Tensor) -> Tensor:
    """Class 1 for certain once the pixel (1, 2) is bright, class 0 before."""
    seen = image[:, 0, 1, 2] > 0.95
    return torch.stack([torch.where(seen, -50.0, 50.0), torch.where(seen, 50.0, -50.0)], dim=1)


def explained(place: tuple[int, int], steps: int = 16) -> Explained:
    image = torch.full((1, 3, SIZE, SIZE), 0.5)
    image[:, :, 1, 2] = 1
    attribution = torch.zeros(1, 1, SIZE, SIZE)
    attribution[0, 0, place[0], place[1]] = 1
    return Explained(
        model=seer,
        image=image,
        target=torch.tensor([1]),
        attribution=attribution,
        mask=None,
        steps=steps,
    )


@pytest.mark.parametrize("steps", [4, 16])
def test_insertion_and_deletion_of_a_known_model(steps: int) -> None:
    right, wrong = explained((1, 2), steps), explained((0, 0), steps)
    # Right: seen from the first step on, or from then on no more; half of it is the trapezoid's.
    equal(SCORES["insertion"](right), [1 - 1 / (2 * steps)])
    equal(SCORES["deletion"](right), [1 / (2 * steps)])
    # Wrong: (0, 0) first, and then in rows, so that (1, 2) is the seventh pixel.
    first_with_seven = math.ceil(7 / 16 * steps)
    equal(SCORES["insertion"](wrong), [1 - (first_with_seven - 0.5) / steps])
    equal(SCORES["deletion"](wrong), [(first_with_seven - 0.5) / steps])


def test_a_curve_begins_and_ends_with_whole_images() -> None:
    given = explained((1, 2))
    black = torch.zeros_like(given.image)
    curve = revealing_curve(given, shown_first=given.image, shown_last=black)
    equal(curve.probability[0, [0, -1]], [0, 1])
    assert curve.fraction.tolist() == [step / 16 for step in range(17)]


class Made:
    """Two images whose object is the left half, one without an object."""

    def __init__(self, *, masks: bool = True) -> None:
        generator = torch.Generator().manual_seed(0)
        self.image = torch.rand(3, 3, SIZE, SIZE, generator=generator)
        self.mask = torch.zeros(3, 1, SIZE, SIZE, dtype=torch.bool)
        self.mask[:2, :, :, :2] = True
        self.masks = masks

    def __len__(self) -> int:
        return 3

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        return Batch(
            image=self.image[indices],
            target=torch.zeros(len(indices), dtype=torch.int64),
            mask=self.mask[indices] if self.masks else None,
            index=indices,
        )


def left_half(image: Tensor) -> Tensor:
    bright = image[..., :2].sum((1, 2, 3))
    return torch.stack([bright, -bright], dim=1)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_a_report_counts_what_it_could_not_score(batch_size: int) -> None:
    report = evaluate_saliency(
        left_half,
        Made(),
        methods=["gradient", "gradient_x_input"],
        scores=["energy_inside", "gini"],
        settings=AttributionSettings(batch_size=batch_size),
    )
    assert (report.n_images, report.n_empty_masks) == (3, 1)
    # The gradient is 1 on the left half of three channels and 0 on the right.
    assert report.means["gradient", "energy_inside"] == 1
    assert report.means["gradient", "gini"] == pytest.approx(0.5)
    assert report.means["gradient_x_input", "energy_inside"] == 1


def test_masks_are_asked_for_by_name() -> None:
    with pytest.raises(
        ConfigError, match="energy_inside, pointing_game, mask_iou need object masks"
    ):
        evaluate_saliency(left_half, Made(masks=False), methods=["gradient"], scores=[*SCORES])
    report = evaluate_saliency(left_half, Made(masks=False), methods=["gradient"], scores=["gini"])
    assert report.n_empty_masks == 3
    with pytest.raises(ConfigError, match="did you mean gini"):
        check_scores(["ginni"], has_masks=True)


def test_linear_probes() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.arange(300) % 3
    telling = torch.eye(3)[target] * 2 + torch.randn(300, 3, generator=generator) * 0.1
    noise = torch.randn(300, 5, generator=generator)
    constant = torch.ones(300, 1)

    def accuracy(features: Tensor) -> float:
        return linear_probe_accuracy(
            features[:200], target[:200], features[200:], target[200:], ridge=1e-3
        )

    assert accuracy(torch.cat([telling, noise, constant], 1)) == 1
    assert 0.1 < accuracy(noise) < 0.6
    # Without a feature the commonest training class, 0, is the answer to every image.
    assert accuracy(noise[:, :0]) == pytest.approx(float((target[200:] == 0).float().mean()))
