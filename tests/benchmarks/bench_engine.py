"""Cost of the engine: the driver's CPU for trials that do nothing, and how it grows with a sweep.

What counts is that the driver takes less than 0.1 s of CPU a trial, and near the last of 1,000
trials not more than 1.5 times as much as near the 100th. Bare Ray Tune, with trials of its own, is
shown beside that; nobody runs trials of 30 ms, so no target hangs on it.

The same trials that do nothing, each time in a fresh process, from the start of a cluster of two
slots on: through this project's searcher, study (journal), scheduler, front, progress and MLflow
(sqlite), to the last trial's end and to the last word in MLflow; and through Ray's own
OptunaSearch, with the same sampler and its study in memory, the same checkpoints, and none of
Ray's loggers, so that nothing records its trials. Workers are the same, and import PyTorch as
those of a sweep do. The sampler, Optuna's own, looks at all trials each time, in both alike; what
it takes is measured inside the sweep, and a line says how that and the rest grow.

Then trials without Ray's workers, of up to three epochs with two rungs and random parameters: CPU
time of the driver's main thread for a trial in the study (with searcher, rungs and front) and in
what listens (journal of the tracking, progress), early and late. CPU time, since other processes
disturb it less; delivery to MLflow runs beside that, and is told apart.

    python -m tests.benchmarks.bench_engine                 # 1,000 trials, and 10,000 simulated
    python -m tests.benchmarks.bench_engine --trials 200 --rounds 1 --simulated 2000
"""

from __future__ import annotations

import argparse
import io
import logging
import multiprocessing
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import psutil
from optuna.distributions import FloatDistribution
from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search.optuna import OptunaSearch
from rich.console import Console

from search_spaces import ParameterValue, SearchSpace
from sweeps.cluster.connection import connected
from sweeps.engine.context import SweepContext
from sweeps.engine.front_keeper import FrontKeeper
from sweeps.engine.ray_tuner import fit
from sweeps.engine.study_searcher import StudySearcher, TrialPlan
from sweeps.search.schedulers import build_scheduler
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.study.study import open_study
from sweeps.terminal.progress import ProgressView
from sweeps.tracking import default_uri, loading
from sweeps.trials.checkpoint_files import SweepCheckpoints
from sweeps.trials.from_study import records_of
from sweeps.trials.listener import SweepListener
from tests.benchmarks._no_op import NoOp, metrics_at
from tests.benchmarks._report import Ratio, report
from tests.benchmarks._tracked import tracker_of
from trainables.result_keys import ASSIGNMENT, ENDED, METRICS, TRIAL_SECONDS

OBJECTIVES = ["val/accuracy", "val/robust_accuracy"]
STARTUP = 10
_WINDOW = 100
_LISTENING = ("trial_started", "epoch_finished", "trial_finished")
# What Study.ask and Study.tell call of a sampler, one after the other.
_SAMPLING = (
    "before_trial",
    "infer_relative_search_space",
    "sample_relative",
    "sample_independent",
    "after_trial",
)
_SPACE = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}


