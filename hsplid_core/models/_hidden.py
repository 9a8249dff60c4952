"""Looking at what the layers inside an encoder put out, without the encoder knowing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from hsplid_core.errors import ConfigError


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
