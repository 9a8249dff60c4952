from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from sweeps.plots.front_plotly import interactive_front
from sweeps.plots.front_png import front_figure, write_front
from sweeps.plots.front_points import SeedSpread, make_picture
from sweeps.spec.objective import Objective
from sweeps.trials.record import TrialRecord
from tests.sweeps.records import GOALS, complete, failed, running, warned

RECORDS = [
    complete(0, 0.80, 0.30, on_front=False),
    complete(1, 0.85, 0.50),
    complete(2, 0.90, 0.40),
    failed(3),
    running(4),
]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for each in figure.legends for text in each.get_texts()]


def test_points_line_and_marks_of_the_figure() -> None:
    figure = front_figure(
        RECORDS, GOALS, title="coco_hsplid", start=(0.82, 0.1), is_demo=True, paper_trial=0
    )
    axes = figure.axes[0]
    assert legend(figure) == [
        "dominated",
        "Pareto front",
        "paper's values (trial 0)",
        "pretrained start",
    ]
    points = [np.asarray(each.get_offsets()).tolist() for each in axes.collections]
    assert points == [
        [[0.80, 0.30]],
        [[0.85, 0.50], [0.90, 0.40]],
        [[0.80, 0.30]],
        [[0.82, 0.10]],
    ]
    corners = np.asarray(axes.lines[0].get_xydata())
    assert corners[1:-1].tolist() == [[0.85, 0.50], [0.85, 0.40], [0.90, 0.40]]
    assert texts(figure) == ["1", "2", "0"]
    assert axes.get_title("left") == "coco_hsplid"
    assert axes.get_title("right") == "demo data"
    assert axes.get_xlabel() == "clean accuracy (higher is better)"
    assert axes.xaxis.get_major_formatter()(0.85) == "85%"
    assert axes.xaxis.get_major_formatter()(0.8525) == "85.25%"


@pytest.mark.parametrize(
    "directions", [("maximize", "maximize"), ("minimize", "maximize"), ("minimize", "minimize")]
)
def test_nothing_lies_beyond_the_line(directions: Any) -> None:
    goals = [Objective(f"m{i}", direction) for i, direction in enumerate(directions)]
    signs = [1 if direction == "maximize" else -1 for direction in directions]
    front = [
        complete(i, signs[0] * x, signs[1] * y)
        for i, (x, y) in enumerate([(1, 5), (2, 4), (4, 1)])
    ]
    picture = make_picture(front, goals, None, None)
    corners = [(signs[0] * x, signs[1] * y) for x, y in picture.staircase]
    assert corners[1:-1] == [(1, 5), (1, 4), (2, 4), (2, 1), (4, 1)]
    # Both ends run out to the worse edges.
    assert corners[0][0] < 1
    assert corners[0][1] == 5
    assert corners[-1][0] == 4
    assert corners[-1][1] < 1


@pytest.mark.parametrize(
    "records",
    [[], [failed(0)], [complete(0, 0.5, 0.5)], [complete(i, 0.5, 0.5) for i in range(3)]],
)
def test_few_trials_still_make_pictures(records: list[TrialRecord], tmp_path: Path) -> None:
    png = tmp_path / "new" / "front.png"
    write_front(records, GOALS, png, title="few")
    assert imread(png).shape[:2] == (840, 1200)
    assert ("no complete trial yet" in texts(front_figure(records, GOALS, title="few"))) == (
        not any(record.values for record in records)
    )


@pytest.mark.parametrize("values", [[0.5], [0.47, 0.53], [0.98, 0.99], [0.01, 0.03], [0.2, 0.7]])
def test_an_axis_of_shares_spans_twenty_points_or_more(values: list[float]) -> None:
    records = [complete(n, value, 0.5) for n, value in enumerate(values)]
    axis = make_picture(records, GOALS, None, None).x
    assert axis.high - axis.low == pytest.approx(max(0.2, 1.2 * (max(values) - min(values))))
    assert axis.low < min(values)
    assert axis.high > max(values)
    assert -0.021 < axis.low < axis.high < 1.021


def test_the_spread_of_seeds_is_drawn_with_its_bars_inside_the_picture() -> None:
    seeds = [SeedSpread("trial 1", (0.6, 0.3), (0.1, 0.05))]
    picture = make_picture(RECORDS, GOALS, None, None, seeds)
    assert picture.x.low < 0.5
    drawn = interactive_front(picture, GOALS, {})
    (bars,) = (trace for trace in drawn.data if trace.name == "new seeds, mean ± sd")
    assert (bars.x, bars.y) == ((0.6,), (0.3,))
    assert (bars.error_x.array, bars.error_y.array) == ((0.1,), (0.05,))
    assert "clean accuracy: 60.0% ± 10.0%" in bars.hovertext[0]


