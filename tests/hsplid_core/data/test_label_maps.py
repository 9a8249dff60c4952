"""ImageNet's classes, ImageNet-9's groups, and what a prediction counts as on another data set."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torchvision.models._meta import _IMAGENET_CATEGORIES

from hsplid_core.data.class_maps import counts_as
from hsplid_core.data.demo.class_folders import IMAGENET_CLASSES
from hsplid_core.data.readers.imagenet_classes import NINE, groups_of_nine, wordnet_ids
from hsplid_core.errors import ConfigError

NAMES = dict(zip(wordnet_ids(), _IMAGENET_CATEGORIES, strict=True))


def test_the_thousand_ids() -> None:
    assert len(set(wordnet_ids())) == 1000
    assert list(wordnet_ids()) == sorted(wordnet_ids())
    known = {"n02391049": "zebra", "n01518878": "ostrich", "n03888257": "parachute"}
    assert {number: NAMES[number] for number in known} == known


def test_the_groups_have_the_papers_sizes() -> None:
    """Xiao et al., arXiv 2006.09994, appendix A."""
    assert Counter(groups_of_nine().values()) == {
        **{"dog": 116, "bird": 52, "wheeled vehicle": 42, "reptile": 36, "carnivore": 35},
        **{"insect": 27, "musical instrument": 26, "primate": 20, "fish": 16},
    }


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("pug", "dog"),
        ("ostrich", "bird"),
        ("ambulance", "wheeled vehicle"),
        ("Komodo dragon", "reptile"),
        ("giant panda", "carnivore"),
        ("monarch", "insect"),
        ("grand piano", "musical instrument"),
        ("gorilla", "primate"),
        ("goldfish", "fish"),
        ("zebra", None),
        ("tabby", None),  # cats of the house belong to none
    ],
)
def test_members_of_the_groups(name: str, group: str | None) -> None:
    (number,) = (key for key, value in NAMES.items() if value == name)
    assert groups_of_nine().get(number) == group


def test_a_thousand_classes_count_as_nine() -> None:
    mapped = counts_as(wordnet_ids(), NINE)
    assert mapped.shape == (1000,)
    assert int((mapped >= 0).sum()) == 370
    assert mapped[[151, 9, 407, 35, 291, 300, 401, 365, 0, 340]].tolist() == [*range(9), -1]


def test_the_stand_ins_fit_together() -> None:
    assert counts_as(IMAGENET_CLASSES, NINE).tolist() == list(range(9))


def test_equal_names_count_as_themselves() -> None:
    logits = torch.eye(4)
    mapped = counts_as(["a", "b", "c", "d"], ["c", "a"])
    assert mapped[logits.argmax(dim=1)].tolist() == [1, -1, 0, -1]


def test_nothing_in_common() -> None:
    with pytest.raises(ConfigError, match=r"\(0, 1, 2, \.\.\.\) must have some in common"):
        counts_as([str(digit) for digit in range(10)], NINE)
