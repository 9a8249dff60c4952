"""The Pareto front as a PNG; :mod:`sweeps.report` has the one to explore.

It shows the first two objectives. With three or more the line of the front is left out, since a
front in three dimensions is no staircase in two; with one objective its values are drawn over the
trials' numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hsplid_core.files import replacing
from sweeps.plots.front_points import (
    DEMO_NOTE,
    DOMINATED_COLOUR,
    EMPTY_NOTE,
    FRONT_COLOUR,
    PAPER_COLOUR,
    START_COLOUR,
    WARNED_COLOUR,
    WARNED_LABEL,
    Axis,
    Picture,
    Point,
    make_picture,
)
from sweeps.spec.objective import Objective
from sweeps.trials.labels import START_LABEL
from sweeps.trials.record import TrialRecord

_MAX_DOMINATED_LABELS = 20  # more would hide what they name

# Room that a label takes, as shares of the axes; another one that near would overprint it.
_LABEL_WIDTH, _LABEL_HEIGHT = 0.045, 0.04


def front_figure(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    *,
    title: str,
    start: tuple[float, ...] | None = None,
    is_demo: bool = False,
    paper_trial: int | None = None,
) -> Figure:
    """Draw the front with matplotlib.

    Args:
        records: Trials in any order and state; only complete ones are drawn.
        objectives: The sweep's objectives; the first two are drawn.
        title: Heading.
        start: Objectives of the pretrained model that the trials started from; None where there
            is none.
        is_demo: Say in the picture that the numbers come from the demo data.
        paper_trial: Number of the trial with the published values; None where there is none.

    Returns:
        A figure that belongs to no window and to no global state.
    """
    picture = make_picture(records, objectives, start, paper_trial)
    figure = Figure(figsize=(8, 5.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=10, parse_math=False)
    if is_demo:
        axes.set_title(DEMO_NOTE, loc="right", fontsize=10, color="#595959", style="italic")
    _dress_axes(axes, picture)
    _draw_front(axes, picture)
    _draw_deviations(axes, picture)
    _draw_marks(axes, picture)
    _label_points(axes, picture.front, picture)
    if len(picture.dominated) <= _MAX_DOMINATED_LABELS:
        _label_points(axes, picture.dominated, picture)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(
            loc="outside lower center", ncols=5, columnspacing=1.2, frameon=False, fontsize=9
        )
    else:
        axes.text(0.5, 0.5, EMPTY_NOTE, transform=axes.transAxes, ha="center", color="#595959")
    return figure


def write_front(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    path: Path,
    *,
    title: str,
    start: tuple[float, ...] | None = None,
    is_demo: bool = False,
    paper_trial: int | None = None,
) -> None:
    """Write the picture of :func:`front_figure`, whose arguments these are, as a PNG.

    Args:
        records: Trials in any order and state; only complete ones are drawn.
        objectives: The sweep's objectives; the first two are drawn.
        path: File to write or replace; its folder is created.
        title: Heading.
        start: Objectives of the pretrained model that the trials started from; None where there
            is none.
        is_demo: Say in the picture that the numbers come from the demo data.
        paper_trial: Number of the trial with the published values; None where there is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = front_figure(
        records,
        objectives,
        title=title,
        start=start,
        is_demo=is_demo,
        paper_trial=paper_trial,
    )
    with replacing(path) as file:
        figure.savefig(file, format="png")


