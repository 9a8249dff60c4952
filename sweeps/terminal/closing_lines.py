"""Closing lines of a sweep: its table, and where its results are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sweeps.fronts.start import shortfall_text
from sweeps.spec.objective import Objective
from sweeps.storage.file_names import FRONT_FILE, REPORT_FILE, TRIALS_FILE
from sweeps.terminal.stop_signals import GOES_ON
from sweeps.terminal.trial_table import pareto_table
from sweeps.trials.record import TrialRecord


def print_closing_lines(
    console: Console,
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    folder: Path,
    *,
    start: Sequence[float] | None,
    interface: str,
    is_demo: bool,
    interrupted: bool,
    ended_by: str | None = None,
    masks: str | None = None,
) -> None:
    """Print how a run of a sweep ended.

    Args:
        console: Where to print.
        records: All trials of the study.
        objectives: The sweep's objectives.
        folder: The sweep's folder.
        start: Objectives of the pretrained model that the trials started from; None without one.
        interface: Command that opens MLflow's UI on it.
        is_demo: Whether the images are the stand-in.
        interrupted: Whether the user stopped before all trials ran.
        ended_by: What else ended the sweep before that, and how it goes on; None where nothing
            did.
        masks: How much of the masks is object; None without masks.
    """
    console.print(pareto_table(records, objectives, start=start))
    shortfall = shortfall_text(records, objectives, start)
    if shortfall is not None:
        console.print(f"Start   {shortfall}", soft_wrap=True, markup=False, highlight=False)
    if ended_by is not None:
        console.print(f"Ended   {ended_by}", soft_wrap=True, markup=False, highlight=False)
    if masks is not None:
        console.print(f"Masks   {masks}", soft_wrap=True, markup=False, highlight=False)
    if is_demo:
        console.print("Demo data: these figures say nothing about the real data set.")
    console.print(f"Report  {folder / REPORT_FILE}", soft_wrap=True)
    console.print(f"Front   {folder / FRONT_FILE}", soft_wrap=True)
    console.print(f"Trials  {folder / TRIALS_FILE}", soft_wrap=True)
    console.print(f"MLflow  {interface}", soft_wrap=True)
    if interrupted:
        console.print(GOES_ON)
