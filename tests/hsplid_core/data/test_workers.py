"""How many cores a process may use."""

from __future__ import annotations

import os

import pytest

from hsplid_core.data.workers import n_cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="macOS binds no process to cores")
def test_cores_are_those_that_the_process_is_bound_to(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert n_cores() == 1
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", "64")  # a promise that the system does not keep
        assert n_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize("name", ["SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"])
def test_a_slurm_job_has_the_cores_that_it_was_given(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Where SLURM binds nothing, its variables are all there is to go by."""
    for other in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "1")
    assert n_cores() == 1