def _dress_axes(axes: Axes, picture: Picture) -> None:
    for axis, drawn in ((picture.x, axes.xaxis), (picture.y, axes.yaxis)):
        drawn.set_label_text(axis.label, fontsize=11, parse_math=False)
        if axis.is_share:
            drawn.set_major_formatter(FuncFormatter(_percent))
    if picture.x.label == "trial":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(picture.x.low, picture.x.high)
    axes.set_ylim(picture.y.low, picture.y.high)
    axes.grid(color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_front(axes: Axes, picture: Picture) -> None:
    if picture.staircase:
        corners = np.array(picture.staircase)
        region = np.vstack([corners, (picture.x.worst, picture.y.worst)])
        axes.fill(*region.T, color=FRONT_COLOUR, alpha=0.06, linewidth=0)
        axes.plot(*corners.T, color=FRONT_COLOUR, linewidth=1.6, zorder=2)
    if picture.dominated:
        axes.scatter(
            *_places(picture.dominated),
            s=28,
            color=DOMINATED_COLOUR,
            alpha=0.65,
            linewidths=0,
            label="dominated",
            zorder=3,
        )
    if picture.front:
        axes.scatter(
            *_places(picture.front),
            s=60,
            color=FRONT_COLOUR,
            edgecolors="white",
            label=picture.front_label,
            zorder=4,
        )


def _draw_deviations(axes: Axes, picture: Picture) -> None:
    for points, colour in ((picture.dominated, DOMINATED_COLOUR), (picture.front, FRONT_COLOUR)):
        several = [point for point in points if any(point.sd)]
        if several:
            x_sds, y_sds = zip(*(point.sd for point in several), strict=True)
            axes.errorbar(
                *_places(several), xerr=x_sds, yerr=y_sds, fmt="none", ecolor=colour, zorder=3
            )


def _draw_marks(axes: Axes, picture: Picture) -> None:
    if picture.warned:
        axes.scatter(
            *_places(picture.warned),
            s=330,
            marker="^",
            facecolors="none",
            edgecolors=WARNED_COLOUR,
            linewidths=2,
            label=WARNED_LABEL,
            zorder=5,
        )
    if picture.paper is not None:
        axes.scatter(
            *_places([picture.paper]),
            s=150,
            marker="D",
            facecolors="none",
            edgecolors=PAPER_COLOUR,
            linewidths=2,
            label=f"paper's values (trial {picture.paper.record.number})",
            zorder=5,
        )
    if picture.start is not None:
        x, y = picture.start
        axes.scatter([x], [y], s=110, marker="X", color=START_COLOUR, label=START_LABEL, zorder=5)


def _label_points(axes: Axes, points: Sequence[Point], picture: Picture) -> None:
    # Trials with equal values share a label.
    shared: defaultdict[tuple[float, float], list[Point]] = defaultdict(list)
    for point in points:
        shared[point.x, point.y].append(point)
    for place in _apart(list(shared), picture):
        on_front = shared[place][0].record.on_front
        # Beyond the front no trial can lie, so its labels go to the better side, the others' to
        # the worse one.
        x_side, y_side = (_side(axis, on_front) for axis in (picture.x, picture.y))
        axes.annotate(
            ", ".join(str(point.record.number) for point in shared[place]),
            place,
            xytext=(6 * x_side, 6 * y_side),
            textcoords="offset points",
            ha="left" if x_side > 0 else "right",
            va="bottom" if y_side > 0 else "top",
            fontsize=9.5 if on_front else 7.5,
            fontweight="bold" if on_front else "normal",
            color=FRONT_COLOUR if on_front else "#6E6E6E",
            zorder=6,
        )


def _apart(places: Sequence[tuple[float, float]], picture: Picture) -> list[tuple[float, float]]:
    """Choose places, in order, that leave each other room for a label."""
    width = _LABEL_WIDTH * (picture.x.high - picture.x.low)
    height = _LABEL_HEIGHT * (picture.y.high - picture.y.low)
    chosen: list[tuple[float, float]] = []
    for x, y in places:
        if all(abs(x - cx) > width or abs(y - cy) > height for cx, cy in chosen):
            chosen.append((x, y))
    return chosen


def _percent(value: float, _position: int | None = None) -> str:
    return f"{round(100 * value, 4):g}%"


def _side(axis: Axis, on_front: bool) -> int:
    return axis.sign if on_front else -axis.sign


def _places(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [point.x for point in points], [point.y for point in points]
