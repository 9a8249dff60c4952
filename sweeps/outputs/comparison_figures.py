"""Charts of several sweeps beside each other: fronts, hypervolumes, attained regions."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from sweeps.fronts.indicators import Points
from sweeps.fronts.selection import Selection
from sweeps.outputs.cost import History
from sweeps.outputs.figures import COLOURS, dressed
from sweeps.plots.front_plotly import axis_layout, error_bars, hover_text
from sweeps.plots.front_points import Point, make_picture
from sweeps.spec.objective import Objective
from sweeps.trials.labels import is_share, metric_label

_DASHES = ("dot", "solid", "dash")


def fronts_figure(selections: Mapping[str, Selection]) -> go.Figure:
    """Draw the fronts of sweeps over each other, by their first two objectives.

    Args:
        selections: Each sweep's trials under the same objectives, by its name.
    """
    figure = go.Figure()
    objectives = next(iter(selections.values())).objectives
    every = [record for selection in selections.values() for record in selection.records]
    whole = make_picture(every, objectives, None, None)
    for position, (name, selection) in enumerate(selections.items()):
        colour = COLOURS[position % len(COLOURS)]
        picture = make_picture(selection.records, objectives, None, None)
        front = sorted(picture.front, key=lambda point: whole.x.sign * point.x)
        shown = [
            (picture.dominated, "markers", {"color": colour, "size": 5, "opacity": 0.3}),
            (front, "lines+markers", {"color": colour, "size": 10}),
        ]
        for points, mode, marker in shown:
            figure.add_scatter(
                **_places(points),
                mode=mode,
                marker=marker,
                # From a point towards the better side of the first objective, the next one rules.
                line={"shape": "vh", "color": colour, "width": 2},
                name=html.escape(name),
                legendgroup=name,
                showlegend=points is front,
                hovertext=[
                    f"{html.escape(name)}, {hover_text(point.record, objectives)}"
                    for point in points
                ],
                hovertemplate="%{hovertext}<extra></extra>",
                **(error_bars(points) if points is front else {}),
            )
    figure.update_xaxes(**axis_layout(whole.x))
    figure.update_yaxes(**axis_layout(whole.y))
    return dressed(figure, height=480, legend=True)


def _places(points: Sequence[Point]) -> dict[str, list[float]]:
    return {"x": [point.x for point in points], "y": [point.y for point in points]}


def histories_figure(histories: Mapping[str, History], way: str) -> go.Figure:
    """Draw the hypervolumes of sweeps over what they have spent.

    Args:
        histories: By the sweeps' names.
        way: What is spent: ``epochs``, or the hours of a device in words.
    """
    figure = go.Figure()
    for position, (name, history) in enumerate(histories.items()):
        figure.add_scatter(
            x=history.epochs if way == "epochs" else history.device_hours,
            y=history.hypervolumes,
            mode="lines",
            line={"shape": "hv", "color": COLOURS[position % len(COLOURS)], "width": 2},
            name=html.escape(name),
            hovertemplate=f"{html.escape(name)}<br>%{{x:.4g}} {way}<br>%{{y:.5g}}<extra></extra>",
        )
    figure.update_xaxes(title=way, rangemode="tozero")
    figure.update_yaxes(title="hypervolume")
    return dressed(figure, height=340, legend=True)


def attainment_figure(
    surfaces: Mapping[str, Points], objectives: Sequence[Objective]
) -> go.Figure:
    """Draw the regions that so many fronts have reached.

    Args:
        surfaces: Corners [K, 2] of each region, by what it is, from the largest to the smallest.
        objectives: The two objectives.
    """
    figure = go.Figure()
    sign = 1 if objectives[0].direction == "maximize" else -1
    for (name, corners), dash in zip(surfaces.items(), _DASHES, strict=False):
        ordered = corners[np.lexsort((corners[:, 1], sign * corners[:, 0]))]
        figure.add_scatter(
            x=ordered[:, 0],
            y=ordered[:, 1],
            mode="lines+markers",
            line={"shape": "vh", "color": COLOURS[0], "width": 2, "dash": dash},
            marker={"size": 5},
            name=name,
        )
    for update, objective in zip(
        (figure.update_xaxes, figure.update_yaxes), objectives, strict=True
    ):
        update(
            title=html.escape(metric_label(objective.metric)),
            tickformat=".1%" if is_share(objective.metric) else None,
        )
    return dressed(figure, height=380, legend=True)
