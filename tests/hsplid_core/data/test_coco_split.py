"""What COCO is tested on: apart from what is trained on, or as the released code splits it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from hsplid_core.config import DataConfig
from hsplid_core.data import load
from hsplid_core.data.data_sets import SPLITS
from hsplid_core.data.splits import published_coco_split
from hsplid_core.errors import ConfigError
from tests.tiny import tiny_data

Ids = dict[str, list[str]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return tiny_data(tmp_path_factory.mktemp("tiny"))


def ids(data: DataConfig, **changes: Any) -> Ids:
    changed = dataclasses.replace(data, **changes)
    return {split: list(load(changed, split).ids) for split in SPLITS}


def test_a_larger_test_is_apart_from_what_is_trained_on(data: DataConfig) -> None:
    own, larger = ids(data), ids(data, split="larger_test")
    assert [len(found) for found in larger.values()] == [104, 24, 72]
    assert larger["test"][:40] == own["test"]
    train, val, test = (set(found) for found in larger.values())
    assert not train & val
    assert not (train | val) & test
    assert train | val | test == {*own["train"], *own["val"], *own["test"]}
    # Every class gives as many.
    labels = load(dataclasses.replace(data, split="larger_test"), "test").labels[40:]
    assert labels.bincount().tolist() == [8, 8, 8, 8]


def test_it_is_the_same_whatever_is_held_out_to_validate(data: DataConfig) -> None:
    larger = ids(data, split="larger_test")
    other = ids(data, split="larger_test", split_seed=7, val_fraction=0.4)
    assert other["test"] == larger["test"]
    assert other["val"] != larger["val"]


def test_the_published_split_is_the_release_s() -> None:
    """The paper has 1,411 test images; 7,057 of train2017 give as many."""
    train, val, test = published_coco_split(7057, 0.2)
    assert [len(part) for part in (train, val, test)] == [4516, 1129, 1411]
    assert torch.isin(test, train).double().mean().item() == pytest.approx(0.900, abs=5e-4)
    assert torch.isin(val, train).double().mean().item() == pytest.approx(0.46, abs=5e-4)
    assert torch.isin(test, torch.cat([train, val])).all()
    # The first numbers of numpy's RandomState(1).randint(0, 7057).
    assert test[:3].tolist() == [5157, 235, 3980]


def test_the_published_split_tests_on_what_was_trained_on(data: DataConfig) -> None:
    own, found = ids(data), ids(data, split="published")
    assert [len(part) for part in found.values()] == [103, 25, 31]
    assert set(found["test"]) <= {*found["train"], *found["val"]} <= {*own["train"], *own["val"]}
    # A share is of what is trained on.
    assert ids(data, split="published", share=0.5)["test"] == found["test"]
    few = ids(data, split="published", classes=("bear", "zebra"))
    assert 0 < len(few["test"]) < len(found["test"])


def test_other_data_sets_have_only_their_own() -> None:
    with pytest.raises(ConfigError, match="split is published: that is one of coco_animals"):
        DataConfig(name="cifar10", split="published")
    assert DataConfig(name="cifar10", split="larger_test").split == "larger_test"
