"""Rebuilding of a lost study from its backup, MLflow's journal, MLflow and the table of trials.

The damaged file is moved aside, and never written. Each trial is taken from the first source that
knows how it ended: what a study's own files say is exact, and from the others the trial's
parameters and metrics come back, but not its times and tables.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hsplid_core.errors import ConfigError, SaliencyError
from hsplid_core.files import sync_folder
from search_spaces import ParameterValue, optuna_parameters
from sweeps.search.ranged_space import space_of
from sweeps.search.samplers import experimental
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.storage.file_names import TRIALS_FILE
from sweeps.study.damage import (
    DamagedStudyError,
    UnreadableError,
    find_study,
    ids_beside,
    is_same_end,
    read_file,
    signs_of,
    trials_text,
)
from sweeps.study.database import open_file, open_storage
from sweeps.study.location import StorageError, StudyPlace, find_place, note_place
from sweeps.study.sweep_info import read_spec
from sweeps.tracking.recorded_trials import read_journal, read_runs
from sweeps.trials import attributes as names
from sweeps.trials.checkpoint_files import SweepCheckpoints
from sweeps.trials.outcome import outcome_of
from sweeps.trials.record import ENDED_STATES, TrialRecord
from sweeps.trials.table_file import read_records
from trainables.result_keys import ENDED, TRIAL_SECONDS


@dataclass
class _Sources:
    """What is left of a study.

    Attributes:
        studies: Studies that can be read, by the names of their files, the best one first.
        records: Trials from elsewhere, by the names of their sources and by their numbers.
        numbers: Numbers of all trials that anything knows of.
        sweep_id: Identity of the sweep, where it is known.
        notes: What could not be read, and why.
    """

    studies: dict[str, optuna.Study] = field(default_factory=dict)
    records: dict[str, Mapping[int, TrialRecord]] = field(default_factory=dict)
    numbers: set[int] = field(default_factory=set)
    sweep_id: str | None = None
    notes: list[str] = field(default_factory=list)


def rebuild(folder: Path) -> Iterator[str]:
    """Rebuild the study of a sweep's folder if it is lost, and its note if that is.

    Args:
        folder: The sweep's folder, held by the caller.

    Yields:
        What was done, and what could not be.

    Raises:
        ConfigError: The folder holds nothing to rebuild a study from.
        StorageError: The study's database does not answer.
    """
    place = find_place(folder)
    if place is None:
        raise ConfigError(f"{folder} holds no study: name the folder of a sweep, runs/NAME")
    try:
        study = find_study(folder, place)
    except DamagedStudyError:
        yield from _rebuilt(folder, place)
    else:
        if study is None:
            raise ConfigError(f"{folder} holds no study, nor anything of one: run the sweep")
        yield f"the study is whole: {len(study.get_trials(deepcopy=False))} trials"
    note_place(folder, place)


def _rebuilt(folder: Path, place: StudyPlace) -> Iterator[str]:
    spec: SweepSpec | None = None
    try:
        spec = read_spec(folder)
    except ConfigError as error:
        yield f"not read: {error}"
    with tempfile.TemporaryDirectory(prefix=".rebuilt-", dir=folder) as made:
        sources = _gather(folder, place, Path(made))
        yield from (f"not read: {note}" for note in sources.notes)
        trials, told = _trials(sources, spec)
        if not trials:
            raise StorageError(
                f"{folder} has no trial that a study could be rebuilt from, only "
                f"{', '.join(signs_of(folder))}: sweeps.run --fresh starts another study beside it"
            )
        file = None if place.in_database else Path(made) / place.file_in(folder).name
        _write(folder, place, file, sources, spec, trials)
        if file is not None:
            for old, new in _set_aside(place.file_in(folder)):
                yield f"{old.name} is now {new.name}"
            file.replace(place.file_in(folder))
            sync_folder(folder)
    yield from told
    ended = sum(trial.state.is_finished() for trial in trials)
    yield f"the study is rebuilt: {len(trials)} trials, of which {ended} have ended"


def _gather(folder: Path, place: StudyPlace, made: Path) -> _Sources:
    found, ids = _Sources(), ids_beside(folder)
    if len(set(ids.values())) == 1:
        found.sweep_id = next(iter(ids.values()))
    try:
        journal = read_journal(folder)
        found.records["MLflow's journal"] = journal.trials
        found.numbers |= journal.numbers
        if journal.recording is not None:
            found.sweep_id = journal.recording.sweep_id
            found.records["MLflow"] = read_runs(journal.recording)
    except SaliencyError as error:
        found.notes.append(str(error))
    if (folder / TRIALS_FILE).exists():
        try:
            records = read_records(folder / TRIALS_FILE)
            found.records[TRIALS_FILE] = {record.number: record for record in records}
        except ConfigError as error:
            found.notes.append(str(error))
    if not place.in_database:
        _add_studies(found, place.file_in(folder), place.name, made)
    if TRIALS_FILE in found.records and ids.get(TRIALS_FILE, found.sweep_id) != found.sweep_id:
        del found.records[TRIALS_FILE]
        found.notes.append(f"{TRIALS_FILE} is of another study")
    checkpoints = SweepCheckpoints(folder=folder, sweep_id=found.sweep_id)
    found.numbers.update(*found.records.values(), checkpoints.numbers())
    for study in found.studies.values():
        found.numbers.update(trial.number for trial in study.get_trials(deepcopy=False))
    return found


def _add_studies(found: _Sources, file: Path, name: str, made: Path) -> None:
    backups = sorted(file.parent.glob(f"{file.stem}.backup*{file.suffix}"))
    for source in [*backups, file]:
        # Copies are read: what is not ours is not even touched.
        copy = made / f"read-{source.name}"
        try:
            if source.is_file():
                shutil.copyfile(source, copy)
            if file.suffix == ".log" and source.is_file():
                copy.write_bytes(_readable_lines(copy, name))
            study = read_file(copy, name)
        except (UnreadableError, OSError) as error:
            found.notes.append(f"{source.name} {error}")
            continue
        if study is None:
            continue
        if _is_foreign(study, found):
            found.notes.append(f"{source.name} holds another study")
        else:
            found.studies[source.name] = study
            found.sweep_id = study.user_attrs.get(names.SWEEP_ID, found.sweep_id)


def _readable_lines(journal: Path, name: str) -> bytes:
    """Return the lines of a journal up to the first one that Optuna cannot read."""
    lines = journal.read_bytes().splitlines(keepends=True)

    def reads(count: int) -> bool:
        journal.write_bytes(b"".join(lines[:count]))
        try:
            read_file(journal, name)
        except UnreadableError:
            return False
        return True

    good, bad = 0, len(lines) + 1
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if reads(middle) else (good, middle)
    return b"".join(lines[:good])


def _is_foreign(study: optuna.Study, found: _Sources) -> bool:
    sweep_id = study.user_attrs.get(names.SWEEP_ID)
    if None not in (sweep_id, found.sweep_id) and sweep_id != found.sweep_id:
        return True
    for known in found.studies.values():
        if known.directions != study.directions or known.metric_names != study.metric_names:
            return True
        mine = {trial.number: trial for trial in _ended_in(study)}
        if any(
            trial.number in mine and not is_same_end(trial, mine[trial.number])
            for trial in _ended_in(known)
        ):
            return True
    return False


def _ended_in(study: optuna.Study) -> list[FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def _trials(sources: _Sources, spec: SweepSpec | None) -> tuple[list[FrozenTrial], list[str]]:
    """Choose for each number the best that is known; say where the trials are from, too."""
    told: dict[str, list[int]] = {}
    trials = []
    for number in range(max(sources.numbers, default=-1) + 1):
        trial, source = _chosen(number, sources, spec)
        told.setdefault(source, []).append(number)
        trials.append(trial)
    lines = [f"{trials_text(numbers)}: {source}" for source, numbers in told.items()]
    unlearned = [
        number
        for number, trial in enumerate(trials)
        if trial.state == TrialState.COMPLETE and not trial.params
    ]
    if unlearned:
        lines.append(
            f"{trials_text(unlearned)}: their parameters do not fit the search space as it is "
            "now, so the sampler does not learn from them"
        )
    if not sources.studies:
        lines.append(
            "lost: what the sweep was begun with (spec, data, code); the next run notes down what "
            "it finds"
        )
    return trials, lines


def _chosen(number: int, sources: _Sources, spec: SweepSpec | None) -> tuple[FrozenTrial, str]:
    own = {
        name: trials[number]
        for name, study in sources.studies.items()
        if number < len(trials := study.get_trials(deepcopy=False))
    }
    for name, trial in own.items():
        if trial.state.is_finished():
            return trial, f"from {name}"
    base = next((trial for trial in own.values() if trial.params), None)
    records = {
        name: trials[number] for name, trials in sources.records.items() if number in trials
    }
    parameters: Mapping[str, ParameterValue] = {}
    if base is not None:
        parameters = base.user_attrs.get(names.PARAMETERS, {})
    parameters = parameters or next((r.parameters for r in records.values() if r.parameters), {})
    for name, record in records.items():
        if record.state in ENDED_STATES:
            ended = _ended(record, parameters, base, spec)
            if ended is not None:
                return ended, f"from {name}, without its times and tables"
    if base is not None:
        return base, "had not ended as far as is known, and goes on"
    if parameters:
        params, distributions = _searched(parameters, spec)
        attempts = max(record.attempts for record in records.values())
        running = create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=distributions,
            user_attrs={names.PARAMETERS: dict(parameters), names.ATTEMPTS: attempts},
        )
        return running, "had not ended as far as is known, and goes on"
    for trial in own.values():
        if trial.state == TrialState.WAITING:
            return trial, "had not begun"
    return create_trial(state=TrialState.WAITING), (
        "lost: not even the parameters are known; run anew with others"
    )


def _ended(
    record: TrialRecord,
    parameters: Mapping[str, ParameterValue],
    base: FrozenTrial | None,
    spec: SweepSpec | None,
) -> FrozenTrial | None:
    """Make the trial that a record tells the end of; None where that has not all of it."""
    objectives = [] if spec is None else [objective.metric for objective in spec.objectives]
    metrics = {**record.metrics, **dict(zip(objectives, record.values or (), strict=False))}
    result: dict[str, Any] = {f"{names.METRICS}/{name}": value for name, value in metrics.items()}
    result[TRIAL_SECONDS] = record.seconds
    if record.state == "failed":
        result |= {names.FAILURE: record.failure, names.CAUSE: record.cause}
        result[names.TRACEBACK] = record.traceback
    elif record.state == "complete":
        result[ENDED] = True
    outcome = outcome_of(result, objectives, () if spec is None else spec.search.constraints)
    if record.state == "complete" and outcome.state != TrialState.COMPLETE:
        # Its metrics may lack one that is only a limit; what it was run for counts.
        outcome = outcome_of(result, objectives, ())
    if record.state == "complete" and not (objectives and outcome.state == TrialState.COMPLETE):
        return None
    params, distributions = _searched(parameters, spec)
    if base is not None:
        params, distributions = base.params, base.distributions
    attributes = {
        names.PARAMETERS: dict(parameters),
        names.ATTEMPTS: record.attempts,
        names.TAGS: dict(record.tags),
    }
    return create_trial(
        state=outcome.state,
        values=outcome.values,
        params=params,
        distributions=distributions,
        user_attrs={**(base.user_attrs if base else {}), **attributes, **outcome.attributes},
        constraints=dict(outcome.constraints),
    )


def _searched(
    parameters: Mapping[str, ParameterValue], spec: SweepSpec | None
) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """Find Optuna's parameters again, by letting the space suggest what the trial had."""
    if spec is None:
        return {}, {}
    trial = optuna.trial.FixedTrial(optuna_parameters(parameters))
    with suppress(Exception):  # a person's own function, which may have changed
        suggested: Any = trial
        if dict(space_of(spec)(suggested)) == dict(parameters):
            return trial.params, trial.distributions
    return {}, {}


