"""Objectives: metrics to be made as large or as small as possible."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from hsplid_core.errors import ConfigError

_DIRECTIONS: Mapping[str | None, Literal["maximize", "minimize"]] = {
    None: "maximize",
    "max": "maximize",
    "min": "minimize",
}
_GOAL = re.compile(r"(?P<metric>[^:,\s]+)(:(?P<direction>max|min))?")


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


def parse_goals(text: str) -> tuple[Goal, ...]:
    """Read metrics with their directions.

    Args:
        text: For instance ``val/accuracy:max,hsplid/salient_dims:min``; without a direction more
            is better.

    Raises:
        ConfigError: A part is malformed, or a metric is given twice.
    """
    goals = []
    for part in text.split(","):
        match = _GOAL.fullmatch(part.strip())
        if match is None:
            raise ConfigError(f"metrics {part!r}: write NAME:max or NAME:min, joined by commas")
        goals.append(Goal(metric=match["metric"], direction=_DIRECTIONS[match["direction"]]))
    if len({goal.metric for goal in goals}) < len(goals):
        raise ConfigError(f"metrics is {text}: give each metric once")
    return tuple(goals)
