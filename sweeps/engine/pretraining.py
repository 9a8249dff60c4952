"""The starting weights that all trials of a sweep share: found, or trained first."""

from __future__ import annotations

from pathlib import Path

from hsplid_core.bucket_path import AnyPath
from hsplid_core.models.state_files import read_state, write_state
from hsplid_core.models.trained import DESCRIPTION
from sweeps.cluster import check_resources
from sweeps.engine.context import Baseline, SweepContext, SweepFailedError
from sweeps.engine.session import open_context_study, run_study
from sweeps.events import TrialRecord
from sweeps.loading import load_pretrain_spec
from sweeps.pretrained import pretrain_key, pretrained_file
from sweeps.study import sole_driver, sweep_folder
from sweeps.trial_files import find_checkpoint


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
        folder = sweep_folder(spec.local_storage, spec.name, fresh=False)
        with sole_driver(folder, spec.study.storage):
            inner = SweepContext(
                spec=spec,
                folder=folder,
                fixed={},
                images=context.images,
                json_lines=context.json_lines,
                allow_changed=context.allow_changed,
                is_pretraining=True,
                nodes=context.nodes,
            )
            outcome = run_study(inner, open_context_study(inner))
            if outcome.interrupted:
                return True, None, None
            _keep_weights(folder, outcome.records[0], file)
    return False, file, tuple(read_state(file)["objectives"])


def _keep_weights(folder: Path, record: TrialRecord, file: AnyPath) -> None:
    checkpoint = find_checkpoint(folder, record.number)
    if record.values is None or checkpoint is None:
        raise SweepFailedError(
            f"pretraining failed: {record.failure}; correct the spec that pretrain names, delete "
            f"{folder} and run again"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    trained = read_state(checkpoint)
    state = {key: trained[key] for key in ("model", DESCRIPTION) if key in trained}
    write_state(file, {**state, "objectives": list(record.values), "epoch": 0})
