"""Tables of a model's evaluation in the terminal, and its progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from hsplid_core.attacks import Norm
from hsplid_core.evaluation import Cell, Progress, RobustnessTable
from sweeps.model_evaluation.confidence import Spread
from sweeps.model_evaluation.measure import Verdict
from sweeps.model_evaluation.summary import SummaryRow, short_names
from sweeps.terminal.plain_console import plain_console

TRAINED_ON = (
    "data.split is published: nine in ten of these test images were trained on, so these figures "
    "compare with the paper's and say nothing of new images."
)


def tell_progress(done: Progress) -> None:
    """Say on stderr how far it is: a strong suite takes minutes a batch."""
    radii = ", ".join(
        f"{count} at {radius_text(done.norm, epsilon)}"
        for count, epsilon in zip(done.standing, done.epsilons, strict=True)
    )
    sys.stderr.write(
        f"images from {done.n_done + 1} of {done.n_images}: {done.attack}, {done.region} "
        f"({done.norm}): {radii} stand\n"
    )


def print_verdict(verdict: Verdict) -> None:
    """Print what was measured on a data set, and what must be known to read it."""
    console = _console()
    console.print(accuracies_table(verdict))
    if verdict.findings.metrics:
        console.print(analyses_table(verdict))
    if verdict.robustness is not None:
        console.print(robustness_table(verdict.robustness))
    for note in notes(verdict):
        console.print(note, soft_wrap=True)


def print_summary(rows: Sequence[SummaryRow], *, n_seeds: int) -> None:
    """Print means, deviations and intervals: a row a measure, a column a model."""
    models = list(dict.fromkeys(row.model for row in rows))
    table = Table(
        title=f"{n_seeds} seeds of the evaluation, mean ± sd [95% interval]",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("measure", overflow="fold")
    names = short_names(rows)
    for model in models:
        table.add_column(names[model], justify="right", overflow="fold")
    cells = {(row.measure, row.model): row.spread for row in rows}
    for measure in dict.fromkeys(row.measure for row in rows):
        own = [cells.get((measure, model)) for model in models]
        table.add_row(measure, *("-" if each is None else spread_text(each) for each in own))
    _console().print(table)


def spread_text(spread: Spread) -> str:
    """Write mean ± deviation [interval], or the mean alone of one seed."""
    text = f"{spread.mean:.4g}"
    if spread.sd is None or spread.low is None or spread.high is None:
        return text
    return f"{text} ± {spread.sd:.2g} [{spread.low:.4g}, {spread.high:.4g}]"


def _console() -> Console:
    # A table that goes into a file or a pipe shall not be cut at 80 columns.
    width = None if sys.stdout.isatty() else max(100, int(os.environ.get("COLUMNS", 100)))
    return plain_console(width=width)


def accuracies_table(verdict: Verdict) -> Table:
    """Lay out clean accuracy, and that on corrupted images and other backgrounds."""
    table = Table(
        title=f"{verdict.data}, {verdict.n_images} images",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("images")
    table.add_column("accuracy", justify="right")
    for name, value in verdict.accuracies.items():
        table.add_row(name.replace("_", " ").replace("/", ", "), f"{value:.1%}")
    return table


def analyses_table(verdict: Verdict) -> Table:
    """Lay out what the analyses found."""
    table = Table(title="analyses", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in verdict.findings.metrics.items():
        table.add_row(name.removeprefix("val/"), f"{value:.4g}")
    return table


def robustness_table(found: RobustnessTable) -> Table:
    """Lay out robust accuracies: a row for each attack in each region, radii ascending."""
    how = "in cascade" if found.cascade else "every cell on its own"
    table = Table(
        title=f"suite {found.suite}, {how}, {found.n_images} images, clean {found.clean:.1%}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for header in ("region", "attack"):
        table.add_column(header)
    table.add_column("accuracy under attack at epsilon", overflow="fold")
    table.add_column("mean change that fools at the last", overflow="fold")
    rows: dict[tuple[str, str, Norm], list[Cell]] = {}
    for cell in found.cells:
        rows.setdefault((cell.region, cell.attack, cell.norm), []).append(cell)
    for (region, attack, norm), cells in rows.items():
        curve = ", ".join(
            f"{radius_text(norm, cell.epsilon)}: {cell.robust:.1%}" for cell in cells
        )
        name = attack if norm == "linf" else f"{attack} (L2)"
        table.add_row(region, name, curve, _change_text(cells[-1]))
    return table


def _change_text(cell: Cell) -> str:
    if cell.l2 is None or cell.l0 is None or cell.mse is None:
        return "-"
    return f"L2 {cell.l2:.2g}, L0 {cell.l0:.0f}, MSE {cell.mse:.1e}"


def notes(verdict: Verdict) -> Iterator[str]:
    """Say what must be known to read the tables, the warnings last."""
    if verdict.is_demo:
        yield "Stand-in data: these figures say nothing about the real data set."
    if verdict.trained_on:
        yield TRAINED_ON
    if verdict.relabelled:
        yield "The model's classes count as the data set's; any other answer is wrong."
    if verdict.left_out:
        regions = ", ".join(verdict.left_out)
        yield f"Left out, as this data has no object masks: {regions}."
    if verdict.robustness is not None:
        for finding in verdict.robustness.warnings:
            yield f"Warning [{finding.code}] {finding.message}"


def radius_text(norm: Norm, epsilon: float) -> str:
    """Write a radius in pixel units for people: ``2/255`` in L-infinity, ``0.5`` in L2."""
    return f"{epsilon * 255:g}/255" if norm == "linf" else f"{epsilon:g}"
