"""A model is confirmed on images of the very kind that it was trained on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hsplid_core.config import ConfirmationConfig, DataConfig, PixelConfig
from hsplid_core.data import ImageSet, load
from hsplid_core.evaluation import evaluate_robustness
from hsplid_core.frequency import FrequencyFilter
from tests.tiny import tiny_trial
from trainables import confirmation as confirming
from trainables.analysis import Subject
from trainables.confirmation import CONFIRMATION, OWN_SUITE, confirmation, unpack_images
from trainables.trial import Trial


def confirmed(
    data: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> tuple[Subject, ImageSet, dict[str, list[Any]]]:
    """Confirm an untrained model; returns what it was judged on, too."""
    base = tiny_trial(data)
    settings = ConfirmationConfig(suite=OWN_SUITE, max_images=8)
    evaluation = dataclasses.replace(base.evaluation, confirmation=settings)
    config = dataclasses.replace(base, evaluation=evaluation)
    trial = Trial(config)
    subject = Subject(
        model=trial.run.model.eval(),
        training=load(data, "train"),
        validation=trial.validation,
        device=torch.device("cpu"),
        config=config,
    )
    seen: list[ImageSet] = []

    def looked_at(model: Any, images: ImageSet, *arguments: Any, **more: Any) -> Any:
        seen.append(images)
        return evaluate_robustness(model, images, *arguments, **more)

    monkeypatch.setattr(confirming, "evaluate_robustness", looked_at)
    table = confirmation(subject).tables[CONFIRMATION]
    (images,) = seen
    return subject, images, {name: list(column) for name, column in table.items()}


def test_planted_pixels_are_there(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = dataclasses.replace(data, pixel=PixelConfig(colour_sd=0.0))
    _, images, _ = confirmed(planted, monkeypatch)
    index = torch.arange(8)
    plain = load(data, "test").batch(index).image
    changed = (images.batch(index).image != plain).any(dim=1)
    assert changed.flatten(1).sum(dim=1).tolist() == [1] * 8
    torch.testing.assert_close(images.batch(index).image, load(planted, "test").batch(index).image)


def test_a_transform_stands_before_the_network(
    data: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    filtered = dataclasses.replace(data, transform="lowpass", bandwidth=8)
    subject, images, table = confirmed(filtered, monkeypatch)
    assert any(isinstance(part, FrequencyFilter) for part in subject.model.modules())
    assert (table["attack"][0], table["n_images"][0]) == ("clean", 8)
    swapped = table["attack"].index("swapped")
    assert table["n_images"][swapped] == len(images) == 40


def test_each_images_answer_is_kept(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, table = confirmed(data, monkeypatch)
    answers = [unpack_images(text) for text in table["images"]]
    assert [len(row) for row in answers] == table["n_images"]
    assert [float(row.mean()) for row in answers] == pytest.approx(table["accuracy"])
    last = table["attack"].index("aa_standard")
    mean = table["attack"].index("mean")
    assert answers[mean].tolist() == pytest.approx(np.mean(answers[last:], axis=0).tolist())
    assert set(answers[last].tolist()) <= {0.0, 1.0}


def test_a_nodes_copy_of_the_cache_is_read(
    data: DataConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NODE_DISK", str(tmp_path))
    _, images, _ = confirmed(
        dataclasses.replace(data, node_cache=Path("$NODE_DISK/cache")), monkeypatch
    )
    assert images.key == load(data, "test").key
    copies = [file.name for file in (tmp_path / "cache").glob("*.arrow")]
    assert len(copies) == 2  # of the images to train on, and of those to test on
