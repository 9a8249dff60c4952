"""The report's charts: Optuna's own where they exist, else plain plotly.

Colours come from a palette that reads on light and on dark paper. Text and grid take the page's,
which the page's script sets.
"""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from sweeps.fronts.importances import Importances, parameter_names
from sweeps.fronts.selection import Selection
from sweeps.outputs.cost import History
from sweeps.outputs.robust_curves import RobustCurve
from sweeps.plots.front_plotly import interactive_front
from sweeps.plots.front_points import FRONT_COLOUR, SeedSpread, make_picture
from sweeps.spec.objective import Objective
from sweeps.trials.labels import START_LABEL, is_share, metric_label, metric_text
from sweeps.trials.learning_curves import Curve
from sweeps.trials.record import TrialRecord

# Of Okabe and Ito's palette, what is told apart on white and on near-black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_START_LINE = {"color": "#8C8C8C", "dash": "dash", "width": 3}
LEAST_SHARE = 0.01
_MOST_CURVES = 8
_FEW_POINTS = 4  # of a learning curve, on average
# From those that matter least, which are drawn first.
_CURVE_LINES: Mapping[str, Mapping[str, object]] = {
    "failed": {"color": "#CC79A7", "width": 1, "dash": "dot"},
    "stopped": {"color": "#E69F00", "width": 1},
    "complete": {"color": "#8C8C8C", "width": 1},
    "running": {"color": "#009E73", "width": 2},
    "on the front": {"color": FRONT_COLOUR, "width": 2},
}
# The page's script looks for this word.
KEEPS_ITS_COLOURS = "keeps-its-colours"


def front_figure(
    selection: Selection,
    links: Mapping[int, str],
    paper_trial: int | None,
    seeds: Sequence[SeedSpread] = (),
) -> go.Figure:
    """Draw the front; each point carries the address that a click opens."""
    picture = make_picture(
        selection.records, selection.objectives, selection.start, paper_trial, seeds
    )
    figure = interactive_front(picture, selection.objectives, links)
    return dressed(figure, height=480)


def history_figures(history: History) -> list[go.Figure]:
    """Draw the hypervolume over hours, and over hours of the device."""
    axes = [
        (history.hours, "hours since the first trial began"),
        (history.device_hours, f"{history.device} hours"),
    ]
    return [_history(history, hours, label) for hours, label in axes]


def _history(history: History, hours: Sequence[float], label: str) -> go.Figure:
    figure = go.Figure()
    figure.add_scatter(
        x=hours,
        y=history.hypervolumes,
        mode="lines+markers",
        line={"shape": "hv", "color": FRONT_COLOUR, "width": 2},
        marker={"size": 5},
        text=[f"trial {number}" for number in history.numbers],
        hovertemplate="%{text}<br>%{x:.3g} h<br>hypervolume %{y:.5g}<extra></extra>",
    )
    figure.update_xaxes(title=label, rangemode="tozero")
    figure.update_yaxes(title="hypervolume")
    return dressed(figure, height=320)


# Not Optuna's plot of importances: it asks which parameters make an objective small, also where
# large is better, and does not know the hypervolume.
def importances_figure(found: Importances) -> go.Figure:
    """Draw the importances, grouped by parameter, without those that matter to no target."""
    names = parameter_names(sorted({p for shares in found.shares.values() for p in shares}))
    most = {p: max(shares.get(p, 0.0) for shares in found.shares.values()) for p in names}
    names = {p: name for p, name in names.items() if most[p] >= LEAST_SHARE}
    figure = go.Figure()
    for (target, shares), colour in zip(found.shares.items(), COLOURS, strict=False):
        label = html.escape(metric_label(target))
        figure.add_bar(
            x=[share for parameter, share in shares.items() if parameter in names],
            y=[names[parameter] for parameter in shares if parameter in names],
            name=label,
            orientation="h",
            marker_color=colour,
            hovertemplate="%{y}: %{x:.0%}<extra>" + label + "</extra>",
        )
    figure.update_xaxes(title="importance", tickformat=".0%")
    figure.update_yaxes(categoryorder="total ascending")
    return dressed(figure, height=140 + 34 * len(names), legend=True)


