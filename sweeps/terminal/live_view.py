"""The live view of a sweep in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps.fronts.indicators import best_values
from sweeps.terminal.sweep_status import SweepStatus
from sweeps.terminal.trial_table import objective_cells
from sweeps.trials.labels import (
    counts_text,
    metric_label,
    metric_text,
    parameters_text,
    short_names,
)

_MAX_FRONT = 8
_MAX_RUNNING = 16


class Dashboard:
    """Redraws itself twice a second, in rich's own thread, until it is stopped.

    Args:
        standing: What to show; read at each drawing.
        console: Terminal to draw on. What others print meanwhile appears above.
    """

    def __init__(self, standing: SweepStatus, console: Console) -> None:
        self._standing = standing
        # Transient, for what stays is the table printed at the end.
        self._live = Live(
            console=console, get_renderable=self.render, refresh_per_second=2, transient=True
        )

    def start(self) -> None:
        """Begin to draw; again is harmless."""
        self._live.start(refresh=True)

    def stop(self) -> None:
        """Take the view off the terminal; again is harmless."""
        self._live.stop()

    def render(self) -> RenderableType:
        """Lay out the view as it stands now."""
        parts: list[RenderableType] = [self._summary()]
        if self._standing.running:
            parts.append(self._running())
        if self._standing.front:
            parts.append(self._front())
        return Group(*parts)

    def _summary(self) -> Table:
        standing = self._standing
        done = len(standing.finished)
        line = Text(f"{done} of {standing.total} trials")
        if standing.is_pretraining:
            line = Text("pretraining")
        line.append(f"  {len(standing.running)} running", style="cyan")
        if standing.failed:
            causes = counts_text(standing.failures)
            line.append(f"  {standing.failed} failed ({causes})", style="red")
        volume = standing.hypervolume
        if volume:
            line.append(f"  hypervolume {volume:.4g}", style="green")
        if left := standing.left_text():
            line.append(f"  {left}", style="dim")
        grid = Table.grid(padding=(0, 2))
        grid.add_row(ProgressBar(total=standing.total, completed=done, width=30), line)
        return grid

    def _running(self) -> Table:
        standing = self._standing
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("running", justify="right", no_wrap=True)
        table.add_column("epoch", justify="right", no_wrap=True)
        for objective in standing.objectives:
            table.add_column(metric_label(objective.metric), justify="right", no_wrap=True)
        table.add_column("parameters")  # the one column that may shrink
        for number, trial in sorted(standing.running.items())[:_MAX_RUNNING]:
            table.add_row(
                str(number),
                f"{trial.epoch}/{standing.epochs}",
                *(metric_text(o.metric, trial.metrics.get(o.metric)) for o in standing.objectives),
                Text(
                    parameters_text(trial.parameters, short_names(trial.parameters)),
                    no_wrap=True,
                    overflow="ellipsis",
                ),
            )
        return table

    def _front(self) -> Table:
        standing = self._standing
        front = standing.front
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("front", justify="right")
        for objective in standing.objectives:
            table.add_column(metric_label(objective.metric), justify="right")
        best = best_values(front, standing.objectives)
        for record in front[-_MAX_FRONT:]:
            number = f"{record.number} !" if record.warnings else str(record.number)
            table.add_row(number, *objective_cells(record, standing.objectives, best))
        if len(front) > _MAX_FRONT:
            table.add_row(Text(f"{len(front) - _MAX_FRONT} more", style="dim"))
        return table
