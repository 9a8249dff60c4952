"""YAML of specs: the numbers that people mean, and texts that would fill the memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hsplid_core.errors import ConfigError
from sweeps.spec.overrides import parse_overrides
from sweeps.spec.yaml_reader import parse_yaml, read_mapping


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("1e-3", 1e-3),
        ("1.5e3", 1500.0),
        ("+2E6", 2e6),
        ("-.5", -0.5),
        ("3.", 3.0),
        ("1_000", 1000),
        ("0x10", 16),
        ("-7", -7),
        ("0", 0),
        (".inf", float("inf")),
        ("e5", "e5"),
        (".", "."),
        ("1.2.3", "1.2.3"),
    ],
)
def test_numbers(text: str, value: object) -> None:
    found = parse_yaml(text)
    assert found == value
    assert type(found) is type(value)


def exploding(levels: int) -> str:
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &a\n  b: *a", "line 1, column 4: an alias stands inside of its own anchor"),
        ("a: &a [*a]", "line 1, column 4: an alias stands inside of its own anchor"),
        (exploding(4), "with its aliases it has more than 5,000 values"),
        (exploding(30), "with its aliases it has more than 5,000 values"),
        ("[" * 5_000, "it is nested too deeply"),
        ("a: 1\nb: [", "line 2, column 5: expected the node content, but found '<stream end>'"),
        ("a: 1\na: 2", "line 2, column 1: the key a is given twice"),
    ],
)
def test_one_line_says_what_is_wrong_and_where(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_mapping(file)
    assert str(caught.value) == f"{file} is not YAML: {problem}"


def test_aliases_that_stay_small_are_read() -> None:
    assert parse_yaml("a: &a {b: 1}\nc: *a\nd: {<<: *a, e: 2}")["d"] == {"b": 1, "e": 2}
    with pytest.raises(yaml.YAMLError):
        parse_yaml(exploding(5))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("tracking.experiment=run #3", "run #3"),
        ("storage=/data/a #2/runs", "/data/a #2/runs"),
        ("tracking.experiment=#3", "#3"),
        ("tracking.experiment='run #3'", "run #3"),
        ("evaluation.epsilons_255=[1, 2]", [1, 2]),
    ],
)
def test_a_command_line_has_no_comments(text: str, value: object) -> None:
    (override,) = parse_overrides([text])
    assert override.value == value
