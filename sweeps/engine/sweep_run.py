"""A whole sweep: data, cluster, pretraining, the study's trials, and the results."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import optuna

from hsplid_core.data import prepare
from hsplid_core.models.frozen_layers import freeze_layers
from search_spaces import ParameterValue
from sweeps.cluster.connection import connected
from sweeps.cluster.machine import check_machine
from sweeps.cluster.resources import check_resources
from sweeps.cluster.shared_storage import SharedStorage
from sweeps.engine.context import SweepContext, SweepOutcome, WriteOutputs
from sweeps.engine.pretraining import pretrain
from sweeps.engine.study_run import open_context_study, run_study
from sweeps.spec.sweep_spec import SweepSpec, absolute
from sweeps.storage.bucket_mirror import fetch_sweep
from sweeps.study.location import check_owner
from sweeps.study.study import check_study, sole_driver, sweep_folder
from sweeps.terminal.phase_lines import say_phase
from sweeps.tracking import check_recordable, default_uri, loading
from sweeps.trials.listener import SweepListener
from trainables.trial import initial_model


def run_sweep(
    spec: SweepSpec,
    *,
    fixed: Mapping[str, ParameterValue],
    fresh: bool = False,
    json_lines: bool = False,
    allow_changed: bool = False,
    write_outputs: WriteOutputs | None = None,
    make_listener: Callable[[Path], SweepListener] | None = None,
    on_complete: Callable[[Path], None] | None = None,
) -> SweepOutcome | None:
    """Run a sweep to its end, or go on with it.

    Args:
        spec: The sweep.
        fixed: Config fields that the command line fixed, by dotted path.
        fresh: Start a new study beside an existing one.
        json_lines: Report progress as JSON lines instead of text.
        allow_changed: Go on with a study that was begun with another spec, data or code.
        write_outputs: Writes what the sweep leaves for people.
        make_listener: Makes who else is told what happens, of the sweep's folder.
        on_complete: Called with the sweep's folder when all trials have run, while it is held.

    Returns:
        How the sweep ended; None where the user stopped its pretraining.

    Raises:
        SaliencyError: The data, the cluster or the pretraining is not what the spec needs, or
            the sweep was begun under other conditions.
    """
    if isinstance(spec.storage, Path):
        spec = spec.model_copy(update={"storage": absolute(spec.storage)})
    check_machine(spec)
    fetch_sweep(spec.storage, spec.name)
    folder = sweep_folder(spec.local_storage, spec.name, fresh=fresh)
    if spec.tracking.uri is not None or spec.local_storage.is_dir():
        check_recordable(spec.tracking.uri or default_uri(spec.local_storage), folder)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        check_owner(folder, spec.name)
        stack.enter_context(sole_driver(folder, spec.study.storage))
        check_study(folder)
        where = "a drawn stand-in" if spec.data.root is None else str(spec.data.root)
        say_phase("Data", f"{spec.data.name} from {where}", json_lines=json_lines)
        images = prepare(spec.trial_config().data)
        # A network that does not fit is told once, here; published weights are fetched once.
        model = initial_model(spec.trial_config(), images["train"])
        freeze_layers(model, spec.training.frozen)
        context = SweepContext(
            spec=spec,
            folder=folder,
            fixed=fixed,
            images=images,
            json_lines=json_lines,
            allow_changed=allow_changed,
            write_outputs=write_outputs,
            make_listener=make_listener,
        )
        study = open_context_study(context)
        address = spec.cluster.address
        say_phase(
            "Ray",
            "starts on this machine" if address is None else f"of {address} is joined",
            json_lines=json_lines,
        )
        # Not in a thread beside the data: Ray forks, for which OpenBLAS stops its threads, and
        # whoever multiplies matrices at that moment waits for ever.
        with loading(context.tracking_uri):
            stack.enter_context(connected(spec.cluster))
        nodes = SharedStorage(spec.storage)
        nodes.check()
        context = dataclasses.replace(context, nodes=nodes)
        check_resources(spec.resources)
        interrupted, weights, baseline = pretrain(context)
        if interrupted:
            return None
        context = dataclasses.replace(context, weights=weights, baseline=baseline)
        outcome = run_study(context, study)
        if on_complete is not None and not outcome.interrupted:
            on_complete(folder)
    return outcome
