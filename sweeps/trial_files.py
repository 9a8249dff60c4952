"""Where the files of a trial lie below a sweep's folder."""

from __future__ import annotations

from pathlib import Path

from trainables.checkpoints import STATE_FILE, newest_readable


def attempts_folder(folder: Path) -> Path:
    """Return where Ray Tune keeps its folders, one for each run of the sweep."""
    return folder / "ray"


def trial_folder(number: int) -> str:
    """Return the name of a trial's folder below that of a run."""
    return f"trial_{number:05d}"


def find_checkpoint(folder: Path, number: int) -> Path | None:
    """Find the newest whole checkpoint of a trial among all runs of a sweep.

    Args:
        folder: The sweep's folder.
        number: The trial's number in the study.
    """
    pattern = f"*/{trial_folder(number)}/checkpoint_*/{STATE_FILE}"
    return newest_readable(attempts_folder(folder).glob(pattern))
