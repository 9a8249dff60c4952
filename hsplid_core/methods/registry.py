"""Which configuration class a method's name stands for."""

from __future__ import annotations

import importlib
from typing import Any

from hsplid_core.errors import ConfigError, did_you_mean
from hsplid_core.methods.adversarial import AdversarialConfig
from hsplid_core.methods.cross_entropy import CrossEntropyConfig
from hsplid_core.methods.hbar import HbarConfig
from hsplid_core.methods.hsplid import HsplidConfig
from hsplid_core.methods.human_attention import HumanAttentionConfig
from hsplid_core.methods.norm_adversarial import NormAdversarialConfig
from hsplid_core.methods.sib import SibConfig
from hsplid_core.methods.sparsity import SparsityConfig

METHODS: dict[str, type[Any]] = {
    "adversarial": AdversarialConfig,
    "cross_entropy": CrossEntropyConfig,
    "hbar": HbarConfig,
    "hsplid": HsplidConfig,
    "human_attention": HumanAttentionConfig,
    "norm_adversarial": NormAdversarialConfig,
    "sib": SibConfig,
    "sparsity": SparsityConfig,
}


def method_class(name: str) -> type[Any]:
    """Find the configuration class of a method.

    Args:
        name: A name in :data:`METHODS`, or ``package.module:Class`` for a method that lives
            outside this package.

    Raises:
        ConfigError: No such name, module or class.
    """
    if name in METHODS:
        return METHODS[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ConfigError(
            f"method {name} is unknown: use one of {sorted(METHODS)}{did_you_mean(name, METHODS)}"
        )
    try:
        found: type[Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"method {name} cannot be imported: {error}") from error
    return found
