"""Fitting state dicts from elsewhere into a model, strictly, and saying what does not fit.

A state dict may name its tensors as this project does (``encoder.``, ``head.``), or as the bare
network does (``conv1.weight``, ``fc.weight``), in torchvision or in pytorch-cifar. A wrapper may
have put a prefix before every name: Lightning modules ``model.`` or ``net.``, parallel training
``module.``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from hsplid_core.errors import CheckpointError
from hsplid_core.models.masked import MaskedClassifier, spread_mean
from hsplid_core.models.pytorch_cifar import as_torchvision

_BUFFERS = ("mean", "std", "feature_mask")
_SHOWN = 3
# DenseNets were saved under names with a dot that module names may no longer have.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


class _Reading(NamedTuple):
    """One way to read the names of a state dict, and the tensors by our names."""

    prefix: str
    own: bool
    tensors: dict[str, Tensor]


def fit_state(
    model: MaskedClassifier, state: Mapping[str, Tensor], *, source: str, new_head: bool = False
) -> None:
    """Load a state dict into a model.

    Tensors outside a wrapper's prefix belong to the wrapper and are passed over, except for the
    feature split of H-SPLID's released module, which becomes the feature mask.

    Args:
        model: Changed in place, and only if everything fits.
        state: The tensors by name.
        source: Where they come from, for the message.
        new_head: Keep the model's own classification layer.

    Raises:
        CheckpointError: Tensors are missing, left over, or of another shape; the message counts
            and names them.
    """
    expected = model.state_dict()
    reading = _best_reading(model, state, expected)
    found = dict(reading.tensors)
    if not found.keys() & expected.keys():
        names = _some(state)
        raise CheckpointError(
            f"{source} holds another network than {_network_name(model)}: none of its "
            f"{len(state)} tensors has a name of this one's ({names})"
        )
    if new_head:
        found = {name: t for name, t in found.items() if not name.startswith("head.")}
    if not reading.own and (mask := _released_mask(state)) is not None:
        found["feature_mask"] = mask
    if "mean" in found:
        found["mean"] = spread_mean(found["mean"], expected["mean"])
    optional = {name for name in expected if name.endswith("num_batches_tracked")}
    if not reading.own:
        optional |= set(_BUFFERS)
    if new_head:
        optional |= {name for name in expected if name.startswith("head.")}
    _refuse(
        source,
        model,
        missing=[name for name in expected if name not in found and name not in optional],
        unexpected=[name for name in found if name not in expected],
        misshaped=[
            f"{name} is {_shape(tensor)} and must be {_shape(expected[name])}"
            for name, tensor in found.items()
            if name in expected and tensor.shape != expected[name].shape
        ],
    )
    model.load_state_dict({**expected, **found})


def count_classes(model: MaskedClassifier, state: Mapping[str, Tensor]) -> int | None:
    """Count the classes of a state dict.

    Args:
        model: The network that it belongs to, of any number of classes.
        state: The tensors by name.

    Returns:
        The number; None where there is no classification layer of that network's.
    """
    head = _best_reading(model, state, model.state_dict()).tensors.get("head.weight")
    return None if head is None else len(head)


def _refuse(
    source: str,
    model: MaskedClassifier,
    *,
    missing: list[str],
    unexpected: list[str],
    misshaped: list[str],
) -> None:
    parts = [
        f"{len(names)} {what} ({_some(names)})"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshaped),
        )
        if names
    ]
    if not parts:
        return
    only_head = all(text.startswith("head.") for text in [*missing, *unexpected, *misshaped])
    remedy = (
        "; for other classes, set model.new_head=true"
        if only_head
        else "; check model.name, width, norm and stem, and the classes of the data"
    )
    raise CheckpointError(
        f"{source} does not fit {_network_name(model)}: {', '.join(parts)}{remedy}"
    )


def _best_reading(
    model: MaskedClassifier, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> _Reading:
    """Choose the prefix and the naming under which most tensors find their place."""
    readings = [
        _Reading(prefix, own, _renamed(model, state, prefix, own=own))
        for prefix in _prefixes(state)
        for own in (True, False)
    ]
    # The first of equals: prefixes come shortest first.
    return max(readings, key=lambda reading: len(reading.tensors.keys() & expected.keys()))


def _prefixes(names: Iterable[str]) -> list[str]:
    found = {""}
    for name in names:
        parts = name.split(".")
        found |= {".".join(parts[:depth]) + "." for depth in (1, 2) if len(parts) > depth}
    return sorted(found, key=lambda prefix: (len(prefix), prefix))


def _renamed(
    model: MaskedClassifier, state: Mapping[str, Tensor], prefix: str, *, own: bool
) -> dict[str, Tensor]:
    names = {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
    if own:
        return names
    names = dict(as_torchvision(names))
    head = f"{getattr(model.encoder, 'native_head', 'head')}."
    inside = f"encoder.{getattr(model.encoder, 'native_prefix', '')}"

    def ours(name: str) -> str:
        if name.startswith(head):
            return f"head.{name.removeprefix(head)}"
        return inside + _OLD_DENSENET.sub(r"\1\2", name)

    return {ours(name): tensor for name, tensor in names.items()}


def _released_mask(state: Mapping[str, Tensor]) -> Tensor | None:
    """Read the split of H-SPLID's released module: hard where both spaces have > 1 dimension."""
    if "hard_betas" not in state or "beta_cs" not in state:
        return None
    salient, nonsalient = state["hard_betas"]
    return salient if min(salient.sum(), nonsalient.sum()) > 1 else state["beta_cs"]


def _network_name(model: MaskedClassifier) -> str:
    kind = getattr(model.encoder, "network", model.encoder)
    return f"this {type(kind).__name__} of {model.num_classes} classes"


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
