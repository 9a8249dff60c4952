"""Sections of a report about the search: seeds, hypervolume, learning curves, parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sweeps.fronts.attainment import attainment, points_by_seed
from sweeps.fronts.importances import Importances
from sweeps.fronts.selection import Selection
from sweeps.outputs import figures
from sweeps.outputs import page_tables as tables
from sweeps.outputs import parameter_figures as charts
from sweeps.outputs.comparison_figures import attainment_figure
from sweeps.outputs.cost import hypervolume_history, resources_of
from sweeps.outputs.page import Chart, Section
from sweeps.study.stored_sweep import StoredSweep
from sweeps.trials.labels import duration_text, metric_label, metric_text
from sweeps.trials.learning_curves import read_curves


def attainment_section(sweep: StoredSweep, selection: Selection) -> Section | None:
    """Show what seeds make of the front; None without replicates."""
    objectives = selection.objectives
    if len(objectives) != 2:
        return None
    by_seed = points_by_seed(sweep.study.get_trials(deepcopy=False), objectives)
    if len(by_seed) < 2:
        return None
    figure = attainment_figure(attainment([*by_seed.values()], objectives), objectives)
    return Section(
        anchor="attainment",
        title="Attainment",
        text=[
            "The front once for each seed: what one of them, half of them, and all have reached. "
            "Trials that lie between the lines differ by chance."
        ],
        charts=[Chart(figure=figure, caption="Of those trials that ran under all seeds.")],
    )


def history_section(sweep: StoredSweep, selection: Selection) -> Section | None:
    """Follow the hypervolume; None for a single objective."""
    if len(selection.objectives) < 2:
        return None
    history = hypervolume_history(sweep.study, selection, resources_of(sweep))
    reference = ", ".join(
        f"{metric_label(objective.metric)} {metric_text(objective.metric, value)}"
        for objective, value in zip(selection.objectives, selection.reference, strict=True)
    )
    rises = [
        [
            tables.Cell(str(number), is_number=True),
            tables.Cell(duration_text(3600 * hours)),
            tables.Cell(f"{device:.3g}", is_number=True),
            tables.Cell(f"{value:.5g}", is_number=True),
        ]
        for number, value, before, hours, device in zip(
            history.numbers,
            history.hypervolumes,
            (0.0, *history.hypervolumes),
            history.hours,
            history.device_hours,
            strict=False,
        )
        if value > before
    ]
    header = ["trial", "after", f"{history.device} hours", "hypervolume"]
    over = ("over time", f"over {history.device} hours")
    return Section(
        anchor="hypervolume",
        title="Hypervolume",
        text=[
            f"The volume between the front and the reference point: {reference}. Where it no "
            "longer rises, more trials of the same kind are unlikely to help."
        ],
        charts=[
            Chart(figure=figure, caption=f"Hypervolume {way}.")
            for figure, way in zip(figures.history_figures(history), over, strict=True)
        ],
        folded=[tables.Table("Trials that raised the hypervolume", header, rises)],
    )


def learning_curves_section(sweep: StoredSweep) -> Section | None:
    """Show every trial after each of its epochs; None where nobody wrote that down."""
    curves = read_curves(sweep.folder)
    if not curves:
        return None
    return Section(
        anchor="learning-curves",
        title="Learning curves",
        text=[
            "Of each trial's first seed; a cross is where early stopping cut it. What was stopped "
            "has no place on the front, and what runs may still get one."
        ],
        charts=[
            Chart(
                figure=figures.learning_curves_figure(curves, sweep.records, objective),
                caption=f"{metric_label(objective.metric)} after each epoch of all trials.",
            )
            for objective in sweep.objectives[:2]
        ],
    )


def parameters_section(
    sweep: StoredSweep, selection: Selection, found: Importances
) -> Section | None:
    """Show which parameters trials had; None where they are all alike."""
    telling = charts.telling_parameters(sweep.study, found)
    drawn = telling[: charts.MOST_AXES]
    figure = charts.parallel_figure(sweep.study, selection, drawn)
    if figure is None:
        return None
    shown = min(charts.MOST_LINES, len(selection.ranks))
    which = "" if shown == len(selection.ranks) else f", the best-ranked of {len(selection.ranks)}"
    these = "parameters"
    if len(drawn) < len(telling):
        which_drawn = "most important" if found.shares else "first"
        these = f"the {len(drawn)} {which_drawn} of {len(telling)} parameters that differ"
    caption = (
        f"Objectives and {these}, of {shown} trials{which}. The blue lines are the front, "
        "which has rank 0 here; the lighter a grey, the higher the rank."
    )
    return Section(
        anchor="parameters",
        title="Parameters",
        text=["The table of all trials is in the section on the front."],
        charts=[Chart(figure=figure, caption=caption, min_width=640)],
        folded_charts=[*_slices(sweep, selection, telling)],
    )


def _slices(sweep: StoredSweep, selection: Selection, telling: Sequence[str]) -> Iterator[Chart]:
    """Draw each objective over the first parameters, one by one and two by two."""
    for position, objective in enumerate(selection.objectives):
        name = metric_label(objective.metric)
        sliced = charts.slice_figure(
            sweep.study, selection, telling[: charts.MOST_SLICES], position
        )
        if sliced is not None:
            yield Chart(figure=sliced, caption=f"Slices: {name} over one parameter", min_width=640)
        contour = charts.contour_figure(sweep.study, selection, telling, position)
        if contour is not None:
            few = f", at most {charts.MOST_IN_CONTOUR} trials of all ranks"
            caption = f"Contour: {name} over two parameters{few}"
            yield Chart(figure=contour, caption=caption, min_width=480)


def importances_section(found: Importances) -> Section:
    """Say which parameters decide, as far as so many trials can tell."""
    charts, folded = [], []
    if found.shares:
        caption = (
            "Importance of each parameter for each objective and for the hypervolume, where it is "
            f"{figures.LEAST_SHARE:.0%} or more; the table has all."
        )
        charts = [Chart(figure=figures.importances_figure(found), caption=caption)]
        folded = [tables.importances_table(found)]
    return Section(
        anchor="importances",
        title="Importances",
        text=[
            "How much a parameter had to do with being among the best tenth of the trials "
            "(PED-ANOVA); each target's shares add up to 100%. For the hypervolume, the best are "
            "those that rank first and span the most volume."
        ],
        warning=found.warning,
        charts=charts,
        folded=folded,
    )
