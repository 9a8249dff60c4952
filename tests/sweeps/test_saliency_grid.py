from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread

from hsplid_core.config import DataConfig
from hsplid_core.data import load, prepare
from hsplid_core.errors import CheckpointError
from hsplid_core.models.state_files import write_state
from sweeps.outputs.saliency_grid import saliency_grid, with_weights
from tests.tiny import tiny_data, tiny_trial
from trainables.trial import initial_model


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    described = tiny_data(tmp_path_factory.mktemp("tiny"))
    assert described.cache_dir is not None
    prepare(
        DataConfig(
            name=described.name,
            root=described.root,
            image_size=described.image_size,
            cache_dir=described.cache_dir,
            val_fraction=described.val_fraction,
            split_seed=described.split_seed,
        )
    )
    return described


def test_a_grid_shows_each_model_and_measures_it(data: DataConfig, tmp_path: Path) -> None:
    config = tiny_trial(data)
    model = initial_model(config, load(config.data, "train"))
    write_state(tmp_path / "one.pt", {"model": model.state_dict(), "epoch": 1})
    grid = saliency_grid(
        {"baseline": config, "trial 1": with_weights(config, tmp_path / "one.pt")}
    )
    assert grid.n_images == 6
    # The same weights look at the same places, and no mask covers a whole image.
    assert grid.inside["baseline"] == grid.inside["trial 1"]
    assert 0 < grid.inside["baseline"] < 1
    picture = imread(io.BytesIO(base64.b64decode(grid.png)), format="png")
    assert picture.shape[1] == pytest.approx(3 * 1.7 * 110, abs=2)
    assert picture[..., :3].std() > 0.1


def test_a_checkpoint_that_does_not_fit_is_left_out(data: DataConfig, tmp_path: Path) -> None:
    config = tiny_trial(data)
    write_state(tmp_path / "odd.pt", {"model": {"head.weight": torch.zeros(2)}, "epoch": 1})
    grid = saliency_grid(
        {"baseline": config, "trial 1": with_weights(config, tmp_path / "odd.pt")}
    )
    assert list(grid.inside) == ["baseline"]
    assert list(grid.left_out) == ["trial 1"]
    assert "odd.pt does not fit" in grid.left_out["trial 1"]


def test_a_missing_checkpoint_is_told(data: DataConfig, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.pt cannot be read"):
        saliency_grid({"trial 1": with_weights(tiny_trial(data), tmp_path / "gone.pt")})
