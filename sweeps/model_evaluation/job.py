"""Job of judging models: each on all data under all seeds, with its logs and its run in MLflow."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsplid_core.errors import SaliencyError
from sweeps.model_evaluation.find_model import JudgedModel, own_data, own_root
from sweeps.model_evaluation.image_log import log_verdict, write_tables
from sweeps.model_evaluation.measure import Verdict, Wishes, judge
from sweeps.model_evaluation.summary import summarise, summary_metrics
from sweeps.model_evaluation.text_tables import print_verdict, tell_progress
from sweeps.tracking.evaluation_runs import Evaluation, log_evaluation, log_files


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is done with each model.

    Attributes:
        wishes: What to measure.
        seeds: Seeds of the evaluation.
        data: Names of data sets; none for the model's own.
        root: Folder of the data; None for the model's own, or the stand-in.
        storage: Folder of all sweeps.
        uri: MLflow's tracking server or database.
        recorded: Whether a model that comes from no run gets one.
        settings: What was asked for, by name.
        out: File of the one log; None names each by what it holds.
        prints: Whether to print what is found.
    """

    wishes: Wishes
    seeds: Sequence[int]
    data: Sequence[str]
    root: Path | None
    storage: Path
    uri: str
    recorded: bool
    settings: Mapping[str, object]
    out: Path | None
    prints: bool


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What was found of a model.

    Attributes:
        model: Its name.
        run_id: MLflow's run that has it; None where none has.
        verdicts: Of each data set under each seed.
        files: Logs and tables.
    """

    model: str
    run_id: str | None
    verdicts: Sequence[Verdict]
    files: Sequence[Path]

    def described(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        return {
            "model": self.model,
            "run_id": self.run_id,
            "verdicts": [verdict.described() for verdict in self.verdicts],
            "logs": [str(file) for file in self.files],
        }


def judge_model(model: JudgedModel, job: Job) -> Judged:
    """Judge one model on all data under all seeds, write its logs and tell MLflow.

    Raises:
        ConfigError: The model does not fit the data, or what is asked for.
        DataError: A data set is missing or damaged.
    """
    verdicts: list[Verdict] = []
    files: list[Path] = []
    cases = [(name, seed) for name in job.data or [own_data(model)] for seed in job.seeds]
    for name, seed in cases:
        verdict = judge(
            model.trained,
            name,
            dataclasses.replace(job.wishes, seed=seed),
            root=job.root or own_root(model, name),
            cache_dir=job.storage / "cache",
            told=tell_progress,
        )
        verdicts.append(verdict)
        if verdict.robustness is not None:
            files.append(log_verdict(verdict, model, job.wishes, job.storage, out=job.out))
        files += write_tables(verdict, model, job.wishes, job.storage)
        if job.prints:
            print_verdict(verdict)
    run_id = _record(model, verdicts, files, job) if job.recorded or model.run_id else None
    if job.prints:
        sys.stdout.writelines(f"Log     {path}\n" for path in files)
        if run_id is not None:
            sys.stdout.write(f"MLflow  written into run {run_id}\n")
    return Judged(model=model.name, run_id=run_id, verdicts=verdicts, files=files)


def _record(
    model: JudgedModel, verdicts: Sequence[Verdict], files: Sequence[Path], job: Job
) -> str | None:
    """Tell MLflow; where it cannot be told, what was found is not lost with it."""
    data = ", ".join(dict.fromkeys(verdict.data for verdict in verdicts))
    found = Evaluation(
        model=model.name,
        settings={"model": model.name, "data": data, **job.settings},
        metrics=summary_metrics(summarise({model.name: verdicts})),
        tags={name: value for verdict in verdicts for name, value in verdict.tags().items()},
        artifacts=files,
    )
    try:
        return log_evaluation(job.uri, model.run_id, found)
    except SaliencyError as error:
        sys.stderr.write(f"MLflow has not got what was found of {model.name}: {error}\n")
        return None


def record_files(uri: str, run_ids: Sequence[str], files: Sequence[Path]) -> None:
    """Put files into several runs; where MLflow cannot take them, a line says so."""
    try:
        if run_ids:
            log_files(uri, run_ids, files)
    except SaliencyError as error:
        sys.stderr.write(f"MLflow has not got {files[0]}: {error}\n")
