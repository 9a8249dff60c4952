"""Panels of the front's trials, from their checkpoints."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest
from PIL import Image

from hsplid_core.config import DataConfig
from hsplid_core.config.analyses import SaliencyConfig
from hsplid_core.models.state_files import STATE_FILE, write_state
from sweeps.plots.saliency_panels import write_panels
from sweeps.trials.checkpoint_files import SweepCheckpoints
from sweeps.trials.record import TrialRecord
from tests.tiny import tiny_data, tiny_trial
from trainables.config import TrialConfig
from trainables.trial import Trial


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return tiny_data(tmp_path_factory.mktemp("panels"))


def measuring(data: DataConfig) -> TrialConfig:
    base = tiny_trial(data)
    section = SaliencyConfig(methods=("gradient", "grad_cam"), steps=2)
    return dataclasses.replace(
        base, evaluation=dataclasses.replace(base.evaluation, saliency=section)
    )


def checkpoint(folder: Path, number: int, config: TrialConfig) -> None:
    state = folder / "ray" / "attempt_001" / f"trial_{number:05d}" / "checkpoint_000000"
    state.mkdir(parents=True)
    write_state(state / STATE_FILE, Trial(config).state_dict())


def record(number: int, *, on_front: bool = True) -> TrialRecord:
    return TrialRecord(
        number=number, state="complete", parameters={}, values=(0.5, 0.5), on_front=on_front
    )


def test_a_panel_for_each_trial_on_the_front(
    data: DataConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = measuring(data)
    other = dataclasses.replace(config, model=dataclasses.replace(config.model, width=0.125))
    checkpoint(tmp_path, 0, config)
    checkpoint(tmp_path, 1, config)
    checkpoint(tmp_path, 2, other)
    kept = SweepCheckpoints(folder=tmp_path, sweep_id=None)
    records = [record(0), record(1, on_front=False), record(2), record(3)]
    with caplog.at_level(logging.WARNING):
        (file,) = write_panels(config, records, kept)
    assert file == tmp_path / "saliency" / "saliency_trial_00000.png"
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    with Image.open(file) as picture:
        width, height = picture.size
    assert pytest.approx(width, abs=2) == 1.7 * 110 * 3
    assert height > 6 * 1.7 * 110
    # Trial 2 does not fit the configuration, trial 3 has no checkpoint.
    (told,) = [entry.getMessage() for entry in caplog.records]
    assert told.startswith("no panel of trial 2: ")
    drawn = file.stat().st_mtime_ns
    assert write_panels(config, records[:1], kept) == [file]
    assert file.stat().st_mtime_ns == drawn


def test_nothing_is_drawn_where_saliency_is_off(data: DataConfig, tmp_path: Path) -> None:
    checkpoint(tmp_path, 0, tiny_trial(data))
    kept = SweepCheckpoints(folder=tmp_path, sweep_id=None)
    assert write_panels(tiny_trial(data), [record(0)], kept) == []
    assert not (tmp_path / "saliency").exists()
