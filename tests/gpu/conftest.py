"""The device of a test, and small runs on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hsplid_core.config import ModelConfig, TrainingConfig
from hsplid_core.data import ImageSet, build_or_open
from hsplid_core.methods import CrossEntropyConfig, Shape, build_objective
from hsplid_core.models import build_model
from hsplid_core.training import TrainingRun, set_arithmetic
from tests.hsplid_core.data.made_source import MadeSource

MakeRun = Callable[..., TrainingRun]
RESNET = ModelConfig(width=1 / 16, norm="batch")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """26 images of 32 pixels with masks: in batches of 8, the last one is smaller."""
    return build_or_open(MadeSource(n_rows=26, size=32), tmp_path_factory.mktemp("images"))


@pytest.fixture
def make_run(images: ImageSet, device: torch.device) -> Iterator[MakeRun]:
    """Return what makes a training run on the device: ``make_run(methods, **training)``."""

    def make(
        methods: dict[str, Any],
        *,
        data: ImageSet = images,
        network: ModelConfig = RESNET,
        **training: Any,
    ) -> TrainingRun:
        config = TrainingConfig(
            **{"batch_size": 8, "learning_rate": 1e-3, "device": device.type, **training}
        )
        set_arithmetic(config)
        model = build_model(
            network,
            image_shape=data.image_shape,
            num_classes=2,
            mean=data.mean,
            std=data.std,
            seed=0,
        )
        shape = Shape(2, model.num_features, 4, config.batch_size)
        objective = build_objective({"cross_entropy": CrossEntropyConfig(), **methods}, shape)
        return TrainingRun(model, objective, data, config, seed=3)

    yield make
    set_arithmetic(TrainingConfig())


def same_weights(one: TrainingRun, other: TrainingRun) -> bool:
    """Tell whether two runs have the very same parameters and statistics."""
    first, second = one.model.state_dict(), other.model.state_dict()
    return list(first) == list(second) and all(
        torch.equal(first[name], second[name]) for name in first
    )


def cache_of(folder: Path, **changes: Any) -> ImageSet:
    """Build another set."""
    return build_or_open(MadeSource(**changes), folder)
