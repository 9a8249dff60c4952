"""Charts of parameters: parallel coordinates, slices and contours, all three Optuna's own."""

from __future__ import annotations

import html
import warnings
from collections import defaultdict
from collections.abc import Sequence

import optuna
import plotly.graph_objects as go
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from search_spaces import SWITCH_PREFIX
from sweeps.fronts.importances import HYPERVOLUME, Importances, parameter_names
from sweeps.fronts.selection import Selection
from sweeps.outputs.figures import KEEPS_ITS_COLOURS, dressed
from sweeps.plots.front_points import FRONT_COLOUR
from sweeps.trials.labels import metric_label

# A line each, and a browser draws a few hundred before a reader begins to wait.
MOST_LINES = 150
# Their names and ticks must not run into each other on a sheet of paper.
MOST_AXES = 9
MOST_SLICES = 4
# A contour has a cell for each pair of values, so ten thousand.
MOST_IN_CONTOUR = 100

# Greys of the ranks behind the front: all of them can be seen on white.
_NEXT_RANK, _LAST_RANK = 0x70, 0xB4


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
    ranked = _with_any(study, selection, parameters)
    if not ranked:
        return None
    shown = _study_of(selection, ranked[:MOST_LINES], parameters)
    figure = optuna.visualization.plot_parallel_coordinate(shown)
    _recolour(figure, [selection.ranks[trial.number] for trial in ranked[:MOST_LINES]])
    figure.update_layout(title=None)
    figure.update_xaxes(tickangle=25)
    # Its text and axes are drawn for white paper.
    light = {"paper_bgcolor": "white", "plot_bgcolor": "white", "font_color": "black"}
    margin = {"l": 68, "r": 24, "t": 40, "b": 110}  # room for the names of the axes
    return dressed(figure, height=460).update_layout(
        meta=KEEPS_ITS_COLOURS, margin=margin, **light
    )


def _recolour(figure: go.Figure, ranks: Sequence[int]) -> None:
    """Let dominated trials be seen: Optuna's lines fade to white with their rank.

    Optuna draws the best ranks last, and marks the scale in a trace of its own.
    """
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    last = max(ranks)
    for line, rank in zip(lines, sorted(ranks, reverse=True), strict=False):
        line.update(line={"color": _colour(rank, last)}, opacity=0.9 if rank == 1 else 0.6)
    scale = [[(r - 1) / max(1, last - 1), _colour(r, last)] for r in range(1, max(2, last) + 1)]
    figure.update_traces(
        selector={"mode": "markers"}, marker={"colorscale": scale, "reversescale": False}
    )


def _colour(rank: int, last: int) -> str:
    if rank == 1:
        return FRONT_COLOUR
    level = _NEXT_RANK + (_LAST_RANK - _NEXT_RANK) * (rank - 2) // max(1, last - 2)
    return f"#{level:02x}{level:02x}{level:02x}"


def slice_figure(
    study: optuna.Study, selection: Selection, parameters: Sequence[str], position: int
) -> go.Figure | None:
    """Draw one objective over each of some parameters, with Optuna's plot; None without any.

    Args:
        study: The study.
        selection: Its trials; infeasible ones are left out.
        parameters: Optuna's parameters.
        position: Which objective.
    """
    trials = _with_any(study, selection, parameters)
    if not trials:
        return None
    shown = _study_of(selection, _numbered(trials), parameters)
    figure = optuna.visualization.plot_slice(
        shown, target=lambda trial: trial.values[position], target_name=_label(selection, position)
    )
    return _dressed_by_optuna(figure, height=320)


def contour_figure(
    study: optuna.Study, selection: Selection, parameters: Sequence[str], position: int
) -> go.Figure | None:
    """Draw one objective over two parameters, with Optuna's plot; None without two.

    Args:
        study: The study.
        selection: Its trials; of many, some from all ranks alike are taken.
        parameters: Optuna's parameters, of which the first two are taken.
        position: Which objective.
    """
    pair = parameters[:2]
    trials = [
        trial
        for trial in _with_any(study, selection, pair)
        if all(name in trial.params for name in pair)
    ]
    if len(pair) < 2 or any(len({t.params[name] for t in trials}) < 2 for name in pair):
        return None
    step = -(-len(trials) // MOST_IN_CONTOUR)
    shown = _study_of(selection, trials[::step], pair)
    figure = optuna.visualization.plot_contour(
        shown, target=lambda trial: trial.values[position], target_name=_label(selection, position)
    )
    # Optuna's dark end is the lower one, whatever is better.
    higher = selection.objectives[position].direction == "maximize"
    figure.update_traces(selector={"type": "contour"}, reversescale=not higher)
    return _dressed_by_optuna(figure, height=420)


def _with_any(
    study: optuna.Study, selection: Selection, parameters: Sequence[str]
) -> list[FrozenTrial]:
    """Return the ranked trials that have any of some parameters, the best ranks first."""
    trials = [
        trial
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if trial.number in selection.ranks and not trial.params.keys().isdisjoint(parameters)
    ]
    return sorted(trials, key=lambda trial: (selection.ranks[trial.number], trial.number))


def _numbered(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Put trials at the places of their numbers, among others that are not drawn."""
    places = [
        create_trial(state=TrialState.FAIL) for _ in range(max(t.number for t in trials) + 1)
    ]
    for trial in trials:
        places[trial.number] = trial
    return places


def _label(selection: Selection, position: int) -> str:
    return html.escape(metric_label(selection.objectives[position].metric))


def _dressed_by_optuna(figure: go.Figure, *, height: int) -> go.Figure:
    light = {"paper_bgcolor": "white", "plot_bgcolor": "white", "font_color": "black"}
    figure.update_layout(title=None)
    return dressed(figure, height=height).update_layout(meta=KEEPS_ITS_COLOURS, **light)


def _study_of(
    selection: Selection, trials: Sequence[FrozenTrial], parameters: Sequence[str]
) -> Study:
    """Make a study of some trials and some of their parameters, by names that people read."""
    shown = optuna.create_study(directions=[o.direction for o in selection.objectives])
    shown.add_trials(_with_short_names(selection, trials, parameters))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        shown.set_metric_names([html.escape(metric_label(o.metric)) for o in selection.objectives])
    return shown


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
        if trial.state == TrialState.COMPLETE
        else trial
        for trial in trials
    ]
