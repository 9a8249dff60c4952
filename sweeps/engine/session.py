"""One run of a study: what it still lacks is run, told to the listeners, and written down."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import optuna
import ray
from ray import tune

from sweeps.about import About, write_about
from sweeps.cluster import check_resources
from sweeps.engine.announcing import Announcer
from sweeps.engine.context import Outcome, SweepContext, SweepFailedError
from sweeps.engine.tuning import fit
from sweeps.events import SweepListener, TrialRecord
from sweeps.local_copy import publish
from sweeps.margin_plots import write_margins
from sweeps.origin import check_origin, origin_of
from sweeps.packing import rounds
from sweeps.panels import write_panels
from sweeps.plots import write_front
from sweeps.progress import ProgressView
from sweeps.provenance import provenance_tags
from sweeps.report import REPORT_FILE, report_or_warn
from sweeps.results import records_of, write_parquet
from sweeps.schedulers import build_scheduler
from sweeps.searcher import StudySearcher, TrialPlan
from sweeps.spaces import find_space, first_trials
from sweeps.study import interrupted_trials, missing_trials, open_study
from sweeps.tables import write_tables
from sweeps.tracking import MlflowTracker
from sweeps.trial_files import collect_garbage, find_checkpoint
from trainables.trainable import SweepTrainable

# The report links to the trials' runs, as far as MLflow has them by then.
_REPORT_WAIT_S = 5.0


def open_context_study(context: SweepContext) -> optuna.Study:
    """Open the study of a sweep, if it was begun under the same conditions.

    Raises:
        StudyChangedError: It was not, and that is not allowed.
        ConfigError: The study is kept somewhere else, or has other objectives.
        StorageError: Its database does not answer.
    """
    spec, fixed = context.spec, context.fixed
    study = open_study(context.folder, spec, fixed, first_trials(spec, fixed))
    origin = origin_of(spec, fixed, context.images["train"].key)
    check_origin(study, origin, allow_changed=context.allow_changed)
    return study


def run_study(context: SweepContext, study: optuna.Study) -> Outcome:
    """Run what a study still lacks, and write the results.

    Raises:
        SweepFailedError: Too many of the first trials failed; what there is was written.
    """
    spec, folder = context.spec, context.folder
    write_about(folder, _about(context))
    publish(folder)
    tracker = _tracker(context, study)
    view = ProgressView(
        total=spec.trials,
        objectives=spec.objectives,
        epochs=spec.training.epochs,
        concurrency=check_resources(spec.resources),
        json_lines=context.json_lines,
    )
    listeners: list[SweepListener] = [tracker, view]
    announcer = Announcer(study, spec.objectives, folder, listeners)
    try:
        announcer.start()
        stop_reason = run_trials(context, study, announcer, listeners)
        records = records_of(study)
        interrupted = missing_trials(study, spec.trials) > 0
        collect_garbage(folder, records)
        tracker.flush(_REPORT_WAIT_S)
        _write_results(context, records)
        tracker.artifacts += write_tables(study.get_trials(deepcopy=False), folder)
        tracker.artifacts += write_panels(spec.trial_config(context.weights), records, folder)
        tracker.artifacts += write_margins(records, spec, folder, is_demo=context.is_demo)
        for listener in listeners:
            listener.sweep_finished(records, interrupted=interrupted)
        publish(folder)
    finally:
        view.close()
        tracker.close()
    if stop_reason is not None:
        raise SweepFailedError(
            f"the sweep was stopped: {stop_reason}; correct that, and the same command goes on"
        )
    return Outcome(records, interrupted, tracker.experiment_id)


def run_trials(
    context: SweepContext,
    study: optuna.Study,
    announcer: Announcer,
    listeners: Sequence[SweepListener],
    trainable: type[tune.Trainable] = SweepTrainable,
) -> str | None:
    """Run the trials that a study lacks.

    Args:
        context: What the sweep works with.
        study: The study.
        announcer: Is told of trials that ended.
        listeners: Are told what happens on the way.
        trainable: Runs a trial.

    Returns:
        Why they were stopped before the end, if they were.
    """
    spec = context.spec
    gpus = ray.cluster_resources().get("GPU", 0.0)
    for resources, total in rounds(study, spec.resources, spec.trials, gpus):
        plan = TrialPlan(
            space=find_space(spec.search.space),
            objectives=[objective.metric for objective in spec.objectives],
            constraints=spec.search.constraints,
            resources=resources,
            failures=spec.failures,
            max_losses=spec.max_failures,
        )
        searcher = StudySearcher(
            study,
            plan,
            total=total,
            find_checkpoint=lambda number: find_checkpoint(context.folder, number),
            on_told=announcer.trial_ended,
        )
        if searcher.remaining:
            scheduler = build_scheduler(spec, study, searcher.note_rungs)
            fit(context, searcher, scheduler, resources, listeners, trainable)
        if searcher.stop_reason is not None or interrupted_trials(study):
            return searcher.stop_reason
    return None


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
        folder=folder,
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
        is_pretraining=context.is_pretraining,
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
