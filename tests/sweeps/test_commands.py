"""What every command on a stored sweep does with a sweep that it cannot work with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sweeps import confirm as confirm
from sweeps import pareto, ui
from sweeps import report as report
from tests.sweeps.studies import failed_trial, write_study

COMMANDS = {
    "pareto": pareto.main,
    "report": report.main,
    "confirm": confirm.main,
    "ui": ui.main,
}
CASES = {
    "clowd": "sweep clowd is not in",
    "empty": "the study has no trials yet; run the sweep first",
    "hopeless": "all 2 trials failed (no memory)",
}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_study(folder / "empty", [])
    write_study(folder / "hopeless", [failed_trial("no memory"), failed_trial()])
    return folder


@pytest.mark.parametrize("sweep", CASES)
@pytest.mark.parametrize("main", COMMANDS.values(), ids=COMMANDS)
def test_it_is_told_in_one_line_and_nothing_is_left_behind(
    main: Callable[[Sequence[str]], int],
    sweep: str,
    storage: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(storage.rglob("*"))
    assert main([sweep, f"storage={storage}"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    if main is not ui.main or sweep != "hopeless":  # failures can be looked at, where recorded
        assert CASES[sweep] in told.err
    assert sorted(storage.rglob("*")) == before
