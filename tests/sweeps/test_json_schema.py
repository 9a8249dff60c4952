"""The JSON Schema of a spec: editors check by it what the sweeps check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sweeps.run import main
from sweeps.spec.json_schema import schema_text
from sweeps.spec.overrides import apply_overrides, parse_overrides
from sweeps.spec.registry import SWEEPS
from sweeps.spec.yaml_reader import read_mapping

SPECS = Path(__file__).resolve().parents[2] / "sweeps" / "specs"
HEADER = "# yaml-language-server: $schema=schema.json"


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_beside_the_specs_is_todays(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--schema"]) == 0
    printed = capsys.readouterr().out
    again = "python -m sweeps.run --schema > sweeps/specs/schema.json"
    assert (SPECS / "schema.json").read_text() == printed, again


@pytest.mark.parametrize(
    "file", sorted({entry.spec for entry in SWEEPS.values()}), ids=lambda file: file.stem
)
def test_every_spec_names_the_schema_and_is_as_it_says(file: Path, validator: Any) -> None:
    assert file.read_text().splitlines()[0] == HEADER
    assert [error.message for error in validator.iter_errors(read_mapping(file))] == []


def test_what_a_key_means_is_told_where_it_is_written() -> None:
    sections = json.loads(schema_text())["$defs"]
    rate = sections["TrainingConfig"]["properties"]["learning_rate"]
    assert rate["default"] == 5e-4
    undescribed = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, value in section.get("properties", {}).items()
        if "description" not in value
    ]
    assert len(undescribed) < 10, undescribed


@pytest.mark.parametrize(
    "override",
    [
        "training.epoch=3",
        "training.epochs=many",
        "search.sampler=tpa",
        "search.space=hslpid",
        "search.ranges.seed={low: 1, hgh: 3}",
        "budget.hours=-1",
        "method.hsplid.rho=1",
        "method.hslpid={}",
        "demo.training.epoch=1",
        "trials=0",
    ],
)
def test_an_editor_marks_what_a_sweep_refuses(override: str, validator: Any) -> None:
    values = read_mapping(SPECS / "coco_hsplid.yaml")
    path, _, text = override.partition("=")
    inner = path.removeprefix("demo.")
    (given,) = parse_overrides([f"{inner}={text}"])
    if path == inner:
        values = apply_overrides(values, [given])
    else:
        values["demo"] = apply_overrides(values["demo"], [given])
    (error, *_) = validator.iter_errors(values)
    assert error.message
