"""Every file of a sweep damaged in every way: commands say a line, and no trial is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
import pytest

from sweeps import confirm, evaluate, pareto, repair, report, run, sync, ui
from sweeps.study.study import load_study
from sweeps.tracking.journal import SPOOL_FILE, Spool
from sweeps.trials.from_study import records_of
from sweeps.trials.table_file import write_parquet
from tests.sweeps.damages import DAMAGES, cut, make_folder
from tests.sweeps.recorded import recorded_sweep
from tests.sweeps.records import GOALS
from tests.tiny import tiny_data

VALUES = [(0.5, 0.4), (0.4, 0.5)]
STUDY, MLFLOW = "tiny/study.log", "mlflow.db"
CHECKPOINT = "tiny/ray/attempt_001/trial_00000/checkpoint_000000/state.pt"
FILES = (
    STUDY,
    "tiny/study.json",
    "tiny/about.json",
    "tiny/spec.yaml",
    "tiny/trials.parquet",
    "tiny/tracking.db",
    CHECKPOINT,
    MLFLOW,
)
WAYS: dict[str, Callable[[Path], object]] = {
    **{name: DAMAGES[name] for name in ("gone", "empty", "random", "text", "other json")},
    "cut": cut,
    "folder": make_folder,
    "foreign database": DAMAGES["foreign database"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with a finished sweep, whose study is a journal."""
    storage = tmp_path_factory.mktemp("made") / "runs"
    folder = recorded_sweep(storage, tiny_data(tmp_path_factory.mktemp("tiny")), VALUES)
    journal = optuna.storages.journal.JournalFileBackend(str(folder / "study.log"))
    optuna.copy_study(
        from_study_name="cloud",
        from_storage=f"sqlite:///{folder / 'study.db'}",
        to_storage=optuna.storages.JournalStorage(journal),
        to_study_name="tiny",
    )
    (folder / "study.db").unlink()
    note = {"storage": "journal", "name": "tiny", "sweep": "tiny", "number": 1}
    (folder / "study.json").write_text(json.dumps(note))
    shutil.copy(folder / "study.log", folder / "study.backup.log")
    write_parquet(
        records_of(load_study(folder)), GOALS, folder / "trials.parquet", sweep_id="0" * 32
    )
    Spool(folder / SPOOL_FILE).close()
    return storage


@pytest.fixture
def storage(made: Path, tmp_path: Path) -> Path:
    """A copy of its own, which points to itself."""
    storage = tmp_path / "runs"
    shutil.copytree(made, storage)
    for name in ("about.json", "spec.yaml"):
        file = storage / "tiny" / name
        file.write_text(file.read_text().replace(str(made), str(storage)))
    return storage


def told(
    main: Callable[[Sequence[str]], int],
    arguments: Sequence[str],
    capsys: pytest.CaptureFixture[str],
) -> tuple[int, str]:
    """Run a command, which may refuse in one line; returns its exit code and that line."""
    code = main(arguments)
    said = capsys.readouterr().err
    if code == 0:
        return code, ""
    assert code == 2
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "Traceback" not in said
    assert "delete" not in errors[0]
    return code, errors[0]


@pytest.mark.parametrize(
    ("file", "before", "now", "says"),
    [
        (
            "spec.yaml",
            "name: tiny",
            "name: other",
            "is of the sweep other, and the study ",
        ),
        ("about.json", 32 * "0", 32 * "1", "is of the study 111"),
        (
            "about.json",
            '"baseline": null',
            '"baseline": [0.5]',
            "of a study with other objectives",
        ),
        ("about.json", '"tags": {}', '"tags": {"host": 5}', "is damaged (tags.host is 5)"),
        ("about.json", '"tags": {}', '"rags": {}', "is damaged (it has no tags)"),
    ],
)
def test_what_was_written_of_another_sweep_is_not_taken(
    file: str, before: str, now: str, says: str, storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = storage / "tiny" / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, now))
    code, line = told(pareto.main, ["tiny", f"storage={storage}"], capsys)
    assert code == 2
    assert f"{file}" in line
    assert says in line
    assert "run the sweep again" in line


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_told_in_a_line_and_loses_no_trial(
    file: str, way: str, storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_study(storage / "tiny").trials
    WAYS[way](storage / file)
    if file not in (CHECKPOINT, MLFLOW):
        # Maps and packages of models take longest, and only those two have to do with them.
        shutil.rmtree(storage / "tiny" / "ray")
    here = f"storage={storage}"
    answers = {
        "pareto": told(pareto.main, ["tiny", here], capsys),
        "report": told(
            report.main, ["tiny", here, "--output", str(tmp_path / "report.html")], capsys
        ),
        # None would be trained, so it ends where the seeds are looked at.
        "confirm": told(confirm.main, ["tiny", here, "--seeds", "0"], capsys),
        "sync": told(sync.main, ["tiny", here], capsys),
        "run": told(run.main, [str(storage / "tiny" / "spec.yaml"), "--dry-run"], capsys),
    }
    if file == CHECKPOINT:
        answers["evaluate"] = told(evaluate.main, [str(storage / file), here], capsys)
        assert answers["evaluate"][0] == 2
    if (
        file in (STUDY, MLFLOW) or answers["pareto"][0] == 2
    ):  # otherwise it would serve until it is stopped
        answers["ui"] = told(ui.main, ["tiny", here], capsys)
    if file == STUDY:
        spec = str(storage / "tiny" / "spec.yaml")
        # So small that it fits on any machine, which is looked at first.
        small = ["resources.cpu=1", "resources.gpu=0"]
        answers["run"] = told(run.main, [spec, here, *small], capsys)
        del answers["sync"]  # which delivers MLflow's journal, and needs the study only then
        for name, (code, line) in answers.items():
            assert (code, "study.log" in line) == (2, True), (name, line)
            assert "python -m sweeps.repair" in line
        assert told(repair.main, ["tiny", here], capsys) == (0, "")
        assert told(pareto.main, ["tiny", here], capsys) == (0, "")
    elif file in ("tiny/about.json", "tiny/spec.yaml"):
        name = file.removeprefix("tiny/")
        assert way == "gone" or name in answers["pareto"][1]
        assert way == "gone" or "the sweep" in answers["pareto"][1]  # is run again
    else:
        assert answers["pareto"] == (0, "")
    if file == MLFLOW:
        assert answers["ui"][0] == 2
        assert "mlflow.db" in answers["ui"][1]
    assert load_study(storage / "tiny").trials == before
