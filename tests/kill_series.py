"""Kill series: random processes of sweeps are killed at random moments, and every trial ends once.

``make faults`` runs it; each line tells a kill or a sweep's end, the last one the counts. The same
seed chooses the same victims and delays, though not what they hit. What a sweep leaves that has
lost something is kept, and the series goes on with the next one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import psutil
from optuna.trial import TrialState

from hsplid_core.data.demo.coco import write_coco_demo
from sweeps.cluster.node_watch import CLUSTER_LOST, ENDED_BY_RAY
from sweeps.study.study import sole_driver
from tests.sweeps.ray_nodes import family
from tests.sweeps.whole_sweep import Sweep, check_tracked, written_sweep

EPOCHS, TRIALS = 6, 3
VICTIMS = ("driver", "worker", "agent", "raylet", "gcs_server", "all")
_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")  # the raylet ends with either
_LONGEST_S = 60.0  # between two kills
_END_S = 600.0  # a sweep that nobody disturbs has long ended by then, on a machine of its own
_MOST_PATIENCE = 6.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kill_series")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--minutes", type=float, default=180.0, help="no kill begins later")
    arguments = parser.parse_args()
    chosen = random.Random(arguments.seed)
    until = time.monotonic() + 60 * arguments.minutes
    counts: Counter[str] = Counter()
    folder = Path(tempfile.mkdtemp(prefix="k-"))
    coco = write_coco_demo(folder / "coco", image_size=32, n_train=160, n_val=40)
    while counts["kills"] < arguments.kills and time.monotonic() < until:
        seed = chosen.randrange(2**32)
        number = counts["sweeps"] = counts["sweeps"] + 1
        place = folder / str(number)
        place.mkdir()
        try:
            with written_sweep(place, coco, num_cpus=2) as sweep:
                _disturb(sweep, random.Random(seed), arguments.kills, until, counts, seed)
        except (AssertionError, subprocess.TimeoutExpired):
            counts["lost"] += 1
            say(f"lost (sweep's seed {seed}); what is left lies in {place}")
            say(traceback.format_exc())
        else:
            counts["whole"] += 1
            say(f"whole (sweep's seed {seed}): each of {TRIALS} trials ended once")
            shutil.rmtree(place, ignore_errors=True)
    if not counts["lost"]:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"seed {arguments.seed}: {dict(counts)}")
    return 0 if counts["kills"] >= arguments.kills and not counts["lost"] else 1


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _disturb(
    sweep: Sweep, chosen: random.Random, kills: int, until: float, counts: Counter[str], seed: int
) -> None:
    """Kill processes of one sweep until it ends, and look at what is there then."""
    sweep.write(training={"epochs": EPOCHS, "batch_size": 8}, trials=TRIALS)
    place = sweep.folder / "ray"
    place.mkdir()
    # A sweep that is killed each time before it gets anywhere would never end.
    most = counts["kills"] + 8
    driver = sweep.start(RAY_TMPDIR=str(place))
    while True:
        may_kill = counts["kills"] < min(kills, most) and time.monotonic() < until
        try:
            output, _ = driver.communicate(
                timeout=chosen.uniform(1.0, _LONGEST_S) if may_kill else _patience(_END_S)
            )
        except subprocess.TimeoutExpired:
            if not may_kill:
                raise
            _kill(driver.pid, chosen.choice(VICTIMS), counts, seed)
            continue
        if driver.returncode == 0:
            break
        told = driver.returncode == 2 and "Ray did not start on this machine" in output
        told |= driver.returncode > 0 and output.strip().endswith(ENDED_BY_RAY)
        ended_so = told or driver.returncode in (-signal.SIGKILL, CLUSTER_LOST)
        assert ended_so, f"exit code {driver.returncode}\n{output}"
        counts[f"ended {driver.returncode}"] += 1
        driver = sweep.start(RAY_TMPDIR=str(place))
    _check(sweep, place)


def _patience(seconds: float) -> float:
    """Stretch a limit on a machine that others work on, up to a bound."""
    return seconds * min(_MOST_PATIENCE, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def _kill(driver: int, victim: str, counts: Counter[str], seed: int) -> None:
    members = family(driver)
    titled = [one for one in members if _title(one).startswith("ray::")]
    found = {
        "driver": members[:1],
        "all": members,
        "worker": [one for one in titled if _title(one) not in _AGENTS][:1],
        "agent": [one for one in titled if _title(one) in _AGENTS][:1],
    }.get(victim, [one for one in members if _title(one) == victim])
    found = [one for one in found if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    if not found:
        return  # it has not begun yet
    # Without waiting for them: the driver's exit code is its starter's to fetch.
    for one in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    counts["kills"] += 1
    counts[victim] += 1
    say(f"kill {counts['kills']} (sweep's seed {seed}): {victim}")


def _title(process: psutil.Process) -> str:
    try:
        words = process.cmdline()
        named = words and words[0].startswith("ray::")
        return str(words[0] if named else process.name())
    except psutil.Error:
        return ""


def _check(sweep: Sweep, place: Path) -> None:
    """Every trial has ended once, in study and MLflow, and nothing else is left."""
    trials = sweep.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * TRIALS, trials
    check_tracked(sweep, trials=TRIALS, epochs=EPOCHS)
    with sole_driver(sweep.folder / "runs" / "tiny"):
        pass
    assert list(place.iterdir()) == []
    deadline = time.monotonic() + _patience(30)
    while left := [one.pid for one in psutil.process_iter() if _works_in(one, place)]:
        assert time.monotonic() < deadline, f"processes are left: {left}"
        time.sleep(1)


def _works_in(process: psutil.Process, place: Path) -> bool:
    try:
        return bool(process.environ().get("RAY_TMPDIR") == str(place))
    except psutil.Error:
        return False


if __name__ == "__main__":
    sys.exit(main())
