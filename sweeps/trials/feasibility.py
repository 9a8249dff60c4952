"""Feasibility of trials: conditions that a trial must satisfy to be usable, or to be chosen.

A condition has two spellings. A spec's ``search.constraints`` limit metrics by a minimum and a
maximum, and a sampler learns how far a trial is beyond them; on the command line,
``hsplid/salient_dims >= 2 and seconds < 600`` chooses among the trials that there are.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hsplid_core.errors import ConfigError, did_you_mean
from sweeps.spec.search_spec import ConstraintSpec
from sweeps.spec.yaml_reader import parse_yaml
from sweeps.trials.record import TrialRecord
from trainables.config import ParameterValue

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
        value: What it is compared with.
    """

    name: str
    sign: str
    value: ParameterValue

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self.value}"

    def violation(self, known: Mapping[str, ParameterValue]) -> str | None:
        """Say why a trial does not satisfy the condition; None where it does.

        Args:
            known: What there is of the trial, by name.
        """
        if self.name not in known:
            return f"has no {self.name}"
        found = known[self.name]
        if isinstance(found, float) and not math.isfinite(found):
            return f"{self.name} is {found}"
        try:
            holds = _OPERATORS[self.sign](found, self.value)
        except TypeError:  # a text or nothing, where others have a number
            holds = False
        if holds:
            return None
        return f"{self.name} is {_shown(found)}, not {self.sign} {_shown(self.value)}"


def limits_of(constraints: Iterable[ConstraintSpec]) -> list[Constraint]:
    """Return the conditions that a spec's constraints stand for."""
    limits = []
    for constraint in constraints:
        for sign, bound in ((">=", constraint.minimum), ("<=", constraint.maximum)):
            if bound is not None:
                limits.append(Constraint(constraint.metric, sign, bound))
    return limits


def excess(constraint: ConstraintSpec, value: float) -> float:
    """Measure how far a value is beyond a limit, relative to the limit; 0 or less within it.

    This is what Optuna's samplers learn from.
    """
    if not math.isfinite(value):
        return 1.0
    beyond = []
    if constraint.minimum is not None:
        beyond.append((constraint.minimum - value) / (abs(constraint.minimum) or 1.0))
    if constraint.maximum is not None:
        beyond.append((value - constraint.maximum) / (abs(constraint.maximum) or 1.0))
    return max(beyond)


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
    names = {name for record in complete for name in named_values(record)}
    for constraint in constraints:
        if constraint.name not in names:
            raise ConfigError(
                f"feasible {str(constraint)!r}: no complete trial has a metric or parameter "
                f"{constraint.name}{did_you_mean(constraint.name, names)}"
            )


def named_values(record: TrialRecord) -> dict[str, ParameterValue]:
    """Return what a condition may name of a trial."""
    return {"seconds": record.seconds, **record.parameters, **record.metrics}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _shown(value: ParameterValue) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
