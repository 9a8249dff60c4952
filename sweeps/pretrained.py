"""The starting weights that all trials of a sweep share: trained once, found by content."""

from __future__ import annotations

import hashlib
import json

from hsplid_core.bucket_path import AnyPath
from sweeps.spec import SweepSpec

_FOLDER = "pretrained"

# What decides the weights; everything else in a spec only decides how they are computed.
_DECISIVE = ("model", "method", "training", "seed")


def pretrain_key(spec: SweepSpec, data_key: str) -> str:
    """Hash what decides the pretrained weights.

    Args:
        spec: The pretraining sweep, with the data and the model of the sweep that uses it.
        data_key: Content hash of the training images.
    """
    resolved = spec.resolved()
    content = {**{name: resolved[name] for name in _DECISIVE}, "data": data_key}
    if spec.model.checkpoint is not None:
        # Another file under the same name makes other weights.
        file = spec.model.checkpoint.expanduser().read_bytes()
        content["checkpoint"] = hashlib.sha256(file).hexdigest()
    if spec.data.transform != "none":
        # The network's first layer, and none of the images that the data's key stands for.
        content["transform"] = [spec.data.transform, spec.data.bandwidth]
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def pretrained_file(storage: AnyPath, key: str) -> AnyPath:
    """Return where the weights of a key lie, whether they exist or not."""
    return storage / _FOLDER / f"{key}.pt"
