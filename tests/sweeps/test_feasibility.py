from __future__ import annotations

import math

import pytest

from hsplid_core.errors import ConfigError
from sweeps.trials.feasibility import (
    Constraint,
    check_constraints,
    named_values,
    parse_constraints,
)
from sweeps.trials.record import TrialRecord

RECORD = TrialRecord(
    number=0,
    state="complete",
    parameters={"method.hsplid.hsic_warmup": "hard_split", "training.epochs": 20},
    metrics={"val/accuracy": 0.8, "hsic/z": math.nan},
    seconds=30.0,
)


def test_conditions_are_read_from_text() -> None:
    text = "val/accuracy >= 0.7 and seconds<600 and method.hsplid.hsic_warmup == hard_split"
    assert parse_constraints(text) == [
        Constraint("val/accuracy", ">=", 0.7),
        Constraint("seconds", "<", 600),
        Constraint("method.hsplid.hsic_warmup", "==", "hard_split"),
    ]
    assert parse_constraints("x > 1e-3")[0].value == 1e-3


@pytest.mark.parametrize(
    "text", ["", "val/accuracy", "a >= b", "a > 1 or b > 2", "a => 1", "a > nan"]
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write NAME >= NUMBER"):
        parse_constraints(text)


@pytest.mark.parametrize(
    ("condition", "violation"),
    [
        ("val/accuracy >= 0.8", None),
        ("val/accuracy > 0.8", "val/accuracy is 0.8, not > 0.8"),
        ("training.epochs == 20", None),
        ("method.hsplid.hsic_warmup != hard_split", "is hard_split, not != hard_split"),
        ("method.hsplid.hsic_warmup > 2", "is hard_split, not > 2"),
        ("hsic/z < 1", "hsic/z is nan"),
        ("hsic/z != 1", "hsic/z is nan"),
        ("val/other < 1", "has no val/other"),
        ("seconds < 10", "seconds is 30, not < 10"),
    ],
)
def test_a_violation_says_what_the_trial_has(condition: str, violation: str | None) -> None:
    (constraint,) = parse_constraints(condition)
    found = constraint.violation(named_values(RECORD))
    assert found is None if violation is None else violation in str(found)


def test_a_name_that_no_trial_has_is_refused_with_the_nearest() -> None:
    check_constraints(parse_constraints("seconds > 1 and training.epochs > 2"), [RECORD])
    with pytest.raises(ConfigError, match="val/acuracy; did you mean val/accuracy"):
        check_constraints(parse_constraints("val/acuracy > 0.5"), [RECORD])
