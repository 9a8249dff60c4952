"""The starting weights that all trials of a sweep share: found, or trained first."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from optuna.trial import TrialState

from hsplid_core.bucket_path import AnyPath
from hsplid_core.errors import CheckpointError
from hsplid_core.files import from_home
from hsplid_core.models.state_files import read_state, write_state
from hsplid_core.models.trained import DESCRIPTION
from sweeps.cluster.resources import check_resources
from sweeps.engine.context import Baseline, SweepContext, SweepFailedError
from sweeps.engine.study_run import open_context_study, run_study
from sweeps.search.first_trials import own_values
from sweeps.search.space_probe import probe_space
from sweeps.spec.loading import load_pretrain_spec
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.study.study import find_place, load_study, sole_driver, sweep_folder
from sweeps.terminal.phase_lines import say_phase
from sweeps.trials.checkpoint_files import SweepCheckpoints, checkpoints_of
from sweeps.trials.record import TrialRecord


def pretrain(context: SweepContext) -> tuple[bool, AnyPath | None, Baseline]:
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
        say_phase("Pretraining", spec.name, json_lines=context.json_lines)
        folder = sweep_folder(spec.local_storage, spec.name, fresh=False)
        if _has_failed(folder):
            folder = sweep_folder(spec.local_storage, spec.name, fresh=True)
        with sole_driver(folder, spec.study.storage):
            inner = SweepContext(
                spec=spec,
                folder=folder,
                # Nothing is searched: the spec's own values train the one model.
                fixed=own_values(spec, probe_space(spec)),
                images=context.images,
                json_lines=context.json_lines,
                allow_changed=context.allow_changed,
                is_pretraining=True,
                nodes=context.nodes,
                write_outputs=context.write_outputs,
            )
            study = open_context_study(inner)
            outcome = run_study(inner, study)
            if outcome.interrupted:
                return True, None, None
            _keep_weights(checkpoints_of(folder, study), outcome.records[0], file)
    return False, file, _objectives(file)


def _objectives(file: AnyPath) -> tuple[float, ...]:
    try:
        return tuple(map(float, read_state(file)["objectives"]))
    except (CheckpointError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the pretrained weights cannot be read ({error}): move {file} elsewhere, and the "
            "same command makes them again"
        ) from error


def _has_failed(folder: Path) -> bool:
    if find_place(folder) is None:
        return False
    trials = load_study(folder).get_trials(deepcopy=False)
    return any(trial.state in (TrialState.FAIL, TrialState.PRUNED) for trial in trials)


def _keep_weights(checkpoints: SweepCheckpoints, record: TrialRecord, file: AnyPath) -> None:
    checkpoint = checkpoints.find(record.number, record.parameters)
    if record.values is None or checkpoint is None:
        raise SweepFailedError(
            f"pretraining failed: {record.failure}; correct the spec that pretrain names and run "
            f"again, which trains anew; {checkpoints.folder} keeps what failed"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    trained = read_state(checkpoint)
    state = {key: trained[key] for key in ("model", DESCRIPTION) if key in trained}
    write_state(file, {**state, "objectives": list(record.values), "epoch": 0})


_FOLDER = "pretrained"


# What decides the weights; everything else in a spec only decides how they are computed.
_DECISIVE = ("model", "method", "training", "seed")


def pretrain_key(spec: SweepSpec, data_key: str) -> str:
    """Hash what decides the pretrained weights.

    Args:
        spec: The pretraining sweep, with the data and the model of the sweep that uses it.
        data_key: Content hash of the training images.
    """
    resolved = spec.resolved()
    # "values": before, the published values of a space took the place of the spec's own.
    content = {**{name: resolved[name] for name in _DECISIVE}, "data": data_key, "values": "own"}
    if spec.model.checkpoint is not None:
        # Another file under the same name makes other weights.
        file = from_home(spec.model.checkpoint).read_bytes()
        content["checkpoint"] = hashlib.sha256(file).hexdigest()
    if spec.data.transform != "none":
        # The network's first layer, and none of the images that the data's key stands for.
        content["transform"] = [spec.data.transform, spec.data.bandwidth]
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def pretrained_file(storage: AnyPath, key: str) -> AnyPath:
    """Return where the weights of a key lie, whether they exist or not."""
    return storage / _FOLDER / f"{key}.pt"