def curves_figures(curves: Sequence[RobustCurve]) -> list[go.Figure]:
    """Draw robust accuracy over the radius, a chart for each attack, region and norm."""
    kinds: defaultdict[tuple[str, str, str], list[RobustCurve]] = defaultdict(list)
    for curve in curves:
        kinds[curve.attack, curve.region, curve.unit].append(curve)
    return [_curves(members) for members in kinds.values()]


def _curves(curves: Sequence[RobustCurve]) -> go.Figure:
    figure = go.Figure()
    colours = iter(COLOURS * 2)
    for curve in curves[:_MOST_CURVES]:
        is_start = curve.model == START_LABEL
        figure.add_scatter(
            x=curve.epsilons,
            y=curve.robust,
            name=curve.model,
            mode="lines+markers",
            line=_START_LINE if is_start else {"color": next(colours), "width": 2},
            text=[metric_text("accuracy", value) for value in curve.robust],
            hovertemplate="epsilon %{x:g}: %{text}<extra>" + curve.model + "</extra>",
        )
    first = curves[0]
    label = f"epsilon of {first.attack} on the {first.region}, {first.unit}"
    figure.update_xaxes(title=label, rangemode="tozero")
    figure.update_yaxes(title="accuracy", tickformat=".0%", rangemode="tozero")
    return dressed(figure, height=380, legend=True)


def learning_curves_figure(
    curves: Mapping[int, Curve], records: Sequence[TrialRecord], objective: Objective
) -> go.Figure:
    """Draw an objective after each epoch of all trials, and mark where early stopping cut them.

    Args:
        curves: Of trials by their numbers.
        records: All trials.
        objective: The objective.
    """
    kinds: defaultdict[str, list[int]] = defaultdict(list)
    for record in records:
        if record.number in curves:
            kinds["on the front" if record.on_front else record.state].append(record.number)
    figure = go.Figure()
    for kind, line in _CURVE_LINES.items():
        x, y, numbers, ends = _joined(curves, kinds[kind], objective.metric)
        if not numbers:
            continue
        places = {"x": np.array(x, dtype=np.float32), "y": np.array(y, dtype=np.float32)}
        whose = np.array(numbers, dtype=np.int32)
        hover = "trial %{customdata}, epoch %{x}: %{y}<extra></extra>"
        name = f"{kind} ({len(kinds[kind])})"
        # What is measured at the end alone is a point for each trial, and no line.
        mode = "lines+markers" if len(x) <= _FEW_POINTS * len(ends) else "lines"
        figure.add_scatter(
            **places, customdata=whose, hovertemplate=hover, name=name, mode=mode, line=line
        )
        if kind == "stopped":
            figure.add_scatter(
                **{axis: values[ends] for axis, values in places.items()},
                customdata=whose[ends],
                hovertemplate=hover,
                name="stopped early",
                mode="markers",
                marker={"symbol": "x", "size": 7, "color": line["color"]},
            )
    figure.update_xaxes(title="epoch", rangemode="tozero")
    figure.update_yaxes(
        title=html.escape(metric_label(objective.metric)),
        tickformat=".0%" if is_share(objective.metric) else None,
    )
    return dressed(figure, height=360, legend=True)


def _joined(
    curves: Mapping[int, Curve], numbers: Sequence[int], metric: str
) -> tuple[list[float], list[float], list[int], list[int]]:
    """Lay curves end to end, with a gap between two: a browser draws one line sooner than many.

    Returns:
        Epochs, values and trials of all points, and where among them each curve ends.
    """
    x: list[float] = []
    y: list[float] = []
    whose: list[int] = []
    ends: list[int] = []
    for number in numbers:
        known = {e: each[metric] for e, each in curves[number].items() if metric in each}
        if known:
            ends.append(len(x) + len(known) - 1)
            x += [*known, np.nan]
            y += [*known.values(), np.nan]
            whose += [number] * (len(known) + 1)
    return x, y, whose, ends


def dressed(figure: go.Figure, *, height: int, legend: bool = False) -> go.Figure:
    """Give a figure the page's font and margins, and no background of its own.

    Args:
        figure: The figure; changed in place, and returned.
        height: In pixels.
        legend: Put the legend above the chart.
    """
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 68, "r": 24, "t": 40, "b": 56},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
    )
    figure.update_yaxes(automargin=True)
    if legend:
        figure.update_layout(
            legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "xanchor": "left"}
        )
    return figure
