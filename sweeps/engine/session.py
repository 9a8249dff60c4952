"""One run of a study: what it still lacks is run, told to the listeners, and written down."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import optuna

from sweeps.about import About, write_about
from sweeps.cluster import check_resources
from sweeps.engine.context import Outcome, SweepContext
from sweeps.engine.tuning import fit
from sweeps.events import SweepListener, TrialRecord
from sweeps.margin_plots import write_margins
from sweeps.panels import write_panels
from sweeps.plots import write_front
from sweeps.progress import ProgressView
from sweeps.provenance import provenance_tags
from sweeps.report import REPORT_FILE, report_or_warn
from sweeps.results import records_of, write_parquet
from sweeps.searcher import StudySearcher
from sweeps.spaces import find_space, first_trials
from sweeps.study import interrupted_trials, open_study
from sweeps.tables import write_tables
from sweeps.tracking import MlflowTracker
from sweeps.trial_files import find_checkpoint


def run_study(context: SweepContext) -> Outcome:
    """Run what a study still lacks, and write the results."""
    spec, folder = context.spec, context.folder
    space = find_space(spec.search.space)
    study = open_study(folder, spec, context.fixed, first_trials(spec, context.fixed))
    write_about(folder, _about(context))
    tracker = _tracker(context, study)
    view = ProgressView(
        total=spec.trials,
        objectives=spec.objectives,
        epochs=spec.training.epochs,
        concurrency=check_resources(spec.resources),
        json_lines=context.json_lines,
    )
    listeners: list[SweepListener] = [tracker, view]

    def tell_listeners(number: int) -> None:
        record = records_of(study)[number]
        for listener in listeners:
            listener.trial_finished(record)

    searcher = StudySearcher(
        study,
        space,
        spec.trial_config(context.weights),
        objectives=[objective.metric for objective in spec.objectives],
        total=spec.trials,
        threads=max(1, int(spec.resources.cpu)),
        find_checkpoint=lambda number: find_checkpoint(folder, number),
        on_told=tell_listeners,
    )
    try:
        for listener in listeners:
            listener.sweep_started(records_of(study))
        if searcher.remaining:
            fit(context, searcher, listeners)
        records = records_of(study)
        interrupted = bool(interrupted_trials(study)) or searcher.remaining > 0
        _write_results(context, records)
        tracker.artifacts += write_tables(study.get_trials(deepcopy=False), folder)
        tracker.artifacts += write_panels(spec.trial_config(context.weights), records, folder)
        tracker.artifacts += write_margins(records, spec, folder, is_demo=context.is_demo)
        for listener in listeners:
            listener.sweep_finished(records, interrupted=interrupted)
    finally:
        view.close()
    return Outcome(records, interrupted, tracker.experiment_id)


def _tracker(context: SweepContext, study: optuna.Study) -> MlflowTracker:
    spec, folder = context.spec, context.folder
    sweep_id = study.user_attrs.get("sweep_id")
    if sweep_id is None:
        sweep_id = uuid.uuid4().hex
        study.set_user_attr("sweep_id", sweep_id)
    return MlflowTracker(
        context.tracking_uri,
        experiment=spec.tracking.experiment or spec.name,
        run_name=folder.name,
        sweep_id=sweep_id,
        objectives=spec.objectives,
        spec=spec.resolved(),
        tags={
            **provenance_tags(),
            "seed": str(spec.seed),
            "data.key": context.images["train"].key,
            **{f"data.split.{name}": split.rows_hash() for name, split in context.images.items()},
            "data.demo": str(context.is_demo).lower(),
        },
        artifacts=[folder / name for name in ("trials.parquet", "front.png", REPORT_FILE)],
        # Ray saves a checkpoint after it has told an epoch's result. Delivered at once, an epoch
        # is in MLflow before a resumed trial can start behind it, even if the driver is killed.
        flush_s=0.0,
    )


def _about(context: SweepContext) -> About:
    return About(
        spec=context.spec,
        fixed=context.fixed,
        is_demo=context.is_demo,
        data_key=context.images["train"].key,
        weights=context.weights,
        baseline=context.baseline,
        tracking_uri=context.tracking_uri,
        tags=provenance_tags(),
    )


def _write_results(context: SweepContext, records: Sequence[TrialRecord]) -> None:
    spec, folder = context.spec, context.folder
    write_parquet(records, spec.objectives, folder / "trials.parquet")
    write_front(
        records,
        spec.objectives,
        folder / "front.png",
        title=spec.name,
        baseline=context.baseline,
        is_demo=context.is_demo,
        paper_trial=0 if spec.search.paper_first else None,
    )
    report_or_warn(folder)
