"""A classifier whose features can be masked between encoder and head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from hsplid_core.errors import ConfigError
from hsplid_core.frequency.filters import FrequencyFilter


class MaskedClassifier(nn.Module):
    """Images to logits through an explicit feature vector.

    ``forward(image) = predict(encode(image))`` with
    ``predict(z) = head(activation(z * feature_mask))``. The mask is a buffer, so a saved model
    classifies from its salient features wherever it is loaded.

    Args:
        encoder: Normalised images [B, C, H, W] to features [B, D].
        head: Features [B, D] to logits [B, K].
        mean: Channel means in pixel space [0, 1].
        std: Channel standard deviations in pixel space.
        activation: Between mask and head, element by element; None for none.
        front: Filter of the pixels before they are normalised; None leaves them as they are.
            ``mean`` and ``std`` are those of the filtered images where it loses frequencies, and
            of the pixels where it flips them.
    """

    mean: Tensor
    std: Tensor
    feature_mask: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Linear,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        activation: nn.Module | None = None,
        front: FrequencyFilter | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.activation = activation or nn.Identity()
        self.front = front
        self.register_buffer("mean", self._seen_mean(mean))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        self.register_buffer("feature_mask", torch.ones(head.in_features))
        self.register_load_state_dict_pre_hook(_spread_stored_mean)  # type: ignore[no-untyped-call]

    @property
    def num_features(self) -> int:
        """Length D of the feature vector."""
        return self.head.in_features

    @property
    def num_classes(self) -> int:
        """Number K of classes."""
        return self.head.out_features

    def set_normalisation(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Normalise by other statistics from now on, which are as when the model was made."""
        with torch.no_grad():
            self.mean.copy_(self._seen_mean(mean))
            self.std.copy_(torch.tensor(std).view_as(self.std))

    def _seen_mean(self, mean: Sequence[float]) -> Tensor:
        """What is taken from each pixel that the network sees, [1, C, 1, 1] or [1, C, H, W].

        As in the released code of Hold me tight! (arXiv 2002.06349), a network on flipped images
        is normalised by the flipped mean image: a flip then changes the place of frequencies,
        and nothing else.
        """
        constant = torch.tensor(mean).view(1, -1, 1, 1)
        if self.front is None or self.front.kind != "flip":
            return constant
        flipped: Tensor = self.front(constant.expand(-1, -1, *self.front.image_size))
        return flipped

    def normalise(self, image: Tensor) -> Tensor:
        """Turn pixels in [0, 1] into what the encoder expects, same shape."""
        return (self.see(image) - self.mean) / self.std

    def see(self, image: Tensor) -> Tensor:
        """Filter pixels [B, C, H, W] as the network sees them, before they are normalised."""
        seen: Tensor = image if self.front is None else self.front(image)
        return seen

    def classify_seen(self, seen: Tensor) -> Tensor:
        """Classify images [B, C, H, W] that :meth:`see` has filtered; logits [B, K]."""
        return self.predict(self.encode_normalised((seen - self.mean) / self.std))

    def denormalise(self, inputs: Tensor) -> Tensor:
        """Undo :meth:`normalise`; the result is not clipped to [0, 1].

        Behind a filter that loses frequencies, what an input has at those is lost once more.
        """
        seen = inputs * self.std + self.mean
        return seen if self.front is None else self.front.undo(seen)

    def encode_normalised(self, inputs: Tensor) -> Tensor:
        """Encode normalised images [B, C, H, W] to features [B, D]."""
        features: Tensor = self.encoder(inputs)
        return features

    def encode_with_hidden(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Encode normalised images and keep what the encoder's hidden layers put out.

        Args:
            inputs: Normalised images, [B, C, H, W].

        Returns:
            Features [B, D], and one output [B, ...] for each of ``encoder.hidden_layers``.

        Raises:
            ConfigError: The encoder does not name its hidden layers.
        """
        with hidden_outputs(self.encoder) as outputs:
            features = self.encode_normalised(inputs)
        return features, tuple(outputs)

    def encode(self, image: Tensor) -> Tensor:
        """Encode pixel images [B, C, H, W] in [0, 1] to features [B, D]."""
        return self.encode_normalised(self.normalise(image))

    def predict(self, features: Tensor) -> Tensor:
        """Classify features [B, D] through the mask; logits [B, K]."""
        logits: Tensor = self.head(self.activation(features * self.feature_mask))
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Classify pixel images [B, C, H, W] in [0, 1]; logits [B, K]."""
        return self.predict(self.encode(image))


def spread_mean(mean: Tensor, like: Tensor) -> Tensor:
    """Read channel means as a mean image, as checkpoints of flipped images once had them.

    Args:
        mean: Of a checkpoint, [1, C, 1, 1] or [1, C, H, W].
        like: That of the model which it is for.

    Returns:
        The same values in the model's shape, where they fit; else the mean as it is.
    """
    return mean.expand_as(like) if mean.shape == (*like.shape[:2], 1, 1) else mean


def _spread_stored_mean(
    model: nn.Module, state: dict[str, Tensor], prefix: str, *others: object
) -> None:
    name, expected = f"{prefix}mean", model.mean
    assert isinstance(expected, Tensor)
    if name in state:
        state[name] = spread_mean(state[name], expected)


@contextmanager
def hidden_outputs(encoder: nn.Module) -> Iterator[list[Tensor]]:
    """Record the outputs of an encoder's hidden layers while the body runs it once.

    The layers are those that the encoder names in its attribute ``hidden_layers``, a tuple of
    paths of submodules in the order in which they run. They are watched only inside the body, so
    a model that nobody looks into pays nothing.

    Args:
        encoder: Runs inside the body, once.

    Yields:
        A list that fills with the outputs, [B, ...] each, part of the graph.

    Raises:
        ConfigError: The encoder has no ``hidden_layers``.
    """
    names: tuple[str, ...] | None = getattr(encoder, "hidden_layers", None)
    if not names:
        raise ConfigError(
            f"{type(encoder).__name__} does not say which layers are hidden: give it an attribute "
            "hidden_layers with paths of submodules, or leave out the method that needs them"
        )
    outputs: list[Tensor] = []

    def keep(module: nn.Module, arguments: tuple[object, ...], output: Tensor) -> None:
        outputs.append(output)

    with ExitStack() as stack:
        for name in names:
            handle = encoder.get_submodule(name).register_forward_hook(keep)
            stack.callback(handle.remove)
        yield outputs
