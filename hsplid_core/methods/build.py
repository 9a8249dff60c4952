"""Objectives from settings: what each method's settings build, and the sum of several."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from hsplid_core.config.methods import METHODS
from hsplid_core.errors import ConfigError
from hsplid_core.methods.objective import Objective, Perturbation, Shape, Term


def build_part(config: Any, shape: Shape) -> Term | Perturbation | None:
    """Make a method's part of an objective; None where its weights switch it off.

    A method of this package is built by `build` of the module that has its name.

    Args:
        config: Its settings: a section of ``hsplid_core.config.methods``, or a
            :class:`~hsplid_core.methods.MethodConfig` from outside.
        shape: Sizes of the model and of an epoch.
    """
    name = next((name for name, section in METHODS.items() if type(config) is section), None)
    if name is None:
        part: Term | Perturbation | None = config.build(shape)
    else:
        part = import_module(f"hsplid_core.methods.{name}").build(config, shape)
    return part


def build_objective(methods: Mapping[str, Any], shape: Shape) -> Objective:
    """Add up the parts that some method configurations build.

    Args:
        methods: Method name to its settings. A method from outside,
            ``package.module:Class``, goes by its class in state dicts and among logged values,
            where dots and colons are not allowed.
        shape: Sizes of the model and of an epoch.

    Raises:
        ConfigError: Nothing is left to minimise, two methods both perturb the images, or two go
            by the same name.
    """
    labels = [name.rpartition(":")[2] for name in methods]
    if len(set(labels)) < len(labels):
        raise ConfigError(f"method is {sorted(methods)}: two classes have the same name")
    parts = {
        label: build_part(config, shape)
        for label, config in zip(labels, methods.values(), strict=True)
    }
    terms = {name: part for name, part in parts.items() if isinstance(part, Term)}
    perturbations = {
        name: part
        for name, part in parts.items()
        if part is not None and not isinstance(part, Term)
    }
    if not terms:
        raise ConfigError(
            f"method is {sorted(methods)}: nothing is left to minimise; add cross_entropy"
        )
    if len(perturbations) > 1:
        raise ConfigError(f"method has two perturbations {sorted(perturbations)}: keep one")
    return Objective(terms, next(iter(perturbations.values()), None))
