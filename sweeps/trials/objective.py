"""Objectives: metrics to be made as large or as small as possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


class Objective(Protocol):
    """A metric to be made as large or as small as possible."""

    @property
    def metric(self) -> str:
        """Name of the metric, for instance ``val/accuracy``."""

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Which values are better."""


def minimised(values: Sequence[float], objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Turn the values of objectives into such of which less is better."""
    pairs = zip(values, objectives, strict=True)
    return tuple(-value if goal.direction == "maximize" else value for value, goal in pairs)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """An objective by name.

    Attributes:
        metric: Name of a metric.
        direction: Which values are better.
    """

    metric: str
    direction: Literal["maximize", "minimize"]
