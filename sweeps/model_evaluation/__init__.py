"""Judging saved models: finding them, measuring them on a data set, and showing what was found."""

from sweeps.model_evaluation.find_model import (
    JudgedModel,
    open_judged,
    own_data,
    own_root,
    read_external,
)
from sweeps.model_evaluation.image_log import check_log_file, log_verdict, write_tables
from sweeps.model_evaluation.measure import Verdict, Wishes, data_sets_of, find_device, judge
from sweeps.model_evaluation.summary import summarise, write_summary
from sweeps.model_evaluation.text_tables import print_summary, print_verdict, tell_progress

__all__ = [
    "JudgedModel",
    "Verdict",
    "Wishes",
    "check_log_file",
    "data_sets_of",
    "find_device",
    "judge",
    "log_verdict",
    "open_judged",
    "own_data",
    "own_root",
    "print_summary",
    "print_verdict",
    "read_external",
    "summarise",
    "tell_progress",
    "write_summary",
    "write_tables",
]
