"""Everything one trial needs to know, as one value."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hsplid_core.bucket_path import AnyPath
from hsplid_core.config import DataConfig, EvaluationConfig, ModelConfig, TrainingConfig
from hsplid_core.config.rules import as_stored
from hsplid_core.errors import ConfigError

ParameterValue = float | int | str | bool | None

# A method from outside goes by package.module:Class, whose dots separate no sections.
_OUTSIDE = re.compile(r"method\.(?P<name>[\w.]+:\w+)(?:\.(?P<rest>.+))?")


def split_path(path: str) -> list[str]:
    """Split a field's dotted path into its keys.

    Args:
        path: For instance ``method.hsplid.rho_s`` or ``method.my_package.toy:ToyConfig.weight``.
    """
    outside = _OUTSIDE.fullmatch(path)
    if outside is None:
        return path.split(".")
    rest = outside["rest"]
    return ["method", outside["name"], *(rest.split(".") if rest else ())]


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One trial: data, model, method, training and evaluation.

    Attributes:
        method: Method name to its configuration (see ``hsplid_core.methods.METHODS``).
        recipe: Names of the methods that take part, joined by ``+``; None for all of them.
        seed: Seed of the initial weights, the order of the images and the attacks.
        initial_weights: Checkpoint of a model of the same shape to start from.
    """

    data: DataConfig
    model: ModelConfig
    method: Mapping[str, Any]
    training: TrainingConfig
    evaluation: EvaluationConfig
    recipe: str | None = None
    seed: int = 0
    initial_weights: AnyPath | None = None

    def __post_init__(self) -> None:
        check_recipe(self.recipe, self.method)

    @property
    def methods(self) -> dict[str, Any]:
        """The configurations of the methods that take part."""
        if self.recipe is None:
            return dict(self.method)
        return {name: self.method[name] for name in self.recipe.split("+")}

    def with_parameters(self, parameters: Mapping[str, ParameterValue]) -> TrialConfig:
        """Return a copy with some fields replaced by their dotted paths.

        Args:
            parameters: For instance ``{"method.hsplid.rho_s": 0.5}``.

        Raises:
            ConfigError: A path names no field, or a value is out of range.
        """
        config = self
        for path, value in parameters.items():
            config = _replace(config, split_path(path), value, path)
        return config

    def of_trial(self, parameters: Mapping[str, ParameterValue]) -> TrialConfig:
        """Return the config that a trial has run with, whatever rules have come since.

        Args:
            parameters: The trial's.

        Raises:
            ConfigError: A path names no field.
        """
        with as_stored():
            return self.with_parameters(parameters)


def check_recipe(recipe: str | None, method: Mapping[str, Any]) -> None:
    """Refuse a recipe that names a method twice, or one that is not there.

    Args:
        recipe: Names joined by ``+``; None for all.
        method: The methods that there are.

    Raises:
        ConfigError: The recipe is wrong.
    """
    names = [] if recipe is None else recipe.split("+")
    if len(set(names)) < len(names) or not set(names) <= set(method):
        raise ConfigError(
            f"recipe is {recipe}: join names of {', '.join(method)} by +, or use null for all"
        )


def _replace(node: Any, keys: list[str], value: Any, path: str) -> Any:
    key, *rest = keys
    if isinstance(node, Mapping):
        if key not in node:
            raise ConfigError(f"parameter {path}: there is no {key}, only {sorted(node)}")
        return {**node, key: _replace(node[key], rest, value, path) if rest else value}
    names = [f.name for f in dataclasses.fields(node)] if dataclasses.is_dataclass(node) else []
    if key not in names:
        raise ConfigError(f"parameter {path}: there is no {key}, only {sorted(names)}")
    new = _replace(getattr(node, key), rest, value, path) if rest else value
    return dataclasses.replace(node, **{key: new})
