"""The section on the front of a sweep's report."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from hsplid_core.errors import SaliencyError
from sweeps.confirmation.results import read_validation
from sweeps.fronts.selection import Selection
from sweeps.fronts.start import shortfall_text
from sweeps.outputs import figures
from sweeps.outputs import page_tables as tables
from sweeps.outputs.page import Chart, Section
from sweeps.plots.front_points import SeedSpread
from sweeps.search.first_trials import published_trial
from sweeps.study.stored_sweep import StoredSweep
from sweeps.tracking.run_links import LOCAL_PORT, LOCAL_UI
from sweeps.tracking.tracking_uri import ui_command
from sweeps.trials.labels import START_LABEL, metric_label

logger = logging.getLogger(__name__)


def front_section(sweep: StoredSweep, selection: Selection, links: Mapping[int, str]) -> Section:
    """Say which trials are on the front, beside the model that they started from.

    Args:
        sweep: The sweep.
        selection: Its trials under its own objectives.
        links: Address of a trial's own page by its number.
    """
    info = sweep.info
    paper = published_trial(info.spec, selection.records) if info else None
    text = [
        "Trials of which no other is better in every objective. The knee is the one that is the "
        "dearest to leave: every move along the front costs more there than it gains."
        if selection.knee is not None
        else "Trials of which no other is better in every objective. There is no knee: none is "
        "dearer to leave than all others."
    ]
    if selection.passed_over:
        which = ", ".join(f"trial {number}" for number in selection.passed_over)
        text.append(
            f"The evaluation warns of {which} more than of others on the front: what is called "
            "the knee or the best is chosen among those others."
        )
    command = None
    if links and info is not None:
        text.append("Point at a trial to see its parameters; click it to open its run in MLflow.")
        if any(link.startswith(LOCAL_UI) for link in links.values()):
            text.append("For that, MLflow's UI has to run here, which the command below starts.")
            command = ui_command(info.tracking_uri, sweep.folder, port=LOCAL_PORT)
    if selection.start is not None:
        text.append(
            f"The {START_LABEL} is the model that every trial goes on from, so a trial trained "
            "longer; python -m sweeps.confirm trains cross-entropy for as long beside the front."
        )
    seeds = _seed_spreads(sweep, selection)
    if seeds:
        text.append(
            "Squares with bars are what configurations reached under new seeds, on the same "
            "validation images: mean and standard deviation."
        )
    names = " and ".join(metric_label(objective.metric) for objective in selection.objectives)
    caption = f"{names} of {len(selection.ranks)} trials, {len(selection.front)} on the front."
    return Section(
        anchor="front",
        title="Pareto front",
        text=text,
        command=command,
        warning=shortfall_text(selection.records, selection.objectives, selection.start),
        charts=[
            Chart(figure=figures.front_figure(selection, links, paper, seeds), caption=caption)
        ],
        tables=[tables.trials_table(selection, links, only_front=True)],
        folded=[tables.trials_table(selection, links, only_front=False)],
    )


def _seed_spreads(sweep: StoredSweep, selection: Selection) -> list[SeedSpread]:
    """Read what new seeds made of the configurations, where more than one did."""
    found = []
    metrics = [objective.metric for objective in selection.objectives[:2]]
    try:
        known = read_validation(sweep.folder)
    except SaliencyError as error:
        logger.warning("the report has no spread of seeds: %s", error)
        return []
    for name, spreads in known.items():
        own = [spreads[metric] for metric in metrics if metric in spreads]
        if len(own) == 2 and own[0].sd is not None and own[1].sd is not None:
            mean, sd = (own[0].mean, own[1].mean), (own[0].sd, own[1].sd)
            found.append(SeedSpread(name, mean, sd))
    return found
