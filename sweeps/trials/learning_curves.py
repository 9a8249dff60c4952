"""Learning curves of all trials: the objectives after each epoch, in a file that anybody may read.

One line of JSON an epoch, appended as it is told; MLflow has all other metrics, but its database
answers for one run at a time. A trial that goes on tells epochs again, and the last line counts.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweeps.spec.objective import Objective
from sweeps.trials.record import TrialRecord
from trainables.config import ParameterValue

CURVES_FILE = "curves.jsonl"

# A trial's objectives by name, after each of its epochs.
Curve = Mapping[int, Mapping[str, float]]


class CurveWriter:
    """A listener that writes the objectives of each epoch down.

    Args:
        folder: The sweep's folder.
        objectives: The sweep's objectives.

    Attributes:
        metrics: Names of what is written.
    """

    def __init__(self, folder: Path, objectives: Sequence[Objective]) -> None:
        self._file = folder / CURVES_FILE
        self.metrics = [objective.metric for objective in objectives]

    def sweep_started(self, records: Sequence[TrialRecord]) -> None:
        """End a line that a killed driver has left half written."""
        if self._file.is_file() and self._file.read_bytes()[-1:] not in (b"", b"\n"):
            self._append("\n")

    def trial_started(
        self, number: int, parameters: Mapping[str, ParameterValue], *, resumed: bool
    ) -> None:
        """Do nothing."""

    def epoch_finished(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write the epoch down, where it has measured an objective."""
        values = {name: float(metrics[name]) for name in self.metrics if name in metrics}
        if values:
            line = json.dumps({"trial": number, "epoch": epoch, "values": values})
            self._append(f"{line}\n")

    def trial_finished(self, record: TrialRecord, left: Sequence[int] = ()) -> None:
        """Do nothing."""

    def sweep_finished(self, records: Sequence[TrialRecord], *, interrupted: bool) -> None:
        """Do nothing."""

    def _append(self, text: str) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError:  # a full disk, which others watch; a curve is not worth a trial
            return


def read_curves(folder: Path) -> dict[int, Curve]:
    """Read the learning curves of a sweep's trials, by their numbers.

    Returns:
        What the file has; a line that cannot be read is passed over, and a sweep of an earlier
        version has no file.
    """
    curves: defaultdict[int, dict[int, Mapping[str, float]]] = defaultdict(dict)
    try:
        lines = (folder / CURVES_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            told = json.loads(line)
            curves[int(told["trial"])][int(told["epoch"])] = dict(told["values"])
        except (ValueError, LookupError, TypeError):
            continue
    return {number: dict(sorted(curve.items())) for number, curve in curves.items()}
