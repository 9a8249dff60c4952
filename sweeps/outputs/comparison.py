"""Comparison of several sweeps: one page with their fronts, hypervolumes and what differs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from hsplid_core.errors import ConfigError
from hsplid_core.files import replace_text
from sweeps.fronts.attainment import attainment, points_by_seed
from sweeps.fronts.indicators import Points, default_reference, pareto_ranks, points_of
from sweeps.fronts.selection import Selection, select
from sweeps.outputs import comparison_figures as figures
from sweeps.outputs.cost import History, hypervolume_history, resources_of
from sweeps.outputs.page import Chart, Page, Section, render
from sweeps.outputs.page_tables import Cell, Table, plain_table
from sweeps.study.resume_check import spec_values
from sweeps.study.stored_sweep import StoredSweep
from sweeps.trials.labels import metric_label, metric_text
from sweeps.trials.record import TrialRecord

# Of sweeps that differ in nothing else, each is one more try of the same search.
_SEEDS = ("seed", "search.seed")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A sweep among others.

    Attributes:
        name: What it is called here.
        sweep: The sweep.
        selection: Its trials under the objectives and the reference point of all.
        history: Its hypervolume over what it has spent.
    """

    name: str
    sweep: StoredSweep
    selection: Selection
    history: History


def write_comparison(sweeps: Sequence[StoredSweep], output: Path) -> Path:
    """Write one page about several sweeps.

    Args:
        sweeps: Two or more, each with a complete trial.
        output: The file.

    Raises:
        ConfigError: A sweep lacks an objective of the first one.
    """
    compared = compare(sweeps)
    sections = [
        _fronts(compared),
        _attainment(compared),
        _histories(compared),
        _differences(compared),
    ]
    page = Page(
        title=" and ".join(each.name for each in compared),
        description=f"{len(compared)} sweeps beside each other.",
        is_demo=any(s.info is not None and s.info.is_demo for s in sweeps),
        summary={
            f"hypervolume of {each.name}": f"{each.selection.hypervolume:.4g}" for each in compared
        },
        sections=[section for section in sections if section is not None],
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    replace_text(output, render(page))
    return output


def compare(sweeps: Sequence[StoredSweep]) -> list[Compared]:
    """Judge sweeps by the objectives of the first one, down to the same reference point.

    Raises:
        ConfigError: A sweep lacks one of them.
    """
    objectives = sweeps[0].objectives
    for sweep in sweeps[1:]:
        known = {name for record in sweep.records for name in record.metrics}
        for objective in objectives:
            if objective.metric not in known:
                raise ConfigError(
                    f"{sweep.name} has no {objective.metric}, an objective of {sweeps[0].name}: "
                    "compare sweeps that measure the same, the one with fewer objectives first"
                )
    own = [select(sweep.records, objectives) for sweep in sweeps]
    every = np.vstack([points_of(_candidates(selection), objectives) for selection in own])
    reference = default_reference(every, objectives)
    names = [sweep.name for sweep in sweeps]
    found = []
    for sweep in sweeps:
        selection = select(sweep.records, objectives, reference=reference)
        found.append(
            Compared(
                name=sweep.name if names.count(sweep.name) == 1 else str(sweep.folder),
                sweep=sweep,
                selection=selection,
                history=hypervolume_history(sweep.study, selection, resources_of(sweep)),
            )
        )
    return found


def _candidates(selection: Selection) -> list[TrialRecord]:
    return [record for record in selection.records if record.values is not None]


def _fronts(compared: Sequence[Compared]) -> Section:
    objectives = compared[0].selection.objectives
    fronts = [points_of(each.selection.front, objectives) for each in compared]
    ranks = pareto_ranks(np.vstack(fronts), objectives)
    joint = np.split(ranks == 1, np.cumsum([len(front) for front in fronts])[:-1])
    header = [
        "sweep",
        "complete",
        "on its front",
        "on the joint front",
        "hypervolume",
        *(f"best {metric_label(objective.metric)}" for objective in objectives),
        "device hours",
        "epochs",
    ]
    rows = []
    for each, kept in zip(compared, joint, strict=True):
        points = points_of(_candidates(each.selection), objectives)
        best = [
            column.max() if objective.direction == "maximize" else column.min()
            for column, objective in zip(points.T, objectives, strict=True)
        ]
        numbers = [
            str(len(points)),
            str(len(each.selection.front)),
            str(int(kept.sum())),
            f"{each.selection.hypervolume:.4g}",
            *(metric_text(o.metric, float(b)) for o, b in zip(objectives, best, strict=True)),
            f"{each.history.spent:.3g} ({each.history.device})",
            f"{each.history.all_epochs:,.0f}",
        ]
        rows.append([Cell(each.name), *(Cell(text, is_number=True) for text in numbers)])
    charts = []
    if len(objectives) > 1:
        first, second = (metric_label(objective.metric) for objective in objectives[:2])
        caption = f"{first} and {second}; bars are standard deviations over a trial's seeds."
        named = {each.name: each.selection for each in compared}
        charts = [Chart(figure=figures.fronts_figure(named), caption=caption)]
    return Section(
        anchor="fronts",
        title="Fronts",
        text=[
            "Each sweep's trials of which none of its own is better in every objective. The joint "
            "front is what is left when all of them are taken together. "
            f"{_reference_text(compared[0].selection)}"
        ],
        charts=charts,
        tables=[Table("The sweeps", header, rows)],
    )


def _reference_text(selection: Selection) -> str:
    worst = ", ".join(
        f"{metric_label(objective.metric)} {metric_text(objective.metric, value)}"
        for objective, value in zip(selection.objectives, selection.reference, strict=True)
    )
    return f"Hypervolumes have one reference point: {worst}."


def _attainment(compared: Sequence[Compared]) -> Section | None:
    """Show what seeds make of a search: of one with replicates, or of sweeps otherwise alike."""
    objectives = compared[0].selection.objectives
    if len(objectives) != 2:
        return None
    surfaces: dict[str, dict[str, Points]] = {}
    for each in compared:
        by_seed = points_by_seed(each.sweep.study.get_trials(deepcopy=False), objectives)
        if len(by_seed) > 1:
            surfaces[f"{each.name}, seeds of its trials"] = attainment(
                [*by_seed.values()], objectives
            )
    alike: defaultdict[str, list[Compared]] = defaultdict(list)
    for each in compared:
        if each.sweep.info is not None:
            values = spec_values(each.sweep.spec)
            alike[str(sorted((k, v) for k, v in values.items() if k not in _SEEDS))].append(each)
    for group in alike.values():
        fronts = [points_of(each.selection.front, objectives) for each in group]
        fronts = [front for front in fronts if len(front)]
        if len(fronts) > 1:
            surfaces[" and ".join(each.name for each in group)] = attainment(fronts, objectives)
    if not surfaces:
        return None
    return Section(
        anchor="attainment",
        title="Attainment",
        text=[
            "What one front, half of them, and all have reached, where the same search ran under "
            "several seeds. What differs by less than these lines do may differ by chance."
        ],
        charts=[
            Chart(figure=figures.attainment_figure(lines, objectives), caption=f"{name}.")
            for name, lines in surfaces.items()
        ],
    )


def _histories(compared: Sequence[Compared]) -> Section | None:
    named = {each.name: each.history for each in compared}
    if len(compared[0].selection.objectives) < 2:
        return None
    devices = {history.device for history in named.values()}
    ways = ["epochs"] + [f"{device} hours" for device in devices if len(devices) == 1]
    return Section(
        anchor="hypervolume",
        title="Hypervolume",
        text=["What each sweep had reached for what it had spent until then."],
        charts=[
            Chart(figure=figures.histories_figure(named, way), caption=f"Hypervolume over {way}.")
            for way in ways
        ],
    )


def _differences(compared: Sequence[Compared]) -> Section:
    known = [each for each in compared if each.sweep.info is not None]
    columns = [
        {
            **spec_values(each.sweep.spec),
            "trials": str(each.sweep.spec.trials),
            "images": each.sweep.info.data_key if each.sweep.info else "",
        }
        for each in known
    ]
    paths = dict.fromkeys(path for column in columns for path in column)
    rows = [
        [path, *(column.get(path, "-") for column in columns)]
        for path in paths
        if len({column.get(path) for column in columns}) > 1
    ]
    header = ["key", *(each.name for each in known)]
    missing = [each.name for each in compared if each.sweep.info is None]
    return Section(
        anchor="differences",
        title="What differs",
        text=[] if rows else ["The specs are the same in all that decides about a trial."],
        warning=f"{', '.join(missing)}: the folder does not say which spec." if missing else None,
        tables=[plain_table("Keys of the specs that differ", header, rows)] if rows else [],
    )
