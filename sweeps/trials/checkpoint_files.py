"""The files of trials below a sweep's folder: found again, and cleared away."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from hsplid_core.bucket_path import AnyPath, BucketError
from hsplid_core.models.state_files import STATE_FILE
from sweeps.storage.bucket_mirror import CHECKPOINTS, shared_place
from sweeps.trials.attributes import NAMED_CHECKPOINTS, SWEEP_ID
from sweeps.trials.labels import N_SEEDS
from sweeps.trials.record import ENDED_STATES, TrialRecord
from trainables.checkpoints import TrialIdentity, newest_readable
from trainables.config import ParameterValue

_PREFIX = "trial_"
# The first digits of the sweep's id end it, so that nothing of another study is cleared away.
_ATTEMPT = re.compile(r"attempt_(?P<number>\d+)(_(?P<sweep>[0-9a-f]+))?")
_DIGITS = 8


def attempts_folder(folder: Path) -> AnyPath:
    """Return where Ray Tune keeps its folders, one for each run of the sweep.

    Args:
        folder: The sweep's folder; one that stands for a bucket has them there.
    """
    return shared_place(folder) / CHECKPOINTS


def trial_folder(number: int, replicate: int = 0) -> str:
    """Return the name of a trial's folder below that of a run.

    Args:
        number: The trial's number.
        replicate: Which of its seeds, from 0.
    """
    return f"{_PREFIX}{number:05d}{f'_{replicate}' if replicate else ''}"


@dataclass(frozen=True, kw_only=True)
class SweepCheckpoints:
    """The checkpoints of one study, and not those that another one left in the same folder.

    Attributes:
        folder: The sweep's folder.
        sweep_id: Identity of the study; None where it has none, and takes all.
        always_told: Whether all of its checkpoints say whose they are.
    """

    folder: Path
    sweep_id: str | None
    always_told: bool = False

    def find(
        self,
        number: int,
        parameters: Mapping[str, ParameterValue] | None = None,
        replicate: int = 0,
    ) -> AnyPath | None:
        """Find the newest whole checkpoint of a trial among all runs of the sweep.

        Args:
            number: The trial's number in the study.
            parameters: Its parameters; None does not compare them.
            replicate: Which of its seeds, from 0.

        Raises:
            BucketError: They lie in a bucket that does not answer, or refuses.
        """
        pattern = f"*/{trial_folder(number, replicate)}/checkpoint_*/{STATE_FILE}"
        identity = None
        if self.sweep_id is not None:
            identity = TrialIdentity(
                sweep=self.sweep_id,
                number=number,
                parameters=parameters,
                always_told=self.always_told,
            )
        return newest_readable(attempts_folder(self.folder).glob(pattern), identity)

    def next_attempt(self) -> str:
        """Return the name of the folder for the sweep's next run."""
        names = [_ATTEMPT.fullmatch(path.name) for path in attempts_folder(self.folder).iterdir()]
        number = max((int(name["number"]) for name in names if name), default=0) + 1
        ending = "" if self.sweep_id is None else f"_{self.sweep_id[:_DIGITS]}"
        return f"attempt_{number:03d}{ending}"

    def remove(self, number: int) -> None:
        """Remove all checkpoints of a trial that nobody will go on from."""
        for checkpoint in self._own(f"*/{trial_folder(number)}/checkpoint_*"):
            _remove(checkpoint)
        self.remove_further_seeds(number)

    def remove_further_seeds(self, number: int) -> None:
        """Remove the checkpoints of a trial's seeds but for the first, which stands for them."""
        for checkpoint in self._own(f"*/{trial_folder(number)}_*/checkpoint_*"):
            _remove(checkpoint)

    def remove_superseded(self, number: int, replicate: int = 0) -> None:
        """Remove what earlier runs left of a trial beyond its newest two checkpoints.

        Ray Tune keeps two in the run that goes on, and does not know of those before.

        Args:
            number: A trial that goes on and has a checkpoint of this run.
            replicate: Which of its seeds, from 0.
        """
        found = self._own(f"*/{trial_folder(number, replicate)}/checkpoint_*")
        checkpoints = sorted(found, key=lambda path: (path.parent.parent.name, path.name))
        for checkpoint in checkpoints[:-2]:
            if checkpoint.parent != checkpoints[-1].parent:
                _remove(checkpoint)

    def collect_garbage(self, records: Sequence[TrialRecord]) -> None:
        """Remove the checkpoints of all trials that ended off the front.

        Args:
            records: All trials; those that are still to go on keep theirs.
        """
        needless = {
            record.number
            for record in records
            if record.state in ENDED_STATES and not record.on_front
        }
        for number in sorted(self.numbers() & needless):
            self.remove(number)
        for record in records:
            if record.on_front and N_SEEDS in record.metrics:
                self.remove_further_seeds(record.number)

    def numbers(self) -> set[int]:
        """Return the numbers of all trials that have checkpoints, whole or not."""
        found = self._own(f"*/{_PREFIX}*/checkpoint_*")
        names = (checkpoint.parent.name.removeprefix(_PREFIX) for checkpoint in found)
        texts = {name.partition("_")[0] for name in names}
        return {int(text) for text in texts if text.isdigit()}

    def _own(self, pattern: str) -> Iterator[AnyPath]:
        """Go through the checkpoints that this study may remove: by the names of their runs."""
        for checkpoint in attempts_folder(self.folder).glob(pattern):
            name = _ATTEMPT.fullmatch(checkpoint.parent.parent.name)
            sweep = name["sweep"] if name else None
            own = (
                not self.always_told if sweep is None else sweep == (self.sweep_id or "")[:_DIGITS]
            )
            if own or self.sweep_id is None:
                yield checkpoint


def checkpoints_of(folder: Path, study: optuna.Study) -> SweepCheckpoints:
    """Return the checkpoints of a study.

    Args:
        folder: The sweep's folder.
        study: Its study.
    """
    known = study.user_attrs
    return SweepCheckpoints(
        folder=folder,
        sweep_id=known.get(SWEEP_ID),
        always_told=known.get(NAMED_CHECKPOINTS, False),
    )


def _remove(checkpoint: AnyPath) -> None:
    """Remove a checkpoint; one that stays for now is found again by the next run."""
    if isinstance(checkpoint, Path):
        shutil.rmtree(checkpoint, ignore_errors=True)
        return
    with contextlib.suppress(BucketError):
        checkpoint.remove_tree()
