"""Tables of a model's evaluation in the terminal, and its progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from rich import box
from rich.table import Table

from hsplid_core.attacks import Norm
from hsplid_core.evaluation import Cell, Progress, RobustnessTable
from sweeps.model_evaluation.measure import Verdict
from sweeps.terminal.plain_console import plain_console


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
    # A table that goes into a file or a pipe shall not be cut at 80 columns.
    width = None if sys.stdout.isatty() else max(100, int(os.environ.get("COLUMNS", 100)))
    console = plain_console(width=width)
    console.print(accuracies_table(verdict))
    if verdict.robustness is not None:
        console.print(robustness_table(verdict.robustness))
    for note in notes(verdict):
        console.print(note, soft_wrap=True)


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
    rows: dict[tuple[str, str, Norm], list[Cell]] = {}
    for cell in found.cells:
        rows.setdefault((cell.region, cell.attack, cell.norm), []).append(cell)
    for (region, attack, norm), cells in rows.items():
        curve = ", ".join(
            f"{radius_text(norm, cell.epsilon)}: {cell.robust:.1%}" for cell in cells
        )
        table.add_row(region, attack if norm == "linf" else f"{attack} (L2)", curve)
    return table


def notes(verdict: Verdict) -> Iterator[str]:
    """Say what must be known to read the tables, the warnings last."""
    if verdict.is_demo:
        yield "Stand-in data: these figures say nothing about the real data set."
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
