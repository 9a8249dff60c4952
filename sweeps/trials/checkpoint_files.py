"""The files of trials below a sweep's folder: found again, and cleared away."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from hsplid_core.bucket_path import AnyPath, BucketError
from hsplid_core.models.state_files import STATE_FILE
from sweeps.storage.bucket_mirror import CHECKPOINTS, shared_place
from sweeps.trials.record import ENDED_STATES, TrialRecord
from trainables.checkpoints import newest_readable

_PREFIX = "trial_"


def attempts_folder(folder: Path) -> AnyPath:
    """Return where Ray Tune keeps its folders, one for each run of the sweep.

    Args:
        folder: The sweep's folder; one that stands for a bucket has them there.
    """
    return shared_place(folder) / CHECKPOINTS


def trial_folder(number: int) -> str:
    """Return the name of a trial's folder below that of a run."""
    return f"{_PREFIX}{number:05d}"


def find_checkpoint(folder: Path, number: int) -> AnyPath | None:
    """Find the newest whole checkpoint of a trial among all runs of a sweep.

    Args:
        folder: The sweep's folder.
        number: The trial's number in the study.

    Raises:
        BucketError: They lie in a bucket that does not answer, or refuses.
    """
    pattern = f"*/{trial_folder(number)}/checkpoint_*/{STATE_FILE}"
    return newest_readable(attempts_folder(folder).glob(pattern))


def remove_checkpoints(folder: Path, number: int) -> None:
    """Remove all checkpoints of a trial that nobody will go on from."""
    for checkpoint in attempts_folder(folder).glob(f"*/{trial_folder(number)}/checkpoint_*"):
        _remove(checkpoint)


def remove_superseded(folder: Path, number: int) -> None:
    """Remove what earlier runs left of a trial beyond its newest two checkpoints.

    Ray Tune keeps two in the run that goes on, and does not know of those before.

    Args:
        folder: The sweep's folder.
        number: A trial that goes on and has a checkpoint of this run.
    """
    pattern = f"*/{trial_folder(number)}/checkpoint_*"
    found: list[AnyPath] = [*attempts_folder(folder).glob(pattern)]
    checkpoints = sorted(found, key=lambda path: (path.parent.parent.name, path.name))
    for checkpoint in checkpoints[:-2]:
        if checkpoint.parent != checkpoints[-1].parent:
            _remove(checkpoint)


def collect_garbage(folder: Path, records: Sequence[TrialRecord]) -> None:
    """Remove the checkpoints of all trials that ended off the front.

    Args:
        folder: The sweep's folder.
        records: All trials; those that are still to go on keep theirs.
    """
    needless = {
        record.number for record in records if record.state in ENDED_STATES and not record.on_front
    }
    for number in sorted(set(_with_checkpoints(folder)) & needless):
        remove_checkpoints(folder, number)


def _with_checkpoints(folder: Path) -> Iterator[int]:
    for checkpoint in attempts_folder(folder).glob(f"*/{_PREFIX}*/checkpoint_*"):
        text = checkpoint.parent.name.removeprefix(_PREFIX)
        if text.isdigit():
            yield int(text)


def _remove(checkpoint: AnyPath) -> None:
    """Remove a checkpoint; one that stays for now is found again by the next run."""
    if isinstance(checkpoint, Path):
        shutil.rmtree(checkpoint, ignore_errors=True)
        return
    with contextlib.suppress(BucketError):
        checkpoint.remove_tree()
