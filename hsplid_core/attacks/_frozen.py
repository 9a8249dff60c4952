"""Holding a model still while it is attacked or evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from hsplid_core.errors import ConfigError


@contextmanager
def frozen(model: object) -> Iterator[None]:
    """Put a module into eval mode and keep gradients away from its parameters.

    Parameters that need no gradient also save autograd from keeping the activations that only a
    weight's gradient would read. A module in eval mode stays as it is, with any part of it that
    its owner left in training mode. Everything is put back on the way out, module by module and
    parameter by parameter, also when the body raises.

    Args:
        model: A module; any other callable is left alone.
    """
    if not isinstance(model, nn.Module):
        yield
        return
    modes = [(module, module.training) for module in model.modules()]
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        if model.training:
            model.eval()
        for parameter in learned:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
        for module, training in modes:
            module.training = training  # train() would recurse over parts that were in eval mode


def refuse_training_mode(model: object) -> None:
    """Refuse to measure a module that is not in the state it will be used in.

    A submodule may train: a defence can rest on dropout that stays on.

    Args:
        model: A module; any other callable has no modes.

    Raises:
        ConfigError: The module is in training mode.
    """
    if isinstance(model, nn.Module) and model.training:
        raise ConfigError(
            "the model is in training mode: call model.eval() first, or its dropout and batch "
            "statistics would be measured with it"
        )
