"""Disk watch: a disk that is full, read-only or gone stops a sweep, and fails no trial."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.trial import TrialState

from sweeps.storage.disk_watch import DiskWatch
from tests.sweeps.whole_sweep import ROOT, Sweep, check_tracked

LOOK = """\
import subprocess, sys
from pathlib import Path
from sweeps.storage.disk_watch import DiskWatch
watch = DiskWatch(Path(sys.argv[1]))
subprocess.run(sys.argv[2:], check=True)
print(watch.fault())
"""


@pytest.mark.parametrize(
    ("then", "told"),
    [
        (["mount", "-o", "remount,size=300m", "{}"], "None"),
        (["mount", "-o", "remount,size=1m", "{}"], "the disk of {} is nearly full (1 MiB left)"),
        (
            ["mount", "-o", "remount,ro", "{}"],
            "{} cannot be written any more (Read-only file system)",
        ),
        (
            ["dd", "if=/dev/zero", "of={}/filler", "bs=1M", "count=399", "status=none"],
            "the disk of {} is nearly full (1 MiB left)",
        ),
    ],
)
def test_a_disk_that_fills_or_is_read_only(then: list[str], told: str, tmp_path: Path) -> None:
    # In a name space of its own: the mount ends with its process.
    script = f'mount -t tmpfs -o size=400m none {tmp_path} && exec "$@"'
    command = [str(tmp_path), *(part.format(tmp_path) for part in then)]
    answer = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", LOOK, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == told.format(tmp_path)


@pytest.mark.parametrize("made_again", [False, True])
def test_a_folder_that_is_gone(made_again: bool, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    folder.mkdir()
    watch = DiskWatch(folder)
    assert (watch.fault(), watch.give_up()) == (None, None)
    folder.rename(tmp_path / "aside")
    if made_again:
        shutil.copytree(tmp_path / "aside", folder)
    assert watch.give_up() is None  # it has just looked
    assert watch.fault() == f"{folder} was moved or deleted while the sweep ran"


@pytest.mark.cluster
@pytest.mark.filterwarnings("default")
def test_a_sweep_stops_in_order_and_goes_on_when_there_is_room(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep.write(training={"epochs": 1, "batch_size": 32}, trials=2)
    with monkeypatch.context() as patch:
        patch.setattr("sweeps.storage.disk_watch._LEAST_ROOM", 2**62)
        patch.setattr("sweeps.storage.disk_watch._LOOK_S", 0.0)
        code, output = sweep.run()
    assert code == 2, output
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: the sweep was stopped: the disk of ")
    assert line.endswith(" MiB left); correct that, and the same command goes on")
    assert TrialState.FAIL not in [trial.state for trial in sweep.trials()]
    code, output = sweep.run()
    assert code == 0, output
    assert [trial.state for trial in sweep.trials()] == [TrialState.COMPLETE] * 2
    check_tracked(sweep, trials=2, epochs=1)
