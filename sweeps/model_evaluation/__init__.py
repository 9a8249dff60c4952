"""Judging saved models: finding them, measuring them on a data set, and showing what was found."""

from sweeps.model_evaluation.find_model import (
    JudgedModel,
    open_judged,
    read_external,
    read_margins,
    read_reading,
)
from sweeps.model_evaluation.image_log import check_log_file
from sweeps.model_evaluation.job import Job, Judged, judge_model, record_files
from sweeps.model_evaluation.measure import Verdict, Wishes, data_sets_of, find_device
from sweeps.model_evaluation.summary import (
    SummaryRow,
    short_names,
    summarise,
    summary_file,
    write_summary,
)
from sweeps.model_evaluation.sweep_models import is_sweep, open_sweep_models
from sweeps.model_evaluation.text_tables import print_summary, spread_text

__all__ = [
    "Job",
    "Judged",
    "JudgedModel",
    "SummaryRow",
    "Verdict",
    "Wishes",
    "check_log_file",
    "data_sets_of",
    "find_device",
    "is_sweep",
    "judge_model",
    "open_judged",
    "open_sweep_models",
    "print_summary",
    "read_external",
    "read_margins",
    "read_reading",
    "record_files",
    "short_names",
    "spread_text",
    "summarise",
    "summary_file",
    "write_summary",
]
