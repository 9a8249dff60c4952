"""A whole sweep: data, cluster, pretraining, the study's trials, and the results."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import optuna
from rich.console import Console

from hsplid_core.data import ImageSet, Split, prepare
from search_spaces import ParameterValue
from sweeps.cluster import SharedStorage, check_resources, connected
from sweeps.engine.context import Outcome, SweepContext
from sweeps.engine.pretraining import pretrain
from sweeps.engine.session import open_context_study, run_study
from sweeps.front_models import register_or_warn
from sweeps.front_table import pareto_table
from sweeps.local_copy import fetch_sweep
from sweeps.report import REPORT_FILE
from sweeps.spec import SweepSpec, absolute
from sweeps.study import sole_driver, sweep_folder
from sweeps.tracking import loading, ui_command
from trainables.trial import initial_model

INTERRUPTED = 130


def run_sweep(
    spec: SweepSpec,
    *,
    fixed: Mapping[str, ParameterValue],
    fresh: bool = False,
    json_lines: bool = False,
    allow_changed: bool = False,
) -> int:
    """Run a sweep to its end, or go on with it.

    Args:
        spec: The sweep.
        fixed: Config fields that the command line fixed, by dotted path.
        fresh: Start a new study beside an existing one.
        json_lines: Report progress as JSON lines instead of text.
        allow_changed: Go on with a study that was begun with another spec, data or code.

    Returns:
        0 when all trials ran, 130 when the user stopped the sweep before.

    Raises:
        SaliencyError: The data, the cluster or the pretraining is not what the spec needs, or
            the sweep was begun under other conditions.
    """
    if isinstance(spec.storage, Path):
        spec = spec.model_copy(update={"storage": absolute(spec.storage)})
    fetch_sweep(spec.storage, spec.name)
    folder = sweep_folder(spec.local_storage, spec.name, fresh=fresh)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        stack.enter_context(sole_driver(folder, spec.study.storage))
        images = prepare_images(spec)
        # A network that does not fit is told once, here; published weights are fetched once.
        initial_model(spec.trial_config(), images["train"])
        context = SweepContext(
            spec=spec,
            folder=folder,
            fixed=fixed,
            images=images,
            json_lines=json_lines,
            allow_changed=allow_changed,
        )
        study = open_context_study(context)
        with loading(context.tracking_uri):
            stack.enter_context(connected(spec.cluster))
        nodes = SharedStorage(spec.storage)
        nodes.check()
        context = dataclasses.replace(context, nodes=nodes)
        check_resources(spec.resources)
        interrupted, weights, baseline = pretrain(context)
        if interrupted:
            return INTERRUPTED
        context = dataclasses.replace(context, weights=weights, baseline=baseline)
        outcome = run_study(context, study)
        if not outcome.interrupted:
            register_or_warn(folder)
    _report(context, outcome)
    return INTERRUPTED if outcome.interrupted else 0


def prepare_images(spec: SweepSpec) -> Mapping[Split, ImageSet]:
    """Build or open the caches of a sweep's data set.

    Raises:
        DataError: The data set is missing or damaged.
    """
    data = spec.trial_config().data
    assert data.cache_dir is not None
    return prepare(
        data.name,
        root=data.root,
        image_size=data.image_size,
        cache_dir=data.cache_dir,
        seed=data.split_seed,
        val_fraction=data.val_fraction,
        pixel=data.pixel,
    )


def _report(context: SweepContext, outcome: Outcome) -> None:
    console = Console(stderr=context.json_lines)
    spec, folder = context.spec, context.folder
    console.print(pareto_table(outcome.records, spec.objectives))
    if context.is_demo:
        console.print("Demo data: these figures say nothing about the real data set.")
    console.print(f"Report  {folder / REPORT_FILE}", soft_wrap=True)
    console.print(f"Front   {folder / 'front.png'}", soft_wrap=True)
    console.print(f"Trials  {folder / 'trials.parquet'}", soft_wrap=True)
    interface = ui_command(context.tracking_uri, experiment_id=outcome.experiment_id)
    console.print(f"MLflow  {interface}", soft_wrap=True)
    if outcome.interrupted:
        console.print("Stopped before all trials ran; the same command goes on from here.")
