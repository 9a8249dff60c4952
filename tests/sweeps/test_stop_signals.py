"""Stop signals: each ends a process in order, a second one at once, and the sweep goes on."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from optuna.trial import TrialState

from sweeps.study.study import SweepBusyError, sole_driver
from tests.sweeps.whole_sweep import Sweep, check_tracked

ROOT = Path(__file__).resolve().parents[2]

COMMAND = """\
import ctypes, subprocess, sys, time
from sweeps import _command_line
from sweeps.terminal import stop_signals

def work():
    child = subprocess.Popen(["sleep", "600"], stdout=-3, stderr=-3)
    try:
        print(child.pid, flush=True)
        {wait}
    finally:
        print("tidied", flush=True)
    return 0

stop_signals.LIMIT_S = {limit}
sys.exit(_command_line.run_resumable(work))
"""
WAITS = "time.sleep(60)"
# A wait inside a C library, a lock taken twice, in which none of Python's handlers runs.
DEAF = (
    "lock = ctypes.create_string_buffer(64); take = ctypes.CDLL(None).pthread_mutex_lock; "
    "take(lock); take(lock)"
)


@pytest.fixture(autouse=True, scope="module")
def hears_lost_terminals() -> Iterator[None]:
    """Whoever runs the tests may ignore SIGHUP, as nohup does, and so would what they start."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


SAYS = "Stopped before all trials ran; the same command goes on from here.\n"


def start(
    wait: str, limit: float = 20.0, prefix: Sequence[str] = ()
) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", COMMAND.format(wait=wait, limit=limit)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_command_in_order(number: signal.Signals, code: int) -> None:
    process, child = start(WAITS)
    process.send_signal(number)
    if number != signal.SIGINT:
        process.send_signal(number)  # as a closing terminal does: it is still one request
    out, err = process.communicate(timeout=60)
    psutil.Process(child).kill()
    assert (process.returncode, out) == (code, "tidied\n")
    assert err == SAYS


def test_a_second_signal_ends_all_at_once() -> None:
    process, child = start(DEAF)
    time.sleep(1.0)  # by now it waits inside
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)  # later than what is still one request
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (143, "", SAYS)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"


def test_whoever_does_not_end_in_time_is_ended() -> None:
    process, child = start(DEAF, limit=6.0)
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (143, "", SAYS)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"


def test_an_ignored_signal_stays_ignored() -> None:
    process, child = start(WAITS, prefix=("nohup",))
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    psutil.Process(child).kill()
    assert process.returncode == 143


def test_a_lost_terminal_ends_a_command_in_order(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    code = COMMAND.format(wait=WAITS, limit=20.0).replace(
        '"tidied"', f'open({str(tmp_path / "tidied")!r}, "w").write("tidied")'
    )
    process = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-c", code],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    child = int(os.read(ours, 100))
    os.close(ours)
    assert process.wait(60) == 129
    psutil.Process(child).kill()
    assert (tmp_path / "tidied").read_text() == "tidied"


@pytest.mark.cluster
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")
def test_a_sweep_goes_on_whatever_ended_it(sweep: Sweep) -> None:
    sweep.write(training={"epochs": 12, "batch_size": 8}, trials=2)
    with_own_ray = ("cluster.address=null", "cluster.num_cpus=1")
    process = sweep.start(*with_own_ray)
    sweep.wait_for_checkpoint(0, process)
    # A second driver is refused while the first one runs.
    with (
        pytest.raises(SweepBusyError, match="is in use: another process runs this sweep"),
        sole_driver(sweep.folder / "runs" / "tiny"),
    ):
        pass
    # Ctrl-C, which Ray's processes get too, as the driver started them.
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 130, output
    assert SAYS.strip() in output
    assert "Traceback" not in output
    assert sweep.trials()[0].state == TrialState.RUNNING

    process = sweep.start(*with_own_ray)
    sweep.wait_for_checkpoint(0, process, of_earlier_runs=1)
    # As a service manager does it: all processes, Ray's too.
    os.killpg(process.pid, signal.SIGTERM)
    ended_in_order(process, 143)
    assert {run.info.status for run in sweep.runs()} == {"KILLED"}

    # kill -9 in the middle of the second trial.
    process = sweep.start()
    sweep.wait_for_checkpoint(1, process, of_earlier_runs=2)
    process.kill()
    process.communicate()
    before = sweep.trials()
    assert [trial.state for trial in before] == [TrialState.COMPLETE, TrialState.RUNNING]

    code, output = sweep.run()
    assert code == 0, output
    after = sweep.trials()
    assert [trial.state for trial in after] == [TrialState.COMPLETE] * 2
    assert after[0].values == before[0].values
    assert after[0].datetime_complete == before[0].datetime_complete
    check_tracked(sweep, trials=2, epochs=12)


def ended_in_order(process: subprocess.Popen[str], code: int) -> None:
    output, _ = process.communicate(timeout=180)
    assert process.returncode == code, output
    assert output.splitlines()[-1] == SAYS.strip()
    assert "Traceback" not in output
    assert "***" not in output
