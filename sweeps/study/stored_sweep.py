"""Stored sweeps, opened by name or folder without disturbing a running driver."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from hsplid_core.bucket_path import AnyPath
from hsplid_core.errors import ConfigError, did_you_mean
from hsplid_core.files import from_home
from sweeps.spec.moved_storage import ABOUT_FILE, SPEC_FILE
from sweeps.spec.objective import Objective
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.storage.bucket_mirror import fetch_sweep, local_folder
from sweeps.study.location import find_place, holds_sweep
from sweeps.study.study import load_study, study_folders, sweep_folder
from sweeps.study.sweep_info import SweepInfo, read_info
from sweeps.tracking.find_runs import Recording
from sweeps.trials.attributes import SWEEP_ID
from sweeps.trials.checkpoint_files import SweepCheckpoints, checkpoints_of
from sweeps.trials.from_study import records_of
from sweeps.trials.record import TrialRecord

DEFAULT_STORAGE = Path("runs")


@dataclass(frozen=True, kw_only=True)
class StoredSweep:
    """A sweep's study and what is known about it.

    Attributes:
        folder: The sweep's folder.
        study: The durable study.
        objectives: What the study optimises.
        records: Its trials by number; the metrics of a complete one include its objectives.
        info: Where the sweep came from; None for a folder without that file.
    """

    folder: Path
    study: optuna.Study
    objectives: tuple[Objective, ...]
    records: tuple[TrialRecord, ...]
    info: SweepInfo | None

    @property
    def name(self) -> str:
        """Name of the folder: the sweep's name, with ``-2`` and so on for a fresh study."""
        return self.folder.name

    @property
    def spec(self) -> SweepSpec:
        """The sweep's spec.

        Raises:
            ConfigError: The folder does not say which spec it belongs to.
        """
        return self._known_info.spec

    @property
    def start(self) -> dict[str, float]:
        """Objectives of the pretrained model that the trials started from; empty without one."""
        if self.info is None or self.info.baseline is None:
            return {}
        metrics = (objective.metric for objective in self.objectives)
        return dict(zip(metrics, self.info.baseline, strict=True))

    @property
    def recording(self) -> Recording:
        """Where MLflow has its runs.

        Raises:
            ConfigError: The folder does not say.
        """
        info = self._known_info
        return Recording(
            uri=info.tracking_uri,
            experiment=info.spec.tracking.experiment or info.spec.name,
            sweep_id=self.study.user_attrs.get(SWEEP_ID),
        )

    @property
    def checkpoints(self) -> SweepCheckpoints:
        """The checkpoints of its trials."""
        return checkpoints_of(self.folder, self.study)

    @property
    def _known_info(self) -> SweepInfo:
        if self.info is None:
            raise ConfigError(
                f"{self.folder} does not say which spec it was run with: run the sweep again (it "
                "goes on where it is) to write that down"
            )
        return self.info


def open_sweep(name: str, storage: AnyPath = DEFAULT_STORAGE) -> StoredSweep:
    """Open a sweep.

    Args:
        name: Name of a sweep (the newest study of it is taken), or a folder with a study.
        storage: Folder of all sweeps, or the place in a bucket.

    Raises:
        ConfigError: There is no such sweep, it has no trial yet, or no trial is complete.
        BucketError: The bucket does not answer, or refuses.
    """
    folder = find_folder(name, storage)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = load_study(folder)
    names = study.metric_names or [f"objective_{i}" for i in range(len(study.directions))]
    objectives = tuple(
        Objective(
            metric=metric, direction="minimize" if direction.name == "MINIMIZE" else "maximize"
        )
        for metric, direction in zip(names, study.directions, strict=True)
    )
    records = records_of(study)
    if not records:
        raise ConfigError(f"{folder}: the study has no trials yet; run the sweep first")
    info = read_info(folder)
    if info is not None:
        _check_whose(folder, study, info)
    return StoredSweep(
        folder=folder,
        study=study,
        objectives=objectives,
        records=tuple(_with_objectives(record, objectives) for record in records),
        info=info,
    )


def _check_whose(folder: Path, study: optuna.Study, info: SweepInfo) -> None:
    """Refuse what was written of another sweep, and has come into this one's folder."""
    place, own, name = find_place(folder), study.user_attrs.get(SWEEP_ID), info.spec.name
    if place is not None and place.sweep not in (None, name):
        file, whose = folder / SPEC_FILE, f"of the sweep {name}, and the study is of {place.sweep}"
    elif None not in (own, info.sweep_id) and own != info.sweep_id:
        file, whose = folder / ABOUT_FILE, f"of the study {info.sweep_id}, and this one is {own}"
    elif info.baseline is not None and len(info.baseline) != len(study.directions):
        file, whose = folder / ABOUT_FILE, "of a study with other objectives"
    else:
        return
    raise ConfigError(
        f"{file} is {whose}: put this sweep's own back, or move it away and run the sweep again "
        "(it goes on where it is), which writes it anew"
    )


def check_complete(sweep: StoredSweep) -> None:
    """Refuse a sweep without a complete trial.

    Raises:
        ConfigError: All trials failed, or none has ended yet; the message says which.
    """
    if any(record.state == "complete" for record in sweep.records):
        return
    failed = [record for record in sweep.records if record.state == "failed"]
    count = len(sweep.records)
    if len(failed) == count:
        raise ConfigError(f"{sweep.folder}: all {count} trials failed ({failed[0].failure})")
    raise ConfigError(
        f"{sweep.folder}: none of {count} trials is complete yet ({len(failed)} failed); wait for "
        "the sweep, or run it again"
    )


def find_folder(name: str, storage: AnyPath = DEFAULT_STORAGE) -> Path:
    """Find a sweep's folder.

    Args:
        name: Name of a sweep (the newest study of it is taken), or a folder with a study.
        storage: Folder of all sweeps, or the place in a bucket, from which the sweep's folder is
            copied then.

    Raises:
        ConfigError: There is no such sweep.
        BucketError: The bucket does not answer, or refuses.
    """
    fetch_sweep(storage, name)
    here = local_folder(storage)
    # By its folder's name, too: NAME-2 is what reports and messages call a second study.
    for folder in (from_home(Path(name)), sweep_folder(here, name, fresh=False), here / name):
        if holds_sweep(folder):
            return folder.absolute()
    known = [folder.name for folder in study_folders(here)]
    there = f"it has {', '.join(known)}" if known else "it has none"
    raise ConfigError(
        f"sweep {name} is not in {storage}: {there}"
        f"{did_you_mean(name, known)}; storage=FOLDER names another place"
    )


def _with_objectives(record: TrialRecord, objectives: Sequence[Objective]) -> TrialRecord:
    if record.values is None:
        return record
    values = {goal.metric: value for goal, value in zip(objectives, record.values, strict=True)}
    return dataclasses.replace(record, metrics={**record.metrics, **values})
