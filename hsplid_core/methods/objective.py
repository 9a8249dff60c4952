"""A training objective: a sum of terms over one forward pass, after an optional perturbation.

A method of a paper is one file beside this one, whose ``build`` makes of its settings (a section
of ``hsplid_core.config.methods``) a :class:`Term`, something to add to the loss, or a
:class:`Perturbation`, something to do to the images first. Methods compose because an objective
just adds them up.

One step runs in a fixed order: perturb, encode, ``after_encode`` of every term (which may change
the model's feature mask), predict, then the terms themselves. What costs extra, such as the
gradient of the inputs or the outputs of hidden layers, is prepared only if a term asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from hsplid_core.data.batch import Batch
from hsplid_core.methods._double_backward import TwiceDifferentiable
from hsplid_core.models.masked import MaskedClassifier


class ForwardPass(NamedTuple):
    """What the terms of an objective may look at.

    Attributes:
        batch: The batch as the model saw it (perturbed, where a perturbation is on).
        inputs: The normalised images, [B, C, H, W]; they require a gradient where a term has
            ``needs_input_gradient``.
        features: Penultimate activations before the feature mask, [B, D].
        logits: Class scores, [B, K].
        model: The model, for terms about its parameters; nothing here may change it.
        hidden: Outputs of the encoder's hidden layers, first layer first, [B, ...] each; empty
            unless a term has ``needs_hidden``.
    """

    batch: Batch
    inputs: Tensor
    features: Tensor
    logits: Tensor
    model: MaskedClassifier
    hidden: tuple[Tensor, ...] = ()


class Encoded(NamedTuple):
    """The fields of a :class:`ForwardPass` that are there before the images are classified."""

    inputs: Tensor
    features: Tensor
    hidden: tuple[Tensor, ...]


class Summand(NamedTuple):
    """One weighted scalar of the objective; the unweighted value is what gets logged."""

    name: str
    weight: float
    value: Tensor


class Term(nn.Module):
    """A part of the objective; everything that must survive a checkpoint is a buffer.

    Subclasses override what they need: most only need ``forward``.

    Attributes:
        needs_input_gradient: Whether ``forward`` differentiates in ``step.inputs``.
        needs_hidden: Whether ``forward`` reads ``step.hidden``.
        couples_batch: Whether the value for a batch is another than the mean of those for its
            parts. Such a term overrides ``rows`` and ``of_rows`` instead of ``forward``; a batch
            that is computed in parts then gives it the rows of all parts at once.
    """

    needs_input_gradient: ClassVar[bool] = False
    needs_hidden: ClassVar[bool] = False
    couples_batch: bool = False

    def start(self, model: MaskedClassifier, batches: Iterable[Batch]) -> None:
        """Prepare from the training images, once, before the first step of a run."""

    def start_epoch(self, epoch: int) -> None:
        """React to the beginning of an epoch, counted from 0."""

    def after_encode(self, model: MaskedClassifier, features: Tensor, target: Tensor) -> None:
        """React to the features [B, D] of a step before they are classified."""

    def forward(self, step: ForwardPass) -> list[Summand]:
        """Return this step's summands; a summand of weight zero must not be computed."""
        return self.of_rows(self.rows(step), step)

    def rows(self, step: ForwardPass) -> tuple[Tensor, ...]:
        """Return what a coupling term needs of each image, with its graph, [B, ...] each."""
        raise NotImplementedError

    def of_rows(self, rows: tuple[Tensor, ...], step: ForwardPass) -> list[Summand]:
        """Return the summands of a batch's rows, which differentiate in the rows alone."""
        raise NotImplementedError

    def metrics(self) -> dict[str, float]:
        """Return numbers worth logging once an epoch, such as the salient dimensions."""
        return {}


