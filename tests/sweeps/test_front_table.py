from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rich.console import Console

from sweeps.fronts.start import shortfall_text
from sweeps.spec.objective import Objective
from sweeps.terminal.trial_table import failure_lines, pareto_table
from sweeps.trials.labels import duration_text, number_text, short_names
from sweeps.trials.record import TrialRecord
from tests.sweeps.records import GOALS, complete, failed, running, warned

RECORDS = [
    complete(0, 0.80, 0.30, on_front=False),
    complete(1, 0.85, 0.50),
    complete(2, 0.90, 0.40),
    failed(3),
    failed(4),
    running(5),
]


def printed(
    records: list[TrialRecord], width: int = 100, *, max_dominated: int | None = 10
) -> str:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(pareto_table(records, GOALS, max_dominated=max_dominated))
    return capture.get()


def test_the_front_comes_first_then_the_others() -> None:
    rows = [line.split() for line in printed(RECORDS).splitlines() if "%" in line]
    assert rows == [
        ["2", "*", "90.0%", "40.0%", "12", "30", "rho_s=1", "decay=3e-5"],
        ["1", "*", "85.0%", "50.0%", "11", "30", "rho_s=0.5", "decay=2e-5"],
        ["0", "80.0%", "30.0%", "10", "30", "decay=1e-5"],
    ]


def test_the_means_over_seeds_show_their_deviations() -> None:
    own = {"sd/val/accuracy": 0.0214, "sd/val/robust_accuracy": 0.1, "seeds": 3.0}
    errors = {"val/robust_accuracy_error": 0.088}
    seeded = replace(RECORDS[0], metrics={**RECORDS[0].metrics, **own, **errors})
    text = printed([seeded, *RECORDS[1:]], width=160)
    assert "80.0% ± 2.1 (3 seeds)" in text
    assert "30.0% ± 10.0 (3 seeds)" in text
    assert "± with seeds: mean and one standard deviation over them" in text
    assert "standard error" not in text


def test_an_objective_of_few_images_shows_its_error() -> None:
    metric = "val/robust_accuracy_error"
    measured = [replace(r, metrics={**r.metrics, metric: 0.088}) for r in RECORDS[:2]]
    text = printed(measured)
    assert "50.0% ± 8.8" in text
    assert "85.0% ±" not in text
    assert "± one standard error over the images that were attacked" in text
    assert "±" not in printed(RECORDS)


def test_failures_are_counted_below_with_their_reason() -> None:
    assert "2 failed (trials 3, 4): loss is nan in epoch 2" in printed(RECORDS)


def test_trials_with_warnings_carry_a_mark_and_the_caption_says_why() -> None:
    records = [warned(RECORDS[0], "zero_gradients"), warned(RECORDS[1], "zero_gradients")]
    lines = printed([*records, *RECORDS[2:]]).splitlines()
    assert [line[:8].split() for line in lines if "%" in line] == [
        ["2", "*"],
        ["1", "*!"],
        ["0", "!"],
    ]
    assert "! trials 0, 1 warned: zero gradients" in "\n".join(lines)


@pytest.mark.parametrize("records", [RECORDS, RECORDS[:1], []])
def test_the_start_is_a_row_below_the_front(records: list[TrialRecord]) -> None:
    console = Console(width=100, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(pareto_table(records, GOALS, start=(0.6, 0.25)))
    rows = [line.split()[0] for line in capture.get().splitlines() if "%" in line]
    numbers = [str(record.number) for record in records if record.values]
    assert rows == {3: ["2", "1", "start", "0"], 1: ["start", "0"], 0: ["start"]}[len(numbers)]
    assert ["start", "60.0%", "25.0%"] in [line.split()[:3] for line in capture.get().splitlines()]
    assert "pretrained start" in capture.get()


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (None, None),
        ((0.85, 0.39), None),  # trial 2 is better in both
        ((0.9, 0.39), None),  # and no worse in one of them
        (
            (0.95, 0.1),
            "No trial dominates the pretrained start (clean accuracy 95.0%, robust accuracy "
            "10.0%).",
        ),
        (
            (0.9, 0.5),
            "No trial dominates the pretrained start (clean accuracy 90.0%, robust accuracy "
            "50.0%), whose hypervolume of 0.45 is above the front's 0.445: the sweep ended below "
            "its start.",
        ),
    ],
)
def test_a_start_that_nothing_dominates_is_told(
    start: tuple[float, float] | None, told: str | None
) -> None:
    assert shortfall_text(RECORDS, GOALS, start) == told
    assert shortfall_text(RECORDS[3:], GOALS, start) is None


def test_with_one_objective_the_better_one_dominates() -> None:
    records = [complete(0, 0.6)]
    assert shortfall_text(records, GOALS[:1], (0.5,)) is None
    assert shortfall_text(records, GOALS[:1], (0.7,)) == (
        "No trial dominates the pretrained start (clean accuracy 70.0%)."
    )


def test_the_best_of_each_objective_stands_out() -> None:
    table = pareto_table(RECORDS, GOALS)
    console = Console(width=100, color_system="standard", force_terminal=True)
    with console.capture() as capture:
        console.print(table)
    assert re.findall(r"\x1b\[1;32m *([\d.]+%)", capture.get()) == ["90.0%", "50.0%"]


@pytest.mark.parametrize("width", [100, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    many = {f"method.hsplid.parameter_number_{i}": 0.1 * i for i in range(20)}
    records = [
        replace(record, parameters={**many, "method.hsplid.rho_s": float(record.number)})
        for record in RECORDS
    ]
    lines = printed(records, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "rho_s=2" in "".join(lines)


def test_more_dominated_trials_than_wanted_are_counted() -> None:
    text = printed(RECORDS, max_dominated=0)
    assert "80.0%" not in text
    assert "1 more dominated trials are not shown" in text


@pytest.mark.parametrize("records", [[], [RECORDS[3]], [RECORDS[5]]])
def test_a_sweep_without_a_complete_trial_still_has_a_table(records: list[TrialRecord]) -> None:
    assert "trial" in printed(records)


def test_smaller_is_first_where_smaller_is_better() -> None:
    goals = [Objective("val/loss", "minimize")]
    records = [
        replace(record, values=record.values[:1], on_front=False)
        for record in RECORDS
        if record.values
    ]
    table = pareto_table(records, goals)
    assert [str(cell) for cell in table.columns[1].cells] == ["0.8", "0.85", "0.9"]


def test_a_long_reason_is_cut_and_the_most_frequent_comes_first() -> None:
    lines = failure_lines([failed(i, "x" * 500 if i else "rare") for i in range(8)])
    assert lines[0].startswith("7 failed (trials 1, 2, 3, 4, 5, ...): xxx")
    assert lines[0].endswith("x...")
    assert lines[1] == "1 failed (trial 0): rare"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.5, "0.5"),
        (5e-4, "5e-4"),
        (5.12e-4, "5.1e-4"),
        (0.0123, "0.012"),
        (8.0, "8"),
        (123.0, "123"),
        (1.2e6, "1.2e6"),
        (-3e-5, "-3e-5"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_are_written_short(value: float, text: str) -> None:
    assert number_text(value) == text


def test_names_are_shortened_as_far_as_they_stay_apart() -> None:
    paths = ["method.hsplid.sigma", "method.sib.sigma", "training.learning_rate", "seed"]
    assert list(short_names(["method.sparsity.weight"]).values()) == ["sparsity.weight"]
    assert list(short_names(paths).values()) == ["hsplid.sigma", "sib.sigma", "lr", "seed"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (1500, "25 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
