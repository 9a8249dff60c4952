"""Names of what a study keeps of a trial in Optuna's user attributes, besides its values.

Who writes and who reads an attribute names it by a constant of this module, and nobody by a text
of its own. What a worker tells in its last result is kept under the same name as there
(``trainables.result_keys``).
"""

from __future__ import annotations

from trainables.result_keys import CAUSE, FAILURE, GPU_MEMORY, METRICS, TABLES, TRACEBACK

# Values by dotted path that the trial ran with; Optuna's own parameters may be encoded otherwise.
PARAMETERS = "parameters"
# How often it got a worker, over all runs of the sweep.
ATTEMPTS = "attempts"
# What it occupied: cpu and gpu.
RESOURCES = "resources"
# Its values, to minimise, by the epochs of each rung that it reached (see sweeps.search.mo_asha).
RUNGS = "rungs"
# Training and evaluation, over all attempts.
SECONDS = "seconds"
# Name of the machine that ran it last.
HOST = "host"
# Why a complete trial breaks a limit of the search.
INFEASIBLE = "infeasible"
# What else there is to know, as texts by name.
TAGS = "tags"
# What each of its seeds brought, where it is trained under several (see sweeps.engine.replicates).
REPLICATES = "replicates"
# Of the study itself: which sweep it is, in MLflow too.
SWEEP_ID = "sweep_id"
# Which request added it to the sweep.
ADDED = "added"
# Of the study itself: all requests to its sweep, with their answers.
HISTORY = "requests"
# Of the study itself: what of them outlives the driver.
STEERED = "steered"
# Of the study itself: what its budget does not learn from ended trials.
SPENT = "spent"
# Of the study itself: all its checkpoints say whose they are, for it began when they did so.
NAMED_CHECKPOINTS = "named_checkpoints"
# Which of a confirmation's configurations it trains.
CONFIGURATION = "configuration"

__all__ = [
    "ADDED",
    "ATTEMPTS",
    "CAUSE",
    "CONFIGURATION",
    "FAILURE",
    "GPU_MEMORY",
    "HISTORY",
    "HOST",
    "INFEASIBLE",
    "METRICS",
    "NAMED_CHECKPOINTS",
    "PARAMETERS",
    "REPLICATES",
    "RESOURCES",
    "RUNGS",
    "SECONDS",
    "SPENT",
    "STEERED",
    "SWEEP_ID",
    "TABLES",
    "TAGS",
    "TRACEBACK",
]
