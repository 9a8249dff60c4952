"""Everything one trial needs to know, as one value."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsplid_core.config import DataConfig, EvaluationConfig, ModelConfig, TrainingConfig
from hsplid_core.errors import ConfigError

ParameterValue = float | int | str | bool | None


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One trial: data, model, method, training and evaluation.

    Attributes:
        method: Method name to its configuration (see ``hsplid_core.methods.METHODS``).
        seed: Seed of the initial weights, the order of the images and the attacks.
        initial_weights: Checkpoint of a model of the same shape to start from.
    """

    data: DataConfig
    model: ModelConfig
    method: Mapping[str, Any]
    training: TrainingConfig
    evaluation: EvaluationConfig
    seed: int = 0
    initial_weights: Path | None = None

    def with_parameters(self, parameters: Mapping[str, ParameterValue]) -> TrialConfig:
        """Return a copy with some fields replaced by their dotted paths.

        Args:
            parameters: For instance ``{"method.hsplid.rho_s": 0.5}``.

        Raises:
            ConfigError: A path names no field, or a value is out of range.
        """
        config = self
        for path, value in parameters.items():
            config = _replace(config, path.split("."), value, path)
        return config


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
