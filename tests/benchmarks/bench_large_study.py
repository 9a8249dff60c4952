"""What the commands on a finished sweep cost when it has 5,000 trials.

The study is made through Optuna's API, with the attributes that the engine leaves; the journal of
its tracking is what a driver leaves that was killed before MLflow had anything of it. Each command
runs in a process of its own; CPU seconds and peak memory are those of it and all that it starts.
The growth is what a trial costs between 1,000 and 5,000, over what one costs between 10 and 1,000:
1 is linear. Delivery to MLflow is for information: its requests to sqlite take nearly all of it.
It takes some ten minutes; ``--trials 1000`` fewer.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from hsplid_core.files import replace_text
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides
from sweeps.study.location import JOURNAL_FILE
from sweeps.study.sweep_info import SweepInfo, write_info
from sweeps.tracking import MlflowTracker, default_uri
from sweeps.trials.attributes import SWEEP_ID
from sweeps.trials.from_study import records_of
from tests.benchmarks._report import Ratio, report
from tests.sweeps.records import GOALS
from tests.sweeps.studies import cloud_study

_NAME, _ID = "large", "0" * 32
_TARGET_S = 30.0
_TARGET_GROWTH = 1.5
_NOISE_S = 0.5  # differences below it say nothing of growth
_NEVER_S = 1e6

_COMMANDS = {
    "pareto": ["sweeps.pareto", _NAME, "--importances"],
    "export csv": ["sweeps.pareto", _NAME, "--export", "trials.csv"],
    "export parquet": ["sweeps.pareto", _NAME, "--export", "trials.parquet"],
    "report": ["sweeps.report", _NAME],
    "sync, delivers": ["sweeps.sync", _NAME],
    "sync, nothing left": ["sweeps.sync", _NAME],
    "ui, until it answers": ["sweeps.ui", _NAME],
}


def make_sweep(storage: Path, n_trials: int) -> None:
    """Write a finished sweep, of which MLflow has nothing yet."""
    folder = storage / _NAME
    folder.mkdir(parents=True)
    study = optuna.create_study(
        study_name=_NAME,
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL_FILE))),
        directions=[goal.direction for goal in GOALS],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([goal.metric for goal in GOALS])
    study.set_user_attr(SWEEP_ID, _ID)
    study.add_trials(cloud_study(n_trials).get_trials(deepcopy=False))
    replace_text(
        folder / "study.json",
        f'{{"storage": "journal", "name": "{_NAME}", "sweep": "{_NAME}", "number": 1}}',
    )
    overrides = parse_overrides([f"name={_NAME}", f"trials={n_trials}", f"storage={storage}"])
    spec = load_spec("coco_hsplid", overrides)
    info = SweepInfo(
        spec=spec,
        fixed={},
        is_demo=True,
        data_key="k",
        weights=None,
        baseline=(0.72, 0.25),
        tracking_uri=default_uri(storage),
        tags={},
    )
    write_info(folder, info)
    tracker = MlflowTracker(
        info.tracking_uri,
        experiment=_NAME,
        run_name=_NAME,
        sweep_id=_ID,
        folder=folder,
        objectives=GOALS,
        spec=spec.resolved(),
        tags={},
        interval_s=_NEVER_S,
        sampling_s=_NEVER_S,
    )
    tracker.sweep_started([])
    for record in records_of(study):
        tracker.trial_started(record.number, record.parameters, resumed=False)
        tracker.epoch_finished(record.number, 1, {**record.metrics, "epoch": 1.0})
        tracker.trial_finished(record)
    tracker.close()


def cost(storage: Path, command: Sequence[str]) -> tuple[float, float]:
    """Run a command; return CPU seconds and peak memory in MiB, of it and all it starts."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command, f"storage={storage}"],
        cwd=storage,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    if command[0] == "sweeps.ui":
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
    process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in (0, 130), (command, process.returncode)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> int:
    """Make sweeps of three sizes, run each command on each, and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bench_large_study")
    parser.add_argument("--trials", type=int, default=5000)
    most = parser.parse_args().trials
    sizes = (10, most // 5, most)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in _COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            storage = Path(folder) / str(size)
            make_sweep(storage, size)
            for name, command in _COMMANDS.items():
                costs[name].append(cost(storage, command))
                seconds, memory = costs[name][-1]
                print(
                    f"{size} trials, {name}: {seconds:.1f} s of CPU, {memory:.0f} MiB", flush=True
                )
    ratios = []
    for name, found in costs.items():
        (least, _), (some, _), (all_, _) = found
        if name != "sync, delivers":
            ratios.append(Ratio(f"CPU seconds of {name}", all_, _TARGET_S, False))
        if some - least > _NOISE_S:
            early = (some - least) / (sizes[1] - sizes[0])
            late = (all_ - some) / (sizes[2] - sizes[1])
            ratios.append(Ratio(f"growth of {name}", late / early, _TARGET_GROWTH, False))
    return report(ratios)


if __name__ == "__main__":
    sys.exit(main())
