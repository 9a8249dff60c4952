"""Progress of a sweep for people (a live view or plain lines) and for machines (JSON lines)."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TextIO

from rich.console import Console

from sweeps.spec.objective import Objective
from sweeps.terminal.live_view import Dashboard
from sweeps.terminal.minute_lines import MinuteLines
from sweeps.terminal.plain_console import plain_console
from sweeps.terminal.sweep_status import SweepStatus
from sweeps.trials.labels import (
    counts_text,
    duration_text,
    metric_label,
    metric_text,
    parameters_text,
    short_names,
    warnings_text,
)
from sweeps.trials.record import TrialRecord
from trainables.config import ParameterValue

_MOST_TOLD = 6  # members of a front in one line


class ProgressView:
    """Shows how a sweep goes.

    On a terminal it is one view that redraws itself; elsewhere a line when a trial starts, ends or
    changes the front, and once a minute how far all are; with ``json_lines`` one JSON object an
    event, epochs included, each with ``event`` and ``time``, and numbers that are not finite as
    null.

    Args:
        total: Trials of the sweep in all, over every resumption.
        objectives: The sweep's objectives.
        epochs: Epochs of a trial.
        concurrency: Trials that run at a time, for the estimate of the time left.
        console: Where people look; standard error by default, so that standard output holds only
            results.
        json_lines: Write JSON lines instead.
        stream: Where JSON lines go; standard output by default.
        is_pretraining: Whether the one trial trains what another sweep starts from.
    """

    def __init__(
        self,
        total: int,
        objectives: Sequence[Objective],
        *,
        epochs: int,
        concurrency: int,
        console: Console | None = None,
        json_lines: bool = False,
        stream: TextIO | None = None,
        is_pretraining: bool = False,
    ) -> None:
        self._standing = SweepStatus(
            total,
            objectives,
            epochs=epochs,
            concurrency=concurrency,
            is_pretraining=is_pretraining,
        )
        self._console = console or plain_console(stderr=True)
        self._stream = (stream or sys.stdout) if json_lines else None
        self._dashboard: Dashboard | None = None
        if not json_lines and self._console.is_terminal:
            self._dashboard = Dashboard(self._standing, self._console)
        self._minute_lines: MinuteLines | None = None
        if not json_lines and not self._console.is_terminal:
            self._minute_lines = MinuteLines(self.say_standing)

    def sweep_started(self, records: Sequence[TrialRecord]) -> None:
        """Show the beginning, and what earlier runs left."""
        standing = self._standing
        standing.load(records)
        done, failed = len(standing.finished), standing.failed
        before = f", {done} done before ({failed} failed)" if done else ""
        begin = f"sweep of {standing.total} trials{before}"
        if standing.is_pretraining:
            begin = "pretraining of the model that all trials start from"
        self._tell(
            "sweep_started",
            begin,
            is_pretraining=standing.is_pretraining,
            total=standing.total,
            complete=standing.complete,
            failed=failed,
            front=[record.number for record in standing.front],
        )
        if self._dashboard:
            self._dashboard.start()
        if self._minute_lines:
            self._minute_lines.start()

    def trial_started(
        self, number: int, parameters: Mapping[str, ParameterValue], *, resumed: bool
    ) -> None:
        """Show that a trial starts or goes on."""
        standing = self._standing
        standing.start(number, parameters, resumed=resumed)
        verb = "goes on" if resumed else "starts"
        shown = parameters_text(parameters, short_names(parameters))
        self._tell(
            "trial_started",
            f"{standing.name(number)} {verb}{f': {shown}' if shown else ''}",
            trial=number,
            parameters=dict(parameters),
            resumed=resumed,
        )

    def epoch_finished(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Show how far a trial is; plain lines leave this out."""
        self._standing.note_epoch(number, epoch, metrics)
        self._tell("epoch_finished", None, trial=number, epoch=epoch, metrics=dict(metrics))

    def trial_finished(self, record: TrialRecord, left: Sequence[int] = ()) -> None:
        """Show a trial's result or why it failed, and the front if that changed."""
        changed = self._standing.finish(record, left)
        self._tell(
            "trial_finished",
            self._result_line(record),
            trial=record.number,
            state=record.state,
            values=None if record.values is None else self._named(record.values),
            metrics=dict(record.metrics),
            seconds=record.seconds,
            failure=record.failure,
            on_front=record.on_front,
        )
        if changed:
            self._tell_front(record.number)

    def _tell_front(self, newcomer: int) -> None:
        front, volume = self._standing.front, self._standing.hypervolume
        if self._stream is not None:
            members = [
                {"trial": member.number, "values": self._named(member.values or ())}
                for member in front
            ]
            self._tell("front_changed", None, hypervolume=volume, front=members)
            return
        # In a long list nobody would find the one that is new.
        shown = front
        if len(front) > _MOST_TOLD:
            shown = [member for member in front if member.number == newcomer]
        line = "front: " + "; ".join(self._front_entry(member) for member in shown)
        if len(shown) < len(front):
            others = len(front) - len(shown)
            line += f" and {others} others" if shown else f"{others} trials"
        if volume is not None:
            line += f", hypervolume {volume:.4g}"
        if not self._standing.is_pretraining:
            self._tell("front_changed", line)

    def sweep_finished(self, records: Sequence[TrialRecord], *, interrupted: bool) -> None:
        """Show the end."""
        self.close()
        standing = self._standing
        standing.load(records)
        stopped = f"{standing.stopped} stopped early, " if standing.stopped else ""
        end = "interrupted" if interrupted else "finished"
        causes = f" ({counts_text(standing.failures)})" if standing.failed else ""
        line = f"sweep {end}: {standing.complete} complete, {standing.failed} failed{causes}, "
        line += f"{stopped}{len(standing.front)} on the front"
        if standing.is_pretraining:
            line = f"pretraining {end}" if not standing.failed else "pretraining failed"
        self._tell(
            "sweep_finished",
            line,
            interrupted=interrupted,
            complete=standing.complete,
            failed=standing.failed,
            failures=standing.failures,
            hypervolume=standing.hypervolume,
            front=[record.number for record in standing.front],
        )

    def close(self) -> None:
        """Give the terminal back, as also the sweep's end does; again is harmless."""
        if self._dashboard:
            self._dashboard.stop()
        if self._minute_lines:
            self._minute_lines.stop()

    def set_total(self, total: int) -> None:
        """Hear that the sweep has another number of trials now."""
        self._standing.total = total

    def say(self, line: str) -> None:
        """Say what else happens to the sweep, such as the end of its budget."""
        self._tell("notice", line, text=line)
        if self._dashboard:
            self._console.print(line, soft_wrap=True, markup=False, highlight=False)

    def say_standing(self) -> None:
        """Write a plain line on how far all running trials are, and how long the rest may take."""
        standing = self._standing
        running = sorted(standing.running.items())
        parts = [
            f"{standing.name(number)} in epoch {min(trial.epoch + 1, standing.epochs)} of "
            f"{standing.epochs}"
            for number, trial in running[:_MOST_TOLD]
        ]
        if not standing.is_pretraining:
            parts.insert(0, f"{len(standing.finished)} of {standing.total} done")
        if len(running) > _MOST_TOLD:
            parts.append(f"{len(running) - _MOST_TOLD} more run")
        if not running:
            parts.append("no trial has a worker yet")
        if left := standing.left_text():
            parts.append(left)
        self._tell("standing", "; ".join(parts))

    def _tell(self, event: str, line: str | None, **fields: object) -> None:
        if self._stream is not None:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            told = {"event": event, "time": now, **fields}
            self._stream.write(json.dumps(_finite(told), allow_nan=False) + "\n")
            self._stream.flush()  # whoever reads along should not wait for a full buffer
        elif self._dashboard is None and line is not None:
            now = datetime.now().strftime("%H:%M:%S")
            # One event is one line, however narrow rich believes the output to be; and one call,
            # as another thread writes too.
            self._console.file.write(f"{now} {line}\n")
            self._console.file.flush()

    def _result_line(self, record: TrialRecord) -> str:
        took = "" if record.seconds is None else f" in {duration_text(record.seconds)}"
        standing = self._standing
        left = standing.left_text()
        rest = f", {left}" if left else ""
        counts = f" ({len(standing.finished)} of {standing.total} done{rest})"
        if standing.is_pretraining:
            counts = ""
        name = standing.name(record.number)
        if record.state == "stopped":
            epoch = record.metrics.get("epoch", 0)
            return f"{name} stopped early{took}, after epoch {epoch:g}{counts}"
        if record.values is None:
            return f"{name} failed{took}: {record.failure}{counts}"
        results = ", ".join(
            f"{metric_label(objective.metric)} {metric_text(objective.metric, value)}"
            for objective, value in zip(standing.objectives, record.values, strict=True)
        )
        doubt = f", {warnings_text(record)}" if record.warnings else ""
        return f"{name} complete{took}: {results}{doubt}{counts}"

    def _front_entry(self, record: TrialRecord) -> str:
        pairs = zip(self._standing.objectives, record.values or (), strict=True)
        values = ", ".join(metric_text(objective.metric, value) for objective, value in pairs)
        doubt = f", {warnings_text(record)}" if record.warnings else ""
        return f"trial {record.number} ({values}{doubt})"

    def _named(self, values: Sequence[float]) -> dict[str, float]:
        metrics = [objective.metric for objective in self._standing.objectives]
        return dict(zip(metrics, values, strict=True))


def _finite(value: object) -> object:
    """Replace what JSON has no word for by null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
