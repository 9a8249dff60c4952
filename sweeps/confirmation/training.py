"""Training the chosen configurations under new seeds, as trials of ordinary resumable studies."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress

import optuna
import ray
from optuna.trial import FrozenTrial, TrialState

from hsplid_core.data import ImageSet, Split, load, prepare
from hsplid_core.files import read_json, replace_text
from hsplid_core.training import pick_device
from sweeps.cluster.connection import connected
from sweeps.cluster.machine import check_machine
from sweeps.cluster.resources import check_resources
from sweeps.cluster.shared_storage import SharedStorage
from sweeps.confirmation.plan import Plan
from sweeps.confirmation.statistics import CLEAN, MEAN_ROBUST, Evidence, Measurement
from sweeps.engine.context import SweepContext, WriteOutputs
from sweeps.engine.pretraining import pretrain
from sweeps.engine.study_run import run_study
from sweeps.study.study import open_study, sole_driver
from sweeps.trials.attributes import CONFIGURATION, PARAMETERS
from sweeps.trials.labels import START_LABEL
from trainables.analysis import Subject, Table
from trainables.config import ParameterValue, TrialConfig
from trainables.confirmation import CONFIRMATION, DOUBTS, confirmation, unpack_images
from trainables.result_keys import TABLES
from trainables.trial import initial_model

_START_FILE = "pretrained_start.json"


def run_plan(
    plan: Plan, *, json_lines: bool, write_outputs: WriteOutputs | None = None
) -> Evidence | None:
    """Run what a confirmation still lacks.

    Args:
        plan: What to run.
        json_lines: Report progress as JSON lines instead of text.
        write_outputs: Writes what the study of each seed leaves for people.

    Returns:
        All numbers and doubts; None where the user stopped before all trials had run.

    Raises:
        SaliencyError: The data, the cluster or the pretraining is not what the spec needs.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    check_machine(plan.spec)
    evidence = Evidence()
    with ExitStack() as stack:
        stack.enter_context(sole_driver(plan.folder))
        images = prepare(plan.spec.trial_config().data)
        stack.enter_context(connected(plan.spec.cluster))
        nodes = SharedStorage(plan.spec.storage)
        nodes.check()
        check_resources(plan.spec.resources)
        for seed in plan.seeds:
            found = _run_seed(plan, seed, images, nodes, json_lines, write_outputs)
            if found is None:
                return None
            evidence += found
    return evidence


def _run_seed(
    plan: Plan,
    seed: int,
    images: Mapping[Split, ImageSet],
    nodes: SharedStorage,
    json_lines: bool,
    write_outputs: WriteOutputs | None,
) -> Evidence | None:
    context = SweepContext(
        spec=plan.seed_spec(seed),
        folder=plan.seed_folder(seed),
        fixed={},
        images=images,
        json_lines=json_lines,
        nodes=nodes,
        write_outputs=write_outputs,
    )
    interrupted, weights, baseline = pretrain(context)
    if interrupted:
        return None
    context = dataclasses.replace(context, weights=weights, baseline=baseline)
    with sole_driver(context.folder, context.spec.study.storage):
        study = open_study(context.folder, context.spec, {}, ())
        _enqueue(plan, study)
        trials = study.get_trials(deepcopy=False)
        # An earlier confirmation may have left trials of other configurations here.
        context = dataclasses.replace(
            context, spec=context.spec.model_copy(update={"trials": len(trials)})
        )
        # Beside the trials, which seldom fill the machine to their end.
        start = None if baseline is None else _judged_start(context)
        is_done = all(trial.state.is_finished() for trial in trials)
        if not is_done and run_study(context, study).interrupted:
            return None
        metrics = [objective.metric for objective in context.spec.objectives]
        # By what was trained: the name of a baseline says whose it is in this confirmation.
        names = {_key(each.parameters): each.name for each in plan.configurations}
        evidence = sum(
            (
                _measured(trial, names[key], seed, metrics)
                for trial in study.trials
                if (key := _key(trial.user_attrs.get(PARAMETERS, {}))) in names
            ),
            start=Evidence(),
        )
        if start is None or baseline is None:
            return evidence
        try:
            tables = start()
        except KeyboardInterrupt:
            return None
    return evidence + _evidence(
        START_LABEL, seed, dict(zip(metrics, baseline, strict=True)), tables
    )


