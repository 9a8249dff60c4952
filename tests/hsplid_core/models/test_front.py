"""A classifier behind a filter of frequencies."""

from __future__ import annotations

import pytest
import torch

from hsplid_core.config import ModelConfig
from hsplid_core.frequency import FrequencyFilter
from hsplid_core.models import MaskedClassifier, build_model
from hsplid_core.models.state_dicts import fit_state
from tests.hsplid_core.frequency.plain import flip


def build(front: FrequencyFilter | None) -> MaskedClassifier:
    return build_model(
        ModelConfig(name="lenet3", width=0.05),
        image_shape=(1, 16, 16),
        num_classes=3,
        mean=[0.1],
        std=[0.7],
        seed=0,
        front=front,
    )


@pytest.mark.parametrize("kind", ["flip", "lowpass"])
def test_the_network_sees_filtered_images(kind: str) -> None:
    front = FrequencyFilter(kind, (16, 16), None if kind == "flip" else 5)  # type: ignore[arg-type]
    image = torch.rand(4, 1, 16, 16)
    plain, filtered = build(None), build(front)
    if kind == "flip":  # of the normalised image: the mean is flipped with it
        seen = plain.predict(plain.encode_normalised(front(plain.normalise(image))))
    else:
        seen = plain(front(image))
    torch.testing.assert_close(filtered(image), seen)
    torch.testing.assert_close(filtered(image), filtered.classify_seen(filtered.see(image)))
    torch.testing.assert_close(plain(image), plain.classify_seen(plain.see(image)))
    # Weights do not depend on the filter, and a checkpoint of one fits the other.
    assert plain.state_dict().keys() == filtered.state_dict().keys()
    inputs = filtered.normalise(image)
    torch.testing.assert_close(
        filtered.normalise(filtered.denormalise(inputs)), inputs, rtol=0, atol=1e-4
    )


def test_what_a_flipped_network_was_given_comes_back() -> None:
    model = build(FrequencyFilter("flip", (16, 16)))
    image = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(model.denormalise(model.normalise(image)), image, rtol=0, atol=1e-5)
    moved = model.normalise(image) + 0.1
    torch.testing.assert_close(model.normalise(model.denormalise(moved)), moved, rtol=0, atol=1e-4)
    torch.testing.assert_close(model.see(image), flip(image), rtol=0, atol=1e-5)


def test_a_flipped_network_is_normalised_by_the_flipped_mean_image() -> None:
    """TransformFlippedLayer of the released model_classes: the mean is flipped, the std is not."""
    model = build(FrequencyFilter("flip", (16, 16)))
    torch.testing.assert_close(model.mean, flip(torch.full((1, 1, 16, 16), 0.1)))
    assert model.std.flatten().tolist() == pytest.approx([0.7])
    model.set_normalisation([0.2], [0.5])
    torch.testing.assert_close(model.mean, flip(torch.full((1, 1, 16, 16), 0.2)))
    grey = torch.full((1, 1, 16, 16), 0.2)
    torch.testing.assert_close(model.normalise(grey), torch.zeros_like(grey), rtol=0, atol=1e-5)


def test_a_checkpoint_with_channel_means_of_flipped_images_is_read_as_it_was() -> None:
    state = {
        name: value + 0.01 if value.is_floating_point() else value
        for name, value in build(None).state_dict().items()
    }
    old = {**state, "mean": torch.tensor(0.3).view(1, 1, 1, 1)}
    model, fitted = (build(FrequencyFilter("flip", (16, 16))) for _ in range(2))
    model.load_state_dict(old)
    fit_state(fitted, old, source="old.pt")
    for found in (model, fitted):
        assert torch.equal(found.mean, torch.full((1, 1, 16, 16), 0.3))
        assert torch.equal(found.head.weight, state["head.weight"])
    again = build(FrequencyFilter("flip", (16, 16)))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.mean, model.mean)