def _write(
    folder: Path,
    place: StudyPlace,
    file: Path | None,
    sources: _Sources,
    spec: SweepSpec | None,
    trials: Sequence[FrozenTrial],
) -> None:
    best = next(iter(sources.studies.values()), None)
    attributes: dict[str, Any] = dict(best.user_attrs) if best is not None else {}
    if best is not None:
        directions, metrics = best.directions, best.metric_names
    elif spec is not None:
        to_optuna = optuna.study.StudyDirection
        directions = [to_optuna[goal.direction.upper()] for goal in spec.objectives]
        metrics = [goal.metric for goal in spec.objectives]
    else:
        raise StorageError(
            f"{folder} does not say what its trials were measured by: neither a backup of the "
            "study nor spec.yaml can be read; put one of them back"
        )
    if sources.sweep_id is not None:
        attributes[names.SWEEP_ID] = sources.sweep_id
    storage = open_storage(folder, place, writes=True) if file is None else open_file(file)
    study = optuna.create_study(study_name=place.name, storage=storage, directions=directions)
    if metrics is not None:
        with experimental():
            study.set_metric_names(metrics)
    for name, value in attributes.items():
        study.set_user_attr(name, value)
    study.add_trials(trials)
    if isinstance(storage, optuna.storages.RDBStorage):
        storage.engine.dispose()


def _set_aside(file: Path) -> Iterator[tuple[Path, Path]]:
    """Give a damaged file another name, and what sqlite keeps beside it."""
    number = 1
    while (aside := _aside(file, number)).exists():
        number += 1
    for ending in ("", "-wal", "-shm"):
        part = file.with_name(file.name + ending)
        if part.exists():
            yield part, part.rename(aside.with_name(aside.name + ending))


def _aside(file: Path, number: int) -> Path:
    return file.with_name(f"{file.stem}.damaged{f'-{number}' * (number > 1)}{file.suffix}")
