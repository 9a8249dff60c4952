"""Decide what each picture of the demo shows, before any is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from hsplid_core.data.demo.scene import Animal
from hsplid_core.data.demo.silhouettes import distinct_rows, silhouettes
from hsplid_core.data.demo.textures import BACKGROUNDS
from hsplid_core.data.readers.coco_annotations import CLASS_NAMES
from hsplid_core.errors import ConfigError

_TWO_OF_A_CLASS = 0.15
_FIRST_ID = {"train": 1, "val": 500_000}


class Picture(NamedTuple):
    """One picture to draw.

    Attributes:
        image_id: Its number, unique over both splits.
        family: The background's.
        animals: None, one, two of a class, or two of different classes.
    """

    image_id: int
    family: str
    animals: list[Animal]


def plan(
    seed: int, n_usable: dict[Literal["train", "val"], int], background_correlation: float
) -> dict[Literal["train", "val"], list[Picture]]:
    """Cast all pictures of both splits; no silhouette is in two of them.

    Args:
        seed: Of every choice.
        n_usable: Pictures of a split that show exactly one class. A few more show two, or none.
        background_correlation: Probability in `train` that the background's family is the
            class's own, else it is one of the others. In `val` all families are as likely.

    Returns:
        The pictures of each split in the order of their ids.

    Raises:
        ConfigError: There are too few silhouettes.
    """
    animals = herd(np.random.default_rng(seed))
    agreement = {"train": background_correlation, "val": 1 / len(BACKGROUNDS)}
    pictures: dict[Literal["train", "val"], list[Picture]] = {}
    for split, count in n_usable.items():
        rng = np.random.default_rng([seed, _FIRST_ID[split]])
        pictures[split] = [
            Picture(
                _FIRST_ID[split] + position,
                _family(rng, cast, agreement[split]),
                [next_animal(animals, name) for name in cast],
            )
            for position, cast in enumerate(_casts(rng, count))
        ]
    return pictures


def herd(rng: np.random.Generator) -> dict[str, list[int]]:
    """Rows of the distinct silhouettes of each class, shuffled, to be used up."""
    return {
        name: [int(row) for row in rng.permutation(distinct_rows(name))] for name in silhouettes()
    }


def next_animal(animals: dict[str, list[int]], class_name: str) -> Animal:
    """Take a silhouette of a class out of the herd.

    Raises:
        ConfigError: None is left.
    """
    if not animals[class_name]:
        raise ConfigError(
            f"the demo has no {class_name} silhouette left: lower n_train and n_val, together to "
            "about 3000"
        )
    row = animals[class_name].pop()
    return Animal(class_name, row, silhouettes()[class_name][row])


def _casts(rng: np.random.Generator, n_usable: int) -> Iterator[list[str]]:
    """Which classes each picture shows, in shuffled order."""
    casts: list[list[str]] = []
    for number in range(n_usable):
        name = CLASS_NAMES[number % len(CLASS_NAMES)]
        casts.append([name] * (2 if rng.random() < _TWO_OF_A_CLASS else 1))
    for _ in range(max(2, n_usable // 150)):
        casts.append([str(name) for name in rng.choice(CLASS_NAMES, size=2, replace=False)])
        casts.append([])
    for number in rng.permutation(len(casts)):
        yield casts[number]


def _family(rng: np.random.Generator, cast: list[str], agreement: float) -> str:
    families = list(BACKGROUNDS)
    if not cast:
        return str(rng.choice(families))
    own = families.pop(CLASS_NAMES.index(cast[0]))
    return own if rng.random() < agreement else str(rng.choice(families))
