"""What tracking costs: an epoch of the demo with it and without, and an event's way into the log.

The demo's trial trains here in the process of its tracker, which is more than a sweep asks for:
there the trial is on a worker, and the tracker in the driver. An epoch's seconds are those until
training may go on; CPU seconds count the delivery in the background, too, all of it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hsplid_core.data import prepare
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides
from sweeps.tracking import MlflowTracker, default_uri
from sweeps.tracking.mlflow_client import connect, make_metrics
from tests.benchmarks._report import Ratio, report
from tests.benchmarks._timing import compare
from tests.sweeps.records import GOALS
from tests.sweeps.servers import MlflowServer
from trainables.trial import Trial

_ROUNDS = 12
_EPOCHS = 2  # a round, of each way
_EVENTS = 50


def demo_trial(storage: Path) -> Trial:
    """Build a trial of the demo sweep, without its pretraining and without an end."""
    overrides = [f"storage={storage}", "training.epochs=100000", "pretrain=null"]
    spec = load_spec("coco_hsplid", parse_overrides(overrides))
    prepare(spec.trial_config().data)
    return Trial(spec.trial_config())


def tracker_of(uri: str, folder: Path) -> MlflowTracker:
    """Start a tracker as the engine does."""
    folder.mkdir(parents=True)
    tracker = MlflowTracker(
        uri,
        experiment=folder.name,
        run_name=folder.name,
        sweep_id=folder.name,
        folder=folder,
        objectives=GOALS,
        spec={},
        tags={f"tag{number}": "value" for number in range(16)},
    )
    tracker.sweep_started([])
    tracker.trial_started(0, {f"method.parameter{n}": 0.1 * n for n in range(8)}, resumed=False)
    tracker.flush(60.0)
    return tracker


def epochs(trial: Trial, tracker: MlflowTracker | None) -> tuple[list[float], float]:
    """Train some epochs; return the seconds of each, and the CPU seconds of an epoch."""
    seconds = []
    begin = time.process_time()
    for _ in range(_EPOCHS):
        start = time.perf_counter()
        metrics = trial.epoch()
        if tracker is not None:
            tracker.epoch_finished(0, int(metrics["epoch"]), metrics)
        seconds.append(time.perf_counter() - start)
    if tracker is not None:
        tracker.flush(60.0)
    return seconds, (time.process_time() - begin) / _EPOCHS


def overheads(trial: Trial, trackers: dict[str, MlflowTracker]) -> list[Ratio]:
    """Compare epochs with each tracker to epochs without, in turns."""
    ways: dict[str, MlflowTracker | None] = {"off": None, **trackers}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    epochs(trial, None)
    for _ in range(_ROUNDS):
        for name, tracker in ways.items():
            seconds, of_cpu = epochs(trial, tracker)
            wall[name].append(sum(seconds))
            cpu[name].append(of_cpu)
    print(
        f"an epoch of the demo takes {statistics.median(wall['off']) / _EPOCHS:.2f} s without "
        "tracking"
    )
    ratios = []
    for name in trackers:
        ratios.append(Ratio(f"epoch, {name} / off", _median_ratio(wall, name), 1.03, False))
        share = _median_ratio(cpu, name)
        ratios.append(
            Ratio(f"the same in CPU seconds, delivery and all ({name})", share, 1.03, False)
        )
    return ratios


def _median_ratio(taken: dict[str, list[float]], name: str) -> float:
    """Compare within each round, as a machine that others share changes its pace."""
    pairs = zip(taken[name], taken["off"], strict=True)
    return statistics.median(way / off for way, off in pairs)


def event_ratio(uri: str, tracker: MlflowTracker) -> Ratio:
    """Compare an epoch's way into the journal to a request of its own."""
    client = connect(uri)
    run = client.create_run(tracker.experiment_id).info.run_id
    values = {f"metric/{number}": 0.1 * number for number in range(45)}
    step = iter(range(1, 10**9))

    def repeated(tell: Callable[[int], None]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(_EVENTS):
                tell(next(step))

        return run

    def ask(number: int) -> None:
        client.log_batch(run, make_metrics(values, step=number, time_ms=number))

    def journal(number: int) -> None:
        tracker.epoch_finished(1, number, values)

    slow, fast = compare(repeated(ask), repeated(journal), rounds=2)
    begin, waiting = time.perf_counter(), 3 * _EVENTS
    tracker.flush(120.0)
    took = time.perf_counter() - begin
    print(
        f"events of 45 metrics a second: {_EVENTS / fast:.0f} into the journal, "
        f"{waiting / took:.0f} or more from there to MLflow, {_EVENTS / slow:.0f} one by one"
    )
    print(f"an event costs the driver {1000 * fast / _EVENTS:.2f} ms")
    return Ratio("an event: a request of its own / the journal", slow / fast, 20.0, True)


def main() -> int:
    """Measure sqlite and a server, and print the ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "server").mkdir()
        server = MlflowServer(folder / "server")
        server.start()
        try:
            trial = demo_trial(folder / "runs")
            uris = {"sqlite": default_uri(folder), "server": server.uri}
            trackers = {way: tracker_of(uri, folder / "runs" / way) for way, uri in uris.items()}
            ratios = overheads(trial, trackers)
            ratios.append(event_ratio(uris["sqlite"], trackers["sqlite"]))
            for tracker in trackers.values():
                tracker.close()
        finally:
            server.kill()
    return report(ratios)


if __name__ == "__main__":
    sys.exit(main())
