"""Running a sweep: Ray Tune schedules, the study decides, listeners record."""

from __future__ import annotations

import dataclasses
import logging
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import yaml
from ray import tune
from ray.tune.experiment import Trial as RayTrial
from rich.console import Console

from hsplid_core.data import ImageSet, Split, prepare
from hsplid_core.errors import SaliencyError
from search_spaces import ParameterValue
from sweeps.cluster import check_resources, connected
from sweeps.events import SweepListener, TrialRecord
from sweeps.front_table import pareto_table
from sweeps.loading import load_pretrain_spec
from sweeps.plots import write_front
from sweeps.pretrained import pretrain_key, pretrained_file
from sweeps.progress import ProgressView
from sweeps.provenance import provenance_tags
from sweeps.results import records_of, write_parquet
from sweeps.searcher import ASSIGNMENT, StudySearcher
from sweeps.spaces import find_space, first_trials
from sweeps.spec import SweepSpec
from sweeps.study import interrupted_trials, open_study, sole_driver, sweep_folder
from sweeps.tables import write_tables
from sweeps.tracking import MlflowTracker, default_uri, ui_command
from trainables.checkpoints import STATE_FILE, newest_readable, read_state, write_state
from trainables.trainable import METRICS, SweepTrainable

INTERRUPTED = 130

Baseline = tuple[float, ...] | None


class SweepFailedError(SaliencyError):
    """A sweep ended without a single complete trial."""


@dataclass(frozen=True, kw_only=True)
class SweepContext:
    """What a run of a sweep works with.

    Attributes:
        spec: The sweep.
        folder: Where its study, checkpoints and results are.
        fixed: Config fields that are no longer searched.
        images: The splits of its data set.
        weights: Starting weights of all trials.
        baseline: Objectives of the model that the trials start from.
        json_lines: Report progress as JSON lines.
    """

    spec: SweepSpec
    folder: Path
    fixed: Mapping[str, ParameterValue]
    images: Mapping[Split, ImageSet]
    weights: Path | None = None
    baseline: Baseline = None
    json_lines: bool = False

    @property
    def is_demo(self) -> bool:
        """Whether the images are the embedded stand-in."""
        return self.images["train"].is_demo

    @property
    def tracking_uri(self) -> str:
        """Where MLflow records."""
        return self.spec.tracking.uri or default_uri(self.spec.storage)


def run_sweep(
    spec: SweepSpec,
    *,
    fixed: Mapping[str, ParameterValue],
    fresh: bool = False,
    json_lines: bool = False,
) -> int:
    """Run a sweep to its end, or go on with it.

    Args:
        spec: The sweep.
        fixed: Config fields that the command line fixed, by dotted path.
        fresh: Start a new study beside an existing one.
        json_lines: Report progress as JSON lines instead of text.

    Returns:
        0 when all trials ran, 130 when the user stopped the sweep before.

    Raises:
        SaliencyError: The data, the cluster or the pretraining is not what the spec needs.
    """
    spec = spec.model_copy(update={"storage": spec.storage.expanduser().absolute()})
    folder = sweep_folder(spec.storage, spec.name, fresh=fresh)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        stack.enter_context(sole_driver(folder))
        images = _prepare_images(spec)
        stack.enter_context(connected(spec.cluster))
        check_resources(spec.resources)
        context = SweepContext(
            spec=spec, folder=folder, fixed=fixed, images=images, json_lines=json_lines
        )
        interrupted, weights, baseline = _pretrain(context)
        if interrupted:
            return INTERRUPTED
        context = dataclasses.replace(context, weights=weights, baseline=baseline)
        outcome = _run(context)
    _report(context, outcome)
    return INTERRUPTED if outcome.interrupted else 0


def _prepare_images(spec: SweepSpec) -> Mapping[Split, ImageSet]:
    data = spec.trial_config().data
    assert data.cache_dir is not None
    return prepare(
        data.name,
        root=data.root,
        image_size=data.image_size,
        cache_dir=data.cache_dir,
        seed=data.split_seed,
        val_fraction=data.val_fraction,
    )


def _pretrain(context: SweepContext) -> tuple[bool, Path | None, Baseline]:
    """Find or train the starting weights.

    Returns:
        Whether the user stopped the training; the weights; the objectives they reach.
    """
    spec = load_pretrain_spec(context.spec)
    if spec is None:
        return False, None, None
    key = pretrain_key(spec, context.images["train"].key)
    file = pretrained_file(spec.storage, key)
    if not file.is_file():
        whole_machine = spec.resources.model_copy(
            update={"cpu": spec.resources.cpu * check_resources(spec.resources)}
        )
        spec = spec.model_copy(
            update={
                "name": f"{spec.name}-{key}",
                "trials": 1,
                "objectives": context.spec.objectives,
                "resources": whole_machine,
                "tracking": spec.tracking.model_copy(update={"experiment": spec.name}),
            }
        )
        folder = sweep_folder(spec.storage, spec.name, fresh=False)
        with sole_driver(folder):
            inner = SweepContext(
                spec=spec,
                folder=folder,
                fixed={},
                images=context.images,
                json_lines=context.json_lines,
            )
            outcome = _run(inner)
            if outcome.interrupted:
                return True, None, None
            _keep_weights(folder, outcome.records[0], file)
    return False, file, tuple(read_state(file)["objectives"])


