from __future__ import annotations

from pathlib import Path

from sweeps.trials.checkpoint_files import remove_superseded, trial_folder


def made(folder: Path, attempt: int, *epochs: int, number: int = 0) -> list[Path]:
    trial = folder / "ray" / f"attempt_{attempt:03d}" / trial_folder(number)
    checkpoints = [trial / f"checkpoint_{epoch:06d}" for epoch in epochs]
    for checkpoint in checkpoints:
        checkpoint.mkdir(parents=True)
        (checkpoint / "state.pt").touch()
    return checkpoints


def test_two_checkpoints_of_a_trial_stay_over_all_runs(tmp_path: Path) -> None:
    oldest, old = made(tmp_path, 1, 3, 4)
    other = made(tmp_path, 1, 0, 1, number=1)
    (new,) = made(tmp_path, 2, 0)
    remove_superseded(tmp_path, 0)
    assert [path.exists() for path in (oldest, old, new)] == [False, True, True]
    # Of its own Ray may be about to remove the first one.
    newer = made(tmp_path, 2, 1, 2)
    remove_superseded(tmp_path, 0)
    assert [path.exists() for path in (old, new, *newer, *other)] == [False, *[True] * 5]
