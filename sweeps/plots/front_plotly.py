"""The front as an interactive plotly figure."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from sweeps.plots.front_points import (
    DOMINATED_COLOUR,
    EMPTY_NOTE,
    FRONT_COLOUR,
    PAPER_COLOUR,
    SEEDS_LABEL,
    WARNED_COLOUR,
    WARNED_LABEL,
    Axis,
    Picture,
    Point,
    SeedSpread,
)
from sweeps.spec.objective import Objective
from sweeps.trials.labels import (
    START_LABEL,
    deviation_text,
    metric_label,
    metric_text,
    value_text,
)
from sweeps.trials.record import TrialRecord

_NONE: Mapping[str, float] = {}
_DOMINATED_MARKER = {"color": DOMINATED_COLOUR, "size": 8, "opacity": 0.65}
_FRONT_MARKER = {"color": FRONT_COLOUR, "size": 12, "line": {"color": "white", "width": 1}}
_PAPER_MARKER = {
    "symbol": "diamond-open",
    "color": PAPER_COLOUR,
    "size": 18,
    "line": {"width": 3},
}
_WARNED_MARKER = {
    "symbol": "triangle-up-open",
    "color": WARNED_COLOUR,
    "size": 27,
    "line": {"width": 3},
}
# Not the black of the PNG: the page may be dark.
_START_MARKER = {"symbol": "x", "color": "#009E73", "size": 12}


# Not optuna.visualization.plot_pareto_front: it wants a study where we have records, draws no
# line, pours a trial's raw attributes into the hover text and colours points by trial number.
def interactive_front(
    picture: Picture, objectives: Sequence[Objective], links: Mapping[int, str]
) -> go.Figure:
    """Draw the front with plotly; pointing at a trial shows all its parameters.

    Args:
        picture: What to draw.
        objectives: The sweep's objectives, for the hover text.
        links: Address of a trial's own page by its number; a point carries it as custom data.
    """
    figure = go.Figure()
    if picture.staircase:
        xs, ys = zip(*picture.staircase, strict=True)
        line = {"color": FRONT_COLOUR, "width": 2}
        figure.add_scatter(x=xs, y=ys, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    _add_trials(figure, picture.dominated, objectives, links, "dominated", _DOMINATED_MARKER)
    _add_trials(figure, picture.front, objectives, links, picture.front_label, _FRONT_MARKER)
    _number(figure, picture)
    _add_trials(figure, picture.warned, objectives, links, WARNED_LABEL, _WARNED_MARKER)
    if picture.paper is not None:
        name = f"paper's values (trial {picture.paper.record.number})"
        _add_trials(figure, [picture.paper], objectives, links, name, _PAPER_MARKER)
    if picture.start is not None:
        _add_start(figure, picture.start, objectives)
    if picture.seeds:
        _add_seeds(figure, picture.seeds, objectives)
    if not (picture.front or picture.dominated):
        figure.add_annotation(
            text=EMPTY_NOTE, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False
        )
    figure.update_layout(
        hoverlabel={"align": "left", "font": {"size": 12}},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "xanchor": "left"},
    )
    figure.update_xaxes(**axis_layout(picture.x))
    figure.update_yaxes(**axis_layout(picture.y))
    return figure


def _number(figure: go.Figure, picture: Picture) -> None:
    vertical = "top" if picture.y.sign > 0 else "bottom"
    horizontal = "right" if picture.x.sign > 0 else "left"
    figure.update_traces(
        selector={"name": picture.front_label},
        mode="markers+text",
        text=[str(point.record.number) for point in picture.front],
        textposition=f"{vertical} {horizontal}",
    )


def _add_seeds(
    figure: go.Figure, seeds: Sequence[SeedSpread], objectives: Sequence[Objective]
) -> None:
    (xs, ys), (x_sds, y_sds) = (
        tuple(zip(*(getattr(spread, name) for spread in seeds), strict=True))
        for name in ("mean", "sd")
    )
    figure.add_scatter(
        x=xs,
        y=ys,
        error_x={"array": x_sds, "thickness": 1.5},
        error_y={"array": y_sds, "thickness": 1.5},
        mode="markers",
        marker={"symbol": "square", "color": "#E69F00", "size": 7},
        name=SEEDS_LABEL,
        hovertext=[
            "<br>".join(
                [f"<b>{html.escape(spread.name)}</b>, {SEEDS_LABEL}"]
                + [
                    f"{metric_label(objective.metric)}: {metric_text(objective.metric, mean)} ± "
                    f"{metric_text(objective.metric, sd)}"
                    for objective, mean, sd in zip(
                        objectives, spread.mean, spread.sd, strict=False
                    )
                ]
            )
            for spread in seeds
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _add_start(
    figure: go.Figure, start: tuple[float, float], objectives: Sequence[Objective]
) -> None:
    lines = [f"<b>{START_LABEL}</b>", *_objective_lines(start, objectives)]
    figure.add_scatter(
        x=[start[0]],
        y=[start[1]],
        mode="markers",
        marker=_START_MARKER,
        name=START_LABEL,
        hovertemplate="<br>".join(lines) + "<extra></extra>",
    )


def axis_layout(axis: Axis) -> dict[str, object]:
    """Return the settings of one of plotly's axes."""
    decimals = 0 if axis.high - axis.low > 0.05 else 1
    tickformat = f".{decimals}%" if axis.is_share else None
    return {
        "title": html.escape(axis.label),
        "range": [axis.low, axis.high],
        "tickformat": tickformat,
    }


def _add_trials(
    figure: go.Figure,
    points: Sequence[Point],
    objectives: Sequence[Objective],
    links: Mapping[int, str],
    name: str,
    marker: Mapping[str, object],
) -> None:
    if not points:
        return
    figure.add_scatter(
        x=[point.x for point in points],
        y=[point.y for point in points],
        mode="markers",
        marker=marker,
        name=name,
        hovertext=[hover_text(point.record, objectives) for point in points],
        customdata=[links.get(point.record.number) for point in points],
        **error_bars(points),
        hovertemplate="%{hovertext}<extra></extra>",
    )


def error_bars(points: Sequence[Point]) -> dict[str, object]:
    """Draw the deviations over the seeds of those trials that have several."""
    if not any(any(point.sd) for point in points):
        return {}
    sds = zip(*(point.sd for point in points), strict=True)
    return {
        name: {"array": values, "thickness": 1.5}
        for name, values in zip(("error_x", "error_y"), sds, strict=True)
    }


def hover_text(record: TrialRecord, objectives: Sequence[Objective]) -> str:
    """Say all that is shown of a trial where one points at it, as plotly's HTML."""
    lines = [
        f"<b>trial {record.number}</b>",
        *_objective_lines(record.values or (), objectives, record.metrics),
    ]
    lines += [html.escape(f"warned: {message}") for message in record.warnings.values()]
    if record.seconds is not None:
        lines.append(f"{record.seconds:.0f} s")
    lines += [
        html.escape(f"{path} = {value_text(value, digits=6)}")
        for path, value in sorted(record.parameters.items())
    ]
    return "<br>".join(lines)


def _objective_lines(
    values: Sequence[float], objectives: Sequence[Objective], metrics: Mapping[str, float] = _NONE
) -> list[str]:
    return [
        f"{html.escape(metric_label(goal.metric))}: <b>{metric_text(goal.metric, value)}</b>"
        f"{deviation_text(metrics, goal.metric)}"
        for goal, value in zip(objectives, values, strict=False)
    ]
