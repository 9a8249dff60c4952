"""Points of a front's picture, whichever library draws them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sweeps.spec.objective import Objective
from sweeps.trials.labels import DEVIATION, is_share, metric_label
from sweeps.trials.record import TrialRecord

# Okabe and Ito's palette: told apart with any colour vision, and in grey by its lightness.
FRONT_COLOUR = "#0072B2"
DOMINATED_COLOUR = "#8C8C8C"
PAPER_COLOUR = "#D55E00"
START_COLOUR = "#000000"
WARNED_COLOUR = "#CC79A7"

SEEDS_LABEL = "new seeds, mean ± sd"
WARNED_LABEL = "has warnings"
DEMO_NOTE = "demo data"
EMPTY_NOTE = "no complete trial yet"


# Of an axis of shares, in their unit: 20 percentage points, the width of the 95% interval of an
# accuracy near one half that was measured on 100 images. Less would enlarge what is chance.
_LEAST_EXTENT = 0.2
_ROOM = 0.02  # for the marks of points at 0 and 1


@dataclass(frozen=True)
class SeedSpread:
    """What a configuration reached under new seeds, in the picture's two objectives.

    Attributes:
        name: Of the configuration.
        mean: Means.
        sd: Standard deviations.
    """

    name: str
    mean: tuple[float, float]
    sd: tuple[float, float]


@dataclass(frozen=True)
class Point:
    """A complete trial at its place in the picture.

    Attributes:
        x: Across.
        y: Up.
        record: The trial.
        sd: Standard deviations of both over its seeds, 0 where it has one alone.
    """

    x: float
    y: float
    record: TrialRecord
    sd: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Axis:
    """One direction of the picture.

    Attributes:
        label: What is drawn, with the better side.
        is_share: Whether to write its values in percent.
        sign: 1 where larger is better, -1 where smaller is better.
        low: Lower end.
        high: Upper end.
    """

    label: str
    is_share: bool
    sign: int
    low: float
    high: float

    @property
    def worst(self) -> float:
        """The end with the worse values."""
        return self.low if self.sign > 0 else self.high


@dataclass(frozen=True)
class Picture:
    """Points and axes of a front.

    Attributes:
        dominated: Complete trials off the front.
        front: Trials on the front.
        warned: Trials on the front with reasons to distrust their robust accuracy.
        paper: The trial with the published values.
        start: Objectives of the pretrained model that the trials started from.
        seeds: Spread of configurations under new seeds, where a confirmation knows it.
        staircase: Corners of the line between what is dominated and what is not; empty where the
            front is no staircase (no trial, or not two objectives).
        front_label: What the front is called: with one objective, just the best trial.
        x: First objective, or the trials' numbers.
        y: Second objective, or the only one.
    """

    dominated: list[Point]
    front: list[Point]
    warned: list[Point]
    paper: Point | None
    start: tuple[float, float] | None
    seeds: list[SeedSpread]
    staircase: list[tuple[float, float]]
    front_label: str
    x: Axis
    y: Axis


def make_picture(
    records: Iterable[TrialRecord],
    objectives: Sequence[Objective],
    start: tuple[float, ...] | None,
    paper_trial: int | None,
    seeds: Sequence[SeedSpread] = (),
) -> Picture:
    """Place the complete trials; see ``sweeps.plots.front_png`` for the arguments."""
    single = len(objectives) == 1
    points = [
        Point(
            float(record.number) if single else record.values[0],
            record.values[not single],
            record,
            _deviations(record, objectives, single=single),
        )
        for record in records
        if record.values is not None
    ]
    start_place = None if start is None or single else (start[0], start[1])
    places = [(point.x, point.y) for point in points] + ([start_place] if start_place else [])
    places += [(p.x + k * p.sd[0], p.y + k * p.sd[1]) for p in points for k in (-1, 1)]
    for spread in seeds:
        (x_mean, y_mean), (x_sd, y_sd) = spread.mean, spread.sd
        places += [(x_mean - x_sd, y_mean - y_sd), (x_mean + x_sd, y_mean + y_sd)]
    x = (
        _axis(None, [px for px, _ in places])
        if single
        else _axis(objectives[0], [px for px, _ in places])
    )
    y = _axis(objectives[0 if single else 1], [py for _, py in places])
    front = [point for point in points if point.record.on_front]
    return Picture(
        dominated=[point for point in points if not point.record.on_front],
        front=front,
        warned=[point for point in front if point.record.warnings],
        paper=next((point for point in points if point.record.number == paper_trial), None),
        start=start_place,
        seeds=list(seeds),
        staircase=_staircase(front, x, y) if len(objectives) == 2 else [],
        front_label="best" if single else "Pareto front",
        x=x,
        y=y,
    )


def _deviations(
    record: TrialRecord, objectives: Sequence[Objective], *, single: bool
) -> tuple[float, float]:
    found = [record.metrics.get(DEVIATION.format(o.metric), 0.0) for o in objectives[:2]]
    return (0.0, found[0]) if single else (found[0], found[1])


def _axis(objective: Objective | None, values: Sequence[float]) -> Axis:
    if objective is None:
        low, high = min(values, default=0), max(values, default=1)
        return Axis("trial", is_share=False, sign=1, low=low - 0.5, high=high + 0.5)
    share = is_share(objective.metric)
    low, high = min(values, default=0.0), max(values, default=1.0)
    # One point, or equal values, still get some room around them.
    pad = max(0.1 * (high - low), _ROOM if share else 0.05 * abs(high), 1e-9)
    low, high = low - pad, high + pad
    if share:
        low, high = _of_shares(low, high)
    better = "higher" if objective.direction == "maximize" else "lower"
    return Axis(
        label=f"{metric_label(objective.metric)} ({better} is better)",
        is_share=share,
        sign=1 if objective.direction == "maximize" else -1,
        low=low,
        high=high,
    )


def _of_shares(low: float, high: float) -> tuple[float, float]:
    """Widen the ends of an axis to the least extent, and keep them where shares are."""
    first, last = -_ROOM, 1 + _ROOM
    low, high = max(low, first), min(high, last)
    missing = max(0.0, _LEAST_EXTENT - (high - low)) / 2
    low, high = low - missing, high + missing
    shift = max(0.0, first - low) - max(0.0, high - last)
    return low + shift, high + shift


def _staircase(front: list[Point], x: Axis, y: Axis) -> list[tuple[float, float]]:
    if not front:
        return []
    # Along the front, a better x comes with a worse y; from each point the line first gives up y.
    points = sorted(front, key=lambda point: (x.sign * point.x, -y.sign * point.y))
    corners = [(x.worst, points[0].y)]
    for point, following in zip(points, [*points[1:], None], strict=True):
        corners += [(point.x, point.y), (point.x, following.y if following else y.worst)]
    return corners
