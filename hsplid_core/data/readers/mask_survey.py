"""Mask survey: a look at all masks of a data set, which decides what their values mean."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsplid_core.config.mask_values import MaskValues
from hsplid_core.data.readers.mask_layers import layers_of
from hsplid_core.data.readers.mask_rule import Look, MaskRule, decide, look_at
from hsplid_core.data.readers.pictures import must_fit, open_picture
from hsplid_core.data.workers import n_cores
from hsplid_core.errors import DataError
from hsplid_core.files import map_in_threads


class MaskSurvey(NamedTuple):
    """What was decided about the masks of a data set.

    Attributes:
        rule: What is the object.
        fault: Why that is not clear, in a sentence; None where it is.
        as_ever: Whether the rule gives what "128 and brighter in grey" gives, as it was once read.
    """

    rule: MaskRule
    fault: str | None = None
    as_ever: bool = True


def survey_masks(paths: Iterable[Path], wanted: MaskValues | None) -> MaskSurvey:
    """Look at all masks of a data set.

    Args:
        paths: Of training and test images alike. What can't be read is passed over: reading it
            for its picture tells.
        wanted: What `data.mask_values` says.
    """
    # Both splits of a data set ask for the same.
    unique = tuple(sorted(set(paths)))
    return _survey(unique, wanted, tuple(map(_time, unique)))


@functools.lru_cache(maxsize=4)
def _survey(
    paths: tuple[Path, ...], wanted: MaskValues | None, times: tuple[int, ...]
) -> MaskSurvey:
    looked = map_in_threads(partial(_look, wanted), paths, n_cores())
    looks = [look for look in looked if look is not None]
    if not looks:
        return MaskSurvey(MaskRule())
    try:
        rule = decide(looks, wanted)
    except ValueError as error:
        return MaskSurvey(MaskRule(), fault=str(error))
    return MaskSurvey(rule, as_ever=_as_ever(rule, looks))


def object_pixels(path: Path, size: tuple[int, int], rule: MaskRule) -> NDArray[np.uint8]:
    """Decode a mask that belongs to a picture.

    Args:
        path: Its file.
        size: Width and height of the picture, upright.
        rule: What is the object.

    Returns:
        1 on the object, else 0, uint8, [H, W].

    Raises:
        DataError: The file is missing or damaged, or of another size than the picture.
    """
    image = open_picture(path)
    must_fit(image, path, size, "mask")
    return rule.object_in(layers_of(image, path)).astype(np.uint8)


def _look(wanted: MaskValues | None, path: Path) -> Look | None:
    try:
        return look_at(layers_of(open_picture(path), path), wanted)
    except DataError:
        return None


def _time(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _as_ever(rule: MaskRule, looks: list[Look]) -> bool:
    if rule.wanted is not None or rule.alpha is not None or any(look.coloured for look in looks):
        return False
    assert rule.grey is not None
    if rule.grey.meaning == "bright":
        return rule.grey.threshold == 128
    values = np.concatenate([look.codes.values for look in looks])
    return rule.grey.meaning == "not_0" and bool(np.isin(values, [0, *range(128, 256)]).all())
