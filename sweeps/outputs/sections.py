"""Sections of a sweep's report: what each of them says."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping

import yaml

from hsplid_core.errors import SaliencyError
from sweeps.confirmation.results import read_confirmation
from sweeps.confirmation.text_tables import conclusions, doubts_text, luck_rows, test_rows, turned
from sweeps.fronts.importances import importances
from sweeps.fronts.selection import Selection
from sweeps.outputs import figures
from sweeps.outputs import page_tables as tables
from sweeps.outputs.cost import cost_facts, hypervolume_history, resources_of
from sweeps.outputs.front_section import front_section
from sweeps.outputs.page import Chart, Section
from sweeps.outputs.robust_curves import RobustCurve, robust_curves
from sweeps.outputs.saliency_grid import saliency_grid, with_weights
from sweeps.outputs.search_sections import (
    attainment_section,
    history_section,
    importances_section,
    learning_curves_section,
    parameters_section,
)
from sweeps.spec.loading import load_pretrain_spec
from sweeps.spec.moved_storage import storage_around
from sweeps.storage.bucket_mirror import shared_place
from sweeps.study.stored_sweep import StoredSweep, open_sweep
from sweeps.study.sweep_info import SweepInfo, command_again
from sweeps.tracking.run_links import trial_pages
from sweeps.trials.analysis_tables import collect
from sweeps.trials.labels import (
    START_LABEL,
    metric_text,
    warnings_text,
)
from sweeps.trials.record import TrialRecord
from trainables.robustness import WARNINGS

_MOST_MODELS = 5  # columns of saliency maps beside the image

logger = logging.getLogger(__name__)


def sections_of(sweep: StoredSweep, selection: Selection, *, ui: str | None) -> list[Section]:
    """Return what the report has to say, without the sections that have nothing.

    Args:
        sweep: The sweep.
        selection: Its trials under its own objectives.
        ui: Address of MLflow's UI; None takes the tracking server's, or the local default.
    """
    links = _links(sweep, ui)
    found = importances(sweep.study, sweep.objectives)
    sections = [
        front_section(sweep, selection, links),
        attainment_section(sweep, selection),
        history_section(sweep, selection),
        learning_curves_section(sweep),
        parameters_section(sweep, selection, found),
        importances_section(found),
        _curves(sweep, selection),
        _saliency(sweep, selection),
        _confirmed(sweep),
        _failures(selection, links),
        _cost(sweep, selection),
        _origin(sweep),
    ]
    return [section for section in sections if section is not None]


def _links(sweep: StoredSweep, ui: str | None) -> Mapping[int, str]:
    return {} if sweep.info is None else trial_pages(sweep.recording, ui=ui)


def summary_of(selection: Selection) -> dict[str, str]:
    """Return the few figures that the report begins with, by their names."""
    states = [record.state for record in selection.records]
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    found = {
        "trials": ", ".join(f"{count} {state}" for state, count in counts.items()),
        "on the front": str(len(selection.front)),
        "hypervolume": f"{selection.hypervolume:.4g}",
    }
    front = {record.number: record for record in selection.front}
    if selection.knee is not None:
        found["knee"] = _trial_text(front[selection.knee])
    for objective in selection.objectives:
        if objective.metric in selection.ends:
            record = front[selection.ends[objective.metric]]
            value = metric_text(objective.metric, record.metrics[objective.metric])
            found[selection.end_label(objective.metric)] = f"{value} ({_trial_text(record)})"
    return found


def _trial_text(record: TrialRecord) -> str:
    return ", ".join(filter(None, [f"trial {record.number}", warnings_text(record)]))


def _chosen(selection: Selection) -> list[TrialRecord]:
    """Order the front: knee and ends first, so that what is cut off matters least."""
    first = [selection.knee, *selection.ends.values()]
    rank = {number: place for place, number in enumerate(dict.fromkeys(first))}
    return sorted(selection.front, key=lambda r: (rank.get(r.number, len(rank)), r.number))


def _curves(sweep: StoredSweep, selection: Selection) -> Section | None:
    curves: list[RobustCurve] = []
    for record in _chosen(selection):
        name = _trial_text(record) + (" (knee)" if record.number == selection.knee else "")
        curves += robust_curves(name, record.metrics)
    if not curves:
        return None
    curves = [*robust_curves(START_LABEL, _start_metrics(sweep)), *curves]
    charts = [
        Chart(figure=figure, caption="Accuracy against the radius of the attack, on validation.")
        for figure in figures.curves_figures(curves)
    ]
    return Section(
        anchor="robustness",
        title="Robust accuracy over epsilon",
        text=["The front against the model that all trials started from; at 0 it is clean."],
        charts=charts,
        tables=_doubts(sweep, selection),
        folded=[tables.curves_table(curves)],
    )


def _doubts(sweep: StoredSweep, selection: Selection) -> list[tables.Table]:
    """List what the evaluation itself found suspicious about the front's robust accuracies."""
    found = collect(sweep.study.get_trials(deepcopy=False)).get(WARNINGS)
    if found is None:
        return []
    front = {record.number for record in selection.front}
    rows = [
        [str(row["trial"]), row["code"].replace("_", " "), row["message"]]
        for row in found.to_pylist()
        if row["trial"] in front
    ]
    header = ["trial", "warning", "what it means"]
    caption = "Reasons to distrust these numbers"
    return [tables.plain_table(caption, header, rows)] if rows else []


