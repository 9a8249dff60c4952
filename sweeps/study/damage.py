"""Damage of a study: a file that is gone, empty, foreign or cut is told, and never begun anew.

Whether there was a study before is seen from what a sweep leaves beside it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import optuna
import pyarrow.parquet as pq
from optuna.trial import FrozenTrial

from hsplid_core.files import read_json
from sweeps.spec.moved_storage import ABOUT_FILE
from sweeps.storage.bucket_mirror import CHECKPOINTS
from sweeps.storage.file_names import TRIALS_FILE
from sweeps.study.backup import backup_file, continues
from sweeps.study.database import cut_torn_line, no_database, open_file, open_storage
from sweeps.study.location import StorageError, StudyPlace
from sweeps.tracking.journal import SPOOL_FILE
from sweeps.trials.attributes import SWEEP_ID
from sweeps.trials.record import ENDED_STATES
from sweeps.trials.table_file import UNREADABLE, owner_of


class DamagedStudyError(StorageError):
    """There was a study, and it is not there any more, or not whole."""


class UnreadableError(Exception):
    """A file holds no study that can be read; the text goes on after the file's name."""


def find_study(folder: Path, place: StudyPlace, *, writes: bool = False) -> optuna.Study | None:
    """Open a sweep's study, all of which can be read; None where none was ever begun.

    Args:
        folder: The sweep's folder.
        place: Where its study is.
        writes: Whether this is the driver, which alone may write.

    Raises:
        DamagedStudyError: The study is gone, unreadable, or lacks trials that had ended.
        StorageError: The database does not answer.
    """
    try:
        if place.in_database:
            study = _of_database(folder, place, writes=writes)
            fault = "is gone"
        else:
            file = place.file_in(folder)
            study = read_file(file, place.name)
            fault = "holds no study" if file.exists() else "is gone"
    except UnreadableError as error:
        raise _refusal(folder, place, str(error)) from error
    if study is None:
        if signs_of(folder):
            raise _refusal(folder, place, fault)
        return None
    if lost := _foreign(folder, study) or _lost(folder, place, study):
        raise _refusal(folder, place, lost)
    if writes and place.storage == "journal":
        cut_torn_line(place.file_in(folder))
    if writes and place.storage == "sqlite":  # now that it is known to be ours
        return read_file(place.file_in(folder), place.name, writes=True)
    return study


def read_file(file: Path, name: str, *, writes: bool = False) -> optuna.Study | None:
    """Open the study in a file; None where the file is missing or empty, or has no study yet.

    Args:
        file: A journal or a sqlite file.
        name: The study's name, where a file has several.
        writes: Whether this is the driver.

    Raises:
        UnreadableError: The file is something else, or damaged.
    """
    if file.is_dir():
        raise UnreadableError("is a folder")
    if not file.exists() or file.stat().st_size == 0:
        return None
    return _explained(lambda: _loaded(open_file(file, writes=writes), name))


def _loaded(storage: optuna.storages.BaseStorage, name: str) -> optuna.Study | None:
    names = optuna.get_all_study_names(storage)
    if not names:
        return None
    # A file holds one study, whatever an earlier version called it.
    chosen = names[0] if len(names) == 1 else name
    study = optuna.load_study(study_name=chosen, storage=storage)
    _ = study.user_attrs, study.metric_names, study.get_trials(deepcopy=False)
    return study


def _explained(read: Callable[[], optuna.Study | None]) -> optuna.Study | None:
    try:
        return read()
    except Exception as error:
        # What Optuna, SQLAlchemy and sqlite raise for any content of a file, none of it named.
        cause = error.__cause__ or error
        lines = str(getattr(cause, "orig", None) or cause).strip().splitlines()
        text = lines[0] if lines else type(cause).__name__
        raise UnreadableError(f"is damaged, or no study ({text})") from error


def _of_database(folder: Path, place: StudyPlace, *, writes: bool) -> optuna.Study | None:
    from sqlalchemy.exc import SQLAlchemyError

    storage = open_storage(folder, place, writes=writes)
    try:
        if place.name not in optuna.get_all_study_names(storage):
            return None
        study = optuna.load_study(study_name=place.name, storage=storage)
        study.get_trials(deepcopy=False)
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise no_database(place, error) from error
    return study


def signs_of(folder: Path) -> list[str]:
    """List what is left of a study beside it; empty for a folder where no trial has run."""
    names = (ABOUT_FILE, TRIALS_FILE, SPOOL_FILE)
    found = [name for name in names if (folder / name).exists()]
    found += sorted(file.name for file in folder.glob("study.backup.*"))
    pattern = f"{CHECKPOINTS}/*/trial_*/checkpoint_*"
    if n_trials := len({checkpoint.parent.name for checkpoint in folder.glob(pattern)}):
        found.append(f"checkpoints of {n_trials} trials")
    return found


