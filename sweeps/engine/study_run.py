"""One run of a study: what it still lacks is run, told to the listeners, and written down."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import optuna
import ray
from ray import tune

from hsplid_core.errors import ConfigError
from search_spaces import ParameterValue
from sweeps.cluster.resources import check_resources
from sweeps.engine.budget import Budget
from sweeps.engine.context import SweepContext, SweepFailedError, SweepOutcome
from sweeps.engine.front_keeper import FrontKeeper
from sweeps.engine.gpu_sharing import Growth, rounds
from sweeps.engine.ray_tuner import fit
from sweeps.engine.replicates import Replicates
from sweeps.engine.request_desk import RequestDesk
from sweeps.engine.steering import Steering
from sweeps.engine.study_searcher import StudySearcher, TrialPlan
from sweeps.search.first_trials import first_trials
from sweeps.search.ranged_space import space_of
from sweeps.search.schedulers import build_scheduler
from sweeps.search.space_probe import probe_space, random_trials
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.storage.bucket_mirror import publish
from sweeps.storage.disk_watch import DiskWatch
from sweeps.study.backup import StudyBackup
from sweeps.study.location import expected_place
from sweeps.study.provenance import provenance_tags
from sweeps.study.resume_check import (
    check_distributions,
    check_origin,
    default_items,
    origin_of,
)
from sweeps.study.steered import total_trials
from sweeps.study.study import (
    find_place,
    has_started,
    interrupted_trials,
    missing_trials,
    open_study,
    reopened_trials,
)
from sweeps.study.sweep_info import SweepInfo, write_info
from sweeps.study.warm_start import WarmStart, warm_start
from sweeps.terminal.phase_lines import say_phase
from sweeps.terminal.progress import ProgressView
from sweeps.terminal.stop_signals import is_hurried, last_words, stopped_by
from sweeps.tracking import MlflowTracker
from sweeps.tracking.names import DATA_DEMO, DATA_KEY, DATA_MASKS, DATA_SPLIT
from sweeps.trials.attributes import SWEEP_ID
from sweeps.trials.checkpoint_files import checkpoints_of
from sweeps.trials.from_study import records_of
from sweeps.trials.learning_curves import CurveWriter
from sweeps.trials.listener import SweepListener
from trainables.step_memory import StepMemory
from trainables.trainable import SweepTrainable

logger = logging.getLogger(__name__)

# The report links to the trials' runs, as far as MLflow has them by then.
_REPORT_WAIT_S = 5.0

# Random trials among which the one that needs most memory is looked for.
_TRIALS_COMPARED = 200


def open_context_study(context: SweepContext) -> optuna.Study:
    """Open the study of a sweep, if it was begun under the same conditions.

    Raises:
        StudyChangedError: It was not, and that is not allowed.
        ConfigError: The study is kept somewhere else, or has other objectives.
        StorageError: Its database does not answer.
    """
    spec, fixed = context.spec, context.fixed
    warm = _warm_start(context)
    study = open_study(
        context.folder, spec, fixed, [*warm.first, *first_trials(spec, fixed)], warm.taught
    )
    origin = origin_of(spec, fixed, context.images["train"].key)
    if has_started(study):
        check_distributions(study, probe_space(spec))
    check_origin(study, origin, allow_changed=context.allow_changed, defaults=default_items(spec))
    return study


def _warm_start(context: SweepContext) -> WarmStart:
    """Find what earlier sweeps give; one that goes on does so where they are gone, too."""
    spec, fixed = context.spec, context.fixed
    if not spec.search.warm_start:
        return WarmStart()
    try:
        warm = warm_start(spec, fixed, probe_space(spec, fixed))
    except ConfigError as error:
        if find_place(context.folder) is None:
            raise
        warm = WarmStart(lines=[f"{error}: the sampler goes on by the sweep's own trials"])
    for line in warm.lines:
        say_phase("Warm start", line, json_lines=context.json_lines)
    return warm


def run_study(context: SweepContext, study: optuna.Study) -> SweepOutcome:
    """Run what a study still lacks, and write the results.

    Raises:
        SweepFailedError: Too many of the first trials failed, and what there is was written; or
            the folder cannot be written any more.
    """
    spec, folder = context.spec, context.folder
    disk = DiskWatch(folder)
    write_info(folder, _info(context, study))
    publish(folder)
    tracker = _tracker(context, study)
    view = ProgressView(
        total=total_trials(study, spec),
        objectives=spec.objectives,
        # A trial that only measures does so in one go.
        epochs=max(1, spec.training.epochs),
        concurrency=check_resources(spec.resources),
        json_lines=context.json_lines,
        is_pretraining=context.is_pretraining,
    )
    place = expected_place(folder, spec.study.storage)
    listeners: list[SweepListener] = [tracker, view, StudyBackup(folder, place)]
    budget = Budget(spec.budget, study, spec.objectives)
    listeners += [budget, CurveWriter(folder, spec.objectives)]
    if context.make_listener is not None:
        listeners.append(context.make_listener(folder))
    keeper = FrontKeeper(
        study, spec.objectives, folder, listeners, keeps_all=spec.checkpoints == "all"
    )
    desk = RequestDesk(
        folder,
        spec,
        context.fixed,
        study,
        on_told=keeper.trial_ended,
        on_total=view.set_total,
        say=view.say,
    )
    steering = Steering(study, budget, desk, view.say)
    try:
        keeper.start()
        with last_words(lambda: tracker.sweep_finished(records_of(study), interrupted=True)):
            stop_reason = run_trials(
                context, study, keeper, listeners, steering=steering, say=view.say
            )
        if stop_reason is not None:
            _check(disk)
        budget.close()
        records = records_of(study)
        missing = missing_trials(study, total_trials(study, spec)) > 0
        ended_by = steering.ended_by() if missing and stopped_by() is None else None
        interrupted = missing and ended_by is None
        keeper.collect_garbage(records)
        # Whoever sent SIGTERM will not wait for pictures, which the next run draws anyway.
        if context.write_outputs is not None and not (interrupted and is_hurried()):
            tracker.flush(_REPORT_WAIT_S)
            tracker.artifacts += context.write_outputs(context, study, records)
        for listener in listeners:
            listener.sweep_finished(records, interrupted=interrupted)
        publish(folder)
    except Exception as error:
        # Whatever it was that could not write, and however it said so.
        _check(disk, error)
        raise
    finally:
        view.close()
        tracker.close()
    if stop_reason is not None:
        raise _stopped(stop_reason)
    return SweepOutcome(context, records, interrupted, tracker.experiment_id, ended_by)


def _check(disk: DiskWatch, cause: Exception | None = None) -> None:
    if not isinstance(cause, SweepFailedError) and (fault := disk.fault()) is not None:
        raise _stopped(fault) from cause


def _stopped(reason: str) -> SweepFailedError:
    return SweepFailedError(
        f"the sweep was stopped: {reason}; correct that, and the same command goes on"
    )


def run_trials(
    context: SweepContext,
    study: optuna.Study,
    keeper: FrontKeeper,
    listeners: Sequence[SweepListener],
    trainable: type[tune.Trainable] = SweepTrainable,
    *,
    steering: Steering | None = None,
    say: Callable[[str], None] = logger.info,
) -> str | None:
    """Run the trials that a study lacks.

    Args:
        context: What the sweep works with.
        study: The study.
        keeper: Is told of trials that ended.
        listeners: Are told what happens on the way.
        trainable: Runs a trial.
        steering: Ends the sweep before it has all its trials, or changes them; None does not.
        say: Tells people why.

    Returns:
        Why they were stopped before the end, if they were.
    """
    spec, checkpoints = context.spec, checkpoints_of(context.folder, study)
    gpus = ray.cluster_resources().get("GPU", 0.0)
    reason = None if steering is None else steering.reason_to_end()
    asked = total_trials(study, spec)
    growth = _memory_growth(context)
    for resources, upto in rounds(study, spec.resources, asked, gpus, growth):
        # The last round has what was asked for meanwhile, too.
        total = total_trials(study, spec) if upto == asked else upto
        plan = TrialPlan(
            space=space_of(spec),
            objectives=[objective.metric for objective in spec.objectives],
            constraints=spec.search.constraints,
            resources=resources,
            failures=spec.failures,
            replicates=_replicates(spec, keeper),
        )
        searcher = StudySearcher(
            study,
            plan,
            total=total,
            interrupted=reopened_trials(context.folder, study),
            find_checkpoint=checkpoints.find,
            on_told=keeper.trial_ended,
        )
        if searcher.remaining and reason is not None:
            say(f"{reason}: no further trial starts")
            return None
        if searcher.remaining:
            scheduler = build_scheduler(spec, study, searcher.note_rungs)
            searcher.on_end = scheduler.note_end
            if steering is not None:
                steering.hold(searcher, scheduler)
            fit(
                context,
                searcher,
                scheduler,
                checkpoints,
                resources,
                listeners,
                trainable,
                None if steering is None else steering.step,
            )
        if searcher.stop_reason is not None or searcher.closed is not None:
            return searcher.stop_reason
        if interrupted_trials(study):
            return searcher.stop_reason
    return None


def _replicates(spec: SweepSpec, keeper: FrontKeeper) -> Replicates:
    if not spec.search.replicates.front_alone:
        return Replicates(seeds=spec.seeds)
    return Replicates(
        seeds=spec.seeds,
        is_worth=lambda first: (
            all(excess <= 0 for excess in first.constraints.values())
            and keeper.admits(first.values or ())
        ),
    )


def _memory_growth(context: SweepContext) -> Growth:
    """Compare the memory of a trial with that of the dearest one that the space may have."""

    def growth(parameters: Mapping[str, ParameterValue]) -> float:
        spec, memory = context.spec, StepMemory(context.images["train"])
        possible = random_trials(spec, context.fixed, _TRIALS_COMPARED)
        return memory.dearest(possible) / memory.of(spec.trial_config().of_trial(parameters))

    return growth


def _tracker(context: SweepContext, study: optuna.Study) -> MlflowTracker:
    spec, folder = context.spec, context.folder
    return MlflowTracker(
        context.tracking_uri,
        experiment=spec.tracking.experiment or spec.name,
        run_name=folder.name,
        sweep_id=study.user_attrs[SWEEP_ID],
        folder=folder,
        objectives=spec.objectives,
        spec=spec.resolved(),
        tags={
            **provenance_tags(),
            "seed": str(spec.seed),
            DATA_KEY: context.images["train"].key,
            **{DATA_SPLIT.format(name): part.rows_hash() for name, part in context.images.items()},
            DATA_DEMO: str(context.is_demo).lower(),
            **_masks(context),
        },
    )


def _masks(context: SweepContext) -> dict[str, str]:
    return {} if context.masks is None else {DATA_MASKS: context.masks}


def _info(context: SweepContext, study: optuna.Study) -> SweepInfo:
    return SweepInfo(
        spec=context.spec,
        fixed=context.fixed,
        is_demo=context.is_demo,
        data_key=context.images["train"].key,
        weights=context.weights,
        baseline=context.baseline,
        tracking_uri=context.tracking_uri,
        tags={**provenance_tags(), **_masks(context)},
        is_pretraining=context.is_pretraining,
        sweep_id=study.user_attrs[SWEEP_ID],
    )