def suggest(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest two numbers."""
    return {"x": trial.suggest_float("x", 0, 1), "y": trial.suggest_float("y", 0, 1)}


class Clock:
    """Notes when each trial ended, and the driver's memory at that moment.

    Attributes:
        started: Seconds until trials may start.
        ended: Seconds from the beginning to the end of the last trial.
        wall: Seconds to the very end.
        sampling: Seconds of CPU in the sampler so far, added by who times it.
    """

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._times: list[float] = []
        self._cpu: list[float] = []
        self._memory: list[int] = []
        self._sampling: list[float] = []
        self.sampling = 0.0
        self.started = self.ended = self.wall = 0.0

    def ready(self) -> None:
        """Note that trials may start."""
        self.started = time.perf_counter() - self._begin

    def tick(self) -> None:
        """Note the end of a trial."""
        self._times.append(time.perf_counter())
        self._cpu.append(time.process_time())
        self._sampling.append(self.sampling)
        self._memory.append(psutil.Process().memory_info().rss)
        self.ended = self._times[-1] - self._begin

    def stop(self) -> None:
        """Note the end of all."""
        self.wall = time.perf_counter() - self._begin

    def each_ms(self, at: int) -> float:
        """Milliseconds a trial, over the trials just before a number."""
        begin = max(0, at - _WINDOW)
        return 1000 * (self._times[at - 1] - self._times[begin]) / (at - 1 - begin)

    def each_cpu_ms(self, at: int) -> float:
        """Milliseconds of the driver's CPU a trial, over the trials just before a number."""
        begin = max(0, at - _WINDOW)
        return 1000 * (self._cpu[at - 1] - self._cpu[begin]) / (at - 1 - begin)

    def each_sampling_ms(self, at: int) -> float:
        """Milliseconds of CPU a trial in the sampler, over the trials just before a number."""
        begin = max(0, at - _WINDOW)
        return 1000 * (self._sampling[at - 1] - self._sampling[begin]) / (at - 1 - begin)

    def add_sampling(self, seconds: float) -> None:
        """Add what a call of the sampler took."""
        self.sampling += seconds

    def cpu_ms(self) -> float:
        """Milliseconds of a processor that the driver, all of its threads, spends on a trial."""
        half = len(self._cpu) // 2
        return 1000 * (self._cpu[-1] - self._cpu[half]) / (len(self._cpu) - 1 - half)

    def growth_kib(self) -> float:
        """Memory that a trial adds, over the second half."""
        half = len(self._memory) // 2
        return (self._memory[-1] - self._memory[half]) / 1024 / (len(self._memory) - half)


class Engine:
    """What a run of a sweep is made of, without data.

    Args:
        folder: An empty folder.
        trials: Trials of the sweep.
        on_end: Called after each.
        changes: To the spec.
        uri: Where MLflow is; None for a sqlite file.
    """

    def __init__(
        self,
        folder: Path,
        trials: int,
        on_end: Callable[[], None],
        *changes: str,
        uri: str | None = None,
    ) -> None:
        texts = ["data.root=/nowhere", f"trials={trials}", f"storage={folder}", *changes]
        texts += ["resources.gpu=0", "resources.cpu=1", f"search.startup_trials={STARTUP}"]
        self.spec: SweepSpec = load_spec("coco_hsplid_paper", parse_overrides(texts))
        self.folder = folder / "sweep"
        self.folder.mkdir(parents=True)
        self.study = open_study(self.folder, self.spec, {}, [])
        view = ProgressView(
            trials,
            self.spec.objectives,
            epochs=self.spec.training.epochs,
            concurrency=2,
            console=Console(file=io.StringIO()),
        )
        self.tracker = tracker_of(self.spec, self.folder, uri)
        self.listeners: Sequence[SweepListener] = [self.tracker, view]
        self._announcer = FrontKeeper(
            self.study, self.spec.objectives, self.folder, self.listeners
        )
        self._on_end = on_end
        self.searcher = StudySearcher(
            self.study,
            TrialPlan(space=SearchSpace(suggest), objectives=OBJECTIVES),
            total=trials,
            find_checkpoint=lambda *_: None,
            on_told=self._told,
        )
        self.scheduler = build_scheduler(self.spec, self.study, self.searcher.note_rungs)
        self.searcher.on_end = self.scheduler.note_end

    def _told(self, number: int) -> None:
        self._announcer.trial_ended(number)
        self._on_end()

    def start(self) -> None:
        """Open what records the sweep."""
        self._announcer.start()

    def finish(self) -> None:
        """Wait until all is recorded."""
        records = records_of(self.study)
        for listener in self.listeners:
            listener.sweep_finished(records, interrupted=False)
        self.tracker.close()


def cluster() -> AbstractContextManager[None]:
    """Start a cluster of two slots, on the loopback."""
    return connected(load_spec("coco_pretrain", parse_overrides(["cluster.num_cpus=2"])).cluster)


def through_sweeps(folder: Path, trials: int) -> Clock:
    """Run no-op trials as a sweep does."""
    clock = Clock()
    with ExitStack() as stack:
        engine = Engine(folder, trials, clock.tick)
        with loading(default_uri(engine.spec.local_storage)):
            stack.enter_context(cluster())
        _timed(engine.study.sampler, _SAMPLING, clock.add_sampling)
        engine.start()
        clock.ready()
        context = SweepContext(spec=engine.spec, folder=engine.folder, fixed={}, images={})
        fit(
            context,
            engine.searcher,
            engine.scheduler,
            SweepCheckpoints(folder=engine.folder, sweep_id=None),
            {"cpu": 1},
            engine.listeners,
            trainable=NoOp,
        )
        engine.finish()
        clock.stop()
    return clock


class _Ticks(tune.Callback):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._clock.tick()


def sampler() -> optuna.samplers.TPESampler:
    """Make the sampler that a spec's ``tpe`` stands for."""
    return optuna.samplers.TPESampler(
        seed=0, multivariate=True, group=True, constant_liar=True, n_startup_trials=STARTUP
    )


def bare_ray(folder: Path, trials: int) -> Clock:
    """Run the same trials through Ray's own searcher."""
    clock = Clock()
    with cluster():
        searcher = OptunaSearch(
            dict(_SPACE),
            metric=[f"{METRICS}/{name}" for name in OBJECTIVES],
            mode=["max", "max"],
            sampler=sampler(),
        )
        tuner = tune.Tuner(
            tune.with_resources(NoOp, {"cpu": 1}),
            tune_config=tune.TuneConfig(
                search_alg=searcher, num_samples=trials, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name="bare",
                storage_path=str(folder),
                callbacks=[_Ticks(clock)],
                checkpoint_config=tune.CheckpointConfig(
                    num_to_keep=2, checkpoint_frequency=1, checkpoint_at_end=True
                ),
                verbose=0,
            ),
        )
        clock.ready()
        tuner.fit()
        clock.stop()
    return clock


class Simulated:
    """Trials without Ray's workers.

    Attributes:
        clock: Of the whole.
        tracking: CPU seconds in the listeners, by trial.
        study: CPU seconds in searcher, study and scheduler, by trial.
    """

    def __init__(self, folder: Path, trials: int) -> None:
        self.clock = Clock()
        self.tracking: list[float] = []
        self.study: list[float] = []
        changes = ("search.sampler=random", "search.scheduler=mo_asha", "training.epochs=9")
        self._engine = Engine(folder, trials, self.clock.tick, *changes, "evaluation.every=1")
        for listener in self._engine.listeners:
            _timed(listener, _LISTENING, self._add)
        self._engine.start()
        self._spent = 0.0
        for number in range(trials):
            before, begin = self._spent, time.thread_time()
            self._run(str(number))
            self.tracking.append(self._spent - before)
            self.study.append(time.thread_time() - begin - self.tracking[-1])
        self._engine.finish()
        self.clock.stop()

    def _add(self, seconds: float) -> None:
        self._spent += seconds

    def _run(self, name: str) -> None:
        searcher, listeners = self._engine.searcher, self._engine.listeners
        config = searcher.suggest(name)
        assert isinstance(config, dict)
        number, parameters = config[ASSIGNMENT]["number"], config[ASSIGNMENT]["parameters"]
        trial: Any = SimpleNamespace(trial_id=name, config=config)
        controller: Any = None
        resumed = searcher.note_start(name) > 1
        for listener in listeners:
            listener.trial_started(number, parameters, resumed=resumed)
        for epoch in (1, 3, 9):
            metrics = metrics_at(parameters["x"], parameters["y"], epoch)
            result: dict[str, Any] = {f"{METRICS}/{key}": v for key, v in metrics.items()}
            for listener in listeners:
                listener.epoch_finished(number, epoch, metrics)
            if epoch == 9:
                result |= {ENDED: True, TRIAL_SECONDS: 0.0}
                self._engine.scheduler.on_trial_complete(controller, trial, result)
            elif (
                self._engine.scheduler.on_trial_result(controller, trial, result)
                == TrialScheduler.STOP
            ):
                break
        searcher.on_trial_complete(name, result)


def _timed(of: object, names: Sequence[str], add: Callable[[float], None]) -> None:
    """Let an object's calls add up the CPU time that they take in their thread."""

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            begin = time.thread_time()
            found = call(*arguments, **named)
            add(time.thread_time() - begin)
            return found

        return timed

    for name in names:
        setattr(of, name, wrapped(getattr(of, name)))


def measured(name: str, run: Callable[[Path, int], Clock], trials: int, early: int) -> Clock:
    """Run in a process and a folder of its own, and print what it took."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), quieten) as process,
    ):
        clock = process.submit(run, Path(folder), trials).result()
    begun = f"{clock.started:.1f} s until trials may start"
    rates = f"at {early}: {clock.each_ms(early):.1f}, at {trials}: {clock.each_ms(trials):.1f} ms"
    print(
        f"{name:<14} {clock.ended:6.1f} s ({begun}); {rates} a trial, "
        f"{clock.cpu_ms():.1f} ms of the driver's CPU; "
        f"{clock.growth_kib():.1f} KiB of memory a trial; {clock.wall:.1f} s until all is told",
        flush=True,
    )
    return clock


def quieten() -> None:
    """Leave the output to the figures."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


def on_ray(trials: int, rounds: int) -> list[Ratio]:
    """Compare with bare Ray Tune, within each round: others change the pace of a machine."""
    early = max(_WINDOW, trials // 10)
    pairs = []
    for _ in range(rounds):
        ours = measured("through sweeps", through_sweeps, trials, early)
        pairs.append((ours, measured("bare Ray Tune", bare_ray, trials, early)))

    def median(of: Callable[[Clock, Clock], float]) -> float:
        return statistics.median(of(ours, bare) for ours, bare in pairs)

    def sampler_ms(at: int) -> float:
        return median(lambda ours, _: ours.each_sampling_ms(at))

    def rest_ms(at: int) -> float:
        return median(lambda ours, _: ours.each_cpu_ms(at) - ours.each_sampling_ms(at))

    whole = median(lambda ours, bare: ours.ended / bare.ended)
    told = median(lambda ours, bare: ours.wall / bare.ended)
    late = median(lambda ours, bare: ours.each_ms(trials) / bare.each_ms(trials))
    growth = median(lambda ours, _: ours.each_cpu_ms(trials) / ours.each_cpu_ms(early))
    memory = median(lambda ours, _: ours.growth_kib())
    print(
        f"{trials} no-op trials / bare Ray Tune: {whole:.2f}, near the end {late:.2f}, until all "
        f"is in MLflow {told:.2f}"
    )
    print(
        f"driver's CPU for a trial: Optuna's sampler {sampler_ms(early):.1f} ms at {early}, "
        f"{sampler_ms(trials):.1f} at {trials}; the rest {rest_ms(early):.1f} and "
        f"{rest_ms(trials):.1f}"
    )
    cpu = median(lambda ours, _: ours.each_cpu_ms(trials) / 1000)
    return [
        Ratio(f"seconds of the driver's CPU for a trial at {trials}", cpu, 0.1, False),
        Ratio(f"CPU for a trial at {trials} / at {early}", growth, 1.5, False),
        Ratio("the same without the sampler", rest_ms(trials) / rest_ms(early), 1.5, False),
        Ratio("KiB of the driver's memory a trial", memory, 50, False),
    ]


def simulated(trials: int) -> list[Ratio]:
    """See how study, scheduler and tracking grow."""
    window, tenth = max(1, trials // 20), trials // 10
    with tempfile.TemporaryDirectory() as folder:
        found = Simulated(Path(folder), trials)
    ratios = []
    for name, seconds in (("study and rungs", found.study), ("listeners", found.tracking)):
        early = sum(seconds[tenth - window : tenth]) / window
        late = sum(seconds[-window:]) / window
        print(
            f"simulated, {name}: {1000 * early:.2f} ms at {tenth}, {1000 * late:.2f} at {trials}"
        )
        ratios.append(Ratio(f"simulated, {name}: {trials} / {tenth}", late / early, 1.5, False))
    clock = found.clock
    print(f"simulated: {clock.ended:.0f} s, all in MLflow after {clock.wall:.0f} s")
    return [
        *ratios,
        Ratio("simulated: KiB of memory a trial", clock.growth_kib(), 50, False),
    ]


def main(argv: list[str] | None = None) -> int:
    """Measure and print the ratios; return 0 if all reach their targets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=1000, help="0 leaves this part out")
    parser.add_argument("--rounds", type=int, default=3, help="of them; medians are told")
    parser.add_argument("--simulated", type=int, default=10_000, help="0 leaves this part out")
    arguments = parser.parse_args(argv)
    quieten()
    ratios = on_ray(arguments.trials, arguments.rounds) if arguments.trials else []
    return report(ratios + (simulated(arguments.simulated) if arguments.simulated else []))


if __name__ == "__main__":
    sys.exit(main())