def ids_beside(folder: Path) -> dict[str, str]:
    """Return the identity of a sweep's study as files beside it have it, by their names."""
    found = {TRIALS_FILE: owner_of(folder / TRIALS_FILE)}
    with suppress(OSError, ValueError, LookupError, TypeError):
        found[ABOUT_FILE] = read_json(folder / ABOUT_FILE)["sweep_id"]
    return {name: given for name, given in found.items() if isinstance(given, str)}


def _foreign(folder: Path, study: optuna.Study) -> str | None:
    """Say that a study is another sweep's, as far as the files beside it agree on that."""
    own, ids = study.user_attrs.get(SWEEP_ID), ids_beside(folder)
    if own is None or not ids or own in ids.values():
        return None
    return (
        f"is another study than that of {' and '.join(ids)} (if those came from elsewhere, move "
        "them away)"
    )


def _lost(folder: Path, place: StudyPlace, study: optuna.Study) -> str | None:
    """Say which trials a study lacks that others know to have ended."""
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    own, ids = study.user_attrs.get(SWEEP_ID), ids_beside(folder)
    sure = own if own in ids.values() else None
    kept = {} if _grew(folder, place) else ended_in_backup(folder, place, sure)
    if lacking := [n for n, trial in kept.items() if not is_same_end(trial, trials.get(n))]:
        return f"lacks {trials_text(lacking)}, which its backup has"
    known = {number for number, trial in trials.items() if trial.state.is_finished()}
    of_table = ids.get(TRIALS_FILE, own)
    if of_table == own and (lacking := sorted(_ended_in_table(folder) - known)):
        return f"lacks {trials_text(lacking)}, which {TRIALS_FILE} has"
    return None


def _grew(folder: Path, place: StudyPlace) -> bool:
    backup = backup_file(folder, place)
    if backup is None or not backup.is_file():
        return True
    return place.storage == "journal" and continues(place.file_in(folder), backup)


def ended_in_backup(
    folder: Path, place: StudyPlace, sweep_id: str | None = None
) -> dict[int, FrozenTrial]:
    """Return the trials that have ended in a study's backup; none where it cannot be read.

    Args:
        folder: The sweep's folder.
        place: Where its study is.
        sweep_id: The study's identity, where that is sure: another's backup tells nothing of it.
    """
    backup = backup_file(folder, place)
    try:
        study = None if backup is None else read_file(backup, place.name)
    except UnreadableError:
        study = None
    if study is not None and sweep_id is not None and study.user_attrs.get(SWEEP_ID) != sweep_id:
        study = None
    trials = [] if study is None else study.get_trials(deepcopy=False)
    return {trial.number: trial for trial in trials if trial.state.is_finished()}


def is_same_end(kept: FrozenTrial, now: FrozenTrial | None) -> bool:
    """Tell whether a trial that had ended is still what it was."""
    if now is None or not now.state.is_finished():
        return False
    return kept.params == now.params and (kept.state, kept.values) == (now.state, now.values)


def _ended_in_table(folder: Path) -> set[int]:
    try:
        table = pq.read_table(folder / TRIALS_FILE, columns=["number", "state"])
        rows = table.to_pylist()
        return {int(row["number"]) for row in rows if row["state"] in ENDED_STATES}
    except (*UNREADABLE, LookupError, TypeError):  # missing or damaged: the study is what counts
        return set()


def trials_text(trials: Sequence[int]) -> str:
    """Name some trials by their numbers, as a sentence's subject."""
    shown = ", ".join(map(str, trials[:5])) + (", ..." if len(trials) > 5 else "")
    return f"trial {shown}" if len(trials) == 1 else f"trials {shown}"


def _refusal(folder: Path, place: StudyPlace, fault: str) -> DamagedStudyError:
    if place.in_database:
        what = f"the study {place.name} in {place.storage}"
    else:
        what = str(place.file_in(folder))
    signs = signs_of(folder)
    beside = f", while {folder} has {', '.join(signs)}" if signs else ""
    source = "as far as the rest reaches"
    kept, backup = ended_in_backup(folder, place), backup_file(folder, place)
    if kept and backup is not None:
        when = datetime.fromtimestamp(backup.stat().st_mtime).isoformat(" ", "minutes")
        source = f"from its backup of {when}, in which {len(kept)} trials have ended"
    command = shlex.join(["python", "-m", "sweeps.repair", str(folder)])
    return DamagedStudyError(
        f"{what} {fault}{beside}; nothing was changed: {command} rebuilds the study {source}, "
        "and sweeps.run --fresh starts another one beside it"
    )