def full_precision(x: Tensor) -> Tensor:
    """Cast the half types of mixed precision up to float32; leave float32 and float64 alone."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class Perturbation(Protocol):
    """A change of the training images before the forward pass."""

    def __call__(self, model: MaskedClassifier, batch: Batch) -> Batch:
        """Return the batch to train on."""
        ...


class Shape(NamedTuple):
    """The sizes that a method may need to build itself.

    Attributes:
        num_classes: Number K of classes.
        num_features: Length D of the feature vector.
        batches_per_epoch: Steps in one pass over the training images.
        batch_size: Images per step.
        class_counts: Training images of each class, K numbers; None where nobody counted.
    """

    num_classes: int
    num_features: int
    batches_per_epoch: int
    batch_size: int
    class_counts: tuple[int, ...] | None = None


@runtime_checkable
class MethodConfig(Protocol):
    """The settings of a method from outside this package."""

    def build(self, shape: Shape) -> Term | Perturbation | None:
        """Make the method's part of an objective; None where its weights switch it off."""
        ...


@dataclass(frozen=True)
class Step:
    """The outcome of one forward pass: the loss to minimise and its unweighted values."""

    loss: Tensor
    values: Mapping[str, Tensor]


def classified(model: MaskedClassifier, batch: Batch, encoded: Encoded) -> ForwardPass:
    """Classify what is encoded, through the model's mask as it is by now."""
    inputs, features, hidden = encoded
    return ForwardPass(batch, inputs, features, model.predict(features), model, hidden)


def add_up(summands: Mapping[str, Iterable[Summand]], like: Tensor) -> Step:
    """Sum the weighted values of some terms.

    Args:
        summands: Of each term, by its name.
        like: Has the device and the dtype of the sum of nothing.
    """
    loss = like.new_zeros(())
    values: dict[str, Tensor] = {}
    for name, found in summands.items():
        for summand in found:
            loss = loss + summand.weight * summand.value
            values[f"{name}/{summand.name}"] = summand.value.detach()
    return Step(loss, values)


class Objective(nn.Module):
    """The sum of some terms, with at most one perturbation before them."""

    def __init__(self, terms: Mapping[str, Term], perturbation: Perturbation | None) -> None:
        super().__init__()
        self.terms = nn.ModuleDict(terms)
        self.perturbation = perturbation

    def named_terms(self) -> list[tuple[str, Term]]:
        """Return the terms with their names, in the order in which they act."""
        return [(name, term) for name, term in self.terms.items() if isinstance(term, Term)]

    def start(self, model: MaskedClassifier, batches: Iterable[Batch]) -> None:
        """Let every term prepare itself from the training images."""
        for _, term in self.named_terms():
            term.start(model, batches)

    def start_epoch(self, epoch: int) -> None:
        """Tell every term that an epoch begins."""
        for _, term in self.named_terms():
            term.start_epoch(epoch)

    def perturb(self, model: MaskedClassifier, batch: Batch) -> Batch:
        """Return the batch to train on."""
        return batch if self.perturbation is None else self.perturbation(model, batch)

    def encode(self, model: MaskedClassifier, batch: Batch) -> Encoded:
        """Encode a batch, and keep what the terms need besides."""
        inputs = model.normalise(batch.image)
        if any(term.needs_input_gradient for _, term in self.named_terms()):
            inputs = inputs.detach().requires_grad_()
            with TwiceDifferentiable():
                return self._encode(model, inputs)
        return self._encode(model, inputs)

    def _encode(self, model: MaskedClassifier, inputs: Tensor) -> Encoded:
        if any(term.needs_hidden for _, term in self.named_terms()):
            return Encoded(inputs, *model.encode_with_hidden(inputs))
        return Encoded(inputs, model.encode_normalised(inputs), ())

    def after_encode(self, model: MaskedClassifier, features: Tensor, target: Tensor) -> None:
        """Tell every term the features; not in half precision, in which means lose digits."""
        with torch.autocast(features.device.type, enabled=False):
            for _, term in self.named_terms():
                term.after_encode(model, full_precision(features), target)

    def forward(self, model: MaskedClassifier, batch: Batch) -> Step:
        """Evaluate the objective on one batch.

        Returns:
            The loss, a scalar with gradient, and each summand's unweighted value, detached.
        """
        batch = self.perturb(model, batch)
        encoded = self.encode(model, batch)
        self.after_encode(model, encoded.features, batch.target)
        step = classified(model, batch, encoded)
        return add_up({name: term(step) for name, term in self.named_terms()}, step.features)

    def metrics(self) -> dict[str, float]:
        """Collect every term's once-an-epoch numbers."""
        return {
            f"{name}/{key}": value
            for name, term in self.named_terms()
            for key, value in term.metrics().items()
        }
