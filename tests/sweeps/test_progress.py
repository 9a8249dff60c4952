from __future__ import annotations

import dataclasses
import io
import json
import math
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from sweeps.terminal.minute_lines import MinuteLines
from sweeps.terminal.progress import ProgressView
from sweeps.terminal.sweep_status import SweepStatus
from tests.sweeps.records import GOALS, complete, failed, running, warned


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A time that passes when a test says so."""
    now = [100.0]
    monkeypatch.setattr("sweeps.terminal.sweep_status.time.monotonic", lambda: now[0])
    return now


METRICS = {"val/accuracy": 0.71, "val/robust_accuracy": math.nan}


def view(console: Console | None = None, **options: Any) -> ProgressView:
    return ProgressView(4, GOALS, epochs=3, concurrency=2, console=console, **options)


def plain_console() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, force_terminal=False, width=60), stream


def drive(listener: ProgressView) -> None:
    """Tell a whole sweep: trial 0 is from an earlier run, 2 pushes 0 off the front, 3 fails."""
    earlier = complete(0, 0.6, 0.2)
    listener.sweep_started([earlier])
    listener.trial_started(1, {"training.learning_rate": 5e-4}, resumed=True)
    listener.epoch_finished(1, 2, METRICS)
    listener.trial_finished(complete(1, 0.5, 0.1, on_front=False))
    listener.trial_started(2, {"method.hsplid.rho_s": 0.5}, resumed=False)
    listener.trial_finished(complete(2, 0.7, 0.4), left=[0])
    listener.trial_finished(failed(3))
    records = [complete(0, 0.6, 0.2, on_front=False), complete(1, 0.5, 0.1, on_front=False)]
    listener.sweep_finished([*records, complete(2, 0.7, 0.4), failed(3)], interrupted=False)


def test_plain_lines_tell_starts_ends_and_changes_of_the_front() -> None:
    console, stream = plain_console()
    drive(view(console))
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines == [
        "sweep of 4 trials, 1 done before (0 failed)",
        "trial 1 goes on: lr=5e-4",
        "trial 1 complete in 30 s: clean accuracy 50.0%, robust accuracy 10.0% "
        "(2 of 4 done, 11 s to 50 s left)",
        "trial 2 starts: rho_s=0.5",
        "trial 2 complete in 30 s: clean accuracy 70.0%, robust accuracy 40.0% "
        "(3 of 4 done, 4 s to 26 s left)",
        "front: trial 2 (70.0%, 40.0%), hypervolume 0.28",
        "trial 3 failed in 2 s: loss is nan in epoch 2 (4 of 4 done)",
        "sweep finished: 3 complete, 1 failed (1 error), 1 on the front",
    ]


def test_plain_lines_tell_of_warnings() -> None:
    console, stream = plain_console()
    view(console).trial_finished(warned(complete(1, 0.5, 0.5), "zero_gradients"))
    told, front = stream.getvalue().splitlines()
    assert "robust accuracy 50.0%, warned: zero gradients (1 of 4 done" in told
    assert "front: trial 1 (50.0%, 50.0%, warned: zero gradients)" in front


def test_of_a_long_front_only_the_newcomer_is_told() -> None:
    console, stream = plain_console()
    listener = view(console)
    for number in range(8):
        listener.trial_finished(complete(number, 0.1 * number, 0.8 - 0.1 * number))
    listener.trial_finished(complete(8, 0.9, 0.15), left=[7])
    fronts = [line.split(" ", 2)[2] for line in stream.getvalue().splitlines() if "front" in line]
    assert fronts[5].count("trial") == 6
    assert fronts[6] == "trial 6 (60.0%, 20.0%) and 6 others, hypervolume 0.27"
    # It dominates trial 7.
    assert fronts[8] == "trial 8 (90.0%, 15.0%) and 7 others, hypervolume 0.315"


def test_json_lines_hold_every_event_and_are_valid_json() -> None:
    stream = io.StringIO()
    drive(view(json_lines=True, stream=stream))
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event.pop("event") for event in told] == [
        "sweep_started",
        "trial_started",
        "epoch_finished",
        "trial_finished",
        "trial_started",
        "trial_finished",
        "front_changed",
        "trial_finished",
        "sweep_finished",
    ]
    assert all(event.pop("time").endswith("+00:00") for event in told)
    assert told[1] == {
        "trial": 1,
        "parameters": {"training.learning_rate": 5e-4},
        "resumed": True,
    }
    assert told[2]["metrics"] == {"val/accuracy": 0.71, "val/robust_accuracy": None}
    assert told[5]["values"] == {"val/accuracy": 0.7, "val/robust_accuracy": 0.4}
    assert told[6]["front"] == [{"trial": 2, "values": told[5]["values"]}]
    assert told[7]["failure"] == "loss is nan in epoch 2"
    assert told[6]["hypervolume"] == pytest.approx(0.7 * 0.4)
    assert told[8].pop("hypervolume") == pytest.approx(0.7 * 0.4)
    assert told[8] == {
        "interrupted": False,
        "complete": 3,
        "failed": 1,
        "failures": {"error": 1},
        "front": [2],
    }


def test_json_lines_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    drive(view(json_lines=True))
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 9
    assert captured.err == ""


@pytest.fixture
def live() -> Iterator[tuple[ProgressView, Console]]:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    shown = view(console)
    yield shown, console
    shown.close()


def drawn(listener: ProgressView) -> str:
    assert listener._dashboard is not None
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(listener._dashboard.render())
    return capture.get()


@pytest.mark.usefixtures("clock")
def test_the_live_view_shows_what_runs_and_the_front(live: tuple[ProgressView, Console]) -> None:
    listener, _ = live
    listener.sweep_started([complete(0, 0.6, 0.2), failed(1)])
    listener.trial_started(2, {"method.hsplid.rho_s": 0.5}, resumed=False)
    listener.epoch_finished(2, 1, METRICS)
    listener.trial_started(3, {}, resumed=False)
    lines = [line.split() for line in drawn(listener).splitlines()]
    summary = "2 of 4 trials 2 running 1 failed (1 error) hypervolume 0.12"
    assert summary in " ".join(drawn(listener).split())
    assert ["2", "1/3", "71.0%", "-", "rho_s=0.5"] in lines
    assert ["3", "0/3", "-", "-"] in lines
    assert ["0", "60.0%", "20.0%"] in lines
    # Trial 2 has two of three epochs to go, trial 3 all of them, at 30.4 s a trial: the longer.
    assert "about 30 s left" in drawn(listener)


def test_the_live_view_gives_the_terminal_back(live: tuple[ProgressView, Console]) -> None:
    listener, console = live
    assert isinstance(console.file, io.StringIO)
    drive(listener)
    listener.close()
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    written = console.file.getvalue()
    assert written.count(hidden) == written.count(shown) == 1
    assert written.rindex(shown) > written.rindex(hidden)


@pytest.mark.parametrize("mode", ["plain", "live", "json"])
def test_calls_may_come_in_any_sane_order(mode: str) -> None:
    console = Console(file=io.StringIO(), force_terminal=mode == "live")
    listener = view(console, json_lines=mode == "json", stream=io.StringIO())
    listener.epoch_finished(7, 2, {})
    listener.trial_finished(complete(7, 0.5, 0.5))
    listener.trial_finished(failed(8))
    listener.trial_started(8, {}, resumed=True)
    listener.sweep_started([running(8), complete(7, 0.5, 0.5)])
    listener.sweep_finished([running(8), complete(7, 0.5, 0.5)], interrupted=True)
    listener.sweep_finished([], interrupted=True)


@pytest.mark.usefixtures("clock")
def test_a_plain_line_tells_how_far_the_trials_are() -> None:
    console, stream = plain_console()
    listener = view(console)
    listener.say_standing()
    listener.sweep_started([complete(0, 0.6, 0.2)])
    listener.trial_started(1, {}, resumed=False)
    listener.trial_started(2, {}, resumed=True)
    listener.epoch_finished(2, 2, METRICS)
    listener.say_standing()
    listener.close()
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines[0] == "0 of 4 done; no trial has a worker yet"
    assert lines[-1].startswith(
        "1 of 4 done; trial 1 in epoch 1 of 3; trial 2 in epoch 3 of 3; 30 s to "
    )


def test_plain_lines_go_on_by_themselves_until_the_end() -> None:
    said: list[int] = []
    third = threading.Event()

    def say() -> None:
        said.append(1)
        if len(said) == 3:
            third.set()

    lines = MinuteLines(say, pause_s=0.001)
    lines.start()
    assert third.wait(timeout=60)
    lines.stop()
    count = len(said)
    lines.start()
    lines.stop()
    assert len(said) == count


def test_pretraining_is_called_by_its_name() -> None:
    console, stream = plain_console()
    listener = ProgressView(
        1, GOALS, epochs=3, concurrency=1, console=console, is_pretraining=True
    )
    listener.sweep_started([])
    listener.trial_started(0, {}, resumed=False)
    listener.say_standing()
    listener.trial_finished(complete(0, 0.6, 0.2))
    listener.sweep_finished([complete(0, 0.6, 0.2)], interrupted=False)
    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == [
        "pretraining of the model that all trials start from",
        "pretraining starts",
        "pretraining in epoch 1 of 3",
        "pretraining complete in 30 s: clean accuracy 60.0%, robust accuracy 20.0%",
        "pretraining finished",
    ]


def test_markup_in_a_failure_is_printed_as_it_is() -> None:
    console, stream = plain_console()
    view(console).trial_finished(failed(0, "shape [3, 4] is not [/red]"))
    assert "shape [3, 4] is not [/red]" in stream.getvalue()


@pytest.mark.usefixtures("clock")
def test_time_left_counts_what_waits_and_what_runs() -> None:
    standing = SweepStatus(10, GOALS, epochs=4, concurrency=2)
    assert standing.seconds_left() is None
    standing.load([complete(0, 0.5, 0.5), failed(1)])
    # Eight trials of 30.4 s on two workers, give or take the half that one trial cannot tell; how
    # long a failed one took says nothing.
    margin = 1.28 * 0.5 * 30.4 * math.sqrt(8 + 64)
    ends = ((8 * 30.4 - margin) / 2, (8 * 30.4 + margin) / 2)
    assert standing.seconds_left() == pytest.approx(ends)
    standing.start(2, {}, resumed=True)
    standing.note_epoch(2, 3, {})
    margin = 1.28 * 0.5 * 30.4 * math.sqrt(7 + 49)
    ends = ((7.25 * 30.4 - margin) / 2, (7.25 * 30.4 + margin) / 2)
    assert standing.seconds_left() == pytest.approx(ends)


def test_costs_that_are_known_well_make_a_narrow_range() -> None:
    standing = SweepStatus(10, GOALS, epochs=4, concurrency=1)
    standing.load([dataclasses.replace(complete(n, 0.5, 0.5), seconds=60.0) for n in range(9)])
    assert standing.seconds_left() == (60, 60)
    assert standing.left_text() == "about 1 min 00 s left"
    stopped = dataclasses.replace(complete(8, 0.5, 0.5), values=None, state="stopped", seconds=6.0)
    standing.finish(stopped)
    low, high = standing.seconds_left() or (0, 0)
    assert (low + high) / 2 == pytest.approx((8 * 60 + 6) / 9)  # it is a trial's cost, too


def test_a_trial_of_another_kind_takes_its_own_time(clock: list[float]) -> None:
    cheap, dear = {"recipe": "cross_entropy"}, {"recipe": "cross_entropy+hsplid"}
    standing = SweepStatus(3, GOALS, epochs=4, concurrency=2)
    first = dataclasses.replace(complete(0, 0.5, 0.5), parameters=cheap, seconds=40.0)
    second = dataclasses.replace(complete(1, 0.5, 0.5), parameters=dear, seconds=120.0)
    standing.load([first, second])
    standing.start(2, dear)
    assert standing.seconds_left() == (120, 120)
    standing.start(2, cheap)
    assert standing.seconds_left() == (40, 40)
    clock[0] += 30  # of which the worker's start took 10
    standing.note_epoch(2, 1, {})
    clock[0] += 20
    standing.note_epoch(2, 2, {})
    assert standing.seconds_left() == (40, 40)  # its own two epochs of 20 s are left
    clock[0] += 5
    assert standing.seconds_left() == (35, 35)
    clock[0] += 500
    assert standing.seconds_left() == (0, 0)
    assert standing.left_text() == ""


def test_a_trial_that_ends_again_counts_once() -> None:
    standing = SweepStatus(4, GOALS, epochs=4, concurrency=1)
    for record in (failed(0), complete(1, 0.5, 0.25), complete(2, 0.4, 0.5), failed(0)):
        standing.finish(record)
    assert (standing.complete, standing.failed, standing.stopped) == (2, 1, 0)
    # From the worst possible shares, 0: 0.5 x 0.25 and 0.4 x 0.5, less what both cover.
    assert standing.hypervolume == pytest.approx(0.125 + 0.2 - 0.1)
    standing.start(0, {})
    assert (standing.failures, len(standing.finished)) == ({}, 2)
    standing.load([complete(1, 0.5, 0.25)])
    assert standing.complete == 1


def test_time_left_before_the_first_end_comes_from_the_epochs(
    clock: list[float],
) -> None:
    standing = SweepStatus(3, GOALS, epochs=4, concurrency=1)
    standing.start(0, {})
    clock[0] += 10
    standing.note_epoch(0, 1, {})
    low, high = standing.seconds_left() or (0, 0)
    assert (low + high) / 2 == pytest.approx(2.75 * 40)
