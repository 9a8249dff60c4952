"""What makes two sweeps share their starting weights."""

from __future__ import annotations

from pathlib import Path

import torch

from sweeps.engine.pretraining import pretrain_key
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides


def key(*overrides: str, data: str = "data") -> str:
    return pretrain_key(load_spec("coco_pretrain", parse_overrides(overrides)), data)


def test_the_key_follows_what_decides_the_weights() -> None:
    same = [key(), key("trials=3"), key("evaluation.steps=1"), key("resources.cpu=2")]
    assert len(set(same)) == 1
    others = [key("seed=1"), key("model.width=0.5"), key("training.epochs=1"), key(data="other")]
    assert len({key(), *others}) == 5


def test_a_filter_of_the_images_makes_other_weights() -> None:
    filters = ("flip", "lowpass", "highpass")
    keys = {key(f"data.transform={kind}", "data.bandwidth=8") for kind in filters}
    assert len({key(), *keys}) == 4
    assert key("data.bandwidth=8") == key()


def test_another_checkpoint_under_the_same_name_makes_another_key(tmp_path: Path) -> None:
    path = tmp_path / "start.pt"
    keys = set()
    for value in (0.0, 1.0, 0.0):
        torch.save({"weight": torch.tensor(value)}, path)
        keys.add(key(f"model.checkpoint={path}"))
    assert len(keys) == 2
    assert key() not in keys
