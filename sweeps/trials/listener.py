"""Listeners of a sweep: the tracker and the progress view.

The engine turns Ray Tune's callbacks into these few calls, so a listener knows nothing of Ray.
All calls come from the driver, one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sweeps.trials.record import TrialRecord
from trainables.config import ParameterValue


class SweepListener(Protocol):
    """Someone who is told what happens in a sweep."""

    def sweep_started(self, records: Sequence[TrialRecord]) -> None:
        """Hear that the sweep begins or goes on; the records say what earlier runs left."""

    def trial_started(
        self, number: int, parameters: Mapping[str, ParameterValue], *, resumed: bool
    ) -> None:
        """Hear that a trial got its worker; resumed: an earlier attempt was interrupted."""

    def epoch_finished(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Hear an epoch's metrics; epochs count from 1 and may be told again after a resume."""

    def trial_finished(self, record: TrialRecord, left: Sequence[int] = ()) -> None:
        """Hear that a trial is complete, has failed or was stopped early.

        Args:
            record: The trial; says whether it is on the front now.
            left: Numbers of the trials that it pushed off the front.
        """

    def sweep_finished(self, records: Sequence[TrialRecord], *, interrupted: bool) -> None:
        """Hear that the sweep ends; interrupted: the user stopped it before all trials ran."""
