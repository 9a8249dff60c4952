"""Margins along frequencies as a picture: every image as a dot, medians as lines.

A column of the picture for each kind of data (plain, flipped, low-pass). Above, the margins over
the subspaces from low to high frequencies, one colour for each training epsilon; below, the
medians over the training epsilon, one colour for each subspace. After Figures 2 to 5 of
Ortiz-Jimenez et al., Hold me tight!, 2020 (arXiv 2002.06349).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hsplid_core.files import replacing
from hsplid_core.frequency import FILTERS
from sweeps.plots.front_points import DEMO_NOTE
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.trials.analysis_tables import TABLES_FOLDER
from sweeps.trials.record import TrialRecord
from trainables.margins import MARGINS_TABLE

_BINS = 40  # of the logarithm of margins, in which dots push each other aside
_SWARM_WIDTH = 0.7  # of the distance between two subspaces
_KINDS = ("none", *FILTERS)  # plain data first
_COLOURS = matplotlib.colormaps["viridis"]


@dataclass(frozen=True, kw_only=True)
class TrialMargins:
    """What a picture shows of one trial.

    Attributes:
        number: The trial's number in the study.
        transform: The data's filter.
        epsilon: Radius of the adversarial training, 0 for standard training.
        size: Margins of N images in S subspaces, [N, S].
        fooled: Whether they are margins, or where a search gave up, bool, [N, S].
        labels: Names of the subspaces, from low to high frequencies.
    """

    number: int
    transform: str
    epsilon: float
    size: NDArray[np.float64]
    fooled: NDArray[np.bool_]
    labels: tuple[str, ...]

    @property
    def medians(self) -> NDArray[np.float64]:
        """Median of each subspace, [S]; where a search gave up, the margin is infinite."""
        known = np.where(self.fooled, self.size, np.inf)
        ranked = np.sort(known, axis=0)
        middle = (ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]) / 2
        return np.asarray(middle)


def write_margins(
    records: Sequence[TrialRecord], spec: SweepSpec, folder: Path, *, is_demo: bool
) -> list[Path]:
    """Write ``margins.png`` where a sweep has measured margins.

    Args:
        records: The sweep's trials.
        spec: The sweep.
        folder: Its folder, with the collected tables.
        is_demo: Say in the picture that the numbers come from the demo data.

    Returns:
        The picture's path, or nothing where no trial has margins.
    """
    table = folder / TABLES_FOLDER / f"{MARGINS_TABLE}.parquet"
    if not table.is_file():
        return []
    trials = read_trials(table, spec, records)
    picture = folder / "margins.png"
    with replacing(picture) as file:
        margins_figure(trials, title=spec.name, is_demo=is_demo).savefig(file, format="png")
    return [picture]


def read_trials(
    table: Path, spec: SweepSpec, records: Sequence[TrialRecord]
) -> list[TrialMargins]:
    """Read the margins of all trials out of the collected table.

    Args:
        table: ``tables/margins.parquet``.
        spec: The sweep, for what its trials have in common.
        records: Its trials, for what they differ in.

    Returns:
        The trials that have margins, by kind of data and epsilon.
    """
    columns = {
        name: np.asarray(column) for name, column in pq.read_table(table).to_pydict().items()
    }
    base = spec.trial_config()
    found = []
    for record in records:
        rows = columns["trial"] == record.number
        if not rows.any():
            continue
        config = base.of_trial(record.parameters)
        adversarial = config.method.get("adversarial")
        # One row for each image and subspace, the subspaces of an image in order.
        names = columns["subspace"][rows]
        labels = tuple(dict.fromkeys(names.tolist()))
        found.append(
            TrialMargins(
                number=record.number,
                transform=config.data.transform,
                epsilon=adversarial.epsilon if adversarial is not None else 0.0,
                size=columns["margin"][rows].astype(np.float64).reshape(-1, len(labels)),
                fooled=columns["fooled"][rows].astype(np.bool_).reshape(-1, len(labels)),
                labels=labels,
            )
        )
    return sorted(
        found, key=lambda trial: (_KINDS.index(trial.transform), trial.epsilon, trial.number)
    )


def margins_figure(trials: Sequence[TrialMargins], *, title: str, is_demo: bool) -> Figure:
    """Draw the margins of some trials.

    Args:
        trials: At least one, ordered as ``read_trials`` returns them.
        title: Heading.
        is_demo: Say in the picture that the numbers come from the demo data.

    Returns:
        A figure that belongs to no window and to no global state.
    """
    kinds: dict[str, list[TrialMargins]] = {}
    for trial in trials:
        kinds.setdefault(trial.transform, []).append(trial)
    figure = Figure(figsize=(1 + 4.6 * len(kinds), 7.6), dpi=150, layout="constrained")
    note = f"   ({DEMO_NOTE})" if is_demo else ""
    heading = f"{title}: margins along frequencies{note}"
    figure.suptitle(heading, x=0.02, ha="left", fontsize=12, parse_math=False)
    grid = figure.subplots(2, len(kinds), sharey=True, squeeze=False)
    shades = _shades([trial.epsilon for trial in trials])
    for column, (kind, members) in enumerate(kinds.items()):
        _draw_frequencies(grid[0, column], members, shades)
        _draw_epsilons(grid[1, column], members)
        grid[0, column].set_title("plain data" if kind == "none" else f"{kind} data", fontsize=11)
    for axes in grid.flat:
        axes.set_yscale("log")
        axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("margin (L2, pixel units)")
    return figure


def swarm_offsets(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spread dots of nearly equal height to the sides of their column.

    Args:
        values: Heights above 0 of the dots of one column, [N].

    Returns:
        Offsets in [-1/2, 1/2], [N]; the fullest of the column's bins takes the whole width.
    """
    if not len(values):
        return np.zeros(0)
    height = np.log(values)
    low, high = height.min(), height.max()
    bins = ((height - low) / max(high - low, 1e-12) * (_BINS - 1)).round().astype(np.int64)
    order = np.lexsort((height, bins))
    counts = np.bincount(bins, minlength=_BINS)
    starts = np.cumsum(counts) - counts
    rank = np.empty(len(values))
    rank[order] = np.arange(len(values)) - starts[bins[order]]
    centred: NDArray[np.float64] = (rank - (counts[bins] - 1) / 2) / max(counts.max() - 1, 1)
    return centred


