"""Reports of sweeps that never ran, and a browser to open them in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from playwright.sync_api import Browser, sync_playwright

from sweeps.spec.loading import load_spec
from sweeps.spec.objective import Objective
from sweeps.study.stored_sweep import StoredSweep
from sweeps.study.sweep_info import SweepInfo
from sweeps.trials.from_study import records_of
from tests.sweeps.records import GOALS


def made_up(study: optuna.Study, folder: Path, weights: Path | None = None) -> StoredSweep:
    """Describe a study in memory as a sweep on disk."""
    return StoredSweep(
        folder=folder,
        study=study,
        objectives=tuple(Objective(metric=g.metric, direction=g.direction) for g in GOALS),
        records=tuple(records_of(study)),
        info=SweepInfo(
            spec=load_spec("coco_hsplid"),
            fixed={"method.hsplid.rho_n": 0.1},
            is_demo=True,
            data_key="0123abcd",
            weights=weights,
            baseline=(0.72, 0.25),
            tracking_uri=f"sqlite:///{folder}/mlflow.db",
            tags={"git.commit": "f" * 40, "version.torch": "2.15.0"},
        ),
    )


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a headless Chromium, or skip where there is none."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
