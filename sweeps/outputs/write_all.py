"""Results of a sweep, written all at once: tables, pictures, the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import optuna

from sweeps.engine.context import SweepContext
from sweeps.outputs.report import report_or_warn
from sweeps.plots.front_png import write_front
from sweeps.plots.margins_png import write_margins
from sweeps.plots.saliency_panels import write_panels
from sweeps.search.first_trials import published_trial
from sweeps.storage.file_names import FRONT_FILE, REPORT_FILE, TRIALS_FILE
from sweeps.trials.analysis_tables import write_tables
from sweeps.trials.attributes import SWEEP_ID
from sweeps.trials.checkpoint_files import checkpoints_of
from sweeps.trials.record import TrialRecord
from sweeps.trials.table_file import write_parquet


def write_all(
    context: SweepContext, study: optuna.Study, records: Sequence[TrialRecord]
) -> list[Path]:
    """Write what a sweep leaves for people.

    Args:
        context: What the sweep worked with.
        study: Its study.
        records: All trials of the study.

    Returns:
        The files that MLflow keeps with the sweep's run.
    """
    spec, folder = context.spec, context.folder
    sweep_id = study.user_attrs.get(SWEEP_ID)
    write_parquet(records, spec.objectives, folder / TRIALS_FILE, sweep_id=sweep_id)
    write_front(
        records,
        spec.objectives,
        folder / FRONT_FILE,
        title=spec.name,
        start=context.baseline,
        is_demo=context.is_demo,
        paper_trial=published_trial(spec, records),
    )
    report_or_warn(folder)
    return [
        folder / TRIALS_FILE,
        folder / FRONT_FILE,
        folder / REPORT_FILE,
        *write_tables(study.get_trials(deepcopy=False), folder),
        *write_panels(spec.trial_config(context.weights), records, checkpoints_of(folder, study)),
        *write_margins(records, spec, folder, is_demo=context.is_demo),
    ]
