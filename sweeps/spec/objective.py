"""Objectives: metrics to be made as large or as small as possible."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hsplid_core.config import Section, check
from hsplid_core.errors import ConfigError

_DIRECTIONS: Mapping[str | None, Literal["maximize", "minimize"]] = {
    None: "maximize",
    "max": "maximize",
    "min": "minimize",
}
_GOAL = re.compile(r"(?P<metric>[^:,\s]+)(:(?P<direction>max|min))?")


@dataclass(frozen=True)
class Objective(Section):
    """A metric to be made as large or as small as possible.

    Attributes:
        metric: Name of an epoch's metric, for instance ``val/accuracy``; its value in the last
            epoch counts.
        direction: Which values are better.
    """

    metric: str
    direction: Literal["maximize", "minimize"] = "maximize"

    def __post_init__(self) -> None:
        check([(bool(self.metric), "metric is empty: name a metric, such as val/accuracy")])


def minimised(values: Sequence[float], objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Turn the values of objectives into such of which less is better."""
    pairs = zip(values, objectives, strict=True)
    return tuple(-value if goal.direction == "maximize" else value for value, goal in pairs)


def parse_objectives(text: str) -> tuple[Objective, ...]:
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
        goals.append(Objective(metric=match["metric"], direction=_DIRECTIONS[match["direction"]]))
    if len({goal.metric for goal in goals}) < len(goals):
        raise ConfigError(f"metrics is {text}: give each metric once")
    return tuple(goals)
