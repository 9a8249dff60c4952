"""Stored spec with values that only a later version refuses: opened, but not run anew."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hsplid_core.errors import ConfigError
from sweeps import confirm, pareto, repair, report, sync
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import merged
from sweeps.study.sweep_info import read_spec
from sweeps.tracking.journal import SPOOL_FILE, Spool
from tests.sweeps.recorded import recorded_sweep
from tests.tiny import tiny_data

# One for each way in which a rule is written down, and what would tell it.
RANGES: dict[str, tuple[Mapping[str, Any], str]] = {
    "field of the spec": ({"trials": 10**6}, "trials is 1000000"),
    "field of a section": ({"search": {"reduction_factor": 1000}}, "search.reduction_factor"),
    "infinite number": ({"cluster": {"lost_after": float("inf")}}, "cluster.lost_after"),
    "range of training": ({"training": {"batch_size": 10**6}}, "training.batch_size is 1000000"),
    "setting of a method": ({"method": {"hsplid": {"rho_n": 2e6}}}, "method.hsplid.rho_n"),
    "limits that exclude each other": (
        {"search": {"constraints": [{"metric": "val/accuracy", "minimum": 1, "maximum": 0}]}},
        "minimum is 1, above the maximum, 0",
    ),
    "two fields": ({"search": {"grace_epochs": 9999}}, "search.grace_epochs is 9999"),
    "name of a file": ({"name": "cache"}, "name is cache"),
    "long name": ({"name": "n" * 200}, "name is"),
    "place of MLflow": ({"tracking": {"uri": "a/folder"}}, "tracking.uri is a/folder"),
    "space that has moved": ({"search": {"space": "gone:space"}}, "search.space"),
    "metric": (
        {"objectives": [{"metric": "val/misspelt", "direction": "maximize"}]},
        "val/misspelt",
    ),
    "text": ({"description": "\x07"}, "description is"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("made") / "runs"
    data = tiny_data(tmp_path_factory.mktemp("tiny"))
    folder = recorded_sweep(storage, data, [(0.5, 0.4), (0.4, 0.5)])
    Spool(folder / SPOOL_FILE).close()
    return folder


def changed(folder: Path, change: Mapping[str, Any]) -> Path:
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(merged(yaml.safe_load(file.read_text()), change)))
    return file


@pytest.mark.parametrize("kind", RANGES)
def test_a_stored_value_beyond_a_later_range_is_read_and_not_run(
    kind: str, made: Path, tmp_path: Path
) -> None:
    change, told = RANGES[kind]
    shutil.copy(made / "spec.yaml", tmp_path / "spec.yaml")
    file = changed(tmp_path, change)
    spec = read_spec(tmp_path)
    assert merged(spec.resolved(), change) == spec.resolved()
    assert spec.trial_config().training == spec.training
    with pytest.raises(ConfigError, match=re.escape(told)):
        load_spec(str(file))


@pytest.mark.parametrize(
    "change", [{"trials": "many"}, {"search": {"space": 3}}, {"method": {"nosuch": {}}}]
)
def test_a_stored_value_of_a_wrong_kind_is_refused(
    change: Mapping[str, Any], made: Path, tmp_path: Path
) -> None:
    shutil.copy(made / "spec.yaml", tmp_path / "spec.yaml")
    changed(tmp_path, change)
    with pytest.raises(ConfigError, match="1 fault"):
        read_spec(tmp_path)


def test_commands_that_train_nothing_open_its_sweep(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change: dict[str, Any] = {}
    for kind, (one, _) in RANGES.items():
        if kind not in ("name of a file", "long name", "place of MLflow", "metric"):
            change = merged(change, one)
    changed(made, change)
    here = f"storage={made.parent}"
    page = tmp_path / "report.html"
    for main, arguments in (
        (pareto.main, ["tiny", here]),
        (report.main, ["tiny", here, "--output", str(page)]),
        (sync.main, ["tiny", here]),
        (repair.main, ["tiny", here]),
    ):
        assert main(arguments) == 0, capsys.readouterr().err
    assert "1000000" in page.read_text()
    capsys.readouterr()
    assert confirm.main(["tiny", here]) == 2
    said = capsys.readouterr().err
    assert said.count("error: ") == 1
    assert "training.batch_size is 1000000" in said
