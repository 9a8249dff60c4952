"""The planted pixel: where it is, what it changes, and what it depends on."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from hsplid_core.config import DataConfig
from hsplid_core.config.analyses import PixelConfig
from hsplid_core.data import ImageSet, load
from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.planted_pixel import PlantedPixels
from hsplid_core.errors import ConfigError
from tests.hsplid_core.data.made_source import MadeSource

SIZE, N = 12, 200


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    source = MadeSource(n_rows=N, size=SIZE)
    return build_or_open(source, tmp_path_factory.mktemp("cache"))


def planted(images: ImageSet, stream: int = 0, **fields: Any) -> ImageSet:
    change = PlantedPixels(
        config=PixelConfig(**fields),
        num_classes=2,
        image_shape=images.image_shape,
        n_rows=images.n_underlying,
        stream=stream,
    )
    return images.changed(change)


def change_of(images: ImageSet) -> PlantedPixels:
    assert isinstance(images.change, PlantedPixels)
    return images.change


EVERY = torch.arange(N)


def test_without_jitter_a_class_has_one_place_and_one_colour(plain: ImageSet) -> None:
    images = planted(plain)
    batch, before = images.batch(EVERY), plain.batch(EVERY)
    change = change_of(images)
    row, column = change.base_places[batch.target].T
    expected = before.image.clone()
    expected[EVERY, :, row, column] = change.base_colours[batch.target] / 255
    torch.testing.assert_close(batch.image, expected, rtol=0, atol=1e-6)
    assert batch.mask is not None
    assert batch.mask.sum() == N
    assert batch.mask[EVERY, 0, row, column].all()
    assert len(set(map(tuple, change.base_places.tolist()))) == 2


def test_only_the_marked_pixels_change(plain: ImageSet) -> None:
    before = plain.batch(EVERY)
    for condition in ("same", "diff", "nopix"):
        batch = planted(plain, condition=condition, position_sd=2.0, side=3).batch(EVERY)
        assert batch.mask is not None
        assert (batch.mask.sum((1, 2, 3)) == 9).all()  # whole squares, at the border too
        differs = (batch.image != before.image).any(1, keepdim=True)
        assert not (differs & ~batch.mask).any()
        assert differs.any() == (condition != "nopix")
        assert (batch.image * 255 - (batch.image * 255).round()).abs().max() < 1e-4


def test_conditions_differ_in_whose_pixel_it_is(plain: ImageSet) -> None:
    target = plain.labels
    masks = {}
    for condition in ("same", "diff", "nopix"):
        images = planted(plain, condition=condition)
        masks[condition] = images.batch(EVERY).mask
    places = change_of(planted(plain)).base_places
    assert masks["same"] is not None
    assert masks["diff"] is not None
    other = places[1 - target].T
    assert masks["diff"][EVERY, 0, other[0], other[1]].all()
    assert masks["nopix"] is not None
    assert torch.equal(masks["nopix"], masks["same"])


@pytest.mark.parametrize("sd", [1.0, 3.0])
def test_jitter_has_the_given_standard_deviation(sd: float) -> None:
    n = 20_000
    change = PlantedPixels(
        config=PixelConfig(position_sd=sd, colour_sd=sd),
        num_classes=2,
        image_shape=(3, 400, 400),
        n_rows=n,
    )
    place, colour, offset = change._deviates
    # Rounding to whole pixels adds 1/12 to the variance.
    rounded = (place * sd).round()
    assert rounded.std(0).tolist() == pytest.approx([(sd**2 + 1 / 12) ** 0.5] * 2, rel=0.03)
    assert rounded.mean(0).abs().max() < 0.06 * sd
    assert (colour * sd).std(0).tolist() == pytest.approx([sd] * 3, rel=0.03)
    assert set(offset.tolist()) == {1}


def test_an_images_pixel_depends_on_its_row_alone(plain: ImageSet) -> None:
    images = planted(plain, position_sd=2.0, colour_sd=20.0, condition="diff")
    whole = images.batch(EVERY)
    part = images.select(torch.tensor([150, 3, 77])).batch(torch.tensor([2, 0]))
    assert torch.equal(part.image, whole.image[[77, 150]])
    again = pickle.loads(pickle.dumps(images)).batch(torch.tensor([77]))
    assert torch.equal(again.image, whole.image[77:78])
    torch.manual_seed(5)
    fresh = planted(plain, position_sd=2.0, colour_sd=20.0, condition="diff")
    assert torch.equal(fresh.batch(EVERY).image, whole.image)


def test_seed_stream_and_every_field_tell_sets_apart(plain: ImageSet) -> None:
    fields: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"position_sd": 1.0},
        {"colour_sd": 1.0},
        {"side": 2},
        {"condition": "diff"},
        {"stream": 1},
    ]
    keys = {planted(plain, **given).key for given in fields}
    assert len(keys | {plain.key}) == len(fields) + 1
    one, other = (planted(plain, seed=s, position_sd=3.0).batch(EVERY).image for s in (0, 1))
    assert not torch.equal(one, other)
    # Training and test images of one seed share the bases, not the jitter.
    change, test = change_of(planted(plain)), change_of(planted(plain, stream=1))
    assert torch.equal(change.base_places, test.base_places)
    assert not torch.equal(change._deviates[0], test._deviates[0])


def test_a_set_can_be_had_without_its_change(plain: ImageSet) -> None:
    images = planted(plain)
    assert images.changed(None).key == plain.key
    assert torch.equal(images.changed(None).batch(EVERY).image, plain.batch(EVERY).image)
    assert images.has_masks


def test_sets_of_the_table_are_planted(tmp_path: Path) -> None:
    pixel = PixelConfig(seed=3)
    sets = {
        (split, given is None): load(
            DataConfig(name="cifar10", root=None, image_size=32, cache_dir=tmp_path, pixel=given),
            split,
        )
        for split in ("train", "val", "test")
        for given in (pixel, None)
    }
    for split in ("train", "val", "test"):
        with_pixel, without = sets[split, False], sets[split, True]
        some = torch.arange(20)
        batch, before = with_pixel.batch(some), without.batch(some)
        assert batch.mask is not None
        assert torch.equal(batch.target, before.target)
        differs = (batch.image != before.image).any(1, keepdim=True)
        assert 0 < differs.sum() <= batch.mask.sum() == 20
        assert change_of(with_pixel).base_places.shape == (10, 2)


def test_errors(plain: ImageSet) -> None:
    with pytest.raises(ConfigError, match="use at most the images' 12 pixels"):
        planted(plain, side=13)
    with pytest.raises(ConfigError, match="1 places for 2 classes"):
        planted(plain, side=12)
    with pytest.raises(ConfigError, match=r"colour_sd is -1\.0"):
        PixelConfig(colour_sd=-1.0)
    # The largest square that leaves a place for each class.
    config = dataclasses.replace(change_of(planted(plain)).config, side=11)
    assert planted(plain, side=config.side).batch(EVERY[:2]).mask is not None