def test_the_deviations_over_a_trials_seeds_are_drawn_in_both_pictures() -> None:
    own = {"sd/val/accuracy": 0.05, "sd/val/robust_accuracy": 0.02, "seeds": 3.0}
    several = complete(0, 0.6, 0.5)
    several = dataclasses.replace(several, metrics={**several.metrics, **own})
    picture = make_picture([several, complete(1, 0.55, 0.55)], GOALS, None, None)
    assert [point.sd for point in picture.front] == [(0.05, 0.02), (0.0, 0.0)]
    assert picture.x.low < 0.55 < 0.65 < picture.x.high
    drawn = interactive_front(picture, GOALS, {})
    (front,) = [trace for trace in drawn.data if trace.name == "Pareto front"]
    assert (front.error_x.array, front.error_y.array) == ((0.05, 0.0), (0.02, 0.0))
    assert "60.0%</b> ± 5.0 (3 seeds)" in front.hovertext[0]
    (axes,) = front_figure([several, complete(1, 0.55, 0.55)], GOALS, title="x").axes
    assert len(axes.containers) == 1  # bars of the one that has some


def test_trials_with_equal_values_share_a_label() -> None:
    figure = front_figure([complete(i, 0.5, 0.5) for i in range(3)], GOALS, title="ties")
    assert texts(figure) == ["0, 1, 2"]


def test_a_thousand_trials_are_not_buried_under_their_labels() -> None:
    angles = np.linspace(0, np.pi / 2, 500)
    front = [complete(i, np.sin(a), np.cos(a)) for i, a in enumerate(angles)]
    others = [
        complete(500 + i, 0.5 * np.sin(a), 0.4, on_front=False) for i, a in enumerate(angles)
    ]
    labels = texts(front_figure(front + others, GOALS, title="many"))
    assert 10 < len(labels) < 60
    assert not any(int(label) >= 500 for label in labels)


def test_one_objective_is_drawn_over_the_trials_numbers() -> None:
    records = [complete(0, 0.6, on_front=False), complete(1, 0.8)]
    figure = front_figure(records, GOALS[:1], title="pretrain", start=(0.5,), paper_trial=None)
    axes = figure.axes[0]
    assert axes.get_xlabel() == "trial"
    assert legend(figure) == ["dominated", "best"]
    assert [np.asarray(c.get_offsets()).tolist() for c in axes.collections] == [
        [[0, 0.6]],
        [[1, 0.8]],
    ]


def test_three_objectives_show_the_first_two_without_a_line() -> None:
    goals = [*GOALS, Objective("seconds", "minimize")]
    records = [complete(0, 0.9, 0.5, 30.0), complete(1, 0.8, 0.4, 20.0)]
    axes = front_figure(records, goals, title="three").axes[0]
    assert len(axes.lines) == 0
    assert np.asarray(axes.collections[0].get_offsets()).tolist() == [[0.9, 0.5], [0.8, 0.4]]


def test_the_interactive_front_shows_parameters_and_carries_addresses() -> None:
    picture = make_picture(RECORDS, GOALS, (0.82, 0.1), 0)
    figure = interactive_front(picture, GOALS, {2: "http://ui/2"})
    drawn = {trace.name or "line": trace for trace in figure.data}
    front = drawn["Pareto front"]
    assert front.text == ("1", "2")
    assert front.customdata == (None, "http://ui/2")
    assert front.hovertext[0] == (
        "<b>trial 1</b><br>clean accuracy: <b>85.0%</b><br>robust accuracy: <b>50.0%</b><br>30 s"
        "<br>method.hsplid.rho_s = 0.5<br>training.learning_rate = 0.0005"
        "<br>training.weight_decay = 2e-05"
    )
    assert "10.0%" in drawn["pretrained start"].hovertemplate
    assert drawn["paper's values (trial 0)"].hovertext[0].startswith("<b>trial 0</b>")
    assert "line" in drawn


def test_what_is_in_doubt_is_marked_in_both_pictures() -> None:
    records = [*RECORDS[:2], warned(RECORDS[2], "zero_gradients")]
    figure = front_figure(records, GOALS, title="doubt", paper_trial=None)
    assert legend(figure) == ["dominated", "Pareto front", "has warnings"]
    assert np.asarray(figure.axes[0].collections[2].get_offsets()).tolist() == [[0.9, 0.4]]
    drawn = interactive_front(make_picture(records, GOALS, None, None), GOALS, {})
    (mark,) = (trace for trace in drawn.data if trace.name == "has warnings")
    assert (mark.x, mark.y) == ((0.9,), (0.4,))
    assert "warned: message of zero_gradients" in mark.hovertext[0]


def test_drawing_leaves_no_global_state() -> None:
    front_figure(RECORDS, GOALS, title="x")
    if "matplotlib.pyplot" in sys.modules:  # another library's doing
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []
