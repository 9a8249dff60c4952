"""Agreement with a maintained NumPy implementation of ImageNet-C.

It serves this test alone: requirements-peers.lock has it, with the packages that it needs itself.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hsplid_core.corruptions import corrupt
from hsplid_core.corruptions._filters import motion_blur
from hsplid_core.data.batch import Batch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peer = pytest.importorskip(
        "imagecorruptions.corruptions", reason="the peer imagecorruptions is not installed"
    )

SEVERITIES = pytest.mark.parametrize("severity", range(1, 6))
_ROUNDING = 1.01 / 255  # the peer's images are bytes


def picture(rows: int = 1, side: int = 96) -> Batch:
    """Smooth colours with an edge, in whole bytes."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(rows, 3, 8, 8, generator=generator, dtype=torch.float64)
    image = F.interpolate(coarse, size=side, mode="bicubic", align_corners=True).clamp(0, 1)
    image[:, :, 30:50, 40:70] = 0.9
    image = image.mul(255).round().div(255)
    return Batch(image, torch.zeros(rows, dtype=torch.int64), None, torch.arange(rows))


def by_peer(name: str, batch: Batch, severity: int) -> Tensor:
    done = []
    for image in batch.image:
        pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            worse = getattr(peer, name)(pixels, severity)
        done.append(torch.as_tensor(np.asarray(worse, dtype=np.float64) / 255).permute(2, 0, 1))
    return torch.stack(done)


@SEVERITIES
@pytest.mark.parametrize(
    "name", ["brightness", "contrast", "defocus_blur", "gaussian_blur", "zoom_blur"]
)
def test_agrees_where_nothing_is_random(name: str, severity: int) -> None:
    batch = picture()
    found = corrupt(batch, name, severity=severity, seed=0).image
    assert (found - by_peer(name, batch, severity)).abs().max() < _ROUNDING


@SEVERITIES
def test_agrees_on_saturation(severity: int) -> None:
    batch = picture()
    found = corrupt(batch, "saturate", severity=severity, seed=0).image
    assert (found - by_peer("saturate", batch, severity)).abs().max() < _ROUNDING


@SEVERITIES
def test_agrees_on_motion_blur_of_the_same_angle(
    severity: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = picture()
    radius, sigma = [(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)][severity - 1]
    for angle in (-40.0, 0.0, 17.0):
        monkeypatch.setattr(np.random, "uniform", lambda *_, angle=angle: angle)
        found = motion_blur(batch.image, radius, sigma, torch.tensor([angle]).double())
        expected = by_peer("motion_blur", batch, severity)
        assert (found - expected).abs().max() < 2 * _ROUNDING, (angle, math.degrees(angle))


@SEVERITIES
@pytest.mark.parametrize(
    "name", ["gaussian_noise", "shot_noise", "impulse_noise", "snow", "speckle_noise"]
)
def test_random_kinds_have_the_same_moments(name: str, severity: int) -> None:
    batch = picture(rows=6)
    np.random.seed(0)  # noqa: NPY002 - the peer draws from the global generator
    here = corrupt(batch, name, severity=severity, seed=0).image
    there = by_peer(name, batch, severity)
    for moment in (Tensor.mean, Tensor.std):
        assert float(moment(here)) == pytest.approx(float(moment(there)), rel=0.03)
