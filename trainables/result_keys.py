"""Keys of what Ray Tune carries between the driver and a worker: a configuration, and results."""

from __future__ import annotations

# Where a trial's configuration, as Ray keeps it, has what the searcher handed out.
ASSIGNMENT = "assignment"

# Keys of a result: the epoch's metrics are nested, apart from Ray's own bookkeeping.
METRICS = "metrics"
FAILURE = "failure"
TRACEBACK = "traceback"
TRIAL_SECONDS = "trial_seconds"
# What the trial took of its node: the CPU seconds so far, and of this epoch what Usage measures.
USAGE = "usage"
# Why it failed: diverged, out_of_memory, worker_lost or error.
CAUSE = "cause"
WORKER_LOST = "worker_lost"
# Set in the last result of a trial that came to its end by itself; a scheduler may stop it before.
ENDED = "ended"
# Parts that a batch was split into because the GPU's memory was not enough for the whole.
PARTS = "batch_parts"
# All memory of the trial's GPU in MiB, absent without a GPU.
GPU_MEMORY = "gpu_memory_mib"
# The tables of a finished trial, as one JSON text: Ray flattens what it can look into.
TABLES = "tables"
