"""All commands: what --help and --list import, and what is told of a sweep that cannot be used."""

from __future__ import annotations

import io
import json
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sweeps import __main__, confirm, pareto, report, run, sync, ui
from sweeps._command_line import report_errors
from tests.sweeps.studies import failed_trial, write_study

ALL = tuple(__main__.COMMANDS)
HEAVY = {"torch", "ray", "optuna", "mlflow", "plotly", "pyarrow", "pydantic", "rich", "PIL"}
ROOT = Path(__file__).resolve().parents[2]
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


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("__main__", "--help"),
        *((name, "--help") for name in ALL),
        ("run", "--list"),
        ("run", "--list --json"),
    ],
)
def test_help_and_the_list_import_nothing_heavy(
    command: str, options: str, record_property: Callable[[str, object], None]
) -> None:
    code = (
        f"import sys\nfrom sweeps.{command} import main\n"
        f"try:\n    main({options.split()!r})\nexcept SystemExit as ended:\n"
        "    assert ended.code == 0\n"
        "sys.stderr.write(' '.join(sys.modules))\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    record_property("cpu_seconds", round(seconds, 2))
    if options == "--help" and command in ALL:
        assert done.stdout.startswith(f"usage: python -m sweeps.{command} ")
        assert f"examples:\n  python -m sweeps.{command} " in done.stdout
    assert HEAVY.isdisjoint(done.stderr.split())


def test_every_command_is_tested() -> None:
    files = {path.stem for path in (ROOT / "sweeps").glob("*.py")}
    assert files - {"__init__", "__main__", "_command_line", "_completion", "api"} == set(ALL)


def test_the_first_word_may_name_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["run", "--list"]) == 0
    by_name = capsys.readouterr().out
    assert run.main(["--list"]) == 0
    assert capsys.readouterr().out == by_name
    assert __main__.main(["rum", "--list"]) == 2
    assert "error: rum is no command: use run, control, submit, " in (
        told := capsys.readouterr().err
    )
    assert told.endswith("did you mean run?\n")
    assert __main__.main([]) == 2
    usage = capsys.readouterr().out
    assert all(f"\n  {name} " in usage for name in ALL)
    assert "usage: saliency-sweeps COMMAND" in usage


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


# -- errors from outside --------------------------------------------------------------------------


def closed_database() -> int:
    with sqlite3.connect("file:/nowhere?mode=ro", uri=True):
        return 0


def fault() -> int:
    known: dict[str, int] = {}
    return known["no such key"]


def missing_file() -> int:
    return len(Path("/nowhere/file").read_text())


def no_json() -> int:
    return int(json.loads("{"))


def no_text() -> int:
    return len(b"\xff".decode())


def no_table() -> int:
    return int(pq.read_table(io.BytesIO(b"PAR1")).num_rows)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (
            no_json,
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1) ("
            "JSONDecodeError; ",
        ),
        (
            no_text,
            "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte ("
            "UnicodeDecodeError; ",
        ),
        (
            no_table,
            "Could not open Parquet input source '<Buffer>': Parquet file size is 4 bytes, "
            "smaller than the minimum file footer (8 bytes) ("
            "ArrowInvalid; ",
        ),
        (missing_file, "/nowhere/file: No such file or directory (FileNotFoundError; "),
        (closed_database, "unable to open database file (OperationalError; "),
    ],
)
def test_an_error_from_outside_is_one_line_and_its_traceback_is_there_on_demand(
    command: Callable[[], int], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = f"error: {line}--debug shows where)\n"
    assert report_errors(command, debug=False) == 2
    assert capsys.readouterr().err == whole
    assert report_errors(command, debug=True, about="") == 2
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert told.endswith(whole)


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(KeyError, match="no such key"):
        report_errors(fault, debug=False)


TOO_LONG = "n" * 300


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ("{}/file", "storage must be a folder that can be created"),
        ("{}/file/below", "Not a directory"),
        ("/proc/nothing", "No such file or directory"),
        ("{}/" + TOO_LONG, "use a path whose names have at most 255 bytes each"),
    ],
)
@pytest.mark.parametrize("command", ["run", "sync"])
def test_a_storage_that_cannot_be_one_is_a_line(
    command: str, place: str, cause: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    storage = f"storage={place.format(tmp_path)}"
    if command == "run":
        assert run.main(["coco_hsplid", storage]) == 2
    else:
        assert sync.main(["coco_hsplid", storage]) == 2
        cause = "File name too long" if TOO_LONG in place else "is not in"
    told = capsys.readouterr().err.splitlines()
    assert cause in told[-1]
    assert any(line.startswith("error: ") for line in told)
    assert "Traceback" not in "".join(told)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