def _start_metrics(sweep: StoredSweep) -> Mapping[str, float]:
    """Find the metrics of the pretrained model in the sweep that trained it."""
    if sweep.info is None or sweep.info.weights is None:
        return {}
    try:
        spec = load_pretrain_spec(sweep.info.spec)
        if spec is None:
            return {}
        name = f"{spec.name}-{sweep.info.weights.stem}"
        trained = open_sweep(name, shared_place(storage_around(sweep.folder)))
    except SaliencyError as error:
        logger.warning("the report has no curve of the start: %s", error)
        return {}
    return trained.records[0].metrics


def _saliency(sweep: StoredSweep, selection: Selection) -> Section | None:
    if sweep.info is None:
        return None
    config = sweep.info.spec.trial_config()
    models = {}
    if sweep.info.weights is not None:
        models[START_LABEL] = with_weights(config, sweep.info.weights)
    missing = []
    for record in _chosen(selection)[: _MOST_MODELS - len(models)]:
        checkpoint = sweep.checkpoints.find(record.number, record.parameters)
        if checkpoint is None:
            missing.append(str(record.number))
        else:
            own = config.of_trial(record.parameters)
            models[f"trial {record.number}"] = with_weights(own, checkpoint)
    warning = f"Checkpoints of trials {', '.join(missing)} are gone." if missing else None
    section = Section(anchor="saliency", title="Where saliency lies", warning=warning)
    if not models:
        return section
    try:
        grid = saliency_grid(models)
    except (SaliencyError, OSError) as error:
        return Section(
            anchor="saliency", title=section.title, warning=f"No saliency maps: {error}"
        )
    shares = {name: f"{share:.0%}" for name, share in grid.inside.items()}
    unusable = [f"{name} is left out: {why}." for name, why in grid.left_out.items()]
    told = "; ".join(f"{name} {share}" for name, share in shares.items())
    outline = " The line is the object's outline." if shares else ""
    return Section(
        anchor="saliency",
        title=section.title,
        text=[
            "Absolute gradient of the predicted class's logit, clipped at its 99th percentile, on "
            f"validation images: bright pixels decide.{outline}"
        ],
        warning=" ".join([*([warning] if warning else []), *unusable]) or None,
        image=grid.png,
        image_text=(
            f"Saliency of {len(models) - len(unusable)} models on {grid.n_images} images."
            + (f" Share inside the object: {told}." if told else "")
        ),
        folded=[tables.facts_table("Share of the saliency inside the object, mean", shares)]
        * bool(shares),
    )


def _confirmed(sweep: StoredSweep) -> Section | None:
    section = Section(anchor="confirmation", title="Confirmed under new seeds")
    try:
        found = read_confirmation(sweep.folder)
    except SaliencyError as error:
        return dataclasses.replace(section, warning=str(error))
    if found is None:
        return None
    laid_out = (
        ("Test split, mean ± sd [95% interval] in %", turned(*test_rows(found))),
        ("Promise and luck, on validation images", luck_rows(found)),
    )
    return dataclasses.replace(
        section,
        text=[
            f"Trained anew under {len(found.seeds)} seeds and judged on the test split with the "
            f"attack suite {found.suite}. The last row says whether a configuration is "
            "non-dominated there, and in which share of draws of seeds and images.",
            *conclusions(found),
        ],
        warning=doubts_text(found),
        tables=[tables.plain_table(caption, *content) for caption, content in laid_out],
    )


def _failures(selection: Selection, links: Mapping[int, str]) -> Section:
    table = tables.failures_table(selection, links)
    text = [] if table else ["No trial failed."]
    return Section(
        anchor="failures", title="Failed trials", text=text, tables=[table] if table else []
    )


def _cost(sweep: StoredSweep, selection: Selection) -> Section:
    resources = resources_of(sweep)
    history = hypervolume_history(sweep.study, selection, resources)
    facts = cost_facts(selection, history, resources)
    return Section(anchor="cost", title="Cost", tables=[tables.facts_table("Cost", facts)])


def _origin(sweep: StoredSweep) -> Section:
    info = sweep.info
    if info is None:
        return Section(
            anchor="origin",
            title="What was run",
            warning="The folder does not say: it was written by an older version.",
        )
    return Section(
        anchor="origin",
        title="What was run",
        text=["This command runs the same sweep once more, beside this one:"],
        tables=[tables.facts_table("Origin", _origin_facts(sweep, info))],
        command=command_again(sweep.folder, info),
        document=yaml.safe_dump(info.spec.resolved(), sort_keys=False),
    )


def _origin_facts(sweep: StoredSweep, info: SweepInfo) -> dict[str, str]:
    data = info.spec.data
    where = "embedded demo data" if info.is_demo else str(data.root)
    return {
        "folder": str(sweep.folder),
        "data": f"{data.name}, {data.image_size} pixels, {where}",
        "data hash": info.data_key,
        "starting weights": str(info.weights) if info.weights else "none: trained from scratch",
        "fixed by hand": ", ".join(f"{k}={v}" for k, v in info.fixed.items()) or "nothing",
        "tracking": info.tracking_uri,
        **dict(info.tags),
    }
