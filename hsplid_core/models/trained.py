"""A trained model that says what it is: how checkpoints describe it, and how it is built again.

Weights alone do not tell which network they belong to, in which order its classes stand, or how
large its images were. A checkpoint's description does, in plain values that any process can read
without the data set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hsplid_core.config import DataConfig, ModelConfig
from hsplid_core.errors import CheckpointError
from hsplid_core.files import from_home
from hsplid_core.frequency.filters import FrequencyFilter
from hsplid_core.models.build import build_model
from hsplid_core.models.masked import MaskedClassifier

if TYPE_CHECKING:
    from hsplid_core.data import ImageSet

DESCRIPTION = "description"

# Fields of the section `data` that say where images lie, and its name, which stands beside.
_PLACES = ("name", "root", "cache_dir", "node_cache", "on_device")


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model to be judged.

    Attributes:
        model: In eval mode.
        class_names: Names of its classes, in the order of its logits; empty for weights that do
            not tell, which answer with the classes of the data set or with ImageNet's.
        image_shape: C, H, W of the images that it was trained on.
        data: Name of the data set that it was trained on; empty where that is not known.
        root: Folder of that data; None for the stand-in, or where it is not known.
        resize: How pictures became square, as ``data.resize``; None for each data set's own way.
        resize_size: Side that they were resized to before the centre crop, as
            ``data.resize_size``.
        images: What else its sweep's section `data` said of these images, such as their split and
            a planted pixel, in plain values; empty where that is not known.
        normalised_by_data: Whether it is normalised by the statistics of whatever data it is
            judged on.
    """

    model: MaskedClassifier
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    data: str
    root: str | None = None
    resize: Literal["crop", "stretch"] | None = None
    resize_size: int | None = None
    images: Mapping[str, Any] = field(default_factory=dict)
    normalised_by_data: bool = False


def describe(
    network: ModelConfig,
    images: ImageSet,
    data: DataConfig,
    front: FrequencyFilter | None = None,
) -> dict[str, Any]:
    """Describe a model for its checkpoint.

    Args:
        network: Which network it is.
        images: Images that it is trained on.
        data: What they are, and how they were read.
        front: Filter before the network.

    Returns:
        Plain values; :func:`rebuild` reads them.
    """
    # Where its weights came from no longer matters, and the files may be gone.
    network = dataclasses.replace(network, weights=None, checkpoint=None, new_head=False)
    return {
        "model": dataclasses.asdict(network),
        "class_names": list(images.class_names),
        "image_shape": list(images.image_shape),
        "data": data.name,
        "root": None if data.root is None else str(from_home(data.root).absolute()),
        "resize": data.resize,
        "resize_size": data.resize_size,
        "images": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in dataclasses.asdict(data).items()
            if name not in _PLACES
        },
        "front": None if front is None else {"kind": front.kind, "bandwidth": front.bandwidth},
    }


def rebuild(state: Mapping[str, Any], *, source: str) -> TrainedModel:
    """Build the model of a checkpoint.

    Args:
        state: What the checkpoint holds: ``model``, its weights, and the description.
        source: Where it comes from, for errors.

    Raises:
        CheckpointError: There is no description, or the weights do not fit it.
    """
    if DESCRIPTION not in state or "model" not in state:
        raise CheckpointError(
            f"{source} holds {sorted(state)} but not which model that is: checkpoints do since "
            "they have a description; let the sweep write one by running it again"
        )
    found = state[DESCRIPTION]
    try:
        channels, height, width = found["image_shape"]
        class_names = tuple(found["class_names"])
        front = found.get("front")
        model = build_model(
            ModelConfig(**found["model"]),
            image_shape=(channels, height, width),
            num_classes=len(class_names),
            # The normalisation is part of the weights.
            mean=[0.0] * channels,
            std=[1.0] * channels,
            seed=0,
            # Checkpoints from before there were filters do not mention one.
            front=FrequencyFilter(image_size=(height, width), **front) if front else None,
        )
        model.load_state_dict(state["model"])
        return TrainedModel(
            model=model.eval(),
            class_names=class_names,
            image_shape=(channels, height, width),
            data=found["data"],
            # Checkpoints from before these were written down do not mention them.
            root=found.get("root"),
            resize=found.get("resize"),
            resize_size=found.get("resize_size"),
            images=found.get("images", {}),
        )
    except (RuntimeError, TypeError, AttributeError, ValueError, LookupError) as error:
        # torch lists what does not fit in lines of its own.
        cause = " ".join(str(error).split())
        raise CheckpointError(
            f"{source}: the weights do not fit their description: {cause}"
        ) from error
