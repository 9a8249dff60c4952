"""Clean accuracy and swapped backgrounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hsplid_core.attacks import Model
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError, DataError, TrainingDivergedError
from hsplid_core.evaluation.accuracy import accuracy, swapped_background_accuracy
from tests.hsplid_core.attacks.problems import make_batch, make_net, pick


class MemoryImages:
    """A data set in memory."""

    def __init__(self, batch: Batch) -> None:
        self.everything = batch

    def __len__(self) -> int:
        return len(self.everything.image)

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        return pick(self.everything, indices)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_images(model: Model | None, rows: int = 40, n_wrong: int = 4) -> MemoryImages:
    """Images labelled as a model sees them, but for a few at the start."""
    batch = make_batch(rows)
    if model is not None:
        target = model(batch.image).argmax(1)
        target[:n_wrong] = (target[:n_wrong] + 1) % 3
        batch = replace(batch, target=target)
    return MemoryImages(batch)


NET = make_net(sharpness=3.0).eval()
IMAGES = make_images(NET)


def test_accuracy_is_the_share_of_correct_images() -> None:
    assert accuracy(NET, IMAGES, batch_size=7) == 0.9
    assert accuracy(NET, IMAGES, batch_size=40) == 0.9


def test_restores_a_module() -> None:
    net = make_net()
    accuracy(net, IMAGES, batch_size=16)
    assert not any(module.training for module in net.modules())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())


def test_refuses_a_model_in_training_mode() -> None:
    net = make_net().train()
    for measure in (
        lambda: accuracy(net, IMAGES, batch_size=16),
        lambda: swapped_background_accuracy(net, IMAGES, batch_size=16, seed=0),
    ):
        with pytest.raises(ConfigError, match="training mode: call model"):
            measure()


class CornerColour(nn.Module):
    """Sees the first pixel alone, which is background: bright or dark."""

    def forward(self, image: Tensor) -> Tensor:
        bright = image[:, 0, 0, 0]
        return torch.stack([1 - bright, bright], dim=1)


class CentreColour(nn.Module):
    """Sees the middle pixel alone, which is the object."""

    def forward(self, image: Tensor) -> Tensor:
        bright = image[:, 0, 4, 4]
        return torch.stack([1 - bright, bright], dim=1)


def two_tone(rows: int = 40) -> MemoryImages:
    """Backgrounds tell the class: 0.2 for class 0, 0.8 for class 1; objects do as well."""
    target = torch.arange(rows) % 2
    image = (0.2 + 0.6 * target.double()).view(-1, 1, 1, 1).expand(rows, 1, 8, 8).clone()
    mask = torch.zeros(rows, 1, 8, 8, dtype=torch.bool)
    mask[:, :, 3:6, 3:6] = True
    return MemoryImages(Batch(image, target, mask, torch.arange(rows)))


def test_swapped_backgrounds_tell_object_from_background() -> None:
    images = two_tone()
    assert accuracy(CornerColour().eval(), images, batch_size=8) == 1
    assert swapped_background_accuracy(CentreColour().eval(), images, batch_size=8, seed=0) == 1
    by_background = [
        swapped_background_accuracy(CornerColour().eval(), images, batch_size=8, seed=seed)
        for seed in range(6)
    ]
    assert 0.3 < sum(by_background) / 6 < 0.7
    assert len(set(by_background)) > 1
    again = swapped_background_accuracy(CornerColour().eval(), images, batch_size=40, seed=0)
    assert again == by_background[0]


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(2, 12), seed=st.integers(0, 2**63 - 1))
def test_no_image_keeps_its_background_and_each_is_used_once(rows: int, seed: int) -> None:
    batch = make_batch(rows)
    assert batch.mask is not None
    own = torch.linspace(0.1, 0.9, rows, dtype=torch.float64).view(-1, 1, 1, 1)
    # Objects are black: none of their colour may get into a background.
    images = MemoryImages(replace(batch, image=(own * ~batch.mask).expand(-1, 3, -1, -1)))
    seen: list[Tensor] = []

    def recording(image: Tensor) -> Tensor:
        seen.append(image)
        return torch.zeros(len(image), 3)

    swapped_background_accuracy(recording, images, batch_size=5, seed=seed)
    image = torch.cat(seen)
    assert torch.equal(image.where(batch.mask, 0), images.everything.image.where(batch.mask, 0))
    outside = image.where(~batch.mask, torch.nan).flatten(1)
    colours = outside.nanmean(1)
    torch.testing.assert_close(
        outside.nan_to_num(0), (colours[:, None] * ~outside.isnan()), rtol=0, atol=1e-12
    )
    assert ((colours - own.flatten()).abs() > 1e-3).all()
    torch.testing.assert_close(colours.sort().values, own.flatten())


def test_a_donor_without_background_gives_grey() -> None:
    images = two_tone(2)
    batch = images.everything
    assert batch.mask is not None
    batch.mask[1] = True
    seen: list[Tensor] = []

    def recording(image: Tensor) -> Tensor:
        seen.append(image)
        return torch.zeros(len(image), 2)

    swapped_background_accuracy(recording, images, batch_size=2, seed=0)
    assert (seen[0][0].where(~batch.mask[0], 0.5) == 0.5).all()
    assert torch.equal(seen[0][1], batch.image[1])


def test_refuses_what_it_cannot_evaluate() -> None:
    nothing = MemoryImages(pick(IMAGES.everything, torch.arange(0)))
    with pytest.raises(DataError, match="the set is empty"):
        accuracy(NET, nothing, batch_size=4)
    with pytest.raises(ConfigError, match="batch_size is 0"):
        accuracy(NET, IMAGES, batch_size=0)
    unmasked = MemoryImages(replace(IMAGES.everything, mask=None))
    with pytest.raises(ConfigError, match="only be swapped on data with object masks"):
        swapped_background_accuracy(NET, unmasked, batch_size=4, seed=0)
    with pytest.raises(DataError, match="give at least two"):
        swapped_background_accuracy(
            NET, MemoryImages(pick(IMAGES.everything, torch.arange(1))), batch_size=4, seed=0
        )


def test_refuses_a_diverged_model() -> None:
    def diverged(image: Tensor) -> Tensor:
        return torch.full((len(image), 3), torch.nan)

    with pytest.raises(TrainingDivergedError, match="NaN or infinite"):
        accuracy(diverged, IMAGES, batch_size=16)
