"""Names in a spec that stand for something in the library: do they exist?

What the sweeps name is looked up without torch, whose import takes seconds; the library itself is
asked for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hsplid_core.config import DataConfig, EvaluationConfig, ModelConfig, TrainingConfig, check
from hsplid_core.config.analyses import MarginsConfig
from hsplid_core.config.names import ATTRIBUTIONS, DATA_SETS, NETWORKS, REGIONS, SCORES, TEST_SETS
from hsplid_core.errors import ConfigError, did_you_mean

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


def check_names(
    data: DataConfig, model: ModelConfig, training: TrainingConfig, evaluation: EvaluationConfig
) -> None:
    """Refuse names that nothing answers to, before anything is built from them.

    Raises:
        ConfigError: Some are unknown; the message names the field, what is known and the nearest.
    """
    device = training.device
    saliency = evaluation.saliency
    attributions = [] if saliency is None else saliency.methods
    scores = [] if saliency is None else saliency.scores
    check(
        [
            *(_rule("evaluation.saliency.methods", name, ATTRIBUTIONS) for name in attributions),
            *(_rule("evaluation.saliency.scores", name, SCORES) for name in scores),
            _rule("data.name", data.name, DATA_SETS),
            (
                data.name not in TEST_SETS,
                f"data.name is {data.name}, which has images to test on only: train on another "
                "data set and evaluate on this one",
            ),
            *((False, fault) for fault in _model_faults(model)),
            _region_rule(evaluation.region, data.image_size),
            _margins_rule(evaluation.margins, data.image_size),
            (
                # An image can be mirrored at its border once only.
                training.augmentation.blur_size < 2 * data.image_size,
                f"training.augmentation.blur_size is {training.augmentation.blur_size}: use less "
                f"than twice data.image_size, {data.image_size}",
            ),
            (
                _DEVICE.fullmatch(device) is not None,
                f"training.device is {device}: use auto, cpu, cuda, cuda:0 and so on, or mps",
            ),
        ]
    )


def _margins_rule(margins: MarginsConfig | None, image_size: int) -> tuple[bool, str]:
    if margins is None or margins.subspaces == "bands":
        return True, ""
    return (
        margins.size <= image_size,
        f"evaluation.margins.size is {margins.size}: {margins.subspaces} of images of "
        f"{image_size} pixels have 1 to {image_size} frequencies",
    )


def _model_faults(model: ModelConfig) -> list[str]:
    weights = NETWORKS.get(model.name)
    known = weights is not None and (model.weights is None or model.weights in weights)
    if known and model.checkpoint is None:
        return []
    from hsplid_core.models import model_faults

    return model_faults(model)


def _region_rule(name: str, image_size: int) -> tuple[bool, str]:
    if name in REGIONS:
        return True, ""
    from hsplid_core.attacks import find_region

    try:
        find_region(name)
    except ConfigError as error:
        return False, f"evaluation.{error}"
    side = name.removeprefix("block_")
    return (
        not side.isdecimal() or int(side) <= image_size,
        f"evaluation.region is {name}: a block of images of {image_size} pixels has a side of 1 "
        f"to {image_size}",
    )


def _rule(path: str, name: str, known: Iterable[str]) -> tuple[bool, str]:
    names = sorted(known)
    if name in names:
        return True, ""
    return False, f"{path} is {name}: use {' or '.join(names)}{did_you_mean(name, names)}"
