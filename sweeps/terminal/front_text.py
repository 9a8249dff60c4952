"""Front of a sweep in the terminal: its trials, hypervolume, knee, ends and importances."""

from __future__ import annotations

from collections.abc import Iterator

from sweeps.fronts.importances import Importances, importance_rows
from sweeps.fronts.selection import Selection
from sweeps.fronts.start import shortfall_text
from sweeps.terminal.plain_console import plain_console
from sweeps.terminal.trial_table import pareto_table, rich_table
from sweeps.trials.labels import metric_label, metric_text, warnings_text

_FEW_DOMINATED = 10


def print_front(selection: Selection, *, show_all: bool, is_demo: bool) -> None:
    """Print a selection as a table of trials and lines below it.

    Args:
        selection: The trials and what was found out about them.
        show_all: Show all dominated trials instead of the best ones.
        is_demo: Whether the images are the embedded stand-in.
    """
    console = plain_console()
    console.print(
        pareto_table(
            selection.records,
            selection.objectives,
            start=selection.start,
            max_dominated=None if show_all else _FEW_DOMINATED,
        )
    )
    for line in _lines(selection):
        console.print(line, soft_wrap=True)
    if is_demo:
        console.print("Demo data: these figures say nothing about the real data set.")


def print_importances(found: Importances) -> None:
    """Print which parameters decide the results, or why that cannot be told."""
    console = plain_console()
    if found.shares:
        console.print(rich_table("Importances (PED-ANOVA)", *importance_rows(found)))
    if found.warning is not None:
        console.print(f"Importances {found.warning}", soft_wrap=True)


def _lines(selection: Selection) -> Iterator[str]:
    reference = ", ".join(
        f"{metric_label(objective.metric)} {metric_text(objective.metric, value)}"
        for objective, value in zip(selection.objectives, selection.reference, strict=True)
    )
    yield f"Hypervolume {selection.hypervolume:.6g}, from the reference point {reference}"
    shortfall = shortfall_text(
        selection.records,
        selection.objectives,
        selection.start,
        reference=selection.reference,
    )
    if shortfall is not None:
        yield f"Start       {shortfall}"
    warned = {r.number: warnings_text(r) for r in selection.front if r.warnings}
    if selection.knee is not None:
        doubt = f" ({warned[selection.knee]})" if selection.knee in warned else ""
        yield f"Knee        trial {selection.knee}, the dearest to leave{doubt}"
    elif selection.front:
        yield "Knee        none: no trial is dearer to leave than all others"
    for metric, number in selection.ends.items():
        doubt = f" ({warned[number]})" if number in warned else ""
        yield f"Best        trial {number} in {metric_label(metric)}{doubt}"
    for number in selection.passed_over:
        yield f"Passed over trial {number} ({warned[number]}): others are less in doubt"
    for group in selection.ties:
        yield f"Tied        trials {', '.join(map(str, group))} have equal values"
    for number, reason in selection.infeasible.items():
        yield f"Infeasible  trial {number}: {reason}"