def _keep_weights(folder: Path, record: TrialRecord, file: Path) -> None:
    checkpoint = find_checkpoint(folder, record.number)
    if record.values is None or checkpoint is None:
        raise SweepFailedError(
            f"pretraining failed: {record.failure}; correct the spec that pretrain names, delete "
            f"{folder} and run again"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {"model": read_state(checkpoint)["model"], "objectives": list(record.values)}
    write_state(file, {**state, "epoch": 0})


def find_checkpoint(folder: Path, number: int) -> Path | None:
    """Find the newest whole checkpoint of a trial among all attempts of a sweep.

    Args:
        folder: The sweep's folder.
        number: The trial's number in the study.
    """
    return newest_readable(folder.glob(f"ray/*/{_trial_folder(number)}/checkpoint_*/{STATE_FILE}"))


def _trial_folder(number: int) -> str:
    return f"trial_{number:05d}"


class _Events(tune.Callback):
    """Tells the listeners what Ray Tune does."""

    def __init__(self, listeners: Sequence[SweepListener]) -> None:
        self._listeners = listeners

    def __getstate__(self) -> dict[str, Any]:
        """Leave nothing to Ray's experiment snapshots: listeners hold connections."""
        return {"_listeners": ()}

    def on_trial_start(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        assignment = trial.config[ASSIGNMENT]
        resumed = assignment["resume_from"] is not None or trial.num_failures > 0
        for listener in self._listeners:
            listener.trial_started(assignment["number"], assignment["parameters"], resumed=resumed)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[RayTrial],
        trial: RayTrial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        metrics = result.get(METRICS)
        if metrics is None:
            return
        for listener in self._listeners:
            listener.epoch_finished(
                trial.config[ASSIGNMENT]["number"], int(metrics["epoch"]), metrics
            )


@dataclass(frozen=True)
class Outcome:
    """How a run of a sweep ended.

    Attributes:
        records: All trials of the study.
        interrupted: Whether the user stopped before they were done.
        experiment_id: MLflow's id of the experiment.
    """

    records: Sequence[TrialRecord]
    interrupted: bool
    experiment_id: str


def _run(context: SweepContext) -> Outcome:
    """Run what a study still lacks."""
    spec, folder = context.spec, context.folder
    space = find_space(spec.search.space)
    study = open_study(folder, spec, context.fixed, first_trials(spec, context.fixed))
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
            _fit(context, searcher, listeners)
        records = records_of(study)
        interrupted = bool(interrupted_trials(study)) or searcher.remaining > 0
        _write_results(context, records)
        tracker.artifacts += write_tables(study.get_trials(deepcopy=False), folder)
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
            "data.demo": str(context.is_demo).lower(),
        },
        artifacts=[folder / name for name in ("trials.parquet", "front.png", "front.html")],
        # Ray saves a checkpoint after it has told an epoch's result. Delivered at once, an epoch
        # is in MLflow before a resumed trial can start behind it, even if the driver is killed.
        flush_s=0.0,
    )


def _fit(
    context: SweepContext, searcher: StudySearcher, listeners: Sequence[SweepListener]
) -> None:
    spec = context.spec
    attempts = context.folder / "ray"
    attempts.mkdir(parents=True, exist_ok=True)
    attempt = len(list(attempts.iterdir())) + 1
    trainable = tune.with_resources(
        SweepTrainable, {"cpu": spec.resources.cpu, "gpu": spec.resources.gpu}
    )
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=searcher.remaining,
            max_concurrent_trials=spec.resources.max_concurrent,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: _trial_folder(trial.config[ASSIGNMENT]["number"]),
        ),
        run_config=tune.RunConfig(
            name=f"attempt_{attempt:03d}",
            storage_path=str(attempts),
            callbacks=[_Events(listeners)],
            failure_config=tune.FailureConfig(max_failures=spec.max_failures),
            checkpoint_config=tune.CheckpointConfig(
                # One would make Ray wait for a full synchronisation at each checkpoint.
                num_to_keep=2,
                checkpoint_frequency=1,
                checkpoint_at_end=True,
            ),
            verbose=0,
        ),
    )
    tuner.fit()


def _write_results(context: SweepContext, records: Sequence[TrialRecord]) -> None:
    spec, folder = context.spec, context.folder
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.resolved(), sort_keys=False))
    write_parquet(records, spec.objectives, folder / "trials.parquet")
    write_front(
        records,
        spec.objectives,
        folder,
        spec.name,
        context.baseline,
        context.is_demo,
        paper_trial=0 if spec.search.paper_first else None,
    )


def _report(context: SweepContext, outcome: Outcome) -> None:
    console = Console(stderr=context.json_lines)
    spec, folder = context.spec, context.folder
    console.print(pareto_table(outcome.records, spec.objectives))
    if context.is_demo:
        console.print("Demo data: these figures say nothing about the real data set.")
    console.print(f"Plots   {folder / 'front.png'}", soft_wrap=True)
    console.print(f"        {folder / 'front.html'}", soft_wrap=True)
    console.print(f"Trials  {folder / 'trials.parquet'}", soft_wrap=True)
    interface = ui_command(context.tracking_uri, experiment_id=outcome.experiment_id)
    console.print(f"MLflow  {interface}", soft_wrap=True)
    if outcome.interrupted:
        console.print("Stopped before all trials ran; the same command goes on from here.")
