"""Feasibility of trials: limits of the search, and conditions to choose by."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hsplid_core.errors import ConfigError, did_you_mean
from sweeps.spec.sweep_spec import ConstraintSpec
from sweeps.spec.yaml_reader import parse_yaml
from sweeps.trials.record import TrialRecord
from trainables.config import ParameterValue


def is_feasible(metrics: Mapping[str, float], constraints: Sequence[ConstraintSpec]) -> bool:
    """Tell whether a trial's last metrics keep all limits; without a metric they do not."""
    return all(
        limit.metric in metrics and violation(limit, metrics[limit.metric]) <= 0
        for limit in constraints
    )


def violation(limit: ConstraintSpec, value: float) -> float:
    """Measure how far a value is beyond a limit, relative to the limit; 0 or less within it."""
    if not math.isfinite(value):
        return 1.0
    excess = []
    if limit.minimum is not None:
        excess.append((limit.minimum - value) / (abs(limit.minimum) or 1.0))
    if limit.maximum is not None:
        excess.append((value - limit.maximum) / (abs(limit.maximum) or 1.0))
    return max(excess)


def _violation_text(limit: ConstraintSpec, value: float) -> str | None:
    if violation(limit, value) <= 0:
        return None
    if limit.minimum is not None and not value >= limit.minimum:
        return f"{limit.metric} is {value:g}, below {limit.minimum:g}"
    return f"{limit.metric} is {value:g}, above {limit.maximum:g}"


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}


_ORDERING = ("<=", ">=", "<", ">")


_CONDITION = re.compile(r"\s*(?P<name>[^\s<>=!]+)\s*(?P<sign><=|>=|==|!=|<|>)\s*(?P<value>\S+)\s*")


@dataclass(frozen=True)
class Constraint:
    """One condition.

    Attributes:
        name: A metric of the last epoch, a parameter by its dotted path, or ``seconds``.
        sign: One of ``< <= > >= == !=``.
        value: What it is compared with, read as YAML.
    """

    name: str
    sign: str
    value: ParameterValue

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self.value}"

    def violation(self, record: TrialRecord) -> str | None:
        """Say why a trial does not satisfy the condition; None where it does."""
        known = _named_values(record)
        if self.name not in known:
            return f"has no {self.name}"
        found = known[self.name]
        if isinstance(found, float) and math.isnan(found):
            return f"{self.name} is nan"
        try:
            holds = _OPERATORS[self.sign](found, self.value)
        except TypeError:  # a text or nothing, where others have a number
            holds = False
        return None if holds else f"{self.name} is {_shown(found)}, not {self.sign} {self.value}"


def parse_constraints(text: str) -> list[Constraint]:
    """Read conditions joined by ``and``.

    Args:
        text: For instance ``val/accuracy >= 0.7 and hsplid/salient_dims > 1``.

    Raises:
        ConfigError: A part is no condition.
    """
    return [_parse(part) for part in re.split(r"\s+and\s+", text.strip())]


def _parse(text: str) -> Constraint:
    match = _CONDITION.fullmatch(text)
    value = parse_yaml(match["value"]) if match else None
    orders = match is not None and match["sign"] in _ORDERING
    if match is None or (orders and (isinstance(value, bool) or not _is_number(value))):
        raise ConfigError(
            f"feasible {text!r}: write NAME >= NUMBER (or <=, >, <, ==, !=), joined by and"
        )
    return Constraint(match["name"], match["sign"], value)


def check_constraints(constraints: Sequence[Constraint], records: Sequence[TrialRecord]) -> None:
    """Refuse a condition on something that no complete trial has.

    Raises:
        ConfigError: The name is unknown; the message has the nearest.
    """
    complete = [record for record in records if record.state == "complete"]
    names = {name for record in complete for name in _named_values(record)}
    for constraint in constraints:
        if constraint.name not in names:
            raise ConfigError(
                f"feasible {str(constraint)!r}: no complete trial has a metric or parameter "
                f"{constraint.name}{did_you_mean(constraint.name, names)}"
            )


def _named_values(record: TrialRecord) -> dict[str, ParameterValue]:
    return {"seconds": record.seconds, **record.parameters, **record.metrics}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _shown(value: ParameterValue) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
