"""Robustness as one table: attacks, regions and radii, with a log of every image and warnings."""

from hsplid_core.evaluation.campaign import Progress, Told
from hsplid_core.evaluation.relabelling import RelabelledModel, judged_on
from hsplid_core.evaluation.robust_accuracy import evaluate_robustness
from hsplid_core.evaluation.suites import SUITES, Suite, Threat, find_suite, strengthened
from hsplid_core.evaluation.table import LOG_SCHEMA, Cell, Finding, RobustnessTable, WarningCode

__all__ = [
    "LOG_SCHEMA",
    "SUITES",
    "Cell",
    "Finding",
    "Progress",
    "RelabelledModel",
    "RobustnessTable",
    "Suite",
    "Threat",
    "Told",
    "WarningCode",
    "evaluate_robustness",
    "find_suite",
    "judged_on",
    "strengthened",
]