def _enqueue(plan: Plan, study: optuna.Study) -> None:
    """Queue each configuration that the study does not know yet."""
    trials = study.get_trials(deepcopy=False)
    known = {_key(trial.user_attrs[PARAMETERS]) for trial in trials}
    for configuration in plan.configurations:
        if _key(configuration.parameters) not in known:
            study.enqueue_trial(
                {},
                user_attrs={
                    CONFIGURATION: configuration.name,
                    PARAMETERS: dict(configuration.parameters),
                },
            )


def _key(parameters: Mapping[str, ParameterValue]) -> str:
    return json.dumps(parameters, sort_keys=True)


def _measured(trial: FrozenTrial, name: str, seed: int, metrics: list[str]) -> Evidence:
    if trial.state != TrialState.COMPLETE:
        return Evidence()
    values = dict(zip(metrics, trial.values, strict=True))
    return _evidence(name, seed, values, json.loads(trial.user_attrs[TABLES]))


def _evidence(
    name: str, seed: int, values: Mapping[str, float], tables: Mapping[str, Table]
) -> Evidence:
    searched = [
        Measurement(configuration=name, seed=seed, split="val", measure=metric, value=value)
        for metric, value in values.items()
    ]
    codes = dict.fromkeys(map(str, tables.get(DOUBTS, {}).get("code", ())))
    return Evidence(
        measurements=(*searched, *_tested(name, seed, tables[CONFIRMATION])),
        doubts={name: tuple(codes)} if codes else {},
    )


def _tested(name: str, seed: int, table: Table) -> Iterator[Measurement]:
    columns = ("attack", "region", "norm", "epsilon", "accuracy")
    # Trials that were judged by an earlier version have no answers.
    images = table.get("images", [None] * len(table["attack"]))
    for attack, region, norm, epsilon, accuracy, packed in zip(
        *(table[c] for c in columns), images, strict=True
    ):
        plain = {"clean": CLEAN, "mean": MEAN_ROBUST, "swapped": "backgrounds swapped"}
        radius = f"{float(epsilon or 0) * 255:g}/255" if norm == "linf" else f"{epsilon:g}"
        measure = plain.get(str(attack), f"{attack} {region} {norm} {radius}")
        yield Measurement(
            configuration=name,
            seed=seed,
            split="test",
            measure=measure,
            value=float(accuracy or 0),
            images=None if packed is None else unpack_images(str(packed)),
        )


def _judged_start(context: SweepContext) -> Callable[[], Mapping[str, Table]]:
    """Have the pretrained model judged as it is, once, on a worker; the call returned waits."""
    config, resources = context.spec.trial_config(context.weights), context.spec.resources
    file = context.folder / _START_FILE
    settings = dataclasses.asdict(config.evaluation)["confirmation"]
    # Missing or damaged: it is judged anew.
    with suppress(OSError, ValueError, LookupError, TypeError):
        known = read_json(file)
        if known["settings"] == settings and CONFIRMATION in (tables := known["tables"]):
            return lambda: tables
    gpu = 1.0 if resources.gpu == "auto" else resources.gpu
    judge = ray.remote(_judge).options(num_cpus=resources.cpu, num_gpus=gpu)
    judging = judge.remote(config)

    def wait() -> Mapping[str, Table]:
        tables: Mapping[str, Table] = ray.get(judging)
        replace_text(file, json.dumps({"settings": settings, "tables": tables}))
        return tables

    return wait


def _judge(config: TrialConfig) -> Mapping[str, Table]:
    images = load(config.data, "train")
    device = pick_device(config.training.device)
    model = initial_model(config, images).to(device).eval()
    subject = Subject(
        model=model, training=images, validation=images, device=device, config=config
    )
    return confirmation(subject).tables
