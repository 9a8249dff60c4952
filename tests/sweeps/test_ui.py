"""A real sweep in MLflow's real UI, in a real browser."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from sweeps.outputs import write_report
from sweeps.study.stored_sweep import open_sweep
from sweeps.tracking.reachability import TrackingError
from sweeps.tracking.ui_server import HOST, running_ui
from sweeps.tracking.ui_view import view_state
from sweeps.ui import main
from tests.sweeps.reports import chromium
from tests.sweeps.studies import complete_trial, write_study
from tests.sweeps.whole_sweep import written_sweep

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
PATIENCE_MS = 60_000

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, small_coco: Path, ray_address: str) -> Path:
    """Run a sweep of two trials as a user does, and return its storage."""
    top = tmp_path_factory.mktemp("ui")
    with written_sweep(top, small_coco, address=ray_address) as sweep:
        sweep.write(
            method={"cross_entropy": {"weight": 10.0}}, search={"space": "pretrain"}, trials=2
        )
        code, printed = sweep.run()
    assert code == 0, printed
    assert "INFO mlflow" not in printed
    assert not (top / "mlflow.db").exists()
    return top / "runs"


@pytest.fixture(scope="module")
def page_url(storage: Path) -> Iterator[str]:
    """Start the UI on it, and hold it to ending cleanly when Control-C is pressed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeps.ui", "tiny", f"storage={storage}"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    yield address
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors == "MLflow's UI runs until you press Control-C.\n"
    assert process.returncode == 0
    with socket.socket() as knock:
        assert knock.connect_ex(("127.0.0.1", int(re.findall(r":(\d+)", address)[0]))) != 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def test_the_page_compares_the_trials_by_the_objectives(browser: Browser, page_url: str) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 950})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(page_url)
    for text in ("trial 0", "trial 1", "2 matching runs", "Objectives"):
        expect(page.get_by_text(text, exact=text.startswith("trial")).first).to_be_visible(
            timeout=PATIENCE_MS
        )
    scatter = page.locator(".js-plotly-plot", has=page.locator(".scatterlayer")).first
    expect(scatter.locator(".xtitle")).to_have_text("objective/val/accuracy", timeout=PATIENCE_MS)
    expect(scatter.locator(".ytitle")).to_have_text("objective/val/robust_accuracy")
    expect(scatter.locator(".scatterlayer .point")).to_have_count(2)
    page.close()


def test_the_report_leads_to_a_run_and_that_to_the_sweep(
    browser: Browser, page_url: str, storage: Path, tmp_path: Path
) -> None:
    address = page_url.partition("/#")[0]
    report = write_report(open_sweep("tiny", storage), output=tmp_path / "r.html", ui=address)
    page = browser.new_page(viewport={"width": 1600, "height": 950})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(report.as_uri())
    with page.context.expect_page() as told:
        page.locator("#front table a", has_text="1").first.click()
    run = told.value
    run.set_default_timeout(PATIENCE_MS)
    expect(run.get_by_text("val/robust_accuracy/pgd/background/eps_2")).to_be_visible(
        timeout=PATIENCE_MS
    )
    for text in ("training.learning_rate", "Finished", "Parent run"):
        expect(run.get_by_text(text, exact=True).first).to_be_visible()
    parent = run.locator("a[href*='/runs/']").filter(has_text=re.compile("^tiny$")).first
    run.goto(f"{address}/{parent.get_attribute('href')}/artifacts")
    for file in ("report.html", "trials.parquet", "spec.yaml", "front.png"):
        expect(run.get_by_text(file, exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    run.goto(f"{address}/#/models/tiny")
    for text in ("@ best-val-accuracy", "Version 1"):
        expect(run.get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)
    run.close()
    page.close()


@pytest.mark.parametrize("objectives", [("loss",), ("a", "b"), ("a", "b", "c")])
def test_every_objective_is_in_a_chart(objectives: tuple[str, ...]) -> None:
    state = view_state("r", objectives, [f"p{number}" for number in range(20)])
    text = str(state["compareRunCharts"])
    assert all(f"objective/{name}" in text for name in objectives)
    assert len(str(state)) < 5000
    assert state["searchFilter"] == "tags.`mlflow.parentRunId` = 'r'"


@pytest.mark.parametrize("port", [-1, 70_000, None])
def test_a_port_that_cannot_be_had_is_told(port: int | None) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        # Whoever has it might answer in the UI's place.
        port = other.getsockname()[1] if port is None else port
        with (
            pytest.raises(TrackingError, match=rf"--port is {port}, which cannot be had \("),
            running_ui("sqlite:///nowhere.db", port=port),
        ):
            pass


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path / "bare", [complete_trial((0.5, 0.5))])
    for name, message in (
        ("tini", "sweep tini is not in"),
        ("bare", "does not say which spec"),
    ):
        assert main([name, f"storage={tmp_path}"]) == 2
        told = capsys.readouterr()
        assert message in told.err
        assert told.err.count("\n") == 1