def _shades(epsilons: Sequence[float]) -> Mapping[float, tuple[float, ...]]:
    ranks = sorted(set(epsilons))
    return {e: _COLOURS(0.9 * i / max(1, len(ranks) - 1)) for i, e in enumerate(ranks)}


def _draw_frequencies(
    axes: Axes, trials: Sequence[TrialMargins], shades: Mapping[float, tuple[float, ...]]
) -> None:
    labels = trials[0].labels
    for trial in trials:
        colour = shades[trial.epsilon]
        # Every image's dots would hide each other: those of the two ends show the spread.
        if trial in (trials[0], trials[-1]):
            _draw_swarm(axes, trial, colour)
        name = f"epsilon {trial.epsilon:.2g}, trial {trial.number}"
        axes.plot(range(len(trial.labels)), _finite(trial.medians), color=colour, label=name)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", fontsize=8)
    axes.set_xlabel("frequencies (row and column)")
    axes.legend(fontsize=7, frameon=False)


def _draw_swarm(axes: Axes, trial: TrialMargins, colour: tuple[float, ...]) -> None:
    for subspace in range(trial.size.shape[1]):
        for fooled, marker in ((True, "."), (False, "^")):
            rows = (trial.fooled[:, subspace] == fooled) & (trial.size[:, subspace] > 0)
            heights = trial.size[rows, subspace]
            places = subspace + _SWARM_WIDTH * swarm_offsets(heights)
            axes.scatter(
                places, heights, s=7, marker=marker, color=colour, alpha=0.4, linewidths=0
            )


def _draw_epsilons(axes: Axes, trials: Sequence[TrialMargins]) -> None:
    labels = trials[0].labels
    epsilons = [trial.epsilon for trial in trials if trial.labels == labels]
    medians = np.array([trial.medians for trial in trials if trial.labels == labels])
    for subspace, label in enumerate(labels):
        colour = _COLOURS(0.9 * subspace / max(1, len(labels) - 1))
        heights = _finite(medians[:, subspace])
        axes.plot(epsilons, heights, color=colour, marker="o", markersize=3, label=label)
    axes.set_xlabel("training epsilon (L2)")
    axes.legend(fontsize=7, frameon=False, title="frequencies", title_fontsize=7)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave gaps where half the searches found nothing."""
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)
