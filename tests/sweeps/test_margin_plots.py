"""The picture of margins, from the table that a sweep collects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweeps.plots.margins_png import margins_figure, read_trials, swarm_offsets, write_margins
from sweeps.spec.loading import load_spec
from sweeps.trials.record import TrialRecord
from trainables.config import ParameterValue

LABELS = ("000-007", "004-011", "008-015")


def record(number: int, **parameters: ParameterValue) -> TrialRecord:
    named = {"data.transform": parameters["transform"]}
    named["method.adversarial.epsilon"] = parameters["epsilon"]
    return TrialRecord(number=number, state="complete", parameters=named)


RECORDS = [
    record(0, transform="none", epsilon=1.0),
    record(1, transform="none", epsilon=0.0),
    record(2, transform="flip", epsilon=0.0),
    record(3, transform="flip", epsilon=0.5),  # failed: it has no rows
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images, numbers = 20, (0, 1, 2)
    rng = np.random.default_rng(0)
    rows = len(numbers) * images * len(LABELS)
    margin, fooled = rng.uniform(0.5, 2, rows), np.ones(rows, dtype=bool)
    margin[0], fooled[0] = 0.0, False  # a search that could not move
    columns = {
        "trial": np.repeat(numbers, images * len(LABELS)),
        "subspace": list(LABELS) * (images * len(numbers)),
        "margin": margin,
        "fooled": fooled,
    }
    (tmp_path / "tables").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "tables" / "margins.parquet")
    return tmp_path


def test_trials_come_with_what_they_were_trained_on(folder: Path) -> None:
    trials = read_trials(folder / "tables" / "margins.parquet", load_spec("margins"), RECORDS)
    assert [(t.transform, t.epsilon, t.number) for t in trials] == [
        ("none", 0.0, 1),
        ("none", 1.0, 0),
        ("flip", 0.0, 2),
    ]
    last = trials[1]
    assert last.labels == LABELS
    assert last.size.shape == (20, 3)
    known = np.where(last.fooled, last.size, np.inf)
    np.testing.assert_allclose(last.medians, np.median(known, axis=0))


def test_the_picture_has_a_column_for_each_kind_of_data(folder: Path) -> None:
    spec = load_spec("margins")
    trials = read_trials(folder / "tables" / "margins.parquet", spec, RECORDS)
    figure = margins_figure(trials, title="margins", is_demo=True)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["plain data", "flip data", "", ""]
    plain = figure.axes[0]
    assert [line.get_label() for line in plain.lines] == [
        "epsilon 0, trial 1",
        "epsilon 1, trial 0",
    ]
    assert np.allclose(np.asarray(plain.lines[1].get_ydata()), trials[1].medians)
    dots = sum(len(np.asarray(c.get_offsets())) for c in plain.collections)
    assert dots == 2 * 20 * 3 - 1
    below = figure.axes[2]
    assert [line.get_label() for line in below.lines] == list(LABELS)
    assert np.asarray(below.lines[0].get_xdata()).tolist() == [0, 1]


def test_a_sweep_writes_it_where_there_are_margins(folder: Path, tmp_path: Path) -> None:
    spec = load_spec("margins")
    (picture,) = write_margins(RECORDS, spec, folder, is_demo=False)
    assert picture.name == "margins.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert write_margins(RECORDS, spec, tmp_path / "elsewhere", is_demo=False) == []


def test_dots_of_equal_height_lie_side_by_side() -> None:
    offsets = swarm_offsets(np.array([1.0, 1.0, 1.0, 5.0]))
    np.testing.assert_allclose(sorted(offsets[:3]), [-0.5, 0, 0.5])
    assert offsets[3] == 0
    assert len(swarm_offsets(np.array([]))) == 0
    assert swarm_offsets(np.array([2.0])).tolist() == [0.0]
    many = swarm_offsets(np.random.default_rng(0).lognormal(size=500))
    assert np.abs(many).max() == 0.5
    assert len(np.unique(many)) > 10
