"""A model of many classes, judged by the few labels of another data set."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hsplid_core.attacks import PGD
from hsplid_core.data.readers.imagenet_classes import NINE, groups_of_nine, wordnet_ids
from hsplid_core.errors import ConfigError
from hsplid_core.evaluation import RelabelledModel, judged_on


class Pixels(nn.Module):
    """The first pixels are the logits."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.n_classes = n_classes

    def forward(self, image: Tensor) -> Tensor:
        return self.scale * image.flatten(1)[:, : self.n_classes]


def logits_of(model: nn.Module, *values: float) -> Tensor:
    found: Tensor = model(torch.tensor(values).view(1, 1, 1, -1))
    return found.detach()[0]


def test_a_label_has_the_largest_logit_of_its_classes() -> None:
    model = RelabelledModel(Pixels(5), torch.tensor([1, 0, 1, -1, -1]), 3)
    assert logits_of(model, 0.3, 0.2, 0.9, 0.1, 0.5).tolist() == pytest.approx(
        [0.2, 0.9, 0.1, 0.5]
    )
    # No class counts as label 2: it is never answered.
    assert int(logits_of(model, 0.3, 0.2, 0.1, 0.0, 0.0).argmax()) == 1


def test_answers_are_those_of_the_mapped_prediction() -> None:
    names = wordnet_ids()
    model = judged_on(Pixels(1000).eval(), names, NINE)
    assert not model.training
    image = torch.rand(200, 1, 40, 25, generator=torch.Generator().manual_seed(0))
    groups = [NINE.index(g) if (g := groups_of_nine().get(n)) else len(NINE) for n in names]
    mapped = torch.tensor(groups)[image.flatten(1).argmax(1)]
    assert torch.equal(model(image).argmax(1), mapped)
    assert (mapped < len(NINE)).any()
    assert (mapped == len(NINE)).any()


def test_gradients_lead_through_the_mapping() -> None:
    model = judged_on(Pixels(4).eval(), ("a", "b", "c", "d"), ("c", "a"))
    image = torch.tensor([0.5, 0.1, 0.6, 0.2]).view(1, 1, 2, 2)
    target, allowed = torch.zeros(1, dtype=torch.int64), torch.ones(1, 1, 2, 2, dtype=torch.bool)
    attack = PGD(epsilon=0.2, random_start=False)
    attacked = attack(model, image, target, allowed, seed=0, index=target)
    assert int(model(image).argmax()) == 0
    assert int(model(attacked).argmax()) == 1


def test_the_same_classes_need_no_mapping_and_foreign_ones_have_none() -> None:
    model = Pixels(2)
    assert judged_on(model, ("a", "b"), ("a", "b")) is model
    with pytest.raises(ConfigError, match="must have some in common"):
        judged_on(model, ("a", "b"), ("x", "y"))
