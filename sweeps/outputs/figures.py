"""The report's charts: Optuna's own where they exist, else plain plotly.

Colours come from a palette that reads on light and on dark paper. Text and grid take the page's,
which the page's script sets.
"""

from __future__ import annotations

import html
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence

import optuna
import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState, create_trial

from search_spaces import SWITCH_PREFIX
from sweeps.fronts.importances import HYPERVOLUME, Importances, parameter_names
from sweeps.fronts.selection import Selection
from sweeps.outputs.cost import History
from sweeps.outputs.robust_curves import RobustCurve
from sweeps.plots.front_plotly import interactive_front
from sweeps.plots.front_points import FRONT_COLOUR, SeedSpread, make_picture
from sweeps.trials.labels import START_LABEL, metric_label, metric_text

# Of Okabe and Ito's palette, what is told apart on white and on near-black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_START_LINE = {"color": "#8C8C8C", "dash": "dash", "width": 3}
# A line each, and a browser draws a few hundred before a reader begins to wait.
MOST_LINES = 150
# Their names and ticks must not run into each other on a sheet of paper.
MOST_AXES = 9
LEAST_SHARE = 0.01
_MOST_CURVES = 8
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


def telling_parameters(study: optuna.Study, found: Importances) -> list[str]:
    """Choose the parameters whose axes are worth their room, the most important ones first.

    Where importances are not known, they come by name.
    Those that are the same in all complete trials tell nothing, and a switch nothing that its
    parameter's axis, which has a place for "off", does not.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values: defaultdict[str, set[object]] = defaultdict(set)
    for path in {path for trial in trials for path in trial.params}:
        values[path] = {trial.params.get(path) for trial in trials}
    order = found.shares.get(HYPERVOLUME) or next(iter(found.shares.values()), {})
    telling = [
        path
        for path, different in values.items()
        if len(different) > 1
        and not (path.startswith(SWITCH_PREFIX) and path.removeprefix(SWITCH_PREFIX) in values)
    ]
    return sorted(telling, key=lambda path: (-order.get(path, 0.0), path))


def parallel_figure(
    study: optuna.Study, selection: Selection, parameters: Sequence[str]
) -> go.Figure | None:
    """Draw the best-ranked trials over some parameters, with Optuna's plot; None without any."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ranked = [
        trial
        for trial in trials
        if trial.number in selection.ranks and not trial.params.keys().isdisjoint(parameters)
    ]
    ranked.sort(key=lambda trial: (selection.ranks[trial.number], trial.number))
    if not ranked:
        return None
    shown = optuna.create_study(directions=[o.direction for o in selection.objectives])
    shown.add_trials(_with_short_names(selection, ranked[:MOST_LINES], parameters))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        shown.set_metric_names([html.escape(metric_label(o.metric)) for o in selection.objectives])
    figure = optuna.visualization.plot_parallel_coordinate(shown)
    figure.update_layout(title=None)
    figure.update_xaxes(tickangle=25)
    # Optuna's lines go from white to dark blue, so this chart keeps white paper.
    light = {"paper_bgcolor": "white", "plot_bgcolor": "white", "font_color": "black"}
    margin = {"l": 68, "r": 24, "t": 40, "b": 110}  # room for the names of the axes
    return dressed(figure, height=460).update_layout(
        meta=KEEPS_ITS_COLOURS, margin=margin, **light
    )


def _with_short_names(
    selection: Selection, trials: Sequence[FrozenTrial], parameters: Sequence[str]
) -> list[FrozenTrial]:
    names = parameter_names(sorted({path for trial in trials for path in trial.params}))
    names = {path: name for path, name in names.items() if path in parameters}
    values = {record.number: record.values for record in selection.records}
    return [
        create_trial(
            params={names[p]: value for p, value in trial.params.items() if p in names},
            distributions={
                names[p]: value for p, value in trial.distributions.items() if p in names
            },
            values=list(values[trial.number] or ()),
        )
        for trial in trials
    ]


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
